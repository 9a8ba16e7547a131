//! What is said before the stream: the ask, and the answer that begins or refuses it. Bodies as on the sync protocol,
//! frozen in the same way; a frame around each. May not be printed with a token in it.

use super::{MAX_ANSWER_BYTES, MAX_ASK_BYTES, VERSION};
use crate::cert::MAX_CHAIN_CERTIFICATES;
use crate::wire::codec::{self, Bytes, CodecError, Decode, Encode, List, Text};
use crate::wire::v1::{MAX_CERTIFICATE_BYTES, MAX_NOTE_BYTES};
use crate::wire::{Frame, FrameError};
use std::fmt;
use thiserror::Error;

/// Longest token.
pub const MAX_TOKEN_BYTES: usize = 128;
/// Longest reason of a refusal.
pub const MAX_REASON_BYTES: usize = 256;

/// What a frame of this protocol holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// [`Ask`], the only thing a reader says.
    Ask = 1,
    /// [`Accepted`]; the pieces follow.
    Accepted = 2,
    /// [`Refused`], instead of an answer or of a piece; nothing follows.
    Refused = 3,
    /// One piece, in the order of [`super::Plan`]: the bytes of a tile or of a bundle.
    Piece = 4,
}

impl Kind {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// A frame of this kind.
    #[must_use]
    pub fn frame(self, payload: &[u8]) -> Vec<u8> {
        Frame::encode(VERSION, self.number(), payload)
    }
}

/// "Send me this ledger from there on."
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ask {
    /// The ledger.
    pub origin: Text<200>,
    /// The first entry that is wanted; a multiple of 256.
    pub from: u64,
    /// A token with read-all scope; empty for none. Never printed.
    pub token: Text<MAX_TOKEN_BYTES>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("origin", &self.origin)
            .field("from", &self.from)
            .field("token", &!self.token.as_str().is_empty())
            .finish()
    }
}

/// "It comes, up to this digest."
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Accepted {
    /// The newest signed digest whose entries are held, as a note.
    pub note: Bytes<MAX_NOTE_BYTES>,
    /// The certificate notes of the ledger's node, oldest first, as far as they are known here: for readers whose trust is
    /// a manifest. They speak for themselves.
    pub chain: List<Bytes<MAX_CERTIFICATE_BYTES>, MAX_CHAIN_CERTIFICATES>,
}

/// "It does not come."
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refused {
    /// Number of the reason, see [`Why`].
    pub why: u16,
    /// The reason in words.
    pub reason: Text<MAX_REASON_BYTES>,
}

impl Refused {
    /// A refusal; words that are no text of that length are left out.
    #[must_use]
    pub fn new(why: Why, reason: &str) -> Self {
        Self {
            why: why as u16,
            reason: Text::new(reason).unwrap_or_default(),
        }
    }

    /// The reason, if this version knows it.
    #[must_use]
    pub fn why(&self) -> Option<Why> {
        Why::ALL.into_iter().find(|why| *why as u16 == self.why)
    }
}

/// Why a ledger is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Why {
    /// The ask is malformed, or of a version that is not spoken here.
    Malformed = 1,
    /// Only members and tokens with read-all scope may read this ledger.
    NotAllowed = 2,
    /// The token is unknown, expired, revoked, or of another scope.
    Token = 3,
    /// No such ledger is held here.
    Unknown = 4,
    /// Nothing that is held is signed yet.
    Unsigned = 5,
    /// Less is held here than the reader has.
    Behind = 6,
    /// As many are served as can be.
    Busy = 7,
    /// The ledger cannot be read here.
    Broken = 8,
}

impl Why {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::NotAllowed,
        Self::Token,
        Self::Unknown,
        Self::Unsigned,
        Self::Behind,
        Self::Busy,
        Self::Broken,
    ];
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// They are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frame is of another version or kind than belongs there.
    #[error("a frame of version {version} and kind {kind} does not belong here")]
    Kind {
        /// Version of the frame.
        version: crate::wire::Version,
        /// Kind of the frame.
        kind: u16,
    },
    /// The body is malformed.
    #[error(transparent)]
    Body(#[from] CodecError),
}

impl Ask {
    /// The ask in its frame.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Kind::Ask.frame(&codec::encode(self))
    }

    /// Reads an ask in its frame.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let frame = Frame::parse(bytes, MAX_ASK_BYTES)?;
        match frame.kind {
            1 if frame.version == VERSION => Ok(codec::decode(frame.payload)?),
            kind => Err(MessageError::Kind {
                version: frame.version,
                kind,
            }),
        }
    }
}

impl Accepted {
    /// The beginning of an answer, in its frame.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Kind::Accepted.frame(&codec::encode(self))
    }
}

impl Refused {
    /// The refusal in its frame.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Kind::Refused.frame(&codec::encode(self))
    }
}

/// The first frame of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The pieces follow.
    Accepted(Accepted),
    /// Nothing follows.
    Refused(Refused),
}

impl Answer {
    /// Reads the first frame of an answer.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let frame = Frame::parse(bytes, MAX_ANSWER_BYTES)?;
        match frame.kind {
            2 if frame.version == VERSION => Ok(Self::Accepted(codec::decode(frame.payload)?)),
            3 if frame.version == VERSION => Ok(Self::Refused(codec::decode(frame.payload)?)),
            kind => Err(MessageError::Kind {
                version: frame.version,
                kind,
            }),
        }
    }
}
