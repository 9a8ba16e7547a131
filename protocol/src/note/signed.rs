//! Signature lines and signed notes: strict, bounded parsing and the one way to print them.
//! May not verify: a parsed note is only well-formed, see [`super::verify_note`].

use super::{NoteError, is_foreign_name, text};
use std::fmt;

/// Most bytes of a note; the same limit as the Go implementation, so that whoever can read ours can read theirs.
pub const MAX_NOTE_BYTES: usize = 1_000_000;

/// Most signature lines of a note; each known one costs a verification.
pub const MAX_NOTE_SIGNATURES: usize = 100;

/// Most bytes of one signature line: an ML-DSA-44 line has 3,268 with a short name.
const MAX_LINE_BYTES: usize = 16_384;

const LINE_START: &str = "\u{2014} ";

/// One line `— name base64(key id ‖ signature)`, not verified.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SignatureLine {
    name: String,
    key_id: u32,
    signature: Vec<u8>,
}

impl SignatureLine {
    /// Puts a line together from its parts.
    ///
    /// # Errors
    /// [`NoteError`] if the name is not allowed on a note or the signature is empty or too long.
    pub fn new(name: &str, key_id: u32, signature: Vec<u8>) -> Result<Self, NoteError> {
        if !is_foreign_name(name) {
            return Err(NoteError::Name(
                "must be non-empty, without space, control byte and +",
            ));
        }
        if signature.is_empty() {
            return Err(NoteError::Note("a signature is empty"));
        }
        let line = Self {
            name: name.to_owned(),
            key_id,
            signature,
        };
        // Four characters of base64 for each three bytes, the dash and the space.
        if line.name.len() + line.signature.len().div_ceil(3) * 4 > MAX_LINE_BYTES - 16 {
            return Err(NoteError::TooLarge {
                limit: MAX_LINE_BYTES,
                what: "bytes in a signature line",
            });
        }
        Ok(line)
    }

    /// Reads one line, without its LF.
    ///
    /// # Errors
    /// [`NoteError`] for anything but one canonical signature line.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        if line.len() > MAX_LINE_BYTES {
            return Err(NoteError::TooLarge {
                limit: MAX_LINE_BYTES,
                what: "bytes in a signature line",
            });
        }
        let rest = line.strip_prefix(LINE_START).ok_or(NoteError::Note(
            "a signature line does not start with an em dash and a space",
        ))?;
        let (name, encoded) = rest
            .split_once(' ')
            .ok_or(NoteError::Note("a signature line lacks name or signature"))?;
        let blob = crate::base64::decode(encoded)
            .ok_or(NoteError::Note("a signature is not canonical base64"))?;
        let (id, signature) = blob
            .split_first_chunk::<4>()
            .ok_or(NoteError::Note("a signature is shorter than its key id"))?;
        Self::new(name, u32::from_be_bytes(*id), signature.to_vec())
    }

    /// Name of the signer, as claimed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Key id of the signer, as claimed.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The bytes after the key id; their layout depends on the signature type.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Prints the line without an LF.
impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.key_id.to_be_bytes()[..], &self.signature].concat();
        write!(
            f,
            "{LINE_START}{} {}",
            self.name,
            crate::base64::encode(&blob)
        )
    }
}

/// A well-formed note: a text that ends in LF and at least one signature line. Nothing in it is verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl SignedNote {
    /// Puts a note together.
    ///
    /// # Errors
    /// [`NoteError`] if the text does not end in LF or has control bytes, if there is no signature, or if a limit
    /// is exceeded.
    pub fn new(text: &str, signatures: Vec<SignatureLine>) -> Result<Self, NoteError> {
        check_text(text)?;
        let note = Self {
            text: text.to_owned(),
            signatures,
        };
        note.check_limits()?;
        Ok(note)
    }

    /// Reads a note. Printing it gives exactly these bytes again.
    ///
    /// # Errors
    /// [`NoteError`] for invalid UTF-8, control bytes, CRLF, a missing blank line, a malformed signature line, or an
    /// exceeded limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge {
                limit: MAX_NOTE_BYTES,
                what: "bytes in a note",
            });
        }
        let whole =
            std::str::from_utf8(bytes).map_err(|_| NoteError::Note("it is not valid UTF-8"))?;
        if whole.contains("\r\n") {
            return Err(NoteError::CarriageReturn);
        }
        let (text, lines) = split(whole)?;
        check_text(text)?;
        if lines.lines().count() > MAX_NOTE_SIGNATURES {
            return Err(NoteError::TooLarge {
                limit: MAX_NOTE_SIGNATURES,
                what: "signatures on a note",
            });
        }
        let signatures = lines
            .lines()
            .map(SignatureLine::parse)
            .collect::<Result<Vec<_>, _>>()?;
        Self::new(text, signatures)
    }

    /// The signed text, with its last LF.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in the order of the note.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// The note with one more signature line; a line that is there already is not repeated.
    ///
    /// # Errors
    /// [`NoteError::TooLarge`] if the note would have too many signatures or bytes.
    pub fn with_signature(mut self, line: SignatureLine) -> Result<Self, NoteError> {
        if !self.signatures.contains(&line) {
            self.signatures.push(line);
            self.check_limits()?;
        }
        Ok(self)
    }

    fn check_limits(&self) -> Result<(), NoteError> {
        if self.signatures.is_empty() {
            return Err(NoteError::Note("it has no signature"));
        }
        if self.signatures.len() > MAX_NOTE_SIGNATURES {
            return Err(NoteError::TooLarge {
                limit: MAX_NOTE_SIGNATURES,
                what: "signatures on a note",
            });
        }
        let lines: usize = self.signatures.iter().map(printed_length).sum();
        if self.text.len() + 1 + lines > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge {
                limit: MAX_NOTE_BYTES,
                what: "bytes in a note",
            });
        }
        Ok(())
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Bytes of a printed line with its LF.
fn printed_length(line: &SignatureLine) -> usize {
    LINE_START.len() + line.name.len() + 1 + (4 + line.signature.len()).div_ceil(3) * 4 + 1
}

/// Splits at the last empty line into text (with its LF) and signature lines.
fn split(whole: &str) -> Result<(&str, &str), NoteError> {
    if !whole.ends_with('\n') {
        return Err(NoteError::Note("it does not end in a line feed"));
    }
    let blank = whole.rfind("\n\n").ok_or(NoteError::Note(
        "no empty line separates text and signatures",
    ))?;
    let (text, rest) = whole.split_at(blank + 1);
    Ok((text, rest.strip_prefix('\n').unwrap_or(rest)))
}

/// Checks a text that is, or is to be, signed.
pub(super) fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLarge {
            limit: MAX_NOTE_BYTES,
            what: "bytes in a note",
        });
    }
    if text.contains("\r\n") {
        return Err(NoteError::CarriageReturn);
    }
    if !text.ends_with('\n') {
        return Err(NoteError::Note("the text does not end in a line feed"));
    }
    if text::has_control(text) {
        return Err(NoteError::Note(
            "it has a control byte other than line feed",
        ));
    }
    Ok(())
}
