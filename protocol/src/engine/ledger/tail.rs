//! The open end of the ledger during one step: runs of new entries and the tiles of level 1 and more they complete.
//! Collected in memory and written once per step, so that many small appends cost one row.

use super::{Step, head::Head};
use crate::engine::store::{StoreError, Transaction};
use crate::entry::batch::Batch;
use crate::tlog::compact::Node;
use crate::tlog::hash::Hash;
use crate::tlog::tile::{MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH, hashes_at};
use std::collections::BTreeMap;

/// New entries of this step, not yet written.
#[derive(Default)]
pub(super) struct OpenEnd {
    first: u64,
    leaves: Vec<Hash>,
    bundle: Vec<u8>,
    ends: Vec<usize>,
    /// Roots of complete tiles, as (level, index within the level, root).
    completed: Vec<(u8, u64, Hash)>,
}

/// A point to roll back to.
pub(super) struct Mark {
    leaves: usize,
    completed: usize,
}

impl OpenEnd {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            leaves: self.leaves.len(),
            completed: self.completed.len(),
        }
    }

    pub(super) fn roll_back(&mut self, mark: Mark) {
        self.leaves.truncate(mark.leaves);
        self.ends.truncate(mark.leaves);
        self.bundle.truncate(self.ends.last().copied().unwrap_or(0));
        self.completed.truncate(mark.completed);
    }

    /// Sequences the entries of `batch` after `head`.
    pub(super) fn push(&mut self, head: &mut Head, batch: &Batch) {
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

    fn sequence(&mut self, head: &mut Head, leaf: Hash) {
        let day_start = head.today.start();
        let mut of_today = Node {
            height: 0,
            index: head.size(),
            hash: leaf,
        };
        let completed = &mut self.completed;
        head.edge.push(leaf, |node| {
            if node.start() >= day_start {
                of_today = *node;
            }
            if u32::from(node.height).is_multiple_of(TILE_HEIGHT) {
                completed.push((node.height / 8, node.index, node.hash));
            }
        });
        head.today.absorb(of_today);
    }

    /// Writes everything: runs that never cross a bundle's border, then the grown tiles above.
    pub(super) fn write(&mut self, tx: &mut impl Transaction) -> Result<(), StoreError> {
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
                    entry.insert(tx.edge(key.0, key.1)?.unwrap_or_default())
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
            tx.put_edge(level, tile, &hashes)?;
        }
        *self = Self::default();
        Ok(())
    }
}

impl<T: Transaction> Step<'_, T> {
    /// Rows below `through` are in files, re-read and re-hashed: drop them (R10).
    pub(super) fn flushed(&mut self, through: u64) -> Result<(), StoreError> {
        if through <= self.head.flushed
            || through > self.head.size()
            || !through.is_multiple_of(TILE_WIDTH)
        {
            return Ok(());
        }
        self.tx.drop_tail_below(through)?;
        for level in 1..=MAX_TILE_LEVEL {
            let full = hashes_at(level + 1, through);
            if full > 0 {
                self.tx.drop_edge_below(level, full)?;
            }
        }
        self.head.flushed = through;
        Ok(())
    }
}
