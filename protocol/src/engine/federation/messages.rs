//! Making and opening messages of sync 1.0 (R7): frames, envelopes, bodies. Which bytes are a promise (R9) is decided
//! here, by the type that each function returns.

use super::io::{FreeBytes, PromiseBytes};
use super::members::Members;
use super::{Bad, MemberIx, Settings};
use crate::engine::Now;
use crate::engine::federation::checks::Checks;
use crate::note::{SignedNote, VerifierKey};
use crate::tlog::hash::Hash;
use crate::wire::codec::{self, Decode, Encode};
use crate::wire::v1::Kind;
use crate::wire::{Envelope, Frame, Guard, Header, MemberId, Version, to_member, to_topic};

/// Longest frame of the sync protocol: a tail of 8 MiB with its head.
pub(super) const MAX_FRAME_BYTES: usize = 9 << 20;

/// What is no digest by the rules of members, whoever signed it.
pub(super) const MALFORMED_DIGEST: Bad = Bad("malformed digest");

/// Notes of one heads message: with its frame below what gossip carries (64 KiB).
pub(super) const MAX_HEADS_BYTES: usize = 56 << 10;

/// Who is to read an envelope.
pub(super) enum To<'a> {
    Member(MemberIx),
    Topic(&'a str),
}

/// An envelope whose signature is right and whose key counts.
pub(super) struct Opened<'a> {
    pub(super) header: Header,
    pub(super) body: Vec<u8>,
    /// The envelope as it came, to be shown to others.
    pub(super) envelope: Vec<u8>,
    /// What follows it.
    pub(super) rest: &'a [u8],
}

/// Whether a message of this epoch is read in another one: members come into an epoch one after the other (R14). What somebody
/// shows may be older than that.
pub(super) fn is_near(epoch: u64, ours: u64, shown: bool) -> bool {
    epoch.abs_diff(ours) <= 1 || (shown && epoch < ours)
}

impl Settings {
    fn header(&self, now: Now, kind: Kind, to: &To<'_>, guard: Guard, token: [u8; 16]) -> Header {
        Header {
            version: Version::V1_0,
            kind: kind.number(),
            federation: self.members.federation().id(),
            lineage: [0; 16],
            epoch: self.members.epoch(),
            sender: self.members.id(self.me),
            key_serial: self.keys.speaker(now.wall_seconds()).number,
            incarnation: self.incarnation.number,
            destination: match to {
                To::Member(member) => to_member(self.members.id(*member)),
                To::Topic(topic) => to_topic(topic),
            },
            guard,
            token,
            issued_at_us: now.wall.micros(),
        }
    }

    fn sealed(
        &self,
        now: Now,
        kind: Kind,
        to: &To<'_>,
        guarded: (Guard, [u8; 16]),
        body: &impl Encode,
    ) -> Vec<u8> {
        let header = self.header(now, kind, to, guarded.0, guarded.1);
        // Bodies are bounded far below the envelope's limit and the key is Ed25519, so sealing cannot fail; an empty
        // message would be refused by every reader.
        let key = &self.keys.speaker(now.wall_seconds()).envelope;
        Envelope::seal(header, codec::encode(body), key)
            .map(|envelope| envelope.to_bytes())
            .unwrap_or_default()
    }

    /// A signed message that promises nothing, with what follows it.
    pub(super) fn free(
        &self,
        now: Now,
        kind: Kind,
        to: &To<'_>,
        body: &impl Encode,
        rest: &[u8],
    ) -> FreeBytes {
        debug_assert!(matches!(
            kind,
            Kind::Prepare
                | Kind::Recover
                | Kind::Get
                | Kind::Refused
                | Kind::KnownChains
                | Kind::KnownForks
                | Kind::KnownRevocations
                | Kind::GetProof
        ));
        let mut payload = self.sealed(now, kind, to, (Guard::None, [0; 16]), body);
        payload.extend_from_slice(rest);
        FreeBytes(Frame::encode(Version::V1_0, kind.number(), &payload))
    }

    /// A signed question with a stream counter and the receiver's token.
    pub(super) fn guarded(
        &self,
        now: Now,
        kind: Kind,
        to: MemberIx,
        counter: u64,
        token: [u8; 16],
        body: &impl Encode,
    ) -> PromiseBytes {
        let guard = Guard::Stream {
            stream: u64::from(kind.number()),
            counter,
        };
        let payload = self.sealed(now, kind, &To::Member(to), (guard, token), body);
        PromiseBytes(Frame::encode(Version::V1_0, kind.number(), &payload))
    }

    /// A signed message that promises something.
    pub(super) fn promise(
        &self,
        now: Now,
        kind: Kind,
        to: MemberIx,
        body: &impl Encode,
    ) -> PromiseBytes {
        let payload = self.sealed(now, kind, &To::Member(to), (Guard::None, [0; 16]), body);
        PromiseBytes(Frame::encode(Version::V1_0, kind.number(), &payload))
    }

    /// Opens an envelope that came from its sender: federation, epoch, destination, sender and signature. `sender` is who
    /// must have signed it, if that is known.
    pub(super) fn open<'a>(
        &self,
        checks: &Checks,
        bytes: &'a [u8],
        kind: Kind,
        to: &To<'_>,
        sender: Option<MemberIx>,
    ) -> Result<Opened<'a>, Bad> {
        let message = (kind, to, sender, false);
        self.open_under(checks, bytes, message, Members::envelope_key)
    }

    /// As [`Settings::open`], for an envelope that somebody shows: its key may be an old one.
    pub(super) fn open_shown<'a>(
        &self,
        checks: &Checks,
        bytes: &'a [u8],
        kind: Kind,
        to: &To<'_>,
        sender: Option<MemberIx>,
    ) -> Result<Opened<'a>, Bad> {
        let message = (kind, to, sender, true);
        self.open_under(checks, bytes, message, Members::evidence_key)
    }

    fn open_under<'a>(
        &self,
        checks: &Checks,
        bytes: &'a [u8],
        (kind, to, sender, shown): (Kind, &To<'_>, Option<MemberIx>, bool),
        key_of: impl for<'m> Fn(&'m Members, MemberIx, u64) -> Option<&'m VerifierKey>,
    ) -> Result<Opened<'a>, Bad> {
        let (envelope, rest) = Envelope::split(bytes).map_err(|_| Bad("malformed envelope"))?;
        let header = envelope.header;
        if header.federation != self.members.federation().id() {
            return Err(Bad("other federation"));
        }
        if !is_near(header.epoch, self.members.epoch(), shown) {
            return Err(Bad("other epoch"));
        }
        if header.kind != kind.number() {
            return Err(Bad("kind differs"));
        }
        let destination: Hash = match to {
            To::Member(member) => to_member(self.members.id(*member)),
            To::Topic(topic) => to_topic(topic),
        };
        if header.destination != destination {
            return Err(Bad("misdirected"));
        }
        let from = self
            .members
            .by_id(MemberId(header.sender.0))
            .ok_or(Bad("stranger"))?;
        if sender.is_some_and(|expected| expected != from) {
            return Err(Bad("sender differs"));
        }
        let key = key_of(&self.members, from, header.key_serial).ok_or(Bad("unknown key"))?;
        if !checks.is_sealed(key, &envelope) {
            return Err(Bad("wrong signature"));
        }
        let length = bytes.len() - rest.len();
        Ok(Opened {
            header,
            body: envelope.body,
            envelope: bytes[..length].to_vec(),
            rest,
        })
    }
}

/// A frame that holds a note as it is.
pub(super) fn note_frame(kind: Kind, note: &str) -> Vec<u8> {
    Frame::encode(Version::V1_0, kind.number(), note.as_bytes())
}

/// A frame that holds what speaks for itself and promises nothing.
pub(super) fn note_frame_of(kind: Kind, payload: &[u8]) -> FreeBytes {
    debug_assert!(matches!(
        kind,
        Kind::Chains | Kind::Forks | Kind::ProofNodes | Kind::Revocations
    ));
    FreeBytes(Frame::encode(Version::V1_0, kind.number(), payload))
}

/// A frame of a major version that is not spoken here.
const UNKNOWN_VERSION: Bad = Bad("unknown version");
/// A frame of a kind of a later release.
const UNKNOWN_KIND: Bad = Bad("unknown kind");

impl Bad {
    /// Whether the sender is to be told that nothing of its message was read.
    pub(super) fn is_unknown(self) -> bool {
        self.0 == UNKNOWN_VERSION.0 || self.0 == UNKNOWN_KIND.0
    }
}

/// Parses a frame of the sync protocol, whatever minor version it is.
pub(super) fn frame(bytes: &[u8]) -> Result<(Kind, &[u8]), Bad> {
    let frame = Frame::parse(bytes, MAX_FRAME_BYTES).map_err(|_| Bad("malformed frame"))?;
    if frame.version.major != Version::V1_0.major {
        return Err(UNKNOWN_VERSION);
    }
    let kind = Kind::from_number(frame.kind).ok_or(UNKNOWN_KIND)?;
    Ok((kind, frame.payload))
}

/// Decodes a body.
pub(super) fn body<B: Encode + Decode<()>>(bytes: &[u8]) -> Result<B, Bad> {
    codec::decode(bytes).map_err(|_| Bad("malformed body"))
}

/// Parses a note.
pub(super) fn note(bytes: &[u8]) -> Result<SignedNote, Bad> {
    SignedNote::parse(bytes).map_err(|_| Bad("malformed note"))
}
