//! `genesis recovery …`: a manifest that recovery keys sign, because too few members are left to amend (R14). A survivor's node drafts
//! it, holders sign it offline, and members give way or do not. May not sign what was not reviewed.

use super::super::args::{
    RecoveryCommand, RecoveryDraftArgs, RecoverySendArgs, RecoverySignArgs, YieldArgs,
};
use super::super::context::{Context, key_failure};
use super::super::last_resort::confirm;
use super::{amend, ask, offline, review, short, text, words};
use crate::ceremony::Wish;
use crate::clock;
use crate::exit::{Code, Failure};
use belfry_keys::RecoveryKey;
use belfry_protocol::genesis::{Election, GenesisError, Recovery, Strict, Verifier};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::tlog::hash::Hash;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const REQUEST_FORMAT: &str = "belfry-genesis-recovery-request/v1";

pub(super) fn run(context: &Context, command: &RecoveryCommand) -> Result<(), Failure> {
    match command {
        RecoveryCommand::Draft(args) => draft(context, args),
        RecoveryCommand::Sign(args) => sign(context, args),
        RecoveryCommand::Send(args) => send(context, args),
        RecoveryCommand::Yield(args) => give_way(context, args),
    }
}

/// What travels between a survivor and the holders of recovery keys.
struct Request {
    /// Of which federation.
    id: Hash,
    base: Manifest,
    manifest: Manifest,
    /// What holders signed so far.
    signed: Option<Recovery>,
}

impl Request {
    fn read(path: &Path) -> Result<Self, Failure> {
        let refused = |why: &dyn std::fmt::Display| {
            Failure::new(
                Code::VerificationFailed,
                format!("{}: {why}", path.display()),
            )
            .hint("make it again with `belfry genesis recovery draft` on a survivor's node")
        };
        let request: Value = serde_json::from_str(&offline::read(path)?)
            .map_err(|_| refused(&"it is no request for recovery keys"))?;
        if text(&request, "format") != REQUEST_FORMAT {
            return Err(refused(&"it is no request for recovery keys"));
        }
        let manifest = Manifest::parse(text(&request, "manifest").as_bytes());
        let manifest = manifest.map_err(|error| refused(&error))?;
        let base = review::base_of(&manifest, request.get("base").and_then(Value::as_str))?;
        let base = base.ok_or_else(|| refused(&"nothing can be recovered before epoch 0"))?;
        let id = Hash::from_hex(text(&request, "federation"))
            .ok_or_else(|| refused(&"it names no federation id"))?;
        if base.epoch == 0 && base.hash() != id {
            return Err(refused(&"its federation id is not that of its epoch 0"));
        }
        let signed = request.get("recovery").and_then(Value::as_str);
        let signed = signed.map(|file| Recovery::parse(file.as_bytes()));
        let signed = signed.transpose().map_err(|error| refused(&error))?;
        if signed.as_ref().is_some_and(|one| one.manifest != manifest) {
            return Err(refused(&"what was signed is another manifest"));
        }
        Ok(Self {
            id,
            base,
            manifest,
            signed,
        })
    }

    fn to_value(&self) -> Value {
        json!({
            "format": REQUEST_FORMAT, "federation": self.id.to_hex(), "base": self.base.to_json(),
            "manifest": self.manifest.to_json(), "recovery": self.signed.as_ref().map(Recovery::to_json),
        })
    }
}

fn failed(error: &GenesisError) -> Failure {
    Failure::new(Code::VerificationFailed, error.to_string())
}

fn draft(context: &Context, args: &RecoveryDraftArgs) -> Result<(), Failure> {
    let value = match &args.manifest {
        Some(_) => ask(
            context,
            &Wish::Show {
                manifest: args.manifest.clone(),
            },
        )?,
        None => {
            let mut plan = Box::new(amend::plan(&args.changes));
            plan.drop_recovery_keys.extend(args.keys.iter().cloned());
            let dry_run = true;
            ask(context, &Wish::Amend { plan, dry_run })?
        }
    };
    let parse = |key: &str| {
        Manifest::parse(text(&value, key).as_bytes())
            .map_err(|error| Failure::new(Code::VerificationFailed, error.to_string()))
    };
    let (manifest, base) = (parse("file")?, parse("base")?);
    let needed = Recovery::needed(&base);
    let keys: BTreeSet<&String> = args.keys.iter().collect();
    if keys.len() < args.keys.len() {
        return Err(Failure::new(Code::Usage, "a key is given twice with --key"));
    }
    if args.keys.len() < needed {
        return Err(Failure::new(
            Code::Usage,
            format!(
                "epoch {} lists {} recovery keys, so {needed} must sign",
                base.epoch,
                base.recovery_keys.len()
            ),
        )
        .hint("name each with --key VKEY: `belfry key recovery FILE --show` prints it"));
    }
    let id = Hash::from_hex(text(&value, "federation_id"))
        .ok_or_else(|| Failure::new(Code::Failed, "the node named no federation"))?;
    context
        .out
        .say(amend::drafted(&value, &manifest).join("\n"));
    let request = Request {
        id,
        base,
        manifest,
        signed: None,
    };
    offline::print(context, &request.to_value().to_string(), args.qr)?;
    context.out.say(format!(
        "next, where each of {needed} recovery keys is: belfry genesis recovery sign request.json --key FILE > signed.json"
    ));
    Ok(())
}

fn sign(context: &Context, args: &RecoverySignArgs) -> Result<(), Failure> {
    let request = Request::read(&args.request)?;
    let key = RecoveryKey::open(&args.key, || context.passphrase(false)).map_err(key_failure)?;
    let election = Election::amending(request.id, &request.base);
    let (manifest, earlier) = (&request.manifest, request.signed.as_ref());
    let made =
        Recovery::signed_by(&key, &election, manifest, earlier).map_err(|error| failed(&error))?;
    let named = format!(
        "federation {}: compare it with one from somewhere you trust\nby         {}",
        request.id,
        key.verifier().name()
    );
    let about = review::About {
        manifest,
        base: Some(&request.base),
        by_recovery_keys: true,
    };
    let expected = review::review(context, &about, &[named]);
    if context.global.dry_run {
        review::typed_right(args.confirm.as_deref(), &expected)?;
        let text = format!("would sign manifest {}", manifest.hash());
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let loss = format!(
        "Recovery key {} signs manifest {} of federation {}. It works once, and everybody sees for ever that it was used.",
        key.verifier().name(),
        manifest.hash(),
        request.id
    );
    confirm(context, &expected, args.confirm.as_deref(), &loss)?;
    let (have, needed) = (made.keys.len(), Recovery::needed(&request.base));
    let request = Request {
        signed: Some(made),
        ..request
    };
    offline::print(context, &request.to_value().to_string(), args.qr)?;
    context.out.say(match have >= needed {
        true => "next, on a survivor's node: belfry genesis recovery send signed.json".to_owned(),
        false => format!(
            "{have} of the {needed} recovery keys that are needed have signed; next: the same with what this printed, where another key is"
        ),
    });
    Ok(())
}

fn send(context: &Context, args: &RecoverySendArgs) -> Result<(), Failure> {
    let request = Request::read(&args.request)?;
    let hash = request.manifest.hash().to_hex();
    let signed = request.signed.as_ref().ok_or_else(|| {
        Failure::new(Code::VerificationFailed, "no recovery key has signed it")
            .hint("sign it first: belfry genesis recovery sign")
    })?;
    let election = Election::amending(request.id, &request.base);
    signed
        .verify_keys(&election, &mut Verifier::new(Strict))
        .map_err(|error| failed(&error))?;
    if context.global.dry_run {
        let text = format!("would tell everybody of recovery manifest {hash}");
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let recovery = signed.to_json();
    let value = ask(context, &Wish::Recover { recovery })?;
    context.out.result(
        &format!("told everybody of recovery manifest {hash}"),
        &value,
    )?;
    context.out.say(format!(
        "next, 72 hours after each member saw it: belfry genesis recovery yield {0}; who joins: belfry genesis sign {0}",
        short(&hash)
    ));
    Ok(())
}

fn give_way(context: &Context, args: &YieldArgs) -> Result<(), Failure> {
    let reviewed =
        review::fetch_confirmed(context, args.manifest.as_ref(), args.confirm.as_deref())?;
    if !reviewed.by_recovery_keys() {
        return Err(Failure::new(
            Code::Usage,
            format!("manifest {} is not signed by recovery keys", reviewed.hash),
        )
        .hint("members vote on it: belfry genesis sign"));
    }
    let votes = super::describe_vote(&reviewed.vote);
    let expected = review::review(context, &reviewed.about(), &votes);
    if context.global.dry_run {
        review::typed_right(args.confirm.as_deref(), &expected)?;
        let from = reviewed.vote["recovery"]["yield_from_seconds"].as_u64();
        let now = u64::try_from(clock::wall().seconds()).unwrap_or(0);
        if from.is_some_and(|from| now < from) {
            return Err(Failure::new(
                Code::Failed,
                format!(
                    "this node may give way to it from {} on",
                    text(&reviewed.vote["recovery"], "yield_from")
                ),
            ));
        }
        let text = format!("would give way to manifest {}", reviewed.hash);
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let loss = format!(
        "This node gives way to recovery manifest {}, and commits to nothing else in this epoch. Not giving way is your veto.",
        reviewed.hash
    );
    confirm(context, &expected, args.confirm.as_deref(), &loss)?;
    review::keep(context, &reviewed.manifest)?;
    let value = ask(
        context,
        &Wish::Yield {
            manifest: reviewed.hash.clone(),
            confirm: expected,
        },
    )?;
    review::signed(context, &value, ("gave way to", &reviewed.hash))?;
    Ok(())
}

/// How a manifest of recovery keys stands.
pub(super) fn describe(one: &Value, recovery: &Value) -> Vec<String> {
    vec![
        format!(
            "RECOVERY {} by {}: seen here {}, members may give way from {}",
            short(text(one, "manifest")),
            words(recovery, "keys"),
            text(recovery, "seen"),
            text(recovery, "yield_from"),
        ),
        format!(
            "  gave way   {} ({} are needed)",
            match words(recovery, "yielded") {
                none if none.is_empty() => "nobody".to_owned(),
                names => names,
            },
            recovery["needed"],
        ),
    ]
}
