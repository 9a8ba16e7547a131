//! `belfry append`: turns whatever the input is into lines of JSON and hands them to the ledger, here or in a running
//! node; both go through the same pipeline.

mod remote;
mod stage;

use super::args::{AppendArgs, OnErrorArg, Wait};
use super::context::Context;
use super::control::Control;
use super::receipts;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::ingest::files::{self, Options, Unreadable};
use crate::ingest::pipeline::{self, OnError, Plan};
use crate::ingest::{Rejected, Summary};
use crate::reach::Stage;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::{Draft, Visibility};
use indicatif::ProgressBar;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// The input as lines of JSON, and what to call it.
struct Input {
    lines: Box<dyn Read + Send>,
    /// Number of lines, where it is known.
    length: Option<u64>,
    kind: &'static str,
    source: String,
    observer: Option<JoinHandle<Vec<Unreadable>>>,
}

pub(super) fn run(context: &Context, args: &AppendArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    if args.receipts.is_some() && args.wait == Wait::Durable {
        return Err(Failure::new(
            Code::Usage,
            "a receipt needs a signed digest: --receipts goes with --wait signed or --wait acked",
        )
        .hint("in a federation use --wait acked: then each receipt shows a quorum of towers"));
    }
    stage::check(context, &config, args.wait)?;
    let input = open(args)?;
    let draft = template(args, &input);
    if let Err(error) = draft.check() {
        return Err(Failure::new(Code::Usage, error.to_string()));
    }
    if context.global.dry_run {
        let count = input
            .length
            .map_or_else(|| "lines".to_owned(), |length| format!("{length} files"));
        let mut text = format!("would append {count} of {} as {}", input.source, draft.kind);
        if let Some(dir) = &args.receipts {
            text.push_str(&format!(", and write their receipts to {}", dir.display()));
        }
        return context.out.result(
            &text,
            &json!({ "dry_run": true, "items": input.length, "kind": draft.kind, "receipts": args.receipts }),
        );
    }
    let bar = context.out.progress(input.length, "entries");
    let (mut summary, mut signed) = match Control::find(&context.layout) {
        Some(control) => remote::append(&control, args, &draft, input.lines, &bar)?,
        None => local(context, args, draft, input.lines, &bar)?,
    };
    let acked = stage::wait_for(context, args, &summary, &mut signed)?;
    bar.finish_and_clear();
    if let Some(observer) = input.observer {
        let unreadable = observer.join().unwrap_or_default();
        summary.rejected_count += unreadable.len() as u64;
        summary
            .rejected
            .extend(unreadable.into_iter().map(|file| Rejected {
                label: file.path,
                why: file.why,
            }));
    }
    let stage = match acked {
        true => Stage::Acked,
        false => Stage::of(summary.places.end(), signed, 0).min(Stage::Signed),
    };
    // Written before the report, which ends with an error if anything was refused; told after it.
    let receipts = hand_out(context, args, &summary, stage);
    report(
        context,
        args,
        &summary,
        (signed, stage),
        receipts.as_ref().ok(),
    )?;
    if let (Some(dir), Some(_)) = (&args.receipts, receipts?) {
        context
            .out
            .say(receipts::next(context, dir, &summary.places));
    }
    Ok(())
}

fn open(args: &AppendArgs) -> Result<Input, Failure> {
    if args.input == "-" {
        let lines = Box::new(std::io::stdin());
        return Ok(Input {
            lines,
            length: None,
            kind: "log.line",
            source: "stdin".to_owned(),
            observer: None,
        });
    }
    let path = PathBuf::from(&args.input);
    // As it was given: two files of one name in two directories are two sources.
    let source = args.input.clone();
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Code::Failed,
            format!("cannot read {}: {error}", path.display()),
        )
    };
    let ndjson = path
        .extension()
        .is_some_and(|extension| extension == "ndjson" || extension == "jsonl");
    let kind = std::fs::metadata(&path).map_err(unreadable)?.file_type();
    // What is neither file nor directory (a pipe, a device) can only be read through.
    let through = !kind.is_file() && !kind.is_dir();
    if through || (kind.is_file() && (args.lines || ndjson) && !args.whole) {
        let lines = Box::new(std::fs::File::open(&path).map_err(unreadable)?);
        return Ok(Input {
            lines,
            length: None,
            kind: "log.line",
            source,
            observer: None,
        });
    }
    let options = Options {
        all: args.all,
        inline: args.inline,
        limit: None,
    };
    let (list, refused) = files::list(&path, &options);
    let length = Some(list.len() as u64);
    let (lines, observer) = observe(path, list, refused, options)?;
    Ok(Input {
        lines: Box::new(lines),
        length,
        kind: "file.observed",
        source,
        observer: Some(observer),
    })
}

/// Observes files on a thread of its own; the lines come through a pipe, which bounds how far it runs ahead.
fn observe(
    root: PathBuf,
    list: Vec<PathBuf>,
    refused: Vec<Unreadable>,
    options: Options,
) -> Result<(std::io::PipeReader, JoinHandle<Vec<Unreadable>>), Failure> {
    let (read, write) = std::io::pipe()?;
    let work = move || {
        let mut all = refused;
        all.extend(observe_all(&root, &list, &options, write));
        all
    };
    Ok((
        read,
        std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(work)?,
    ))
}

fn observe_all(
    root: &Path,
    list: &[PathBuf],
    options: &Options,
    write: PipeWriter,
) -> Vec<Unreadable> {
    let mut write = std::io::BufWriter::with_capacity(1 << 16, write);
    // A broken pipe means that the reader gave up and says why itself.
    let unreadable = files::write_lines(root, list, options, &mut write).unwrap_or_default();
    let _ = write.flush();
    unreadable
}

fn template(args: &AppendArgs, input: &Input) -> Draft {
    Draft {
        kind: args.kind.clone().unwrap_or_else(|| input.kind.to_owned()),
        time: clock::wall(),
        source: args.source.clone().unwrap_or_else(|| input.source.clone()),
        tenant: args.tenant.clone(),
        body: Json::Null,
        visibility: match (args.private, args.public) {
            (true, _) => Some(Visibility::Private),
            (_, true) => Some(Visibility::Public),
            _ => None,
        },
        idempotency: None,
    }
}

fn local(
    context: &Context,
    args: &AppendArgs,
    template: Draft,
    lines: Box<dyn Read + Send>,
    bar: &ProgressBar,
) -> Result<(Summary, u64), Failure> {
    let node = context.open_alone()?;
    let on_error = match args.on_error {
        OnErrorArg::Stop => OnError::Stop,
        OnErrorArg::Continue => OnError::Continue,
    };
    let plan = Plan {
        template,
        envelope: args.envelope,
        on_error,
        dedupe: args.dedupe,
    };
    let outcome = pipeline::run(&node, &plan, lines, |count| bar.set_position(count));
    let signed = node.published().signed;
    node.close();
    Ok((outcome?, signed))
}

/// Writes the receipts that were asked for, if the stage is reached that they are to show, and returns how many.
fn hand_out(
    context: &Context,
    args: &AppendArgs,
    summary: &Summary,
    stage: Stage,
) -> Result<Option<u64>, Failure> {
    match &args.receipts {
        Some(dir) if stage::reaches(stage, args.wait) && summary.places.end() > 0 => {
            receipts::write(context, dir, &summary.places).map(Some)
        }
        _ => Ok(None),
    }
}

fn report(
    context: &Context,
    args: &AppendArgs,
    summary: &Summary,
    (signed, stage): (u64, Stage),
    receipts: Option<&Option<u64>>,
) -> Result<(), Failure> {
    let json = json!({
        "appended": summary.appended, "known": summary.known, "first": summary.first, "last": summary.last,
        "rejected_count": summary.rejected_count, "stopped": summary.stopped, "signed_size": signed,
        "stage": stage.name(), "receipts": receipts.copied().flatten(),
        "rejected": summary.rejected.iter().map(|item| json!({"item": item.label, "why": item.why})).collect::<Vec<_>>(),
    });
    let entries = |count: u64| {
        if count == 1 {
            "1 entry".to_owned()
        } else {
            format!("{count} entries")
        }
    };
    let mut text = match (summary.first, summary.last) {
        (Some(first), Some(last)) => {
            format!("appended {} ({first} to {last})", entries(summary.appended))
        }
        _ => "appended nothing".to_owned(),
    };
    if summary.known > 0 {
        text.push_str(&format!(", {} were there before", entries(summary.known)));
    }
    if summary.appended > 0 {
        text.push_str("; ");
        text.push_str(stage::text(stage));
    }
    if let (Some(dir), Some(Some(count))) = (&args.receipts, receipts) {
        let what = if *count == 1 { "receipt" } else { "receipts" };
        text.push_str(&format!("; {count} {what} in {}", dir.display()));
    }
    context.out.result(&text, &json)?;
    for item in &summary.rejected {
        context
            .out
            .say(format!("refused: {}: {}", item.label, item.why));
    }
    if summary.rejected_count > 0 {
        let mut why = format!("{} refused", entries(summary.rejected_count));
        if summary.stopped {
            why.push_str("; nothing after the first one was appended");
        }
        let hint = match (args.dedupe, summary.stopped) {
            (true, _) => "mend the input and run the same command again: nothing is appended twice",
            (false, true) => {
                "what came before is appended: append the rest, or use --dedupe to run a command again safely"
            }
            (false, false) => {
                "everything else is appended: mend what was refused and append it alone"
            }
        };
        return Err(Failure::new(Code::Partial, why).hint(hint));
    }
    if !stage::reaches(stage, args.wait) && summary.places.end() > 0 {
        let why = format!(
            "not as far as was asked: the entries are {}",
            stage::text(stage)
        );
        return Err(Failure::new(Code::QuorumNotMet, why)
            .hint("do not append them again; `belfry status` shows whether the ledger stopped"));
    }
    if let Some(last) = summary
        .last
        .filter(|_| stage >= Stage::Signed && args.receipts.is_none())
    {
        context.out.say(format!(
            "next: belfry ledger prove {last} --out entry-{last}.tlog-proof"
        ));
    }
    Ok(())
}
