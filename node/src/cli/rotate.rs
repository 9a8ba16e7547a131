//! `belfry key rotate` and `belfry key revoke`: new operational keys, and older ones withdrawn (R6). Whoever asks shows the passphrase; the node that runs makes the keys, because
//! only it knows which sizes the older ones signed.

use super::args::{ReasonArg, RevokeArgs, RotateArgs};
use super::context::{Context, key_failure};
use super::control::Control;
use super::last_resort::confirm;
use crate::clock::shown_seconds;
use crate::exit::{Code, Failure};
use crate::member::Renewed;
use belfry_keys::{KeyDir, NodeKeys};
use belfry_protocol::cert::Reason;
use belfry_protocol::note::SignedNote;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The keys, and the passphrase that opened them if they are encrypted.
pub(super) fn unlock(context: &Context) -> Result<(NodeKeys, Option<SecretString>), Failure> {
    let given = RefCell::new(None);
    let keys = KeyDir::open(context.layout.dir(), || {
        let passphrase = context.passphrase(false)?;
        given.borrow_mut().clone_from(&passphrase);
        Ok(passphrase)
    })
    .map_err(key_failure)?;
    if keys.identity_key().is_none() {
        return Err(Failure::new(
            Code::KeyUnavailable,
            format!("the identity key is not in {}", keys.dir().display()),
        )
        .hint("it certifies and revokes: put its file into keys/, run this again, and take it away again"));
    }
    Ok((keys, given.into_inner()))
}

/// What the control socket is sent: the passphrase goes to the node's own process and nowhere else.
pub(super) fn body_with(passphrase: Option<&SecretString>, mut body: Value) -> String {
    body["passphrase"] = json!(passphrase.map(ExposeSecret::expose_secret));
    body.to_string()
}

pub(super) fn run(context: &Context, args: &RotateArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    let (keys, passphrase) = unlock(context)?;
    let serial = keys.current().serial();
    if context.global.dry_run {
        let text = format!(
            "would make the keys of serial {}; those of serial {serial} would sign beside them for 14 days",
            serial + 1
        );
        return context
            .out
            .result(&text, &json!({ "dry_run": true, "serial": serial + 1 }));
    }
    let value = match Control::find(&context.layout) {
        Some(control) => {
            let body = body_with(passphrase.as_ref(), json!({ "early": args.early }));
            control.post_bytes("/control/keys/rotate", body)?
        }
        None => {
            let node = context.open_alone()?;
            let renewed = node.renewer().rotate(args.early, || Ok(keys));
            // The step that tells of the certificate is taken before the node closes.
            node.close();
            describe(&renewed?)
        }
    };
    context.out.result(&text(&config.name, &value), &value)?;
    if config.submit_policy.is_some() {
        context.out.say(format!(
            "Foreign witnesses know the older log key, which signs until {}. Send their operators the new one, and add this line \
             to the policy of witness.submit_policy:\nlog {}",
            plain(&value, "both_until"),
            plain(&value, "log")
        ));
    }
    context.out.say(
        "next: `belfry key list`, a backup of keys/, and `belfry audit policy` for whoever verifies receipts",
    );
    Ok(())
}

/// Withdraws an older serial.
pub(super) fn revoke(context: &Context, args: &RevokeArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    let (keys, passphrase) = unlock(context)?;
    let (serial, newest) = (args.serial, keys.current().serial());
    if serial == 0 || serial >= newest {
        let text = match serial == newest {
            true => format!("serial {serial} is the newest, and in use"),
            false => format!("there is no serial {serial}: the newest is {newest}"),
        };
        return Err(Failure::new(Code::Usage, text)
            .hint("rotate first (`belfry key rotate`), then revoke the serial before; `belfry key list` shows all"));
    }
    let reason = match args.reason {
        ReasonArg::Compromised => Reason::Compromised,
        ReasonArg::Lost => Reason::Lost,
        ReasonArg::Superseded => Reason::Superseded,
        ReasonArg::Retired => Reason::Retired,
    };
    if context.global.dry_run {
        let text = format!("would revoke serial {serial} of {} ({reason})", config.name);
        return context
            .out
            .result(&text, &json!({ "dry_run": true, "serial": serial }));
    }
    let loss = format!(
        "Serial {serial} signs nothing any more, and receipts that rest on it alone stop verifying under new policies."
    );
    confirm(context, &config.name, args.confirm.as_deref(), &loss)?;
    let value = match Control::find(&context.layout) {
        Some(control) => {
            let asked = json!({ "serial": serial, "reason": reason.as_str() });
            let body = body_with(passphrase.as_ref(), asked);
            control.post_bytes("/control/keys/revoke", body)?
        }
        None => {
            let node = context.open_alone()?;
            let note = node.revoke(serial, reason, || Ok(keys));
            node.close();
            describe_revocation(serial, reason, &note?)
        }
    };
    let text = format!(
        "serial {serial} of {} is revoked ({reason}); for each ledger it acts once its entry there is acknowledged without it",
        config.name
    );
    context.out.result(&text, &value)?;
    context
        .out
        .say("next: `belfry status` shows for which ledgers it acts; then give out policies again: `belfry audit policy`");
    Ok(())
}

/// What came of a revocation.
pub(crate) fn describe_revocation(serial: u64, reason: Reason, note: &SignedNote) -> Value {
    json!({ "serial": serial, "reason": reason.as_str(), "note": note.to_string() })
}

/// What came of a rotation.
pub(crate) fn describe(renewed: &Renewed) -> Value {
    json!({
        "serial": renewed.serial, "from_size": renewed.from_size, "log": renewed.log,
        "not_after": shown_seconds(renewed.not_after_seconds), "not_after_seconds": renewed.not_after_seconds,
        "both_until": shown_seconds(renewed.both_until_seconds), "both_until_seconds": renewed.both_until_seconds,
    })
}

fn plain(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn text(name: &str, value: &Value) -> String {
    let before = value["serial"].as_u64().unwrap_or(1).saturating_sub(1);
    format!(
        "{name} signs with keys of serial {} until {}; its log key signs digests of {} entries and more\n\
         serial {before} signs beside it until {}",
        plain(value, "serial"),
        plain(value, "not_after"),
        plain(value, "from_size"),
        plain(value, "both_until"),
    )
}
