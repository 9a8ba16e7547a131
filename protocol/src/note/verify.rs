//! Verification of a note against the keys a caller knows (C2SP `signed-note`).
//! May not decide how many signatures are enough: that is a policy.

use super::{NoteError, SignatureLine, SignedNote, VerifierKey};

/// A signature line that verified, with the key that did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The key, one of those the caller gave.
    pub key: &'a VerifierKey,
    /// The line on the note.
    pub line: &'a SignatureLine,
}

/// Verifies a note: unknown signers are ignored, a wrong signature by a known key refuses the whole note.
///
/// Returns every line that verified, in the order of the note; there is at least one. One key can have several lines
/// (cosignatures of different times), so count distinct keys, never lines.
///
/// # Errors
/// [`NoteError::BadSignature`], [`NoteError::NoKnownSignature`], or [`NoteError::AmbiguousKey`] if two different
/// given keys share name and key id and the note has a line for them.
pub fn verify_note<'a>(
    note: &'a SignedNote,
    keys: &'a [VerifierKey],
) -> Result<Vec<Verified<'a>>, NoteError> {
    let mut verified = Vec::new();
    for line in note.signatures() {
        let Some(key) = find(line, keys)? else {
            continue;
        };
        if !key.verify(note.text(), line.signature()) {
            return Err(NoteError::BadSignature {
                name: line.name().to_owned(),
                key_id: key.key_id_hex(),
            });
        }
        verified.push(Verified { key, line });
    }
    if verified.is_empty() {
        return Err(NoteError::NoKnownSignature);
    }
    Ok(verified)
}

/// The one given key with the line's name and key id.
fn find<'a>(
    line: &SignatureLine,
    keys: &'a [VerifierKey],
) -> Result<Option<&'a VerifierKey>, NoteError> {
    let mut same = keys
        .iter()
        .filter(|key| key.name() == line.name() && key.key_id() == line.key_id());
    let first = same.next();
    if same.any(|other| Some(other) != first) {
        let (name, key_id) = (line.name().to_owned(), format!("{:08x}", line.key_id()));
        return Err(NoteError::AmbiguousKey { name, key_id });
    }
    Ok(first)
}
