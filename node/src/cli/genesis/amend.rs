//! `genesis amend` and `genesis list`: a founded federation changes. What is proposed is printed from its own bytes. May not sign.

use super::super::args::AmendArgs;
use super::super::context::Context;
use super::super::control::Control;
use super::{ask, describe_vote, items, review, short, text};
use crate::ceremony::{AmendPlan, Wish};
use crate::exit::{Code, Failure};
use belfry_protocol::manifest::Manifest;
use serde_json::Value;

/// What the options ask for.
pub(super) fn plan(args: &AmendArgs) -> AmendPlan {
    AmendPlan {
        title: args.title.clone(),
        add: args.add,
        without: args.without.clone(),
        remove: args.remove.clone(),
        role: args.role.clone(),
        address: args.address.clone(),
        http: args.http.clone(),
        identity: args.identity.clone(),
        protocol: args.protocol,
        quorum: args.quorum,
        threshold: args.threshold,
        expires_days: args.expires_days,
        effective_in: args.effective_in,
        recovery_keys: args.recovery_keys.clone(),
        drop_recovery_keys: args.drop_recovery_keys.clone(),
    }
}

pub(super) fn amend(context: &Context, args: &AmendArgs) -> Result<(), Failure> {
    let plan = Box::new(plan(args));
    let dry_run = context.global.dry_run;
    let value = ask(context, &Wish::Amend { plan, dry_run })?;
    let manifest = Manifest::parse(text(&value, "file").as_bytes())
        .map_err(|error| Failure::new(Code::VerificationFailed, error.to_string()))?;
    context
        .out
        .result(&drafted(&value, &manifest).join("\n"), &value)?;
    let joiners = super::words(&value, "joiners");
    if !joiners.is_empty() {
        context.out.say(format!("they sign too: {joiners}"));
    }
    context.out.say(match dry_run {
        true => "nothing is proposed: the same without --dry-run proposes it".to_owned(),
        false => format!(
            "next: everybody reviews it (belfry genesis show {0}) and signs it (belfry genesis sign {0})",
            short(&manifest.hash().to_hex())
        ),
    });
    Ok(())
}

/// What a draft changes, what may go wrong with it, and its hash.
pub(super) fn drafted(value: &Value, manifest: &Manifest) -> Vec<String> {
    let lines = |key: &str| {
        let all = items(value, key).iter().filter_map(Value::as_str);
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut printed = lines("diff");
    let warnings = lines("warnings");
    printed.extend(warnings.into_iter().map(|one| format!("warning    {one}")));
    printed.extend(review::hash_lines(manifest));
    printed
}

/// Epochs and proposals.
pub(super) fn list(context: &Context) -> Result<(), Failure> {
    // A node that rests has its manifests all the same.
    if context.layout.genesis().exists() && Control::find(&context.layout).is_none() {
        return super::verify::own(context);
    }
    let value = ask(context, &Wish::Status)?;
    let mut lines: Vec<String> = items(&value, "epochs")
        .iter()
        .map(|one| {
            let newer = items(&value, "epochs").iter();
            let mut newer = newer
                .skip_while(|other| other["epoch"] != one["epoch"])
                .skip(1);
            let state = match (one["in_force"].as_bool(), one["effective"].as_str()) {
                (Some(true), _) if newer.any(|other| other["in_force"] == true) => {
                    "superseded".to_owned()
                }
                (Some(true), _) => "in force".to_owned(),
                (_, Some(at)) => format!("active, takes effect {at}"),
                _ => "active".to_owned(),
            };
            let recovered = match one["recovered"].as_bool() {
                Some(true) => ", RECOVERED by recovery keys",
                _ => "",
            };
            format!(
                "epoch {} {}  {} members, made {}: {state}{recovered}",
                one["epoch"],
                short(text(one, "manifest")),
                one["members"],
                text(one, "created"),
            )
        })
        .collect();
    let newest = items(&value, "epochs").last();
    let keys = newest.map_or(&[][..], |newest| items(newest, "recovery_keys"));
    let keys = keys.iter().filter_map(Value::as_str);
    lines.extend(keys.map(|hash| format!("recovery key {hash}")));
    for one in items(&value, "manifests") {
        lines.extend(describe_vote(one));
    }
    if lines.is_empty() {
        lines.push("nothing is proposed yet".to_owned());
    }
    context.out.result(&lines.join("\n"), &value)
}
