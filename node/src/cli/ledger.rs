//! `belfry ledger …`: reading, proving and checking. Opens the directory read-only, beside a running node too.

use super::args::{ConsistencyArgs, FsckArgs, GetArgs, ProveArgs, ReceiptFormat, TailArgs};
use super::context::Context;
use super::receipts;
use super::witnessed;
use crate::audit::receipt;
use crate::exit::{Code, Failure};
use crate::fsck;
use crate::store::Reader;
use crate::store::payloads::PayloadReader;
use belfry_protocol::base64;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::tlog::proof::TreeReader;
use belfry_protocol::tlog::verify;
use belfry_protocol::tower_receipt;
use serde_json::{Value, json};
use std::time::Duration;

/// How often `tail --follow` looks for new entries.
const FOLLOW: Duration = Duration::from_millis(200);

pub(super) fn head(context: &Context) -> Result<(), Failure> {
    let reader = context.reader()?;
    let (head, digest) =
        reader.at_one_moment(|reader| Ok((reader.head()?, reader.newest_digest()?)))?;
    let json = json!({
        "size": head.size(), "root": head.root().to_hex(), "signed_size": head.signed.unwrap_or(0),
        "digest": digest.as_ref().map(|(_, note)| note),
    });
    let signed = digest.map_or_else(
        || "no signed digest yet".to_owned(),
        |(_, note)| note.trim_end().to_owned(),
    );
    context.out.result(
        &format!("size {}\nroot {}\n\n{signed}", head.size(), head.root()),
        &json,
    )
}

pub(super) fn get(context: &Context, args: &GetArgs) -> Result<(), Failure> {
    let reader = context.reader()?;
    let size = reader.head()?.size();
    if args.index >= size {
        return Err(Failure::new(
            Code::Failed,
            format!("there is no entry {}: the ledger has {size}", args.index),
        ));
    }
    let bytes = reader.entry(args.index, size)?;
    let mut value = shown(args.index, &bytes);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if args.payload {
        let payload = open_payload(&reader, args.index, &bytes)?;
        text.push('\n');
        text.push_str(&payload);
        value["payload"] = serde_json::from_str(&payload).unwrap_or(Value::String(payload));
    }
    context.out.result(&text, &value)
}

fn open_payload(reader: &Reader, index: u64, entry: &[u8]) -> Result<String, Failure> {
    let leaf = Leaf::parse(entry)
        .map_err(|error| Failure::new(Code::Damaged, format!("entry {index}: {error}")))?;
    let Content::Commit { hmac, .. } = leaf.content else {
        return Err(Failure::new(
            Code::Failed,
            format!("entry {index} is public and has no private payload"),
        ));
    };
    let Some(payload) = PayloadReader::open(reader.layout(), reader.disk())?.get(&hmac)? else {
        let erased = reader.erased()?.into_iter().find(|(id, _)| *id == hmac);
        return Err(match erased {
            Some((_, by)) => Failure::new(
                Code::Failed,
                format!("the payload was erased, see entry {by}"),
            ),
            None => Failure::new(
                Code::Damaged,
                format!("the payload of entry {index} is missing"),
            ),
        });
    };
    if !payload.matches(&hmac) {
        return Err(Failure::new(
            Code::Damaged,
            format!("the payload of entry {index} is not what it committed to"),
        ));
    }
    Ok(payload.content().map_or_else(String::new, |(_, content)| {
        String::from_utf8_lossy(content).into_owned()
    }))
}

/// An entry as JSON output shows it.
fn shown(index: u64, bytes: &[u8]) -> Value {
    json!({ "index": index, "entry": serde_json::from_slice::<Value>(bytes).unwrap_or(Value::Null) })
}

pub(super) fn prove(context: &Context, args: &ProveArgs) -> Result<(), Failure> {
    let reader = context.reader()?;
    let keys = context.log_verifiers()?;
    let proof = match args.witnessed {
        true => witnessed::receipt(context, &reader, args.index, &keys)?,
        false => receipt::make(&reader, args.index, &keys)?,
    };
    let text = match args.format {
        ReceiptFormat::TlogProof => proof.to_string(),
        ReceiptFormat::TowerReceipt => tower_receipt::to_json(&proof)
            .map_err(|error| Failure::new(Code::Damaged, error.to_string()))?,
    };
    let Some(path) = &args.out else {
        let json = json!({ "index": args.index, "receipt": text });
        return context.out.result(text.trim_end_matches('\n'), &json);
    };
    if context.global.dry_run {
        let would = format!(
            "would write the receipt of entry {} to {}",
            args.index,
            path.display()
        );
        let json = json!({ "dry_run": true, "index": args.index, "file": path });
        return context.out.result(&would, &json);
    }
    std::fs::write(path, &text).map_err(|error| {
        Failure::new(
            Code::Io,
            format!("cannot write {}: {error}", path.display()),
        )
    })?;
    let json = json!({ "index": args.index, "file": path, "hashes": proof.hashes().len() });
    context.out.result(
        &format!(
            "wrote the receipt of entry {} to {}",
            args.index,
            path.display()
        ),
        &json,
    )?;
    context.out.say(receipts::how_to_verify(context, path));
    Ok(())
}

pub(super) fn consistency(context: &Context, args: &ConsistencyArgs) -> Result<(), Failure> {
    let reader = context.reader()?;
    let head = reader.head()?;
    let new = args.new.or(head.signed).unwrap_or_else(|| head.size());
    if args.old > new || new > head.size() {
        return Err(Failure::new(
            Code::Failed,
            format!(
                "there is no proof from {} to {new}: the ledger has {} entries",
                args.old,
                head.size()
            ),
        ));
    }
    let damaged = |error: &dyn std::fmt::Display| Failure::new(Code::Damaged, error.to_string());
    let root = |size| {
        TreeReader::new(&reader, size)
            .root()
            .map_err(|error| damaged(&error))
    };
    let (old_root, new_root) = (root(args.old)?, root(new)?);
    let proof = TreeReader::new(&reader, new)
        .consistency(args.old)
        .map_err(|error| damaged(&error))?;
    verify::consistency(args.old, new, &old_root, &new_root, &proof)
        .map_err(|error| damaged(&error))?;
    let hashes: Vec<String> = proof
        .iter()
        .map(|hash| base64::encode(hash.as_bytes()))
        .collect();
    let text = format!(
        "old {} {}\nnew {new} {}\n{}",
        args.old,
        base64::encode(old_root.as_bytes()),
        base64::encode(new_root.as_bytes()),
        hashes.join("\n")
    );
    let json = json!({
        "old_size": args.old, "old_root": base64::encode(old_root.as_bytes()),
        "new_size": new, "new_root": base64::encode(new_root.as_bytes()), "proof": hashes,
    });
    context.out.result(text.trim_end(), &json)
}

pub(super) fn tail(context: &Context, args: &TailArgs) -> Result<(), Failure> {
    let reader = context.reader()?;
    let mut next = reader.head()?.size().saturating_sub(args.number);
    loop {
        let size = reader.head()?.size();
        while next < size {
            let bytes = reader.entry(next, size)?;
            let line = if context.out.is_human() {
                format!("{next} {}", String::from_utf8_lossy(&bytes))
            } else {
                shown(next, &bytes).to_string()
            };
            context.out.line(&line)?;
            next += 1;
        }
        if !args.follow {
            return Ok(());
        }
        std::thread::sleep(FOLLOW);
    }
}

pub(super) fn fsck(context: &Context, args: &FsckArgs) -> Result<(), Failure> {
    let log_keys = context.log_verifiers()?;
    let _lock = if args.offline {
        Some(crate::lock::DirLock::take(&context.layout)?)
    } else {
        None
    };
    let reader = context.reader()?;
    let bar = context
        .out
        .progress(reader.head().ok().map(|head| head.size()), "entries");
    let report = fsck::run(&reader, &log_keys, |count| bar.set_position(count))?;
    bar.finish_and_clear();
    let mut json = serde_json::to_value(&report).unwrap_or_default();
    json["clean"] = Value::Bool(report.is_clean());
    let mut counts = format!(
        "{} entries, {} digests, {} day digests, {} private payloads",
        report.entries, report.digests, report.days, report.payloads
    );
    if report.mirrored > 0 {
        counts.push_str(&format!(", {} mirrored entries", report.mirrored));
    }
    if report.windows + report.windows_gone > 0 {
        let (there, gone) = (report.windows, report.windows_gone);
        counts.push_str(&format!(", {there} files of windows ({gone} gone)"));
    }
    if report.is_clean() {
        return context.out.result(&format!("clean: {counts}"), &json);
    }
    let lines: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    context
        .out
        .result(&format!("{}\nchecked {counts}", lines.join("\n")), &json)?;
    Err(Failure::new(Code::Damaged, format!("{} problems found", report.problem_count)).hint(
        "stop the node and keep the directory as it is; full tiles and bundles can be copied back from an export or a mirror",
    ))
}

pub(super) fn reindex(context: &Context) -> Result<(), Failure> {
    let reader = context.reader()?;
    if context.global.dry_run {
        return context
            .out
            .result("would make index.db again", &json!({ "dry_run": true }));
    }
    let bar = context.out.progress(Some(reader.head()?.size()), "entries");
    let count = crate::store::index::rebuild(&reader, |count| bar.set_position(count))?;
    bar.finish_and_clear();
    context.out.result(
        &format!("indexed {count} entries"),
        &json!({ "indexed": count }),
    )
}
