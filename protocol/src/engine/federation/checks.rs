//! Signatures that were found right before the step (R9). A check says only "the signature of key K over these bytes is
//! right"; whether K counts is decided in the step. What was not checked before is checked here, so a missing check
//! costs time and never safety.

use crate::note::{SignedNote, VerifierKey};
use crate::tlog::hash::{Hash, sha256_parts};
use crate::wire::Envelope;
use std::collections::BTreeSet;

/// Signatures known to be right.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    right: BTreeSet<Hash>,
}

impl Checks {
    /// Checks an envelope ahead of the step; a wrong signature leaves no trace.
    pub fn envelope(&mut self, key: &VerifierKey, envelope: &Envelope) {
        if envelope.verify(key) {
            self.right.insert(id(key, &envelope.to_bytes(), &[]));
        }
    }

    /// Checks every line of a note that could be `key`'s, ahead of the step.
    pub fn note(&mut self, key: &VerifierKey, note: &SignedNote) {
        for line in note.signatures() {
            if line.name() == key.name()
                && line.key_id() == key.key_id()
                && key.verify(note.text(), line.signature())
            {
                self.right
                    .insert(id(key, note.text().as_bytes(), line.signature()));
            }
        }
    }

    /// Whether `envelope` is signed by `key`.
    #[must_use]
    pub(super) fn is_sealed(&self, key: &VerifierKey, envelope: &Envelope) -> bool {
        self.right.contains(&id(key, &envelope.to_bytes(), &[])) || envelope.verify(key)
    }

    /// The signature bytes of the first line of `note` that is `key`'s, if there is one.
    #[must_use]
    pub(super) fn signature<'n>(
        &self,
        key: &VerifierKey,
        note: &'n SignedNote,
    ) -> Option<&'n crate::note::SignatureLine> {
        note.signatures().iter().find(|line| {
            line.name() == key.name()
                && line.key_id() == key.key_id()
                && (self
                    .right
                    .contains(&id(key, note.text().as_bytes(), line.signature()))
                    || key.verify(note.text(), line.signature()))
        })
    }
}

fn id(key: &VerifierKey, message: &[u8], signature: &[u8]) -> Hash {
    let key = key.to_string();
    let (key_len, message_len) = (
        (key.len() as u64).to_le_bytes(),
        (message.len() as u64).to_le_bytes(),
    );
    sha256_parts(&[&key_len, key.as_bytes(), &message_len, message, signature])
}
