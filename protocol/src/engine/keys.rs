//! A node's own signing keys by serial (R6): which log key signs a digest of some size, which serials cosign. May not
//! make keys or judge other nodes' certificates.

use crate::note::{SignedNote, SigningKey, VerifierKey};

/// How long the serial before the newest goes on signing, in seconds.
pub const OVERLAP_SECONDS: u64 = 14 * 86_400;

/// How long messages are still signed by the serial before, in seconds: members that are connected hear of a new certificate
/// at once, and a message that outruns it would be refused and sent again only later.
const HEARD_SECONDS: u64 = 3;

/// Entries between the size at which new keys are made and the first size that the new log key signs, with it: the next entry
/// is the certificate, and the digest that ends with that entry is still the older key's, so that whoever has that key
/// finds the new one in the ledger.
const AHEAD: u64 = 2;

/// The log keys of a node, each with the smallest size of a digest that it signs.
#[derive(Clone)]
pub struct LogKeys {
    keys: Vec<(u64, SigningKey)>,
    /// First second since 1970 in which the newest certificate is not valid any more.
    ends_seconds: u64,
    /// Until when the serial before the newest signs beside it, in seconds since 1970.
    both_until_seconds: u64,
}

impl LogKeys {
    /// Keys by their from-size, oldest serial first. `None` without any.
    #[must_use]
    pub fn new(keys: Vec<(u64, SigningKey)>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self {
            keys,
            ends_seconds: u64::MAX,
            both_until_seconds: 0,
        })
    }

    /// The same with an end: the first second since 1970 in which the newest certificate is not valid any more.
    #[must_use]
    pub fn ending(self, ends_seconds: u64) -> Self {
        Self {
            ends_seconds,
            ..self
        }
    }

    /// The same in an overlap: until this second since 1970 the serial before the newest signs beside it.
    #[must_use]
    pub fn both_until(self, both_until_seconds: u64) -> Self {
        Self {
            both_until_seconds,
            ..self
        }
    }

    /// The key for a digest of `size`: with equal from-sizes the later serial has it.
    #[must_use]
    pub fn for_size(&self, size: u64) -> Option<&SigningKey> {
        let of_size = |(from, _): &&(u64, SigningKey)| *from <= size;
        self.keys.iter().rev().find(of_size).map(|(_, key)| key)
    }

    /// The keys whose lines a digest of `size` gets at `now_seconds`: the one whose range holds it, and in the overlap after a
    /// rotation the one before it, for whoever has not heard of the new one. Only the first counts for members.
    pub fn signers(&self, size: u64, now_seconds: u64) -> impl Iterator<Item = &SigningKey> {
        let at = self.keys.iter().rposition(|(from, _)| *from <= size);
        let newest = at.filter(|at| at + 1 == self.keys.len());
        let overlap = newest.filter(|_| now_seconds < self.both_until_seconds);
        let before = overlap.and_then(|at| at.checked_sub(1));
        at.into_iter()
            .chain(before)
            .filter_map(|at| self.keys.get(at).map(|(_, key)| key))
    }

    /// The largest size that a digest after `size` may have without leaving the range of its key: the last one of a key is
    /// signed before the first one of the next.
    #[must_use]
    pub fn last_in_range(&self, size: u64) -> u64 {
        let next = self.keys.iter().map(|(from, _)| *from);
        // Of that size the next key signs, so one less is the older key's last.
        let next = next.filter(|from| *from > size.saturating_add(1)).min();
        next.map_or(u64::MAX, |from| from - 1)
    }

    /// Whether nothing is to be signed, because the newest certificate ended.
    #[must_use]
    pub fn has_ended(&self, now_seconds: u64) -> bool {
        now_seconds >= self.ends_seconds
    }

    /// First size of a digest that a log key signs which is made now, for a ledger of `size` entries of which `signed` are
    /// covered by a digest (R6): above every size that was signed. Between two steps nothing is signed, so it is exact.
    #[must_use]
    pub fn next_from_size(&self, size: u64, signed: Option<u64>, now_seconds: u64) -> u64 {
        let newest = self.keys.last().map_or(0, |(from, _)| *from);
        let next = match self.has_ended(now_seconds) {
            // The older key signs nothing more, not even the digest that covers its successor's certificate.
            true => signed.unwrap_or(0).saturating_add(1),
            false => size.saturating_add(AHEAD),
        };
        next.max(newest)
    }

    /// The newest serial's, to verify with.
    #[must_use]
    pub fn newest(&self) -> Option<&VerifierKey> {
        self.keys.last().map(|(_, key)| key.verifier())
    }

    /// As [`LogKeys::for_size`], to verify with.
    #[must_use]
    pub fn verifier_for(&self, size: u64) -> Option<&VerifierKey> {
        self.for_size(size).map(SigningKey::verifier)
    }
}

impl From<SigningKey> for LogKeys {
    fn from(key: SigningKey) -> Self {
        Self {
            keys: vec![(0, key)],
            ends_seconds: u64::MAX,
            both_until_seconds: 0,
        }
    }
}

/// The keys of one serial that sign messages and cosignatures.
#[derive(Clone)]
pub struct Serial {
    /// Its number.
    pub number: u64,
    /// Since when it is valid, in seconds since 1970.
    pub not_before_seconds: u64,
    /// First second since 1970 in which it is not valid any more: then it cosigns nothing.
    pub not_after_seconds: u64,
    /// Key of envelopes.
    pub envelope: SigningKey,
    /// Key of acks.
    pub ack: SigningKey,
    /// Key of mirror lines.
    pub mirror: SigningKey,
    /// ML-DSA-44 key of subtree cosignatures, and of second lines beside the ack's; `None` where a build has none.
    pub subtree: Option<SigningKey>,
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
    /// The serial that signs messages at `now_seconds`: for a moment after a rotation the one before, until everybody has
    /// heard of the new one.
    #[must_use]
    pub fn speaker(&self, now_seconds: u64) -> &Serial {
        let heard = self.newest.not_before_seconds.saturating_add(HEARD_SECONDS);
        let before = self.before.as_ref().filter(|_| now_seconds < heard);
        before.unwrap_or(&self.newest)
    }

    /// The serials that cosign at `now_seconds`: the newest, and in the overlap the one before it; none whose certificate
    /// ended, and never one below `lowest`, because the disk that remembers what it acked may be gone (R3).
    pub fn cosigners(&self, now_seconds: u64, lowest: u64) -> impl Iterator<Item = &Serial> {
        let overlap = self
            .newest
            .not_before_seconds
            .saturating_add(OVERLAP_SECONDS);
        let before = self.before.iter().filter(move |_| now_seconds < overlap);
        std::iter::once(&self.newest)
            .chain(before)
            .filter(move |serial| serial.number >= lowest && now_seconds < serial.not_after_seconds)
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
            not_after_seconds: not_before_seconds + 90 * 86_400,
            envelope: key(byte),
            ack: SigningKey::cosigner("node.example", [byte + 10; 32]).unwrap(),
            mirror: SigningKey::cosigner("node.example/mirror", [byte + 20; 32]).unwrap(),
            subtree: None,
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
    fn in_the_overlap_the_key_before_signs_too_and_no_digest_jumps_over_a_range() {
        let keys = LogKeys::new(vec![(0, key(1)), (100, key(2))]).unwrap();
        let keys = keys.both_until(50).ending(90);
        let signers = |size, now| -> Vec<_> {
            let signers = keys.signers(size, now);
            signers.map(|one| one.verifier().clone()).collect()
        };
        let (one, two) = (key(1).verifier().clone(), key(2).verifier().clone());
        assert_eq!(signers(99, 10), std::slice::from_ref(&one));
        assert_eq!(signers(100, 10), [two.clone(), one]);
        assert_eq!(signers(100, 50), [two]);
        let last = [0, 98, 99, 100, 500].map(|size| keys.last_in_range(size));
        assert_eq!(last, [99, 99, u64::MAX, u64::MAX, u64::MAX]);
        assert!(!keys.has_ended(89) && keys.has_ended(90));
        // While the older key is valid it signs up to the certificate's own entry; once it ended it signs nothing more.
        assert_eq!(keys.next_from_size(200, Some(180), 10), 202);
        assert_eq!(keys.next_from_size(200, Some(180), 90), 181);
        assert_eq!(keys.next_from_size(40, Some(30), 10), 100);
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
        assert!(at(1_000 + 90 * 86_400, 0).is_empty());
        let speaks = [1_000, 1_000 + HEARD_SECONDS].map(|now| keys.speaker(now).number);
        assert_eq!(speaks, [1, 2]);
    }
}
