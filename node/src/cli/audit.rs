//! `belfry audit verify`: decides what it was given and verifies it against a key or policy that the auditor brings.

use super::args::{PolicyArgs, VerifyArgs};
use super::context::Context;
use crate::audit::source::Source;
use crate::audit::{receipt, tree};
use crate::exit::{Code, Failure};
use crate::member::chain;
use belfry_protocol::cert::MAX_CHAIN_CERTIFICATES;
use belfry_protocol::engine::federation::forks::kept::accused_name;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::fork::{ForkKind, ForkProof};
use belfry_protocol::note::VerifierKey;
use belfry_protocol::policy::Policy;
use belfry_protocol::tower_receipt::{self, TOWER_RECEIPT_FORMAT};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Largest receipt or fork proof that is read, in bytes.
const LARGEST_FILE: u64 = 4 << 20;

pub(super) fn verify(context: &Context, args: &VerifyArgs) -> Result<(), Failure> {
    let web = args.target.starts_with("http://") || args.target.starts_with("https://");
    if web || Path::new(&args.target).is_dir() {
        return verify_tree(context, args);
    }
    let bytes = read(Path::new(&args.target))?;
    if bytes.starts_with(b"{") {
        if memchr::memmem::find(&bytes, TOWER_RECEIPT_FORMAT.as_bytes()).is_some() {
            let proof = tower_receipt::parse(&bytes)
                .map_err(|error| Failure::new(Code::VerificationFailed, error.to_string()))?;
            return verify_receipt(context, args, proof.to_string().as_bytes());
        }
        verify_fork(context, args, &bytes)
    } else {
        verify_receipt(context, args, &bytes)
    }
}

/// `audit policy`
pub(super) fn policy_of(context: &Context, args: &PolicyArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    let origin = args.origin.as_deref().unwrap_or(&config.name);
    let text =
        crate::audit::policy::derive(&context.reader()?, &config.name, origin, args.every_serial)?;
    let Some(path) = &args.out else {
        let json = json!({ "origin": origin, "policy": text });
        return context.out.result(text.trim_end_matches('\n'), &json);
    };
    if context.global.dry_run {
        let would = format!("would write the policy of {origin} to {}", path.display());
        let json = json!({ "dry_run": true, "origin": origin, "file": path });
        return context.out.result(&would, &json);
    }
    std::fs::write(path, &text).map_err(|error| {
        Failure::new(
            Code::Io,
            format!("cannot write {}: {error}", path.display()),
        )
    })?;
    context.out.result(
        &format!(
            "wrote the policy of {origin} to {}\nverify a receipt with it: belfry audit verify FILE --policy {}",
            path.display(),
            path.display()
        ),
        &json!({ "origin": origin, "file": path }),
    )
}

fn verify_tree(context: &Context, args: &VerifyArgs) -> Result<(), Failure> {
    let keys = log_keys(args)?;
    let source = Source::open(&args.target)?;
    // The first that it verifies under; if under none, what is wrong with it under the last.
    let opens = |key: &&VerifierKey| tree::checkpoint(&source, key).is_ok();
    let key = keys.iter().find(opens).or(keys.last()).ok_or_else(no_key)?;
    let size = tree::checkpoint(&source, key)?.size;
    let bar = context.out.progress(Some(size), "entries");
    let began = std::time::Instant::now();
    let verified = tree::verify(&source, key, args.strict, |count| bar.set_position(count))?;
    bar.finish_and_clear();
    let checkpoint = &verified.checkpoint;
    let json = json!({
        "ok": true, "what": "tree", "origin": checkpoint.origin, "size": checkpoint.size,
        "root": checkpoint.root.to_hex(), "bytes": verified.bytes, "seconds": began.elapsed().as_secs_f64(),
    });
    context.out.result(
        &format!(
            "verified: {} entries of {} hash to the signed root {}",
            checkpoint.size, checkpoint.origin, checkpoint.root
        ),
        &json,
    )
}

fn verify_receipt(context: &Context, args: &VerifyArgs, bytes: &[u8]) -> Result<(), Failure> {
    let entry = args.entry.as_deref().map(read).transpose()?;
    if let Some(path) = &args.history {
        return super::history::verify(context, args, path, bytes, entry);
    }
    let policy = policy(args)?;
    let verified = receipt::verify(bytes, &policy, entry)?;
    let checkpoint = &verified.proved.checkpoint;
    let witnesses: Vec<&str> = verified
        .proved
        .standing
        .counted
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let entry: Value = serde_json::from_slice(&verified.entry).unwrap_or(Value::Null);
    let vouched = if witnesses.is_empty() {
        "nobody but the log itself vouches for this digest".to_owned()
    } else {
        format!("witnesses: {}", witnesses.join(", "))
    };
    // R10: what towers hold of a private entry is a commitment.
    let private = matches!(
        Leaf::parse(&verified.entry),
        Ok(Leaf {
            content: Content::Commit { .. },
            ..
        })
    );
    let private_text = match private {
        true => {
            "\na private entry: it was there with this commitment; nothing shows that its content can still be had"
        }
        false => "",
    };
    let json = json!({
        "ok": true, "what": "receipt", "private": private, "origin": checkpoint.origin, "index": verified.proved.index,
        "size": checkpoint.size, "root": checkpoint.root.to_hex(), "witnesses": witnesses, "entry": entry,
    });
    context.out.result(
        &format!(
            "verified: entry {} of {} is in the ledger of {} entries\n{vouched}{private_text}\n{}",
            verified.proved.index,
            checkpoint.origin,
            checkpoint.size,
            String::from_utf8_lossy(&verified.entry)
        ),
        &json,
    )
}

/// A fork proof that holds is bad news, and ends with the code for it.
fn verify_fork(context: &Context, args: &VerifyArgs, bytes: &[u8]) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(
            Code::VerificationFailed,
            format!("the fork proof does not hold: {error}"),
        )
    };
    let proof = ForkProof::parse(bytes).map_err(|error| refused(&error))?;
    let keys = match &args.genesis {
        Some(manifest) => vec![identity_of_accused(manifest, &proof)?],
        None => log_keys(args)?,
    };
    let fork = proof.verify(&keys).map_err(|error| refused(&error))?;
    let did = match fork.kind {
        ForkKind::Origin => "signed",
        ForkKind::Tower => "acknowledged",
    };
    let (smaller, larger) = (fork.smaller_size, fork.larger_size);
    context.out.result(
        &format!(
            "the fork proof holds: {} {did} two trees of {} that cannot both be true, of {smaller} and {larger} entries",
            fork.larger_key.name(),
            fork.origin,
        ),
        &json!({
            "ok": true, "what": "fork", "signer": fork.larger_key.name(), "type": fork.kind.as_str(),
            "origin": fork.origin, "smaller_size": smaller, "larger_size": larger,
        }),
    )?;
    Err(Failure::new(Code::Fork, "a fork is proven")
        .hint("do not trust this signer's newer statements; show the file to others"))
}

/// The identity key of whoever a proof accuses, from a manifest that the auditor trusts.
fn identity_of_accused(manifest: &Path, proof: &ForkProof) -> Result<VerifierKey, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(
            Code::VerificationFailed,
            format!("{}: {error}", manifest.display()),
        )
    };
    let federation = chain::newest(&read(manifest)?).map_err(|error| refused(&error))?;
    let accused = accused_name(proof).map_err(|why| refused(&why))?;
    let member = federation.member(&accused).map(|(_, member)| member);
    member
        .map(|member| member.identity.clone())
        .ok_or_else(|| refused(&format!("{accused} is no member of this federation")))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_at_most(path, LARGEST_FILE, "proof")
}

/// A file that somebody gave, unless it is larger than any `what` can be.
pub(super) fn read_at_most(path: &Path, limit: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(
            Code::Failed,
            format!("cannot read {}: {error}", path.display()),
        )
    };
    let length = std::fs::metadata(path).map_err(cannot)?.len();
    if length > limit {
        return Err(Failure::new(
            Code::VerificationFailed,
            format!("{} is larger than any {what}", path.display()),
        ));
    }
    std::fs::read(path).map_err(cannot)
}

fn no_key() -> Failure {
    Failure::new(Code::Usage, "no key to verify with")
        .hint("give the log's key with --key VKEY or --key FILE; get it from the log's operator, not from the data")
}

/// The log's keys: one, or a file with one a line, of all serials.
fn log_keys(args: &VerifyArgs) -> Result<Vec<VerifierKey>, Failure> {
    let given = args.key.as_ref().ok_or_else(no_key)?;
    let text = if Path::new(given).is_file() {
        std::fs::read_to_string(given)?
    } else {
        given.clone()
    };
    let lines = text.trim_end_matches('\n').split('\n');
    lines
        .take(MAX_CHAIN_CERTIFICATES)
        .map(VerifierKey::parse)
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::new(Code::Usage, format!("--key: {error}")))
}

fn policy(args: &VerifyArgs) -> Result<Policy, Failure> {
    match &args.policy {
        None => receipt::log_only(&log_keys(args)?),
        Some(path) => Policy::parse(&read(path)?)
            .map_err(|error| Failure::new(Code::Usage, format!("{}: {error}", path.display()))),
    }
}
