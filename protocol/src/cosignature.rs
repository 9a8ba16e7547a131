//! Cosignatures (C2SP `tlog-cosignature`): a witness's statement "as of this time, this is the largest consistent tree
//! I have seen". May not judge consistency or keep a mark: that is the engine's.

use crate::checkpoint::Checkpoint;
use crate::note::{Algorithm, NoteError, SignatureLine, SigningKey, VerifierKey};

pub use crate::note::{MAX_TIMESTAMP_SECONDS, cosignature_message, subtree_message};

/// Builds a cosignature of `checkpoint` by `key`, as of `timestamp_seconds` since 1970.
///
/// # Errors
/// As [`SigningKey::cosign`].
pub fn build(
    checkpoint: &Checkpoint,
    key: &SigningKey,
    timestamp_seconds: u64,
) -> Result<SignatureLine, NoteError> {
    key.cosign(&checkpoint.to_text(), timestamp_seconds)
}

/// Verifies one cosignature line on a checkpoint text and returns its time in seconds since 1970.
///
/// # Errors
/// [`NoteError::NoKnownSignature`] if the line is not by `key`, [`NoteError::WrongUse`] if `key` is not a cosigner's,
/// [`NoteError::Timestamp`] for a time of 0 or above 2^63 - 1, [`NoteError::BadSignature`] if it does not verify.
pub fn verify(
    checkpoint_text: &str,
    line: &SignatureLine,
    key: &VerifierKey,
) -> Result<u64, NoteError> {
    if key.algorithm() == Algorithm::Ed25519 {
        return Err(NoteError::WrongUse(key.algorithm().byte()));
    }
    if line.name() != key.name() || line.key_id() != key.key_id() {
        return Err(NoteError::NoKnownSignature);
    }
    let bad = || NoteError::BadSignature {
        name: line.name().to_owned(),
        key_id: key.key_id_hex(),
    };
    let time_seconds = timestamp(line).ok_or_else(bad)?;
    crate::note::check_timestamp(time_seconds)?;
    if !key.verify(checkpoint_text, line.signature()) {
        return Err(bad());
    }
    Ok(time_seconds)
}

/// Says what a cosignature line of an Ed25519 key says, the same tree at the same time, by an ML-DSA-44 key too: a second
/// signature beside the first, and never without it. Signing is deterministic, so asked again it gives the same line.
///
/// # Errors
/// [`NoteError::WrongUse`] if `key` is not ML-DSA-44, otherwise as [`SigningKey::cosign`].
pub fn second(
    checkpoint_text: &str,
    first: &SignatureLine,
    key: &SigningKey,
) -> Result<SignatureLine, NoteError> {
    if !key.verifier().algorithm().signs_subtrees() {
        return Err(NoteError::WrongUse(key.verifier().algorithm().byte()));
    }
    key.cosign(checkpoint_text, timestamp(first).unwrap_or(0))
}

/// The time a cosignature line claims, in seconds since 1970. Only as true as the line was verified.
#[must_use]
pub fn timestamp(line: &SignatureLine) -> Option<u64> {
    let (time, _) = line.signature().split_first_chunk::<8>()?;
    Some(u64::from_be_bytes(*time))
}

/// Cosignatures of subtrees, which only ML-DSA-44 has: without the feature `ml-dsa` there is no key for them.
pub mod subtree {
    use super::{NoteError, SignatureLine, SigningKey, VerifierKey, subtree_message};
    use crate::tlog::hash::Hash;

    /// The subtree `[start, end)` of the log `origin`, whose root is `root`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Subtree<'a> {
        /// Origin of the log.
        pub origin: &'a str,
        /// First index.
        pub start: u64,
        /// Index after the last.
        pub end: u64,
        /// Root of the subtree.
        pub root: Hash,
    }

    impl Subtree<'_> {
        fn message(&self, cosigner: &str) -> Result<Vec<u8>, NoteError> {
            if !crate::tlog::verify::is_subtree(self.start, self.end) {
                return Err(NoteError::Note("the range is not a subtree"));
            }
            subtree_message(cosigner, 0, self.origin, self.start, self.end, &self.root)
        }
    }

    /// Signs a subtree; its time is 0, because it says nothing about when.
    ///
    /// # Errors
    /// [`NoteError`] if the range is not a subtree, a name is too long or the key is not ML-DSA-44.
    pub fn build(subtree: &Subtree<'_>, key: &SigningKey) -> Result<SignatureLine, NoteError> {
        if !key.verifier().algorithm().signs_subtrees() {
            return Err(NoteError::WrongUse(key.verifier().algorithm().byte()));
        }
        let signature = key.sign_bytes(&subtree.message(key.name())?)?;
        key.line([&[0u8; 8][..], &signature].concat())
    }

    /// Verifies a subtree cosignature.
    ///
    /// # Errors
    /// [`NoteError`] if the line is not by `key`, has a time, or does not verify.
    pub fn verify(
        subtree: &Subtree<'_>,
        line: &SignatureLine,
        key: &VerifierKey,
    ) -> Result<(), NoteError> {
        if line.name() != key.name() || line.key_id() != key.key_id() {
            return Err(NoteError::NoKnownSignature);
        }
        let message = subtree.message(key.name())?;
        let good = key.algorithm().signs_subtrees()
            && line
                .signature()
                .strip_prefix(&[0u8; 8])
                .is_some_and(|rest| key.verify_bytes(&message, rest));
        if good {
            return Ok(());
        }
        Err(NoteError::BadSignature {
            name: line.name().to_owned(),
            key_id: key.key_id_hex(),
        })
    }
}
