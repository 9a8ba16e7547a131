//! Proves at a start (R8) that the store really remembers and refuses, on rows of a sender that cannot exist.
//! Everything happens in a savepoint that is always undone; no trace may be left, and that is checked too.

use super::clock::ConfirmedClock;
use super::counters::Counters;
use super::single::{self, AHEAD_US, BACK_US, Limits, Refused, accept_within, prune};
use super::window::{Replay, StreamKey, WINDOW, accept_stream};
use crate::engine::store::{Record, StoreError, Table, Transaction};
use crate::tlog::hash::sha256;
use crate::wire::MemberId;

/// A self-test may not fail because the tables are full.
const NO_LIMITS: Limits = Limits {
    all: u64::MAX,
    per_sender: u64::MAX,
};

/// Accepts, and checks that what must be refused is. To be called outside the savepoint of an input, of which there is
/// only one. The inner error says what did not hold: then no message may be accepted.
///
/// # Errors
/// When the store fails, or cannot undo.
pub fn self_test(tx: &mut impl Transaction) -> Result<Result<(), String>, StoreError> {
    // No identity key has this hash.
    let sender = MemberId(sha256(b"belfry/self-test/v1\0"));
    let before = traces(tx, sender)?;
    tx.savepoint()?;
    let streams = streams(tx, sender);
    let requests = requests(tx, sender);
    let counters = counters(tx);
    // Whatever came out.
    tx.undo_savepoint()?;
    let verdict = streams?.and(requests?).and(counters?);
    if traces(tx, sender)? != before {
        return Ok(Err("the undone savepoint left a trace".to_owned()));
    }
    Ok(verdict)
}

type Checked = Result<Result<(), String>, StoreError>;

/// A list of (what, what came out, what should have): the first that differs.
fn all_as_expected<T: PartialEq + std::fmt::Debug>(checks: &[(&str, T, T)]) -> Result<(), String> {
    match checks.iter().find(|(_, is, should)| is != should) {
        Some((what, is, should)) => Err(format!("{what}: {is:?} instead of {should:?}")),
        None => Ok(()),
    }
}

fn streams(tx: &mut impl Transaction, sender: MemberId) -> Checked {
    let key = StreamKey {
        sender,
        key_serial: u64::MAX,
        incarnation: 2,
        stream: 0,
    };
    let older = StreamKey {
        incarnation: 1,
        ..key
    };
    let mut take = |key: &StreamKey, counter| accept_stream(tx, key, counter);
    Ok(all_as_expected(&[
        ("first counter", take(&key, 1)?, Ok(())),
        ("same counter", take(&key, 1)?, Err(Replay::Seen)),
        ("counter ahead", take(&key, 2 + WINDOW)?, Ok(())),
        ("counter behind", take(&key, 2)?, Err(Replay::Behind)),
        (
            "old incarnation",
            take(&older, 3)?,
            Err(Replay::OldIncarnation),
        ),
    ]))
}

fn requests(tx: &mut impl Transaction, sender: MemberId) -> Checked {
    // A floor that is due would be raised above the time of this test by its own first request.
    tx.put_record(Record::FloorDue, &[])?;
    // Any time does, as long as the floor is out of its window; the real clock is not confirmed at a start.
    let floor = single::floor(tx)?.unwrap_or(0);
    let Some(now_us) = floor.checked_add(BACK_US + AHEAD_US) else {
        return Ok(Err("the floor is at the end of time".to_owned()));
    };
    let Some(late_us) = now_us.checked_add(BACK_US + AHEAD_US) else {
        return Ok(Err("the floor is at the end of time".to_owned()));
    };
    let (now, late) = (
        ConfirmedClock::assumed(now_us),
        ConfirmedClock::assumed(late_us),
    );
    let mut take =
        |nonce: u8, time, clock| accept_within(tx, sender, [nonce; 16], time, clock, NO_LIMITS);
    let first = all_as_expected(&[
        ("first nonce", take(1, now_us, now)?, Ok(())),
        ("same nonce", take(1, now_us, now)?, Err(Refused::Replayed)),
        (
            "restamped nonce",
            take(1, now_us - 1, now)?,
            Err(Refused::Replayed),
        ),
        (
            "old request",
            take(2, now_us - BACK_US - 1, now)?,
            Err(Refused::TooOld),
        ),
        (
            "request ahead",
            take(2, now_us + AHEAD_US + 1, now)?,
            Err(Refused::TooNew),
        ),
    ]);
    prune(tx, late)?;
    let again = accept_within(tx, sender, [1; 16], late_us - BACK_US, late, NO_LIMITS)?;
    let at_floor = ("request at the floor", again, Err(Refused::BelowFloor));
    Ok(first.and(all_as_expected(&[at_floor])))
}

fn counters(tx: &mut impl Transaction) -> Checked {
    let first = Counters::default().next(tx)?;
    let second = Counters::default().next(tx)?;
    if first >= second {
        return Ok(Err(format!("counter {second} after {first}")));
    }
    Ok(Ok(()))
}

type Traces = (Vec<Option<Vec<u8>>>, Vec<(Vec<u8>, Vec<u8>)>, u64);

/// What the self-test could leave: both records, the beginning of both tables, and its count.
fn traces(tx: &impl Transaction, sender: MemberId) -> Result<Traces, StoreError> {
    let records = [Record::NonceFloor, Record::FloorDue, Record::StreamBlock];
    let records = records
        .into_iter()
        .map(|record| tx.record(record))
        .collect::<Result<_, _>>()?;
    let mut rows = tx.rows(Table::Streams, &[], 16)?;
    rows.extend(tx.rows(Table::Nonces, &[], 16)?);
    Ok((records, rows, single::count(tx, Some(sender))?))
}
