//! `belfry forks …`: proofs that somebody signed what cannot both be true. Read from the directory, so that they can be had
//! while no node runs.

use super::args::{ForkArgs, ForkExportArgs, ForksCommand};
use super::context::Context;
use crate::exit::{Code, Failure};
use crate::forks::{self, KeptFork, KeptOdd};
use serde_json::{Value, json};
use std::path::Path;

/// Characters of an id in a list.
const SHOWN_ID: usize = 12;

pub(super) fn run(context: &Context, command: &ForksCommand) -> Result<(), Failure> {
    match command {
        ForksCommand::List => list(context),
        ForksCommand::Show(args) => show(context, args),
        ForksCommand::Export(args) => export(context, args),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let reader = context.reader()?;
    let (all, odd) = (forks::list(&reader)?, forks::odd(&reader)?);
    let json: Vec<Value> = all.iter().map(KeptFork::to_json).collect();
    let odd_json: Vec<Value> = odd.iter().map(KeptOdd::to_json).collect();
    let json = json!({ "forks": json, "odd_digests": odd_json });
    let proven = all
        .iter()
        .map(|fork| format!("{}  {}", &fork.id[..SHOWN_ID], fork.sentence()));
    let odd = odd
        .iter()
        .map(|odd| format!("{}  {}", &odd.id[..SHOWN_ID], odd.sentence()));
    let mut lines: Vec<String> = proven.chain(odd).collect();
    if all.is_empty() {
        lines.push("this node knows of no fork".to_owned());
        return context.out.result(&lines.join("\n"), &json);
    }
    context.out.result(&lines.join("\n"), &json)?;
    Err(Failure::new(Code::Fork, "a fork is proven").hint(format!(
        "belfry forks export {} --out fork.json",
        &all[0].id[..SHOWN_ID]
    )))
}

fn show(context: &Context, args: &ForkArgs) -> Result<(), Failure> {
    if let Some(odd) = forks::find_odd(&context.reader()?, args.id.as_deref())? {
        let text = format!(
            "id        {}\nledger    {}\nseen      {}\nsays      {}; it is not acknowledged, and proves nothing by itself\n{}",
            odd.id,
            odd.origin,
            odd.seen,
            odd.sentence(),
            odd.note.trim_end(),
        );
        return context.out.result(&text, &odd.to_json());
    }
    let fork = forks::find(&context.reader()?, args.id.as_deref())?;
    let proof: Value = serde_json::from_str(&fork.file).unwrap_or(Value::Null);
    let note = |which: &str| {
        let text = proof.get(which).and_then(Value::as_str).unwrap_or_default();
        text.lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    };
    let mut json = fork.to_json();
    if let Value::Object(fields) = &mut json {
        fields.insert("proof".to_owned(), proof.clone());
    }
    let consequence = match fork.kind {
        "tower" => "its acknowledgements do not count any more",
        _ => "nothing of this ledger is acknowledged any more",
    };
    context.out.result(
        &format!(
            "id        {}\ntype      {}\naccused   {}\nledger    {}\nseen      {}\nproves    {}; {consequence}\none\n{}the other\n{}",
            fork.id,
            fork.kind,
            fork.accused,
            fork.origin,
            fork.seen,
            fork.sentence(),
            note("smaller"),
            note("larger").trim_end(),
        ),
        &json,
    )?;
    context.out.say(format!(
        "next: belfry forks export {} --out fork.json",
        &fork.id[..SHOWN_ID]
    ));
    Ok(())
}

fn export(context: &Context, args: &ForkExportArgs) -> Result<(), Failure> {
    let reader = context.reader()?;
    if let Some(odd) = forks::find_odd(&reader, args.id.as_deref())? {
        let what = format!("the digest that {} signed", odd.origin);
        return written(context, args.out.as_deref(), (&odd.id, &odd.note), &what).map(drop);
    }
    let fork = forks::find(&reader, args.id.as_deref())?;
    let what = format!("the proof against {}", fork.accused);
    let path = written(context, args.out.as_deref(), (&fork.id, &fork.file), &what)?;
    if let Some(path) = path {
        context.out.say(format!(
            "next: belfry audit verify {} --genesis {}",
            path.display(),
            context.layout.genesis().display()
        ));
    }
    Ok(())
}

/// Writes a file and says so; returns where it was written.
fn written<'a>(
    context: &Context,
    path: Option<&'a Path>,
    (id, file): (&str, &str),
    what: &str,
) -> Result<Option<&'a Path>, Failure> {
    let Some(path) = path else {
        // A proof is its own JSON, a note its own text.
        return context.out.line(file.trim_end()).map(|()| None);
    };
    let dry_run = context.global.dry_run;
    let json = json!({ "id": id, "file": path, "dry_run": dry_run });
    let did = if dry_run { "would write" } else { "wrote" };
    if !dry_run {
        std::fs::write(path, file).map_err(|error| {
            Failure::new(
                Code::Io,
                format!("cannot write {}: {error}", path.display()),
            )
        })?;
    }
    let text = format!("{did} {what} to {}", path.display());
    context.out.result(&text, &json)?;
    Ok((!dry_run).then_some(path))
}
