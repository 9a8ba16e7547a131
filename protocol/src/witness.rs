//! Bodies of the witness protocol (C2SP `tlog-witness`): requests, cosignature answers, and the conflict answer.
//! May not choose HTTP statuses or decide: the engine does, in the order of the specification.

use crate::checkpoint::Checkpoint;
use crate::note::text::{decimal, hash, next_line, print_hash};
use crate::note::{NoteError, SignatureLine, SignedNote};
use crate::proof_file::hash_lines;
use crate::tlog::hash::Hash;
use crate::tlog::verify::is_subtree;
use std::fmt;
use thiserror::Error;

/// Most bytes of a request body that we read; the same as the most lenient public witness.
pub const MAX_REQUEST_BYTES: usize = 131_072;

/// Most bytes of a request body that every public witness reads: send no collected cosignatures.
pub const MAX_SENT_BYTES: usize = 16_384;

/// Most bytes of an answer with cosignature lines.
pub const MAX_ANSWER_BYTES: usize = 131_072;

/// Most cosignature lines of an answer.
pub const MAX_ANSWER_LINES: usize = 16;

/// Content type of the conflict answer. Clients compare it exactly: no charset may follow.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// Why a body was refused; a witness answers 400.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WitnessError {
    /// The body is not of the specified form.
    #[error("malformed witness message: {0}")]
    Malformed(&'static str),
    /// The note in it is malformed.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// Body of `add-checkpoint`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddCheckpoint {
    /// Size that the witness is believed to have cosigned last, 0 for none.
    pub old_size: u64,
    /// Consistency proof from that size, at most 63 hashes.
    pub proof: Vec<Hash>,
    /// The new checkpoint.
    pub checkpoint: SignedNote,
}

/// Body of `sign-subtree`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignSubtree {
    /// First index of the subtree.
    pub start: u64,
    /// Index after its last.
    pub end: u64,
    /// Its root.
    pub root: Hash,
    /// Proof that it is a subtree of the checkpoint's tree, at most 63 hashes.
    pub proof: Vec<Hash>,
    /// A checkpoint that this witness cosigned.
    pub checkpoint: SignedNote,
}

impl AddCheckpoint {
    /// Reads a request body; printing it gives exactly these bytes again.
    ///
    /// The note is only well-formed: origin, keys, sizes and proof are judged later, each with its own status.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn parse(body: &[u8]) -> Result<Self, WitnessError> {
        let mut rest = start(body)?;
        let old_size = next_line(&mut rest)
            .and_then(|line| line.strip_prefix("old "))
            .and_then(decimal)
            .ok_or(WitnessError::Malformed(
                "the first line is not `old` and a canonical decimal",
            ))?;
        let proof = proof(&mut rest)?;
        Ok(Self {
            old_size,
            proof,
            checkpoint: checkpoint(rest)?,
        })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof
            .iter()
            .try_for_each(|hash| writeln!(f, "{}", print_hash(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl SignSubtree {
    /// Reads a request body; printing it gives exactly these bytes again.
    ///
    /// # Errors
    /// [`WitnessError`], also for a range that is no subtree or lies outside the checkpoint's tree.
    pub fn parse(body: &[u8]) -> Result<Self, WitnessError> {
        let bad = WitnessError::Malformed;
        let mut rest = start(body)?;
        let range = next_line(&mut rest)
            .and_then(|line| line.strip_prefix("subtree "))
            .and_then(|range| range.split_once(' '))
            .and_then(|(start, end)| Some((decimal(start)?, decimal(end)?)));
        let (start, end) = range.ok_or(bad("the first line is not `subtree`, start and end"))?;
        let root = next_line(&mut rest)
            .and_then(hash)
            .ok_or(bad("the second line is not a hash"))?;
        let proof = proof(&mut rest)?;
        let checkpoint = checkpoint(rest)?;
        let size =
            Checkpoint::parse_foreign(checkpoint.text()).map_or(0, |checkpoint| checkpoint.size);
        if !is_subtree(start, end) || end > size {
            return Err(bad("the range is not a subtree of the checkpoint's tree"));
        }
        Ok(Self {
            start,
            end,
            root,
            proof,
            checkpoint,
        })
    }
}

impl fmt::Display for SignSubtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "subtree {} {}\n{}",
            self.start,
            self.end,
            print_hash(&self.root)
        )?;
        self.proof
            .iter()
            .try_for_each(|hash| writeln!(f, "{}", print_hash(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads an answer: one or more signature lines and nothing else. None of them is verified.
///
/// # Errors
/// [`WitnessError`].
pub fn parse_cosignatures(body: &[u8]) -> Result<Vec<SignatureLine>, WitnessError> {
    if body.len() > MAX_ANSWER_BYTES {
        return Err(WitnessError::Malformed("it is larger than 131,072 bytes"));
    }
    let text = text(body)?;
    if text.is_empty() || !text.ends_with('\n') {
        return Err(WitnessError::Malformed(
            "it is empty or does not end in a line feed",
        ));
    }
    let lines: Vec<&str> = text
        .split_terminator('\n')
        .take(MAX_ANSWER_LINES + 1)
        .collect();
    if lines.len() > MAX_ANSWER_LINES {
        return Err(WitnessError::Malformed("it has more than 16 lines"));
    }
    Ok(lines
        .into_iter()
        .map(SignatureLine::parse)
        .collect::<Result<_, _>>()?)
}

/// Prints an answer as [`parse_cosignatures`] reads it.
#[must_use]
pub fn print_cosignatures(lines: &[SignatureLine]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Reads the body of a conflict answer (409): the size that the witness cosigned last.
///
/// # Errors
/// [`WitnessError::Malformed`].
pub fn parse_conflict(body: &[u8]) -> Result<u64, WitnessError> {
    text(body)?
        .strip_suffix('\n')
        .and_then(decimal)
        .ok_or(WitnessError::Malformed(
            "a conflict answer is one canonical decimal and a line feed",
        ))
}

/// Prints the body of a conflict answer.
#[must_use]
pub fn print_conflict(size: u64) -> String {
    format!("{size}\n")
}

fn start(body: &[u8]) -> Result<&str, WitnessError> {
    if body.len() > MAX_REQUEST_BYTES {
        return Err(WitnessError::Malformed("it is larger than 131,072 bytes"));
    }
    text(body)
}

fn text(body: &[u8]) -> Result<&str, WitnessError> {
    std::str::from_utf8(body).map_err(|_| WitnessError::Malformed("it is not valid UTF-8"))
}

fn proof(rest: &mut &str) -> Result<Vec<Hash>, WitnessError> {
    let malformed = "a proof line is wrong, there are more than 63, or no empty line follows";
    hash_lines(rest).ok_or(WitnessError::Malformed(malformed))
}

fn checkpoint(rest: &str) -> Result<SignedNote, WitnessError> {
    let note = SignedNote::parse(rest.as_bytes())?;
    match Checkpoint::parse_foreign(note.text()) {
        Ok(_) => Ok(note),
        Err(_) => Err(WitnessError::Malformed("the note is not a checkpoint")),
    }
}
