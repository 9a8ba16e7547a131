//! A ledger's history for strangers: made of what this node stores, and receipts judged with it. May not ask anybody, and hands out
//! nothing that it did not verify itself.

use super::source::Source;
use crate::exit::{Code, Failure};
use crate::member;
use crate::store::Reader;
use belfry_keys::KeyDir;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::certificates::stored_chain;
use belfry_protocol::engine::federation::epochs::JointRow;
use belfry_protocol::engine::federation::revocations::RevocationRow;
use belfry_protocol::engine::store::Table;
use belfry_protocol::genesis::history::{HistoryError, LedgerHistory, VerifiedHistory};
use belfry_protocol::genesis::joint::{Activation, Judged};
use belfry_protocol::genesis::{Remembering, Verifier};
use belfry_protocol::note::SignedNote;
use belfry_protocol::proof_file::TlogProof;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::proof::TreeReader;

fn damaged(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Damaged, error.to_string())
        .hint("run `belfry ledger fsck` to see everything that is damaged")
}

/// The history of `origin`, verified.
///
/// # Errors
/// When this node belongs to no federation, does not hold that ledger, or what it holds does not verify.
pub fn make(reader: &Reader, own: &str, origin: &str) -> Result<LedgerHistory, Failure> {
    let links = member::links(reader.layout())?
        .ok_or_else(|| Failure::new(Code::NotInitialised, "this node belongs to no federation"))?;
    let placed = reader.ledgers()?;
    let placed = match origin == own {
        true => placed.first(),
        false => placed.iter().find(|one| one.origin == origin),
    };
    let placed = placed.ok_or_else(|| {
        Failure::new(
            Code::Failed,
            format!("this node does not hold the ledger of {origin}"),
        )
        .hint("ask the factory itself, or one of its towers")
    })?;
    let mut certificates = KeyDir::public_certificates(reader.layout().dir())
        .map_err(|error| Failure::new(Code::KeyUnavailable, error.to_string()))?;
    for (name, row) in reader.rows(Table::Certificates, &[], usize::from(u16::MAX))? {
        let name = String::from_utf8_lossy(&name).into_owned();
        if name != own {
            certificates.extend(stored_chain(&name, &row)?);
        }
    }
    let mut revocations = Vec::new();
    for (_, row) in reader.rows(Table::Revocations, &[], usize::from(u16::MAX))? {
        let row = RevocationRow::decode(&row).filter(|row| row.acts_for(origin));
        revocations.extend(row.and_then(|row| row.note()));
    }
    let mut activations: Vec<Activation> = Vec::new();
    let mut before: Option<u64> = None;
    let rows = reader.rows(
        Table::Joints,
        &JointRow::key(origin, 0),
        usize::from(u16::MAX),
    )?;
    for (key, row) in rows {
        if JointRow::of_key(&key).is_none_or(|(name, _)| name != origin) {
            break;
        }
        let row = JointRow::decode(&row).ok_or_else(|| damaged(&"the row of a joint digest"))?;
        // Not in that epoch yet.
        let Some(note) = row.joint() else { break };
        let view = reader.ledger(placed);
        let mut tree = TreeReader::new(&view, row.size);
        activations.push(Activation {
            entry: view.entry(row.index, row.size)?,
            index: row.index,
            inclusion: tree.inclusion(row.index).map_err(|error| damaged(&error))?,
            digest: SignedNote::parse(note.as_bytes()).map_err(|error| damaged(&error))?,
            extends: match before {
                Some(old) => tree.consistency(old).map_err(|error| damaged(&error))?,
                None => Vec::new(),
            },
        });
        before = Some(row.size);
    }
    let made = LedgerHistory {
        origin: origin.to_owned(),
        links,
        certificates,
        revocations,
        activations,
    };
    verify(&made, None)?;
    Ok(made)
}

/// Verifies a history, of the federation whose id begins with `wanted`.
///
/// # Errors
/// [`Code::VerificationFailed`].
pub fn verify(file: &LedgerHistory, wanted: Option<&str>) -> Result<VerifiedHistory, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(
            Code::VerificationFailed,
            format!("the history does not hold: {error}"),
        )
    };
    let own = file.links.first().map(|link| link.manifest().hash());
    let own = own.ok_or_else(|| refused(&"it has no epoch"))?;
    if let Some(wanted) = wanted
        && (wanted.len() < 8 || !own.to_hex().starts_with(wanted))
    {
        return Err(refused(&format!(
            "it is of federation {own}, not of {wanted}"
        )));
    }
    let mut verifier = Verifier::new(Remembering::default());
    file.verify(&own, &mut verifier)
        .map_err(|error: HistoryError| refused(&error))
}

/// Judges a receipt by the towers of its time. `ledger` is asked for the proof that its digest is one history with the joint digest
/// beside it: any copy will do, because what it says is verified.
///
/// # Errors
/// [`Code::VerificationFailed`], or [`Code::Usage`] where a copy of the ledger is needed and none was given.
pub fn judge(
    verified: &VerifiedHistory,
    receipt: &TlogProof,
    entry: &[u8],
    ledger: Option<&str>,
) -> Result<Judged, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(
            Code::VerificationFailed,
            format!("the receipt does not verify: {error}"),
        )
    };
    let claimed = Checkpoint::parse(receipt.checkpoint().text()).map_err(|e| refused(&e))?;
    let link: Vec<Hash> = match verified.history.link_of(claimed.size) {
        Some((old, new)) if old != new => {
            let place = ledger.ok_or_else(|| {
                Failure::new(
                    Code::Usage,
                    format!(
                        "the receipt is of a ledger of {} entries, and its epoch's joint digest of another size",
                        claimed.size
                    ),
                )
                .hint("give any copy of the ledger, a directory or an address of the factory or a tower, with --ledger")
            })?;
            let source = Source::open(place)?;
            TreeReader::new(&source, new)
                .consistency(old)
                .map_err(|error| refused(&format!("the copy at {place}: {error}")))?
        }
        _ => Vec::new(),
    };
    verified
        .history
        .judge_receipt(receipt, &leaf_hash(entry), &link)
        .map_err(|error| refused(&error))
}
