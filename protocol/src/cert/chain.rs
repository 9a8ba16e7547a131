//! Chains of certificates from serial 1 on, and which log key a digest of some size needs.
//! May not trust a certificate by itself: every one is checked against the identity key.

use super::{CertError, Certificate};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{NoteError, SignedNote, VerifierKey};
use crate::tlog::hash::{Hash, sha256};
use std::collections::BTreeSet;

/// Most certificates of a chain: 64 years of 90-day keys.
pub const MAX_CHAIN_CERTIFICATES: usize = 256;

/// The hash by which the next certificate, a manifest or a revocation names this certificate note.
#[must_use]
pub fn certificate_hash(note: &SignedNote) -> Hash {
    sha256(note.to_string().as_bytes())
}

/// Verifies a whole chain, oldest first, and returns its certificates. An empty chain is refused.
///
/// Serials run from 1 without gaps; each names the hash of the one before; `from-size` and `not-before` never go back;
/// no public key appears under two serials.
///
/// # Errors
/// [`CertError`].
pub fn verify_chain(
    identity: &VerifierKey,
    notes: &[SignedNote],
) -> Result<Vec<Certificate>, CertError> {
    if notes.is_empty() || notes.len() > MAX_CHAIN_CERTIFICATES {
        return Err(CertError::Chain {
            serial: 1,
            problem: "a chain has 1 to 256 certificates",
        });
    }
    let mut chain: Vec<Certificate> = Vec::with_capacity(notes.len());
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut previous = None;
    for (serial, note) in (1u64..).zip(notes) {
        let broken = |problem| CertError::Chain { serial, problem };
        let certificate = Certificate::open(note, identity)?;
        if certificate.serial != serial {
            return Err(broken("its serial is another one"));
        }
        if certificate.previous != previous {
            return Err(broken(
                "it does not name the hash of the certificate before it",
            ));
        }
        if let Some(before) = chain.last() {
            if certificate.log_from_size < before.log_from_size {
                return Err(broken("from-size goes back"));
            }
            if certificate.not_before_seconds < before.not_before_seconds {
                return Err(broken("not-before goes back"));
            }
        }
        if certificate
            .keys()
            .into_iter()
            .any(|(_, key)| !seen.insert(key.public_key().to_vec()))
        {
            return Err(broken("a key of an earlier serial is used again"));
        }
        previous = Some(certificate_hash(note));
        chain.push(certificate);
    }
    Ok(chain)
}

/// The certificate whose log key signs digests of `size`, out of a verified chain.
///
/// The ranges are `[from-size, next from-size)`; with equal from-sizes the later serial has it.
#[must_use]
pub fn key_for_size(chain: &[Certificate], size: u64) -> Option<&Certificate> {
    chain
        .iter()
        .rev()
        .find(|certificate| certificate.log_from_size <= size)
}

/// The log keys of one node by the sizes they sign, for whoever verifies its digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogVerifiers(Vec<(u64, VerifierKey)>);

impl LogVerifiers {
    /// The keys of a verified chain; `None` if it is empty.
    #[must_use]
    pub fn of_chain(chain: &[Certificate]) -> Option<Self> {
        let key = |one: &Certificate| (one.log_from_size, one.log.clone());
        (!chain.is_empty()).then(|| Self(chain.iter().map(key).collect()))
    }

    /// The key for a digest of `size`.
    #[must_use]
    pub fn for_size(&self, size: u64) -> Option<&VerifierKey> {
        let of_size = |(from, _): &&(u64, VerifierKey)| *from <= size;
        self.0.iter().rev().find(of_size).map(|(_, key)| key)
    }

    /// All keys, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &VerifierKey> {
        self.0.iter().map(|(_, key)| key)
    }

    /// The newest key.
    #[must_use]
    pub fn newest(&self) -> Option<&VerifierKey> {
        self.all().last()
    }

    /// Opens a digest under the key whose range holds its size (R6).
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; [`CheckpointError::Note`] with an unknown key if no range holds it.
    pub fn open(&self, note: &SignedNote) -> Result<Checkpoint, CheckpointError> {
        let size = Checkpoint::parse(note.text())?.size;
        let key = self.for_size(size).ok_or(NoteError::NoKnownSignature)?;
        Checkpoint::open(note, key)
    }
}

impl From<VerifierKey> for LogVerifiers {
    fn from(key: VerifierKey) -> Self {
        Self(vec![(0, key)])
    }
}
