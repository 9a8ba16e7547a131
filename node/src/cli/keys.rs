//! `belfry key …`: what keys there are, and their public halves for others.

use super::args::{KeyExportArgs, PurposeArg, RecoveryKeyArgs};
use super::context::{Context, key_failure};
use crate::clock;
use crate::exit::{Code, Failure};
use crate::key_state::{KeyState, line};
use belfry_keys::{Protection, RecoveryKey, fingerprint};
use belfry_protocol::genesis::recovery_key_hash;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) fn list(context: &Context) -> Result<(), Failure> {
    context.config(&BTreeMap::new())?;
    let keys = context.keys()?;
    let now_seconds = clock::now().wall_seconds();
    let state = KeyState::read(context.layout.dir(), keys.name(), now_seconds);
    let mut json = state.map_err(key_failure)?.json();
    let rows = [
        ("identity", keys.identity_verifier().clone()),
        ("log", keys.log_key().verifier().clone()),
        ("ack", keys.ack_key().verifier().clone()),
        ("mirror", keys.mirror_key().verifier().clone()),
        ("subtree", keys.subtree_key().verifier().clone()),
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
        // An ML-DSA-44 key has 1,800 characters: alone it can be read, in a table nothing can.
        let shown = match verifier.algorithm().signs_subtrees() {
            true => format!("ML-DSA-44: belfry key export --purpose {purpose}"),
            false => vkey.clone(),
        };
        table.add_row([purpose.to_owned(), fingerprint(&verifier), shown]);
        values.push(
            json!({ "purpose": purpose, "fingerprint": fingerprint(&verifier), "vkey": vkey }),
        );
    }
    let human = format!(
        "{table}\n\n{}\n\noperational keys: {}",
        serials(&json),
        line(&json).unwrap_or_default()
    );
    json["keys"] = values.into();
    context.out.result(&human, &json)
}

/// All serials, the newest last.
fn serials(keys: &Value) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header([
        "serial",
        "age",
        "ends",
        "digests from",
        "use",
    ]);
    for one in keys["serials"].as_array().into_iter().flatten() {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        table.add_row([
            one["serial"].to_string(),
            format!("{} days", one["age_days"]),
            text("not_after"),
            format!("{} entries", one["from_size"]),
            text("use"),
        ]);
    }
    table
}

pub(super) fn export(context: &Context, args: &KeyExportArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    if !args.private && args.purpose == PurposeArg::Log {
        let keys = context.log_verifiers()?;
        if args.every_serial {
            let all: Vec<String> = keys.all().map(ToString::to_string).collect();
            let json = json!({ "purpose": "log", "vkeys": all });
            return context.out.result(&all.join("\n"), &json);
        }
        let vkey = keys.newest().map(ToString::to_string).unwrap_or_default();
        return context
            .out
            .result(&vkey, &json!({ "purpose": "log", "vkey": vkey }));
    }
    if args.every_serial {
        return Err(
            Failure::new(Code::Usage, "--every-serial is for the log's keys")
                .hint("those of towers are in policies: belfry audit policy --every-serial"),
        );
    }
    let keys = context.keys()?;
    let signer = match args.purpose {
        PurposeArg::Log => keys.log_key(),
        PurposeArg::Ack => keys.ack_key(),
        PurposeArg::Mirror => keys.mirror_key(),
        PurposeArg::Subtree => keys.subtree_key(),
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

/// A key that belongs to no node: a person keeps it.
pub(super) fn recovery(context: &Context, args: &RecoveryKeyArgs) -> Result<(), Failure> {
    if context.global.dry_run && !args.show {
        let text = format!("would make a recovery key in {}", args.file.display());
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let key = match &args.name {
        None => RecoveryKey::open(&args.file, || context.passphrase(false))
            .map(|key| key.verifier().clone()),
        Some(name) => {
            let protection = match args.plain_keys {
                true => Protection::Plain,
                false => new_protection(context, "for the new key")?,
            };
            let now_seconds = clock::now().wall_seconds();
            RecoveryKey::create(&args.file, name, protection, now_seconds)
        }
    };
    let key = key.map_err(key_failure)?;
    let (vkey, hash) = (key.to_string(), recovery_key_hash(&key).to_hex());
    context.out.result(
        &vkey,
        &json!({ "vkey": vkey, "hash": hash, "file": args.file }),
    )?;
    context.out.say(format!(
        "manifests list it as {hash}\nnext: belfry genesis propose --recovery-key VKEY, or belfry genesis amend --recovery-key VKEY; keep the file offline"
    ));
    Ok(())
}

/// A new passphrase, which must come from somewhere.
pub(super) fn new_protection(context: &Context, what: &str) -> Result<Protection, Failure> {
    let passphrase = context.passphrase(true).map_err(key_failure)?;
    passphrase.map(Protection::Passphrase).ok_or_else(|| {
        Failure::new(Code::KeyUnavailable, format!("no passphrase {what}")).hint(
            "give one with --passphrase-file FILE, or choose unencrypted keys with --plain-keys",
        )
    })
}
