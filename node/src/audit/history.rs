//! A ledger's history for strangers: made of what this node stores, and receipts judged with it. May not ask anybody, and hands out
//! nothing that it did not verify itself.

use super::source::Source;
use crate::exit::{Code, Failure};
use crate::member;
use crate::store::{Reader, Store};
use belfry_keys::KeyDir;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::certificates::stored_chain;
use belfry_protocol::engine::federation::epochs::JointRow;
use belfry_protocol::engine::federation::revocations::RevocationRow;
use belfry_protocol::engine::store::{Table, Transaction};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::genesis::history::{HistoryError, LedgerHistory, VerifiedHistory};
use belfry_protocol::genesis::joint::{Activation, Judged};
use belfry_protocol::genesis::{Remembering, Verifier};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::note::SignedNote;
use belfry_protocol::proof_file::TlogProof;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::proof::{TileSource, TreeReader};
use belfry_protocol::tlog::tile::Tile;
use belfry_protocol::wire::codec::{self, Bytes};
use std::collections::BTreeMap;

fn damaged(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Damaged, error.to_string())
        .hint("run `belfry ledger fsck` to see everything that is damaged")
}

/// The history of `origin`, verified.
///
/// # Errors
/// When this node belongs to no federation, does not hold that ledger, or what it holds does not verify.
pub fn make(reader: &Reader, own: &str, origin: &str) -> Result<LedgerHistory, Failure> {
    let epochs = member::Epochs::read(reader.layout())?
        .ok_or_else(|| Failure::new(Code::NotInitialised, "this node belongs to no federation"))?;
    let links = epochs.links;
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
    // Of a ledger that left and came back what was before says nothing.
    let watched = |manifest: &Manifest| {
        let member = manifest.member(origin);
        member.is_some_and(|(_, member)| member.factory)
    };
    let mut manifests = links.iter().rev().map(Link::manifest);
    let since = manifests.by_ref().take_while(|one| watched(one)).last();
    let since = since.map_or(0, |manifest| manifest.epoch);
    let joints = joints_of(reader, origin)?;
    let newest = joints.keys().next_back().copied().unwrap_or(since);
    let view = reader.ledger(placed);
    let mut activations: Vec<Activation> = Vec::new();
    let mut before: Option<u64> = None;
    for epoch in since.saturating_add(1)..=newest {
        let Some((row, note)) = joints.get(&epoch) else {
            let text = format!(
                "this node joined later than the ledger came into epoch {epoch}, and was not shown how"
            );
            return Err(Failure::new(Code::Failed, text)
                .hint("ask the factory itself, or a tower that was a member then"));
        };
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

/// Writes into the store how the own ledger came into its epochs, as a history shows it: whose word counts for it from there on is
/// known then, although the disk that knew it is gone. Returns the epoch.
///
/// # Errors
/// When the history does not hold, or the store fails.
pub fn adopt(store: &mut Store, file: &LedgerHistory, federation: &Hash) -> Result<u64, Failure> {
    let verified = verify(file, Some(&federation.to_hex()))?;
    let own = &file.origin;
    let joints = verified.history.joints();
    let mut tx = store.begin()?;
    for (joint, activation) in joints.iter().zip(&file.activations) {
        let link = usize::try_from(joint.epoch)
            .ok()
            .and_then(|at| file.links.get(at));
        let note = Bytes::new(activation.digest.to_string().into_bytes());
        let (Some(link), Some(note)) = (link, note) else {
            return Err(damaged(&"the history of an epoch"));
        };
        let row = JointRow {
            index: joint.index,
            manifest: link.manifest().hash(),
            welcome: true,
            size: joint.checkpoint.size,
            note,
        };
        let key = JointRow::key(own, joint.epoch);
        let known = tx.row(Table::Joints, &key)?;
        let known = known.and_then(|row| JointRow::decode(&row));
        if known.is_none_or(|known| known.size == 0) {
            tx.put_row(Table::Joints, &key, &codec::encode(&row))?;
        }
    }
    tx.commit()?;
    Ok(verified.history.epoch())
}

/// The joint digests of a ledger that are known here, by epoch.
fn joints_of(reader: &Reader, origin: &str) -> Result<BTreeMap<u64, (JointRow, String)>, Failure> {
    let first = JointRow::key(origin, 0);
    let rows = reader.rows(Table::Joints, &first, usize::from(u16::MAX))?;
    let mut joints = BTreeMap::new();
    for (key, row) in rows {
        let Some((_, epoch)) = JointRow::of_key(&key).filter(|(name, _)| *name == origin) else {
            break;
        };
        let row = JointRow::decode(&row).ok_or_else(|| damaged(&"the row of a joint digest"))?;
        if let Some(note) = row.joint().map(str::to_owned) {
            joints.insert(epoch, (row, note));
        }
    }
    Ok(joints)
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
            let source = Copy::open(place)?;
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

/// A copy of the ledger. One on a disk has the partial tiles of its own checkpoint alone: narrower ones are cut from them. What it says
/// is believed only as far as it proves something.
struct Copy {
    source: Source,
    /// Entries, as it says itself.
    size: u64,
}

impl Copy {
    fn open(place: &str) -> Result<Self, Failure> {
        let source = Source::open(place)?;
        let note = source.get("checkpoint")?.unwrap_or_default();
        let note = SignedNote::parse(&note).ok();
        let claimed = note.and_then(|note| Checkpoint::parse(note.text()).ok());
        Ok(Self {
            source,
            size: claimed.map_or(0, |claimed| claimed.size),
        })
    }
}

impl TileSource for Copy {
    type Error = Failure;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Failure> {
        match Tile::of_tree(tile.level, tile.index, self.size) {
            Some(wider) if wider.width > tile.width => {
                let mut hashes = self.source.tile(wider)?;
                hashes.truncate(usize::from(tile.width));
                Ok(hashes)
            }
            _ => self.source.tile(tile),
        }
    }
}
