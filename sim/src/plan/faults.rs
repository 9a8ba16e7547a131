//! The catalogue of faults: what can go wrong, by names that plans and the command line use. Data only; what a fault does
//! is in [`crate::inject`].

use serde::{Deserialize, Serialize};

/// A fault and when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// Simulated milliseconds since the start.
    pub at_ms: u64,
    /// What.
    pub fault: Fault,
}

/// Which part of a node's store an old backup brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Everything.
    All,
    /// The ledger and what is known of others, but not the anti-replay tables.
    Ledger,
    /// The anti-replay tables alone.
    Nonces,
}

/// What goes wrong. Times are simulated milliseconds, odds are in a million, nodes are numbers of the topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// These nodes and the others do not hear each other.
    Partition { nodes: Vec<usize>, for_ms: u64 },
    /// What `from` sends does not reach `to`.
    OneWay { from: usize, to: usize, for_ms: u64 },
    /// A link comes and goes.
    Flapping {
        a: usize,
        b: usize,
        period_ms: u64,
        for_ms: u64,
    },
    /// All links stop one by one, and go on in another order.
    SwizzleClog { nodes: Vec<usize>, for_ms: u64 },
    /// Gossip is lost, requests break their connection.
    Loss { odds: u32, for_ms: u64 },
    /// Messages arrive twice.
    Duplication { odds: u32, for_ms: u64 },
    /// Messages overtake each other.
    Reordering { odds: u32, for_ms: u64 },
    /// Bits of messages flip on the way.
    Corruption { odds: u32, for_ms: u64 },
    /// So many messages take long.
    Latency {
        odds: u32,
        extra_ms: u64,
        for_ms: u64,
    },
    /// Both clocks of a node run too fast by so many parts per million.
    ClockDrift { node: usize, ppm: i64 },
    /// The wall clock of a node is set by so much.
    ClockStep { node: usize, by_ms: i64 },
    /// A machine sleeps.
    Pause { node: usize, for_ms: u64 },
    /// A process is killed, at any point of a step, and started again. `in_sync`: in the middle of its next sync.
    Crash {
        node: usize,
        down_ms: u64,
        #[serde(default)]
        in_sync: bool,
    },
    /// It is killed again and again while it starts.
    CrashLoop {
        node: usize,
        times: u32,
        every_ms: u64,
    },
    /// All processes are killed at once.
    Blackout { down_ms: u64 },
    /// Its next sync fails: the process stops by itself, and what was to be synced may be there or not.
    SyncError { node: usize, down_ms: u64 },
    /// The disk of a node has no room.
    DiskFull { node: usize, for_ms: u64 },
    /// A node's directory is replaced by an older copy, and nobody tells it.
    RollBack {
        node: usize,
        back_ms: u64,
        part: Part,
    },
    /// A node's directory is replaced by an older copy, and `RESTORED` says so.
    Restore { node: usize, back_ms: u64 },
    /// A node's directory is lost.
    LostDisk { node: usize },
    /// A node's operator rotates its keys: no fault, and all others may happen meanwhile.
    Rotate { node: usize },
    /// A node's operator rotates its keys and then revokes the older ones. For `thief_ms` after that somebody else uses those:
    /// asks and tells in the node's name, signs other trees with the log key, and answers with acks in its place.
    Revoke {
        node: usize,
        #[serde(default)]
        thief_ms: u64,
    },
    /// A second copy of a node runs beside it.
    SecondCopy { node: usize, for_ms: u64 },
    /// Somebody with a factory's log key shows half of the members another tree.
    Equivocation { node: usize },
    /// Somebody with a factory's log key signs a digest beyond its ledger, and shows its entries to nobody.
    HiddenEntries { node: usize },
    /// A tower cosigns whatever it is shown, and says that it holds it.
    LyingTower { node: usize },
    /// Messages of the past are sent again, to anybody.
    Replay { per_second: u64, for_ms: u64 },
    /// A member floods another with requests and gossip.
    Flood {
        from: usize,
        to: usize,
        per_second: u64,
        for_ms: u64,
    },
    /// A node hears nobody but one liar.
    Eclipse { node: usize, by: usize, for_ms: u64 },
    /// A node speaks other versions from its next start on.
    VersionSkew { node: usize },
    /// A node takes requests and never answers.
    Mute { node: usize, for_ms: u64 },
    /// Messages that are too long, too deep, or no messages at all.
    Garbage {
        to: usize,
        per_second: u64,
        for_ms: u64,
    },
    /// The power of a machine fails in the middle of what it writes: unsynced writes are lost, kept in part, torn, and in
    /// any order.
    TornWrite { node: usize, down_ms: u64 },
    /// One in so many syncs of a disk says that it is done and does nothing; then the power fails.
    LyingSync {
        node: usize,
        one_in: u64,
        for_ms: u64,
    },
    /// A bit of a file flips where it is stored.
    BitRot { node: usize },
    /// Somebody asks for as much of a ledger as can be asked for.
    HugeQueries {
        from: usize,
        to: usize,
        per_second: u64,
        for_ms: u64,
    },
}

/// Faults that only a disk can have.
pub const ON_DISK: [&str; 3] = ["torn-write", "lying-sync", "bit-rot"];

/// Every fault by name with what it is, in the order of the catalogue.
pub const NAMES: [(&str, &str); 36] = [
    ("partition", "two groups of nodes do not hear each other"),
    ("one-way", "one direction of a link is dead"),
    ("flapping", "a link comes and goes"),
    (
        "swizzle-clog",
        "links stop one by one and go on in another order",
    ),
    ("loss", "gossip is lost, requests break their connection"),
    ("duplication", "messages arrive twice"),
    ("reordering", "messages overtake each other"),
    ("corruption", "bits of messages flip"),
    ("latency", "some messages take long"),
    (
        "clock-drift",
        "both clocks of a node run too fast or too slow",
    ),
    ("clock-step", "a wall clock is set"),
    ("pause", "a machine sleeps"),
    ("crash", "a process is killed at any point of a step"),
    (
        "crash-loop",
        "a process is killed again and again while it starts",
    ),
    ("blackout", "all processes are killed at once"),
    ("sync-error", "a sync fails and the process stops by itself"),
    ("disk-full", "a disk has no room"),
    (
        "roll-back",
        "a directory is silently replaced by an older copy",
    ),
    ("restore", "a directory comes out of a backup and says so"),
    ("lost-disk", "a directory is lost"),
    ("second-copy", "a copy of a node runs beside it"),
    (
        "equivocation",
        "a stolen log key shows half of the members another tree",
    ),
    ("lying-tower", "a tower cosigns whatever it is shown"),
    ("replay", "messages of the past are sent again"),
    ("flood", "a member floods another"),
    ("eclipse", "a node hears nobody but one liar"),
    ("version-skew", "a node speaks other versions"),
    ("mute", "a node takes requests and never answers"),
    ("garbage", "messages that are none"),
    (
        "huge-queries",
        "somebody asks for as much as can be asked for",
    ),
    (
        "torn-write",
        "the power fails in the middle of a write (store sqlite)",
    ),
    (
        "lying-sync",
        "syncs lie, then the power fails (store sqlite)",
    ),
    ("bit-rot", "a bit of a file flips (store sqlite)"),
    ("rotate", "an operator rotates the keys of a node"),
    (
        "hidden-entries",
        "a stolen log key signs a digest whose entries nobody shows",
    ),
    (
        "revoke",
        "an operator rotates keys and revokes the older ones, which a thief goes on using",
    ),
];

impl Fault {
    /// Its name in the catalogue.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Partition { .. } => "partition",
            Self::OneWay { .. } => "one-way",
            Self::Flapping { .. } => "flapping",
            Self::SwizzleClog { .. } => "swizzle-clog",
            Self::Loss { .. } => "loss",
            Self::Duplication { .. } => "duplication",
            Self::Reordering { .. } => "reordering",
            Self::Corruption { .. } => "corruption",
            Self::Latency { .. } => "latency",
            Self::ClockDrift { .. } => "clock-drift",
            Self::ClockStep { .. } => "clock-step",
            Self::Pause { .. } => "pause",
            Self::Crash { .. } => "crash",
            Self::CrashLoop { .. } => "crash-loop",
            Self::Blackout { .. } => "blackout",
            Self::SyncError { .. } => "sync-error",
            Self::DiskFull { .. } => "disk-full",
            Self::RollBack { .. } => "roll-back",
            Self::Restore { .. } => "restore",
            Self::LostDisk { .. } => "lost-disk",
            Self::SecondCopy { .. } => "second-copy",
            Self::Equivocation { .. } => "equivocation",
            Self::HiddenEntries { .. } => "hidden-entries",
            Self::LyingTower { .. } => "lying-tower",
            Self::Replay { .. } => "replay",
            Self::Flood { .. } => "flood",
            Self::Eclipse { .. } => "eclipse",
            Self::VersionSkew { .. } => "version-skew",
            Self::Mute { .. } => "mute",
            Self::Garbage { .. } => "garbage",
            Self::HugeQueries { .. } => "huge-queries",
            Self::TornWrite { .. } => "torn-write",
            Self::LyingSync { .. } => "lying-sync",
            Self::BitRot { .. } => "bit-rot",
            Self::Rotate { .. } => "rotate",
            Self::Revoke { .. } => "revoke",
        }
    }

    /// Whether only a node whose store is on a disk can have it.
    #[must_use]
    pub fn needs_disk(&self) -> bool {
        ON_DISK.contains(&self.name())
    }

    /// The nodes it names.
    #[must_use]
    pub fn nodes(&self) -> Vec<usize> {
        match self {
            Self::Partition { nodes, .. } | Self::SwizzleClog { nodes, .. } => nodes.clone(),
            Self::OneWay { from, to, .. }
            | Self::Flood { from, to, .. }
            | Self::HugeQueries { from, to, .. } => vec![*from, *to],
            Self::Flapping { a, b, .. } => vec![*a, *b],
            Self::Eclipse { node, by, .. } => vec![*node, *by],
            Self::ClockDrift { node, .. }
            | Self::ClockStep { node, .. }
            | Self::Pause { node, .. }
            | Self::Crash { node, .. }
            | Self::CrashLoop { node, .. }
            | Self::SyncError { node, .. }
            | Self::DiskFull { node, .. }
            | Self::RollBack { node, .. }
            | Self::Restore { node, .. }
            | Self::LostDisk { node }
            | Self::Rotate { node }
            | Self::Revoke { node, .. }
            | Self::SecondCopy { node, .. }
            | Self::Equivocation { node }
            | Self::HiddenEntries { node }
            | Self::LyingTower { node }
            | Self::VersionSkew { node }
            | Self::TornWrite { node, .. }
            | Self::LyingSync { node, .. }
            | Self::BitRot { node }
            | Self::Mute { node, .. } => vec![*node],
            Self::Garbage { to, .. } => vec![*to],
            Self::Loss { .. }
            | Self::Duplication { .. }
            | Self::Reordering { .. }
            | Self::Corruption { .. }
            | Self::Latency { .. }
            | Self::Blackout { .. }
            | Self::Replay { .. } => Vec::new(),
        }
    }

    /// Whether it can be done to a federation of so many nodes.
    pub(super) fn check(&self, nodes: usize) -> Result<(), String> {
        let named = self.nodes();
        match named.iter().find(|node| **node >= nodes) {
            Some(node) => Err(format!(
                "there is no node {node}, the last one is {}",
                nodes - 1
            )),
            None => Ok(()),
        }
    }
}
