//! One scenario through both tiers of the simulator: discrete events and real connections must end with the same ledgers.
//! Roots are left out, because entries carry the moment in which a factory took them.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_libp2p_det::play::play;
use belfry_libp2p_det::wire::Weather;
use belfry_sim::heads::Head;
use belfry_sim::plan::Plan;
use belfry_sim::{run, scenario};
use std::path::Path;

fn scenario(name: &str) -> Plan {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    scenario::parse(&std::fs::read_to_string(dir.join(name)).unwrap()).unwrap()
}

fn comparable(heads: &[Head]) -> Vec<(&str, u64, u64, u64, &str)> {
    heads.iter().map(Head::comparable).collect()
}

/// The ledgers in the end, which both tiers must agree on.
fn both(plan: &Plan) -> Vec<Head> {
    let (outcome, events) = run::run_to_heads(plan).unwrap();
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.refused, 0);
    let played = play(plan, Weather::default()).unwrap();
    assert!(played.converged_us.is_some(), "{:?}", played.missing);
    assert_eq!(played.refused, 0);
    assert_eq!(played.appended, outcome.appended);
    assert_eq!(comparable(&played.heads), comparable(&events));
    played.heads
}

#[test]
fn both_tiers_end_with_the_same_ledgers() {
    let plan = scenario("cable-cut.toml");
    let mut ends = Vec::new();
    for seed in 1..=3 {
        let heads = both(&Plan {
            seed,
            ..plan.clone()
        });
        assert_eq!(heads.len(), 2, "{heads:?}");
        for head in &heads {
            assert!(head.size > 40, "{head:?}");
            assert_eq!((head.signed, head.acked), (head.size, head.size));
        }
        ends.push(heads);
    }
    // Not because all runs are alike.
    assert_ne!(comparable(&ends[0]), comparable(&ends[1]));
}

#[test]
fn another_workload_is_told_apart() {
    let mut plan = scenario("cable-cut.toml");
    plan.faults.clear();
    plan.seconds = 60;
    let played = play(&plan, Weather::default()).unwrap();
    plan.workload.entry_bytes += 1;
    let (_, events) = run::run_to_heads(&plan).unwrap();
    assert_ne!(comparable(&played.heads), comparable(&events));
    let sizes = |heads: &[Head]| heads.iter().map(|head| head.size).collect::<Vec<_>>();
    assert_eq!(
        sizes(&played.heads),
        sizes(&events),
        "only the entries differ"
    );
}
