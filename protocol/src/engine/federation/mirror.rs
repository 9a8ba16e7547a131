//! What a tower durably knows of one origin (R1, R3, R4): entries held, the mark, what it promised and acknowledged.
//! A record and its rows; the rules that change it are in [`super::tower`] and [`super::acks`].

use crate::engine::ledger::start::Incarnation;
use crate::engine::store::{Place, StoreError, Table, Transaction};
use crate::tlog::compact::CompactRange;
use crate::tlog::hash::Hash;
use crate::wire::codec::{self, Bytes, Decode, Encode, List};
use crate::wire::v1::{MAX_EVIDENCE_BYTES, MAX_NOTE_BYTES, Tail};

/// State of one mirrored ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where its rows are.
    pub place: Place,
    /// Entries below are in files.
    pub flushed: u64,
    /// Edge at the last entry that a verified digest covers: nothing below it is ever given up.
    pub base: CompactRange,
    /// Edge at the end of the unsigned tail.
    pub end: CompactRange,
    /// Bytes of the entries beyond the base, or more: a moving base does not lower it.
    pub tail_bytes: u64,
    /// Incarnation that the tail is held under.
    pub tail: Incarnation,
    /// Lower incarnations are refused.
    pub promised: Incarnation,
    /// The factory's own message that raised the promise.
    pub promised_by: Vec<u8>,
    /// The factory's prepare for exactly the tail; empty if there is none.
    pub prepared_by: Vec<u8>,
    /// The newest digest seen, whether its entries are held or not: size and note. Never goes back.
    pub seen: Option<(u64, String)>,
    /// The newest digest of which all entries are held, while a newer one was seen.
    pub verified: Option<(u64, String)>,
    /// The newest ack given.
    pub acked: Option<Ack>,
    /// Whether the seen digest contradicts what is held: no acks then (R5).
    pub conflict: bool,
    /// How far a restored tower is with this ledger (R3).
    pub restore: MirrorRestore,
}

/// How far a restored tower is with one ledger (R3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum MirrorRestore {
    /// Nothing to do, or all done.
    Done,
    /// It takes no prepare and promises nothing until it knows what the other towers know.
    CatchingUp,
    /// Its first ack is of a digest that enough other towers acked.
    FirstAck,
}

/// An ack that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Size of the digest.
    pub size: u64,
    /// Time in it, seconds since 1970; never goes back for one key (R4).
    pub time_seconds: u64,
    /// The digest with this tower's lines.
    pub note: String,
}

/// What is behind the 20 bytes that the node's flusher reads: place, entries under a digest, entries in files.
#[derive(Encode, Decode)]
struct Row {
    end_size: u64,
    tail_bytes: u64,
    base: List<Hash, 64>,
    end: List<Hash, 64>,
    tail: (u64, [u8; 16]),
    promised: (u64, [u8; 16]),
    promised_by: Bytes<MAX_EVIDENCE_BYTES>,
    prepared_by: Bytes<MAX_EVIDENCE_BYTES>,
    seen_size: u64,
    seen: Bytes<MAX_NOTE_BYTES>,
    verified_size: u64,
    verified: Bytes<MAX_NOTE_BYTES>,
    acked: (u64, u64),
    acked_note: Bytes<MAX_NOTE_BYTES>,
    conflict: bool,
    restore: MirrorRestore,
}

impl Mirror {
    /// The row of a ledger as it is stored.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn row(tx: &impl Transaction, origin: &str) -> Result<Option<Vec<u8>>, StoreError> {
        tx.row(Table::Mirror, origin.as_bytes())
    }

    /// Nothing held yet.
    #[must_use]
    pub fn empty(place: Place) -> Self {
        let none = Incarnation {
            number: 0,
            instance: [0; 16],
        };
        Self {
            place,
            flushed: 0,
            base: CompactRange::default(),
            end: CompactRange::default(),
            tail_bytes: 0,
            tail: none,
            promised: none,
            promised_by: Vec::new(),
            prepared_by: Vec::new(),
            seen: None,
            verified: None,
            acked: None,
            conflict: false,
            restore: MirrorRestore::Done,
        }
    }

    /// Whether it looks like that of a log that was never a member: nothing of it came from members.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.seen.is_none()
            && self.promised_by.is_empty()
            && self.prepared_by.is_empty()
            && self.restore == MirrorRestore::Done
    }

    /// Size of the newest digest seen.
    #[must_use]
    pub fn seen_size(&self) -> u64 {
        self.seen.as_ref().map_or(0, |(size, _)| *size)
    }

    /// What it holds beyond the newest digest, with the factory's prepare for exactly that; `None` without one.
    #[must_use]
    pub fn unsigned_tail(&self) -> Option<Tail> {
        if self.end.end() <= self.seen_size() || self.prepared_by.is_empty() {
            return None;
        }
        Some(Tail {
            size: self.end.end(),
            root: self.end.root(),
            incarnation: self.tail.number,
            prepare: Bytes::new(self.prepared_by.clone())?,
        })
    }

    /// Reads the record of an origin.
    ///
    /// # Errors
    /// When the store fails or the record is damaged.
    pub fn load(tx: &impl Transaction, origin: &str) -> Result<Option<Self>, StoreError> {
        let row = Self::row(tx, origin)?;
        row.map(|row| Self::of_row(origin, &row)).transpose()
    }

    /// Reads the record of an origin out of its row.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn of_row(origin: &str, row: &[u8]) -> Result<Self, StoreError> {
        Self::decode(row)
            .ok_or_else(|| StoreError::Damaged(format!("the mirror record of {origin}")))
    }

    /// The newest digest whose entries are all held: size and note.
    #[must_use]
    pub fn held_digest(&self) -> Option<(u64, &str)> {
        self.newest_of(self.seen.as_ref())
    }

    /// The same of those that do not contradict what is held: the digest that entries can be handed out under.
    #[must_use]
    pub fn exportable(&self) -> Option<(u64, &str)> {
        self.newest_of(self.seen.as_ref().filter(|_| !self.conflict))
    }

    fn newest_of<'a>(&'a self, seen: Option<&'a (u64, String)>) -> Option<(u64, &'a str)> {
        let digests = [seen, self.verified.as_ref()];
        let digests = digests.map(|one| one.map(|(size, note)| (*size, note.as_str())));
        let acked = self.acked.as_ref().map(|ack| (ack.size, ack.note.as_str()));
        let all = digests.into_iter().chain([acked]).flatten();
        all.filter(|(size, _)| *size <= self.base.end())
            .max_by_key(|(size, _)| *size)
    }

    /// As [`Mirror::load`]; a new one at the next free place if there is none.
    ///
    /// # Errors
    /// As [`Mirror::load`].
    pub fn load_or_new(tx: &impl Transaction, origin: &str) -> Result<Self, StoreError> {
        if let Some(known) = Self::load(tx, origin)? {
            return Ok(known);
        }
        let taken = Self::all(tx)?.into_iter().map(|(_, mirror)| mirror.place.0);
        Ok(Self::empty(Place(taken.max().unwrap_or(0) + 1)))
    }

    /// All mirrored ledgers by name.
    ///
    /// # Errors
    /// As [`Mirror::load`].
    pub fn all(tx: &impl Transaction) -> Result<Vec<(String, Self)>, StoreError> {
        // Marks are kept for ever, also of members that left: more than a federation's size, and still few.
        tx.rows(Table::Mirror, &[], usize::from(u16::MAX))?
            .into_iter()
            .map(|(key, value)| {
                let name = String::from_utf8_lossy(&key).into_owned();
                let damaged = || StoreError::Damaged(format!("the mirror record of {name}"));
                let mirror = Self::decode(&value).ok_or_else(damaged)?;
                Ok((name, mirror))
            })
            .collect()
    }

    /// Counts the bytes of the entries beyond the base.
    ///
    /// # Errors
    /// When the store fails.
    pub fn count_tail_bytes(&self, tx: &impl Transaction) -> Result<u64, StoreError> {
        let runs = tx.tail(self.place, self.base.end(), self.end.end())?;
        Ok(runs.iter().map(|run| run.bundle.len() as u64).sum())
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the store fails.
    pub fn store(&self, tx: &mut impl Transaction, origin: &str) -> Result<(), StoreError> {
        let bytes = self.encode().ok_or_else(|| {
            StoreError::Damaged(format!("the mirror of {origin} outgrew its record"))
        })?;
        tx.put_row(Table::Mirror, origin.as_bytes(), &bytes)
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let hashes =
            |edge: &CompactRange| List::new(edge.nodes().iter().map(|node| node.hash).collect());
        let (seen_size, seen) = self.seen.clone().unwrap_or_default();
        let (verified_size, verified) = self.verified.clone().unwrap_or_default();
        let acked = self.acked.as_ref();
        let row = Row {
            end_size: self.end.end(),
            tail_bytes: self.tail_bytes,
            base: hashes(&self.base)?,
            end: hashes(&self.end)?,
            tail: (self.tail.number, self.tail.instance),
            promised: (self.promised.number, self.promised.instance),
            promised_by: Bytes::new(self.promised_by.clone())?,
            prepared_by: Bytes::new(self.prepared_by.clone())?,
            seen_size,
            seen: Bytes::new(seen.into_bytes())?,
            verified_size,
            verified: Bytes::new(verified.into_bytes())?,
            acked: acked.map_or((0, 0), |ack| (ack.size, ack.time_seconds)),
            acked_note: Bytes::new(acked.map_or(Vec::new(), |ack| ack.note.clone().into_bytes()))?,
            conflict: self.conflict,
            restore: self.restore,
        };
        let mut out = self.place.0.to_be_bytes().to_vec();
        out.extend_from_slice(&self.base.end().to_be_bytes());
        out.extend_from_slice(&self.flushed.to_be_bytes());
        out.extend_from_slice(&codec::encode(&row));
        Some(out)
    }

    /// Reads a record; `None` if it is damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (place, rest) = bytes.split_first_chunk::<4>()?;
        let (base, rest) = rest.split_first_chunk::<8>()?;
        let (flushed, rest) = rest.split_first_chunk::<8>()?;
        let row: Row = codec::decode(rest).ok()?;
        let text = |bytes: Bytes<MAX_NOTE_BYTES>| String::from_utf8(bytes.into_inner()).ok();
        let incarnation = |(number, instance)| Incarnation { number, instance };
        let (seen, acked) = (text(row.seen)?, text(row.acked_note)?);
        let verified = text(row.verified)?;
        let edge = |size: u64, hashes: List<Hash, 64>| {
            CompactRange::from_hashes(0, size, hashes.as_slice())
        };
        Some(Self {
            place: Place(u32::from_be_bytes(*place)),
            flushed: u64::from_be_bytes(*flushed),
            base: edge(u64::from_be_bytes(*base), row.base)?,
            end: edge(row.end_size, row.end)?,
            tail_bytes: row.tail_bytes,
            tail: incarnation(row.tail),
            promised: incarnation(row.promised),
            promised_by: row.promised_by.into_inner(),
            prepared_by: row.prepared_by.into_inner(),
            seen: (!seen.is_empty()).then_some((row.seen_size, seen)),
            verified: (!verified.is_empty()).then_some((row.verified_size, verified)),
            acked: (!acked.is_empty()).then_some(Ack {
                size: row.acked.0,
                time_seconds: row.acked.1,
                note: acked,
            }),
            conflict: row.conflict,
            restore: row.restore,
        })
    }
}
