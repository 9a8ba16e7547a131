//! Inputs and outputs of a federated node's engine: plain data. What promises something is a [`Promise`] and waits for
//! the commit, the rest is [`Free`] (R9). Bytes of a promising message exist only as [`PromiseBytes`], which no free
//! output takes.

use super::checks::Checks;
use super::members::MemberIx;
use super::skew::ClockStatus;
use super::witness::{Answer, Upload};
use crate::clock::{Interval, Stamps};
use crate::engine::ledger;
use crate::engine::nonces::Counts;
use crate::engine::store::Place;
use crate::fork::ForkProof;
use crate::manifest::Quorum;
use crate::note::SignedNote;
use crate::tlog::hash::Hash;
use crate::wire::v1::{Get, GetProof};
use crate::witness::{AddCheckpoint, SignSubtree};

/// Which protocol a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// `/belfry/hello/1`
    Hello,
    /// `/belfry/<digest8>/sync/1`
    Sync,
}

/// Where gossip goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Signed digests as they are published.
    Digests,
    /// Heads of towers.
    Acks,
    /// Fork proofs.
    Alarms,
}

/// What the gossip layer does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Accept,
    /// Known, stale or not understood: neither pass on nor blame.
    Ignore,
    /// Breaks a rule.
    Reject,
}

/// What the runtime tells the engine.
pub enum Input {
    /// For the node's own ledger.
    Ledger(ledger::Input),
    /// A connection to this transport id is open.
    PeerUp {
        /// Transport id.
        peer: String,
        /// Whether we dialled: the dialler says hello first.
        dialed: bool,
    },
    /// The last connection to it is closed.
    PeerDown {
        /// Transport id.
        peer: String,
    },
    /// A peer asks.
    Request {
        /// Transport id.
        peer: String,
        /// Names the answer.
        id: u64,
        /// Protocol.
        protocol: Protocol,
        /// As they came.
        bytes: Vec<u8>,
        /// What was checked ahead.
        checks: Checks,
    },
    /// A peer answered, or will not.
    Response {
        /// Our number of the request.
        id: u64,
        /// The answer; `None` when there is none.
        bytes: Option<Vec<u8>>,
        /// What was checked ahead.
        checks: Checks,
    },
    /// Gossip.
    Gossip {
        /// Who passed it on.
        peer: String,
        /// Names the verdict.
        id: [u8; 20],
        /// Topic.
        topic: Topic,
        /// As they came.
        bytes: Vec<u8>,
        /// What was checked ahead.
        checks: Checks,
    },
    /// A checkpoint came over HTTP, see [`super::witness`].
    AddCheckpoint {
        /// Names the answer.
        id: u64,
        /// The request.
        request: Box<AddCheckpoint>,
        /// What was checked ahead.
        checks: Checks,
    },
    /// A subtree of a cosigned tree is to be signed, as HTTP asked; see [`super::witness`].
    SignSubtree {
        /// Names the answer.
        id: u64,
        /// The request.
        request: Box<SignSubtree>,
        /// What was checked ahead.
        checks: Checks,
    },
    /// Entries came over HTTP, see [`super::witness`].
    AddEntries {
        /// Names the answer.
        id: u64,
        /// What came.
        upload: Box<Upload>,
    },
    /// Tiles of a mirrored ledger below `through` are in files, verified.
    MirrorFlushed {
        /// The ledger.
        origin: String,
        /// One past the last flushed entry.
        through: u64,
    },
    /// A probe of a peer's clock came back: what was read at the socket (R8).
    ClockSample {
        /// Transport id.
        peer: String,
        /// The four timestamps.
        stamps: Stamps,
    },
    /// Answer to [`Free::Compare`].
    Compared {
        /// Its number.
        question: u64,
        /// The nodes; `None` if they cannot be had from here.
        nodes: Option<Vec<Hash>>,
    },
    /// Two digests under this node's own log key that cannot both be true, found beside the engine and judged by it again.
    OwnFork(Box<ForkProof>),
    /// The file of a window is durable, see [`Free::KeepWindow`].
    WindowKept {
        /// Its SHA-256.
        hash: Hash,
    },
    /// An operator compared this node's wall clock with another one and says that it is right (R8): good until the next step
    /// of the clock or the next start.
    ConfirmClock,
    /// A revocation by this node's own identity key: see [`super::revocations`]. The revoked keys sign nothing any more.
    Revoke(Box<SignedNote>),
    /// Time passed.
    Tick,
}

/// Bytes of a message that promises nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeBytes(pub(super) Vec<u8>);

/// Bytes of a message that promises something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromiseBytes(pub(super) Vec<u8>);

impl FreeBytes {
    /// For the transport.
    #[must_use]
    pub fn into_inner(self) -> Vec<u8> {
        self.0
    }
}

impl PromiseBytes {
    /// For whoever watches what leaves a node, without sending it.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// For the transport, after the commit.
    #[must_use]
    pub fn into_inner(self) -> Vec<u8> {
        self.0
    }
}

/// Outputs that may leave only when they are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Answer a request.
    Reply {
        /// The request.
        id: u64,
        /// The answer.
        bytes: PromiseBytes,
    },
    /// Ask a peer.
    Request {
        /// Transport id.
        peer: String,
        /// Names the response.
        id: u64,
        /// The request.
        bytes: PromiseBytes,
    },
    /// Gossip.
    Publish {
        /// Topic.
        topic: Topic,
        /// Message.
        bytes: PromiseBytes,
    },
    /// Make the keys of the next serial and hand them over with [`super::Engine::renew`]: this tower was restored (R3).
    TakeSerial {
        /// First size that the new log key signs, if they are handed over before the next step; see
        /// [`super::Engine::next_from_size`].
        log_from_size: u64,
    },
    /// A quorum of towers holds and acknowledged the ledger up to here.
    Acked {
        /// Size of the digest.
        size: u64,
    },
    /// Answer an HTTP request: [`Input::AddCheckpoint`], [`Input::SignSubtree`] or [`Input::AddEntries`].
    Witnessed {
        /// The request.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// A human must know.
    Alarm(Alarm),
}

/// Outputs that promise nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Free {
    /// Ask a peer.
    Request {
        /// Transport id.
        peer: String,
        /// Names the response.
        id: u64,
        /// Protocol.
        protocol: Protocol,
        /// The request.
        bytes: FreeBytes,
    },
    /// Answer a request.
    Reply {
        /// The request.
        id: u64,
        /// The answer.
        bytes: FreeBytes,
    },
    /// Read entries and answer with them: see [`super::serve`]. Reading is the runtime's, beside the engine.
    Serve {
        /// The request.
        id: u64,
        /// Which ledger.
        place: Place,
        /// What was asked for.
        get: Get,
    },
    /// Make a proof and answer with it: see [`super::serve::prove`].
    Prove {
        /// The request.
        id: u64,
        /// Which ledger.
        place: Place,
        /// What was asked for.
        get: GetProof,
    },
    /// Make a proof for this node itself, see [`super::serve::nodes`], and hand it over with [`Input::Compared`].
    Compare {
        /// Names the answer.
        question: u64,
        /// Which ledger.
        place: Place,
        /// Its origin.
        origin: String,
        /// Size of the smaller tree.
        smaller: u64,
        /// Size of the larger tree.
        larger: u64,
    },
    /// Do not answer.
    NoAnswer {
        /// The request.
        id: u64,
    },
    /// What to do with gossip.
    Verdict {
        /// The message.
        id: [u8; 20],
        /// Who passed it on.
        peer: String,
        /// What to do.
        verdict: Verdict,
    },
    /// This peer passed hello: let it speak.
    Admit {
        /// Transport id.
        peer: String,
    },
    /// Keep these bytes in a file for good, then say [`Input::WindowKept`]. If it cannot be kept, it is asked for again.
    KeepWindow {
        /// Their SHA-256.
        hash: Hash,
        /// An attachment, see [`crate::window`].
        bytes: Vec<u8>,
    },
    /// The own clocks stepped: measure all peers' clocks anew, now.
    MeasureClocks,
    /// A message was given up: for the log.
    Refused {
        /// Transport id of who sent it, or passed it on.
        peer: String,
        /// Why; a fixed set of words.
        why: &'static str,
        /// Whether it was gossip, which somebody else may have written.
        relayed: bool,
    },
    /// Close the connection once pending answers are out.
    Disconnect {
        /// Transport id.
        peer: String,
        /// Why, for the log.
        why: String,
    },
}

/// What a human must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// This node's ledger was older than what it had signed, and was brought forward.
    FastForward {
        /// Size on disk at start.
        from: u64,
        /// Size now.
        to: u64,
    },
    /// Another live copy of this node has taken over: this one stopped signing.
    SecondCopy {
        /// Its incarnation.
        incarnation: u64,
    },
    /// Others hold a digest of this node's own that this start did not make: it stopped signing.
    ForeignStatement {
        /// Size of that digest.
        size: u64,
    },
    /// The wall clock stepped.
    WallStep {
        /// By so many microseconds.
        by_us: i64,
    },
    /// More than half of the members show that the own wall clock is out of bounds (R4): nothing is acknowledged.
    ClockViolated {
        /// How far it is ahead of the federation's time: between both, in microseconds.
        own: Interval,
        /// Members that show it, each by itself.
        against: usize,
        /// Members in all.
        members: usize,
    },
    /// Two digests of one ledger cannot both be true.
    Fork {
        /// The ledger.
        origin: String,
        /// Size of the larger digest.
        size: u64,
    },
    /// A tower acknowledged two trees that cannot both be true.
    TowerFork {
        /// The ledger.
        origin: String,
        /// The tower.
        tower: String,
    },
    /// Nobody hands out what a ledger's newest digest covers, nor a proof that it extends what is held.
    Withheld {
        /// The ledger.
        origin: String,
        /// Size of that digest.
        size: u64,
    },
    /// A tower finds acks of its own that it does not remember: its disk was rolled back.
    TowerRolledBack {
        /// The ledger.
        origin: String,
    },
    /// A newer certificate takes a size that the key before it signed already (R6).
    KeyRange {
        /// The ledger.
        origin: String,
        /// Size of the digest that was signed.
        size: u64,
        /// First size of the newer key.
        from_size: u64,
    },
    /// A revoked key signed what covers its own revocation: somebody else has it (R6).
    StolenKey {
        /// Whose key.
        member: String,
        /// Its serial.
        serial: u64,
        /// The ledger.
        origin: String,
        /// Size of the digest that it signed.
        size: u64,
    },
    /// A member signed a digest of a form that no honest member signs; it is kept.
    OddDigest {
        /// The ledger.
        origin: String,
        /// Its size.
        size: u64,
    },
}

/// How far a federated node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `recovering`, `adopting`, `preparing`, `active` or `stopped: …`; without a factory's role `restoring` or `asking`,
    /// then `tower`; `retired, its successor is …` where the ledger ended.
    pub phase: String,
    /// Who goes on in place of this node's ledger, if it was retired.
    pub successor: Option<String>,
    /// Whether appends are taken.
    pub appends: bool,
    /// Size of the newest acknowledged digest.
    pub acked: u64,
    /// The newest epoch in force here (R14).
    pub epoch: u64,
    /// From when its members should sign the next one, in seconds since 1970.
    pub resign_from_seconds: u64,
    /// When its manifest ends, in seconds since 1970.
    pub expires_seconds: u64,
    /// The epoch whose towers judge this node's ledger: an older one while it is on its way into the newest. `None` if none do.
    pub judged_by: Option<u64>,
    /// Number of this start, as raised by recovery.
    pub incarnation: u64,
    /// Members with the connection state and what they hold of this node's ledger.
    pub peers: Vec<PeerStatus>,
    /// Mirrored ledgers: name, entries held under a digest, newest digest seen, newest acked.
    pub mirrors: Vec<MirrorStatus>,
    /// Fork proofs that are kept, in the order of their digests.
    pub forks: Vec<ForkStatus>,
    /// Digests of members that no honest one signs, and that are kept: see [`super::forks::odd`].
    pub odd_digests: Vec<OddStatus>,
    /// Serials of members that were revoked.
    pub revoked: Vec<RevokedStatus>,
    /// Logs that are no members and that this tower cosigns: the first few hundred.
    pub logs: Vec<LogStatus>,
    /// How many of those there are.
    pub logs_total: u64,
    /// Messages refused, by reason.
    pub refused: Vec<(&'static str, u64)>,
    /// The quorum of this node's own ledger, if towers watch it.
    pub quorum: Option<Quorum>,
    /// How many of those towers are connected.
    pub towers_connected: u32,
    /// Members that a tower waits for before it acks: they did not tell yet what they saw since its start (R3).
    pub waits_for: Vec<String>,
    /// Steps of the wall clock since the start.
    pub wall_steps: u64,
    /// The clocks of the members, and what they say of the own one.
    pub clock: ClockStatus,
    /// What anti-replay accepted and refused since the start.
    pub nonces: Counts,
    /// Ledgers that a restored tower has yet to catch up with, or to ack for the first time.
    pub restoring: Vec<String>,
    /// Whether a restored tower waits for keys of a new serial.
    pub needs_serial: bool,
}

/// One member as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Index in the manifest.
    pub member: MemberIx,
    /// Name.
    pub name: String,
    /// Whether it passed hello on an open connection.
    pub connected: bool,
    /// Entries of this node's ledger that it said it holds, since this start.
    pub held: u64,
    /// Why the last hello failed, if it did.
    pub goodbye: Option<String>,
    /// Why it refused the last prepare or digest, if it did.
    pub refused: Option<&'static str>,
    /// Messages that it sent or passed on and that were refused, by reason.
    pub refusals: Vec<(&'static str, u64)>,
}

/// One mirrored ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorStatus {
    /// The ledger.
    pub origin: String,
    /// Entries held that a digest covers.
    pub held: u64,
    /// Entries held in all.
    pub tail: u64,
    /// Newest digest seen.
    pub seen: u64,
    /// Newest digest acknowledged.
    pub acked: u64,
    /// `ok`, `withheld` or `forked` (R5), or `key-range` (R6).
    pub state: &'static str,
}

/// One fork proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkStatus {
    /// `origin` or `tower`.
    pub kind: &'static str,
    /// Whom it accuses.
    pub accused: String,
    /// The ledger.
    pub origin: String,
    /// Size of the smaller digest.
    pub smaller: u64,
    /// Size of the larger digest.
    pub larger: u64,
    /// SHA-256 of the file, in hex.
    pub digest: String,
}

/// A digest that no honest member signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OddStatus {
    /// The ledger.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// SHA-256 of the note, in hex.
    pub digest: String,
}

/// One serial that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedStatus {
    /// The member.
    pub name: String,
    /// Its serial.
    pub serial: u64,
    /// The reason's word.
    pub reason: &'static str,
    /// Ledgers for which it acts, as far as is known here.
    pub acts_for: Vec<String>,
}

/// One log that is no member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The log.
    pub origin: String,
    /// Size cosigned last; `None` if none was.
    pub size: Option<u64>,
    /// Time of that cosignature, in seconds since 1970.
    pub time_seconds: u64,
    /// Whether there is a fork proof against it.
    pub forked: bool,
}
