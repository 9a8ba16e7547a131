//! Whole federations on the product's store, over disks that do what a plan says.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_sim::plan::{Fault, Plan, Store, Timed, Wishes, draw};
use belfry_sim::run::{Outcome, run};

/// A plan without faults: one factory of the name 0 and four towers, of which one may fail.
fn calm(seed: u64, store: Store) -> Plan {
    let wishes = Wishes {
        nodes: Some(5),
        seconds: Some(12),
        entries_per_1000_seconds: Some(3_000),
        store: Some(store),
        ..Wishes::default()
    };
    let mut plan = draw(seed, &wishes);
    plan.faults.clear();
    plan.topology.factories = 1;
    plan.topology.towers = 4;
    plan.topology.quorum = 3;
    plan
}

fn with(seed: u64, faults: Vec<(u64, Fault)>) -> Plan {
    let timed = |(at_ms, fault)| Timed { at_ms, fault };
    Plan {
        faults: faults.into_iter().map(timed).collect(),
        ..calm(seed, Store::Sqlite)
    }
}

fn reached(outcomes: &[Outcome], what: &str) -> u64 {
    let of = |outcome: &Outcome| outcome.reached.get(what).copied().unwrap_or(0);
    outcomes.iter().map(of).sum()
}

/// Plays a plan for each of some seeds, and none may break a rule.
fn play(seeds: std::ops::Range<u64>, plan: impl Fn(u64) -> Plan) -> Vec<Outcome> {
    let outcomes: Vec<Outcome> = seeds
        .map(|seed| run(&plan(seed), |_| {}).unwrap())
        .collect();
    for outcome in &outcomes {
        assert_eq!(outcome.violation, None);
    }
    outcomes
}

/// SQLite does not write a row over itself, and memory does: then a step has no sync to wait for, and what follows is some
/// microseconds earlier. Where that does not happen, both give the same run, byte for byte.
#[test]
fn both_stores_give_the_same_run_where_disks_do_nothing_wrong() {
    let mut alike = 0;
    for seed in 0..10 {
        let memory = run(&calm(seed, Store::Memory), |_| {}).unwrap();
        let sqlite = run(&calm(seed, Store::Sqlite), |_| {}).unwrap();
        assert_eq!((&memory.violation, &sqlite.violation), (&None, &None));
        assert!(memory.appended > 10, "{} entries", memory.appended);
        assert_eq!(memory.appended, sqlite.appended);
        alike += u32::from(memory.trace == sqlite.trace);
    }
    assert!(alike >= 2, "{alike} of 10 runs were the same");
}

#[test]
fn one_seed_is_one_run_also_on_a_disk_that_goes_wrong() {
    let plan = with(
        5,
        vec![
            (
                2_000,
                Fault::TornWrite {
                    node: 0,
                    down_ms: 10,
                },
            ),
            (
                4_000,
                Fault::TornWrite {
                    node: 2,
                    down_ms: 10,
                },
            ),
            (4_500, Fault::BitRot { node: 1 }),
            (6_000, Fault::Blackout { down_ms: 100 }),
        ],
    );
    assert_eq!(run(&plan, |_| {}).unwrap(), run(&plan, |_| {}).unwrap());
}

#[test]
fn power_that_fails_within_a_write_takes_nothing_that_was_promised() {
    let outcomes = play(0..3, |seed| {
        let torn = |at_ms: u64| {
            (
                at_ms,
                Fault::TornWrite {
                    node: usize::try_from(at_ms / 1_000 % 5).unwrap(),
                    down_ms: 300,
                },
            )
        };
        with(seed, (2_000..10_000).step_by(1_000).map(torn).collect())
    });
    assert!(reached(&outcomes, "the power failed in the middle of a write") >= 10);
}

/// Nothing on the machine can prevent it: the towers tell the factory what it signed.
#[test]
fn a_factory_whose_disk_lied_is_brought_forward_by_its_towers() {
    let outcomes = play(0..4, |seed| {
        let lies = Fault::LyingSync {
            node: 0,
            one_in: 1,
            for_ms: 4_000,
        };
        with(seed, vec![(3_000, lies)])
    });
    let back = "a disk took back what it had said to be durable";
    assert_eq!(reached(&outcomes, back), 4);
    assert!(reached(&outcomes, "a factory was brought forward by its towers") > 0);
}

#[test]
fn a_flipped_bit_is_noticed_or_does_no_harm() {
    let outcomes = play(0..3, |seed| {
        let rot = |at_ms| (at_ms, Fault::BitRot { node: 0 });
        let mut faults: Vec<_> = (4_000..9_000).step_by(100).map(rot).collect();
        let crash = Fault::Crash {
            node: 0,
            down_ms: 100,
            in_sync: false,
        };
        faults.push((9_500, crash));
        let mut plan = with(seed, faults);
        plan.workload.entries_per_1000_seconds = 10_000;
        plan.workload.entry_bytes = 2_000;
        plan
    });
    assert!(reached(&outcomes, "a bit of a file flipped") >= 100);
    assert!(reached(&outcomes, "damage on a disk was noticed") > 0);
}

#[test]
fn a_full_disk_and_failing_syncs_come_from_the_disk() {
    let outcomes = play(0..2, |seed| {
        with(
            seed,
            vec![
                (
                    2_000,
                    Fault::DiskFull {
                        node: 0,
                        for_ms: 3_000,
                    },
                ),
                (
                    6_000,
                    Fault::SyncError {
                        node: 0,
                        down_ms: 200,
                    },
                ),
                (
                    7_000,
                    Fault::SyncError {
                        node: 1,
                        down_ms: 200,
                    },
                ),
                (
                    8_000,
                    Fault::SyncError {
                        node: 2,
                        down_ms: 200,
                    },
                ),
            ],
        )
    });
    assert!(reached(&outcomes, "a step found the disk full") > 0);
    assert!(reached(&outcomes, "a sync failed and the process stopped") > 0);
}

#[test]
fn what_only_a_disk_can_have_is_refused_without_one() {
    let mut plan = with(1, vec![(1, Fault::BitRot { node: 0 })]);
    plan.store = Store::Memory;
    let refused = run(&plan, |_| {}).unwrap_err().to_string();
    assert!(refused.contains("store = sqlite"), "{refused}");
}
