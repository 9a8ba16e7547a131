//! Crash trials of the store: the real one on a simulated disk, driven by a seed beside a store in memory. The machine dies
//! before some operation; after it every transaction whose commit returned must be there, and the one in flight wholly or
//! not at all.

mod judge;
mod life;
pub mod work;

use crate::disk::{SimDisk, Snapshot, Unsynced};
use crate::streams::Stream;
use crate::{fresh, reseed_sqlite};
use belfry_node::store::Layout;
use belfry_protocol::engine::mem::MemStore;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Starts of the store in one trial at most.
const LIVES: u64 = 4;
/// Starts that may die before one must succeed: recovery is repeated, not endless.
const STARTS: u64 = 4;

/// What trials may meet besides a power failure.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Out of how many syncs one lies; 0: none.
    pub lying_syncs_one_in: u64,
    /// Syncs may fail.
    pub failing_syncs: bool,
    /// Reads may fail.
    pub failing_reads: bool,
    /// The disk may become full.
    pub full_disks: bool,
    /// What happens to unsynced changes; `None`: as the seed says.
    pub unsynced: Option<Unsynced>,
}

/// What came of one trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Transactions whose commit returned.
    pub acknowledged: u64,
    /// Those of them that were not there after a crash.
    pub lost: u64,
    /// Transactions that were in flight and turned out to be there.
    pub in_flight_kept: u64,
    /// Transactions that were in flight and turned out not to be there.
    pub in_flight_lost: u64,
    /// Crashes of the machine, by what happened to unsynced changes.
    pub crashes: Vec<Unsynced>,
    /// Ends of the process alone.
    pub restarts: u64,
    /// Steps that the disk was too full for.
    pub full: u64,
    /// Starts that died.
    pub died_starting: u64,
    /// Keys of payloads that were destroyed.
    pub destroyed: u64,
    /// Everything else that must not be.
    pub findings: Vec<String>,
    /// Of the disk at the end.
    pub fingerprint: u64,
}

impl Outcome {
    /// Whether nothing that must not be was seen.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.lost == 0 && self.findings.is_empty()
    }
}

/// What came of many trials.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many.
    pub trials: u64,
    /// As in [`Outcome`], in all.
    pub acknowledged: u64,
    /// As in [`Outcome`], in all.
    pub lost: u64,
    /// Trials that lost something.
    pub with_loss: u64,
    /// Ways in which unsynced changes were treated.
    pub modes: BTreeSet<Unsynced>,
    /// As in [`Outcome`], in all.
    pub in_flight_kept: u64,
    /// As in [`Outcome`], in all.
    pub in_flight_lost: u64,
    /// As in [`Outcome`], in all.
    pub restarts: u64,
    /// As in [`Outcome`], in all.
    pub full: u64,
    /// As in [`Outcome`], in all.
    pub died_starting: u64,
    /// As in [`Outcome`], in all.
    pub destroyed: u64,
    /// Seeds of trials with something that must not be, and what that was.
    pub findings: Vec<(u64, String)>,
}

impl Summary {
    /// Adds a trial.
    pub fn add(&mut self, outcome: &Outcome) {
        self.trials += 1;
        self.acknowledged += outcome.acknowledged;
        self.lost += outcome.lost;
        self.with_loss += u64::from(outcome.lost > 0);
        self.modes.extend(&outcome.crashes);
        self.in_flight_kept += outcome.in_flight_kept;
        self.in_flight_lost += outcome.in_flight_lost;
        self.restarts += outcome.restarts;
        self.full += outcome.full;
        self.died_starting += outcome.died_starting;
        self.destroyed += outcome.destroyed;
        let found = outcome.findings.iter().cloned();
        self.findings.extend(found.map(|what| (outcome.seed, what)));
    }
}

impl Summary {
    /// Adds what other trials came to.
    pub fn merge(&mut self, other: Self) {
        self.trials += other.trials;
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.with_loss += other.with_loss;
        self.modes.extend(other.modes);
        self.in_flight_kept += other.in_flight_kept;
        self.in_flight_lost += other.in_flight_lost;
        self.restarts += other.restarts;
        self.full += other.full;
        self.died_starting += other.died_starting;
        self.destroyed += other.destroyed;
        self.findings.extend(other.findings);
    }
}

/// What the store held after one commit.
#[derive(Clone, Default)]
struct Held {
    model: MemStore,
    /// Payloads whose keys are not erased, by number.
    payloads: Vec<u8>,
}

/// Runs trials from one fresh data directory, which is made once.
pub struct Trials {
    settings: Settings,
    root: PathBuf,
    fresh: Snapshot,
}

impl Trials {
    /// Trials on disks at `root`, of which there may be one at a time.
    ///
    /// # Errors
    /// When there is another, or a fresh store cannot be made.
    pub fn new(root: &Path, settings: Settings) -> Result<Self, Box<dyn std::error::Error>> {
        let disk = SimDisk::mount(root, 0)?;
        reseed_sqlite(0)?;
        fresh::directory(&disk)?;
        Ok(Self {
            settings,
            root: root.to_owned(),
            fresh: disk.snapshot(),
        })
    }

    /// The trial of a seed. Equal seeds give equal outcomes while nothing else of this process uses SQLite.
    ///
    /// # Errors
    /// When there is another disk at the same place.
    pub fn run(&self, seed: u64) -> std::io::Result<Outcome> {
        let disk = SimDisk::mount(&self.root, seed)?;
        disk.restore(&self.fresh);
        reseed_sqlite(seed)?;
        let mut trial = Trial {
            settings: &self.settings,
            layout: Layout::new(&self.root),
            rng: Stream::new(seed, "trial", 0),
            history: vec![Held::default()],
            number: 0,
            in_flight: None,
            attempted: Vec::new(),
            durable_payloads: Vec::new(),
            destroyed: BTreeSet::new(),
            outcome: Outcome {
                seed,
                ..Outcome::default()
            },
            disk,
        };
        trial.run();
        trial.outcome.fingerprint = trial.disk.fingerprint();
        trial.outcome.destroyed = trial.destroyed.len() as u64;
        Ok(trial.outcome)
    }

    /// The trials of many seeds.
    ///
    /// # Errors
    /// As [`Trials::run`].
    pub fn run_all(&self, seeds: impl IntoIterator<Item = u64>) -> std::io::Result<Summary> {
        let mut summary = Summary::default();
        for seed in seeds {
            summary.add(&self.run(seed)?);
        }
        Ok(summary)
    }
}

/// One trial under way.
struct Trial<'a> {
    settings: &'a Settings,
    disk: SimDisk,
    layout: Layout,
    rng: Stream,
    /// Transactions that were begun.
    number: u64,
    /// What was held after each commit that returned, oldest first.
    history: Vec<Held>,
    /// What is held if the transaction whose commit failed is there after all.
    in_flight: Option<Held>,
    /// Payloads that the transaction in flight stores, and that may be there without it.
    attempted: Vec<u8>,
    /// Payloads of the transaction in flight that were said to be durable ahead of it.
    durable_payloads: Vec<u8>,
    /// Payloads whose keys were said to be destroyed.
    destroyed: BTreeSet<u8>,
    outcome: Outcome,
}

impl Trial<'_> {
    fn run(&mut self) {
        for _ in 0..1 + self.rng.below(LIVES) {
            self.live();
            // Where the process alone ended, the machine may have gone on.
            if self.disk.is_dead() || self.rng.one_in(2) {
                let mode = self.disk.crash(self.settings.unsynced);
                self.outcome.crashes.push(mode);
            }
            if !self.judge() {
                return;
            }
        }
    }

    fn find(&mut self, what: impl Into<String>) {
        self.outcome.findings.push(what.into());
    }
}
