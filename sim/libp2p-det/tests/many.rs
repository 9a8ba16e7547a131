//! As many whole nodes as one simulation is for: all connected with each other, and all ledgers acknowledged.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_libp2p_det::play::play;
use belfry_libp2p_det::wire::Weather;
use belfry_sim::plan::{Fault, Plan, Timed, Topology, VERSION, Workload};
use std::time::Instant;

/// Two factories, the others towers, in three regions; some towers are cut off for a while.
fn plan(nodes: usize, seconds: u64) -> Plan {
    let towers = nodes - 2;
    let watching = u32::try_from(towers).unwrap();
    let cut = Fault::Partition {
        nodes: vec![nodes - 1, nodes - 2, nodes - 3],
        for_ms: 2_000,
    };
    Plan {
        version: VERSION,
        store: Default::default(),
        pace: Default::default(),
        seed: 20,
        topology: Topology {
            factories: 2,
            both: 0,
            towers,
            quorum: (watching + (watching - 1) / 3) / 2 + 1,
            named: Vec::new(),
            regions: (0..nodes).map(|at| at % 3).collect(),
            latency_us: vec![
                vec![300, 12_000, 45_000],
                vec![12_000, 300, 30_000],
                vec![45_000, 30_000, 300],
            ],
        },
        workload: Workload {
            entries_per_1000_seconds: 2_000,
            entry_bytes: 300,
            singles_per_1000_seconds: 0,
        },
        seconds,
        converge_seconds: 180,
        faults: vec![Timed {
            at_ms: 3_000,
            fault: cut,
        }],
    }
}

fn well(plan: &Plan) {
    let begin = Instant::now();
    let played = play(plan, Weather::default()).unwrap();
    let nodes = plan.nodes();
    let (simulated_ms, took) = (played.simulated_us / 1_000, begin.elapsed());
    eprintln!(
        "{nodes} nodes, {simulated_ms} ms simulated in {took:?}: {:?}",
        played.counted
    );
    assert!(played.converged_us.is_some(), "{:?}", played.missing);
    for head in &played.heads {
        assert!(head.size > 3, "{head:?}");
        assert_eq!((head.signed, head.acked), (head.size, head.size));
    }
    let pairs = nodes as u64 * (nodes as u64 - 1) / 2;
    assert!(played.counted.connections >= pairs);
}

#[test]
fn twenty_nodes_acknowledge_everything() {
    well(&plan(20, 15));
}

#[test]
fn fifty_nodes_acknowledge_everything() {
    well(&plan(50, 6));
}
