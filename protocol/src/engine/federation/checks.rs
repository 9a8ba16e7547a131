//! Signatures that were found right before the step (R9). A check says only "the signature of key K over these bytes is
//! right"; whether K counts is decided in the step. What was not checked before is checked here, so a missing check
//! costs time and never safety.

use crate::cosignature::timestamp;
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

    /// Checks the lines of a note by these keys ahead of the step. Says whether there is one and none is wrong, which is
    /// what a witness asks; the step asks again.
    #[must_use]
    pub fn note_by(&mut self, keys: &[&VerifierKey], note: &SignedNote) -> bool {
        let mut found = false;
        for (key, line) in lines_by(keys, note) {
            let id = id(key, note.text().as_bytes(), line.signature());
            if !self.right.contains(&id) && !key.verify(note.text(), line.signature()) {
                return false;
            }
            self.right.insert(id);
            found = true;
        }
        found
    }

    /// The lines of a note by these keys. `None` without any, or if one is wrong: then the note is malformed (C2SP
    /// `signed-note`), whoever added the line.
    pub(super) fn trusted(
        &self,
        keys: &[&VerifierKey],
        note: &SignedNote,
    ) -> Option<Vec<SignatureLine>> {
        let mut lines: Vec<SignatureLine> = Vec::new();
        for (key, line) in lines_by(keys, note) {
            let known = id(key, note.text().as_bytes(), line.signature());
            if !self.right.contains(&known) && !key.verify(note.text(), line.signature()) {
                return None;
            }
            let again =
                |one: &SignatureLine| (one.name(), one.key_id()) == (line.name(), line.key_id());
            // One line for each key is enough to keep.
            if !lines.iter().any(again) {
                lines.push(line.clone());
            }
        }
        (!lines.is_empty()).then_some(lines)
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

    /// The first right line of `note` by a cosigner's key within its certificate: an ended one signs nothing (R6), so a line
    /// that names a later time is not its owner's. One that names an earlier time than it was made at cannot be told apart.
    #[must_use]
    pub(super) fn cosignature<'n>(
        &self,
        key: &VerifierKey,
        ends_seconds: u64,
        note: &'n SignedNote,
    ) -> Option<&'n SignatureLine> {
        let line = self.signature(key, note)?;
        timestamp(line)
            .is_some_and(|seconds| seconds < ends_seconds)
            .then_some(line)
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

/// The note with its log's line alone, verified, and one more line by the log's name, as it is: in the overlap of two serials
/// a log signs with both (R6), and whoever knows the other certificate only verifies that one. `None` if the line is wrong.
pub(super) fn log_lines(
    checks: &Checks,
    note: &SignedNote,
    log: &VerifierKey,
) -> Option<SignedNote> {
    let only = verified_lines(checks, note, &[log])?;
    let other = note.signatures().iter().find(|line| {
        let of_log = line.name() == log.name() && line.key_id() != log.key_id();
        of_log && line.signature().len() == ED25519_BYTES
    });
    match other {
        Some(line) => only.with_signature(line.clone()).ok(),
        None => Some(only),
    }
}

/// Length of the signatures of log keys.
const ED25519_BYTES: usize = 64;

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

/// All lines of a note that could be one of the keys', with that key.
fn lines_by<'n>(
    keys: &'n [&'n VerifierKey],
    note: &'n SignedNote,
) -> impl Iterator<Item = (&'n VerifierKey, &'n SignatureLine)> {
    note.signatures().iter().filter_map(|line| {
        let of = |key: &&&VerifierKey| key.name() == line.name() && key.key_id() == line.key_id();
        keys.iter().find(of).map(|key| (*key, line))
    })
}

fn id(key: &VerifierKey, message: &[u8], signature: &[u8]) -> Hash {
    let length = |bytes: &[u8]| (bytes.len() as u64).to_le_bytes();
    let (name, public) = (key.name().as_bytes(), key.public_key());
    sha256_parts(&[
        &length(name),
        name,
        &[key.algorithm().byte()],
        &length(public),
        public,
        &length(message),
        message,
        signature,
    ])
}
