//! `belfry genesis …`, `belfry invite`, `belfry join`: founding a federation. The node does the work; what a human signs is read and
//! computed here again, from the manifest's own bytes.
//!
//! | file | commands |
//! |---|---|
//! | [`start`] | `genesis draft`, `join`: before the node runs |
//! | [`review`] | `genesis show` and `sign`: what a human sees |
//! | [`offline`] | `genesis sign-request`: a key without a network |
//! | [`qr_text`] | files as QR codes, for both |
//! | [`recovery`] | `genesis recovery …` |
//! | [`verify`] | `genesis verify` |
//! | [`invite`] | `invite` |
//! | [`amend`] | `genesis amend` and `list` |
//! | [`evidence`] | `genesis evidence` |

mod amend;
mod evidence;
mod invite;
mod offline;
mod qr_text;
mod recovery;
mod review;
mod start;
mod verify;

pub(super) use invite::run as invite;
pub(super) use start::join;

use super::args::{GenesisCommand, ImportArgs, ProposeArgs, RejectArgs, WhichArgs};
use super::context::Context;
use super::control::Control;
use crate::ceremony::Wish;
use crate::exit::{Code, Failure};
use serde_json::{Value, json};

pub(super) fn run(context: &Context, command: &GenesisCommand) -> Result<(), Failure> {
    match command {
        GenesisCommand::Draft(args) => start::draft(context, args),
        GenesisCommand::Status => status(context, &Wish::Status),
        GenesisCommand::Show(args) => review::show(context, args),
        GenesisCommand::Propose(args) => propose(context, args),
        GenesisCommand::Amend(args) => amend::amend(context, args),
        GenesisCommand::List => amend::list(context),
        GenesisCommand::Diff(args) => review::diff(context, args),
        GenesisCommand::Sign(args) => review::sign(context, args),
        GenesisCommand::Reject(args) => reject(context, args),
        GenesisCommand::Withdraw(args) => withdraw(context, args),
        GenesisCommand::Remind => {
            ask(context, &Wish::Remind).and_then(|value| shown(context, &value))
        }
        GenesisCommand::Verify(args) => verify::run(context, args),
        GenesisCommand::Export(args) => offline::export(context, args),
        GenesisCommand::SignRequest(args) => offline::sign(context, args),
        GenesisCommand::Import(args) => import(context, args),
        GenesisCommand::Evidence(args) => evidence::run(context, args),
        GenesisCommand::Recovery { command } => recovery::run(context, command),
    }
}

/// Asks the node that runs.
pub(super) fn ask(context: &Context, wish: &Wish) -> Result<Value, Failure> {
    let control = Control::find(&context.layout).ok_or_else(|| {
        let failure = Failure::new(Code::Unreachable, "no node runs on this directory");
        match context.layout.founding().exists() || context.layout.genesis().exists() {
            true => failure.hint("start it with `belfry run`"),
            false => failure.hint("begin a founding with `belfry genesis draft`, or join one with `belfry join TICKET`; then `belfry run`"),
        }
    })?;
    let body = serde_json::to_string(wish)
        .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    control.post_bytes("/control/genesis", body)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("?")
}

fn words(value: &Value, key: &str) -> String {
    let list = value.get(key).and_then(Value::as_array);
    let words = list.into_iter().flatten().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(", ")
}

fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The first eight digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

fn status(context: &Context, wish: &Wish) -> Result<(), Failure> {
    // Once it is founded and the node rests, the manifests say it all.
    let founded = context.layout.genesis().exists() && !context.layout.founding().exists();
    if founded && Control::find(&context.layout).is_none() {
        return verify::own(context);
    }
    shown(context, &ask(context, wish)?)
}

fn shown(context: &Context, value: &Value) -> Result<(), Failure> {
    context.out.result(&describe(value).join("\n"), value)?;
    context.out.say(next(value));
    Ok(())
}

fn describe(value: &Value) -> Vec<String> {
    if text(value, "state") == "active" {
        return vec![format!(
            "{} is founded: federation id {}",
            text(value, "federation"),
            text(value, "federation_id")
        )];
    }
    let mut lines = vec![match text(value, "state") {
        "member" => format!(
            "member of {}, federation id {}: epoch {} is in force",
            text(value, "federation"),
            text(value, "federation_id"),
            value
                .get("epoch_in_force")
                .and_then(Value::as_u64)
                .unwrap_or(0),
        ),
        "joining" => format!(
            "joining {}, federation id {}",
            text(value, "federation"),
            text(value, "joins")
        ),
        _ => format!(
            "founding of {}, lineage {}",
            text(value, "federation"),
            text(value, "lineage")
        ),
    }];
    if value.get("listed") == Some(&Value::Bool(false)) {
        lines.push("this node is no member of the newest epoch".to_owned());
    }
    if value.get("rebuilding") == Some(&Value::Bool(true)) {
        lines.push(
            "this directory was lost or restored: it casts no vote before its own are read back"
                .to_owned(),
        );
    }
    if let Some(why) = value.get("refusal").and_then(Value::as_str) {
        lines.push(format!("refused by whoever invited this node: {why}"));
    } else if let Some(welcome) = value.get("welcome").and_then(Value::as_str) {
        lines.push(format!("joined: {welcome}"));
    } else if value.get("joined_by_ticket") == Some(&Value::Bool(true)) {
        lines.push("waiting for whoever invited this node to answer".to_owned());
    }
    for one in items(value, "people") {
        let here = match one.get("connected") {
            Some(Value::Bool(true)) => "here",
            _ => "not connected",
        };
        lines.push(format!(
            "  {:<32} {:<16} {here}",
            text(one, "name"),
            text(one, "roles")
        ));
    }
    for one in items(value, "guests") {
        lines.push(format!(
            "  {:<32} {:<16} came with a ticket of this node",
            text(one, "name"),
            text(one, "roles")
        ));
    }
    for one in items(value, "manifests") {
        lines.push(String::new());
        lines.extend(describe_vote(one));
    }
    if value.get("unsigned").and_then(Value::as_u64).unwrap_or(0) > 0 {
        lines.push(
            "a vote of this node waits for its identity key: belfry genesis export".to_owned(),
        );
    }
    for one in items(value, "accused") {
        lines.push(format!("VOTED TWICE: {}", one.as_str().unwrap_or_default()));
    }
    lines
}

/// How the vote on one manifest stands.
fn describe_vote(one: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "proposal {} {:?} by {}: {}, round {}, opened {}",
        short(text(one, "manifest")),
        text(one, "title"),
        text(one, "proposer"),
        text(one, "state"),
        one.get("round").and_then(Value::as_u64).unwrap_or(0),
        text(one, "opened"),
    )];
    if let Some(recovery) = one.get("recovery").filter(|recovery| recovery.is_object()) {
        lines = recovery::describe(one, recovery);
    }
    let mut line = |key: &str, words: String| {
        if !words.is_empty() {
            lines.push(format!("  {key:<10} {words}"));
        }
    };
    if let Some(later) = one.get("later").and_then(Value::as_u64) {
        line(
            "later",
            format!(
                "round {later} was begun, too: belfry genesis sign --round {later} signs there"
            ),
        );
    }
    line("signed", words(one, "approved"));
    let (now, all) = (items(one, "in_round"), items(one, "approved"));
    let needed = one.get("needed").and_then(Value::as_u64).unwrap_or(0);
    if (now.len() as u64) < needed && now.len() < all.len() {
        let before = all.iter().filter(|name| !now.contains(name));
        let before: Vec<&str> = before.filter_map(Value::as_str).collect();
        let (before, count) = (before.join(", "), now.len());
        line(
            "sign again",
            format!("{before}: {count} signed in this round, and {needed} must"),
        );
    }
    for refusal in items(one, "refused") {
        let reason = text(refusal, "reason");
        line("refused", format!("{}: {reason:?}", text(refusal, "name")));
    }
    // Of a recovery nobody must vote: not giving way is an answer.
    if !one.get("recovery").is_some_and(Value::is_object) {
        line("silent", words(one, "silent"));
    }
    line("committed", words(one, "committed"));
    lines
}

/// The next command to run.
fn next(value: &Value) -> String {
    let manifests = items(value, "manifests");
    let me = text(value, "name");
    let silent = |one: &&Value| {
        items(one, "silent")
            .iter()
            .any(|name| name.as_str() == Some(me))
    };
    let yielded = |one: &Value| {
        let mut names = items(&one["recovery"], "yielded").iter();
        names.any(|name| name.as_str() == Some(me))
    };
    let is_recovery = |one: &&Value| one["recovery"].is_object() && !yielded(one);
    if let Some(one) = manifests.iter().find(is_recovery) {
        return format!(
            "next: belfry genesis show {}: a recovery is under way, and ask who signed it why",
            short(text(one, "manifest"))
        );
    }
    if value.get("unsigned").and_then(Value::as_u64).unwrap_or(0) > 0 {
        return "next: belfry genesis export > request.json".to_owned();
    }
    let open = manifests.iter().filter(|one| text(one, "state") == "open");
    let again = |one: &&Value| {
        let of = |key: &str| {
            let mut names = items(one, key).iter();
            names.any(|name| name.as_str() == Some(me))
        };
        let needed = one.get("needed").and_then(Value::as_u64).unwrap_or(0);
        of("approved") && !of("in_round") && (items(one, "in_round").len() as u64) < needed
    };
    if let Some(one) = open.clone().find(again) {
        return format!(
            "next: belfry genesis sign {}, again: this is a later round",
            short(text(one, "manifest"))
        );
    }
    match (open.clone().find(silent), manifests.first()) {
        (Some(one), _) => format!("next: belfry genesis show {}", short(text(one, "manifest"))),
        (None, Some(_))
            if manifests
                .iter()
                .any(|one| text(one, "state") != "withdrawn") =>
        {
            "next: belfry genesis remind".to_owned()
        }
        (None, _) if text(value, "state") == "member" => {
            "next: belfry genesis amend, to change anything".to_owned()
        }
        (None, _) if value.get("refusal").is_some_and(Value::is_string) => {
            "next: stop this node, move founding.json away, and belfry join NEWTICKET".to_owned()
        }
        (None, _) if value.get("joined_by_ticket") == Some(&Value::Bool(true)) => {
            "next: wait for a proposal; belfry genesis status shows it".to_owned()
        }
        (None, _) => {
            "next: belfry invite, and when all have come: belfry genesis propose".to_owned()
        }
    }
}

fn propose(context: &Context, args: &ProposeArgs) -> Result<(), Failure> {
    let dry_run = context.global.dry_run;
    let value = ask(
        context,
        &Wish::Propose {
            title: args.title.clone(),
            quorum: args.quorum,
            threshold: args.threshold,
            without: args.without.clone(),
            again: args.again.clone(),
            recovery_keys: args.recovery_keys.clone(),
            dry_run,
        },
    )?;
    let hash = text(&value, "shown");
    if dry_run {
        let text = format!("would propose manifest {hash}");
        return context.out.result(&text, &value);
    }
    context
        .out
        .result(&format!("proposed manifest {hash}"), &value)?;
    context.out.say(format!(
        "next: everybody reviews it (belfry genesis show {0}) and signs it (belfry genesis sign {0})",
        short(hash)
    ));
    Ok(())
}

/// The hash that is meant, whole: what follows is about exactly that manifest.
fn whole(context: &Context, digits: Option<&String>) -> Result<(String, Value), Failure> {
    let manifest = digits.cloned();
    let shown = ask(context, &Wish::Show { manifest })?;
    Ok((text(&shown, "shown").to_owned(), shown))
}

fn reject(context: &Context, args: &RejectArgs) -> Result<(), Failure> {
    let (manifest, _) = whole(context, args.manifest.as_ref())?;
    if context.global.dry_run {
        let text = format!("would refuse manifest {manifest}");
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let reason = args.reason.clone();
    let value = ask(context, &Wish::Reject { manifest, reason })?;
    let hash = text(&value, "shown");
    context.out.result(
        &format!("refused manifest {hash}; everybody sees the reason"),
        &value,
    )
}

fn withdraw(context: &Context, args: &WhichArgs) -> Result<(), Failure> {
    let (manifest, _) = whole(context, args.manifest.as_ref())?;
    if context.global.dry_run {
        let text = format!("would take back manifest {manifest}");
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let value = ask(context, &Wish::Withdraw { manifest })?;
    let hash = text(&value, "shown");
    context
        .out
        .result(&format!("took back manifest {hash}"), &value)
}

fn import(context: &Context, args: &ImportArgs) -> Result<(), Failure> {
    let file = offline::read(&args.file)?;
    if file.contains(offline::REQUEST_FORMAT) {
        return Err(
            Failure::new(Code::Usage, "this is the request, not the vote")
                .hint("sign it where the identity key is: belfry genesis sign-request > vote.json"),
        );
    }
    let is_record = file.contains(belfry_protocol::genesis::ceremony::record::RECORD_FORMAT);
    if context.global.dry_run {
        let what = match is_record {
            true => "would take the votes of the other directory; they would bind here",
            false => "would take this node's vote",
        };
        return context
            .out
            .result(what, &json!({ "dry_run": true, "file": args.file }));
    }
    if is_record {
        let value = ask(context, &Wish::ImportRecord { record: file })?;
        let text = "took the votes of the other directory; they bind here";
        return context.out.result(text, &value);
    }
    let value = ask(context, &Wish::Import { vote: file })?;
    let hash = text(&value, "shown");
    context
        .out
        .result(&format!("took this node's vote on manifest {hash}"), &value)
}
