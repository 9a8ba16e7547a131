//! What survives a member's process: rows in memory, or the product's SQLite store on a simulated disk. A step is one
//! transaction, and its promises come out with the commit. May not know what is voted.

use crate::founding::FoundingError;
use crate::plan::Store as Sort;
use crate::streams::Stream;
use belfry_node::store::{Layout, Store};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::outbox::Committed;
use belfry_protocol::engine::store::{StoreError, Table, Transaction};
use belfry_protocol::genesis::Strict;
use belfry_protocol::genesis::ceremony::{Ceremony, Free, Input, Promise, Settings, VoteRecord};
use belfry_protocol::genesis::chain::Chain;
use belfry_protocol::manifest::Federation;
use belfry_sim_sys::disk::{Faults, Snapshot};
use belfry_sim_sys::{SimDisk, fresh};
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows read at most: more than a ceremony has.
const ROWS_MAX: usize = 4_096;
/// Operations of one commit, more or less: a power cut hits one of them.
const COMMIT_OPS: u64 = 12;

/// Numbers of disks: SQLite knows them by their names, and several runs may share a process.
static DISKS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// An empty directory, made once: making one takes time.
    static EMPTY: RefCell<Option<(Snapshot, PathBuf)>> = const { RefCell::new(None) };
}

/// A directory.
pub(super) enum Directory {
    Memory(Box<MemStore>),
    Disk(Box<OnDisk>),
}

/// A directory on a simulated disk, and the open store while a process runs.
pub(super) struct OnDisk {
    disk: SimDisk,
    store: Option<Store>,
    draws: Stream,
}

/// What a step came to.
pub(super) struct Stepped {
    pub(super) free: Vec<Free>,
    pub(super) promises: Vec<Promise>,
}

/// How a step ends.
pub(super) enum End {
    Committed(Stepped),
    /// The process died in it. What was free may have left; it has promises only where somebody breaks it on purpose.
    Died(Stepped),
    /// The store failed, and nothing had been done to it.
    Failed(StoreError),
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Io(error.to_string())
}

impl Directory {
    /// An empty one.
    pub(super) fn new(sort: Sort, seed: u64) -> Result<Self, FoundingError> {
        if sort == Sort::Memory {
            return Ok(Self::Memory(Box::default()));
        }
        let bad = |error: &dyn std::fmt::Display| FoundingError::Disk(error.to_string());
        let number = DISKS.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/belfry-ceremony/{number}"));
        let disk = SimDisk::mount(&root, seed).map_err(|error| bad(&error))?;
        let empty = EMPTY.with_borrow(Clone::clone);
        match empty {
            Some((snapshot, root)) => disk.restore_from(&snapshot, &root),
            None => {
                fresh::directory(&disk).map_err(|error| bad(&error))?;
                EMPTY.set(Some((disk.snapshot(), root)));
            }
        }
        Ok(Self::Disk(Box::new(OnDisk {
            disk,
            store: None,
            draws: Stream::new(seed, "ceremony disk", 0),
        })))
    }

    /// A process starts on it.
    pub(super) fn load(
        &mut self,
        settings: Settings,
        founded: Option<Federation>,
    ) -> Result<Ceremony<Strict>, StoreError> {
        match self {
            Self::Memory(store) => {
                let mut tx = store.begin();
                let loaded = Ceremony::load(&mut tx, settings, founded.map(Chain::from), Strict)?;
                tx.commit()?;
                Ok(loaded)
            }
            Self::Disk(on) => {
                let mut tx = on.store()?.begin()?;
                let loaded = Ceremony::load(&mut tx, settings, founded.map(Chain::from), Strict)?;
                tx.commit()?;
                Ok(loaded)
            }
        }
    }

    /// One step in one transaction. With `dies` the process does not survive the commit.
    pub(super) fn step(
        &mut self,
        ceremony: &mut Ceremony<Strict>,
        now_seconds: u64,
        inputs: Vec<Input>,
        dies: bool,
    ) -> End {
        match self {
            Self::Memory(store) => match run(store.begin(), ceremony, now_seconds, inputs, !dies) {
                Ok((free, promises)) if dies => End::Died(Stepped { free, promises }),
                Ok((free, promises)) => End::Committed(Stepped { free, promises }),
                Err((_, error)) => End::Failed(error),
            },
            Self::Disk(on) => {
                if dies {
                    on.disk.set_faults(Faults {
                        die_at_op: Some(on.draws.below(COMMIT_OPS)),
                        ..Faults::default()
                    });
                }
                let ran = on.run(ceremony, now_seconds, inputs);
                let died = |free| {
                    End::Died(Stepped {
                        free,
                        promises: Vec::new(),
                    })
                };
                match ran {
                    // A commit with so few operations that the power held out.
                    Ok((free, _)) if dies => died(free),
                    Ok((free, promises)) => End::Committed(Stepped { free, promises }),
                    Err((free, _)) if on.disk.is_dead() => died(free),
                    Err((_, error)) => End::Failed(error),
                }
            }
        }
    }

    /// The process ends, without closing anything.
    pub(super) fn end(&mut self) {
        if let Self::Disk(on) = self {
            if on.disk.is_dead() || on.draws.one_in(2) {
                on.disk.crash(None);
            } else {
                on.disk.restart();
            }
            // Only now: a database that is closed in peace copies its log, which nobody does who is killed.
            on.store = None;
            on.disk.set_faults(Faults::default());
        }
    }

    /// What is durable of own votes: rows that nobody here takes apart.
    pub(super) fn votes(&mut self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.values(Table::Votes)
    }

    /// The links of the chain that were kept, in order.
    pub(super) fn links(&mut self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.values(Table::Manifests)
    }

    fn values(&mut self, table: Table) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = match self {
            Self::Memory(store) => store.begin().rows(table, &[], ROWS_MAX)?,
            Self::Disk(on) => on.store()?.begin_reading()?.rows(table, &[], ROWS_MAX)?,
        };
        Ok(rows.into_iter().map(|(_, value)| value).collect())
    }

    /// The record of votes for another directory.
    pub(super) fn export(
        &mut self,
        ceremony: &Ceremony<Strict>,
    ) -> Result<Option<VoteRecord>, StoreError> {
        match self {
            Self::Memory(store) => ceremony.export(&store.begin()),
            Self::Disk(on) => ceremony.export(&on.store()?.begin_reading()?),
        }
    }

    /// The table of own votes is gone.
    #[cfg(feature = "sabotage")]
    pub(super) fn forget_votes(&mut self) -> Result<(), StoreError> {
        fn forget<T: Transaction>(mut tx: T) -> Result<(), StoreError> {
            for (key, _) in tx.rows(Table::Votes, &[], ROWS_MAX)? {
                tx.remove_row(Table::Votes, &key)?;
            }
            tx.commit().map(drop)
        }
        match self {
            Self::Memory(store) => forget(store.begin()),
            Self::Disk(on) => forget(on.store()?.begin()?),
        }
    }
}

impl OnDisk {
    fn store(&mut self) -> Result<&mut Store, StoreError> {
        if self.store.is_none() {
            let layout = Layout::new(self.disk.root());
            let disk = Arc::new(self.disk.clone());
            self.store = Some(Store::open(layout, disk).map_err(failed)?);
        }
        self.store.as_mut().ok_or_else(|| failed("it is not open"))
    }

    fn run(
        &mut self,
        ceremony: &mut Ceremony<Strict>,
        now_seconds: u64,
        inputs: Vec<Input>,
    ) -> Ran {
        match self.store().and_then(Store::begin) {
            Ok(tx) => run(tx, ceremony, now_seconds, inputs, true),
            Err(error) => Err((Vec::new(), error)),
        }
    }
}

type Ran = Result<(Vec<Free>, Vec<Promise>), (Vec<Free>, StoreError)>;

fn run<T: Transaction>(
    mut tx: T,
    ceremony: &mut Ceremony<Strict>,
    now_seconds: u64,
    inputs: Vec<Input>,
    commits: bool,
) -> Ran {
    let mut out = match ceremony.step(now_seconds, &mut tx, inputs) {
        Ok(out) => out,
        Err(error) => return Err((Vec::new(), error)),
    };
    let free = out.take_free();
    if !commits {
        #[cfg(feature = "sabotage")]
        let promises = out.release(&Committed::after_durable_commit());
        #[cfg(not(feature = "sabotage"))]
        let promises = Vec::new();
        return Ok((free, promises));
    }
    let committed: Committed = match tx.commit() {
        Ok(committed) => committed,
        Err(error) => return Err((free, error)),
    };
    Ok((free, out.release(&committed)))
}
