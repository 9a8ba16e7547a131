//! A store in memory with the same behaviour as the one on disk: for model tests and large simulations.
//! Changes are visible only after a commit; a dropped transaction leaves no trace.

use super::outbox::Committed;
use super::store::{IdemRow, Record, StoreError, Transaction};
use crate::entry::batch::{IdemTag, SealedPayload};
use crate::tlog::bundle;
use crate::tlog::hash::Hash;
use crate::tlog::proof::TileSource;
use crate::tlog::tile::{TILE_WIDTH, Tile};
use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, StoreError>;

/// One run of entries at the open end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Leaf hashes.
    pub leaves: Vec<Hash>,
    /// Entries in bundle form.
    pub bundle: Vec<u8>,
}

/// Everything a node must not lose, in memory.
#[derive(Clone, Debug, Default)]
pub struct MemStore {
    records: BTreeMap<Record, Vec<u8>>,
    tail: BTreeMap<u64, Run>,
    edges: BTreeMap<(u8, u64), Vec<Hash>>,
    digests: BTreeMap<u64, String>,
    idem: BTreeMap<[u8; 16], IdemRow>,
    payloads: BTreeMap<[u8; 32], (u64, Vec<u8>)>,
    erased: BTreeMap<[u8; 32], u64>,
}

/// A transaction over a [`MemStore`].
pub struct MemTransaction<'a> {
    store: &'a mut MemStore,
    work: MemStore,
    savepoint: Option<Box<MemStore>>,
}

impl MemStore {
    /// Begins a transaction.
    pub fn begin(&mut self) -> MemTransaction<'_> {
        let work = self.clone();
        MemTransaction {
            store: self,
            work,
            savepoint: None,
        }
    }

    /// All entries that are not flushed, in order.
    ///
    /// # Errors
    /// When a stored bundle is malformed.
    pub fn entries(&self) -> std::result::Result<Vec<Vec<u8>>, bundle::BundleError> {
        self.tail
            .values()
            .flat_map(|run| bundle::entries(&run.bundle))
            .map(|entry| entry.map(<[u8]>::to_vec))
            .collect()
    }

    /// Whether a payload is there.
    #[must_use]
    pub fn has_payload(&self, id: &[u8; 32]) -> bool {
        self.payloads.contains_key(id)
    }
}

/// Tiles of what is not flushed: this store never flushes to files.
impl TileSource for MemStore {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>> {
        let width = usize::from(tile.width);
        let missing = || StoreError::Damaged(format!("{} is missing", tile.path()));
        let hashes = if tile.level == 0 {
            let first = tile.index * TILE_WIDTH;
            self.tail
                .range(first..first + TILE_WIDTH)
                .flat_map(|(_, run)| run.leaves.clone())
                .collect()
        } else {
            self.edges
                .get(&(tile.level, tile.index))
                .cloned()
                .ok_or_else(missing)?
        };
        hashes
            .get(..width)
            .map(<[Hash]>::to_vec)
            .ok_or_else(missing)
    }
}

impl Transaction for MemTransaction<'_> {
    fn savepoint(&mut self) -> Result<()> {
        self.savepoint = Some(Box::new(self.work.clone()));
        Ok(())
    }

    fn keep_savepoint(&mut self) -> Result<()> {
        self.savepoint = None;
        Ok(())
    }

    fn undo_savepoint(&mut self) -> Result<()> {
        if let Some(before) = self.savepoint.take() {
            self.work = *before;
        }
        Ok(())
    }

    fn record(&self, record: Record) -> Result<Option<Vec<u8>>> {
        Ok(self.work.records.get(&record).cloned())
    }

    fn put_record(&mut self, record: Record, value: &[u8]) -> Result<()> {
        self.work.records.insert(record, value.to_vec());
        Ok(())
    }

    fn put_tail(&mut self, start: u64, leaves: &[Hash], bundle: &[u8]) -> Result<()> {
        self.work.tail.insert(
            start,
            Run {
                leaves: leaves.to_vec(),
                bundle: bundle.to_vec(),
            },
        );
        Ok(())
    }

    fn drop_tail_below(&mut self, end: u64) -> Result<()> {
        self.work.tail.retain(|start, _| *start >= end);
        Ok(())
    }

    fn edge(&self, level: u8, tile: u64) -> Result<Option<Vec<Hash>>> {
        Ok(self.work.edges.get(&(level, tile)).cloned())
    }

    fn put_edge(&mut self, level: u8, tile: u64, hashes: &[Hash]) -> Result<()> {
        self.work.edges.insert((level, tile), hashes.to_vec());
        Ok(())
    }

    fn drop_edge_below(&mut self, level: u8, tile: u64) -> Result<()> {
        self.work
            .edges
            .retain(|(at, index), _| *at != level || *index >= tile);
        Ok(())
    }

    fn put_digest(&mut self, size: u64, note: &str) -> Result<()> {
        self.work.digests.insert(size, note.to_owned());
        Ok(())
    }

    fn newest_digest(&self) -> Result<Option<(u64, String)>> {
        Ok(self
            .work
            .digests
            .last_key_value()
            .map(|(size, note)| (*size, note.clone())))
    }

    fn prune_digests(&mut self, keep: u64) -> Result<()> {
        while self.work.digests.len() as u64 > keep {
            self.work.digests.pop_first();
        }
        Ok(())
    }

    fn idem(&self, id: &[u8; 16]) -> Result<Option<IdemRow>> {
        Ok(self.work.idem.get(id).copied())
    }

    fn put_idem(&mut self, tag: &IdemTag, row: &IdemRow) -> Result<()> {
        self.work.idem.insert(tag.id, *row);
        Ok(())
    }

    fn prune_idem(&mut self, now_us: i64) -> Result<()> {
        self.work
            .idem
            .retain(|_, row| row.expires_us.is_none_or(|expires| expires > now_us));
        Ok(())
    }

    fn put_payload(&mut self, index: u64, payload: &SealedPayload) -> Result<()> {
        self.work
            .payloads
            .insert(payload.id, (index, payload.sealed.clone()));
        Ok(())
    }

    fn erase_payload(&mut self, id: &[u8; 32], erase_index: u64) -> Result<()> {
        self.work.payloads.remove(id);
        self.work.erased.insert(*id, erase_index);
        Ok(())
    }

    fn erased(&self, id: &[u8; 32]) -> Result<Option<u64>> {
        Ok(self.work.erased.get(id).copied())
    }

    fn commit(self) -> Result<Committed> {
        *self.store = self.work;
        Ok(Committed::after_durable_commit())
    }
}
