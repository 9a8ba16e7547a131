//! From a seed to a plan (swarm testing): each seed chooses some sorts of faults, gives them wildly different odds, and
//! leaves the others out, because a run with everything hides what few faults would show. May not draw more liars than
//! the rules survive.

use super::{Fault, NAMES, ON_DISK, Pace, Part, Plan, Store, Timed, Topology, VERSION, Workload};
use crate::streams::{MILLION, Stream};
use std::collections::BTreeMap;

/// What the caller wants; the seed draws the rest.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Nodes in all; drawn if `None`.
    pub nodes: Option<usize>,
    /// Simulated seconds in which faults happen; drawn if `None`.
    pub seconds: Option<u64>,
    /// Names of the faults that may happen; all if empty.
    pub faults: Vec<String>,
    /// Entries per 1,000 seconds; drawn if `None`.
    pub entries_per_1000_seconds: Option<u64>,
    /// What nodes keep their directories in; drawn if `None`.
    pub store: Option<Store>,
    /// How often nodes do what they do without a reason.
    pub pace: Pace,
}

/// Simulated seconds in which a federation must be well again after its last fault: longer than any pause in it (dialling
/// again takes up to 30 s, a dead direction 40 s, a first digest of a restored tower a few rounds).
const CONVERGE_SECONDS: u64 = 240;

/// Faults that only make work for others.
const FLOODS: [&str; 4] = ["replay", "flood", "garbage", "huge-queries"];

/// Faults that show what comes of a stolen key.
const THIEVES: [&str; 4] = ["equivocation", "lying-tower", "eclipse", "partition"];

/// Faults that a seed is given beside those it chooses, and how many seeds are there for one that has it. Hidden entries end a
/// ledger for good, so that few runs have them; a revocation needs whatever else goes wrong beside it.
const BESIDE: [(&str, u64); 2] = [("hidden-entries", 16), ("revoke", 6)];

/// Plans the run of a seed.
#[must_use]
pub fn draw(seed: u64, wishes: &Wishes) -> Plan {
    let mut draws = Stream::new(seed, "plan", 0);
    let store = store(seed, wishes);
    let small = (store == Store::Sqlite).then(|| small(seed, wishes));
    let wishes = small.as_ref().unwrap_or(wishes);
    let topology = topology(&mut draws, wishes.nodes);
    let seconds = wishes.seconds.unwrap_or_else(|| draws.between(60, 300));
    let rate = draws.between(100, 4_000);
    let mut plan = Plan {
        version: VERSION,
        seed,
        topology,
        store,
        workload: Workload {
            entries_per_1000_seconds: wishes.entries_per_1000_seconds.unwrap_or(rate),
            entry_bytes: usize::try_from(draws.between(16, 600)).unwrap_or(16),
            singles_per_1000_seconds: singles(seed),
        },
        pace: wishes.pace,
        seconds,
        converge_seconds: CONVERGE_SECONDS,
        faults: Vec::new(),
        #[cfg(feature = "sabotage")]
        sabotage: None,
    };
    faults(&mut plan, wishes);
    plan
}

/// Callers' single requests per 1,000 seconds: in some seeds none, so that nothing hides behind their traffic.
fn singles(seed: u64) -> u64 {
    let mut draws = Stream::new(seed, "single requests", 0);
    if draws.one_in(3) {
        draws.between(100, 2_000)
    } else {
        0
    }
}

/// One in so many seeds has its stores on disks, if it is small.
const ON_DISK_ONE_IN: u64 = 6;

/// What nodes keep their directories in.
fn store(seed: u64, wishes: &Wishes) -> Store {
    let small = wishes.nodes.is_none_or(|nodes| nodes <= SMALL_NODES)
        && wishes
            .seconds
            .is_none_or(|seconds| seconds <= SMALL_SECONDS);
    let needed = || {
        wishes
            .faults
            .iter()
            .any(|one| ON_DISK.contains(&one.as_str()))
    };
    match wishes.store {
        Some(store) => store,
        None if needed() || small && Stream::new(seed, "store", 0).one_in(ON_DISK_ONE_IN) => {
            Store::Sqlite
        }
        None => Store::Memory,
    }
}

/// The most of a run with stores on disks, which takes its time, that nobody asked for.
const SMALL_NODES: usize = 9;
const SMALL_SECONDS: u64 = 120;

/// A small federation that appends much in a short time: tiles are written to files, too.
fn small(seed: u64, wishes: &Wishes) -> Wishes {
    let mut draws = Stream::new(seed, "small", 0);
    let nodes = 3 + draws.index(SMALL_NODES - 2);
    let seconds = draws.between(30, SMALL_SECONDS);
    let rate = draws.between(500, 20_000);
    Wishes {
        nodes: wishes.nodes.or(Some(nodes)),
        seconds: wishes.seconds.or(Some(seconds)),
        entries_per_1000_seconds: wishes.entries_per_1000_seconds.or(Some(rate)),
        ..wishes.clone()
    }
}

/// Towers and factories: as large a federation as was asked for, with a quorum that is safe (R2).
fn topology(draws: &mut Stream, nodes: Option<usize>) -> Topology {
    let towers = match nodes {
        Some(nodes) => (nodes * 2 / 3).clamp(1, 7),
        None => usize::try_from(draws.between(3, 7)).unwrap_or(3),
    };
    let factories = match nodes {
        Some(nodes) => nodes.saturating_sub(towers).max(1),
        None => usize::try_from(draws.between(1, 4)).unwrap_or(1),
    };
    let fits = factories > 1 && fits_both(towers + 1);
    let both = usize::from(fits && draws.happens(MILLION / 3));
    let regions = usize::try_from(draws.between(1, 4)).unwrap_or(1);
    let count = towers + factories;
    let region = (0..count).map(|_| draws.index(regions)).collect();
    // Between two regions it is as far there as back.
    let mut apart = BTreeMap::new();
    for pair in (0..regions).flat_map(|a| (0..a).map(move |b| (b, a))) {
        apart.insert(pair, draws.between(5_000, 120_000));
    }
    let us = |a: usize, b: usize| apart.get(&(a.min(b), a.max(b))).copied().unwrap_or(300);
    let latency_us = (0..regions)
        .map(|a| (0..regions).map(|b| us(a, b)).collect())
        .collect();
    Topology {
        factories,
        both,
        towers,
        quorum: safe_quorum(towers + both),
        named: Vec::new(),
        regions: region,
        latency_us,
    }
}

/// The smallest safe quorum of so many towers: 2k > n + f and k <= n - f (R2).
pub(crate) fn safe_quorum(towers: usize) -> u32 {
    let n = u32::try_from(towers).unwrap_or(u32::MAX);
    (n + liars_of(n)) / 2 + 1
}

/// Whether one of so many towers may be a factory too: its own ledger is watched by one tower fewer, and the quorum has to
/// be safe for that, too.
fn fits_both(towers: usize) -> bool {
    let fewer = u32::try_from(towers - 1).unwrap_or(u32::MAX);
    safe_quorum(towers) <= fewer - liars_of(fewer)
}

/// How many towers may lie.
fn liars_of(towers: u32) -> u32 {
    towers.saturating_sub(1) / 3
}

/// Adds the faults, of the sorts that the seed chose, at random times.
fn faults(plan: &mut Plan, wishes: &Wishes) {
    let mut draws = Stream::new(plan.seed, "faults", 0);
    // What a flood does alone, or a thief, shows only where little else goes wrong.
    let theme = match draws.below(16) {
        _ if !wishes.faults.is_empty() => None,
        0 => Some(&FLOODS),
        1 => Some(&THIEVES),
        _ => None,
    };
    let allowed: Vec<&str> = NAMES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| wishes.faults.is_empty() || wishes.faults.iter().any(|one| one == name))
        .filter(|name| plan.store == Store::Sqlite || !ON_DISK.contains(name))
        .filter(|name| theme.is_none_or(|theme| theme.contains(name)))
        .filter(|name| !wishes.faults.is_empty() || BESIDE.iter().all(|one| one.0 != *name))
        .collect();
    // What was asked for by name happens; of everything, a few sorts do.
    let chosen: Vec<(&str, u64)> = allowed
        .iter()
        .filter(|name| {
            // Few seeds are on disks: what only a disk can have happens in many of them.
            let one_in = if ON_DISK.contains(name) { 2 } else { 5 };
            theme.is_some() || !wishes.faults.is_empty() || draws.happens(MILLION / one_in)
        })
        .copied()
        .collect::<Vec<_>>()
        .into_iter()
        .map(|name| (name, draws.between(1, 100)))
        .collect();
    let total: u64 = chosen.iter().map(|(_, weight)| weight).sum();
    if total == 0 {
        let mut suspects = Suspects::new(plan, &mut draws);
        return beside(plan, wishes, theme.is_some(), &mut suspects);
    }
    let count = draws.between(chosen.len() as u64, 3 + plan.seconds / 15);
    let mut suspects = Suspects::new(plan, &mut draws);
    let mut first = chosen.iter();
    for _ in 0..count {
        // Each sort once, then by weight.
        let name = first
            .next()
            .map_or_else(|| weighted(&mut draws, &chosen, total), |(name, _)| *name);
        let at_ms = draws.between(2_000, plan.seconds * 1_000);
        if let Some(fault) = one(&mut draws, plan, name, at_ms, &mut suspects) {
            plan.faults.push(Timed { at_ms, fault });
        }
    }
    beside(plan, wishes, theme.is_some(), &mut suspects);
}

/// Adds those of [`BESIDE`] to some seeds that have no theme, each from a stream of its own: all others stay as they were.
fn beside(plan: &mut Plan, wishes: &Wishes, has_theme: bool, suspects: &mut Suspects) {
    for (name, one_in) in BESIDE {
        let mut draws = Stream::new(plan.seed, name, 0);
        let has_it = draws.one_in(one_in) && wishes.faults.is_empty() && !has_theme;
        let at_ms = draws.between(2_000, plan.seconds * 1_000);
        if has_it && let Some(fault) = one(&mut draws, plan, name, at_ms, suspects) {
            plan.faults.push(Timed { at_ms, fault });
        }
    }
    plan.faults.sort_by_key(|timed| timed.at_ms);
}

fn weighted<'a>(draws: &mut Stream, chosen: &[(&'a str, u64)], total: u64) -> &'a str {
    let mut at = draws.below(total);
    for (name, weight) in chosen {
        if at < *weight {
            return name;
        }
        at -= weight;
    }
    ""
}

/// Who may lose a disk, be rolled back or lie: at most f towers in a whole run, always the same, and one factory.
struct Suspects {
    towers: Vec<usize>,
    factory: usize,
    /// The factory whose key is stolen.
    robbed: Option<usize>,
    /// A node whose protocol is another.
    skewed: usize,
    lies: bool,
}

impl Suspects {
    fn new(plan: &Plan, draws: &mut Stream) -> Self {
        let topology = &plan.topology;
        // Towers of the ledger that has the fewest: with a member that is both, those beside it.
        let f = liars_of(u32::try_from(topology.towers).unwrap_or(u32::MAX));
        let towers = draws.some(usize::try_from(f).unwrap_or(0), topology.towers);
        Self {
            towers: towers.iter().map(|one| one + topology.factories).collect(),
            factory: draws.index(topology.factories - topology.both),
            robbed: None,
            skewed: draws.index(plan.nodes()),
            lies: false,
        }
    }

    /// A machine that may lose what it held.
    fn machine(&self, draws: &mut Stream) -> usize {
        match draws.pick(&self.towers) {
            Some(tower) if draws.clone().happens(MILLION / 2) => *tower,
            _ => self.factory,
        }
    }
}

/// One fault of a sort; `None` where this federation does not survive it.
fn one(
    draws: &mut Stream,
    plan: &Plan,
    name: &str,
    at_ms: u64,
    suspects: &mut Suspects,
) -> Option<Fault> {
    let nodes = plan.nodes();
    let for_ms = draws.between(200, 60_000);
    let node = draws.index(nodes);
    let other = (node + 1 + draws.index(nodes - 1)) % nodes;
    let odds = u32::try_from(draws.between(1_000, 200_000)).unwrap_or(0);
    let per_second = draws.between(1, 50);
    Some(match name {
        "partition" => {
            let count = 1 + draws.index(nodes / 2);
            let nodes = draws.some(count, nodes);
            Fault::Partition { nodes, for_ms }
        }
        "one-way" => Fault::OneWay {
            from: node,
            to: other,
            for_ms,
        },
        "flapping" => Fault::Flapping {
            a: node,
            b: other,
            period_ms: draws.between(50, 5_000),
            for_ms,
        },
        "swizzle-clog" => {
            let nodes = draws.some(1 + nodes / 4, nodes);
            Fault::SwizzleClog { nodes, for_ms }
        }
        "loss" => Fault::Loss {
            odds: odds / 4,
            for_ms,
        },
        "duplication" => Fault::Duplication { odds, for_ms },
        "reordering" => Fault::Reordering { odds, for_ms },
        "corruption" => Fault::Corruption {
            odds: odds / 4,
            for_ms,
        },
        "latency" => Fault::Latency {
            odds,
            extra_ms: draws.between(10, 5_000),
            for_ms,
        },
        "clock-drift" => Fault::ClockDrift {
            node,
            ppm: i64::try_from(draws.below(200)).unwrap_or(0) - 100,
        },
        "clock-step" => Fault::ClockStep {
            node,
            by_ms: step_ms(draws),
        },
        "pause" => Fault::Pause { node, for_ms },
        "crash" => Fault::Crash {
            node,
            down_ms: draws.between(0, 20_000),
            in_sync: draws.happens(MILLION / 2),
        },
        "crash-loop" => Fault::CrashLoop {
            node,
            times: u32::try_from(draws.between(2, 8)).unwrap_or(2),
            every_ms: draws.between(20, 3_000),
        },
        "blackout" => Fault::Blackout {
            down_ms: draws.between(0, 10_000),
        },
        "sync-error" => Fault::SyncError {
            node,
            down_ms: draws.between(0, 20_000),
        },
        "disk-full" => Fault::DiskFull { node, for_ms },
        "roll-back" => Fault::RollBack {
            node: suspects.machine(draws),
            back_ms: draws.between(500, at_ms),
            part: *draws.pick(&[Part::All, Part::All, Part::Ledger, Part::Nonces])?,
        },
        "restore" => Fault::Restore {
            node: suspects.machine(draws),
            back_ms: draws.between(500, at_ms),
        },
        "rotate" => Fault::Rotate { node },
        "revoke" => {
            // Mostly somebody has the keys: that is why they are revoked.
            let thief = draws.happens(MILLION / 4 * 3);
            let thief_ms = if thief { for_ms } else { 0 };
            Fault::Revoke { node, thief_ms }
        }
        "lost-disk" => Fault::LostDisk {
            node: suspects.machine(draws),
        },
        "second-copy" => Fault::SecondCopy {
            node: suspects.machine(draws),
            for_ms,
        },
        "equivocation" => {
            let node = *suspects.robbed.get_or_insert(suspects.factory);
            Fault::Equivocation { node }
        }
        "hidden-entries" => {
            let node = *suspects.robbed.get_or_insert(suspects.factory);
            Fault::HiddenEntries { node }
        }
        "lying-tower" => {
            if suspects.lies {
                return None;
            }
            suspects.lies = true;
            let node = *suspects.towers.first()?;
            Fault::LyingTower { node }
        }
        "replay" => Fault::Replay { per_second, for_ms },
        "flood" => Fault::Flood {
            from: node,
            to: other,
            per_second,
            for_ms,
        },
        "eclipse" => Fault::Eclipse {
            node,
            by: other,
            for_ms,
        },
        "version-skew" => Fault::VersionSkew {
            node: suspects.skewed,
        },
        "mute" => Fault::Mute { node, for_ms },
        "garbage" => Fault::Garbage {
            to: node,
            per_second,
            for_ms,
        },
        "torn-write" => Fault::TornWrite {
            node,
            down_ms: draws.between(0, 20_000),
        },
        "lying-sync" => Fault::LyingSync {
            node: suspects.machine(draws),
            one_in: draws.between(1, 20),
            for_ms,
        },
        "bit-rot" => Fault::BitRot {
            node: suspects.machine(draws),
        },
        "huge-queries" => Fault::HugeQueries {
            from: node,
            to: other,
            per_second,
            for_ms,
        },
        _ => return None,
    })
}

/// How far a wall clock is set: a little, an hour, or to where no clock should be.
fn step_ms(draws: &mut Stream) -> i64 {
    let far = i64::try_from(draws.between(1, 7_200_000)).unwrap_or(0);
    let signed = if draws.happens(MILLION / 2) {
        far
    } else {
        -far
    };
    match draws.below(10) {
        0 => signed / 1_000,
        // 1970 and 2038, more or less.
        1 => -1_795_000_000_000,
        2 => 352_000_000_000,
        3..=5 => signed / 60,
        _ => signed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_thousand_seeds_draw_every_fault_and_only_plans_that_can_be_played() {
        let mut seen = BTreeSet::new();
        for seed in 0..1_000 {
            let plan = draw(seed, &Wishes::default());
            plan.check().unwrap();
            assert_eq!(Plan::parse(&plan.to_text()).unwrap(), plan);
            seen.extend(plan.faults.iter().map(|one| one.fault.name()));
        }
        assert!((0..200).any(|seed| draw(seed, &Wishes::default()).topology.both > 0));
        let names: BTreeSet<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(seen, names);
    }

    #[test]
    fn wishes_are_kept() {
        let wishes = Wishes {
            nodes: Some(12),
            seconds: Some(3_600),
            faults: vec!["partition".to_owned(), "clock-step".to_owned()],
            entries_per_1000_seconds: Some(10),
            ..Wishes::default()
        };
        let plan = draw(7, &wishes);
        assert_eq!((plan.nodes(), plan.seconds), (12, 3_600));
        let names: BTreeSet<&str> = plan.faults.iter().map(|one| one.fault.name()).collect();
        assert_eq!(names, BTreeSet::from(["partition", "clock-step"]));
    }
}
