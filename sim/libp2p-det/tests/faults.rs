//! What goes wrong between and with whole nodes: resets, dead directions, partitions, kills. Everything is well some time
//! after it.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_libp2p_det::federation::Federation;
use belfry_libp2p_det::play::{PlayError, play};
use belfry_libp2p_det::time::simulate;
use belfry_libp2p_det::wire::{Net, Weather};
use belfry_sim::plan::{Fault, Plan, Timed, Topology, VERSION, Workload};
use std::time::Duration;

fn topology() -> Topology {
    Topology {
        factories: 1,
        both: 0,
        towers: 4,
        quorum: 3,
        named: Vec::new(),
        regions: vec![0, 0, 1, 1, 1],
        latency_us: vec![vec![300, 30_000], vec![40_000, 300]],
    }
}

fn plan(faults: Vec<(u64, Fault)>) -> Plan {
    let faults = faults.into_iter();
    Plan {
        version: VERSION,
        store: Default::default(),
        pace: Default::default(),
        seed: 11,
        topology: topology(),
        workload: Workload {
            entries_per_1000_seconds: 500,
            entry_bytes: 100,
            singles_per_1000_seconds: 0,
        },
        seconds: 150,
        converge_seconds: 180,
        faults: faults
            .map(|(second, fault)| Timed {
                at_ms: second * 1_000,
                fault,
            })
            .collect(),
    }
}

/// Waits for the federation; how long it took.
async fn well(federation: &Federation) -> Duration {
    let begin = tokio::time::Instant::now();
    let mut missing = String::new();
    while begin.elapsed() < Duration::from_secs(180) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        match federation.is_well().await {
            Ok(()) => return begin.elapsed(),
            Err(what) => missing = what,
        }
    }
    panic!("{missing}");
}

#[test]
fn connections_that_are_reset_come_back() {
    let resets = simulate(3, || async {
        let net = Net::new(3, &topology(), Weather::default());
        let mut federation = Federation::found(&topology().seats(), net.clone()).unwrap();
        for at in 0..federation.count() {
            federation.start(at).unwrap();
        }
        well(&federation).await;
        for round in 0..5 {
            for tower in 1..federation.count() {
                net.reset(0, tower);
            }
            tokio::time::sleep(Duration::from_millis(20 * round)).await;
            assert!(federation.is_well().await.is_err(), "nobody is connected");
            let took = well(&federation).await;
            assert!(took < Duration::from_secs(60), "{took:?}");
        }
        net.counted().resets
    });
    assert_eq!(resets.unwrap(), 20);
}

#[test]
fn dead_directions_partitions_and_kills_end_well() {
    let cut = Fault::Partition {
        nodes: vec![2, 3],
        for_ms: 60_000,
    };
    let one_way = Fault::OneWay {
        from: 0,
        to: 1,
        for_ms: 50_000,
    };
    let flapping = Fault::Flapping {
        a: 0,
        b: 4,
        period_ms: 4_000,
        for_ms: 30_000,
    };
    let crash = |node| Fault::Crash {
        node,
        down_ms: 3_000,
        in_sync: false,
    };
    let faults = vec![
        (10, cut),
        (30, crash(4)),
        (80, one_way),
        (90, crash(0)),
        (100, flapping),
        (130, Fault::Blackout { down_ms: 5_000 }),
    ];
    let played = play(&plan(faults), Weather::default()).unwrap();
    assert!(played.converged_us.is_some(), "{:?}", played.missing);
    let head = &played.heads[0];
    assert!(head.size >= played.appended, "{played:?}");
    assert_eq!(head.acked, head.size);
}

#[test]
fn bad_weather_slows_and_breaks_nothing() {
    let weather = Weather {
        jitter_percent: 200,
        lost_per_million: 100_000,
    };
    let played = play(&plan(Vec::new()), weather).unwrap();
    assert!(played.converged_us.is_some(), "{:?}", played.missing);
    // One may have come before the factory had asked its towers.
    assert!(played.refused <= 1 && played.appended > 40, "{played:?}");
}

#[test]
fn a_fault_of_the_other_tier_is_refused_by_name() {
    let plan = plan(vec![(1, Fault::LyingTower { node: 1 })]);
    match play(&plan, Weather::default()) {
        Err(PlayError::Fault("lying-tower")) => {}
        other => panic!("{other:?}"),
    }
}
