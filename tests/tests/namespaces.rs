//! Five real processes, each in a network namespace of its own, over links of 50 ms that lose 2 % and worse: what the
//! simulator says of the engine must be true of the whole program on a real network stack. Skipped, with the reason, where
//! namespaces or TUN devices are not allowed; `BELFRY_REQUIRE_NAMESPACES=1` makes that a failure.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::checks::{AckLine, assert_never_backwards};
use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::namespaces::{Network, inside};
use belfry_tests::shaper::Link;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TOWERS: usize = 4;
const HOUR: i64 = 3_600;
/// How long a federation may take to agree again once everything works.
const CONVERGES: Duration = Duration::from_secs(60);
/// One way.
const DELAY: Duration = Duration::from_millis(50);

/// The links of the towers of this world: far away, and 2 % of what is sent is lost.
fn far_and_lossy(link: &mut Link) {
    link.delay = DELAY;
    link.jitter = Duration::from_millis(5);
    link.lost_ppm = 20_000;
}

fn start(seed: u64) -> (Network, Federation) {
    let network = Network::new(TOWERS + 1, seed);
    network.change_all(far_and_lossy);
    let federation = Federation::found_in(&network, TOWERS);
    federation.configure("[clock]\nprobe_interval_ms = 500");
    (network, federation)
}

/// Everything is signed, held and acked by these towers, and it did not take longer than it may.
fn converge(federation: &Federation, towers: impl IntoIterator<Item = usize>) -> u64 {
    let began = Instant::now();
    let size = federation.settled(towers);
    let took = began.elapsed();
    eprintln!("converged at {size} after {took:.1?}");
    assert!(took < CONVERGES, "it took {took:?} to converge");
    size
}

fn acked(status: &Value) -> Option<u64> {
    status["mirrors"][0]["acked"].as_u64()
}

/// Hello, digests and acks work over the links as they are, and the links are what they are said to be.
fn acks_over_far_links(network: &Network, federation: &Federation) -> Vec<String> {
    let receipts = vec![federation.receipt(federation.append(5))];
    let _ = converge(federation, federation.towers());
    let checked = federation.on(FACTORY, &["netcheck", "--json"]).expect(0);
    let checked = checked.json();
    let members = checked["members"].as_array().unwrap();
    assert_eq!(members.len(), TOWERS, "{checked:#}");
    let there_and_back = u64::try_from(2 * DELAY.as_micros()).unwrap();
    for member in members {
        assert!(
            member["rtt_us"].as_u64() >= Some(there_and_back),
            "{member}"
        );
        let address = member["address"].as_str().unwrap();
        assert!(address.contains("10.77.0."), "{member}");
    }
    let _ = federation.wait(FACTORY, "loses a packet", |_| {
        let links = &mut network.shaper().links();
        (1..=TOWERS).any(|tower| links.counts(FACTORY, tower).lost > 0)
    });
    receipts
}

/// What a tower says reaches nobody, what is said to it arrives.
fn one_way_partition(network: &Network, federation: &Federation) -> String {
    const MUTE: usize = 1;
    network.change_from(MUTE, |link| link.cut = true);
    let last = federation.append(5);
    let others = federation.towers().filter(|tower| *tower != MUTE);
    for tower in others {
        let _ = federation.wait(tower, "acks without the mute one", |status| {
            acked(status) > Some(last)
        });
    }
    let counts = network.shaper().links().counts(MUTE, FACTORY);
    assert!(counts.cut > 0 && counts.cut <= counts.sent, "{counts:?}");
    // It may have heard of all that, but nobody has heard from it.
    let name = &federation.nodes[MUTE].name;
    let from_it = |(tower, _, size, ..): &&AckLine| tower.starts_with(name) && *size > last;
    let lines = federation.ack_lines();
    assert_eq!(lines.iter().find(from_it), None);
    network.change_from(MUTE, |link| link.cut = false);
    let size = converge(federation, federation.towers());
    assert!(size > last);
    federation.receipt(last)
}

/// The factory is killed while a client appends as fast as it may, over links that also double and spoil packets.
fn kill_under_load(network: &Network, federation: &Federation) -> Vec<String> {
    /// Rounds that must be acknowledged before and after the kill.
    const ROUNDS: usize = 5;
    network.change_all(|link| {
        link.doubled_ppm = 10_000;
        link.spoiled_ppm = 5_000;
    });
    let over = AtomicBool::new(false);
    let answered = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut answered = Vec::new();
            while !over.load(Ordering::Relaxed) {
                match federation.try_append(&belfry_tests::lines(10)) {
                    Some(last) => answered.push(last),
                    None => std::thread::sleep(Duration::from_millis(20)),
                }
            }
            answered
        });
        let size = || federation.status(FACTORY)["acked_size"].as_u64().unwrap();
        let grown = |from: u64| {
            let enough = from + 10 * u64::try_from(ROUNDS).unwrap();
            let _ = federation.wait(FACTORY, "is under load", |status| {
                status["acked_size"].as_u64() > Some(enough)
            });
        };
        grown(size());
        federation.kill(FACTORY);
        federation.start(FACTORY);
        federation.ready(FACTORY);
        grown(size());
        over.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    let size = converge(federation, federation.towers());
    assert!(answered.iter().all(|last| *last < size), "entries are gone");
    let every = answered.len().div_ceil(8);
    let some = answered.iter().step_by(every);
    some.map(|last| federation.receipt(*last)).collect()
}

#[test]
fn five_nodes_far_apart_survive_loss_a_one_way_partition_and_a_kill() {
    if !inside("five_nodes_far_apart_survive_loss_a_one_way_partition_and_a_kill") {
        return;
    }
    let (network, federation) = start(1);
    federation.start_all();
    let mut receipts = acks_over_far_links(&network, &federation);
    let mut lines = federation.ack_lines();
    receipts.push(one_way_partition(&network, &federation));
    lines.extend(federation.ack_lines());
    receipts.extend(kill_under_load(&network, &federation));
    lines.extend(federation.ack_lines());
    assert_never_backwards(&lines);
    federation.verify(&receipts);
}

#[test]
fn a_node_an_hour_behind_is_told_apart_over_far_links() {
    const SKEWED: usize = 2;
    if !inside("a_node_an_hour_behind_is_told_apart_over_far_links") {
        return;
    }
    let (_network, federation) = start(2);
    if !federation.nodes[SKEWED].launch_with_clock() {
        return;
    }
    federation.nodes[SKEWED].step_clock(-HOUR);
    federation.start_all();
    federation.served(SKEWED);
    let status = federation.wait(SKEWED, "finds its clock wrong", |status| {
        status["clock"]["own"]["verdict"] == "violated"
    });
    assert_eq!(status["clock"]["own"]["may_ack"], false);
    let off = status["clock"]["own"]["lo_us"].as_i64().unwrap() / 1_000_000;
    assert!((off + HOUR).abs() < 5, "{status:#}");
    let last = federation.append(5);
    let name = federation.nodes[SKEWED].name.as_str();
    let right: Vec<usize> = federation.towers().filter(|one| *one != SKEWED).collect();
    for node in [FACTORY].iter().chain(&right) {
        let _ = federation.wait(*node, "sees who is wrong", |status| {
            status["clock"]["own"]["verdict"] == "ok"
                && status["clock"]["falsetickers"] == Value::from(vec![name])
        });
    }
    let size = converge(&federation, right);
    assert!(size > last);
    let skewed = federation.wait(SKEWED, "mirrors all the same", |status| {
        status["mirrors"][0]["held"].as_u64() >= Some(size)
    });
    assert!(
        acked(&skewed).is_none_or(|acked| acked <= last),
        "{skewed:#}"
    );

    federation.nodes[SKEWED].step_clock(0);
    let _ = converge(&federation, federation.towers());
    federation.verify(&[federation.receipt(last)]);
}
