//! What is done to a store, drawn from a seed: every kind of row that the engine writes. The same operations go to the store
//! in memory and to the one on a disk, and both must answer alike.

use crate::streams::Stream;
use belfry_protocol::engine::store::{IdemRow, Place, Record, StoreError, Table, Transaction};
use belfry_protocol::entry::batch::{IdemTag, SealedPayload};
use belfry_protocol::tlog::hash::{Hash, leaf_hash};

type Result<T> = std::result::Result<T, StoreError>;

/// Records that are written. The head is not among them: the store reads it, and it has a form.
const RECORDS: [Record; 3] = [Record::Incarnation, Record::NonceFloor, Record::StreamBlock];
/// Holds the transaction's number, so that no two leave the same.
const NUMBER: Record = Record::Acked;
const PLACES: [Place; 3] = [Place::OWN, Place(1), Place(u32::MAX)];
/// Beyond all starts, tiles and sizes.
const SIZES: u64 = 24;
/// Beyond all levels.
const LEVELS: u8 = 3;
/// Different payloads.
const PAYLOADS: u8 = 40;
/// Different idempotency ids.
const IDS: u8 = 8;

/// One operation on a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a singleton.
    PutRecord(Record, Vec<u8>),
    /// Writes a keyed row.
    PutRow(Table, Vec<u8>, Vec<u8>),
    /// Removes a keyed row.
    RemoveRow(Table, Vec<u8>),
    /// Removes the rows below a key.
    RemoveRowsBelow(Table, Vec<u8>),
    /// Adds a run of so many leaves, unless there is one.
    PutTail(Place, u64, u8),
    /// Drops runs.
    DropTailBelow(Place, u64),
    /// Drops runs.
    DropTailFrom(Place, u64),
    /// Writes a tile of so many hashes.
    PutEdge(Place, u8, u64, u8),
    /// Drops tiles.
    DropEdgeBelow(Place, u8, u64),
    /// Drops tiles.
    DropEdgeFrom(Place, u8, u64),
    /// Adds a digest.
    PutDigest(u64, String),
    /// Forgets digests.
    DropDigestsAbove(u64),
    /// Forgets digests.
    PruneDigests(u64),
    /// Remembers an idempotency id.
    PutIdem(u8, u64, Option<i64>),
    /// Forgets ids of entries.
    DropIdemFrom(u64),
    /// Forgets ids that expired.
    PruneIdem(i64),
    /// Stores a payload.
    PutPayload(u8),
    /// Erases a payload.
    Erase(u8),
}

/// One part of a transaction: inputs run in savepoints, and some of them are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Without a savepoint.
    Plain(Vec<Op>),
    /// In a savepoint that is kept.
    Kept(Vec<Op>),
    /// In a savepoint that is undone.
    Undone(Vec<Op>),
}

impl Part {
    fn ops(&self) -> &[Op] {
        match self {
            Self::Plain(ops) | Self::Kept(ops) | Self::Undone(ops) => ops,
        }
    }

    /// The payloads that this part may store for good.
    pub(super) fn payloads(&self) -> impl Iterator<Item = u8> {
        let kept = !matches!(self, Self::Undone(_));
        self.ops().iter().filter_map(move |op| match op {
            Op::PutPayload(number) if kept => Some(*number),
            _ => None,
        })
    }
}

fn bytes(rng: &mut Stream, most: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(rng.below(most)).unwrap_or(0)];
    rng.fill(&mut bytes);
    bytes
}

/// A byte below `end`.
fn small(rng: &mut Stream, end: u8) -> u8 {
    u8::try_from(rng.below(u64::from(end))).unwrap_or(0)
}

impl Op {
    /// The next operation of a stream.
    pub fn draw(rng: &mut Stream) -> Self {
        let table = Table::ALL[rng.index(Table::ALL.len())];
        let place = PLACES[rng.index(PLACES.len())];
        let (level, at) = (1 + small(rng, LEVELS - 1), rng.below(SIZES));
        // Few different keys, with prefixes of each other.
        let key: Vec<u8> = (0..rng.below(3))
            .map(|_| [0, b'a', 0xff][rng.index(3)])
            .collect();
        match rng.below(22) {
            0..=2 => Self::PutRecord(RECORDS[rng.index(RECORDS.len())], bytes(rng, 60)),
            // Now and then more than a page.
            3..=6 => {
                let most = if rng.one_in(8) { 20_000 } else { 300 };
                Self::PutRow(table, key, bytes(rng, most))
            }
            7 => Self::RemoveRow(table, key),
            8 => Self::RemoveRowsBelow(table, key),
            9..=10 => Self::PutTail(place, at, 1 + small(rng, 60)),
            11 => Self::DropTailBelow(place, at),
            12 => Self::DropTailFrom(place, at),
            13 => Self::PutEdge(place, level, at, small(rng, 40)),
            14 if rng.one_in(2) => Self::DropEdgeBelow(place, level, at),
            14 => Self::DropEdgeFrom(place, level, at),
            15..=16 => Self::PutDigest(at, format!("note {}\n", rng.next())),
            17 if rng.one_in(2) => Self::DropDigestsAbove(at),
            17 => Self::PruneDigests(1 + rng.below(3)),
            18 => {
                let expires = (!rng.one_in(3)).then(|| i64::from(small(rng, 9)));
                Self::PutIdem(small(rng, IDS), at, expires)
            }
            19 if rng.one_in(2) => Self::DropIdemFrom(at),
            19 => Self::PruneIdem(i64::from(small(rng, 9))),
            20 => Self::Erase(small(rng, PAYLOADS)),
            _ => Self::PutPayload(small(rng, PAYLOADS)),
        }
    }
}

impl Part {
    /// The next part of a stream.
    pub fn draw(rng: &mut Stream) -> Self {
        let ops = (0..rng.below(6)).map(|_| Op::draw(rng)).collect();
        match rng.below(5) {
            0 => Self::Plain(ops),
            1 => Self::Undone(ops),
            _ => Self::Kept(ops),
        }
    }
}

/// A payload by its number. Its key is found by its bytes wherever it lies on a disk.
#[must_use]
pub fn payload(number: u8) -> SealedPayload {
    let mut rng = Stream::new(0, "payload", u64::from(number));
    let (mut id, mut key) = ([0; 32], [0; 32]);
    rng.fill(&mut id);
    rng.fill(&mut key);
    let mut sealed = vec![0; 40 + rng.index(400)];
    rng.fill(&mut sealed);
    SealedPayload { id, key, sealed }
}

/// As [`payload`], if there is one of that number.
pub(super) fn known(number: u8) -> Option<SealedPayload> {
    (number < PAYLOADS).then(|| payload(number))
}

/// The entry that a payload belongs to.
pub(super) fn entry_of(number: u8) -> u64 {
    u64::from(number)
}

/// The number of a payload by its id.
pub(super) fn number_of(id: &[u8; 32]) -> Option<u8> {
    (0..PAYLOADS).find(|number| payload(*number).id == *id)
}

fn hashes(seed: u64, count: u8) -> Vec<Hash> {
    (0..count)
        .map(|at| leaf_hash(&[&seed.to_be_bytes()[..], &[at]].concat()))
        .collect()
}

/// Does one operation; what it returns belongs to the comparison. `stored` knows the payloads that are there, which a
/// transaction cannot ask for.
pub(super) fn apply(tx: &mut impl Transaction, op: &Op, stored: &mut Vec<u8>) -> Result<u64> {
    match op {
        Op::PutRecord(record, value) => tx.put_record(*record, value)?,
        Op::PutRow(table, key, value) => tx.put_row(*table, key, value)?,
        Op::RemoveRow(table, key) => tx.remove_row(*table, key)?,
        Op::RemoveRowsBelow(table, below) => return tx.remove_rows_below(*table, below),
        // A run is written once, and so is a payload: the engine never asks for a second one.
        Op::PutTail(place, start, count) => {
            if tx.tail(*place, *start, start + 1)?.is_empty() {
                tx.put_tail(*place, *start, &hashes(*start, *count), &[*count; 90])?;
            }
        }
        Op::DropTailBelow(place, end) => tx.drop_tail_below(*place, *end)?,
        Op::DropTailFrom(place, start) => tx.drop_tail_from(*place, *start)?,
        Op::PutEdge(place, level, tile, count) => {
            tx.put_edge(*place, *level, *tile, &hashes(*tile, *count))?;
        }
        Op::DropEdgeBelow(place, level, tile) => tx.drop_edge_below(*place, *level, *tile)?,
        Op::DropEdgeFrom(place, level, tile) => tx.drop_edge_from(*place, *level, *tile)?,
        Op::PutDigest(size, note) => tx.put_digest(*size, note)?,
        Op::DropDigestsAbove(size) => tx.drop_digests_above(*size)?,
        Op::PruneDigests(keep) => tx.prune_digests(*keep)?,
        Op::PutIdem(id, index, expires_us) => {
            let (id, content) = ([*id; 16], [7; 16]);
            let tag = IdemTag {
                id,
                content,
                for_ever: expires_us.is_none(),
            };
            let row = IdemRow {
                index: *index,
                content,
                expires_us: *expires_us,
            };
            tx.put_idem(&tag, &row)?;
        }
        Op::DropIdemFrom(index) => tx.drop_idem_from(*index)?,
        Op::PruneIdem(now) => tx.prune_idem(*now)?,
        Op::PutPayload(number) => {
            let sealed = payload(*number);
            let erased = tx.erased(&sealed.id)?.is_some();
            if !erased && !stored.contains(number) {
                tx.put_payload(entry_of(*number), &sealed)?;
                stored.push(*number);
            }
        }
        Op::Erase(number) => {
            let id = payload(*number).id;
            if tx.erased(&id)?.is_none() && stored.contains(number) {
                tx.erase_payload(&id, entry_of(*number))?;
                stored.retain(|one| one != number);
                return Ok(1);
            }
        }
    }
    Ok(0)
}

/// Marks a transaction with its number.
pub(super) fn mark(tx: &mut impl Transaction, number: u64) -> Result<()> {
    tx.put_record(NUMBER, &number.to_be_bytes())
}

/// Does one part; returns what its operations returned.
///
/// # Errors
/// When the store fails.
pub fn run(tx: &mut impl Transaction, part: &Part, stored: &mut Vec<u8>) -> Result<Vec<u64>> {
    if matches!(part, Part::Plain(_)) {
        return part.ops().iter().map(|op| apply(tx, op, stored)).collect();
    }
    let before = stored.clone();
    tx.savepoint()?;
    let returned = part.ops().iter().map(|op| apply(tx, op, stored)).collect();
    if matches!(part, Part::Kept(_)) {
        tx.keep_savepoint()?;
    } else {
        tx.undo_savepoint()?;
        *stored = before;
    }
    returned
}

/// Everything that reads return, but for payloads, as text.
///
/// # Errors
/// When the store fails.
pub fn state(tx: &impl Transaction) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    for record in RECORDS.into_iter().chain([NUMBER]) {
        seen.push(format!("{record:?} {:?}", tx.record(record)?));
    }
    for table in Table::ALL {
        for (key, value) in tx.rows(table, b"", usize::MAX)? {
            seen.push(format!("{table:?} {key:?} {value:?}"));
        }
    }
    for place in PLACES {
        for run in tx.tail(place, 0, SIZES)? {
            seen.push(format!("{place:?} {run:?}"));
        }
        for (level, tile) in (1..LEVELS).flat_map(|level| (0..SIZES).map(move |tile| (level, tile)))
        {
            if let Some(edge) = tx.edge(place, level, tile)? {
                seen.push(format!("{place:?} {level}/{tile} {edge:?}"));
            }
        }
    }
    seen.push(format!("newest {:?}", tx.newest_digest()?));
    for size in 0..SIZES {
        if let Some(note) = tx.digest(size)? {
            seen.push(format!("digest {size} {note:?}"));
        }
    }
    for id in 0..IDS {
        if let Some(row) = tx.idem(&[id; 16])? {
            seen.push(format!("idem {id} {row:?}"));
        }
    }
    for number in 0..PAYLOADS {
        if let Some(entry) = tx.erased(&payload(number).id)? {
            seen.push(format!("erased {number} by {entry}"));
        }
    }
    Ok(seen)
}
