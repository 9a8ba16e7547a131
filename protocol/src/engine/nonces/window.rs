//! Streams (R7): for each (sender, key serial, incarnation, stream) the highest counter and which of the 1,024 up to it came.
//! What is forgotten to bound the table is refused from then on; forgetting never makes room for a replay.

use super::{damaged, number};
use crate::engine::store::{StoreError, Table, Transaction};
use crate::wire::MemberId;
use std::collections::BTreeMap;

/// Counters that a window covers: the highest one and the 1,023 before it.
pub const WINDOW: u64 = 1_024;

/// Streams that are remembered per sender, over all its keys.
pub const MAX_STREAMS_PER_SENDER: usize = 64;

/// First byte of the key of a sender's row, behind it the sender: which keys and incarnations are too old.
const SENDER: u8 = 0;
/// First byte of the key of a window, behind it sender, serial, incarnation and stream.
const STREAM: u8 = 1;

/// Words of a window's bits.
const WORDS: usize = 16;

/// What a window belongs to. All of it was under the signature of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamKey {
    /// Who sent the message.
    pub sender: MemberId,
    /// Serial of the certificate whose envelope key signed it.
    pub key_serial: u64,
    /// Incarnation of the sender.
    pub incarnation: u64,
    /// Which of the sender's streams.
    pub stream: u64,
}

impl StreamKey {
    fn row_key(&self) -> Vec<u8> {
        let mut key = sender_prefix(STREAM, self.sender);
        for part in [self.key_serial, self.incarnation, self.stream] {
            key.extend_from_slice(&part.to_be_bytes());
        }
        key
    }
}

/// Why a message of a stream is not taken. None of these changed the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Replay {
    /// Counters begin at 1.
    #[error("a counter of 0 is invalid")]
    Zero,
    /// This counter was accepted before.
    #[error("the counter was used before")]
    Seen,
    /// So far below the highest counter that nobody knows any more whether it was accepted.
    #[error("the counter is {WINDOW} or more below the highest one")]
    Behind,
    /// A later incarnation of the sender was heard under this key.
    #[error("a later incarnation of the sender was heard")]
    OldIncarnation,
    /// The windows of this key were given up for those of newer keys.
    #[error("the windows of this key were given up for newer ones")]
    OldKey,
    /// The sender uses more streams than are remembered, and none is older than this one.
    #[error("more than {MAX_STREAMS_PER_SENDER} streams of one sender")]
    TooManyStreams,
}

/// Accepts `counter` on a stream, or says why not. If accepted, it is remembered once the transaction is durable.
///
/// The highest incarnation heard under a key is the only one that is accepted under it: a sender that counts anew takes a
/// higher one. So the windows of lower ones need not be kept. Only the sender itself, by its signature, can raise it.
///
/// # Errors
/// When the store fails or a row is malformed.
pub fn accept_stream(
    tx: &mut impl Transaction,
    key: &StreamKey,
    counter: u64,
) -> Result<Result<(), Replay>, StoreError> {
    if counter == 0 {
        return Ok(Err(Replay::Zero));
    }
    let sender = Sender::read(tx, key.sender)?;
    if let Err(replay) = sender.judge(key) {
        return Ok(Err(replay));
    }
    let row_key = key.row_key();
    let stored = tx.row(Table::Streams, &row_key)?;
    let mut window = match &stored {
        Some(bytes) => Window::read(bytes)?,
        None => Window::default(),
    };
    if let Err(replay) = window.insert(counter) {
        return Ok(Err(replay));
    }
    if stored.is_none()
        && let Err(replay) = make_room(tx, sender, key)?
    {
        return Ok(Err(replay));
    }
    tx.put_row(Table::Streams, &row_key, &window.to_bytes())?;
    Ok(Ok(()))
}

/// Notes the incarnation of a new stream, forgets the windows it replaces, and if that is not enough those of the lowest
/// keys, which are refused from then on.
fn make_room(
    tx: &mut impl Transaction,
    mut sender: Sender,
    key: &StreamKey,
) -> Result<Result<(), Replay>, StoreError> {
    let prefix = sender_prefix(STREAM, key.sender);
    let mut by_serial: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    let mut drop = Vec::new();
    let mut kept = 0;
    for (row, _) in tx.rows(Table::Streams, &prefix, MAX_STREAMS_PER_SENDER + 1)? {
        let Some(rest) = row.strip_prefix(prefix.as_slice()) else {
            break;
        };
        let (serial, incarnation) = match (rest.get(..8), rest.get(8..16), rest.len()) {
            (Some(serial), Some(incarnation), 24) => (
                number(serial, "serial")?,
                number(incarnation, "incarnation")?,
            ),
            _ => return Err(damaged("the key of a window")),
        };
        if serial == key.key_serial && incarnation < key.incarnation {
            drop.push(row);
        } else {
            kept += 1;
            by_serial.entry(serial).or_default().push(row);
        }
    }
    while kept >= MAX_STREAMS_PER_SENDER {
        match by_serial.pop_first() {
            Some((serial, rows)) if serial < key.key_serial => {
                kept -= rows.len();
                drop.extend(rows);
                // Not above the serial of this message, so it cannot overflow.
                sender.lowest_serial = sender.lowest_serial.max(serial.saturating_add(1));
            }
            _ => return Ok(Err(Replay::TooManyStreams)),
        }
    }
    for row in drop {
        tx.remove_row(Table::Streams, &row)?;
    }
    let lowest = sender.lowest_serial;
    sender.incarnations.retain(|serial, _| *serial >= lowest);
    sender.incarnations.insert(key.key_serial, key.incarnation);
    tx.put_row(
        Table::Streams,
        &sender_prefix(SENDER, key.sender),
        &sender.to_bytes(),
    )?;
    Ok(Ok(()))
}

fn sender_prefix(kind: u8, sender: MemberId) -> Vec<u8> {
    let mut key = Vec::with_capacity(57);
    key.push(kind);
    key.extend_from_slice(&sender.0.0);
    key
}

/// What is known of a sender beside its windows. Every serial here has a window, so there are no more than windows.
#[derive(Debug, Default)]
struct Sender {
    /// Keys with a lower serial are refused.
    lowest_serial: u64,
    /// The highest incarnation heard under each serial.
    incarnations: BTreeMap<u64, u64>,
}

impl Sender {
    fn read(tx: &impl Transaction, sender: MemberId) -> Result<Self, StoreError> {
        let Some(bytes) = tx.row(Table::Streams, &sender_prefix(SENDER, sender))? else {
            return Ok(Self::default());
        };
        let (numbers, []) = bytes.as_chunks::<8>() else {
            return Err(damaged("the row of a sender"));
        };
        let [lowest, pairs @ ..] = numbers else {
            return Err(damaged("the row of a sender"));
        };
        let (pairs, []) = pairs.as_chunks::<2>() else {
            return Err(damaged("the row of a sender"));
        };
        Ok(Self {
            lowest_serial: u64::from_be_bytes(*lowest),
            incarnations: pairs
                .iter()
                .map(|[serial, highest]| {
                    (u64::from_be_bytes(*serial), u64::from_be_bytes(*highest))
                })
                .collect(),
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.lowest_serial.to_be_bytes().to_vec();
        for (serial, highest) in &self.incarnations {
            bytes.extend_from_slice(&serial.to_be_bytes());
            bytes.extend_from_slice(&highest.to_be_bytes());
        }
        bytes
    }

    fn judge(&self, key: &StreamKey) -> Result<(), Replay> {
        if key.key_serial < self.lowest_serial {
            return Err(Replay::OldKey);
        }
        match self.incarnations.get(&key.key_serial) {
            Some(highest) if key.incarnation < *highest => Err(Replay::OldIncarnation),
            _ => Ok(()),
        }
    }
}

/// The highest counter, and a ring of bits: bit `c mod 1024` says whether `c` came, for the last 1,024 counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// 0: none came yet.
    high: u64,
    bits: [u64; WORDS],
}

impl Window {
    fn place(counter: u64) -> (usize, u64) {
        let bit = counter % WINDOW;
        // Below 16, so the lowest byte is all of it.
        let [word, ..] = (bit / 64).to_le_bytes();
        (usize::from(word), 1 << (bit % 64))
    }

    /// Takes a counter that is not 0. A refusal changes nothing.
    pub(super) fn insert(&mut self, counter: u64) -> Result<(), Replay> {
        let (word, mask) = Self::place(counter);
        match counter.checked_sub(self.high) {
            None | Some(0) => {
                // Not below 0: here the counter is at most the highest.
                if self.high.saturating_sub(counter) >= WINDOW {
                    return Err(Replay::Behind);
                }
                if self.bits[word] & mask != 0 {
                    return Err(Replay::Seen);
                }
            }
            Some(ahead) if ahead >= WINDOW => {
                self.bits = [0; WORDS];
                self.high = counter;
            }
            Some(_) => {
                // The places of the skipped counters still speak of those 1,024 earlier.
                for skipped in self.high..=counter {
                    if skipped != self.high {
                        let (word, mask) = Self::place(skipped);
                        self.bits[word] &= !mask;
                    }
                }
                self.high = counter;
            }
        }
        self.bits[word] |= mask;
        Ok(())
    }

    /// 136 bytes: the highest counter, then 16 words of bits, all big-endian.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.high.to_be_bytes().to_vec();
        for word in self.bits {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let what = "a window";
        let (numbers, []) = bytes.as_chunks::<8>() else {
            return Err(damaged(what));
        };
        let [high, bits @ ..] = numbers else {
            return Err(damaged(what));
        };
        let bits: &[[u8; 8]; WORDS] = bits.try_into().map_err(|_| damaged(what))?;
        let window = Self {
            high: u64::from_be_bytes(*high),
            bits: bits.map(u64::from_be_bytes),
        };
        // The highest counter always came.
        let (word, mask) = Self::place(window.high);
        if window.high == 0 || window.bits[word] & mask == 0 {
            return Err(damaged(what));
        }
        Ok(window)
    }
}
