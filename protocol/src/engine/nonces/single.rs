//! Single requests (R8): a nonce that the sender never used before, and a time inside the window and above a durable floor.
//! A nonce is remembered until the floor has passed its time; the floor never falls, whatever the clock does.

use super::clock::{ConfirmedClock, Why};
use super::{damaged, number};
use crate::engine::store::{Record, StoreError, Table, Transaction};
use crate::tlog::hash::Hash;
use crate::wire::MemberId;
use std::collections::BTreeMap;

/// How old a request may be, in microseconds: 300 s.
pub const BACK_US: i64 = 300_000_000;
/// How far ahead of the own clock a request may be stamped, in microseconds: 30 s.
pub const AHEAD_US: i64 = 30_000_000;
/// Nonces that are remembered at the same time.
pub const MAX_LIVE: u64 = 1_000_000;
/// Nonces of one sender among them, so that one cannot use up the room of the others.
pub const MAX_LIVE_PER_SENDER: u64 = 100_000;
/// Nonces that one [`prune`] forgets at most, so that a step stays short.
pub const PRUNE_AT_ONCE: u64 = 4_096;
/// Nonces that are read at once while pruning. Divides [`PRUNE_AT_ONCE`].
const READ_AT_ONCE: usize = 128;

/// First byte of a key that goes on with time, sender and nonce: what [`prune`] walks. The value is empty.
const BY_TIME: u8 = 0;
/// First byte of a key that goes on with sender and nonce: what is looked up. The value is empty.
const BY_NONCE: u8 = 1;
/// First byte of a key that goes on with a sender, or with nothing: how many nonces are remembered of it, or of all.
const COUNT: u8 = 2;

/// Why a single request is not taken. None of these changed the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The sender used this nonce before.
    #[error("the nonce was used before")]
    Replayed,
    /// Made more than [`BACK_US`] ago.
    #[error("the request is more than 300 s old")]
    TooOld,
    /// Stamped more than [`AHEAD_US`] ahead.
    #[error("the request is stamped more than 30 s ahead")]
    TooNew,
    /// Not after the floor: whether it was accepted before may have been forgotten.
    #[error("the request is not newer than what may have been forgotten")]
    BelowFloor,
    /// The own clock is not confirmed.
    #[error("the clock is not confirmed: {0}")]
    Clock(Why),
    /// No room for another nonce, of this sender or at all.
    #[error("too many requests in 300 s")]
    Full,
}

/// What a [`prune`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// The floor now, in microseconds since 1970.
    pub floor_us: i64,
    /// How many nonces were forgotten.
    pub removed: u64,
    /// Whether there is more to forget: prune again in another step.
    pub more: bool,
}

/// How many nonces may be remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) all: u64,
    pub(super) per_sender: u64,
}

/// Accepts a request once, or says why not. If accepted, its nonce is remembered once the transaction is durable.
///
/// `nonce` is unique per sender whatever `issued_at_us` says. A bare resend has the time that was signed, so it would be
/// found by time alone; but a sender may sign the same nonce again with another time (a retry that stamps anew, or a
/// second key during an overlap), and what it means is the same request: its effect is filed in the ledger under
/// SHA-256(sender ‖ nonce), without a time. So the nonce is looked up by sender and nonce only. Once forgotten, a nonce
/// could come back under a new time only by a new signature of its sender.
///
/// # Errors
/// When the store fails or a row is malformed.
pub fn accept_once(
    tx: &mut impl Transaction,
    sender: MemberId,
    nonce: [u8; 16],
    issued_at_us: i64,
    now: ConfirmedClock,
) -> Result<Result<(), Refused>, StoreError> {
    let limits = Limits {
        all: MAX_LIVE,
        per_sender: MAX_LIVE_PER_SENDER,
    };
    accept_within(tx, sender, nonce, issued_at_us, now, limits)
}

pub(super) fn accept_within(
    tx: &mut impl Transaction,
    sender: MemberId,
    nonce: [u8; 16],
    issued_at_us: i64,
    now: ConfirmedClock,
    limits: Limits,
) -> Result<Result<(), Refused>, StoreError> {
    if let Some(bytes) = tx.record(Record::FloorDue)?
        && !bytes.is_empty()
    {
        after_restore(tx, now, number(&bytes, "the clock bound")?)?;
        tx.put_record(Record::FloorDue, &[])?;
    }
    // Saturated, the window only gets smaller.
    if issued_at_us < now.micros().saturating_sub(BACK_US) {
        return Ok(Err(Refused::TooOld));
    }
    if issued_at_us > now.micros().saturating_add(AHEAD_US) {
        return Ok(Err(Refused::TooNew));
    }
    if floor(tx)?.is_some_and(|floor| issued_at_us <= floor) {
        return Ok(Err(Refused::BelowFloor));
    }
    let by_nonce = nonce_key(sender, &nonce);
    if tx.row(Table::Nonces, &by_nonce)?.is_some() {
        return Ok(Err(Refused::Replayed));
    }
    let (all, own) = (count(tx, None)?, count(tx, Some(sender))?);
    if all >= limits.all || own >= limits.per_sender {
        return Ok(Err(Refused::Full));
    }
    tx.put_row(Table::Nonces, &by_nonce, &[])?;
    tx.put_row(Table::Nonces, &time_key(issued_at_us, sender, &nonce), &[])?;
    set_count(tx, None, all.saturating_add(1))?;
    set_count(tx, Some(sender), own.saturating_add(1))?;
    Ok(Ok(()))
}

/// Raises the floor to 300 s ago, then forgets nonces whose time is not above it: they are refused by the floor now.
///
/// # Errors
/// When the store fails or a row is malformed.
pub fn prune(tx: &mut impl Transaction, now: ConfirmedClock) -> Result<Pruned, StoreError> {
    let floor_us = raise_floor(tx, now.micros().saturating_sub(BACK_US))?;
    let mut removed: BTreeMap<MemberId, u64> = BTreeMap::new();
    let mut total = 0u64;
    let more = loop {
        // What was removed is gone from the beginning, so this is always the oldest that is left.
        let due = due(tx, floor_us)?;
        if due.is_empty() || total >= PRUNE_AT_ONCE {
            break !due.is_empty();
        }
        for (time, sender, nonce) in due {
            tx.remove_row(Table::Nonces, &time_key(time, sender, &nonce))?;
            tx.remove_row(Table::Nonces, &nonce_key(sender, &nonce))?;
            *removed.entry(sender).or_default() += 1;
            total += 1;
        }
    };
    for (of, gone) in removed
        .into_iter()
        .map(|(sender, gone)| (Some(sender), gone))
        .chain((total > 0).then_some((None, total)))
    {
        let left = count(tx, of)?
            .checked_sub(gone)
            .ok_or_else(|| damaged("there are more nonces than were counted"))?;
        set_count(tx, of, left)?;
    }
    Ok(Pruned {
        floor_us,
        removed: total,
        more,
    })
}

/// How many nonces are remembered.
///
/// # Errors
/// When the store fails or the count is malformed.
pub fn live(tx: &impl Transaction) -> Result<u64, StoreError> {
    count(tx, None)
}

/// The oldest nonces, of those whose time is not above the floor; not all at once.
fn due(tx: &impl Transaction, floor_us: i64) -> Result<Vec<TimeKey>, StoreError> {
    let mut due = Vec::new();
    for (key, _) in tx.rows(Table::Nonces, &[BY_TIME], READ_AT_ONCE)? {
        match read_time_key(&key)? {
            Some(parts) if parts.0 <= floor_us => due.push(parts),
            _ => break,
        }
    }
    Ok(due)
}

/// Raises the floor above everything that may have been accepted after the backup was made, and returns it. To be called
/// before the first request after a restore or a fast-forward, and when a directory is begun anew for a known node.
///
/// A request may have been stamped 30 s ahead of a clock that was one bound ahead of true time, while the clock is one
/// bound behind it now: hence twice the bound, in microseconds.
///
/// # Errors
/// When the store fails or the floor is malformed.
pub fn after_restore(
    tx: &mut impl Transaction,
    now: ConfirmedClock,
    clock_bound_us: u64,
) -> Result<i64, StoreError> {
    let floor_us = now
        .micros()
        .saturating_add(AHEAD_US)
        .saturating_add_unsigned(clock_bound_us.saturating_mul(2));
    raise_floor(tx, floor_us)
}

/// Notes durably that this is a restore or a fast-forward: the floor is raised by the first request that comes with a
/// confirmed clock, before it is judged.
///
/// # Errors
/// When the store fails.
pub fn floor_is_due(tx: &mut impl Transaction, clock_bound_us: u64) -> Result<(), StoreError> {
    tx.put_record(Record::FloorDue, &clock_bound_us.to_be_bytes())
}

/// The floor, in microseconds since 1970: only requests stamped after it are accepted. `None` before the first pruning.
///
/// # Errors
/// When the store fails or the floor is malformed.
pub fn floor(tx: &impl Transaction) -> Result<Option<i64>, StoreError> {
    tx.record(Record::NonceFloor)?
        .map(|bytes| number(&bytes, "the floor").map(u64::cast_signed))
        .transpose()
}

/// The one place that writes the floor: it never falls.
fn raise_floor(tx: &mut impl Transaction, to_us: i64) -> Result<i64, StoreError> {
    match floor(tx)? {
        Some(floor_us) if floor_us >= to_us => Ok(floor_us),
        _ => {
            tx.put_record(Record::NonceFloor, &to_us.to_be_bytes())?;
            Ok(to_us)
        }
    }
}

/// The sign bit is turned over, so that the order of the bytes is the order of time, also before 1970.
fn time_key(issued_at_us: i64, sender: MemberId, nonce: &[u8; 16]) -> Vec<u8> {
    let mut key = Vec::with_capacity(57);
    key.push(BY_TIME);
    key.extend_from_slice(&(issued_at_us.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    key.extend_from_slice(&sender.0.0);
    key.extend_from_slice(nonce);
    key
}

type TimeKey = (i64, MemberId, [u8; 16]);

/// `None` if the key is not one by time.
fn read_time_key(key: &[u8]) -> Result<Option<TimeKey>, StoreError> {
    let Some((&BY_TIME, rest)) = key.split_first() else {
        return Ok(None);
    };
    let parts = || {
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (sender, rest) = rest.split_first_chunk::<32>()?;
        let nonce = rest.try_into().ok()?;
        let time = (u64::from_be_bytes(*time) ^ (1 << 63)).cast_signed();
        Some((time, MemberId(Hash(*sender)), nonce))
    };
    parts()
        .map(Some)
        .ok_or_else(|| damaged("the key of a nonce"))
}

fn nonce_key(sender: MemberId, nonce: &[u8; 16]) -> Vec<u8> {
    let mut key = Vec::with_capacity(49);
    key.push(BY_NONCE);
    key.extend_from_slice(&sender.0.0);
    key.extend_from_slice(nonce);
    key
}

fn count_key(of: Option<MemberId>) -> Vec<u8> {
    let mut key = vec![COUNT];
    if let Some(sender) = of {
        key.extend_from_slice(&sender.0.0);
    }
    key
}

/// How many nonces are remembered of one sender, or of all.
pub(super) fn count(tx: &impl Transaction, of: Option<MemberId>) -> Result<u64, StoreError> {
    tx.row(Table::Nonces, &count_key(of))?
        .map_or(Ok(0), |bytes| number(&bytes, "a count of nonces"))
}

fn set_count(
    tx: &mut impl Transaction,
    of: Option<MemberId>,
    count: u64,
) -> Result<(), StoreError> {
    let key = count_key(of);
    if count == 0 {
        return tx.remove_row(Table::Nonces, &key);
    }
    tx.put_row(Table::Nonces, &key, &count.to_be_bytes())
}
