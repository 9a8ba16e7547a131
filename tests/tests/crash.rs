//! `kill -9` at random moments of a bulk append: after a restart every acknowledged entry is there and `fsck` is clean.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::{Node, lines};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Kills in one run of the test.
const KILLS: u64 = 50;

/// Small pseudo-random numbers, so that a failing run can be repeated with its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_fifty_kills() {
    let seed = std::env::var("BELFRY_CRASH_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("BELFRY_CRASH_SEED={seed}");
    let mut random = Random(seed);
    let node = Node::new();
    let input = node.write("bulk.ndjson", lines(20_000));
    let mut acknowledged = node.json(&["ledger", "head"])["size"].as_u64().unwrap();
    let mut killed_while_appending = 0;
    for round in 0..KILLS {
        let mut child = node
            .command(&[
                "append",
                &input,
                "--json",
                "--source",
                &format!("round-{round}"),
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let delay = Duration::from_millis(random.below(400));
        std::thread::sleep(delay);
        let running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        let mut answer = String::new();
        for line in BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
        {
            answer.push_str(&line);
        }
        child.wait().unwrap();
        killed_while_appending += u64::from(running);
        if let Ok(value) = serde_json::from_str::<Value>(&answer) {
            acknowledged = acknowledged.max(value["last"].as_u64().unwrap() + 1);
        }
        let fsck = node.run(&["ledger", "fsck", "--json"]).expect(0).json();
        let entries = fsck["entries"].as_u64().unwrap();
        assert!(
            entries >= acknowledged,
            "round {round}: {entries} entries, {acknowledged} acknowledged, seed {seed}"
        );
        // What is there was durable: a later crash must not lose it.
        acknowledged = entries;
    }
    assert!(
        killed_while_appending > KILLS / 4,
        "the test must hit running appends: {killed_while_appending}"
    );
}

#[test]
fn single_acknowledgements_survive_a_kill_of_the_server() {
    let node = Node::new();
    let token = node.json(&["token", "create", "--scope", "append"])["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let bearer = format!("Bearer {token}");
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    for round in 0..5 {
        let served = node.serve();
        let until = Instant::now() + Duration::from_millis(200);
        let mut number = 0;
        while number < 3 || Instant::now() < until {
            number += 1;
            let text = format!("round {round} number {number}");
            let body = format!("{{\"kind\":\"log.line\",\"body\":\"{text}\"}}");
            let headers = [
                ("authorization", bearer.as_str()),
                ("content-type", "application/json"),
            ];
            let answer = served.request("POST", "/api/v1/entries", &headers, body.as_bytes());
            assert_eq!(answer.status, 201, "{answer:?}");
            acknowledged.push((answer.json()["first"].as_u64().unwrap(), text));
        }
        served.signal("KILL");
    }
    assert!(acknowledged.len() > 10);
    for (index, text) in acknowledged {
        let entry = node.json(&["ledger", "get", &index.to_string()]);
        assert_eq!(entry["entry"]["body"], text.as_str());
    }
    let _ = node.run(&["ledger", "fsck"]).expect(0);
    std::io::stdout().flush().unwrap();
}
