//! Bodies of the sync protocol 1.0, frozen: a change is a new version beside this one, never an edit.
//! Data only. Which of them are signed envelopes and which stand for themselves is said at [`Kind`].

use super::codec::{Bytes, Decode, Encode, List, Text};
use super::header::MemberId;
use crate::fork::MAX_FORK_BYTES;
use crate::tlog::hash::Hash;

/// Longest note in a body: a digest with the lines of 64 towers.
pub const MAX_NOTE_BYTES: usize = 16 << 10;
/// Longest envelope that is carried as evidence.
pub const MAX_EVIDENCE_BYTES: usize = 16 << 10;
/// Longest certificate note.
pub const MAX_CERTIFICATE_BYTES: usize = 8 << 10;
/// Most ledgers or disks in one body: the members of a federation.
pub const MAX_MEMBERS: usize = 64;

/// Kinds of frames in sync 1.0. "Envelope" kinds are signed by their sender, "plain" ones are judged by their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kind {
    /// Envelope to the topic [`PREPARE_TOPIC`], [`Prepare`]; the entries follow in bundle form.
    Prepare = 1,
    /// Envelope, [`Prepared`]: the entries are durable. A promise.
    Prepared = 2,
    /// Envelope, [`Refused`].
    Refused = 3,
    /// Plain: a signed digest, as a request or by gossip.
    Digest = 4,
    /// Plain: the digest with the lines of its tower. A promise.
    Acks = 5,
    /// Envelope to the topic [`RECOVER_TOPIC`], [`Recover`].
    Recover = 6,
    /// Envelope, [`Recovered`]. A promise.
    Recovered = 7,
    /// Envelope with a stream counter and a token, [`Marks`].
    Marks = 8,
    /// Envelope, [`Marked`]. A promise.
    Marked = 9,
    /// Envelope, [`Get`].
    Get = 10,
    /// Plain, [`Entries`]; the entries follow in bundle form.
    Entries = 11,
    /// Plain, [`Heads`], by gossip.
    Heads = 12,
    /// Envelope, [`KnownChains`].
    KnownChains = 13,
    /// Plain, [`Chains`].
    Chains = 14,
    /// Envelope, [`KnownForks`].
    KnownForks = 15,
    /// Plain, [`Forks`].
    Forks = 16,
    /// Envelope, [`GetProof`].
    GetProof = 17,
    /// Plain, [`ProofNodes`].
    ProofNodes = 18,
    /// Plain: a fork proof as its file has it, by gossip.
    Fork = 19,
    /// Envelope, [`KnownRevocations`].
    KnownRevocations = 30,
    /// Plain, [`Revocations`], as an answer or by gossip.
    Revocations = 31,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        const ALL: [Kind; 21] = [
            Kind::Prepare,
            Kind::Prepared,
            Kind::Refused,
            Kind::Digest,
            Kind::Acks,
            Kind::Recover,
            Kind::Recovered,
            Kind::Marks,
            Kind::Marked,
            Kind::Get,
            Kind::Entries,
            Kind::Heads,
            Kind::KnownChains,
            Kind::Chains,
            Kind::KnownForks,
            Kind::Forks,
            Kind::GetProof,
            Kind::ProofNodes,
            Kind::Fork,
            Kind::KnownRevocations,
            Kind::Revocations,
        ];
        ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// Destination of every prepare: all towers get the same bytes, so that one can show them to another.
pub const PREPARE_TOPIC: &str = "prepare";
/// Destination of every recovery query.
pub const RECOVER_TOPIC: &str = "recover";

/// The disk of a tower, by a random id that is renewed with every restore (R1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct DiskRef {
    /// The tower.
    pub member: MemberId,
    /// Its disk id.
    pub disk: [u8; 16],
}

/// The disk of a tower with its own message that names it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DiskSeen {
    /// The disk.
    pub disk: DiskRef,
    /// The tower's [`Marks`] envelope.
    pub by: Bytes<MAX_EVIDENCE_BYTES>,
}

/// "I am about to sign a digest of `to` entries with this root: hold them" (R1). The incarnation is in the header.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Prepare {
    /// The ledger.
    pub origin: Text<200>,
    /// Tells two starts with one incarnation number apart.
    pub instance: [u8; 16],
    /// Size of the ledger with all entries that follow.
    pub to: u64,
    /// Root at `to`.
    pub root: Hash,
    /// Disks of the towers whose answers this incarnation rests on.
    pub rests_on: List<DiskRef, MAX_MEMBERS>,
}

/// "I hold it durably, under this incarnation, and refuse lower ones" (R1).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Prepared {
    /// The ledger.
    pub origin: Text<200>,
    /// The incarnation it holds the entries under.
    pub incarnation: u64,
    /// Its instance.
    pub instance: [u8; 16],
    /// Entries held.
    pub to: u64,
    /// Root at `to`.
    pub root: Hash,
    /// The disk that holds them.
    pub disk: [u8; 16],
}

/// Why a tower refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reason {
    /// A higher incarnation was promised; the evidence is the factory's own message (R1).
    HigherIncarnation,
    /// It rests on a disk that was replaced (R1).
    ReplacedDisk,
    /// Entries before those sent are missing: `held` says where to begin.
    Gap,
    /// A newer signed digest was seen; the evidence is that note (R3).
    BelowDigest,
    /// The entries do not lead to the root.
    OtherRoot,
    /// Restored or recovering: it promises nothing yet (R3).
    Recovering,
    /// It conflicts with a digest that was signed: no acks for this ledger (R5).
    Conflict,
    /// More than a tower takes unsigned.
    TooMuch,
    /// Not a tower of this ledger, or not its factory.
    NotYours,
    /// The message cannot be read, or breaks a rule.
    Bad,
    /// Its kind, or the version of its frame, is not known here; nothing of it was read.
    Unknown,
    /// The tower's own clock is proven wrong, or just stepped: it acks nothing (R4).
    Clock,
}

impl Reason {
    /// What it means, for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::HigherIncarnation => "another start of this node took over there",
            Self::ReplacedDisk => "a tower's disk was replaced; recovering again",
            Self::Gap => "it lacks earlier entries and fetches them",
            Self::BelowDigest => "it saw a newer digest of this node",
            Self::OtherRoot => "the entries do not lead to the root",
            Self::Recovering => "it still asks others what they know, and acks nothing before",
            Self::Conflict => "it holds two digests that contradict each other",
            Self::TooMuch => "more than a tower takes unsigned",
            Self::NotYours => "it is no tower of this ledger",
            Self::Bad => "it cannot read the message",
            Self::Unknown => "it does not know this version or kind of message",
            Self::Clock => {
                "its clock is proven wrong, or just stepped; it acks again once that is mended"
            }
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refused {
    /// The ledger; empty for [`Reason::Unknown`].
    pub origin: Text<200>,
    /// Why.
    pub reason: Reason,
    /// Entries held and covered by a digest, for [`Reason::Gap`].
    pub held: u64,
    /// What the factory itself signed that stands against it; empty otherwise.
    pub evidence: Bytes<MAX_EVIDENCE_BYTES>,
}

/// "What do you know of me, and promise to refuse lower incarnations" (R1, R3).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Recover {
    /// The ledger.
    pub origin: Text<200>,
    /// This start.
    pub instance: [u8; 16],
    /// Random; the answer repeats it.
    pub nonce: [u8; 16],
}

/// An unsigned tail that a tower holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tail {
    /// Entries.
    pub size: u64,
    /// Root.
    pub root: Hash,
    /// Incarnation it is held under.
    pub incarnation: u64,
    /// The factory's prepare envelope for exactly this.
    pub prepare: Bytes<MAX_EVIDENCE_BYTES>,
}

/// Answer to [`Recover`]: promise and state of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Recovered {
    /// The ledger.
    pub origin: Text<200>,
    /// The promised incarnation.
    pub incarnation: u64,
    /// Its instance.
    pub instance: [u8; 16],
    /// Repeated.
    pub nonce: [u8; 16],
    /// Whether this tower has still to catch up after a restore: the answer does not count then.
    pub restored: bool,
    /// The disk of this answer.
    pub disk: [u8; 16],
    /// The newest signed digest seen, as a note; empty if none.
    pub digest: Bytes<MAX_NOTE_BYTES>,
    /// Entries held that a digest covers.
    pub held: u64,
    /// The unsigned tail beyond.
    pub tail: Option<Tail>,
    /// Disks of other towers as known here.
    pub disks: List<DiskSeen, MAX_MEMBERS>,
}

/// "What did you see of the ledgers I watch, and of my acks" (R3, towers).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Marks {
    /// Random; the answer repeats it.
    pub nonce: [u8; 16],
    /// The asker's disk, which is to be noted.
    pub disk: [u8; 16],
}

/// What a node saw of one ledger.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Mark {
    /// The ledger.
    pub origin: Text<200>,
    /// Whether the answering tower has itself to catch up with it: what it says does not count then.
    pub restored: bool,
    /// The newest digest, with whatever lines are known, the asker's among them; empty if none.
    pub digest: Bytes<MAX_NOTE_BYTES>,
    /// The newest digest that it acked, or that was acked for it, with those lines; empty if none.
    pub acked: Bytes<MAX_NOTE_BYTES>,
    /// The unsigned tail it holds beyond.
    pub tail: Option<Tail>,
    /// The factory's message that raised the highest incarnation it promised; empty if none.
    pub promised_by: Bytes<MAX_EVIDENCE_BYTES>,
}

/// Answer to [`Marks`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Marked {
    /// Repeated.
    pub nonce: [u8; 16],
    /// Whether the answering factory signs, so that it knows its own newest digest.
    pub signs: bool,
    /// One per ledger.
    pub marks: List<Mark, MAX_MEMBERS>,
}

/// What is asked for by [`Kind::Get`]: entries of a ledger with a proof.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Get {
    /// The ledger.
    pub origin: Text<200>,
    /// First entry.
    pub from: u64,
    /// Entries wanted at most.
    pub count: u32,
    /// Size of the tree that the answer is to be proved against.
    pub tree_size: u64,
}

/// Head of the answer to [`Get`]; the entries follow in bundle form.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entries {
    /// First entry.
    pub from: u64,
    /// One past the last entry; equal to `from`: not held here.
    pub to: u64,
    /// Consistency proof from `to` to the asked tree size (RFC 9162).
    pub proof: List<Hash, 64>,
}

/// The newest digests a tower knows, each with its own lines; gossiped at most once a second.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Heads {
    /// Notes.
    pub notes: List<Bytes<MAX_NOTE_BYTES>, MAX_MEMBERS>,
}

/// How many certificates of a member are known.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChainLength {
    /// The member.
    pub name: Text<200>,
    /// Length of its chain.
    pub known: u32,
}

/// "Whose certificate chains do you know longer than these?" (R6)
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KnownChains {
    /// One per member.
    pub lengths: List<ChainLength, MAX_MEMBERS>,
}

/// A member's certificate chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChainOf {
    /// The member.
    pub name: Text<200>,
    /// Its certificate notes, oldest first.
    pub notes: List<Bytes<MAX_CERTIFICATE_BYTES>, 256>,
}

/// Answer to [`KnownChains`]: chains that are longer; not all of them if that would be too much at once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Chains {
    /// Whole chains.
    pub chains: List<ChainOf, MAX_MEMBERS>,
}

/// A serial that was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RevokedKey {
    /// The member.
    pub name: Text<200>,
    /// Its serial.
    pub serial: u64,
}

/// Most revocations in one message: with the longest notes it fits what gossip carries.
pub const MAX_REVOCATIONS: usize = 64;

/// "Which revocations do you know, except these?" (R6)
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KnownRevocations {
    /// Revocations that the asker has.
    pub keys: List<RevokedKey, MAX_REVOCATIONS>,
}

/// Revocation notes: the answer to [`KnownRevocations`], not all of them if that would be too many at once; or news.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Revocations {
    /// Notes.
    pub notes: List<Bytes<MAX_CERTIFICATE_BYTES>, MAX_REVOCATIONS>,
}

/// Whose two signatures a fork proof is about (R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Signer {
    /// A log.
    Origin,
    /// A tower.
    Tower,
}

/// Somebody whom a fork proof accuses.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Accused {
    /// As what.
    pub signer: Signer,
    /// The member.
    pub name: Text<200>,
}

/// "Against whom do you have a fork proof, except these?" (R5)
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KnownForks {
    /// Everybody against whom the asker has one.
    pub accused: List<Accused, { 2 * MAX_MEMBERS }>,
}

/// Most fork proofs in one answer: each may be as long as its file, and an answer is one frame.
pub const MAX_FORKS: usize = 16;

/// Answer to [`KnownForks`]: one proof against each other accused; not all of them if that would be too much at once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Forks {
    /// Fork proofs as their files have them.
    pub proofs: List<Bytes<MAX_FORK_BYTES>, MAX_FORKS>,
}

/// "Show that the tree of `smaller` entries grew into that of `larger`": for a digest that cannot be compared yet (R5).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GetProof {
    /// The ledger.
    pub origin: Text<200>,
    /// Size of the smaller tree, at least 1.
    pub smaller: u64,
    /// Size of the larger tree.
    pub larger: u64,
}

/// Answer to [`GetProof`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ProofNodes {
    /// SUBPROOF(smaller, D\[larger\], false), always with its starting node, of the tree that is held here; empty if it is
    /// not held.
    pub nodes: List<Hash, 64>,
}
