//! Windows (R13): what this node saw by itself enters its ledger only through one `window` entry each hour: roots and
//! counts over the acks given and received, clocks, replays and errors. Only the timer causes it, never an ack, a digest or
//! a probe. Acks wait in rows until then, so a crash loses none; the verbatim notes are in a file before the entry is.

use super::io::Free;
use super::{Stop, Turn};
use crate::clock::Interval;
use crate::engine::store::{Record, StoreError, Table, Transaction};
use crate::entry::json::Json;
use crate::entry::time::TimeUs;
use crate::tlog::hash::Hash;
use crate::window::{Attachment, MAX_ACKS, MAX_SIDE_BYTES};
use std::collections::BTreeMap;

/// How long to wait for the file before the window is closed anew, in microseconds.
const AGAIN_US: u64 = 60_000_000;
/// Rows that are read at once.
const READ_AT_ONCE: usize = 1_024;
/// Layout of the record.
const LAYOUT: u8 = 1;

/// Which acks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Given = 0,
    Received = 1,
}

/// Rows of one side: those from `first` on, below `next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rows {
    first: u64,
    next: u64,
    bytes: u64,
    /// Acks of this window that found no room, and are only counted.
    left_out: u64,
}

/// What is durable of the open window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    began_us: i64,
    sides: [Rows; 2],
}

impl Open {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![LAYOUT];
        bytes.extend_from_slice(&self.began_us.to_be_bytes());
        for side in &self.sides {
            for number in [side.first, side.next, side.bytes, side.left_out] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&layout, rest) = bytes.split_first()?;
        let (numbers, rest) = rest.as_chunks::<8>();
        if layout != LAYOUT || !rest.is_empty() || numbers.len() != 9 {
            return None;
        }
        let number = |at: usize| u64::from_be_bytes(numbers[at]);
        let side = |from: usize| Rows {
            first: number(from),
            next: number(from + 1),
            bytes: number(from + 2),
            left_out: number(from + 3),
        };
        Some(Self {
            began_us: number(0).cast_signed(),
            sides: [side(1), side(5)],
        })
    }

    fn load(tx: &impl Transaction) -> Result<Option<Self>, StoreError> {
        let damaged = || StoreError::Damaged("the record of the open window".to_owned());
        let record = tx.record(Record::Window)?;
        record
            .map(|bytes| Self::decode(&bytes).ok_or_else(damaged))
            .transpose()
    }

    fn store(&self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        tx.put_record(Record::Window, &self.encode())
    }
}

fn key(side: Side, number: u64) -> Vec<u8> {
    let mut key = vec![side as u8];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// A window whose entry waits for its file.
struct Closing {
    hash: Hash,
    body: Json,
    ended_us: i64,
    /// As it was closed.
    sides: [Rows; 2],
    at_us: u64,
    counted: Counted,
}

/// Counters since the start, by name.
type Counted = BTreeMap<String, u64>;

/// What is on its way.
#[derive(Default)]
pub(super) struct Windows {
    /// When the open window is to be closed, by the clock that never steps.
    due_us: Option<u64>,
    closing: Option<Closing>,
    /// Counters when the last window was closed, and when that was.
    counted: Counted,
    counted_since_us: Option<i64>,
}

impl Windows {
    /// When the open window is to be closed; `None` before the first step.
    pub(super) fn due_us(&self) -> Option<u64> {
        self.due_us
    }

    /// Until when the file of a window that was closed is waited for.
    pub(super) fn waits_until_us(&self) -> Option<u64> {
        let closing = self.closing.as_ref();
        closing.map(|closing| closing.at_us.saturating_add(AGAIN_US))
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Remembers an ack until the window is closed. At most so many fit a window: beyond, the newest stay.
    pub(super) fn keep_ack(&mut self, side: Side, note: &str) -> Result<(), StoreError> {
        if self.settings.window_us.is_none() {
            return Ok(());
        }
        let mut open = self.open_window()?;
        let rows = &mut open.sides[side as usize];
        self.own
            .tx
            .put_row(Table::Window, &key(side, rows.next), note.as_bytes())?;
        rows.next += 1;
        rows.bytes += note.len() as u64;
        while rows.next - rows.first > MAX_ACKS || rows.bytes > MAX_SIDE_BYTES {
            let oldest = key(side, rows.first);
            let length = self
                .own
                .tx
                .row(Table::Window, &oldest)?
                .map_or(0, |row| row.len());
            self.own.tx.remove_row(Table::Window, &oldest)?;
            rows.first += 1;
            rows.bytes = rows.bytes.saturating_sub(length as u64);
            rows.left_out += 1;
        }
        open.store(self.own.tx)
    }

    fn open_window(&mut self) -> Result<Open, StoreError> {
        if let Some(open) = Open::load(self.own.tx)? {
            return Ok(open);
        }
        let open = Open {
            began_us: self.own.now.wall.micros(),
            sides: [Rows::default(); 2],
        };
        open.store(self.own.tx)?;
        Ok(open)
    }

    /// Closes the window when its time has come and the ledger takes entries.
    pub(super) fn close_window(&mut self) -> Result<(), StoreError> {
        let Some(window_us) = self.settings.window_us else {
            return Ok(());
        };
        let now = self.now_us();
        let Some(due_us) = self.v.windows.due_us else {
            // After a start the rest of the window that was open is waited for; a clock that went back begins it anew.
            let began_us = self.open_window()?.began_us;
            let passed = self.own.now.wall.micros().saturating_sub(began_us);
            let left = window_us.saturating_sub(u64::try_from(passed).unwrap_or(0));
            self.v.windows.due_us = Some(now.saturating_add(left));
            return Ok(());
        };
        let waits = self.v.windows.waits_until_us();
        let waits = waits.is_some_and(|until_us| now < until_us);
        if now < due_us || waits || !self.may_append() || self.own.is_retired() {
            return Ok(());
        }
        let closing = self.make_entry()?;
        if closing.1.is_empty() {
            self.v.windows.closing = Some(closing.0);
            self.append_window()?;
            return self.own.write_entries();
        }
        let (hash, bytes) = (closing.0.hash, closing.1);
        self.v.windows.closing = Some(closing.0);
        self.out.free(Free::KeepWindow { hash, bytes });
        Ok(())
    }

    /// The file with that hash is durable: its entry may follow.
    pub(super) fn window_kept(&mut self, hash: Hash) -> Result<(), Stop> {
        let closing = self.v.windows.closing.as_ref();
        if closing.is_some_and(|closing| closing.hash == hash) {
            self.append_window()?;
        }
        Ok(())
    }

    fn append_window(&mut self) -> Result<(), StoreError> {
        let Some(closing) = self.v.windows.closing.take() else {
            return Ok(());
        };
        if !self.may_append() || self.own.is_retired() {
            return Ok(());
        }
        self.own.append_own(self.ledger, "window", closing.body)?;
        let mut open = self.open_window()?;
        open.began_us = closing.ended_us;
        for side in [Side::Given, Side::Received] {
            let (rows, closed) = (&mut open.sides[side as usize], closing.sides[side as usize]);
            // What came since the window was closed belongs to the next one.
            for number in rows.first..closed.next {
                self.own.tx.remove_row(Table::Window, &key(side, number))?;
            }
            rows.left_out = rows.left_out.saturating_sub(closed.left_out);
            rows.first = rows.first.max(closed.next);
            rows.bytes = rows.bytes.saturating_sub(closed.bytes);
        }
        open.store(self.own.tx)?;
        let window_us = self.settings.window_us.unwrap_or(u64::MAX);
        let windows = &mut self.v.windows;
        windows.due_us = Some(self.own.now.mono_us.saturating_add(window_us));
        windows.counted = closing.counted;
        windows.counted_since_us = Some(closing.ended_us);
        Ok(())
    }

    /// The entry, and the file that it needs first; an empty file is none.
    fn make_entry(&mut self) -> Result<(Closing, Vec<u8>), StoreError> {
        let open = self.open_window()?;
        let attachment = Attachment {
            given: self.acks(Side::Given, open.sides[0])?,
            received: self.acks(Side::Received, open.sides[1])?,
        };
        let too_much = |error: crate::window::WindowError| StoreError::Damaged(error.to_string());
        let (given, received) = attachment.roots().map_err(too_much)?;
        let bytes = attachment.encode();
        let hash = Attachment::hash(&bytes);
        let now = self.own.now;
        let ended_us = now.wall.micros();
        let time =
            |micros: i64| Json::text(TimeUs::from_micros(micros).unwrap_or_default().to_string());
        let side = |rows: Rows, notes: &[String], root: Hash| {
            Json::object([
                ("count", Json::whole(notes.len() as u64 + rows.left_out)),
                ("left_out", Json::whole(rows.left_out)),
                ("root", Json::text(root.to_hex())),
            ])
        };
        let counted = self.counted();
        let since_us = match self.v.windows.counted_since_us {
            Some(since_us) => since_us,
            // Counters are volatile: those of an earlier start are gone.
            None => ended_us.saturating_sub(i64::try_from(now.mono_us).unwrap_or(i64::MAX)),
        };
        let mut pairs = vec![
            ("acks_given", side(open.sides[0], &attachment.given, given)),
            (
                "acks_received",
                side(open.sides[1], &attachment.received, received),
            ),
            ("began", time(open.began_us)),
            ("clock", self.clock_body()),
            ("counted_since", time(since_us.min(ended_us))),
            ("ended", time(ended_us)),
            ("errors", self.since_last(&counted, "errors ")),
            ("incarnation", Json::whole(self.settings.incarnation.number)),
            ("observed_by", Json::text(self.ledger.origin())),
            ("replays", self.since_last(&counted, "replays ")),
        ];
        if !attachment.is_empty() {
            pairs.push(("attachment", Json::text(hash.to_hex())));
        }
        let closing = Closing {
            hash,
            body: Json::object(pairs),
            ended_us,
            sides: open.sides,
            at_us: now.mono_us,
            counted,
        };
        Ok((closing, bytes))
    }

    fn acks(&self, side: Side, rows: Rows) -> Result<Vec<String>, StoreError> {
        let mut notes = Vec::new();
        let mut from = key(side, rows.first);
        let end = key(side, rows.next);
        while from < end {
            let read = self.own.tx.rows(Table::Window, &from, READ_AT_ONCE)?;
            let whole = read.len() == READ_AT_ONCE;
            for (at, note) in read {
                if at >= end {
                    return Ok(notes);
                }
                let text = String::from_utf8(note);
                notes.push(text.map_err(|_| StoreError::Damaged("a kept ack".to_owned()))?);
                // The next key: keys have one length.
                from = [at.as_slice(), &[0]].concat();
            }
            if !whole {
                break;
            }
        }
        Ok(notes)
    }

    /// All counters now.
    fn counted(&self) -> Counted {
        let errors = self.v.refused.all().into_iter();
        let errors = errors.map(|(why, count)| (format!("errors {why}"), count));
        let replays = self.v.nonces.by_outcome().into_iter();
        let replays =
            replays.map(|(kind, outcome, count)| (format!("replays {kind} {outcome}"), count));
        errors.chain(replays).collect()
    }

    /// By how much counters grew since the last window; those that did not are left out.
    fn since_last(&self, counted: &Counted, begins: &str) -> Json {
        let grown = counted.iter().filter_map(|(name, count)| {
            let before = self.v.windows.counted.get(name).copied().unwrap_or(0);
            let grown = count.saturating_sub(before);
            let name = name.strip_prefix(begins)?;
            (grown > 0).then(|| (name.to_owned(), Json::whole(grown)))
        });
        // In the order of their bytes, which is the canonical one for ASCII.
        Json::Object(grown.collect())
    }

    fn clock_body(&self) -> Json {
        let clock = self.v.clock.status(self.settings);
        let ends = |interval: Option<Interval>| {
            interval.into_iter().flat_map(|one| {
                [
                    ("hi_us", whole_signed(one.hi_us)),
                    ("lo_us", whole_signed(one.lo_us)),
                ]
            })
        };
        let peers = clock.peers.iter().map(|peer| {
            let known = [
                ("n", Json::whole(peer.samples as u64)),
                ("name", Json::text(&peer.name)),
                ("steps", Json::whole(peer.steps)),
                ("verdict", Json::text(peer.verdict.name())),
            ];
            let rtt = peer.min_rtt_us.map(|rtt| ("min_rtt_us", Json::whole(rtt)));
            Json::object(known.into_iter().chain(rtt).chain(ends(peer.offset)))
        });
        let known = [
            ("bound_us", Json::whole(clock.bound_us)),
            ("peers", Json::Array(peers.collect())),
            ("verdict", Json::text(clock.verdict.name())),
            ("wall_steps", Json::whole(self.v.clock.steps)),
        ];
        Json::object(known.into_iter().chain(ends(clock.own)))
    }
}

/// A whole number that may be negative.
fn whole_signed(number: i64) -> Json {
    match Json::whole(number.unsigned_abs()) {
        Json::Number(absolute) if number < 0 => Json::Number(-absolute),
        Json::String(digits) if number < 0 => Json::String(format!("-{digits}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_record_reads_as_it_was_written(began_us: i64, numbers: [u64; 8]) {
            let rows = |at: usize| Rows { first: numbers[at], next: numbers[at + 1], bytes: numbers[at + 2], left_out: numbers[at + 3] };
            let open = Open { began_us, sides: [rows(0), rows(4)] };
            let bytes = open.encode();
            prop_assert_eq!(Open::decode(&bytes), Some(open));
            prop_assert_eq!(Open::decode(&bytes[1..]), None);
        }
    }

    #[test]
    fn negative_numbers_stay_whole() {
        let shown = |number| String::from_utf8(whole_signed(number).to_canonical()).unwrap();
        assert_eq!(shown(-3_600_000_000), "-3600000000");
        assert_eq!((shown(0), shown(7)), ("0".to_owned(), "7".to_owned()));
        assert_eq!(shown(i64::MIN), "\"-9223372036854775808\"");
    }
}
