//! A node's own signing keys by serial (R6): which log key signs a digest of some size, which serials cosign. May not
//! make keys or judge other nodes' certificates.

use crate::note::{SignedNote, SigningKey, VerifierKey};

/// How long the serial before the newest goes on signing, in seconds.
pub const OVERLAP_SECONDS: u64 = 14 * 86_400;

/// The log keys of a node, each with the smallest size of a digest that it signs.
#[derive(Clone)]
pub struct LogKeys(Vec<(u64, SigningKey)>);

impl LogKeys {
    /// Keys by their from-size, oldest serial first. `None` without any.
    #[must_use]
    pub fn new(keys: Vec<(u64, SigningKey)>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The key for a digest of `size`: with equal from-sizes the later serial has it.
    #[must_use]
    pub fn for_size(&self, size: u64) -> Option<&SigningKey> {
        let of_size = |(from, _): &&(u64, SigningKey)| *from <= size;
        self.0.iter().rev().find(of_size).map(|(_, key)| key)
    }

    /// As [`LogKeys::for_size`], to verify with.
    #[must_use]
    pub fn verifier_for(&self, size: u64) -> Option<&VerifierKey> {
        self.for_size(size).map(SigningKey::verifier)
    }
}

impl From<SigningKey> for LogKeys {
    fn from(key: SigningKey) -> Self {
        Self(vec![(0, key)])
    }
}

/// The keys of one serial that sign messages and cosignatures.
#[derive(Clone)]
pub struct Serial {
    /// Its number.
    pub number: u64,
    /// Since when it is valid, in seconds since 1970.
    pub not_before_seconds: u64,
    /// Key of envelopes.
    pub envelope: SigningKey,
    /// Key of acks.
    pub ack: SigningKey,
    /// Key of mirror lines.
    pub mirror: SigningKey,
}

/// All keys of a node that are here.
#[derive(Clone)]
pub struct OwnKeys {
    /// The node's certificates, oldest first.
    pub certificates: Vec<SignedNote>,
    /// Log keys.
    pub log: LogKeys,
    /// The newest serial.
    pub newest: Serial,
    /// The serial before it, if its seed is still here.
    pub before: Option<Serial>,
}

impl OwnKeys {
    /// The serials that cosign at `now_seconds`: the newest, and in the overlap the one before it; never one below
    /// `lowest`, because the disk that remembers what it acked may be gone (R3).
    pub fn cosigners(&self, now_seconds: u64, lowest: u64) -> impl Iterator<Item = &Serial> {
        let overlap = self
            .newest
            .not_before_seconds
            .saturating_add(OVERLAP_SECONDS);
        let before = self.before.iter().filter(move |_| now_seconds < overlap);
        std::iter::once(&self.newest)
            .chain(before)
            .filter(move |serial| serial.number >= lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::ed25519("node.example", [byte; 32]).unwrap()
    }

    fn serial(number: u64, not_before_seconds: u64) -> Serial {
        let byte = u8::try_from(number).unwrap();
        Serial {
            number,
            not_before_seconds,
            envelope: key(byte),
            ack: SigningKey::cosigner("node.example", [byte + 10; 32]).unwrap(),
            mirror: SigningKey::cosigner("node.example/mirror", [byte + 20; 32]).unwrap(),
        }
    }

    #[test]
    fn a_size_has_the_key_whose_range_holds_it() {
        let keys = LogKeys::new(vec![(0, key(1)), (100, key(2)), (100, key(3))]).unwrap();
        let of = |size| keys.verifier_for(size).cloned();
        assert_eq!(of(0), Some(key(1).verifier().clone()));
        assert_eq!(of(99), Some(key(1).verifier().clone()));
        assert_eq!(of(100), Some(key(3).verifier().clone()));
        let late = LogKeys::new(vec![(5, key(1))]).unwrap();
        assert!(late.for_size(4).is_none());
    }

    #[test]
    fn two_serials_cosign_in_the_overlap_and_a_lost_disk_ends_it() {
        let keys = OwnKeys {
            certificates: Vec::new(),
            log: key(1).into(),
            newest: serial(2, 1_000),
            before: Some(serial(1, 0)),
        };
        let at = |now, lowest| -> Vec<u64> {
            keys.cosigners(now, lowest).map(|one| one.number).collect()
        };
        assert_eq!(at(1_000, 0), [2, 1]);
        assert_eq!(at(1_000 + OVERLAP_SECONDS - 1, 1), [2, 1]);
        assert_eq!(at(1_000 + OVERLAP_SECONDS, 1), [2]);
        assert_eq!(at(1_000, 2), [2]);
        assert!(at(1_000, 3).is_empty());
    }
}
