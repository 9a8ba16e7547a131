//! `belfry append`: turns whatever the input is into lines of JSON and hands them to the ledger, here or in a running
//! node; both go through the same pipeline.

use super::args::{AppendArgs, OnErrorArg, Wait};
use super::context::Context;
use super::control::Control;
use super::wait::{self, Condition};
use crate::clock;
use crate::exit::{Code, Failure};
use crate::ingest::files::{self, Options, Unreadable};
use crate::ingest::pipeline::{self, OnError, Plan};
use crate::ingest::{Rejected, Summary};
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::{Draft, Visibility};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long `--wait` waits for towers; the entries are durable by then, whatever happens.
const STAGE_PATIENCE: Duration = Duration::from_secs(60);

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
    context.config(&BTreeMap::new())?;
    let input = open(args)?;
    let draft = template(args, &input);
    if let Err(error) = draft.check() {
        return Err(Failure::new(Code::Usage, error.to_string()));
    }
    if context.global.dry_run {
        let count = input
            .length
            .map_or_else(|| "lines".to_owned(), |length| format!("{length} files"));
        let text = format!("would append {count} of {} as {}", input.source, draft.kind);
        return context.out.result(
            &text,
            &json!({ "dry_run": true, "items": input.length, "kind": draft.kind }),
        );
    }
    let bar = context.out.progress(input.length, "entries");
    let (mut summary, mut signed) = match Control::find(&context.layout) {
        Some(control) => remote(&control, args, &draft, input.lines, &bar)?,
        None => local(context, args, draft, input.lines, &bar)?,
    };
    let acked = await_stage(context, args, &summary, &mut signed)?;
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
    report(context, args, &summary, (signed, acked))
}

/// Waits for the stage that was asked for; only a member of a federation has more to wait for than a commit.
fn await_stage(
    context: &Context,
    args: &AppendArgs,
    summary: &Summary,
    signed: &mut u64,
) -> Result<bool, Failure> {
    let (Some(last), true) = (summary.last, context.layout.genesis().exists()) else {
        return Ok(false);
    };
    let condition = match args.wait {
        Wait::Durable => return Ok(false),
        Wait::Signed => Condition::Signed(last + 1),
        Wait::Acked => Condition::Acked(last + 1),
    };
    let status = wait::until(context, condition, STAGE_PATIENCE)?;
    let size = status.get("signed_size").and_then(Value::as_u64);
    *signed = size.unwrap_or(0).max(*signed);
    Ok(args.wait == Wait::Acked)
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
    let node = context.open(&BTreeMap::new())?;
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

fn remote(
    control: &Control,
    args: &AppendArgs,
    draft: &Draft,
    lines: Box<dyn Read + Send>,
    bar: &ProgressBar,
) -> Result<(Summary, u64), Failure> {
    let mut query = vec![
        ("kind", draft.kind.clone()),
        ("source", draft.source.clone()),
    ];
    query.extend(draft.tenant.clone().map(|tenant| ("tenant", tenant)));
    query.extend(draft.visibility.map(|visibility| {
        (
            "visibility",
            if visibility == Visibility::Private {
                "private"
            } else {
                "public"
            }
            .to_owned(),
        )
    }));
    query.push(("envelope", args.envelope.to_string()));
    query.push(("dedupe", args.dedupe.to_string()));
    query.push((
        "on_error",
        if args.on_error == OnErrorArg::Stop {
            "stop"
        } else {
            "continue"
        }
        .to_owned(),
    ));
    let query: Vec<String> = query
        .into_iter()
        .map(|(key, value)| format!("{key}={}", percent(&value)))
        .collect();
    bar.tick();
    let answer = control.post(&format!("/api/v1/entries?{}", query.join("&")), lines)?;
    let number = |key: &str| answer.get(key).and_then(Value::as_u64);
    let rejected = answer
        .get("rejected")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let summary = Summary {
        appended: number("appended").unwrap_or(0),
        known: number("known").unwrap_or(0),
        first: number("first"),
        last: number("last"),
        rejected: rejected
            .map(|item| {
                let text = |key: &str| {
                    item.get(key)
                        .and_then(Value::as_str)
                        .unwrap_or("?")
                        .to_owned()
                };
                Rejected {
                    label: text("item"),
                    why: text("why"),
                }
            })
            .collect(),
        rejected_count: number("rejected_count").unwrap_or(0),
        stopped: answer
            .get("stopped")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    };
    Ok((summary, number("signed_size").unwrap_or(0)))
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3).
fn percent(text: &str) -> String {
    let keep = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| {
            if keep(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn report(
    context: &Context,
    args: &AppendArgs,
    summary: &Summary,
    (signed, acked): (u64, bool),
) -> Result<(), Failure> {
    let covered = summary.last.is_none_or(|last| signed > last);
    let json = json!({
        "appended": summary.appended, "known": summary.known, "first": summary.first, "last": summary.last,
        "rejected_count": summary.rejected_count, "stopped": summary.stopped, "signed_size": signed,
        "stage": if acked { "acked" } else if covered { "signed" } else { "durable" },
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
        text.push_str(if acked {
            "; durable, signed, and acknowledged by a quorum of towers"
        } else if covered {
            "; durable and signed"
        } else {
            "; durable, not signed"
        });
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
    if args.wait == Wait::Acked && !acked && summary.last.is_some() {
        return Err(Failure::new(
            Code::QuorumNotMet,
            "the entries are durable and no tower acknowledged them",
        )
        .hint("this node belongs to no federation; nobody can acknowledge its entries"));
    }
    if args.wait == Wait::Signed && !covered {
        return Err(Failure::new(Code::QuorumNotMet, "the entries are durable and no digest covers them").hint(
            "this node signs nothing until it belongs to a federation; set ledger.allow_solo to sign on its own",
        ));
    }
    if let Some(last) = summary.last.filter(|_| covered) {
        context.out.say(format!(
            "next: belfry ledger prove {last} --out entry-{last}.tlog-proof"
        ));
    }
    Ok(())
}
