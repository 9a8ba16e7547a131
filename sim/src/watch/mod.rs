//! Whether the rules are kept: everything that leaves a node is seen here, and everything that is durable can be. Knows
//! the truth, which no node does. May not change anything.
//!
//! | file | holds |
//! |---|---|
//! | `safety` | S1-S13: what may never happen, whatever goes wrong |
//! | `revoked` | S13: revoked keys sign nothing that counts |
//! | `owes` | S2: what left a node is in its directory |
//! | `bounds` | S8, L6: what others send neither fills a node nor keeps it from working |
//! | `audit` | S12: what an auditor is told is right |
//! | `clocks` | S9: published intervals hold the true offset |
//! | `liveness` | L1-L6: what must be well some time after the last fault |
//! | `sometimes` | rare states that a suite must have reached |

mod audit;
mod bounds;
mod clocks;
mod liveness;
mod owes;
mod revoked;
mod safety;
mod sometimes;

pub(crate) use liveness::{is_well, look};
pub(crate) use revoked::{answered, revoked};
pub(crate) use safety::{
    disconnects, framed, judged, promised, refused, replaced, single, started,
};
pub use sometimes::RARE;

use crate::founding::Founded;
use crate::streams::Stream;
use crate::world::World;
use belfry_protocol::engine::federation::Alarm;
use belfry_protocol::engine::ledger::Places;
use belfry_protocol::tlog::hash::Hash;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which: `S3`, `L1`, … as `docs/simulator.md` lists them.
    pub invariant: &'static str,
    /// Simulated time in microseconds.
    pub at_us: u64,
    /// The node it was seen at, if it was one.
    pub node: Option<usize>,
    /// What was seen.
    pub what: String,
}

/// An alarm that a node raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) at_us: u64,
    pub(crate) node: usize,
    pub(crate) alarm: Alarm,
}

/// What one tower acknowledged of one ledger under one key.
#[derive(Clone, Debug, Default)]
struct Acked {
    time_seconds: u64,
    /// Its lines so far: one that is told again is no new ack.
    told: BTreeSet<Vec<u8>>,
    /// Largest digest of the ledger's own process.
    true_size: u64,
    /// A digest of a thief's beyond what both trees share.
    stolen: bool,
}

/// A digest that a thief signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stolen {
    /// Of which serial the key was.
    pub(crate) serial: u64,
    /// Entries that both trees share.
    pub(crate) shared: u64,
    /// The root.
    pub(crate) root: Hash,
}

/// A digest that a thief signed and whose entries nobody is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hidden {
    /// Of which serial the key was.
    pub(crate) serial: u64,
    /// The root.
    pub(crate) root: Hash,
}

/// Everything that was seen.
pub(crate) struct Watch {
    violation: Option<Violation>,
    reached: BTreeMap<&'static str, u64>,
    /// Digests that a node's own process let out, by size.
    digests: Vec<BTreeMap<u64, (Hash, u64)>>,
    /// Digests that thieves signed, by ledger and size.
    pub(crate) stolen: BTreeMap<usize, BTreeMap<u64, Vec<Stolen>>>,
    /// Digests that thieves signed and whose entries they show to nobody: their sizes and roots, by ledger.
    pub(crate) hidden: BTreeMap<usize, BTreeMap<u64, Hidden>>,
    pub(crate) revocations: revoked::Revocations,
    acked: BTreeMap<(usize, u32, String), Acked>,
    owes: Vec<owes::Owes>,
    /// Guarded requests that were answered, by who answered: a replay may not be.
    answered: BTreeSet<(usize, Hash)>,
    /// Single requests that were taken, by who took them.
    taken: BTreeSet<(usize, [u8; 16])>,
    /// Frames that thieves showed, with whose key they signed: they are shown once more when all faults are over.
    pub(crate) shown: Vec<(usize, Vec<u8>)>,
    /// Nodes that keep no rule.
    pub(crate) liars: BTreeSet<usize>,
    /// Towers that cosigned two trees: proven, they are not heard any more, however honest they become.
    pub(crate) exposed: BTreeSet<usize>,
    /// When a node's clock was last set, put to sleep, or made to drift.
    pub(crate) clock_changed_us: Vec<u64>,
    /// Whether somebody sends what no honest node does.
    pub(crate) mischief: bool,
    pub(crate) alarms: Vec<Raised>,
    /// Microseconds from an append to its ack, by when it was acked.
    pub(crate) latencies: Vec<(u64, u64)>,
    /// Entries that wait for their ack, by node: index and when.
    waiting: Vec<BTreeMap<u64, u64>>,
    /// Draws of the auditor.
    auditor: Stream,
    /// Half-widths of clock intervals as nodes showed them, in microseconds.
    pub(crate) skews: clocks::Thinned,
    now_us: u64,
}

impl Watch {
    pub(crate) fn new(founded: &Founded, seed: u64) -> Self {
        let count = founded.count();
        Self {
            violation: None,
            reached: BTreeMap::new(),
            digests: vec![BTreeMap::new(); count],
            stolen: BTreeMap::new(),
            hidden: BTreeMap::new(),
            revocations: revoked::Revocations::default(),
            acked: BTreeMap::new(),
            owes: vec![owes::Owes::default(); count],
            answered: BTreeSet::new(),
            taken: BTreeSet::new(),
            shown: Vec::new(),
            liars: BTreeSet::new(),
            exposed: BTreeSet::new(),
            clock_changed_us: vec![0; count],
            mischief: false,
            alarms: Vec::new(),
            latencies: Vec::new(),
            waiting: vec![BTreeMap::new(); count],
            auditor: Stream::new(seed, "auditor", 0),
            skews: clocks::Thinned::default(),
            now_us: 0,
        }
    }

    /// The newest digest that a node's own process let out.
    pub(crate) fn newest_digest(&self, at: usize) -> Option<(u64, Hash)> {
        let newest = self.digests[at].last_key_value();
        newest.map(|(size, (root, _))| (*size, *root))
    }

    /// The serials by whose log keys thieves signed other trees of a ledger.
    fn serials_of_thieves(&self, origin: usize) -> BTreeSet<u64> {
        let stolen = self.stolen.get(&origin).into_iter().flatten();
        let stolen = stolen.flat_map(|(_, all)| all).map(|one| one.serial);
        let hidden = self.hidden.get(&origin).into_iter().flatten();
        stolen.chain(hidden.map(|(_, one)| one.serial)).collect()
    }

    /// A rare state was reached.
    pub(crate) fn reached(&mut self, what: &'static str) {
        debug_assert!(RARE.contains(&what), "{what} is not listed");
        *self.reached.entry(what).or_default() += 1;
    }

    /// How often each rare state was reached.
    pub(crate) fn reached_all(&self) -> &BTreeMap<&'static str, u64> {
        &self.reached
    }

    /// A rule was broken; the first one counts.
    pub(crate) fn fail(&mut self, invariant: &'static str, node: Option<usize>, what: String) {
        let at_us = self.now_us;
        self.violation.get_or_insert(Violation {
            invariant,
            at_us,
            node,
            what,
        });
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.violation.is_some()
    }

    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// A process refused to start.
    pub(crate) fn start_failed(&mut self, now_us: u64, at: usize, why: &str) {
        self.now_us = now_us;
        self.fail("S10", Some(at), format!("it cannot start: {why}"));
    }

    /// A caller was told where its entries are.
    pub(crate) fn appended(&mut self, at: usize, places: &Places) {
        for (index, new) in places.indices() {
            if new {
                self.waiting[at].insert(index, self.now_us);
            }
            let entries = &mut self.owes[at].entries;
            *entries = (*entries).max(index + 1);
        }
    }

    /// When the oldest entry was appended that waits for its ack, in microseconds.
    fn oldest_wait_us(&self, at: usize) -> Option<u64> {
        self.waiting[at].values().min().copied()
    }

    /// A quorum acknowledged a ledger up to there.
    fn acknowledged(&mut self, at: usize, size: u64) {
        let later = self.waiting[at].split_off(&size);
        let acked = std::mem::replace(&mut self.waiting[at], later);
        let now_us = self.now_us;
        let took = acked.into_values().map(|at_us| (now_us, now_us - at_us));
        self.latencies.extend(took);
    }

    pub(crate) fn time(&mut self, now_us: u64) {
        self.now_us = now_us;
    }

    /// Raised by a node: kept for the report, and counted where rare.
    fn alarm(&mut self, node: usize, alarm: &Alarm) {
        let rare = match alarm {
            Alarm::FastForward { .. } => "a factory was brought forward by its towers",
            Alarm::SecondCopy { .. } => "one of two copies of a node stopped",
            Alarm::ForeignStatement { .. } => {
                "a node met a statement of its own that it did not make"
            }
            Alarm::WallStep { .. } => "a wall clock stepped and was noticed",
            Alarm::ClockViolated { .. } => "a clock was proven wrong and its acks stopped",
            Alarm::Fork { .. } => "a fork of a ledger was proven",
            Alarm::TowerFork { .. } => "a fork by a tower was proven",
            Alarm::Withheld { .. } => "a digest whose entries nobody shows was told apart",
            Alarm::TowerRolledBack { .. } => "a tower met acks that it did not remember",
            Alarm::StolenKey { .. } => "a note by a revoked key was told apart",
            // No fault and no liar here causes these yet.
            Alarm::KeyRange { .. } | Alarm::OddDigest { .. } => "",
        };
        if !rare.is_empty() {
            self.reached(rare);
        }
        self.alarms.push(Raised {
            at_us: self.now_us,
            node,
            alarm: alarm.clone(),
        });
    }
}

/// Whether what a node's own directory shows can be held against it: not where a fault damaged its disk.
pub(crate) fn is_sound(world: &World, at: usize) -> bool {
    is_honest(world, at) && !world.nodes[at].is_damaged()
}

/// Whether a node keeps the rules, as far as the watch knows.
pub(crate) fn is_honest(world: &World, at: usize) -> bool {
    !world.watch.liars.contains(&at)
}
