//! Negative controls: what is broken on purpose must be noticed.
#![cfg(feature = "sabotage")]
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_sim::plan::{Sabotage, Wishes, draw};
use belfry_sim::run::run;
use belfry_sim::shrink::{Effort, shrink};

/// Seeds of the control, and how many of them must notice: not one lucky one.
const SEEDS: u64 = 10;
const NOTICE: usize = 3;

/// Rules that the first seeds break.
fn broken(sabotage: Option<Sabotage>) -> Vec<&'static str> {
    let wishes = Wishes {
        nodes: Some(5),
        seconds: Some(60),
        faults: vec!["crash".to_owned(), "sync-error".to_owned()],
        entries_per_1000_seconds: Some(5_000),
        ..Wishes::default()
    };
    let outcomes = (0..SEEDS).map(|seed| {
        let mut plan = draw(seed, &wishes);
        plan.sabotage = sabotage;
        run(&plan, |_| {}).unwrap()
    });
    outcomes
        .filter_map(|outcome| Some(outcome.violation?.invariant))
        .collect()
}

#[test]
fn promises_that_leave_before_the_sync_are_noticed() {
    assert_eq!(broken(None), Vec::<&str>::new());
    let noticed = broken(Some(Sabotage::PromisesBeforeSync));
    let s2 = noticed.iter().filter(|one| **one == "S2").count();
    assert!(s2 >= NOTICE, "{noticed:?}");
}

#[test]
fn a_plan_with_every_sort_of_fault_shrinks_to_the_few_that_matter() {
    let wishes = Wishes {
        nodes: Some(5),
        seconds: Some(300),
        faults: ["crash", "partition", "latency", "pause", "loss"]
            .map(str::to_owned)
            .to_vec(),
        entries_per_1000_seconds: Some(5_000),
        ..Wishes::default()
    };
    let plans = (0..20).map(|seed| {
        let mut plan = draw(seed, &wishes);
        plan.sabotage = Some(Sabotage::PromisesBeforeSync);
        plan
    });
    let mut failing = plans.filter(|plan| {
        let outcome = run(plan, |_| {}).unwrap();
        plan.faults.len() >= 10 && outcome.violation.is_some_and(|one| one.invariant == "S2")
    });
    let plan = failing.next().unwrap();
    // The same plan comes of it, in half the time.
    let effort = Effort {
        jobs: std::num::NonZero::new(2).unwrap(),
        ..Effort::default()
    };
    let shrunk = shrink(&plan, effort, |_, _| {}).unwrap();
    let kept = &shrunk.plan.faults;
    assert!(kept.len() < 4, "{kept:?}");
    assert!(kept.iter().any(|one| one.fault.name() == "crash"));
    assert!(shrunk.runs < 200, "{} runs", shrunk.runs);
    let again = run(&shrunk.plan, |_| {}).unwrap();
    assert_eq!(again, shrunk.outcome);
    assert_eq!(again.violation.unwrap().invariant, "S2");
}
