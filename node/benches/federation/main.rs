//! Figures of a federation, each beside one sync, one signature check and a bare gossip echo of the same run. Every sync
//! takes a fixed 4 ms. Run with `cargo bench -p belfry-node --bench federation -- [name …]`; no names: everything.
//!
//! | name | figure |
//! |---|---|
//! | `latency` | append until acknowledged by two of three mirroring towers, at 100 entries/s |
//! | `load` | the same federation under all the lines that the writer takes |
//! | `restart` | a factory that is killed under load until everything is acknowledged again |
//! | `digests` | digests verified through gossip between two nodes |
//! | `catch-up` | a fresh tower fetches what the others hold |
//! | `export` | the same entries over libp2p and from the export endpoint |
//! | `idle` | memory and CPU of four `belfry run` that nobody uses |
//! | `nonces` | durable accepts of the anti-replay tables |
//!
//! `BELFRY_BENCH_SECONDS` (20) is the length of what runs for a time, `BELFRY_BENCH_MB` (300) what catching up moves for
//! each entry size, `BELFRY_BENCH_TRANSPORT` (tcp) may be quic. `RUST_LOG` makes the nodes write `node.log`, and
//! `BELFRY_BENCH_KEEP` keeps their directories.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

mod appending;
mod child;
mod cluster;
mod export;
mod gossip;
mod nonces;
mod process;
mod references;
mod scenarios;

use references::References;
use std::path::Path;
use std::time::Duration;

/// What every sync takes.
const SYNC: Duration = Duration::from_millis(4);
/// First argument of a process that is a node of the bench.
const NODE: &str = "federation-bench-node";
/// How long a factory is under load before it is killed.
const RESTART_SECONDS: u64 = 4;
/// Everything, in the order in which it runs.
const NAMES: [&str; 8] = [
    "latency", "load", "restart", "digests", "catch-up", "export", "idle", "nonces",
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, dir] = arguments.as_slice()
        && first == NODE
    {
        return child::run(Path::new(dir));
    }
    // Test runners may pass flags; `--test` means: only show that it starts.
    if arguments
        .iter()
        .any(|one| one == "--test" || one == "--list")
    {
        return;
    }
    let named: Vec<&String> = arguments
        .iter()
        .filter(|one| !one.starts_with("--"))
        .collect();
    if let Some(unknown) = named.iter().find(|one| !NAMES.contains(&one.as_str())) {
        eprintln!("no figure is called {unknown}; there are {NAMES:?}");
        std::process::exit(2);
    }
    let wants = |name: &str| named.is_empty() || named.iter().any(|one| *one == name);
    let seconds = number("BELFRY_BENCH_SECONDS", 20);
    let bytes = number("BELFRY_BENCH_MB", 300) * 1_000_000;
    let references = References::measure();
    for name in NAMES.into_iter().filter(|name| wants(name)) {
        match name {
            "latency" => scenarios::latency(&references, seconds),
            "load" => scenarios::load(&references, seconds),
            "restart" => scenarios::restart(&references, RESTART_SECONDS),
            "digests" => gossip::digests(&references),
            "catch-up" => scenarios::catch_up(&references, bytes),
            "export" => export::export(&references, bytes),
            "idle" => scenarios::idle(&references, seconds),
            _ => nonces::accepts(&references),
        }
    }
}

fn number(variable: &str, usual: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(usual)
}
