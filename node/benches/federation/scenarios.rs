//! The figures of a whole federation: one factory and three mirroring towers, two of which are a quorum.

use crate::cluster::{Cluster, NODES};
use crate::process::{self, Watch};
use crate::references::References;
use belfry_node::disk::RealDisk;
use belfry_node::store::{Layout, Reader};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Entries per second of the latency figure.
const PACE: u64 = 100;
/// Lengths of the entries that a tower fetches.
const LENGTHS: [usize; 2] = [4_096, 256];
/// What an idle federation is given to become quiet.
const SETTLE: Duration = Duration::from_secs(3);
/// Longest wait for `belfry run` to serve.
const PATIENCE: Duration = Duration::from_secs(30);

fn seconds(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn show(shares: &[String]) {
    for (name, share) in NODES.iter().zip(shares) {
        println!("  {name:<24} {share}");
    }
}

pub(crate) fn latency(references: &References, length: u64) {
    let mut cluster = Cluster::active();
    let watch = Watch::new(&cluster.processes());
    let answer = cluster.node(0).ask(&format!("latency {length} {PACE}"));
    let shares = watch.shares();
    println!(
        "latency, {} entries of 256 bytes at {PACE}/s, 3 towers, 2 needed:",
        answer["entries"]
    );
    for (what, target) in [
        ("durable", ""),
        ("acked", " [p50 <= 10 syncs, p95 <= 20 syncs]"),
        ("receipt", " (to read one, beyond that)"),
    ] {
        let at = |part: &str| references.time(seconds(&answer[what][part]));
        println!("  {what}{target}");
        for part in ["p50", "p95", "p99", "max"] {
            println!("    {part:<4} {}", at(part));
        }
    }
    show(&shares);
}

pub(crate) fn load(references: &References, length: u64) {
    let mut cluster = Cluster::active();
    let watch = Watch::new(&cluster.processes());
    let answer = cluster.node(0).ask(&format!("load {length}"));
    let (shares, cpu) = (watch.shares(), watch.cpu_seconds());
    let (appended, acked) = (seconds(&answer["appended"]), seconds(&answer["acked"]));
    let rate = acked / seconds(&answer["acked_seconds"]);
    println!(
        "load: {rate:.0} acked entries/s of 256 bytes until the last one [>= 15,000, aim 40,000]; {}",
        references.rate(rate)
    );
    println!(
        "  {:.1} µs of CPU per entry in all four nodes, of which making the lines and leaves is part; beside other work on this machine compare this",
        cpu * 1e6 / acked
    );
    println!(
        "  appended {:.0}/s for {:.1} s in {} commits, {:.0} acked/s meanwhile, {} entries ahead of the acks at most, all {acked:.0} acked after {:.1} s",
        appended / seconds(&answer["append_seconds"]),
        seconds(&answer["append_seconds"]),
        answer["commits"],
        answer["steady"].as_f64().unwrap_or(0.0),
        answer["ahead"],
        seconds(&answer["acked_seconds"]),
    );
    show(&shares);
    let peaks: Vec<String> = cluster
        .processes()
        .iter()
        .map(|pid| format!("{:.0}", process::resident_mb(*pid, true)))
        .collect();
    println!("  resident at most, MB: {}", peaks.join(", "));
}

/// The factory is killed under load, with entries that no digest covers, and started again.
pub(crate) fn restart(references: &References, length: u64) {
    let mut cluster = Cluster::active();
    cluster.node(0).tell(&format!("load {}", 10 * length));
    std::thread::sleep(Duration::from_secs(length));
    cluster.stop(0);
    let left = Reader::open(Layout::new(cluster.dir(0)), Arc::new(RealDisk)).unwrap();
    let (size, acked) = (left.head().unwrap().size(), left.acked().unwrap());
    drop(left);
    let began = Instant::now();
    cluster.start(0);
    let opened = began.elapsed().as_secs_f64();
    let mut last = Value::Null;
    while began.elapsed() < PATIENCE {
        last = cluster.node(0).ask("status");
        if last["phase"] == "active" && last["acked"] == last["size"] {
            let took = began.elapsed().as_secs_f64();
            println!(
                "restart: killed after {length} s of load with {size} durable entries, {} of them acked; {took:.2} s until everything is acked again, of which {opened:.2} s to open; {}",
                acked.unwrap_or(0),
                references.time(took)
            );
            println!("  {} entries are there now", last["size"]);
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("restart: NOT acked again after {PATIENCE:?} ({length} s of load): {last}");
}

pub(crate) fn catch_up(references: &References, bytes: u64) {
    for length in LENGTHS {
        // The tower is there at first: without it the other two would never be told enough to ack (R3).
        let mut cluster = Cluster::active();
        cluster.stop(3);
        let filled = cluster.node(0).ask(&format!("fill {bytes} {length}"));
        let (size, entries) = (
            filled["size"].as_u64().unwrap(),
            seconds(&filled["entries"]),
        );
        let megabytes = seconds(&filled["bytes"]) / 1e6;
        println!(
            "catch-up, {entries:.0} entries of {length} bytes, {megabytes:.0} MB; filled at {:.1} MB/s, acked by two towers",
            megabytes / seconds(&filled["seconds"])
        );
        let began = Instant::now();
        cluster.start(3);
        let started = began.elapsed().as_secs_f64();
        let watch = Watch::new(&[cluster.node(3).id(), cluster.node(0).id()]);
        let held = cluster.node(3).ask(&format!("held {size}"));
        let first = started + seconds(&held["first"]);
        let took = began.elapsed().as_secs_f64();
        let (shares, cpu) = (watch.shares(), watch.cpu_seconds());
        println!(
            "  {:.1} MB/s, {:.0} entries/s, verified and durable [>= 50 MB/s]; {took:.2} s from the start of the process, the first piece after {first:.2} s and {:.1} MB/s from there; {}",
            megabytes / took,
            entries / took,
            megabytes / (took - first),
            references.time(took)
        );
        let peak = process::resident_mb(cluster.node(3).id(), true);
        println!(
            "  {:.1} ms of CPU per MB in both\n  tower   {}, {peak:.0} MB resident at most\n  factory {}",
            cpu * 1e3 / megabytes,
            shares[0],
            shares[1]
        );
    }
}

/// The program itself, not this bench, on the real disk: what an operator sees.
pub(crate) fn idle(references: &References, length: u64) {
    let program = env!("CARGO_BIN_EXE_belfry");
    let cluster = Cluster::found();
    let started: Vec<Child> = (0..NODES.len())
        .map(|number| {
            Command::new(program)
                .args(["run", "--no-input", "--data-dir"])
                .arg(cluster.dir(number))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let began = Instant::now();
    for number in 0..NODES.len() {
        let address = cluster.dir(number).join("run/http.addr");
        while !address.exists() {
            assert!(began.elapsed() < PATIENCE, "belfry run does not serve");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    std::thread::sleep(SETTLE);
    let processes: Vec<u32> = started.iter().map(Child::id).collect();
    let watch = Watch::new(&processes);
    std::thread::sleep(Duration::from_secs(length));
    println!(
        "idle, four `belfry run` for {length} s, resident memory [< 50 MB] and CPU [< 1 % of a core = {:.0} checks/s]:",
        1.0 / (100.0 * references.check_seconds())
    );
    for ((name, share), pid) in NODES.iter().zip(watch.shares()).zip(&processes) {
        let resident = process::resident_mb(*pid, false);
        println!("  {name:<24} {resident:.1} MB, {share}");
    }
    for mut child in started {
        let _ = child.kill();
        let _ = child.wait();
    }
}
