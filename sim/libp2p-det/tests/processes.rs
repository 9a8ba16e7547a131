//! A plan in several processes: the same bytes at the same times on every connection. One process plays one simulation, because
//! libp2p and tokio count some things for the whole process.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_sim::plan::{Fault, Plan, Timed, Topology, VERSION, Workload};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn plan(seed: u64, towers: usize, seconds: u64, faults: Vec<Timed>) -> Plan {
    let watching = u32::try_from(towers).unwrap();
    Plan {
        version: VERSION,
        store: Default::default(),
        pace: Default::default(),
        seed,
        topology: Topology {
            factories: 1,
            both: 0,
            towers,
            quorum: (watching + (watching - 1) / 3) / 2 + 1,
            named: Vec::new(),
            regions: (0..=towers).map(|at| at % 2).collect(),
            latency_us: vec![vec![300, 9_000], vec![9_000, 300]],
        },
        workload: Workload {
            entries_per_1000_seconds: 1_000,
            entry_bytes: 200,
            singles_per_1000_seconds: 0,
        },
        seconds,
        converge_seconds: 180,
        faults,
    }
}

fn program(file: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_belfry-libp2p-det");
    Command::new(program).arg(file).output().unwrap()
}

/// What a process of its own says of a plan.
fn told(plan: &Plan) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("plan.json");
    std::fs::write(&file, plan.to_text()).unwrap();
    let done = program(&file);
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_run_with_faults_is_the_same_in_every_process() {
    let faults = vec![
        Timed {
            at_ms: 10_000,
            fault: Fault::Partition {
                nodes: vec![1, 2],
                for_ms: 30_000,
            },
        },
        Timed {
            at_ms: 20_000,
            fault: Fault::Crash {
                node: 3,
                down_ms: 4_000,
                in_sync: false,
            },
        },
    ];
    let plan = plan(7, 4, 60, faults);
    let first = told(&plan);
    assert_eq!(first, told(&plan));
    assert_ne!(first, told(&Plan { seed: 8, ..plan }));
}

#[test]
fn twenty_nodes_are_the_same_in_every_process() {
    let plan = plan(20, 19, 10, Vec::new());
    assert_eq!(told(&plan), told(&plan));
}

#[test]
fn what_cannot_be_played_is_said_with_exit_code_two() {
    let done = program(Path::new("no-such-plan.json"));
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("no-such-plan.json"), "{said}");
}
