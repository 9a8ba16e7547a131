//! `belfry key …`: what keys there are, and their public halves for others.

use super::args::{KeyExportArgs, PurposeArg};
use super::context::Context;
use crate::clock;
use crate::exit::{Code, Failure};
use belfry_keys::{RotationLevel, fingerprint};
use serde_json::json;
use std::collections::BTreeMap;

pub(super) fn list(context: &Context) -> Result<(), Failure> {
    context.config(&BTreeMap::new())?;
    let keys = context.keys()?;
    let state = keys.rotation_state(u64::try_from(clock::wall().seconds()).unwrap_or(0));
    let level = match state.level {
        RotationLevel::Ok => "ok",
        RotationLevel::Warning => "warning",
        RotationLevel::Critical => "critical",
        RotationLevel::Expired => "expired",
    };
    let rows = [
        ("identity", keys.identity_verifier().clone()),
        ("log", keys.log_key().verifier().clone()),
        ("ack", keys.ack_key().verifier().clone()),
        ("mirror", keys.mirror_key().verifier().clone()),
    ];
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header([
        "purpose",
        "fingerprint",
        "verifier key",
    ]);
    let mut values = Vec::new();
    for (purpose, verifier) in rows {
        let vkey = verifier.to_string();
        table.add_row([purpose.to_owned(), fingerprint(&verifier), vkey.clone()]);
        values.push(
            json!({ "purpose": purpose, "fingerprint": fingerprint(&verifier), "vkey": vkey }),
        );
    }
    let human = format!(
        "{table}\noperational keys: serial {}, {} days left ({})",
        keys.current().serial(),
        state.days_left,
        level
    );
    let json = json!({
        "keys": values, "serial": keys.current().serial(), "days_left": state.days_left, "state": level,
    });
    context.out.result(&human, &json)
}

pub(super) fn export(context: &Context, args: &KeyExportArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    if !args.private && args.purpose == PurposeArg::Log {
        let keys = context.log_verifiers()?;
        let vkey = keys.newest().map(ToString::to_string).unwrap_or_default();
        return context
            .out
            .result(&vkey, &json!({ "purpose": "log", "vkey": vkey }));
    }
    let keys = context.keys()?;
    let signer = match args.purpose {
        PurposeArg::Log => keys.log_key(),
        PurposeArg::Ack => keys.ack_key(),
        PurposeArg::Mirror => keys.mirror_key(),
        PurposeArg::Identity if args.private => {
            return Err(Failure::new(
                Code::Usage,
                "the identity key cannot be exported as a note key",
            )
            .hint("copy its file from keys/ to where it shall be kept"));
        }
        PurposeArg::Identity => {
            let vkey = keys.identity_verifier().to_string();
            return context
                .out
                .result(&vkey, &json!({ "purpose": "identity", "vkey": vkey }));
        }
    };
    if !args.private {
        let vkey = signer.verifier().to_string();
        return context.out.result(&vkey, &json!({ "vkey": vkey }));
    }
    if args.confirm.as_deref() != Some(config.name.as_str()) {
        return Err(
            Failure::new(Code::Usage, "a private key was asked for and not confirmed")
                .hint(format!("pass --confirm {}", config.name)),
        );
    }
    let text = signer.export();
    context
        .out
        .result(&text, &json!({ "private": text.as_str() }))?;
    context.out.say("Whoever has this key can sign in this node's name. A second signer of one ledger is a fork.");
    Ok(())
}
