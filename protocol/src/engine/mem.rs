//! A store in memory with the same behaviour as the one on disk: for model tests and large simulations.
//! Changes are visible only after a commit; a dropped transaction leaves no trace.

use super::federation::serve::EntrySource;
use super::outbox::Committed;
use super::store::{IdemRow, Place, Record, Run, StoreError, Table, Transaction};
use crate::entry::batch::{IdemTag, SealedPayload};
use crate::tlog::bundle;
use crate::tlog::hash::Hash;
use crate::tlog::proof::TileSource;
use crate::tlog::tile::{TILE_WIDTH, Tile};
use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, StoreError>;

/// Everything a node must not lose, in memory.
#[derive(Clone, Debug, Default)]
pub struct MemStore {
    records: BTreeMap<Record, Vec<u8>>,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    tail: BTreeMap<(Place, u64), Run>,
    edges: BTreeMap<(Place, u8, u64), Vec<Hash>>,
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
        self.entries_of(Place::OWN)
    }

    /// All entries of a ledger that are not flushed, in order.
    ///
    /// # Errors
    /// When a stored bundle is malformed.
    pub fn entries_of(
        &self,
        place: Place,
    ) -> std::result::Result<Vec<Vec<u8>>, bundle::BundleError> {
        self.tail
            .range((place, 0)..=(place, u64::MAX))
            .flat_map(|(_, run)| bundle::entries(&run.bundle))
            .map(|entry| entry.map(<[u8]>::to_vec))
            .collect()
    }

    /// Whether a payload is there.
    #[must_use]
    pub fn has_payload(&self, id: &[u8; 32]) -> bool {
        self.payloads.contains_key(id)
    }
}

/// One ledger of a [`MemStore`], as a source of tiles and bundles: this store never flushes to files.
#[derive(Clone, Copy)]
pub struct MemLedger<'a> {
    store: &'a MemStore,
    place: Place,
}

impl MemStore {
    /// One ledger of this store.
    #[must_use]
    pub fn ledger(&self, place: Place) -> MemLedger<'_> {
        MemLedger { store: self, place }
    }
}

impl TileSource for MemStore {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>> {
        self.ledger(Place::OWN).tile(tile)
    }
}

impl TileSource for MemLedger<'_> {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>> {
        let width = usize::from(tile.width);
        let missing = || StoreError::Damaged(format!("{} is missing", tile.path()));
        let hashes = if tile.level == 0 {
            let first = tile.index * TILE_WIDTH;
            self.store
                .tail
                .range((self.place, first)..(self.place, first + TILE_WIDTH))
                .flat_map(|(_, run)| run.leaves.clone())
                .collect()
        } else {
            self.store
                .edges
                .get(&(self.place, tile.level, tile.index))
                .cloned()
                .ok_or_else(missing)?
        };
        hashes
            .get(..width)
            .map(<[Hash]>::to_vec)
            .ok_or_else(missing)
    }
}

impl EntrySource for MemLedger<'_> {
    fn bundle(&self, index: u64) -> Result<Vec<u8>> {
        let first = index * TILE_WIDTH;
        Ok(self
            .store
            .tail
            .range((self.place, first)..(self.place, first + TILE_WIDTH))
            .flat_map(|(_, run)| run.bundle.clone())
            .collect())
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

    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.work.rows.get(&(table, key.to_vec())).cloned())
    }

    fn put_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.work.rows.insert((table, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn remove_row(&mut self, table: Table, key: &[u8]) -> Result<()> {
        self.work.rows.remove(&(table, key.to_vec()));
        Ok(())
    }

    fn rows(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        Ok(self
            .work
            .rows
            .range((table, from.to_vec())..)
            .take_while(|((at, _), _)| *at == table)
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn remove_rows_below(&mut self, table: Table, below: &[u8]) -> Result<u64> {
        let before = self.work.rows.len();
        self.work
            .rows
            .retain(|(at, key), _| *at != table || key.as_slice() >= below);
        Ok((before - self.work.rows.len()) as u64)
    }

    fn put_tail(&mut self, place: Place, start: u64, leaves: &[Hash], bundle: &[u8]) -> Result<()> {
        self.work.tail.insert(
            (place, start),
            Run {
                start,
                leaves: leaves.to_vec(),
                bundle: bundle.to_vec(),
            },
        );
        Ok(())
    }

    fn tail(&self, place: Place, from: u64, to: u64) -> Result<Vec<Run>> {
        Ok(self
            .work
            .tail
            .range((place, from)..(place, to.max(from)))
            .map(|(_, run)| run.clone())
            .collect())
    }

    fn drop_tail_below(&mut self, place: Place, end: u64) -> Result<()> {
        self.work
            .tail
            .retain(|(at, start), _| *at != place || *start >= end);
        Ok(())
    }

    fn drop_tail_from(&mut self, place: Place, from: u64) -> Result<()> {
        self.work
            .tail
            .retain(|(at, start), _| *at != place || *start < from);
        Ok(())
    }

    fn edge(&self, place: Place, level: u8, tile: u64) -> Result<Option<Vec<Hash>>> {
        Ok(self.work.edges.get(&(place, level, tile)).cloned())
    }

    fn put_edge(&mut self, place: Place, level: u8, tile: u64, hashes: &[Hash]) -> Result<()> {
        self.work
            .edges
            .insert((place, level, tile), hashes.to_vec());
        Ok(())
    }

    fn drop_edge_below(&mut self, place: Place, level: u8, tile: u64) -> Result<()> {
        self.work
            .edges
            .retain(|(at, of, index), _| (*at, *of) != (place, level) || *index >= tile);
        Ok(())
    }

    fn drop_edge_from(&mut self, place: Place, level: u8, tile: u64) -> Result<()> {
        self.work
            .edges
            .retain(|(at, of, index), _| (*at, *of) != (place, level) || *index < tile);
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

    fn digest(&self, size: u64) -> Result<Option<String>> {
        Ok(self.work.digests.get(&size).cloned())
    }

    fn drop_digests_above(&mut self, size: u64) -> Result<()> {
        self.work.digests.retain(|at, _| *at <= size);
        Ok(())
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

    fn drop_idem_from(&mut self, index: u64) -> Result<()> {
        self.work.idem.retain(|_, row| row.index < index);
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
