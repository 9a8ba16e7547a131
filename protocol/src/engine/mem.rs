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
use std::ops::Bound;

/// Rows of one table, by key.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

type Result<T> = std::result::Result<T, StoreError>;

/// Everything a node must not lose, in memory.
#[derive(Clone, Debug, Default)]
pub struct MemStore {
    records: BTreeMap<Record, Vec<u8>>,
    rows: BTreeMap<Table, Rows>,
    tail: BTreeMap<(Place, u64), Run>,
    edges: BTreeMap<(Place, u8, u64), Vec<Hash>>,
    digests: BTreeMap<u64, String>,
    idem: BTreeMap<[u8; 16], IdemRow>,
    payloads: BTreeMap<[u8; 32], (u64, Vec<u8>)>,
    erased: BTreeMap<[u8; 32], u64>,
}

/// A transaction over a [`MemStore`]: it changes the store in place and notes what was there before, so that its cost
/// follows what it changes and not what the store holds.
pub struct MemTransaction<'a> {
    store: &'a mut MemStore,
    undo: Vec<Undo>,
    savepoint: Option<usize>,
    committed: bool,
}

/// What was there before a change.
enum Undo {
    Record(Record, Option<Vec<u8>>),
    Row(Table, Vec<u8>, Option<Vec<u8>>),
    Tail((Place, u64), Option<Run>),
    Edge((Place, u8, u64), Option<Vec<Hash>>),
    Digest(u64, Option<String>),
    Idem([u8; 16], Option<IdemRow>),
    Payload([u8; 32], Option<(u64, Vec<u8>)>),
    Erased([u8; 32], Option<u64>),
}

/// Puts back what was at `key` before.
fn put_back<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, before: Option<V>) {
    match before {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

/// The keys of `map` within `range`, to be removed one by one.
fn keys_in<K: Ord + Clone, V>(
    map: &BTreeMap<K, V>,
    range: impl std::ops::RangeBounds<K>,
) -> Vec<K> {
    map.range(range).map(|(key, _)| key.clone()).collect()
}

impl Undo {
    fn apply(self, store: &mut MemStore) {
        match self {
            Self::Record(key, before) => put_back(&mut store.records, key, before),
            Self::Row(table, key, before) => {
                put_back(store.rows.entry(table).or_default(), key, before);
            }
            Self::Tail(key, before) => put_back(&mut store.tail, key, before),
            Self::Edge(key, before) => put_back(&mut store.edges, key, before),
            Self::Digest(key, before) => put_back(&mut store.digests, key, before),
            Self::Idem(key, before) => put_back(&mut store.idem, key, before),
            Self::Payload(key, before) => put_back(&mut store.payloads, key, before),
            Self::Erased(key, before) => put_back(&mut store.erased, key, before),
        }
    }
}

impl MemTransaction<'_> {
    /// One ledger as this transaction sees it.
    #[must_use]
    pub fn ledger(&self, place: Place) -> MemLedger<'_> {
        self.store.ledger(place)
    }

    fn undo_to(&mut self, mark: usize) {
        while self.undo.len() > mark {
            if let Some(undo) = self.undo.pop() {
                undo.apply(self.store);
            }
        }
    }
}

/// A commit whose sync has not come back: a crash may lose it yet.
#[must_use]
pub struct InDoubt(Vec<Undo>);

impl InDoubt {
    /// Whether nothing was changed, so that there is nothing to sync.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl MemTransaction<'_> {
    /// Commits, and says what a crash before the sync would put back. Whoever takes it releases nothing before the
    /// simulated sync is over.
    pub fn commit_in_doubt(mut self) -> (Committed, InDoubt) {
        self.committed = true;
        let undo = std::mem::take(&mut self.undo);
        (Committed::after_durable_commit(), InDoubt(undo))
    }
}

impl MemStore {
    /// The crash came first: the newest commit never happened. Only the newest can be lost.
    pub fn lose(&mut self, newest: InDoubt) {
        for undo in newest.0.into_iter().rev() {
            undo.apply(self);
        }
    }

    /// This store with the anti-replay tables of another: what a backup of a part brings back.
    #[must_use]
    pub fn with_nonces_of(mut self, other: &Self) -> Self {
        let nonces = |table: Table| matches!(table, Table::Nonces | Table::Streams);
        self.rows.retain(|table, _| !nonces(*table));
        let theirs = other.rows.iter().filter(|(table, _)| nonces(**table));
        self.rows
            .extend(theirs.map(|(table, rows)| (*table, rows.clone())));
        for record in [Record::NonceFloor, Record::StreamBlock, Record::FloorDue] {
            match other.records.get(&record) {
                Some(value) => self.records.insert(record, value.clone()),
                None => self.records.remove(&record),
            };
        }
        self
    }

    /// Whether idempotency keys are remembered, which a tick of the ledger forgets in time.
    #[must_use]
    pub fn remembers_appends(&self) -> bool {
        !self.idem.is_empty()
    }

    /// Rows of a table, for the caps that a simulation checks.
    #[must_use]
    pub fn count_rows(&self, table: Table) -> usize {
        self.rows.get(&table).map_or(0, BTreeMap::len)
    }
}

impl Drop for MemTransaction<'_> {
    fn drop(&mut self) {
        if !self.committed {
            self.undo_to(0);
        }
    }
}

impl MemStore {
    /// Begins a transaction.
    pub fn begin(&mut self) -> MemTransaction<'_> {
        MemTransaction {
            store: self,
            undo: Vec::new(),
            savepoint: None,
            committed: false,
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
        self.savepoint = Some(self.undo.len());
        Ok(())
    }

    fn keep_savepoint(&mut self) -> Result<()> {
        self.savepoint = None;
        Ok(())
    }

    fn undo_savepoint(&mut self) -> Result<()> {
        if let Some(mark) = self.savepoint.take() {
            self.undo_to(mark);
        }
        Ok(())
    }

    fn record(&self, record: Record) -> Result<Option<Vec<u8>>> {
        Ok(self.store.records.get(&record).cloned())
    }

    fn put_record(&mut self, record: Record, value: &[u8]) -> Result<()> {
        let before = self.store.records.insert(record, value.to_vec());
        self.undo.push(Undo::Record(record, before));
        Ok(())
    }

    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let rows = self.store.rows.get(&table);
        Ok(rows.and_then(|rows| rows.get(key)).cloned())
    }

    fn put_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        let rows = self.store.rows.entry(table).or_default();
        let before = rows.insert(key.to_vec(), value.to_vec());
        self.undo.push(Undo::Row(table, key.to_vec(), before));
        Ok(())
    }

    fn remove_row(&mut self, table: Table, key: &[u8]) -> Result<()> {
        let rows = self.store.rows.get_mut(&table);
        if let Some((key, before)) = rows.and_then(|rows| rows.remove_entry(key)) {
            self.undo.push(Undo::Row(table, key, Some(before)));
        }
        Ok(())
    }

    fn rows(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(rows) = self.store.rows.get(&table) else {
            return Ok(Vec::new());
        };
        let rows = rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        Ok(rows
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn remove_rows_below(&mut self, table: Table, below: &[u8]) -> Result<u64> {
        let rows = self.store.rows.get(&table);
        let keys = rows.map_or(Vec::new(), |rows| keys_in(rows, ..below.to_vec()));
        for key in &keys {
            self.remove_row(table, key)?;
        }
        Ok(keys.len() as u64)
    }

    fn put_tail(&mut self, place: Place, start: u64, leaves: &[Hash], bundle: &[u8]) -> Result<()> {
        let run = Run {
            start,
            leaves: leaves.to_vec(),
            bundle: bundle.to_vec(),
        };
        let before = self.store.tail.insert((place, start), run);
        self.undo.push(Undo::Tail((place, start), before));
        Ok(())
    }

    fn tail(&self, place: Place, from: u64, to: u64) -> Result<Vec<Run>> {
        let runs = self.store.tail.range((place, from)..(place, to.max(from)));
        Ok(runs.map(|(_, run)| run.clone()).collect())
    }

    fn drop_tail_below(&mut self, place: Place, end: u64) -> Result<()> {
        for key in keys_in(&self.store.tail, (place, 0)..(place, end)) {
            let before = self.store.tail.remove(&key);
            self.undo.push(Undo::Tail(key, before));
        }
        Ok(())
    }

    fn drop_tail_from(&mut self, place: Place, from: u64) -> Result<()> {
        for key in keys_in(&self.store.tail, (place, from)..=(place, u64::MAX)) {
            let before = self.store.tail.remove(&key);
            self.undo.push(Undo::Tail(key, before));
        }
        Ok(())
    }

    fn edge(&self, place: Place, level: u8, tile: u64) -> Result<Option<Vec<Hash>>> {
        Ok(self.store.edges.get(&(place, level, tile)).cloned())
    }

    fn put_edge(&mut self, place: Place, level: u8, tile: u64, hashes: &[Hash]) -> Result<()> {
        let key = (place, level, tile);
        let before = self.store.edges.insert(key, hashes.to_vec());
        self.undo.push(Undo::Edge(key, before));
        Ok(())
    }

    fn drop_edge_below(&mut self, place: Place, level: u8, tile: u64) -> Result<()> {
        let range = (place, level, 0)..(place, level, tile);
        for key in keys_in(&self.store.edges, range) {
            let before = self.store.edges.remove(&key);
            self.undo.push(Undo::Edge(key, before));
        }
        Ok(())
    }

    fn drop_edge_from(&mut self, place: Place, level: u8, tile: u64) -> Result<()> {
        let range = (place, level, tile)..=(place, level, u64::MAX);
        for key in keys_in(&self.store.edges, range) {
            let before = self.store.edges.remove(&key);
            self.undo.push(Undo::Edge(key, before));
        }
        Ok(())
    }

    fn put_digest(&mut self, size: u64, note: &str) -> Result<()> {
        let before = self.store.digests.insert(size, note.to_owned());
        self.undo.push(Undo::Digest(size, before));
        Ok(())
    }

    fn newest_digest(&self) -> Result<Option<(u64, String)>> {
        let newest = self.store.digests.last_key_value();
        Ok(newest.map(|(size, note)| (*size, note.clone())))
    }

    fn digest(&self, size: u64) -> Result<Option<String>> {
        Ok(self.store.digests.get(&size).cloned())
    }

    fn drop_digests_above(&mut self, size: u64) -> Result<()> {
        let above = (Bound::Excluded(size), Bound::Unbounded);
        for key in keys_in(&self.store.digests, above) {
            let before = self.store.digests.remove(&key);
            self.undo.push(Undo::Digest(key, before));
        }
        Ok(())
    }

    fn prune_digests(&mut self, keep: u64) -> Result<()> {
        while self.store.digests.len() as u64 > keep {
            let Some((size, note)) = self.store.digests.pop_first() else {
                break;
            };
            self.undo.push(Undo::Digest(size, Some(note)));
        }
        Ok(())
    }

    fn idem(&self, id: &[u8; 16]) -> Result<Option<IdemRow>> {
        Ok(self.store.idem.get(id).copied())
    }

    fn put_idem(&mut self, tag: &IdemTag, row: &IdemRow) -> Result<()> {
        let before = self.store.idem.insert(tag.id, *row);
        self.undo.push(Undo::Idem(tag.id, before));
        Ok(())
    }

    fn drop_idem_from(&mut self, index: u64) -> Result<()> {
        self.drop_idem(|row| row.index >= index);
        Ok(())
    }

    fn prune_idem(&mut self, now_us: i64) -> Result<()> {
        self.drop_idem(|row| row.expires_us.is_some_and(|expires| expires <= now_us));
        Ok(())
    }

    fn put_payload(&mut self, index: u64, payload: &SealedPayload) -> Result<()> {
        let sealed = (index, payload.sealed.clone());
        let before = self.store.payloads.insert(payload.id, sealed);
        self.undo.push(Undo::Payload(payload.id, before));
        Ok(())
    }

    fn erase_payload(&mut self, id: &[u8; 32], erase_index: u64) -> Result<()> {
        let before = self.store.payloads.remove(id);
        self.undo.push(Undo::Payload(*id, before));
        let before = self.store.erased.insert(*id, erase_index);
        self.undo.push(Undo::Erased(*id, before));
        Ok(())
    }

    fn erased(&self, id: &[u8; 32]) -> Result<Option<u64>> {
        Ok(self.store.erased.get(id).copied())
    }

    fn commit(mut self) -> Result<Committed> {
        self.committed = true;
        Ok(Committed::after_durable_commit())
    }
}

impl MemTransaction<'_> {
    fn drop_idem(&mut self, gone: impl Fn(&IdemRow) -> bool) {
        let idem = &self.store.idem;
        let ids: Vec<[u8; 16]> = idem
            .iter()
            .filter(|(_, row)| gone(row))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let before = self.store.idem.remove(&id);
            self.undo.push(Undo::Idem(id, before));
        }
    }
}
