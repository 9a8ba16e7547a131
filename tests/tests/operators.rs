//! What an operator of a federation sees: a quorum that is lost and comes back, a tower that catches up, a ledger that
//! ended.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::federation::{FACTORY, Federation, PATIENCE};
use belfry_tests::{lines, request};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Status and text of a path of a node's HTTP.
fn get(federation: &Federation, node: usize, path: &str) -> (u16, String) {
    let answer = request(&federation.http(node), "GET", path, &[], &[]);
    (answer.status, answer.text())
}

/// Waits until a node's log has a line at this level with this beginning, after so many others of them.
fn said(federation: &Federation, node: usize, level: &str, message: &str, before: usize) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let log = federation.log(node);
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is = |line: &Value| {
            line["level"] == level
                && line["message"]
                    .as_str()
                    .is_some_and(|text| text.starts_with(message))
        };
        if let Some(line) = lines.filter(is).nth(before) {
            return line;
        }
        assert!(
            Instant::now() < until,
            "{message:?} was never said:\n{}",
            federation.tail(node)
        );
        std::thread::sleep(Duration::from_millis(40));
    }
}

/// The tower as the factory's status shows it.
fn tower<'s>(status: &'s Value, name: &str) -> &'s Value {
    let peers = status["peers"].as_array().unwrap();
    peers.iter().find(|peer| peer["name"] == name).unwrap()
}

#[test]
fn a_lost_quorum_and_a_tower_that_catches_up_are_seen() {
    let federation = Federation::found(3);
    federation.start_all();
    federation.append(3);
    said(&federation, FACTORY, "INFO", "active", 0);
    said(&federation, FACTORY, "INFO", "a quorum of towers", 0);
    assert_eq!(
        get(&federation, FACTORY, "/readyz"),
        (200, "ready\n".into())
    );
    let _ = federation.wait(FACTORY, "has all towers", |status| {
        status["quorum"]["connected"] == 3
    });
    let (_, metrics) = get(&federation, FACTORY, "/metrics");
    for line in [
        "belfry_phase{phase=\"active\"} 1",
        "belfry_phase{phase=\"recovering\"} 0",
        "belfry_towers_connected 3",
        "belfry_towers_needed 2",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    let (_, metrics) = get(&federation, 1, "/metrics");
    let mirror = "belfry_mirror_held_entries{origin=\"shop.example/line\"}";
    assert!(metrics.contains(mirror), "{metrics}");

    // What the status says of a tower follows within about a second of what the tower holds.
    federation.kill(3);
    let size = federation.append(60) + 1;
    federation.start(3);
    let name = &federation.nodes[3].name;
    let _ = federation.wait(3, "has caught up and acks", |status| {
        status["mirrors"][0]["acked"].as_u64() == Some(size)
    });
    let began = Instant::now();
    let _ = federation.wait(FACTORY, "knows", |status| {
        let tower = tower(status, name);
        tower["held"].as_u64() == Some(size) && tower["refused"].is_null()
    });
    let took = began.elapsed();
    // Far below the 45 s after which an acknowledged digest is pushed again anyway.
    assert!(took < Duration::from_secs(30), "it took {took:?}");
    said(&federation, 3, "INFO", "this tower acks again", 0);

    // Two of three are gone: entries are taken, and people are told that they are not signed.
    federation.kill(3);
    federation.kill(2);
    let lost = said(
        &federation,
        FACTORY,
        "WARN",
        "the quorum of towers is lost",
        0,
    );
    assert_eq!(
        (&lost["connected"], &lost["needed"]),
        (&1.into(), &2.into())
    );
    let (code, text) = get(&federation, FACTORY, "/readyz");
    assert_eq!(code, 200, "{text}");
    assert!(text.contains("the quorum is lost: 1 of 3"), "{text}");
    assert!(federation.try_append(&lines(1)).is_some());
    let (_, metrics) = get(&federation, FACTORY, "/metrics");
    assert!(metrics.contains("belfry_towers_connected 1"), "{metrics}");

    federation.start(2);
    said(&federation, FACTORY, "INFO", "a quorum of towers", 1);
}

#[test]
fn a_retired_ledger_is_shown_and_is_not_ready() {
    let federation = Federation::found(3);
    federation.start_all();
    federation.append(1);
    let name = federation.nodes[FACTORY].name.clone();
    let end = [
        "ledger",
        "retire",
        "--successor",
        "next.example",
        "--confirm",
    ];
    let _ = federation
        .on(FACTORY, &[&end[..], &[&name]].concat())
        .expect(0);
    let status = federation.status(FACTORY);
    assert_eq!(status["phase"], "retired, its successor is next.example");
    assert_eq!(status["successor"], "next.example");
    let human = federation.on(FACTORY, &["status"]).expect(0).stdout;
    let shown = "member, retired, its successor is next.example";
    assert!(human.contains(shown), "{human}");
    let ready = ["wait", "--for", "ready", "--timeout", "1"];
    let _ = federation.on(FACTORY, &ready).expect(31);
    let (code, text) = get(&federation, FACTORY, "/readyz");
    assert_eq!(code, 503, "{text}");
    assert!(text.contains("next.example"), "{text}");
    let (_, metrics) = get(&federation, FACTORY, "/metrics");
    let phase = "belfry_phase{phase=\"retired\"} 1";
    assert!(metrics.contains(phase), "{metrics}");
}
