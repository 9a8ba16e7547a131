//! Wall clocks that step by an hour under running nodes: a human is told, no promise is broken, and work goes on.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::checks::assert_never_backwards;
use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::request;

const HOUR: i64 = 3_600;

/// The node's own account of how often its wall clock stepped, in its metrics.
fn counted(federation: &Federation, node: usize) -> u64 {
    let metrics = request(&federation.http(node), "GET", "/metrics", &[], &[]).text();
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix("belfry_wall_clock_steps_total "));
    line.unwrap().parse().unwrap()
}

#[test]
fn clocks_that_step_by_an_hour_break_no_promise() {
    let federation = Federation::found(3);
    federation.configure("[clock]\nprobe_interval_ms = 500");
    for node in &federation.nodes {
        if !node.launch_with_clock() {
            return;
        }
    }
    for number in 0..federation.nodes.len() {
        federation.served(number);
        federation.ready(number);
    }
    let mut receipts = vec![federation.receipt(federation.append(3))];
    let mut lines = federation.ack_lines();
    // Ahead and back again, the factory and a tower; one tower far behind. Tower 3 alone keeps the time.
    for (node, to) in [
        (FACTORY, HOUR),
        (1, HOUR),
        (2, -HOUR),
        (FACTORY, -HOUR),
        (1, 0),
        (FACTORY, 0),
    ] {
        let before = counted(&federation, node);
        federation.nodes[node].step_clock(to);
        let _ = federation.wait(node, "sees the step", |status| {
            status["wall_steps"].as_u64() > Some(before)
        });
        // Metrics leave the engine out when it does not answer at once.
        let _ = federation.wait(node, "counts the step", |_| {
            counted(&federation, node) > before
        });
        receipts.push(federation.receipt(federation.append(3)));
        lines.extend(federation.ack_lines());
    }
    assert_never_backwards(&lines);
    let log = federation.log(2);
    let told = log.lines().find(|line| line.contains("wall-step"));
    assert!(told.is_some_and(|line| line.contains("ALARM")), "{log}");
    assert!(!federation.log(3).contains("wall-step"));

    // A start with a clock that is an hour behind what the node said before.
    federation.stop(1);
    federation.stop(FACTORY);
    assert!(federation.nodes[1].launch_with_clock());
    federation.nodes[1].step_clock(-HOUR);
    assert!(federation.nodes[FACTORY].launch_with_clock());
    federation.nodes[FACTORY].step_clock(-HOUR);
    for number in [1, FACTORY] {
        federation.served(number);
        federation.ready(number);
    }
    receipts.push(federation.receipt(federation.append(3)));
    lines.extend(federation.ack_lines());
    assert_never_backwards(&lines);
    // Three of four have the wrong time now: the one that has the right one is outvoted, and acks nothing (R4).
    let _ = federation.wait(3, "is outvoted", |status| {
        status["clock"]["own"]["verdict"] == "violated"
    });
    for node in [FACTORY, 1, 2] {
        federation.nodes[node].step_clock(0);
    }
    let size = federation.settled(federation.towers());
    federation.check(size, federation.towers());
    federation.verify(&receipts);
}
