//! Durable accepts of the anti-replay tables, many in one transaction as the writer thread groups them: the engine's
//! functions on the real SQLite store, a savepoint for each, one slow sync for all.

use crate::SYNC;
use crate::references::References;
use belfry_node::disk::FixedSyncDisk;
use belfry_node::store::{Layout, Store};
use belfry_protocol::engine::Now;
use belfry_protocol::engine::nonces::{ClockState, StreamKey, accept_once, accept_stream};
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::tlog::hash::leaf_hash;
use belfry_protocol::wire::MemberId;
use std::sync::Arc;
use std::time::Instant;

/// As many inputs as the writer takes in one step.
const PER_COMMIT: u64 = 1_024;
const COMMITS: u64 = 40;
/// Other members of a federation of five.
const SENDERS: u64 = 4;
const NOW_US: i64 = 1_800_000_000_000_000;
/// How far off the clock may be.
const CLOCK_BOUND_US: u64 = 1_000_000;

pub(crate) fn accepts(references: &References) {
    let senders: Vec<MemberId> = (0..SENDERS)
        .map(|sender| MemberId(leaf_hash(&sender.to_be_bytes())))
        .collect();
    let sender = |number: u64| senders[(number % SENDERS) as usize];
    let now = Now {
        mono_us: 1_000_000,
        wall: TimeUs::from_micros(NOW_US).unwrap(),
    };
    let mut clock = ClockState::default();
    clock.confirm_by_operator(now, CLOCK_BOUND_US);
    let clock = clock.now(now).unwrap();

    run(references, "single requests", |tx, number| {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&leaf_hash(&number.to_le_bytes()).0[..16]);
        let issued = NOW_US - (number % 1_000) as i64;
        accept_once(tx, sender(number), nonce, issued, clock)
            .unwrap()
            .unwrap();
    });
    run(references, "stream counters", |tx, number| {
        let key = StreamKey {
            sender: sender(number),
            key_serial: 1,
            incarnation: 1,
            stream: 8,
        };
        accept_stream(tx, &key, number / SENDERS + 1)
            .unwrap()
            .unwrap();
    });
}

fn run(
    references: &References,
    what: &str,
    mut accept: impl FnMut(&mut belfry_node::store::SqliteTransaction<'_>, u64),
) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FixedSyncDisk { sync: SYNC });
    let mut store = Store::open(Layout::new(dir.path()), disk).unwrap();
    let began = Instant::now();
    for commit in 0..COMMITS {
        let mut tx = store.begin().unwrap();
        for number in 0..PER_COMMIT {
            tx.savepoint().unwrap();
            accept(&mut tx, commit * PER_COMMIT + number);
            tx.keep_savepoint().unwrap();
        }
        tx.commit().unwrap();
        store.tidy(PER_COMMIT * 512, false).unwrap();
    }
    let rate = (COMMITS * PER_COMMIT) as f64 / began.elapsed().as_secs_f64();
    store.close().unwrap();
    println!(
        "nonces, {what}: {rate:.0} durable accepts/s, {PER_COMMIT} per commit [>= 10,000]; {}",
        references.rate(rate)
    );
}
