//! A plan: everything that a run is told from outside, as a file that a person can read and change. The seed adds only
//! what the plan leaves open: latencies, and which of several things happens first. A plan outlives the seed that drew it.

mod draw;
mod faults;

pub(crate) use draw::safe_quorum;
pub use draw::{Wishes, draw};
pub use faults::{Fault, NAMES, ON_DISK, Part, Timed};

use serde::{Deserialize, Serialize};

/// The version of the file's form.
pub const VERSION: u32 = 1;

/// What a run is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Form of this file: 1.
    pub version: u32,
    /// Seeds every stream of randomness.
    pub seed: u64,
    /// Who there is.
    pub topology: Topology,
    /// What nodes keep their directories in.
    #[serde(default, skip_serializing_if = "Store::is_memory")]
    pub store: Store,
    /// What callers do.
    pub workload: Workload,
    /// How often nodes do what they do without a reason, as their operators configured it.
    #[serde(default, skip_serializing_if = "Pace::is_usual")]
    pub pace: Pace,
    /// How long faults may happen, in simulated seconds.
    pub seconds: u64,
    /// Within how many simulated seconds after the last fault everything must be well again.
    pub converge_seconds: u64,
    /// What goes wrong, in the order of its times.
    pub faults: Vec<Timed>,
    /// What is broken on purpose.
    #[cfg(feature = "sabotage")]
    #[serde(default)]
    pub sabotage: Option<Sabotage>,
}

/// What nodes keep their directories in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// Memory, with the behaviour of the product's store.
    #[default]
    Memory,
    /// The product's store, SQLite and files, on a simulated disk for each node. It takes time: for few nodes.
    Sqlite,
}

impl Store {
    fn is_memory(&self) -> bool {
        *self == Self::Memory
    }
}

/// What is broken on purpose: the rules must notice it, or they notice nothing.
#[cfg(feature = "sabotage")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sabotage {
    /// Promises leave before their step is synced.
    PromisesBeforeSync,
    /// The store's commits return before their sync.
    SynchronousNormal,
    /// The floor of the anti-replay tables is forgotten at every start.
    VolatileFloor,
    /// What towers promised and acknowledged is forgotten at every start.
    VolatileMarks,
    /// Nodes start without looking at what they start on.
    NoStartUpCheck,
    /// What an operator revoked goes on signing.
    RevokedKeysSign,
    /// Revocations are forgotten at every start, and not heard of again.
    VolatileRevocations,
}

/// Who there is and how far apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Factories; they come first in the numbering of nodes.
    pub factories: usize,
    /// How many of the factories, the last ones, are towers too.
    #[serde(default)]
    pub both: usize,
    /// Mere towers; they follow.
    pub towers: usize,
    /// The tower quorum k.
    pub quorum: u32,
    /// Names and roles of the nodes, in the order of their names, which is then their numbering; without it they are
    /// numbered as above and named for their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Seat>,
    /// Region of each node; without it all are in region 0.
    #[serde(default)]
    pub regions: Vec<usize>,
    /// One-way latency between regions in microseconds, as a square; without it 300 µs everywhere.
    #[serde(default)]
    pub latency_us: Vec<Vec<u64>>,
}

/// One node's place in the federation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// A member's name.
    pub name: String,
    /// Whether it keeps a ledger.
    #[serde(default)]
    pub factory: bool,
    /// Whether it is a tower.
    #[serde(default)]
    pub tower: bool,
}

impl Topology {
    /// All nodes, in the order of their numbers.
    #[must_use]
    pub fn seats(&self) -> Vec<Seat> {
        if !self.named.is_empty() {
            return self.named.clone();
        }
        let factories = (0..self.factories).map(|number| Seat {
            name: format!("factory-{number:02}.sim/line"),
            factory: true,
            tower: number >= self.factories.saturating_sub(self.both),
        });
        let towers = (0..self.towers).map(|number| Seat {
            name: format!("tower-{number:02}.sim"),
            factory: false,
            tower: true,
        });
        factories.chain(towers).collect()
    }

    /// Whether the numbers say what the names say.
    fn check_names(&self) -> Result<(), String> {
        let count = |has: fn(&Seat) -> bool| self.named.iter().filter(|seat| has(seat)).count();
        let counted = (
            count(|seat| seat.factory),
            count(|seat| seat.factory && seat.tower),
            count(|seat| seat.tower && !seat.factory),
        );
        if self.named.is_empty() || counted == (self.factories, self.both, self.towers) {
            return Ok(());
        }
        Err(format!(
            "the named nodes are {} factories, {} of them towers too, and {} towers, and the topology says {}, {} and {}",
            counted.0, counted.1, counted.2, self.factories, self.both, self.towers
        ))
    }
}

/// How often nodes do what they do without a reason: settings of the engine and its runtime, as the product has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    /// When a ledger that rests is acknowledged again: the engine's `reack_us`.
    pub reack_seconds: u64,
    /// When each member is asked for certificates, revocations and fork proofs that gossip did not bring: the engine's `ask_us`.
    pub ask_seconds: u64,
    /// `window.interval_seconds`: when a ledger gets an entry with what its node saw.
    pub window_seconds: u64,
    /// `clock.probe_interval_ms`: when a peer's clock is probed.
    pub probe_ms: u64,
}

impl Pace {
    /// A digest a day: nothing is acknowledged again, and no window closed, before that; and members ask each other every ten minutes instead of every one.
    pub const DAILY: Self = Self {
        reack_seconds: 86_400,
        ask_seconds: 600,
        window_seconds: 86_400,
        probe_ms: 16_000,
    };

    fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a node could be configured so.
    fn check(&self) -> Result<(), PlanError> {
        let settings = [
            ("reack_seconds", self.reack_seconds, 45..=86_400),
            ("ask_seconds", self.ask_seconds, 1..=86_400),
            ("window_seconds", self.window_seconds, 1..=86_400),
            ("probe_ms", self.probe_ms, 100..=600_000),
        ];
        let wrong = settings.into_iter().find(|(_, is, may)| !may.contains(is));
        match wrong {
            None => Ok(()),
            Some((name, is, may)) => Err(PlanError::Wrong(format!(
                "{name} is {is}; it may be {} to {}",
                may.start(),
                may.end()
            ))),
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            reack_seconds: 45,
            ask_seconds: 60,
            window_seconds: 3_600,
            probe_ms: 16_000,
        }
    }
}

/// What callers do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Entries per 1,000 simulated seconds, over all factories.
    pub entries_per_1000_seconds: u64,
    /// Bytes of an entry's body.
    pub entry_bytes: usize,
    /// Single requests per 1,000 simulated seconds, over all nodes: half of them were sent before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub singles_per_1000_seconds: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Why a plan cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It cannot be read.
    #[error("the plan cannot be read: {0}")]
    Read(#[from] serde_json::Error),
    /// Another form.
    #[error("the plan is of version {0}, and this program plays version {VERSION}")]
    Version(u32),
    /// A number that leads nowhere.
    #[error("{0}")]
    Wrong(String),
}

/// Most nodes of one federation: as many as a manifest may name.
pub const MAX_NODES: usize = belfry_protocol::manifest::MAX_MEMBERS;
/// Most nodes whose stores are on simulated disks, which are in memory.
pub const MAX_ON_DISK: usize = 16;
/// Longest simulated time, in seconds: ten years.
pub const MAX_SECONDS: u64 = 10 * 365 * 86_400;
/// Longest body of an entry.
const MAX_ENTRY_BYTES: usize = 60_000;

impl Plan {
    /// Reads a plan and checks it.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text)?;
        plan.check()?;
        Ok(plan)
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        // A plan is plain numbers and lists, which always have a text.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Nodes in all.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.topology.factories + self.topology.towers
    }

    /// Checks what types do not say.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn check(&self) -> Result<(), PlanError> {
        let wrong = |what: String| Err(PlanError::Wrong(what));
        let topology = &self.topology;
        if self.version != VERSION {
            return Err(PlanError::Version(self.version));
        }
        if topology.factories == 0 || topology.towers == 0 {
            return wrong("a federation has at least one factory and one tower".to_owned());
        }
        if topology.both > topology.factories {
            return wrong(format!(
                "{} of {} factories cannot be towers too",
                topology.both, topology.factories
            ));
        }
        topology.check_names().map_err(PlanError::Wrong)?;
        let nodes = self.nodes();
        if nodes > MAX_NODES {
            return wrong(format!(
                "{nodes} nodes; one manifest names at most {MAX_NODES}"
            ));
        }
        if self.store == Store::Sqlite && nodes > MAX_ON_DISK {
            return wrong(format!(
                "{nodes} nodes; with store = sqlite there are at most {MAX_ON_DISK}"
            ));
        }
        if self.store == Store::Memory {
            let on_disk = self.faults.iter().find(|timed| timed.fault.needs_disk());
            if let Some(timed) = on_disk {
                return wrong(format!(
                    "{} happens to disks alone; set store = sqlite",
                    timed.fault.name()
                ));
            }
        }
        self.pace.check()?;
        if self.seconds.saturating_add(self.converge_seconds) > MAX_SECONDS {
            return wrong("more than ten years".to_owned());
        }
        if self.workload.entry_bytes > MAX_ENTRY_BYTES {
            return wrong(format!(
                "an entry's body has at most {MAX_ENTRY_BYTES} bytes here"
            ));
        }
        let regions = topology.latency_us.len();
        if topology.latency_us.iter().any(|row| row.len() != regions) {
            return wrong("latency_us is not a square".to_owned());
        }
        if !topology.regions.is_empty() && topology.regions.len() != nodes {
            return wrong(format!(
                "{} regions for {nodes} nodes",
                topology.regions.len()
            ));
        }
        let most = regions.max(1);
        if let Some(region) = topology.regions.iter().find(|region| **region >= most) {
            return wrong(format!("region {region} has no row in latency_us"));
        }
        self.faults.iter().try_for_each(|timed| {
            timed
                .fault
                .check(nodes)
                .map_err(|why| PlanError::Wrong(format!("{}: {why}", timed.fault.name())))
        })
    }
}
