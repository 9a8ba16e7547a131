//! What strangers may read over `/belfry/join/1`: the public manifest and the members' certificate chains, in pieces; and
//! the answer to a wish to join. Laid out by hand over [`Frame`], little-endian. Admits nobody and keeps nothing.
//!
//! | kind | asks | answer |
//! |---|---|---|
//! | 0x0101 | `u32` offset: the manifest file | 0x0181: `u32` total, `u32` offset, SHA-256 of the whole, bytes |
//! | 0x0102 | `u32` offset: the chains, see [`Chains`] | 0x0182: the same |
//! | 0x0103 | UTF-8 of at most 512 bytes: who asks to join | 0x0180 |
//!
//! 0x0180, a refusal: `u16` reason, 32 bytes federation id, `u64` epoch, 32 bytes manifest hash, UTF-8 for people.

mod chains;

pub use chains::Chains;

use super::chain;
use super::verify::Snapshot;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::manifest::Federation;
use belfry_protocol::tlog::hash::{Hash, sha256};
use belfry_protocol::wire::found::{self, FoundAnswer, FoundReason, FoundRequest};
use belfry_protocol::wire::{Frame, Version};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of one piece: with its head below the 64 KiB of a lobby frame.
const PIECE_BYTES: usize = 60 << 10;
/// Longest text, in bytes.
const TEXT_BYTES: usize = 512;
/// Longest payload of a frame here.
const MAX_PAYLOAD: usize = 64 << 10;

const MANIFEST: u16 = 0x0101;
const CHAINS: u16 = 0x0102;
const JOIN: u16 = 0x0103;
const REFUSED: u16 = 0x0180;
/// Kind of a piece, less the kind of its request.
const PIECE: u16 = 0x0080;

/// What a stranger asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The manifest file from this byte on.
    Manifest(u32),
    /// The chains from this byte on.
    Chains(u32),
    /// To become a member; the text says who asks.
    Join(String),
}

/// Why there is no piece. The numbers are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// 1: nobody becomes a member by asking: a ticket opens the way, and members vote.
    JoiningClosed,
    /// 2: the request cannot be read.
    Malformed,
    /// 3: it is of another major version.
    Version,
    /// 4: it is of a kind that is not known here.
    Kind,
    /// 5: it begins behind the end.
    Range,
    /// A number that this version does not know.
    Unknown(u16),
}

const REASONS: [(u16, Reason, &str); 5] = [
    (
        1,
        Reason::JoiningClosed,
        "nobody joins by asking: get a ticket from an operator of this federation (belfry invite), and use it with belfry join",
    ),
    (
        2,
        Reason::Malformed,
        "the request cannot be read; check that both sides run a release of Belfry",
    ),
    (
        3,
        Reason::Version,
        "the request is of another version; upgrade the older side",
    ),
    (
        4,
        Reason::Kind,
        "this kind of request is not known here; upgrade this node",
    ),
    (
        5,
        Reason::Range,
        "there is nothing at this offset; it changed, begin again at 0",
    ),
];

impl Reason {
    /// Its number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Unknown(code) => code,
            known => REASONS
                .iter()
                .find(|row| row.1 == known)
                .map_or(0, |row| row.0),
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_code(code: u16) -> Self {
        let known = REASONS.iter().find(|row| row.0 == code);
        known.map_or(Self::Unknown(code), |row| row.1)
    }

    fn text(self) -> &'static str {
        REASONS
            .iter()
            .find(|row| row.1 == self)
            .map_or("", |row| row.2)
    }
}

/// What a stranger gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A part of what was asked for.
    Piece {
        /// Bytes of the whole.
        total: u32,
        /// Where this part begins.
        offset: u32,
        /// SHA-256 of the whole: parts of different wholes do not fit together.
        hash: Hash,
        /// The part.
        bytes: Vec<u8>,
    },
    /// No.
    Refused(Refused),
}

/// A refusal, which says whom one talks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// The federation.
    pub federation: Hash,
    /// Its epoch.
    pub epoch: u64,
    /// Hash of its manifest.
    pub manifest: Hash,
    /// For people.
    pub text: String,
}

impl Request {
    /// The frame of a request.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Manifest(offset) => (MANIFEST, offset.to_le_bytes().to_vec()),
            Self::Chains(offset) => (CHAINS, offset.to_le_bytes().to_vec()),
            Self::Join(text) => (JOIN, text.as_bytes().to_vec()),
        };
        Frame::encode(Version::V1_0, kind, &payload)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// The reason for which it is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, Reason> {
        let frame = Frame::parse(bytes, MAX_PAYLOAD).map_err(|_| Reason::Malformed)?;
        if frame.version.major != Version::V1_0.major {
            return Err(Reason::Version);
        }
        let offset = || {
            let bytes = frame.payload.try_into().map_err(|_| Reason::Malformed)?;
            Ok(u32::from_le_bytes(bytes))
        };
        match frame.kind {
            MANIFEST => offset().map(Self::Manifest),
            CHAINS => offset().map(Self::Chains),
            JOIN => text(frame.payload).map(Self::Join).ok_or(Reason::Malformed),
            _ => Err(Reason::Kind),
        }
    }
}

impl Answer {
    /// The frame of an answer to a request of this kind.
    fn encode(&self, asked: u16) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Piece {
                total,
                offset,
                hash,
                bytes,
            } => {
                let head = [&total.to_le_bytes()[..], &offset.to_le_bytes()];
                let payload = [&head.concat(), hash.as_bytes().as_slice(), bytes].concat();
                (asked + PIECE, payload)
            }
            Self::Refused(refused) => {
                let parts: [&[u8]; 5] = [
                    &refused.reason.code().to_le_bytes(),
                    refused.federation.as_bytes(),
                    &refused.epoch.to_le_bytes(),
                    refused.manifest.as_bytes(),
                    refused.text.as_bytes(),
                ];
                (REFUSED, parts.concat())
            }
        };
        Frame::encode(Version::V1_0, kind, &payload)
    }

    /// Reads the answer to `request`; `None` if it is none.
    #[must_use]
    pub fn decode(request: &Request, bytes: &[u8]) -> Option<Self> {
        let frame = Frame::parse(bytes, MAX_PAYLOAD).ok()?;
        if frame.version.major != Version::V1_0.major {
            return None;
        }
        let mut fields = Fields(frame.payload);
        if frame.kind == REFUSED {
            return Some(Self::Refused(Refused {
                reason: Reason::from_code(u16::from_le_bytes(fields.array()?)),
                federation: Hash(fields.array()?),
                epoch: u64::from_le_bytes(fields.array()?),
                manifest: Hash(fields.array()?),
                text: text(fields.0)?,
            }));
        }
        let asked = match request {
            Request::Manifest(_) => MANIFEST,
            Request::Chains(_) => CHAINS,
            Request::Join(_) => return None,
        };
        if frame.kind != asked + PIECE {
            return None;
        }
        let (total, offset) = (
            u32::from_le_bytes(fields.array()?),
            u32::from_le_bytes(fields.array()?),
        );
        let hash = Hash(fields.array()?);
        let end = u32::try_from(fields.0.len())
            .ok()
            .and_then(|length| offset.checked_add(length))?;
        // A piece ends within the whole, and only that of an empty whole is empty.
        if end > total || (fields.0.is_empty() && total > 0) {
            return None;
        }
        Some(Self::Piece {
            total,
            offset,
            hash,
            bytes: fields.0.to_vec(),
        })
    }
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// Text without control characters, so that it is fit for a terminal.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fit = text.len() <= TEXT_BYTES && !text.chars().any(char::is_control);
    fit.then(|| text.to_owned())
}

/// Reads the file of the manifests.
type Read = Box<dyn Fn() -> std::io::Result<Vec<u8>> + Send + Sync>;

/// Answers strangers.
pub(super) struct Lobby {
    lineage: [u8; 16],
    read: Read,
    /// The epoch that is in force, and the file of it and those before.
    epoch: Mutex<Epoch>,
    members: Snapshot,
    /// The chains as of some snapshot: made again only when that changed.
    chains: Mutex<Option<(Arc<Members>, Whole)>>,
}

/// What strangers are told of an epoch.
#[derive(Clone)]
struct Epoch {
    federation: Hash,
    epoch: u64,
    manifest: Hash,
    file: Whole,
}

/// A file that is handed out in pieces.
#[derive(Clone)]
struct Whole {
    bytes: Arc<Vec<u8>>,
    hash: Hash,
}

impl Epoch {
    fn of(federation: &Federation, file: Vec<u8>) -> Self {
        Self {
            federation: federation.id(),
            epoch: federation.manifest().epoch,
            manifest: federation.hash(),
            file: Whole::new(file),
        }
    }
}

impl Whole {
    fn new(bytes: Vec<u8>) -> Self {
        let hash = sha256(&bytes);
        Self {
            bytes: Arc::new(bytes),
            hash,
        }
    }

    fn piece(&self, offset: u32) -> Result<Answer, Reason> {
        let begin = usize::try_from(offset).map_err(|_| Reason::Range)?;
        let rest = self.bytes.get(begin..).ok_or(Reason::Range)?;
        if rest.is_empty() && !self.bytes.is_empty() {
            return Err(Reason::Range);
        }
        Ok(Answer::Piece {
            total: u32::try_from(self.bytes.len()).map_err(|_| Reason::Range)?,
            offset,
            hash: self.hash,
            bytes: rest[..rest.len().min(PIECE_BYTES)].to_vec(),
        })
    }
}

impl Lobby {
    /// For the members of `federation`, whose public file `read` reads: again in every epoch.
    pub(super) fn new(
        federation: &Federation,
        read: impl Fn() -> std::io::Result<Vec<u8>> + Send + Sync + 'static,
        members: Snapshot,
    ) -> std::io::Result<Self> {
        let epoch = Epoch::of(federation, read()?);
        Ok(Self {
            lineage: federation.manifest().lineage,
            read: Box::new(read),
            epoch: Mutex::new(epoch),
            members,
            chains: Mutex::default(),
        })
    }

    /// The epoch that the engine is in. While the file cannot be read, what was known before.
    fn epoch(&self) -> Epoch {
        let mut known = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.get();
        let newest = members.as_ref().map(|members| members.federation());
        if let Some(newest) = newest.filter(|newest| newest.hash() != known.manifest) {
            match (self.read)() {
                Ok(file) => *known = Epoch::of(newest, file),
                Err(error) => tracing::warn!(%error, "strangers are told of the epoch before"),
            }
        }
        known.clone()
    }

    /// The frame that answers a frame, whatever that is.
    pub(super) fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let answer = |request| match request {
            Request::Manifest(offset) => Ok((MANIFEST, self.epoch().file.piece(offset)?)),
            Request::Chains(offset) => Ok((CHAINS, self.chains().piece(offset)?)),
            Request::Join(_) => Err(Reason::JoiningClosed),
        };
        let (asked, answer) = Request::decode(bytes)
            .and_then(answer)
            .unwrap_or_else(|reason| (0, self.refuse(reason)));
        answer.encode(asked)
    }

    /// The frame that answers whoever still founds what is founded: it missed the end, and gets the manifests.
    pub(super) fn founded(&self, bytes: &[u8]) -> Vec<u8> {
        let refuse = |reason, text: &str| FoundAnswer::Refused {
            reason,
            text: text.to_owned(),
        };
        let answer = match FoundRequest::decode(bytes) {
            Err(reason) => refuse(reason, "the request cannot be read; upgrade the older side"),
            Ok(FoundRequest::Exchange { lineage, have, .. }) if lineage == self.lineage => {
                let file = self.epoch().file;
                let links = chain::lines(&file.bytes);
                let lacking = links.filter(|link| !have.contains(&sha256(link)));
                FoundAnswer::Exchanged {
                    wanted: Vec::new(),
                    documents: found::fitting(lacking.map(<[u8]>::to_vec)),
                }
            }
            Ok(FoundRequest::Card { lineage, .. }) if lineage == self.lineage => refuse(
                FoundReason::Ticket,
                "the federation is founded; ask for a new ticket, which pins it",
            ),
            Ok(_) => refuse(
                FoundReason::Lineage,
                "another federation was founded here; ask for a new ticket",
            ),
        };
        answer.encode()
    }

    fn refuse(&self, reason: Reason) -> Answer {
        let known = self.epoch();
        Answer::Refused(Refused {
            reason,
            federation: known.federation,
            epoch: known.epoch,
            manifest: known.manifest,
            text: reason.text().to_owned(),
        })
    }

    fn chains(&self) -> Whole {
        let Some(members) = self.members.get() else {
            return Whole::new(Vec::new());
        };
        let mut kept = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_ref() {
            Some((of, whole)) if Arc::ptr_eq(of, &members) => whole.clone(),
            _ => {
                let whole = Whole::new(Chains::of(&members).encode());
                *kept = Some((members, whole.clone()));
                whole
            }
        }
    }
}

#[cfg(test)]
mod tests;
