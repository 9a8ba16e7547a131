//! `belfry audit history`, and `audit verify --history`: receipts of any epoch, for whoever knows nothing but the federation's id.
//! `ledger adopt-history`: the same file, for a factory whose disk is gone.

use super::args::{AdoptHistoryArgs, HistoryArgs, VerifyArgs};
use super::audit::read_at_most;
use super::context::Context;
use crate::audit::history;
use crate::disk::{Disk, RealDisk};
use crate::exit::{Code, Failure};
use crate::lock::DirLock;
use crate::member;
use crate::store::Store;
use belfry_protocol::genesis::history::{LedgerHistory, MAX_HISTORY_BYTES};
use belfry_protocol::proof_file::TlogProof;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// `audit history`
pub(super) fn make(context: &Context, args: &HistoryArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    let origin = args.origin.as_deref().unwrap_or(&config.name);
    let made = history::make(&context.reader()?, &config.name, origin)?;
    let verified = history::verify(&made, None)?;
    let (id, epoch) = (verified.chain.id(), verified.history.epoch());
    let newest = verified.chain.manifest().epoch;
    let text = made.to_json();
    if context.global.dry_run {
        let would = format!(
            "would write the history of {origin} to {}",
            args.out.display()
        );
        let json = json!({ "dry_run": true, "origin": origin, "file": args.out });
        return context.out.result(&would, &json);
    }
    std::fs::write(&args.out, &text).map_err(|error| {
        Failure::new(
            Code::Io,
            format!("cannot write {}: {error}", args.out.display()),
        )
    })?;
    let behind = match epoch < newest {
        true => format!("\nthe ledger is on its way into epoch {newest}"),
        false => String::new(),
    };
    context.out.result(
        &format!(
            "wrote the history of {origin} up to epoch {epoch} to {}{behind}\nverify a receipt with it: belfry audit verify FILE --history {} --federation {id} --ledger COPY, where COPY is any copy of the ledger: a directory of `belfry ledger export --format tiles`, or an address that serves it",
            args.out.display(),
            args.out.display()
        ),
        &json!({ "origin": origin, "file": args.out, "epoch": epoch, "newest_epoch": newest, "federation_id": id.to_hex() }),
    )
}

/// `audit verify --history`
pub(super) fn verify(
    context: &Context,
    args: &VerifyArgs,
    path: &Path,
    receipt: &[u8],
    entry: Option<Vec<u8>>,
) -> Result<(), Failure> {
    let bytes = read_at_most(path, MAX_HISTORY_BYTES as u64, "history")?;
    let refused =
        |error: &dyn std::fmt::Display| Failure::new(Code::VerificationFailed, error.to_string());
    let file = LedgerHistory::parse(&bytes)
        .map_err(|error| refused(&format!("{}: {error}", path.display())))?;
    let verified = history::verify(&file, args.federation.as_deref())?;
    let receipt = TlogProof::parse(receipt).map_err(|error| refused(&error))?;
    let entry = entry
        .or_else(|| receipt.unauthenticated_extra().map(<[u8]>::to_vec))
        .ok_or_else(|| {
            Failure::new(Code::Usage, "the receipt does not carry its entry")
                .hint("give it with --entry FILE")
        })?;
    let judged = history::judge(&verified, &receipt, &entry, args.ledger.as_deref())?;
    let (checkpoint, epoch) = (&judged.checkpoint, judged.epoch);
    let witnesses = judged.standing.counted.iter();
    let witnesses: Vec<&str> = witnesses.map(|one| one.name.as_str()).collect();
    let content: Value = serde_json::from_slice(&entry).unwrap_or(Value::Null);
    context.out.result(
        &format!(
            "verified: entry {} of {} is in the ledger of {} entries\nby the towers of epoch {epoch}: {}\n{}",
            receipt.index(),
            checkpoint.origin,
            checkpoint.size,
            witnesses.join(", "),
            String::from_utf8_lossy(&entry)
        ),
        &json!({
            "ok": true, "what": "receipt", "origin": checkpoint.origin, "index": receipt.index(), "size": checkpoint.size,
            "root": checkpoint.root.to_hex(), "witnesses": witnesses, "epoch": epoch,
            "federation_id": verified.chain.id().to_hex(), "entry": content,
        }),
    )?;
    if args.federation.is_none() {
        context.out.say(format!(
            "Everybody can found a federation: compare its id, {}, with one from somewhere you trust (--federation HASH).",
            verified.chain.id()
        ));
    }
    Ok(())
}

/// `ledger adopt-history`
pub(super) fn adopt(context: &Context, args: &AdoptHistoryArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    let federation = member::federation(&context.layout)?.ok_or_else(|| {
        Failure::new(Code::NotInitialised, "this node belongs to no federation")
            .hint("copy genesis.json out of any other member's directory first")
    })?;
    let bytes = read_at_most(&args.file, MAX_HISTORY_BYTES as u64, "history")?;
    let file = LedgerHistory::parse(&bytes).map_err(|error| {
        let text = format!("{}: {error}", args.file.display());
        Failure::new(Code::VerificationFailed, text)
    })?;
    if file.origin != config.name {
        let text = format!(
            "it is the history of {}, not of {}",
            file.origin, config.name
        );
        return Err(Failure::new(Code::Usage, text).hint(format!(
            "make it with `belfry audit history {} --out FILE` on a tower",
            config.name
        )));
    }
    if context.global.dry_run {
        let verified = history::verify(&file, Some(&federation.id().to_hex()))?;
        let epoch = verified.history.epoch();
        let text = format!(
            "would take the history of {} up to epoch {epoch}",
            file.origin
        );
        return context
            .out
            .result(&text, &json!({ "dry_run": true, "epoch": epoch }));
    }
    let _lock = DirLock::take(&context.layout)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut store = Store::open(context.layout.clone(), disk)?;
    let epoch = history::adopt(&mut store, &file, &federation.id())?;
    store.close()?;
    context.out.result(
        &format!(
            "the ledger of {} is judged by the towers of epoch {epoch} and later; start the node with `belfry run`",
            config.name
        ),
        &json!({ "origin": config.name, "epoch": epoch }),
    )
}
