//! Edges of windows, time and pruning, and streams against a model: the set of everything that was ever accepted.
//! Single requests against such a model are in `model_tests`.

use super::single::{Limits, accept_within};
use super::*;
use crate::engine::Now;
use crate::engine::mem::MemStore;
use crate::engine::store::{Record, Table, Transaction};
use crate::entry::time::TimeUs;
use crate::tlog::hash::Hash;
use crate::wire::MemberId;
use proptest::prelude::*;
use std::collections::BTreeSet;

const TICK: i64 = 10_000_000;
const BOUND: u64 = 10_000_000;
const A: MemberId = MemberId(Hash([1; 32]));
const B: MemberId = MemberId(Hash([2; 32]));

fn in_tx<T>(
    store: &mut MemStore,
    act: impl FnOnce(&mut crate::engine::mem::MemTransaction<'_>) -> Result<T, StoreError>,
) -> T {
    let mut tx = store.begin();
    let result = act(&mut tx).unwrap();
    tx.commit().unwrap();
    result
}

fn clock(us: i64) -> ConfirmedClock {
    ConfirmedClock::assumed(us)
}

fn once(store: &mut MemStore, sender: MemberId, n: u8, at: i64, now: i64) -> Result<(), Refused> {
    in_tx(store, |tx| accept_once(tx, sender, [n; 16], at, clock(now)))
}

fn key(serial: u64, incarnation: u64, stream: u64) -> StreamKey {
    StreamKey {
        sender: A,
        key_serial: serial,
        incarnation,
        stream,
    }
}

fn take(store: &mut MemStore, key: StreamKey, counter: u64) -> Result<(), Replay> {
    in_tx(store, |tx| accept_stream(tx, &key, counter))
}

#[test]
fn edges_of_the_window() {
    for top in [5_000, u64::MAX] {
        let store = &mut MemStore::default();
        let k = key(0, 0, 0);
        assert_eq!(take(store, k, 0), Err(Replay::Zero));
        assert_eq!(take(store, k, 1), Ok(()));
        assert_eq!(take(store, k, top), Ok(()));
        assert_eq!(take(store, k, top - 1_023), Ok(()));
        assert_eq!(take(store, k, top - 1_023), Err(Replay::Seen));
        assert_eq!(take(store, k, top - 1_024), Err(Replay::Behind));
        assert_eq!(take(store, k, top - 1_025), Err(Replay::Behind));
        assert_eq!(take(store, k, 1), Err(Replay::Behind));
        assert_eq!(take(store, k, top), Err(Replay::Seen));
    }
    // A jump of just under a window keeps what is still covered, and clears what the ring held before.
    let (store, k) = (&mut MemStore::default(), key(0, 0, 0));
    for counter in 1..=3 {
        assert_eq!(take(store, k, counter), Ok(()));
    }
    assert_eq!(take(store, k, 1_026), Ok(()));
    assert_eq!(take(store, k, 2), Err(Replay::Behind));
    assert_eq!(take(store, k, 3), Err(Replay::Seen));
    assert_eq!(take(store, k, 1_025), Ok(()));
}

#[test]
fn old_incarnations_and_keys_are_refused_not_forgotten() {
    let store = &mut MemStore::default();
    assert_eq!(take(store, key(1, 5, 0), 9), Ok(()));
    assert_eq!(take(store, key(1, 6, 0), 1), Ok(()));
    assert_eq!(take(store, key(1, 5, 0), 10), Err(Replay::OldIncarnation));
    assert_eq!(take(store, key(1, 5, 7), 10), Err(Replay::OldIncarnation));
    // Another serial counts for itself, a lower one too.
    assert_eq!(take(store, key(0, 1, 0), 1), Ok(()));
    for stream in 1..63 {
        assert_eq!(take(store, key(1, 6, stream), 1), Ok(()));
    }
    // 64 rows: a lower serial finds no room, the same serial displaces serial 0, and then nothing is older.
    assert_eq!(take(store, key(0, 1, 1), 1), Err(Replay::TooManyStreams));
    assert_eq!(take(store, key(1, 6, 63), 1), Ok(()));
    assert_eq!(take(store, key(0, 1, 0), 2), Err(Replay::OldKey));
    assert_eq!(take(store, key(1, 6, 64), 1), Err(Replay::TooManyStreams));
    assert_eq!(take(store, key(1, 6, 63), 2), Ok(()));
    let other = StreamKey {
        sender: B,
        ..key(0, 0, 0)
    };
    assert_eq!(take(store, other, 1), Ok(()));
    // A new incarnation replaces all of the old one's.
    assert_eq!(take(store, key(1, 7, 0), 1), Ok(()));
    assert_eq!(
        in_tx(store, |tx| tx.rows(Table::Streams, &[1], 99)).len(),
        2
    );
    assert_eq!(take(store, key(1, 6, 0), 2), Err(Replay::OldIncarnation));
}

#[test]
fn a_restarted_sender_is_heard_and_a_restarted_receiver_remembers() {
    let (mut sender, receiver) = (MemStore::default(), &mut MemStore::default());
    for _ in 0..3 {
        let mut counters = Counters::default();
        for _ in 0..5 {
            let counter = in_tx(&mut sender, |tx| counters.next(tx));
            assert_eq!(take(receiver, key(0, 0, 0), counter), Ok(()));
            assert_eq!(take(receiver, key(0, 0, 0), counter), Err(Replay::Seen));
        }
    }
}

#[test]
fn damaged_rows_are_noticed() {
    let store = &mut MemStore::default();
    take(store, key(0, 0, 0), 1).unwrap();
    let mut row = vec![1];
    row.extend_from_slice(&[1; 32]);
    row.extend_from_slice(&[0; 24]);
    for bad in [&[0; 136][..], &[1; 135], &[], &[1; 144]] {
        let mut tx = store.begin();
        tx.put_row(Table::Streams, &row, bad).unwrap();
        assert!(accept_stream(&mut tx, &key(0, 0, 0), 2).is_err());
    }
    for bad in [&[][..], &[0; 16], &[0; 9]] {
        let mut tx = store.begin();
        tx.put_row(Table::Streams, &[&[0][..], &[1; 32]].concat(), bad)
            .unwrap();
        assert!(accept_stream(&mut tx, &key(0, 0, 0), 2).is_err());
        tx.put_record(Record::NonceFloor, &[1]).unwrap();
        assert!(accept_once(&mut tx, A, [0; 16], 0, clock(0)).is_err());
    }
}

#[test]
fn a_nonce_is_unique_per_sender_whatever_the_time() {
    let store = &mut MemStore::default();
    assert_eq!(once(store, A, 1, 0, 0), Ok(()));
    assert_eq!(once(store, A, 1, 0, 0), Err(Refused::Replayed));
    assert_eq!(once(store, A, 1, 1, 0), Err(Refused::Replayed));
    assert_eq!(once(store, A, 1, -1, 0), Err(Refused::Replayed));
    assert_eq!(once(store, B, 1, 0, 0), Ok(()));
    assert_eq!(once(store, A, 2, 0, 0), Ok(()));
}

#[test]
fn edges_of_the_time_window_and_of_pruning() {
    for now in [1_000 * TICK, 0, -5, i64::MIN + 40 * TICK] {
        let store = &mut MemStore::default();
        let (back, ahead) = (now - single::BACK_US, now + single::AHEAD_US);
        assert_eq!(once(store, A, 1, back - 1, now), Err(Refused::TooOld));
        assert_eq!(once(store, A, 1, ahead + 1, now), Err(Refused::TooNew));
        assert_eq!(once(store, A, 1, back, now), Ok(()));
        assert_eq!(once(store, A, 2, back + 1, now), Ok(()));
        assert_eq!(once(store, A, 3, ahead, now), Ok(()));
        // The one at the floor goes, and is refused as well as any other there.
        let pruned = in_tx(store, |tx| prune(tx, clock(now)));
        let expected = Pruned {
            floor_us: back,
            removed: 1,
            more: false,
        };
        assert_eq!(pruned, expected);
        assert_eq!(once(store, A, 1, back, now), Err(Refused::BelowFloor));
        assert_eq!(once(store, A, 4, back, now), Err(Refused::BelowFloor));
        assert_eq!(once(store, A, 2, back + 1, now), Err(Refused::Replayed));
        // A nonce that was forgotten is free for another signature.
        assert_eq!(once(store, A, 1, now, now), Ok(()));
        // The floor does not follow the clock back.
        let pruned = in_tx(store, |tx| prune(tx, clock(now - 10)));
        assert_eq!((pruned.floor_us, pruned.removed), (back, 0));
        let pruned = in_tx(store, |tx| prune(tx, clock(now + 40 * TICK)));
        assert_eq!(pruned.removed, 3);
        assert_eq!(in_tx(store, |tx| tx.rows(Table::Nonces, &[], 9)), []);
    }
    for now in [i64::MIN, i64::MAX] {
        let store = &mut MemStore::default();
        assert_eq!(once(store, A, 1, now, now), Ok(()));
        in_tx(store, |tx| prune(tx, clock(now)));
        in_tx(store, |tx| after_restore(tx, clock(now), u64::MAX));
        assert_eq!(once(store, A, 1, now, now), Err(Refused::BelowFloor));
    }
}

#[test]
fn room_is_bounded_for_one_and_for_all() {
    let mut store = MemStore::default();
    let limits = Limits {
        all: 3,
        per_sender: 2,
    };
    let mut take = |sender, n: u8, at: i64| {
        in_tx(&mut store, |tx| {
            accept_within(tx, sender, [n; 16], at, clock(0), limits)
        })
    };
    assert_eq!(take(A, 1, -1), Ok(()));
    assert_eq!(take(A, 2, 0), Ok(()));
    assert_eq!(take(A, 3, 0), Err(Refused::Full));
    assert_eq!(take(B, 3, 0), Ok(()));
    assert_eq!(take(B, 4, 0), Err(Refused::Full));
    assert_eq!(take(A, 1, 0), Err(Refused::Replayed));
    in_tx(&mut store, |tx| prune(tx, clock(single::BACK_US - 1)));
    let counts = in_tx(&mut store, |tx| {
        Ok((single::count(tx, None)?, single::count(tx, Some(A))?))
    });
    assert_eq!(counts, (2, 1));
}

#[test]
fn pruning_is_done_in_parts() {
    let mut store = MemStore::default();
    in_tx(&mut store, |tx| {
        for n in 0..single::PRUNE_AT_ONCE + 5 {
            let nonce = u128::from(n).to_be_bytes();
            accept_once(tx, A, nonce, 0, clock(0))?.unwrap();
        }
        let late = clock(single::BACK_US);
        let first = prune(tx, late)?;
        assert_eq!((first.removed, first.more), (single::PRUNE_AT_ONCE, true));
        let second = prune(tx, late)?;
        assert_eq!((second.removed, second.more), (5, false));
        Ok(())
    });
}

/// CE 11: stamped ahead by a clock one bound ahead, restored by one that is a bound behind: exactly at the floor.
#[test]
fn a_restore_covers_twice_the_bound_and_equality() {
    let store = &mut MemStore::default();
    let bound = i64::try_from(BOUND).unwrap();
    let backup = store.clone();
    let stamp = bound + single::AHEAD_US;
    assert_eq!(once(store, A, 1, stamp, bound), Ok(()));
    *store = backup;
    let floor = in_tx(store, |tx| after_restore(tx, clock(-bound), BOUND));
    assert_eq!(floor, stamp);
    assert_eq!(once(store, A, 1, stamp, bound), Err(Refused::BelowFloor));
    assert_eq!(once(store, A, 1, stamp + 1, stamp), Ok(()));
}

/// CE 12: with the clock 30 ticks ahead nothing is accepted, so nothing can come back; nor is a restore completed.
#[test]
fn a_wrong_clock_is_no_clock() {
    let wall = |us| TimeUs::from_micros(us).unwrap();
    let (now, mut state) = (
        Now {
            mono_us: 0,
            wall: wall(30 * TICK),
        },
        ClockState::default(),
    );
    let off = Interval {
        lo_us: 30 * TICK - 1,
        hi_us: 30 * TICK + 1,
    };
    assert_eq!(state.confirm(now, off, BOUND), Verdict::Violated);
    assert_eq!(state.now(now), Err(Refused::Clock(Why::Outside)));
}

#[test]
fn the_self_test_passes_and_leaves_no_trace() {
    let store = &mut MemStore::default();
    assert_eq!(in_tx(store, |tx| self_test(tx)), Ok(()));
    take(store, key(0, 0, 0), 1).unwrap();
    once(store, A, 1, 0, 0).unwrap();
    in_tx(store, |tx| after_restore(tx, clock(0), BOUND));
    // As after a fast-forward, before any request came: the next start tests itself with the floor still due.
    in_tx(store, |tx| floor_is_due(tx, BOUND));
    let before = format!("{store:?}");
    assert_eq!(in_tx(store, |tx| self_test(tx)), Ok(()));
    assert_eq!(format!("{store:?}"), before);
    in_tx(store, |tx| after_restore(tx, clock(i64::MAX), BOUND));
    assert!(in_tx(store, |tx| self_test(tx)).is_err());
}

#[test]
fn every_outcome_is_counted() {
    let mut counts = Counts::default();
    counts.single(&Ok(()));
    counts.single(&Err(Refused::Clock(Why::Start)));
    counts.stream(&Err(Replay::Seen));
    let expected = Counts {
        accepted: 1,
        clock: 1,
        stream_replayed: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Within one window, what is accepted is exactly what is new and not behind.
    #[test]
    fn a_window_is_the_set_of_what_came(
        start in prop_oneof![Just(0u64), Just(u64::MAX - 6_000), any::<u64>()],
        steps in prop::collection::vec((0u64..2_500, any::<bool>()), 1..400),
    ) {
        let (mut window, mut seen, mut high) = (window::Window::default(), BTreeSet::new(), 0u64);
        for (by, ahead) in steps {
            let from = high.max(start);
            let counter = if ahead { from.saturating_add(by) } else { from.saturating_sub(by) }.max(1);
            let expected = if high.saturating_sub(counter) >= window::WINDOW {
                Err(Replay::Behind)
            } else if seen.contains(&counter) {
                Err(Replay::Seen)
            } else {
                Ok(())
            };
            prop_assert_eq!(window.insert(counter), expected);
            seen.insert(counter);
            high = high.max(counter);
        }
    }

    /// Whatever the order of keys, incarnations and streams: nothing twice, and a bounded table.
    #[test]
    fn no_counter_is_accepted_twice(
        steps in prop::collection::vec((0u64..4, 0u64..3, 0u64..40, 1u64..4), 1..600),
    ) {
        let (mut store, mut accepted) = (MemStore::default(), BTreeSet::new());
        let mut tx = store.begin();
        for (serial, incarnation, stream, counter) in steps {
            let key = key(serial, incarnation, stream);
            if accept_stream(&mut tx, &key, counter).unwrap().is_ok() {
                prop_assert!(accepted.insert((key, counter)));
            }
            prop_assert!(tx.rows(Table::Streams, &[1], 99).unwrap().len() <= 64);
        }
    }
}
