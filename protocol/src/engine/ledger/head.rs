//! The ledger's right edge as one durable record: everything a step needs to go on, about 8 KiB at most.
//! May not be trusted against a signed digest: start-up compares the two (R3).

use crate::engine::store::{Record, StoreError, Transaction};
use crate::entry::time::TimeUs;
use crate::tlog::compact::CompactRange;
use crate::tlog::hash::Hash;

/// Layout version of the record.
const LAYOUT: u8 = 1;

/// State of the ledger between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Head {
    /// Right edge of the whole tree; its end is the ledger's size.
    pub edge: CompactRange,
    /// What was sequenced today, for the day digest (R12).
    pub today: CompactRange,
    /// The day of `today`, days since 1970; `None` before the first entry.
    pub day: Option<i64>,
    /// Newest time the ledger's clock showed; it never runs backwards.
    pub clock: TimeUs,
    /// Entries below this index are in files.
    pub flushed: u64,
    /// Size of the newest signed digest, if any.
    pub signed: Option<u64>,
}

impl Head {
    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.end()
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Reads the record; a fresh ledger has none.
    ///
    /// # Errors
    /// When the store fails or the record is damaged.
    pub fn load(tx: &impl Transaction) -> Result<Self, StoreError> {
        match tx.record(Record::Head)? {
            None => Ok(Self::default()),
            Some(bytes) => Self::decode(&bytes)
                .ok_or_else(|| StoreError::Damaged("the ledger's head record".to_owned())),
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the store fails.
    pub fn store(&self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        tx.put_record(Record::Head, &self.encode())
    }

    /// Fixed fields in big-endian order, then the hashes of both ranges, whose number follows from the fields.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![LAYOUT];
        for number in [
            self.size(),
            self.today.start(),
            self.flushed,
            self.signed.unwrap_or(u64::MAX),
        ] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for number in [self.day.unwrap_or(i64::MIN), self.clock.micros()] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for node in self.edge.nodes().iter().chain(self.today.nodes()) {
            out.extend_from_slice(node.hash.as_bytes());
        }
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (layout, rest) = bytes.split_first()?;
        let (fields, hashes) = rest.split_at_checked(48)?;
        let (hashes, odd) = hashes.as_chunks::<32>();
        if *layout != LAYOUT || !odd.is_empty() {
            return None;
        }
        let (fields, _) = fields.as_chunks::<8>();
        let number = |at: usize| fields.get(at).map(|field| u64::from_be_bytes(*field));
        let signed_number = |at: usize| fields.get(at).map(|field| i64::from_be_bytes(*field));
        let (size, today_start) = (number(0)?, number(1)?);
        let hashes: Vec<Hash> = hashes.iter().map(|hash| Hash(*hash)).collect();
        let edge_len = usize::try_from(size.count_ones()).ok()?;
        let (edge, today) = hashes.split_at_checked(edge_len)?;
        Some(Self {
            edge: CompactRange::from_hashes(0, size, edge)?,
            today: CompactRange::from_hashes(today_start, size, today)?,
            day: signed_number(4).filter(|day| *day != i64::MIN),
            clock: TimeUs::from_micros(signed_number(5)?)?,
            flushed: number(2).filter(|flushed| *flushed <= size)?,
            signed: number(3).filter(|signed| *signed != u64::MAX),
        })
    }
}
