//! A tower that is killed at any moment never takes back what it signed: no older digest later, no second root.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::checks::assert_never_backwards;
use belfry_tests::federation::{FACTORY, Federation};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often towers are killed.
const KILLS: u32 = 60;

#[test]
fn a_tower_killed_at_any_moment_never_acks_backwards() {
    let federation = Federation::found(3);
    federation.start_all();
    let (mut lines, mut receipts) = (BTreeSet::new(), Vec::new());
    for round in 0..KILLS {
        let tower = 1 + usize::try_from(round % 3).unwrap();
        // Appends keep digests and acks on their way while the tower dies, each time a little later.
        let began = Instant::now();
        let moment = Duration::from_millis(u64::from(round) * 7 % 40);
        let mut last = None;
        while began.elapsed() < moment || last.is_none() {
            last = federation.try_append(&belfry_tests::lines(2)).or(last);
        }
        federation.kill(tower);
        lines.extend(federation.ack_lines());
        federation.start(tower);
        federation.ready(tower);
        let last = last.unwrap();
        let _ = federation.wait(FACTORY, "has it acknowledged", |status| {
            status["acked_size"].as_u64() > Some(last)
        });
        lines.extend(federation.ack_lines());
        receipts.push(federation.receipt(last));
    }
    let size = federation.settled(federation.towers());
    lines.extend(federation.ack_lines());
    assert!(lines.len() > 100, "only {} lines were seen", lines.len());
    assert_never_backwards(&lines);
    federation.check(size, federation.towers());
    federation.verify(&receipts);
}
