//! Five whole nodes in virtual time: they find each other, and what a factory takes is acknowledged by all towers.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_libp2p_det::play::{Played, play};
use belfry_libp2p_det::wire::Weather;
use belfry_sim::plan::{Fault, Plan, Timed, Topology, VERSION, Workload};

fn plan(seed: u64, towers: usize, seconds: u64, faults: Vec<Timed>) -> Plan {
    Plan {
        version: VERSION,
        store: Default::default(),
        pace: Default::default(),
        seed,
        topology: Topology {
            factories: 1,
            both: 0,
            towers,
            quorum: 3,
            named: Vec::new(),
            regions: Vec::new(),
            latency_us: Vec::new(),
        },
        workload: Workload {
            entries_per_1000_seconds: 500,
            entry_bytes: 300,
            singles_per_1000_seconds: 0,
        },
        seconds,
        converge_seconds: 120,
        faults,
    }
}

fn well(plan: &Plan) -> Played {
    let played = play(plan, Weather::default()).unwrap();
    assert!(played.converged_us.is_some(), "{:?}", played.missing);
    played
}

#[test]
fn everything_is_acknowledged_by_everybody() {
    let played = well(&plan(1, 4, 60, Vec::new()));
    let [head] = &played.heads[..] else {
        panic!("{played:?}")
    };
    assert!(head.size >= 20, "{played:?}");
    assert_eq!((head.signed, head.acked), (head.size, head.size));
    assert_eq!(played.refused, 0);
}

#[test]
fn the_same_seed_ends_with_the_same_ledgers() {
    let cut = Timed {
        at_ms: 20_000,
        fault: Fault::Partition {
            nodes: vec![1, 2],
            for_ms: 10_000,
        },
    };
    let plan = plan(7, 4, 40, vec![cut]);
    let (first, again) = (well(&plan), well(&plan));
    let other = well(&Plan { seed: 8, ..plan });
    let end = |played: &Played| played.heads[0].contents.clone();
    assert_eq!(end(&first), end(&again));
    assert_ne!(end(&first), end(&other));
}
