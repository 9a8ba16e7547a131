//! The open end of a ledger, the node's own or a mirrored one: runs of new entries and the tiles of level 1 and more
//! that they complete. Collected in memory and written once per step, so that many small appends cost one row.

use super::ledger::Head;
use super::store::{Place, StoreError, Table, Transaction};
use crate::entry::batch::Batch;
use crate::tlog::bundle::{self, BundleError};
use crate::tlog::compact::{CompactRange, Node};
use crate::tlog::hash::{Hash, leaf_hash};
use crate::tlog::tile::{MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH, hashes_at};
use std::collections::BTreeMap;

/// New entries of this step, not yet written.
pub(crate) struct OpenEnd {
    place: Place,
    first: u64,
    leaves: Vec<Hash>,
    bundle: Vec<u8>,
    ends: Vec<usize>,
    /// Roots of complete tiles, as (level, index within the level, root).
    completed: Vec<(u8, u64, Hash)>,
}

/// A point to roll back to.
pub(crate) struct Mark {
    leaves: usize,
    completed: usize,
}

impl OpenEnd {
    /// Nothing new yet at the end of `place`.
    pub(crate) fn of(place: Place) -> Self {
        Self {
            place,
            first: 0,
            leaves: Vec::new(),
            bundle: Vec::new(),
            ends: Vec::new(),
            completed: Vec::new(),
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            leaves: self.leaves.len(),
            completed: self.completed.len(),
        }
    }

    pub(crate) fn roll_back(&mut self, mark: Mark) {
        self.leaves.truncate(mark.leaves);
        self.ends.truncate(mark.leaves);
        self.bundle.truncate(self.ends.last().copied().unwrap_or(0));
        self.completed.truncate(mark.completed);
    }

    /// Sequences the entries of `batch` after `head`.
    pub(crate) fn push(&mut self, head: &mut Head, batch: &Batch) {
        if self.leaves.is_empty() {
            self.first = head.size();
        }
        let before = self.bundle.len();
        self.bundle.extend_from_slice(batch.bundle(0, batch.len()));
        let mut end = before;
        for (position, leaf) in batch.leaves().iter().enumerate() {
            end += batch.bundle(position, position + 1).len();
            self.ends.push(end);
            self.leaves.push(*leaf);
            self.sequence(head, *leaf);
        }
    }

    /// Takes the entries of `bundle` behind `edge`. Bytes are hashed and nothing is parsed.
    ///
    /// # Errors
    /// When the bundle is malformed; what came before the fault is in `edge` and here then: drop both.
    pub(crate) fn push_bundle(
        &mut self,
        edge: &mut CompactRange,
        bytes: &[u8],
    ) -> Result<u64, BundleError> {
        if self.leaves.is_empty() {
            self.first = edge.end();
        }
        let mut count = 0;
        let mut end = self.bundle.len();
        let completed = &mut self.completed;
        for entry in bundle::entries(bytes) {
            let entry = entry?;
            let leaf = leaf_hash(entry);
            end += 2 + entry.len();
            self.ends.push(end);
            self.leaves.push(leaf);
            edge.push(leaf, |node| complete(completed, node));
            count += 1;
        }
        self.bundle.extend_from_slice(bytes);
        Ok(count)
    }

    fn sequence(&mut self, head: &mut Head, leaf: Hash) {
        let completed = &mut self.completed;
        advance(head, leaf, |node| complete(completed, node));
    }

    /// Writes everything: runs that never cross a bundle's border, then the grown tiles above.
    pub(crate) fn write(&mut self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        let mut from = 0;
        while from < self.leaves.len() {
            let start = self.first + from as u64;
            let room = usize::try_from(TILE_WIDTH - start % TILE_WIDTH).unwrap_or(1);
            let to = (from + room).min(self.leaves.len());
            let byte = |position: usize| {
                position
                    .checked_sub(1)
                    .map_or(0, |before| self.ends[before])
            };
            tx.put_tail(
                self.place,
                start,
                &self.leaves[from..to],
                &self.bundle[byte(from)..byte(to)],
            )?;
            from = to;
        }
        let mut grown: BTreeMap<(u8, u64), Vec<Hash>> = BTreeMap::new();
        for (level, index, root) in &self.completed {
            let key = (*level, index / TILE_WIDTH);
            let hashes = match grown.entry(key) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(tx.edge(self.place, key.0, key.1)?.unwrap_or_default())
                }
            };
            if hashes.len() as u64 != index % TILE_WIDTH {
                return Err(StoreError::Damaged(format!(
                    "unflushed tile {}/{}",
                    key.0, key.1
                )));
            }
            hashes.push(*root);
        }
        for ((level, tile), hashes) in grown {
            tx.put_edge(self.place, level, tile, &hashes)?;
        }
        *self = Self::of(self.place);
        Ok(())
    }
}

/// Moves `head` over an entry that is stored already.
pub(crate) fn sequence(head: &mut Head, leaf: Hash) {
    advance(head, leaf, |_| {});
}

fn advance(head: &mut Head, leaf: Hash, mut completed: impl FnMut(&Node)) {
    let day_start = head.today.start();
    let mut of_today = Node {
        height: 0,
        index: head.size(),
        hash: leaf,
    };
    head.edge.push(leaf, |node| {
        if node.start() >= day_start {
            of_today = *node;
        }
        completed(node);
    });
    head.today.absorb(of_today);
}

/// Remembers the roots of complete tiles.
fn complete(completed: &mut Vec<(u8, u64, Hash)>, node: &Node) {
    if u32::from(node.height).is_multiple_of(TILE_HEIGHT) {
        completed.push((node.height / 8, node.index, node.hash));
    }
}

/// Drops the rows below `through`, a multiple of 256: files hold them now, re-read and re-hashed (R10).
pub(crate) fn drop_flushed(
    tx: &mut impl Transaction,
    place: Place,
    through: u64,
) -> Result<(), StoreError> {
    tx.drop_tail_below(place, through)?;
    for level in 1..=MAX_TILE_LEVEL {
        let full = hashes_at(level + 1, through);
        if full > 0 {
            tx.drop_edge_below(place, level, full)?;
        }
    }
    Ok(())
}

/// Bytes at the start of a mirror row: u32 place, u64 base, u64 flushed, all big-endian.
const MIRROR_PREFIX: usize = 20;

/// Notes that files hold the entries of `origin`'s mirrored ledger below `through`, and drops their rows (R10). Says
/// whether that was news; a ledger that is not mirrored any more, or an index that is no bundle's border or above the
/// verified base, changes nothing.
///
/// # Errors
/// When the store fails or the mirror's row is too short.
pub fn flushed_mirror(
    tx: &mut impl Transaction,
    origin: &str,
    through: u64,
) -> Result<bool, StoreError> {
    let Some(mut row) = tx.row(Table::Mirror, origin.as_bytes())? else {
        return Ok(false);
    };
    let Some(prefix) = row.first_chunk::<MIRROR_PREFIX>() else {
        return Err(StoreError::Damaged(format!("the mirror row of {origin}")));
    };
    let [p0, p1, p2, p3, rest @ ..] = *prefix;
    let place = Place(u32::from_be_bytes([p0, p1, p2, p3]));
    let (numbers, _) = rest.as_chunks::<8>();
    let (base, flushed) = match numbers {
        [base, flushed] => (u64::from_be_bytes(*base), u64::from_be_bytes(*flushed)),
        _ => return Ok(false),
    };
    let is_border = through.is_multiple_of(TILE_WIDTH);
    if place == Place::OWN || !is_border || through <= flushed || through > base {
        return Ok(false);
    }
    drop_flushed(tx, place, through)?;
    row[MIRROR_PREFIX - 8..MIRROR_PREFIX].copy_from_slice(&through.to_be_bytes());
    tx.put_row(Table::Mirror, origin.as_bytes(), &row)?;
    Ok(true)
}

/// Gives up the entries from `size` on, which no digest covers and no file holds.
pub(crate) fn truncate(
    tx: &mut impl Transaction,
    place: Place,
    size: u64,
) -> Result<(), StoreError> {
    let border = size - size % TILE_WIDTH;
    let crossing = tx.tail(place, border, size)?.pop();
    tx.drop_tail_from(place, size)?;
    if let Some(run) = crossing
        && run.start + run.leaves.len() as u64 > size
    {
        let keep = usize::try_from(size - run.start).unwrap_or(0);
        let kept: usize = bundle::entries(&run.bundle)
            .take(keep)
            .map(|entry| entry.map_or(0, |entry| 2 + entry.len()))
            .sum();
        tx.drop_tail_from(place, run.start)?;
        tx.put_tail(place, run.start, &run.leaves[..keep], &run.bundle[..kept])?;
    }
    for level in 1..=MAX_TILE_LEVEL {
        let hashes = hashes_at(level, size);
        let (tile, width) = (hashes / TILE_WIDTH, hashes % TILE_WIDTH);
        let open = tx.edge(place, level, tile)?;
        tx.drop_edge_from(place, level, tile)?;
        if let Some(mut open) = open
            && width > 0
        {
            open.truncate(usize::try_from(width).unwrap_or(0));
            tx.put_edge(place, level, tile, &open)?;
        }
    }
    Ok(())
}

/// The edge at `to`, from the edge at an earlier size and the rows between.
pub(crate) fn edge_at(
    tx: &impl Transaction,
    place: Place,
    from: &CompactRange,
    to: u64,
) -> Result<CompactRange, StoreError> {
    let mut edge = from.clone();
    let border = edge.end() - edge.end() % TILE_WIDTH;
    for run in tx.tail(place, border, to)? {
        for (index, leaf) in (run.start..).zip(&run.leaves) {
            if index == edge.end() && index < to {
                edge.push(*leaf, |_| {});
            }
        }
    }
    if edge.end() == to {
        Ok(edge)
    } else {
        Err(StoreError::Damaged(format!(
            "entries from {} of a ledger are missing",
            edge.end()
        )))
    }
}
