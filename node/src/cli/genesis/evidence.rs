//! `genesis evidence`: who voted twice, out of this node's own ledger, as files that anybody verifies without asking anybody.
//! May not accuse: it repeats what was written down when it was seen, and verifies what it is given.

use super::super::args::EvidenceArgs;
use super::super::audit::read_at_most;
use super::super::context::Context;
use crate::exit::{Code, Failure};
use crate::member::Epochs;
use belfry_protocol::entry::json::Json;
use belfry_protocol::genesis::chain::MAX_CHAIN_BYTES;
use belfry_protocol::genesis::{Evidence, MAX_EVIDENCE_BYTES, Saying, Strict, Verifier};
use belfry_protocol::note::VerifierKey;
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn run(context: &Context, args: &EvidenceArgs) -> Result<(), Failure> {
    match &args.verify {
        Some(file) => verify(context, args, file),
        None => list(context, args.out.as_deref()),
    }
}

/// What this node wrote down.
fn list(context: &Context, out: Option<&Path>) -> Result<(), Failure> {
    let found = found(context)?;
    let mut lines = Vec::new();
    let mut values = Vec::new();
    for (index, evidence) in &found {
        let mut line = format!("entry {index}: {}", said(evidence));
        let mut value = shown(evidence);
        value["index"] = json!(index);
        if let Some(dir) = out.filter(|_| !context.global.dry_run) {
            std::fs::create_dir_all(dir)?;
            let path = dir.join(format!("evidence-{index}.json"));
            std::fs::write(&path, evidence.to_json())?;
            line.push_str(&format!("\n  {}", path.display()));
            value["file"] = json!(path);
        }
        lines.push(line);
        values.push(value);
    }
    if lines.is_empty() {
        lines.push("no member was seen to vote twice".to_owned());
    }
    context
        .out
        .result(&lines.join("\n"), &json!({ "evidence": values }))
}

fn found(context: &Context) -> Result<Vec<(u64, Evidence)>, Failure> {
    let entries = context.reader()?.bodies("genesis.evidence")?.into_iter();
    let read =
        |(index, body): (u64, Json)| Some((index, Evidence::parse(&body.to_canonical()).ok()?));
    Ok(entries.filter_map(read).collect())
}

/// Two votes of one key that a chain of manifests lists.
fn verify(context: &Context, args: &EvidenceArgs, file: &Path) -> Result<(), Failure> {
    let own = context.layout.genesis();
    let chain = args.chain.as_ref().unwrap_or(&own);
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(
            Code::VerificationFailed,
            format!("{}: {error}", file.display()),
        )
    };
    let bytes = read_at_most(file, MAX_EVIDENCE_BYTES as u64, "evidence")?;
    let evidence = Evidence::parse(&bytes).map_err(|error| refused(&error))?;
    let bytes = read_at_most(chain, MAX_CHAIN_BYTES as u64, "chain")?;
    let epochs = Epochs::verify(&bytes).map_err(|error| {
        Failure::new(
            Code::VerificationFailed,
            format!("{}: {error}", chain.display()),
        )
    })?;
    let id = epochs.chain.id().to_hex();
    if let Some(wanted) = &args.federation
        && (wanted.len() < 8 || !id.starts_with(wanted.as_str()))
    {
        return Err(refused(&format!(
            "the chain is of federation {id}, not of {wanted}"
        )));
    }
    let [first, _] = evidence.votes();
    let subject = first.statement().subject;
    let lineage = epochs.chain.manifest().lineage;
    let ours =
        subject.lineage == lineage && subject.federation.is_none_or(|id| id == epochs.chain.id());
    if !ours {
        return Err(refused(&"it is about another federation than the chain"));
    }
    let keys = epochs.links.iter().filter_map(|link| {
        let (_, member) = link.manifest().member(evidence.accused())?;
        Some(&member.identity)
    });
    let mut keys: Vec<&VerifierKey> = keys.collect();
    keys.dedup();
    let mut verifier = Verifier::new(Strict);
    let mut holds = keys.iter().map(|key| evidence.verify(key, &mut verifier));
    if !holds.any(|holds| holds.is_ok()) {
        return Err(refused(&format!(
            "the chain lists no key called {} that made both signatures",
            evidence.accused()
        )));
    }
    let mut value = shown(&evidence);
    value["ok"] = json!(true);
    value["federation_id"] = json!(id);
    let text = format!("proven: {}\nin federation {id}", said(&evidence));
    context.out.result(&text, &value)?;
    if args.chain.is_some() && args.federation.is_none() {
        context.out.say("Everybody can found a federation: compare the id with one from somewhere you trust (--federation HASH).");
    }
    Ok(())
}

fn said(evidence: &Evidence) -> String {
    let [first, second] = evidence.votes();
    let (a, b) = (first.statement().subject, second.statement().subject);
    let what = |saying: &Saying| match saying {
        Saying::Commit => "committed",
        Saying::Yield { .. } => "gave way to",
        _ => "approved",
    };
    format!(
        "{} {} manifest {} and {} manifest {} in epoch {}, rounds {} and {}",
        evidence.accused(),
        what(&first.statement().saying),
        &a.manifest.to_hex()[..8],
        what(&second.statement().saying),
        &b.manifest.to_hex()[..8],
        a.epoch,
        a.round,
        b.round,
    )
}

fn shown(evidence: &Evidence) -> Value {
    let [first, second] = evidence.votes();
    let one = |vote: &belfry_protocol::genesis::Vote| {
        let subject = vote.statement().subject;
        json!({ "manifest": subject.manifest.to_hex(), "round": subject.round })
    };
    json!({
        "accused": evidence.accused(), "epoch": first.statement().subject.epoch, "votes": [one(first), one(second)],
    })
}
