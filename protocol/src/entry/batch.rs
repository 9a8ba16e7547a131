//! Finished entries on their way into the ledger: bytes in bundle form, leaf hashes, idempotency tags and sealed
//! payloads. Only [`super::press::Press`] and the engine's own system entries fill a batch.

use crate::tlog::bundle;
use crate::tlog::hash::{Hash, leaf_hash};

/// Idempotency as a leaf carries it: 16 bytes of id and 16 bytes of content tag, both keyed (R11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdemTag {
    /// Which request or line this is.
    pub id: [u8; 16],
    /// What it said: the same id with another tag is refused.
    pub content: [u8; 16],
    /// Whether it is remembered for ever (`--dedupe` sources) or for seven days (clients' keys).
    pub for_ever: bool,
}

/// A sealed private payload: useless without `key`, which lives apart and can be destroyed.
#[derive(Clone)]
pub struct SealedPayload {
    /// The commitment in the leaf.
    pub id: [u8; 32],
    /// Key of this payload alone.
    pub key: [u8; 32],
    /// Ciphertext of salt and payload.
    pub sealed: Vec<u8>,
}

/// A run of finished entries.
#[derive(Clone, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    leaves: Vec<Hash>,
    idem: Vec<(usize, IdemTag)>,
    payloads: Vec<(usize, SealedPayload)>,
}

impl Batch {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Bytes of all entries in bundle form, length prefixes included.
    #[must_use]
    pub fn bundle_len(&self) -> usize {
        self.bytes.len()
    }

    /// Leaf hashes, in order.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    /// Bundle bytes of the entries at positions `from..to`.
    #[must_use]
    pub fn bundle(&self, from: usize, to: usize) -> &[u8] {
        let start = |position: usize| {
            position
                .checked_sub(1)
                .map_or(0, |before| self.ends[before])
        };
        &self.bytes[start(from)..start(to)]
    }

    /// Entries that carry an idempotency tag, as (position, tag).
    #[must_use]
    pub fn idem(&self) -> &[(usize, IdemTag)] {
        &self.idem
    }

    /// Sealed payloads, as (position, payload).
    #[must_use]
    pub fn payloads(&self) -> &[(usize, SealedPayload)] {
        &self.payloads
    }

    /// Adds one finished entry; the caller checked its length.
    pub(crate) fn push(
        &mut self,
        entry: &[u8],
        idem: Option<IdemTag>,
        payload: Option<SealedPayload>,
    ) {
        let position = self.leaves.len();
        if bundle::push(&mut self.bytes, entry).is_err() {
            debug_assert!(false, "the press refuses entries over 65,535 bytes");
            return;
        }
        self.ends.push(self.bytes.len());
        self.leaves.push(leaf_hash(entry));
        self.idem.extend(idem.map(|tag| (position, tag)));
        self.payloads
            .extend(payload.map(|sealed| (position, sealed)));
    }

    /// The batch without the entries whose position `drop` names, in ascending order.
    #[must_use]
    pub(crate) fn without(&self, drop: &[usize]) -> Self {
        let mut kept = Self::default();
        let mut tags = self.idem.iter().peekable();
        let mut payloads = self.payloads.iter().peekable();
        let mut dropped = drop.iter().peekable();
        for position in 0..self.len() {
            let tag = tags.next_if(|(at, _)| *at == position).map(|(_, tag)| *tag);
            let payload = payloads
                .next_if(|(at, _)| *at == position)
                .map(|(_, payload)| payload.clone());
            if dropped.next_if(|at| **at == position).is_some() {
                continue;
            }
            let to = kept.leaves.len();
            kept.bytes
                .extend_from_slice(self.bundle(position, position + 1));
            kept.ends.push(kept.bytes.len());
            kept.leaves.push(self.leaves[position]);
            kept.idem.extend(tag.map(|tag| (to, tag)));
            kept.payloads.extend(payload.map(|payload| (to, payload)));
        }
        kept
    }
}
