//! One factory and four towers, of which three acknowledge: nodes are killed and stopped under load, one after the other
//! and all at once. What was acknowledged stays where it was, on a quorum of towers, and its receipts verify.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::checks::{AckLine, assert_never_backwards};
use belfry_tests::federation::{FACTORY, Federation};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lines of one request.
const LINES: u64 = 5;
/// How long one request may wait for a factory that is down.
const OUTAGE: Duration = Duration::from_secs(120);

/// What a client of the factory knows.
#[derive(Default)]
struct Client {
    /// Entries that were answered: index and what makes the line its own.
    durable: Vec<(u64, String)>,
    receipts: Vec<String>,
    /// Every line of a tower that was ever there to see.
    lines: BTreeSet<AckLine>,
}

impl Client {
    /// One request, its acknowledgement, and the receipt of its last entry. Gives up the round while the factory is down.
    fn round(&mut self, federation: &Federation, number: u64) -> Option<u64> {
        let mark = format!("request-{number:05}");
        let line = |at: u64| format!("{{\"msg\":\"{mark} line-{at:03}\"}}\n");
        let body: String = (0..LINES).map(line).collect();
        let last = federation.try_append(body.as_bytes())?;
        self.durable.push((last, mark));
        let began = Instant::now();
        while began.elapsed() < OUTAGE {
            let acked = federation.try_status(FACTORY)?["acked_size"].as_u64()?;
            if acked > last {
                self.receipts.push(federation.receipt(last));
                self.lines.extend(federation.ack_lines());
                return Some(last);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!(
            "entry {last} was never acknowledged: {}",
            federation.tail(FACTORY)
        );
    }
}

/// Runs `faults` while a client appends, and then checks all it was told.
fn under_load(federation: &Federation, faults: impl FnOnce(&dyn Fn())) {
    let (over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let client = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = Client::default();
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                match client.round(federation, number) {
                    Some(_) => acknowledged.fetch_add(1, Ordering::Relaxed),
                    None => {
                        std::thread::sleep(Duration::from_millis(50));
                        0
                    }
                };
            }
            client
        });
        // Every fault waits for work to go on, so that none is lost on an idle federation.
        let more = || {
            let before = acknowledged.load(Ordering::Relaxed);
            let began = Instant::now();
            while acknowledged.load(Ordering::Relaxed) < before + 3 {
                assert!(
                    began.elapsed() < OUTAGE && !load.is_finished(),
                    "nothing is acknowledged any more"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        faults(&more);
        more();
        over.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    let size = federation.settled(federation.towers());
    federation.check(size, federation.towers());
    let entries = federation.entries(size);
    for (last, mark) in &client.durable {
        for at in 0..LINES {
            let index = usize::try_from(last + 1 - LINES + at).unwrap();
            let entry = String::from_utf8_lossy(&entries[index]);
            let wanted = format!("{mark} line-{at:03}");
            assert!(
                entry.contains(&wanted),
                "entry {index} should be {wanted}: {entry}"
            );
        }
    }
    let mut lines = client.lines;
    lines.extend(federation.ack_lines());
    assert_never_backwards(&lines);
    assert!(client.receipts.len() > 3);
    federation.verify(&client.receipts);
}

#[test]
fn every_node_is_killed_in_turn_under_load() {
    let federation = Federation::found(4);
    federation.start_all();
    let quorum = federation.status(FACTORY)["quorum"].clone();
    assert_eq!(
        (&quorum["towers"], &quorum["needed"]),
        (&4.into(), &3.into())
    );
    under_load(&federation, |more| {
        for number in [1, 2, FACTORY, 3, 4, FACTORY, 4, 1] {
            more();
            federation.kill(number);
            if number != FACTORY {
                more();
            }
            federation.start(number);
            federation.ready(number);
        }
    });
}

#[test]
fn all_at_once_they_stop_or_die_and_go_on_by_themselves() {
    let federation = Federation::found(4);
    federation.start_all();
    under_load(&federation, |more| {
        more();
        for number in 0..5 {
            federation.stop(number);
        }
        federation.start_all();
        more();
        for number in 0..5 {
            federation.kill(number);
        }
        federation.start_all();
    });
}
