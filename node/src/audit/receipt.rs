//! Receipts: an entry, its inclusion proof and the digest in one C2SP tlog-proof file. The entry itself travels in the
//! file's `extra` line: unauthenticated there, it is authenticated by the proof of its hash.

use crate::exit::{Code, Failure};
use crate::store::Reader;
use belfry_protocol::cert::LogVerifiers;
use belfry_protocol::note::{SignedNote, VerifierKey};
use belfry_protocol::policy::{Policy, PolicyError};
use belfry_protocol::proof_file::{ProofFileError, Proved, TlogProof};
use belfry_protocol::tlog::hash::leaf_hash;
use belfry_protocol::tlog::proof::TreeReader;
use belfry_protocol::tlog::verify;

/// A verified receipt.
#[derive(Debug)]
pub struct VerifiedReceipt {
    /// What was proved.
    pub proved: Proved,
    /// The bytes of the entry.
    pub entry: Vec<u8>,
}

/// Makes the receipt of entry `index` against the newest digest, and verifies it before it is handed out.
///
/// # Errors
/// When there is no such entry or no digest covers it, or what is stored does not verify.
pub fn make(reader: &Reader, index: u64, log_keys: &LogVerifiers) -> Result<TlogProof, Failure> {
    exists(reader, index)?;
    // A digest with a quorum's lines is worth more than a newer one without.
    let acked = match reader.acked()?.filter(|acked| *acked > index) {
        Some(acked) => reader.digest_covering(acked)?,
        None => None,
    };
    let newest = match acked {
        Some(digest) => Some(digest),
        None => reader.newest_digest()?,
    };
    let (signed, note) = newest
        .filter(|(signed, _)| *signed > index)
        .ok_or_else(|| {
            Failure::new(
                Code::QuorumNotMet,
                format!("no signed digest covers entry {index}"),
            )
            .hint(unsigned(reader))
        })?;
    make_on(reader, index, log_keys, signed, &note)
}

fn exists(reader: &Reader, index: u64) -> Result<u64, Failure> {
    let size = reader.head()?.size();
    if index < size {
        return Ok(size);
    }
    Err(Failure::new(
        Code::Failed,
        format!("there is no entry {index}: the ledger has {size}"),
    ))
}

/// As [`make`], against a digest of `signed` entries that the caller has, above `index`.
///
/// # Errors
/// As [`make`].
pub fn make_on(
    reader: &Reader,
    index: u64,
    log_keys: &LogVerifiers,
    signed: u64,
    note: &str,
) -> Result<TlogProof, Failure> {
    let size = exists(reader, index)?;
    let damaged = |error: &dyn std::fmt::Display| {
        Failure::new(
            Code::Damaged,
            format!("entry {index} cannot be proved: {error}"),
        )
        .hint("run `belfry ledger fsck` to see everything that is damaged")
    };
    let entry = reader.entry(index, size)?;
    let path = TreeReader::new(reader, signed)
        .inclusion(index)
        .map_err(|error| damaged(&error))?;
    let note = SignedNote::parse(note.as_bytes()).map_err(|error| damaged(&error))?;
    let checkpoint = log_keys.open(&note).map_err(|error| damaged(&error))?;
    verify::inclusion(&leaf_hash(&entry), index, signed, &path, &checkpoint.root)
        .map_err(|error| damaged(&error))?;
    TlogProof::new(index, path, note, Some(entry)).map_err(|error| damaged(&error))
}

/// What to do about an entry that no digest covers. A member never signs on its own.
fn unsigned(reader: &Reader) -> &'static str {
    match reader.layout().genesis().exists() {
        true => {
            "a factory signs what a quorum of its towers holds, and a mere tower nothing of its own: `belfry status` shows the quorum, `belfry wait --for quorum` waits for it"
        }
        false => {
            "an unfounded node signs nothing; set ledger.allow_solo, or wait for the next digest"
        }
    }
}

/// The policy that trusts one log and asks for no witness.
///
/// # Errors
/// When a key cannot be a log's.
pub fn log_only(keys: &[VerifierKey]) -> Result<Policy, Failure> {
    let mut policy = Policy::new();
    for key in keys {
        policy
            .add_log(key.clone(), None)
            .map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
    }
    Ok(policy)
}

/// Verifies a receipt under `policy`; `entry` is taken from the file if it is not given.
///
/// # Errors
/// [`Code::VerificationFailed`], or [`Code::QuorumNotMet`] when only witnesses are missing.
pub fn verify(
    bytes: &[u8],
    policy: &Policy,
    entry: Option<Vec<u8>>,
) -> Result<VerifiedReceipt, Failure> {
    let refused = |error: &ProofFileError| {
        let code = match error {
            ProofFileError::Policy(PolicyError::NoQuorum { .. }) => Code::QuorumNotMet,
            _ => Code::VerificationFailed,
        };
        Failure::new(code, format!("the receipt does not verify: {error}"))
    };
    let proof = TlogProof::parse(bytes).map_err(|error| refused(&error))?;
    let entry = entry
        .or_else(|| proof.unauthenticated_extra().map(<[u8]>::to_vec))
        .ok_or_else(|| {
            Failure::new(Code::Usage, "the receipt does not carry its entry")
                .hint("give it with --entry FILE")
        })?;
    let proved = proof
        .verify(&leaf_hash(&entry), policy)
        .map_err(|error| refused(&error))?;
    Ok(VerifiedReceipt { proved, entry })
}
