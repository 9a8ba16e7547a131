//! One simulated machine: its directory, its clocks, and the process that runs while it is up. Start-up is the product's:
//! the anti-replay self-test, a new incarnation, the right edge (R1, R3). May not know what is right: that is
//! [`crate::watch`]'s.

use crate::clock::Clock;
use crate::directory::Backup;
use crate::drive::Drive;
use crate::founding::{Founded, FoundingError, kept_keys};
use crate::plan::{Pace, Plan};
use crate::streams::Stream;
use belfry_node::exit::Failure;
use belfry_protocol::engine::federation::disk::OwnDisk;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::{Engine, Input, Promise, Settings};
use belfry_protocol::engine::keys::OwnKeys;
use belfry_protocol::engine::ledger::{self, Ledger, start};
use belfry_protocol::engine::mem::{InDoubt, MemStore};
use belfry_protocol::engine::nonces::{ClockState, self_test};
use belfry_protocol::engine::store::{Place, StoreError, Transaction};
use belfry_protocol::tlog::hash::{Hash, sha256_parts};
use belfry_protocol::wire::Range;
use std::collections::{BTreeMap, BTreeSet};

/// What it calls itself.
pub(crate) const AGENT: &str = concat!("belfry-sim/", env!("CARGO_PKG_VERSION"));

/// Starts that a copy is ahead, so that nothing of one process reaches the other.
const COPY_BOOTS: u64 = 1_000_000;

/// A machine.
pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) peer: String,
    /// What survives the process, in memory.
    pub(crate) store: MemStore,
    /// What survives the process, on a disk, if the plan says so: then `store` and `engine` are not used.
    pub(crate) drive: Option<Box<Drive>>,
    /// Files of windows, by hash.
    pub(crate) windows: BTreeSet<Hash>,
    pub(crate) clock: Clock,
    /// Who vouches for the clock where single requests are taken.
    pub(crate) gate: ClockState,
    /// The process, while it runs.
    pub(crate) engine: Option<Box<Engine>>,
    /// Counts starts: what was on its way to an earlier one is void.
    pub(crate) boot: u64,
    /// What arrived while a sync was under way.
    pub(crate) inbox: Vec<Input>,
    /// A step whose sync has not come back.
    pub(crate) syncing: Option<Syncing>,
    /// When the last step was.
    pub(crate) stepped_us: u64,
    /// When the engine has something to do by itself, by the clock that never steps, if it said so after the last step,
    /// and how often the clocks had been changed then.
    pub(crate) rests_until_us: Option<(u64, u64)>,
    /// Steps that did something, for the seeds of the next ones.
    pub(crate) moves: u64,
    /// What the seeds of this process's steps are made from.
    pub(crate) seed: [u8; 32],
    /// When the ledger's own tick is due.
    pub(crate) ledger_tick_us: u64,
    /// First sizes of its log keys, by serial: keys live apart from the directory.
    pub(crate) from_sizes: Vec<u64>,
    /// Serials that its operator revoked: that is noted beside the keys.
    pub(crate) revoked: BTreeSet<u64>,
    /// `RESTORED` is set, or the directory is empty although the manifest names its node.
    pub(crate) restored: bool,
    /// Protocol versions from the next start on.
    pub(crate) versions: Vec<Range>,
    /// As its operator configured it.
    pub(crate) pace: Pace,
    /// The machine sleeps, since and until.
    pub(crate) asleep_us: Option<(u64, u64)>,
    /// When the runtime's pause is over.
    pub(crate) tick_us: u64,
    /// Faults that leave no room on its disk.
    pub(crate) full: u32,
    /// Its next sync is not survived: how long the process is down after that, in microseconds.
    pub(crate) doomed_us: Option<u64>,
    /// Faults that keep it from answering.
    pub(crate) mute: u32,
    /// Copies of the directory that a later fault brings back, by the fault's position in the plan.
    pub(crate) backups: BTreeMap<usize, Backup>,
    /// Whether an operator wants it to run.
    pub(crate) wanted: bool,
    pub(crate) seeds: Stream,
    pub(crate) disk: Stream,
}

/// A step whose sync has not come back: nothing that it promises has left.
pub(crate) struct Syncing {
    /// When it comes back.
    pub(crate) done_us: u64,
    /// What a crash before that puts back, in memory.
    pub(crate) in_doubt: Option<InDoubt>,
    pub(crate) federation: Vec<Promise>,
    pub(crate) ledger: Vec<ledger::Promise>,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error("the anti-replay store does not work: {0}")]
    Nonces(String),
    #[error("the right edge: {0}")]
    Edge(#[from] start::EdgeError),
    #[error(transparent)]
    Keys(#[from] FoundingError),
    #[error("{0}")]
    Refused(#[from] Failure),
}

impl Node {
    pub(crate) fn new(at: usize, founded: &Founded, plan: &Plan, versions: Vec<Range>) -> Self {
        let seed = plan.seed;
        let member = founded.member(at);
        Self {
            at,
            name: member.name.clone(),
            peer: member.peer.clone(),
            store: MemStore::default(),
            drive: None,
            windows: BTreeSet::new(),
            clock: Clock::right(),
            gate: ClockState::default(),
            engine: None,
            boot: 0,
            inbox: Vec::new(),
            syncing: None,
            stepped_us: 0,
            rests_until_us: None,
            moves: 0,
            seed: [0; 32],
            ledger_tick_us: 0,
            from_sizes: vec![0],
            revoked: BTreeSet::new(),
            restored: false,
            versions,
            pace: plan.pace,
            asleep_us: None,
            tick_us: 0,
            full: 0,
            doomed_us: None,
            mute: 0,
            backups: BTreeMap::new(),
            wanted: true,
            seeds: Stream::new(seed, "node", at as u64),
            disk: Stream::new(seed, "disk", at as u64),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.engine().is_some()
    }

    /// Whether it can take a step now.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_up() && self.syncing.is_none() && self.asleep_us.is_none()
    }

    /// Starts the process, as `belfry run` does.
    pub(crate) fn start(&mut self, now_us: u64, founded: &Founded) -> Result<(), StartError> {
        let wall = self.clock.now(now_us).wall;
        self.boot += 1;
        self.gate = ClockState::default();
        self.ledger_tick_us = 0;
        let keys = self.keys()?;
        let config = ledger::Config {
            origin: self.name.clone(),
            solo: false,
            backup_retention_us: 0,
        };
        if self.drive.is_some() {
            return self.start_on_drive(now_us, founded, keys, config);
        }
        let mut tx = self.store.begin();
        self_test(&mut tx)?.map_err(StartError::Nonces)?;
        drop(tx);
        let mut tx = self.store.begin();
        let before = start::incarnation(&tx)?.map_or(0, |one| one.number);
        let incarnation = start::take_incarnation(&mut tx, self.seeds.bytes(), wall)?;
        let serials = self.from_sizes.len() as u64;
        let fresh = self.seeds.bytes();
        self.seed = self.seeds.bytes();
        self.rests_until_us = None;
        let disk = match OwnDisk::load(&tx)? {
            Some(known) if !self.restored => known,
            None if !self.restored => OwnDisk::new(fresh),
            _ => OwnDisk::restored(fresh, serials + 1),
        };
        disk.store(&mut tx)?;
        tx.commit()?;
        self.restored = false;
        let tx = self.store.begin();
        start::check_edge(&tx, &tx.ledger(Place::OWN), &keys.log)?;
        drop(tx);
        let settings = Settings {
            members: Members::new(founded.federation.clone()),
            me: self.at,
            incarnation,
            incarnation_before: before,
            keys: keys.clone(),
            versions: self.versions.clone(),
            disk,
            agent: AGENT.to_owned(),
            window_us: Some(self.pace.window_seconds * 1_000_000),
            reack_us: self.pace.reack_seconds * 1_000_000,
            ask_us: self.pace.ask_seconds * 1_000_000,
        };
        let engine = Engine::new(Ledger::new(config, keys.log), settings);
        self.engine = Some(Box::new(engine));
        Ok(())
    }

    /// Ends the process as `kill -9` does. A sync that was under way may have come through.
    pub(crate) fn kill(&mut self, synced: bool) -> Option<Syncing> {
        self.engine = None;
        self.inbox.clear();
        let syncing = self.syncing.take()?;
        if synced {
            return Some(syncing);
        }
        if let Some(in_doubt) = syncing.in_doubt {
            self.store.lose(in_doubt);
        }
        None
    }

    /// Hands the process new keys of the next serial, whose log key signs from this size on (R3).
    pub(crate) fn take_serial(&mut self, log_from_size: u64) -> Result<(), FoundingError> {
        self.from_sizes.push(log_from_size);
        self.renew()
    }

    /// Its own keys, as they are now.
    fn keys(&self) -> Result<OwnKeys, FoundingError> {
        kept_keys(&self.name, &self.from_sizes, &self.revoked)
    }

    /// Hands the process its keys, as they are now.
    pub(crate) fn renew(&mut self) -> Result<(), FoundingError> {
        let keys = self.keys()?;
        // There is something to tell, which the engine did not know when it said how long it rests.
        self.rests_until_us = None;
        match (&mut self.drive, &mut self.engine) {
            (Some(drive), _) => drive.renew(keys),
            (None, Some(engine)) => engine.renew(keys),
            (None, None) => {}
        }
        Ok(())
    }

    /// Another machine with a copy of this one's directory and keys.
    pub(crate) fn copied(&self) -> Result<Self, StartError> {
        let mut drive = None;
        if let Some(own) = &self.drive {
            let mut copy = Drive::new(self.boot)?;
            copy.put(Some(&own.copied()));
            drive = Some(Box::new(copy));
        }
        Ok(Self {
            at: self.at,
            name: self.name.clone(),
            peer: self.peer.clone(),
            store: self.store.clone(),
            drive,
            windows: self.windows.clone(),
            clock: self.clock.clone(),
            gate: ClockState::default(),
            engine: None,
            boot: self.boot + COPY_BOOTS,
            inbox: Vec::new(),
            syncing: None,
            stepped_us: self.stepped_us,
            rests_until_us: None,
            moves: 0,
            seed: [0; 32],
            ledger_tick_us: 0,
            from_sizes: self.from_sizes.clone(),
            revoked: self.revoked.clone(),
            restored: false,
            versions: self.versions.clone(),
            pace: self.pace,
            asleep_us: None,
            tick_us: 0,
            full: 0,
            doomed_us: None,
            mute: 0,
            backups: self.backups.clone(),
            wanted: true,
            seeds: Stream::new(self.boot, "copy", self.at as u64),
            disk: self.disk.clone(),
        })
    }

    /// This machine is heard again after its copy was: what was meant for one of them is void for the other.
    pub(crate) fn go_on_after(&mut self, copy: &Self) {
        self.boot += 2 * COPY_BOOTS;
        self.from_sizes.clone_from(&copy.from_sizes);
        self.revoked.clone_from(&copy.revoked);
        self.backups.clone_from(&copy.backups);
    }

    /// The seed of the next step. One that does nothing takes none of the randomness: whether it was taken changes nothing.
    pub(crate) fn step_seed(&self, now_us: u64) -> [u8; 32] {
        let parts: [&[u8]; 3] = [&self.seed, &now_us.to_be_bytes(), &self.moves.to_be_bytes()];
        sha256_parts(&parts).0
    }

    /// Whether a step without inputs does nothing now, as the engine says.
    pub(crate) fn rests(&self, now_us: u64) -> bool {
        let undisturbed = self.inbox.is_empty() && self.full == 0;
        undisturbed
            && self.rests_until_us.is_some_and(|(until_us, changes)| {
                changes == self.clock.changes() && self.clock.mono_us(now_us) < until_us
            })
    }

    /// How long the next sync takes, in microseconds.
    pub(crate) fn sync_us(&mut self) -> u64 {
        match self.disk.below(100) {
            0 => self.disk.between(10_000, 60_000),
            1..=15 => self.disk.between(1_000, 8_000),
            _ => self.disk.between(100, 1_000),
        }
    }
}
