//! Proof files (C2SP `tlog-proof`, ending `.tlog-proof`): that one entry is in a log whose checkpoint enough witnesses
//! saw. May not know what an entry means: the caller brings its leaf hash.

use crate::checkpoint::Checkpoint;
use crate::note::text::{decimal, hash, next_line, print_hash};
use crate::note::{MAX_NOTE_BYTES, NoteError, SignedNote};
use crate::policy::{Policy, PolicyError, Standing};
use crate::tlog::hash::Hash;
use crate::tlog::verify::{ProofError, inclusion};
use crate::tlog::{MAX_PROOF_HASHES, MAX_SIZE};
use std::fmt;
use thiserror::Error;

/// First line of the file.
pub const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Most bytes of the extra data; it is not authenticated, so it gets little room.
pub const MAX_EXTRA_BYTES: usize = 65_536;

/// Most bytes of a proof file: the note, 63 hash lines and the extra data with room to spare.
pub const MAX_PROOF_FILE_BYTES: usize = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES;

/// An inclusion proof with the checkpoint it leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlogProof {
    extra: Option<Vec<u8>>,
    index: u64,
    hashes: Vec<Hash>,
    checkpoint: SignedNote,
}

/// Why a proof file was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofFileError {
    /// The file does not have the form of a proof.
    #[error("malformed proof file: {0}")]
    Malformed(&'static str),
    /// The note in it is malformed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The checkpoint does not satisfy the policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The entry is not in the tree at this index.
    #[error("the entry is not proved: {0}")]
    Inclusion(#[from] ProofError),
}

/// What a verified proof says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proved {
    /// The checkpoint whose tree holds the entry.
    pub checkpoint: Checkpoint,
    /// Index of the entry.
    pub index: u64,
    /// Who signed, and whose cosignatures counted.
    pub standing: Standing,
}

impl TlogProof {
    /// Puts a proof together. The note must hold a checkpoint.
    ///
    /// # Errors
    /// [`ProofFileError::Malformed`] for more than 63 hashes, too much extra data or an index of 2^63 or above.
    pub fn new(
        index: u64,
        hashes: Vec<Hash>,
        checkpoint: SignedNote,
        extra: Option<Vec<u8>>,
    ) -> Result<Self, ProofFileError> {
        if hashes.len() > MAX_PROOF_HASHES {
            return Err(ProofFileError::Malformed("more than 63 hashes"));
        }
        if index > MAX_SIZE {
            return Err(ProofFileError::Malformed("the index is 2^63 or above"));
        }
        if extra
            .as_ref()
            .is_some_and(|extra| extra.len() > MAX_EXTRA_BYTES)
        {
            return Err(ProofFileError::Malformed(
                "more than 65,536 bytes of extra data",
            ));
        }
        if Checkpoint::parse_foreign(checkpoint.text()).is_err() {
            return Err(ProofFileError::Malformed("the note is not a checkpoint"));
        }
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint,
        })
    }

    /// Reads a proof file; printing it gives exactly these bytes again.
    ///
    /// # Errors
    /// [`ProofFileError::Malformed`] or [`ProofFileError::Note`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let bad = ProofFileError::Malformed;
        if bytes.len() > MAX_PROOF_FILE_BYTES {
            return Err(bad("it is too large"));
        }
        let mut rest = std::str::from_utf8(bytes).map_err(|_| bad("it is not valid UTF-8"))?;
        if next_line(&mut rest) != Some(PROOF_HEADER) {
            return Err(bad("the first line is not c2sp.org/tlog-proof@v1"));
        }
        let mut line = next_line(&mut rest).ok_or(bad("it ends after the first line"))?;
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            extra = Some(
                crate::base64::decode(encoded)
                    .ok_or(bad("the extra data is not canonical base64"))?,
            );
            line = next_line(&mut rest).ok_or(bad("no index line"))?;
        }
        let index = line
            .strip_prefix("index ")
            .and_then(decimal)
            .ok_or(bad("the index line is not `index` and a canonical decimal"))?;
        let hashes =
            hash_lines(&mut rest).ok_or(bad("a hash line is wrong, or there are more than 63"))?;
        Self::new(index, hashes, SignedNote::parse(rest.as_bytes())?, extra)
    }

    /// Extra data of the application. Nothing authenticates it.
    #[must_use]
    pub fn unauthenticated_extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Index of the entry, as claimed.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Sibling hashes from the leaf to the root.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The checkpoint note with its signatures and cosignatures.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedNote {
        &self.checkpoint
    }

    /// Verifies that the entry with this leaf hash is in a log that the policy accepts.
    ///
    /// Cosignature times are returned, not judged: their meaning is the application's.
    ///
    /// # Errors
    /// [`ProofFileError::Policy`] or [`ProofFileError::Inclusion`].
    pub fn verify(&self, leaf: &Hash, policy: &Policy) -> Result<Proved, ProofFileError> {
        let (checkpoint, standing) = policy.open(&self.checkpoint)?;
        inclusion(
            leaf,
            self.index,
            checkpoint.size,
            &self.hashes,
            &checkpoint.root,
        )?;
        Ok(Proved {
            checkpoint,
            index: self.index,
            standing,
        })
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF_HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", crate::base64::encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes
            .iter()
            .try_for_each(|hash| writeln!(f, "{}", print_hash(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads up to 63 hash lines and the empty line after them.
pub(crate) fn hash_lines(rest: &mut &str) -> Option<Vec<Hash>> {
    let mut hashes = Vec::new();
    loop {
        let line = next_line(rest)?;
        if line.is_empty() {
            return Some(hashes);
        }
        if hashes.len() == MAX_PROOF_HASHES {
            return None;
        }
        hashes.push(hash(line)?);
    }
}
