//! Signatures that were found right before the step (R9). A check says only "the signature of key K over these bytes is
//! right"; whether K counts is decided in the step. What was not checked before is checked here, so a missing check
//! costs time and never safety.

use crate::note::{SignatureLine, SignedNote, VerifierKey};
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
        for line in lines_of(key, note) {
            if key.verify(note.text(), line.signature()) {
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
    ) -> Option<&'n SignatureLine> {
        lines_of(key, note).find(|line| {
            self.right
                .contains(&id(key, note.text().as_bytes(), line.signature()))
                || key.verify(note.text(), line.signature())
        })
    }
}

/// The note with the verified lines of these keys alone, the first of each: what others add must neither grow what is
/// stored nor what is shown.
pub(super) fn verified_lines(
    checks: &Checks,
    note: &SignedNote,
    keys: &[&VerifierKey],
) -> Option<SignedNote> {
    let lines = keys.iter().filter_map(|key| checks.signature(key, note));
    SignedNote::new(note.text(), lines.cloned().collect()).ok()
}

/// Lines of one key that are looked at: an honest note has one, and whoever adds a wrong one before it cannot make a
/// reader check hundreds.
const LINES_PER_KEY: usize = 2;

/// The lines of a note that could be `key`'s.
fn lines_of<'n>(
    key: &VerifierKey,
    note: &'n SignedNote,
) -> impl Iterator<Item = &'n SignatureLine> {
    let (name, key_id) = (key.name().to_owned(), key.key_id());
    note.signatures()
        .iter()
        .filter(move |line| line.name() == name && line.key_id() == key_id)
        .take(LINES_PER_KEY)
}

fn id(key: &VerifierKey, message: &[u8], signature: &[u8]) -> Hash {
    let key = key.to_string();
    let (key_len, message_len) = (
        (key.len() as u64).to_le_bytes(),
        (message.len() as u64).to_le_bytes(),
    );
    sha256_parts(&[&key_len, key.as_bytes(), &message_len, message, signature])
}
