//! Every plan that ever failed is played again, for ever; and one seed is one run.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_sim::plan::{Fault, Plan, Timed, Wishes, draw};
use belfry_sim::run::run;
use belfry_sim::shrink::{Effort, shrink};
use std::fs;
use std::path::Path;

#[test]
fn plans_that_failed_once_do_not_fail_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut played = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let plan = Plan::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let outcome = run(&plan, |_| {}).unwrap();
        assert_eq!(outcome.violation, None, "{}", path.display());
        played += 1;
    }
    assert!(played > 0, "there are plans to play");
}

fn small(seed: u64) -> Plan {
    let wishes = Wishes {
        nodes: Some(5),
        seconds: Some(20),
        ..Wishes::default()
    };
    draw(seed, &wishes)
}

#[test]
fn one_seed_is_one_run_and_another_seed_another() {
    let first = run(&small(3), |_| {}).unwrap();
    let again = run(&small(3), |_| {}).unwrap();
    assert_eq!(first, again);
    assert_ne!(first.trace, run(&small(4), |_| {}).unwrap().trace);
}

#[test]
fn a_calm_federation_acknowledges_everything() {
    let mut plan = small(1);
    plan.faults.clear();
    plan.workload.entries_per_1000_seconds = 5_000;
    let outcome = run(&plan, |_| {}).unwrap();
    assert_eq!(outcome.violation, None);
    assert!(outcome.appended > 50, "{} entries", outcome.appended);
    assert_eq!(outcome.latencies.len() as u64, outcome.appended);
    assert_eq!(outcome.alarms, []);
}

#[test]
fn a_stolen_key_is_proven_everywhere() {
    let mut plan = small(2);
    plan.workload.entries_per_1000_seconds = 2_000;
    plan.faults = vec![Timed {
        at_ms: 10_000,
        fault: Fault::Equivocation { node: 0 },
    }];
    let outcome = run(&plan, |_| {}).unwrap();
    assert_eq!(outcome.violation, None);
    let proven = outcome.reached.get("a fork of a ledger was proven");
    assert!(
        proven.is_some_and(|count| *count >= 5),
        "{:?}",
        outcome.alarms
    );
}

#[test]
fn a_digest_whose_entries_nobody_shows_is_withheld_at_every_tower() {
    let mut plan = small(2);
    plan.workload.entries_per_1000_seconds = 2_000;
    plan.faults = vec![Timed {
        at_ms: 10_000,
        fault: Fault::HiddenEntries { node: 0 },
    }];
    let outcome = run(&plan, |_| {}).unwrap();
    assert_eq!(outcome.violation, None);
    let withheld = "a digest whose entries nobody shows was told apart";
    let count = outcome.reached.get(withheld).copied().unwrap_or(0);
    assert!(count >= plan.topology.towers as u64, "{:?}", outcome.alarms);
    assert!(
        !outcome
            .reached
            .contains_key("a fork of a ledger was proven")
    );
    // A human is told after a minute, not before (R5).
    let alarms = outcome.alarms.iter();
    let mut told = alarms.filter(|(.., alarm)| alarm.starts_with("Withheld"));
    assert!(told.all(|(at_us, ..)| *at_us >= 70_000_000));
}

#[test]
fn a_plan_that_fails_by_itself_shrinks_to_no_fault() {
    let mut plan = small(3);
    // Nobody is well at once.
    plan.converge_seconds = 1;
    plan.faults.push(Timed {
        at_ms: 59_000,
        fault: Fault::Blackout { down_ms: 1_000 },
    });
    let broken = run(&plan, |_| {}).unwrap().violation.unwrap();
    let jobs = std::num::NonZero::new(2).unwrap();
    let effort = Effort {
        jobs,
        ..Effort::default()
    };
    let one = shrink(&plan, Effort::default(), |_, _| {}).unwrap();
    let two = shrink(&plan, effort, |_, _| {}).unwrap();
    assert_eq!(broken.invariant, "L1");
    assert_eq!(one.plan, two.plan);
    assert!(one.plan.faults.len() <= 1, "{:?}", one.plan.faults);
    assert_eq!(run(&one.plan, |_| {}).unwrap(), one.outcome);
}

#[test]
fn what_cannot_be_played_says_why() {
    let mut plan = small(1);
    plan.topology.quorum = 9;
    let refused = run(&plan, |_| {}).unwrap_err().to_string();
    assert!(refused.contains("quorum"), "{refused}");
    let mut plan = small(1);
    plan.faults = vec![Timed {
        at_ms: 1,
        fault: Fault::LostDisk { node: 9 },
    }];
    let refused = run(&plan, |_| {}).unwrap_err().to_string();
    assert!(refused.contains("no node 9"), "{refused}");
}
