//! Negative controls of revocations (S13): keys that go on signing after their owner revoked them, and members that forget
//! a revocation, must be noticed.
#![cfg(feature = "sabotage")]
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_sim::plan::{Fault, Plan, Sabotage, Store, Timed, Wishes, draw};
use belfry_sim::run::run;

/// Seeds of a control, and how many of them must notice.
const SEEDS: u64 = 4;
const NOTICE: usize = 2;

/// A factory and four towers; the first tower's keys are stolen and revoked.
fn plan(seed: u64, faults: &[(u64, Fault)]) -> Plan {
    let wishes = Wishes {
        nodes: Some(5),
        seconds: Some(60),
        entries_per_1000_seconds: Some(2_000),
        store: Some(Store::Memory),
        ..Wishes::default()
    };
    let mut plan = draw(seed, &wishes);
    plan.topology.factories = 1;
    plan.topology.both = 0;
    plan.topology.towers = 4;
    plan.topology.quorum = 3;
    let revoke = Fault::Revoke {
        node: 1,
        thief_ms: 50_000,
    };
    let all = [(5_000, revoke)].into_iter().chain(faults.iter().cloned());
    let all = all.map(|(at_ms, fault)| Timed { at_ms, fault });
    plan.faults = all.collect();
    plan
}

/// What the seeds break with the sabotage; without it they break nothing.
fn broken(sabotage: Sabotage, faults: &[(u64, Fault)]) -> Vec<String> {
    let mut noticed = Vec::new();
    for seed in 0..SEEDS {
        let mut plan = plan(seed, faults);
        assert_eq!(run(&plan, |_| {}).unwrap().violation, None, "seed {seed}");
        plan.sabotage = Some(sabotage);
        if let Some(one) = run(&plan, |_| {}).unwrap().violation {
            println!("seed {seed}: {}: {}", one.invariant, one.what);
            noticed.push(format!("{}: {}", one.invariant, one.what));
        }
    }
    noticed
}

fn say(noticed: &[String], what: &str) -> usize {
    let said = noticed.iter();
    said.filter(|one| one.starts_with("S13") && one.contains(what))
        .count()
}

#[test]
fn revoked_keys_that_go_on_signing_are_noticed() {
    let noticed = broken(Sabotage::RevokedKeysSign, &[]);
    assert!(
        say(&noticed, "which it revoked before") >= NOTICE,
        "{noticed:?}"
    );
}

fn crash(node: usize) -> (u64, Fault) {
    let fault = Fault::Crash {
        node,
        down_ms: 100,
        in_sync: false,
    };
    (20_000, fault)
}

#[test]
fn a_factory_that_forgets_a_revocation_is_noticed() {
    let noticed = broken(Sabotage::VolatileRevocations, &[crash(0)]);
    assert!(
        say(&noticed, "for acked by 2 towers of 3") >= NOTICE,
        "{noticed:?}"
    );
}

#[test]
fn a_tower_that_forgets_a_revocation_is_noticed() {
    let noticed = broken(Sabotage::VolatileRevocations, &[crash(2)]);
    assert!(
        say(&noticed, "it answered a message") >= NOTICE,
        "{noticed:?}"
    );
}
