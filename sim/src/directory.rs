//! What is in a node's directory, whichever store it has: in memory, or the product's on a simulated disk. Only reads, but
//! for copies that faults put in its place.

use crate::drive::{Boot, Copied};
use crate::founding::Founded;
use crate::node::{Node, StartError};
use belfry_protocol::engine::federation::mirror::Mirror;
use belfry_protocol::engine::federation::{Engine, Status, serve};
use belfry_protocol::engine::keys::OwnKeys;
use belfry_protocol::engine::ledger::{self, Head, start};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::store::{Place, Record, StoreError, Transaction};
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::proof::{TileSource, TreeReader};
use belfry_protocol::wire::v1::{Get, GetProof};

/// What a fault puts in the place of a directory.
#[derive(Clone)]
pub(crate) enum Backup {
    /// A copy in memory.
    Memory(MemStore),
    /// A copy of a disk.
    Disk(Copied),
    /// Nothing.
    Empty,
    /// These records and nothing else.
    Only(Vec<(Record, Vec<u8>)>),
}

/// Looks into a directory: `$tx` is a transaction of whichever store it is.
macro_rules! look {
    ($node:expr, |$tx:ident| $what:expr) => {{
        let node = $node;
        match &mut node.drive {
            Some(drive) => drive.look(|$tx| $what),
            None => {
                let $tx = &node.store.begin();
                let found: Result<_, StoreError> = $what;
                found.ok()
            }
        }
    }};
}

/// An entry's leaf hash and its proof of inclusion among the first `size` entries.
pub(crate) fn proof<S: TileSource>(tiles: &S, size: u64, index: u64) -> Option<(Hash, Vec<Hash>)> {
    let mut tree = TreeReader::new(tiles, size);
    Some((tree.leaf(index).ok()?, tree.inclusion(index).ok()?))
}

impl Node {
    /// The engine of its process, while it runs.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        match &self.drive {
            Some(drive) => drive.engine(),
            None => self.engine.as_deref(),
        }
    }

    /// What it says of itself; `None` while it does not run.
    pub(crate) fn status(&mut self) -> Option<Status> {
        match &mut self.drive {
            Some(drive) => drive.status(),
            None => self.engine.as_ref()?.status(&self.store.begin()).ok(),
        }
    }

    /// Size of its newest own digest; 0 if there is none.
    pub(crate) fn newest_digest(&mut self) -> u64 {
        let newest = look!(self, |tx| tx.newest_digest()).flatten();
        newest.map_or(0, |(size, _)| size)
    }

    /// Number of its newest start.
    pub(crate) fn incarnation(&mut self) -> u64 {
        let newest = look!(self, |tx| start::incarnation(tx)).flatten();
        newest.map_or(0, |one| one.number)
    }

    /// What it mirrors, by origin.
    pub(crate) fn mirrors(&mut self) -> Vec<(String, Mirror)> {
        look!(self, |tx| Mirror::all(tx)).unwrap_or_default()
    }

    /// What it mirrors of one ledger.
    pub(crate) fn mirror(&mut self, origin: &str) -> Option<Mirror> {
        look!(self, |tx| Mirror::load(tx, origin)).flatten()
    }

    /// A record.
    pub(crate) fn record(&mut self, record: Record) -> Option<Vec<u8>> {
        look!(self, |tx| tx.record(record)).flatten()
    }

    /// Its own digest of a size.
    pub(crate) fn digest(&mut self, size: u64) -> Option<String> {
        look!(self, |tx| tx.digest(size)).flatten()
    }

    /// An entry's leaf hash and its proof of inclusion among the first `size` entries of a ledger.
    pub(crate) fn proof(
        &self,
        place: Place,
        origin: &str,
        size: u64,
        index: u64,
    ) -> Option<(Hash, Vec<Hash>)> {
        match &self.drive {
            Some(drive) => drive.proof(place, origin, size, index),
            None => proof(&self.store.ledger(place), size, index),
        }
    }

    /// The root of its own first `size` entries, as they are stored.
    pub(crate) fn root(&self, size: u64) -> Option<Hash> {
        match &self.drive {
            Some(drive) => drive.root(size),
            None => {
                let ledger = self.store.ledger(Place::OWN);
                TreeReader::new(&ledger, size).root().ok()
            }
        }
    }

    /// Its own first `size` entries.
    pub(crate) fn entries(&self, size: u64) -> Option<Vec<Vec<u8>>> {
        match &self.drive {
            Some(drive) => drive.entries(size),
            None => {
                let mut entries = self.store.entries().ok()?;
                entries.truncate(usize::try_from(size).ok()?);
                Some(entries)
            }
        }
    }

    /// Its answer with entries.
    pub(crate) fn serve(&self, place: Place, get: &Get) -> Option<Vec<u8>> {
        match &self.drive {
            Some(drive) => drive.serve(place, get),
            None => serve::answer(get, &self.store.ledger(place)).ok(),
        }
    }

    /// Its answer with a proof.
    pub(crate) fn prove(&self, place: Place, get: &GetProof) -> Option<Vec<u8>> {
        match &self.drive {
            Some(drive) => drive.prove(place, get),
            None => Some(serve::prove(get, &self.store.ledger(place))),
        }
    }

    /// How two trees of a ledger relate.
    pub(crate) fn tree_nodes(
        &self,
        place: Place,
        origin: &str,
        (smaller, larger): (u64, u64),
    ) -> Option<Vec<Hash>> {
        match &self.drive {
            Some(drive) => drive.nodes(place, origin, (smaller, larger)),
            None => serve::nodes(&self.store.ledger(place), smaller, larger),
        }
    }

    /// Whether the own entries that are in no file yet are others than the hashes beside them, or lead to another root than
    /// its newest digest: it may not have started on that.
    pub(crate) fn edge_is_wrong(&mut self) -> bool {
        let Some(head) = self.record(Record::Head) else {
            return false;
        };
        let Some(head) = Head::decode(&head) else {
            return true;
        };
        let size = head.size();
        let entries = (head.flushed..size).map(|index| {
            let entry = self.drive.as_ref()?.entry(index, size)?;
            let (leaf, _) = self.proof(Place::OWN, "", size, index)?;
            Some(leaf_hash(&entry) == leaf)
        });
        let mut entries = entries.collect::<Vec<_>>().into_iter();
        !entries.all(|fits| fits == Some(true)) || self.root(size) != Some(head.root())
    }

    /// A copy of its directory.
    pub(crate) fn backup(&self) -> Backup {
        match &self.drive {
            Some(drive) => Backup::Disk(drive.copied()),
            None => Backup::Memory(self.store.clone()),
        }
    }

    /// Puts another directory in the place of its own; no process may run.
    pub(crate) fn put(&mut self, backup: Backup) -> Result<(), StartError> {
        match (&mut self.drive, backup) {
            (Some(drive), Backup::Disk(copy)) => drive.put(Some(&copy)),
            (Some(drive), Backup::Only(records)) => drive.put_only(&records)?,
            (Some(drive), _) => drive.put(None),
            (None, Backup::Memory(store)) => self.store = store,
            (None, Backup::Only(records)) => {
                self.store = MemStore::default();
                let mut tx = self.store.begin();
                for (record, value) in &records {
                    tx.put_record(*record, value)?;
                }
                tx.commit()?;
            }
            (None, _) => self.store = MemStore::default(),
        }
        Ok(())
    }

    /// Starts its process on a disk.
    pub(crate) fn start_on_drive(
        &mut self,
        now_us: u64,
        founded: &Founded,
        keys: OwnKeys,
        config: ledger::Config,
    ) -> Result<(), StartError> {
        let boot = Boot {
            founded,
            at: self.at,
            keys,
            config,
            versions: self.versions.clone(),
            instance: self.seeds.bytes(),
            fresh: self.seeds.bytes(),
            wall: self.clock.now(now_us).wall,
            restored: self.restored,
            pace: self.pace,
        };
        self.seed = self.seeds.bytes();
        if let Some(drive) = &mut self.drive {
            drive.start(boot)?;
        }
        self.restored = false;
        Ok(())
    }
}
