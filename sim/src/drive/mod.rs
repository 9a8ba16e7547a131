//! A machine whose directory is the product's: SQLite and files on a simulated disk, and on it the product's own start-up
//! check, writer's step and flusher. May not know what is right, and does nothing wrong by itself: the disk does, when a
//! fault says so.

mod faults;
mod reads;

use crate::founding::Founded;
use crate::node::{AGENT, StartError};
use crate::plan::Pace;
use crate::streams::Stream;
use belfry_node::disk::Disk;
use belfry_node::exit::Failure;
use belfry_node::flusher::Flusher;
use belfry_node::member;
use belfry_node::startup;
use belfry_node::store::{Layout, Reader, SqliteTransaction, Store};
use belfry_node::writer::step::{Inputs, Stepper};
use belfry_node::writer::{Answer, Machine, Outlet};
use belfry_protocol::engine::Now;
use belfry_protocol::engine::federation::disk::OwnDisk;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::{Engine, Free, Input, Promise, Settings};
use belfry_protocol::engine::keys::OwnKeys;
use belfry_protocol::engine::ledger::{self, Ledger, start};
use belfry_protocol::engine::store::{Place, Record, StoreError, Transaction};
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::wire::Range;
use belfry_sim_sys::disk::{Faults, Snapshot};
use belfry_sim_sys::{SimDisk, fresh};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pages in the write-ahead log from which it is copied: few, so that it often is, and dies in it.
const CHECKPOINT_PAGES: i64 = 24;
/// What a step writes beside its entries, as the product's writer counts it: enough to look at the log every time.
const STEP_BYTES: u64 = 1 << 20;
/// Pause between two rounds of the flusher in microseconds, as the product looks at mirrored ledgers.
const FLUSH_US: u64 = 200_000;

/// Numbers of disks: SQLite knows them by their names, and several runs may share a process.
static DISKS: AtomicU64 = AtomicU64::new(0);

/// A simulated disk, and the process that runs on it.
pub(crate) struct Drive {
    disk: SimDisk,
    layout: Layout,
    process: Option<Process>,
    /// A bit of it was flipped, and nobody put another disk in its place.
    pub(crate) rotten: bool,
    /// It said of a sync that it was done, and the power failed since.
    pub(crate) lied: bool,
    /// What goes wrong now.
    faults: Faults,
    /// Syncs that had lied when this directory came here.
    lied_before: u64,
    /// Operations that failed before this start or fault.
    failed_before: u64,
    /// The next end is the power's.
    pub(crate) power_fails: bool,
    /// How long the machine is down after the end that was planned for it, in microseconds.
    pub(crate) down_us: Option<u64>,
    /// When the flusher is due.
    flush_us: u64,
    pub(crate) draws: Stream,
}

/// A running process.
struct Process {
    stepper: Stepper,
    left: Left,
    reader: Reader,
    flusher: Flusher,
}

/// What left the engine, until the world takes it.
#[derive(Clone, Default)]
struct Left(Arc<Mutex<(Vec<Free>, Vec<Promise>)>>);

impl Left {
    fn lock(&self) -> MutexGuard<'_, (Vec<Free>, Vec<Promise>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet for Left {
    fn free(&mut self, output: Free) {
        self.lock().0.push(output);
    }

    fn promise(&mut self, output: Promise) {
        self.lock().1.push(output);
    }

    fn members(&mut self, _members: &Members) {}
}

/// What a step came to.
pub(crate) struct Stepped {
    /// What left before the commit.
    pub(crate) free: Vec<Free>,
    /// The commit.
    pub(crate) result: Result<Committed, StoreError>,
}

/// A step that is durable.
pub(crate) struct Committed {
    pub(crate) federation: Vec<Promise>,
    pub(crate) ledger: Vec<ledger::Promise>,
    /// Appends that were refused.
    pub(crate) refused: u64,
    /// Whether there was anything to sync.
    pub(crate) synced: bool,
    /// The process cannot go on, although this step is durable.
    pub(crate) then: Option<StoreError>,
}

/// What one start is given.
pub(crate) struct Boot<'a> {
    pub(crate) founded: &'a Founded,
    pub(crate) at: usize,
    pub(crate) keys: OwnKeys,
    pub(crate) config: ledger::Config,
    pub(crate) versions: Vec<Range>,
    pub(crate) instance: [u8; 16],
    pub(crate) fresh: [u8; 16],
    pub(crate) wall: TimeUs,
    /// `RESTORED` is set, or the directory is empty although the manifest names its node.
    pub(crate) restored: bool,
    pub(crate) pace: Pace,
}

/// A copy of a directory.
#[derive(Clone)]
pub(crate) struct Copied {
    snapshot: Snapshot,
    root: PathBuf,
}

fn store_error(error: impl std::fmt::Display) -> StoreError {
    StoreError::Io(error.to_string())
}

impl Drive {
    /// An empty disk.
    pub(crate) fn new(seed: u64) -> Result<Self, StartError> {
        let number = DISKS.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/belfry-sim/{number}"));
        let disk = SimDisk::mount(&root, seed).map_err(store_error)?;
        Ok(Self {
            disk,
            layout: Layout::new(root),
            process: None,
            rotten: false,
            lied: false,
            faults: Faults::default(),
            lied_before: 0,
            failed_before: 0,
            power_fails: false,
            down_us: None,
            flush_us: 0,
            draws: Stream::new(seed, "drive", 0),
        })
    }

    /// The engine of the running process.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        match self.process.as_ref()?.stepper.machine() {
            Machine::Member(engine, _) => Some(engine),
            Machine::Alone(_) => None,
        }
    }

    /// Starts a process on the directory, as `belfry run` does.
    pub(crate) fn start(&mut self, boot: Boot<'_>) -> Result<(), StartError> {
        self.failed_before = self.disk.counts().failed;
        if !self.is_made() {
            self.make(&boot)?;
        } else if boot.restored {
            self.mark_restored()?;
        }
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let mut store =
            Store::open(self.layout.clone(), Arc::clone(&disk)).map_err(Failure::from)?;
        store.set_checkpoint_pages(CHECKPOINT_PAGES);
        let before = start::incarnation(&store.begin()?)?.map_or(0, |one| one.number);
        let federation = boot.founded.federation.clone();
        let member = boot.founded.member(boot.at);
        let watched = member::is_watched(&federation, &member.name);
        let now = (boot.instance, boot.wall);
        let started = startup::start_up(&mut store, &disk, &boot.keys.log, watched, now)?;
        let start = member::Start {
            epochs: vec![federation],
            name: &member.name,
            identity: &member.identity,
            peer: &member.peer,
            keys: boot.keys.clone(),
            incarnation: started.incarnation,
            incarnation_before: before,
            fresh_disk_id: boot.fresh,
        };
        let settings = Settings {
            window_us: Some(boot.pace.window_seconds * 1_000_000),
            reack_us: boot.pace.reack_seconds * 1_000_000,
            ask_us: boot.pace.ask_seconds * 1_000_000,
            versions: boot.versions,
            agent: AGENT.to_owned(),
            ..member::settings(&mut store, &disk, start)?
        };
        let engine = Engine::new(Ledger::new(boot.config, boot.keys.log), settings);
        let left = Left::default();
        let reader = || Reader::open(self.layout.clone(), Arc::clone(&disk)).map_err(Failure::from);
        self.process = Some(Process {
            reader: reader()?,
            flusher: Flusher::new(reader()?, Arc::clone(&disk)),
            stepper: Stepper::new(
                store,
                Machine::Member(Box::new(engine), Box::new(left.clone())),
            ),
            left,
        });
        Ok(())
    }

    /// Whether there is a directory.
    pub(crate) fn is_made(&self) -> bool {
        self.disk.exists(&self.layout.ledger_db())
    }

    /// Makes an empty directory; a founding gives it its disk id, and nobody gives one to what was lost.
    fn make(&mut self, boot: &Boot<'_>) -> Result<(), StartError> {
        fresh::directory(&self.disk).map_err(store_error)?;
        self.set_faults();
        if !boot.restored {
            self.put_records(|tx| OwnDisk::new(boot.fresh).store(tx))?;
        }
        Ok(())
    }

    /// Writes into a directory that no process runs on.
    pub(crate) fn put_records(
        &mut self,
        put: impl FnOnce(&mut SqliteTransaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        self.disk.calmly(|| {
            let mut store = Store::open(self.layout.clone(), disk).map_err(store_error)?;
            let mut tx = store.begin_reading()?;
            put(&mut tx)?;
            tx.commit()?;
            store.close()
        })
    }

    fn mark_restored(&self) -> Result<(), StartError> {
        let marker = self.layout.restored_marker();
        let dir = BTreeSet::from([self.layout.dir().to_path_buf()]);
        let marked = self.disk.calmly(|| {
            self.disk.write(&marker, b"from a backup\n")?;
            self.disk.sync_files(std::slice::from_ref(&marker))?;
            self.disk.sync_dirs(&dir)
        });
        Ok(marked.map_err(store_error)?)
    }

    /// One step of the product's writer.
    pub(crate) fn step(&mut self, now: Now, seed: [u8; 32], messages: Vec<Input>) -> Stepped {
        let Some(process) = &mut self.process else {
            let free = Vec::new();
            let result = Err(StoreError::Io("no process runs".to_owned()));
            return Stepped { free, result };
        };
        let syncs = self.disk.counts().syncs;
        let inputs = Inputs {
            messages,
            ..Inputs::default()
        };
        let done = process.stepper.commit(now, seed, inputs);
        let synced = self.disk.counts().syncs != syncs;
        let (free, federation) = std::mem::take(&mut *process.left.lock());
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                if matches!(error, StoreError::Full(_)) {
                    process.stepper.forget();
                }
                let result = Err(error);
                return Stepped { free, result };
            }
        };
        let (mut ledger, mut refused) = (Vec::new(), 0);
        for (request, answer) in done.answers {
            match answer {
                Ok(Answer::Appended(places)) => {
                    ledger.push(ledger::Promise::Appended { request, places });
                }
                Ok(_) => {}
                Err(_) => refused += 1,
            }
        }
        // Between two steps, as the writer does: no room for it is no reason to stop.
        let tidied = process.stepper.store_mut().tidy(STEP_BYTES, false);
        let then = tidied
            .err()
            .filter(|error| !matches!(error, StoreError::Full(_)));
        let result = Ok(Committed {
            federation,
            ledger,
            refused,
            synced,
            then,
        });
        Stepped { free, result }
    }

    /// A round of the product's flusher, when one is due: what it tells the engine.
    pub(crate) fn flush(&mut self, now_us: u64) -> Vec<Input> {
        let Some(process) = self.process.as_ref().filter(|_| now_us >= self.flush_us) else {
            return Vec::new();
        };
        self.flush_us = now_us + FLUSH_US;
        // A round that fails is tried again.
        let flushed = process.flusher.round().unwrap_or_default();
        let inputs = flushed.into_iter().map(|flush| {
            let through = flush.through;
            if flush.place == Place::OWN {
                Input::Ledger(ledger::Input::Flushed { through })
            } else {
                let origin = flush.origin;
                Input::MirrorFlushed { origin, through }
            }
        });
        inputs.collect()
    }

    /// The process ends: with the machine's power, or as `kill -9` ends it. Says whether the disk took back what it had
    /// said to be durable.
    pub(crate) fn end(&mut self, power_fails: bool) -> bool {
        let power_fails = std::mem::take(&mut self.power_fails) || power_fails;
        let lied = self.disk.counts().lied;
        let took_back = (power_fails || self.disk.is_dead()) && lied > self.lied_before;
        if power_fails || self.disk.is_dead() {
            self.disk.crash(None);
            self.lied |= took_back;
            self.lied_before = lied;
        } else {
            self.disk.restart();
        }
        // Only now: a database that is closed in peace copies its log, which nobody does who is killed.
        self.process = None;
        let full = self.faults.full_at_write.is_some();
        self.faults = Faults {
            full_at_write: full.then_some(0),
            lying_syncs_one_in: self.faults.lying_syncs_one_in,
            ..Faults::default()
        };
        self.set_faults();
        took_back
    }

    /// Hands the process new keys.
    pub(crate) fn renew(&mut self, keys: OwnKeys) {
        let process = self.process.as_mut();
        if let Some(engine) = process.and_then(|process| process.stepper.engine_mut()) {
            engine.renew(keys);
        }
    }

    /// What is on the disk now.
    pub(crate) fn copied(&self) -> Copied {
        Copied {
            snapshot: self.disk.snapshot(),
            root: self.disk.root().to_owned(),
        }
    }

    /// Another directory takes the place of this one, of which no process may run; `None` is an empty one.
    pub(crate) fn put(&mut self, copy: Option<&Copied>) {
        match copy {
            Some(copy) => self.disk.restore_from(&copy.snapshot, &copy.root),
            None => self.clear(),
        }
        self.rotten = false;
        self.lied = false;
        self.lied_before = self.disk.counts().lied;
        self.set_faults();
    }

    fn clear(&mut self) {
        self.disk.calmly(|| {
            for path in self.disk.list(self.disk.root()).unwrap_or_default() {
                if self.disk.remove(&path).is_err() {
                    // A directory: what is in it goes with it.
                    let _ = self.disk.remove_dir(&path);
                }
            }
        });
        self.disk.restore(&self.disk.snapshot());
    }

    /// An empty directory with nothing but these records.
    pub(crate) fn put_only(&mut self, records: &[(Record, Vec<u8>)]) -> Result<(), StartError> {
        self.put(None);
        fresh::directory(&self.disk).map_err(store_error)?;
        self.put_records(|tx| {
            let mut records = records.iter();
            records.try_for_each(|(record, value)| tx.put_record(*record, value))
        })?;
        self.set_faults();
        Ok(())
    }

    fn set_faults(&mut self) {
        self.failed_before = self.disk.counts().failed;
        self.disk.set_faults(self.faults.clone());
    }
}
