//! Checkpoints (C2SP `tlog-checkpoint`): the text that names a tree's origin, size and root.
//! May not judge consistency; our own ones never have extension lines, because witnesses refuse those.

use crate::note::text::{decimal, has_control, hash, next_line, print_hash};
use crate::note::{NoteError, SignedNote, SigningKey, VerifierKey, verify_note};
use crate::tlog::MAX_SIZE;
use crate::tlog::hash::{Hash, empty_root};
use thiserror::Error;

/// Most bytes of an origin line; the length prefix of an ML-DSA cosignature holds no more.
pub const MAX_ORIGIN_BYTES: usize = 255;

/// Most extension lines of a foreign checkpoint that we read.
pub const MAX_EXTENSIONS: usize = 32;

/// Most bytes of a checkpoint text, extensions included; a quarter of what common witnesses take as a request.
pub const MAX_CHECKPOINT_BYTES: usize = 4_096;

/// What a log claims: these many entries have this root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Checkpoint {
    /// The log's origin, the first line.
    pub origin: String,
    /// Number of entries, at most 2^63 - 1.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

/// A checkpoint of somebody else's log, whose extension lines are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignCheckpoint {
    /// The log's origin, the first line.
    pub origin: String,
    /// Number of entries, at most 2^63 - 1.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// Extension lines without their LF; their meaning is the log's.
    pub extensions: Vec<String>,
}

/// Why a checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The text does not have the form of a checkpoint.
    #[error("malformed checkpoint: {0}")]
    Malformed(&'static str),
    /// The checkpoint has extension lines, which Belfry never uses.
    #[error("the checkpoint has extension lines; they are not supported here")]
    Extensions,
    /// The size is 0 and the root is not that of the empty tree.
    #[error("the checkpoint has size 0 but not the root of the empty tree")]
    EmptyRoot,
    /// The key is not the log's.
    #[error("the checkpoint is for {origin}, but the key is named {key}")]
    Origin {
        /// First line of the checkpoint.
        origin: String,
        /// Name of the key.
        key: String,
    },
    /// The note around it was refused.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl Checkpoint {
    /// The exact text that is signed: three lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            print_hash(&self.root)
        )
    }

    /// Reads a checkpoint without extension lines; [`Checkpoint::to_text`] gives exactly this text again.
    ///
    /// # Errors
    /// [`CheckpointError`]; a wrong root for size 0 is refused too.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let foreign = Self::parse_foreign(text)?;
        if !foreign.extensions.is_empty() {
            return Err(CheckpointError::Extensions);
        }
        let (size, root) = (foreign.size, foreign.root);
        if size == 0 && root != empty_root() {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self {
            origin: foreign.origin,
            size,
            root,
        })
    }

    /// Reads a checkpoint of a foreign log and keeps its extension lines. A wrong root for size 0 passes:
    /// a witness answers it differently from malformed text.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn parse_foreign(text: &str) -> Result<ForeignCheckpoint, CheckpointError> {
        let bad = CheckpointError::Malformed;
        if text.len() > MAX_CHECKPOINT_BYTES {
            return Err(bad("it is longer than 4,096 bytes"));
        }
        if has_control(text) {
            return Err(bad("it has a control byte"));
        }
        let mut rest = text;
        let origin = next_line(&mut rest)
            .filter(|line| !line.is_empty())
            .ok_or(bad("no origin line"))?;
        let size = next_line(&mut rest)
            .and_then(decimal)
            .ok_or(bad("the size is not a canonical decimal"))?;
        let root = next_line(&mut rest)
            .and_then(hash)
            .ok_or(bad("the root is not base64 of 32 bytes"))?;
        let mut extensions = Vec::new();
        while !rest.is_empty() {
            let line = next_line(&mut rest).ok_or(bad("the last line has no line feed"))?;
            if line.is_empty() || extensions.len() == MAX_EXTENSIONS {
                return Err(bad("an extension line is empty, or there are too many"));
            }
            extensions.push(line.to_owned());
        }
        if origin.len() > MAX_ORIGIN_BYTES {
            return Err(bad("the origin is longer than 255 bytes"));
        }
        Ok(ForeignCheckpoint {
            origin: origin.to_owned(),
            size,
            root,
            extensions,
        })
    }

    /// Signs this checkpoint with the log's key, whose name must be the origin.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`] for another log's key, [`CheckpointError::Malformed`] if the fields cannot be a
    /// checkpoint, [`CheckpointError::Note`] if the key cannot sign notes.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedNote, CheckpointError> {
        check_origin(&self.origin, key.name())?;
        let text = self.to_text();
        if self.size > MAX_SIZE || Self::parse(&text)? != *self {
            return Err(CheckpointError::Malformed("its fields do not read back"));
        }
        Ok(key.signed_note(&text)?)
    }

    /// Reads the checkpoint of a note and verifies the log's signature on it.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`] if the key's name is not the origin, [`CheckpointError::Note`] if its signature is
    /// missing or wrong, and what [`Checkpoint::parse`] refuses.
    pub fn open(note: &SignedNote, key: &VerifierKey) -> Result<Self, CheckpointError> {
        verify_note(note, std::slice::from_ref(key))?;
        let checkpoint = Self::parse(note.text())?;
        check_origin(&checkpoint.origin, key.name())?;
        Ok(checkpoint)
    }
}

impl ForeignCheckpoint {
    /// The exact text that was read.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            print_hash(&self.root)
        );
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

fn check_origin(origin: &str, key: &str) -> Result<(), CheckpointError> {
    if origin == key {
        return Ok(());
    }
    Err(CheckpointError::Origin {
        origin: origin.to_owned(),
        key: key.to_owned(),
    })
}
