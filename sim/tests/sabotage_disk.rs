//! Negative controls: each way to break the product's durability on purpose must be noticed, by seeds that are clean
//! without it.
#![cfg(feature = "sabotage")]
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_sim::plan::{Fault, Plan, Sabotage, Store, Timed, Wishes, draw};
use belfry_sim::run::run;

/// A small federation, one factory and four towers.
fn plan(seed: u64, store: Store, seconds: u64, faults: Vec<(u64, Fault)>) -> Plan {
    let wishes = Wishes {
        nodes: Some(5),
        seconds: Some(seconds),
        entries_per_1000_seconds: Some(3_000),
        store: Some(store),
        ..Wishes::default()
    };
    let mut plan = draw(seed, &wishes);
    plan.topology.factories = 1;
    plan.topology.towers = 4;
    plan.topology.quorum = 3;
    plan.workload.singles_per_1000_seconds = 0;
    let timed = |(at_ms, fault)| Timed { at_ms, fault };
    plan.faults = faults.into_iter().map(timed).collect();
    plan
}

/// Rules that the seeds break with and without a sabotage.
fn broken(seeds: u64, sabotage: Sabotage, plan: impl Fn(u64) -> Plan) -> Vec<&'static str> {
    let mut noticed = Vec::new();
    for seed in 0..seeds {
        let mut plan = plan(seed);
        assert_eq!(run(&plan, |_| {}).unwrap().violation, None, "seed {seed}");
        plan.sabotage = Some(sabotage);
        let violation = run(&plan, |_| {}).unwrap().violation;
        if let Some(one) = violation {
            println!("seed {seed}: {}: {}", one.invariant, one.what);
            noticed.push(one.invariant);
        }
    }
    noticed
}

fn crash(node: usize) -> Fault {
    Fault::Crash {
        node,
        down_ms: 100,
        in_sync: false,
    }
}

/// Power that fails takes commits that no sync waited for.
#[test]
fn commits_that_return_before_their_sync_are_noticed() {
    let noticed = broken(3, Sabotage::SynchronousNormal, |seed| {
        let torn = |at_ms: u64| {
            let node = usize::try_from(at_ms / 500 % 5).unwrap();
            (at_ms, Fault::TornWrite { node, down_ms: 100 })
        };
        let faults = (2_000..10_000).step_by(500).map(torn).collect();
        plan(seed, Store::Sqlite, 12, faults)
    });
    assert_eq!(noticed, ["S2"; 3]);
}

/// A clock that is ahead prunes nonces, and is set right while the process is down: only the floor knows that they were
/// taken.
#[test]
fn a_floor_that_is_forgotten_lets_replays_in() {
    let noticed = broken(5, Sabotage::VolatileFloor, |seed| {
        let step = |by_ms| Fault::ClockStep { node: 1, by_ms };
        let faults = vec![
            (15_000, step(400_000)),
            (25_000, crash(1)),
            (25_050, step(-400_000)),
        ];
        let mut plan = plan(seed, Store::Memory, 60, faults);
        plan.workload.singles_per_1000_seconds = 20_000;
        plan
    });
    assert_eq!(noticed, ["S1"; 5]);
}

/// What a tower promised a factory and acknowledged is nothing if a restart takes it.
#[test]
fn marks_that_are_forgotten_are_noticed() {
    for store in [Store::Memory, Store::Sqlite] {
        let noticed = broken(2, Sabotage::VolatileMarks, |seed| {
            plan(seed, store, 12, vec![(6_000, crash(1)), (7_000, crash(2))])
        });
        assert_eq!(noticed, ["S2"; 2]);
    }
}

/// A node that does not look at what it starts on goes on with entries that it never signed.
#[test]
fn a_start_without_a_look_at_the_newest_entries_is_noticed() {
    let noticed = broken(4, Sabotage::NoStartUpCheck, |seed| {
        let rot = |at_ms| (at_ms, Fault::BitRot { node: 0 });
        let mut faults: Vec<_> = (4_000..9_000).step_by(100).map(rot).collect();
        faults.push((9_500, crash(0)));
        let mut plan = plan(seed, Store::Sqlite, 12, faults);
        plan.workload.entries_per_1000_seconds = 10_000;
        plan.workload.entry_bytes = 2_000;
        plan
    });
    assert!(noticed.contains(&"S10"), "{noticed:?}");
}
