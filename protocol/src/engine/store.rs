//! The storage that the engine is given: one transaction per step, a savepoint per input.
//! Implementations: SQLite in `node`, memory in [`super::mem`]. May not be used outside a step.

use super::outbox::Committed;
use crate::entry::batch::{IdemTag, SealedPayload};
use crate::tlog::hash::{Hash, sha256_parts};

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room: roll back, push back, try again later.
    #[error("the disk is full: {0}")]
    Full(String),
    /// An I/O or sync error: the process must stop, because what is on disk is no longer known.
    #[error("I/O error in the store: {0}")]
    Io(String),
    /// A stored value is not what was written.
    #[error("damaged: {0}")]
    Damaged(String),
}

/// Singletons that are promises; each row carries a checksum (R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    /// The ledger's right edge, see [`super::ledger::head::Head`].
    Head,
    /// The incarnation of this start (R1).
    Incarnation,
    /// The head as of the newest signed digest of a federation's ledger: what a recovery may go back to, and no further.
    SignedHead,
    /// Size of the newest digest of this ledger that a quorum acknowledged.
    Acked,
    /// See [`super::federation::disk::OwnDisk`].
    Disk,
    /// The verified fork proof against this node's own ledger: nothing is ever signed again (R3).
    Forked,
    /// The successor that `ledger retire` named: nothing is ever signed again.
    Retired,
    /// Floor of the nonce window (R8).
    NonceFloor,
    /// Next block of stream counters that this node has not reserved (R7).
    StreamBlock,
    /// Clock bound in microseconds, if the floor must be raised before the next request: after a restore (R8).
    FloorDue,
    /// Digests of the fork proofs that no `fork.seen` entry tells of yet, one after the other.
    ForksOwed,
    /// Digests of the fork proofs that adopted `fork.seen` entries tell of, one after the other: they are told once.
    ForksTold,
    /// SHA-256 of the own certificate and revocation notes that `key.…` entries tell of, one after the other: they are told once.
    KeysTold,
    /// The open window of acks, see [`super::federation`] (R13).
    Window,
    /// Sizes before and after a fast-forward that no `restore` entry tells of yet (R3); empty when it does.
    Forwarded,
    /// This node's own votes may be missing, so it casts none (R14); empty when they were read back.
    VotesMissing,
    /// The active epoch that no `genesis.active` entry tells of yet (R14); empty when it does.
    ActiveOwed,
}

impl Record {
    /// Name of the row.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Incarnation => "incarnation",
            Self::SignedHead => "signed-head",
            Self::Acked => "acked",
            Self::Disk => "disk",
            Self::Forked => "forked",
            Self::Retired => "retired",
            Self::NonceFloor => "nonce-floor",
            Self::StreamBlock => "stream-block",
            Self::FloorDue => "floor-due",
            Self::ForksOwed => "forks-owed",
            Self::ForksTold => "forks-told",
            Self::KeysTold => "keys-told",
            Self::Window => "window",
            Self::Forwarded => "forwarded",
            Self::VotesMissing => "votes-missing",
            Self::ActiveOwed => "active-owed",
        }
    }
}

/// Keyed promise rows; each carries a checksum over its table, key and value (R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// What a tower holds and promised for an origin, by the origin's name.
    Mirror,
    /// Certificate chains of members, by name.
    Certificates,
    /// Disk ids of other towers, by member id: the current one and those it replaced.
    Disks,
    /// Windows of stream counters, by sender, key serial, incarnation and stream.
    Streams,
    /// Nonces of single requests, by time and sender.
    Nonces,
    /// Fork proofs, by their digest: see [`super::federation::forks::ForkRow`].
    Forks,
    /// Revocations of members' keys, by name and serial: see [`super::federation::revocations::RevocationRow`].
    Revocations,
    /// Digests that were not compared with what is held yet (R5), by ledger, size and root.
    Claims,
    /// The newest ack of each other tower (R5), by ledger and tower.
    Heads,
    /// Digests that no honest member signs (R5), by ledger and hash: see [`super::federation::forks::odd`].
    Odd,
    /// What a tower cosigned over HTTP, by origin.
    Witness,
    /// Acks that were given and received since the last `window` entry, by side and number (R13).
    Window,
    /// What this node voted (R14), by lineage, epoch, sort and round. In no backup: see [`crate::genesis::ceremony`].
    Votes,
    /// What is known of the vote on the next epoch, by epoch, sort and hash.
    Genesis,
    /// What made each epoch active, by epoch; kept for ever.
    Manifests,
    /// How each ledger came into an epoch, by ledger and epoch; kept for ever: see [`super::federation::epochs::JointRow`].
    Joints,
}

impl Table {
    /// All of them, for checks that go through everything.
    pub const ALL: [Self; 16] = [
        Self::Mirror,
        Self::Certificates,
        Self::Disks,
        Self::Streams,
        Self::Nonces,
        Self::Forks,
        Self::Revocations,
        Self::Claims,
        Self::Heads,
        Self::Odd,
        Self::Witness,
        Self::Window,
        Self::Votes,
        Self::Genesis,
        Self::Manifests,
        Self::Joints,
    ];

    /// Name in the store and in checksums.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Certificates => "certificates",
            Self::Disks => "disks",
            Self::Streams => "streams",
            Self::Nonces => "nonces",
            Self::Window => "window",
            Self::Forks => "forks",
            Self::Revocations => "revocations",
            Self::Claims => "claims",
            Self::Heads => "heads",
            Self::Odd => "odd",
            Self::Witness => "witness",
            Self::Votes => "votes",
            Self::Genesis => "genesis",
            Self::Manifests => "manifests",
            Self::Joints => "joints",
        }
    }
}

/// Which ledger's entries: the node's own, or one it mirrors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

impl Place {
    /// The node's own ledger.
    pub const OWN: Self = Self(0);
}

/// A run of entries at the open end of a ledger; it never crosses a bundle's border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index of its first entry.
    pub start: u64,
    /// Leaf hashes.
    pub leaves: Vec<Hash>,
    /// Entries in bundle form.
    pub bundle: Vec<u8>,
}

/// What is stored under an idempotency id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdemRow {
    /// Index of the entry.
    pub index: u64,
    /// Content tag of the entry.
    pub content: [u8; 16],
    /// When it may be forgotten, in microseconds since 1970; `None`: never.
    pub expires_us: Option<i64>,
}

/// Checksum of a promise row: SHA-256 over its kind, key and value.
#[must_use]
pub fn checksum(kind: &str, key: &[u8], value: &[u8]) -> Hash {
    let (kind_len, key_len) = (
        (kind.len() as u64).to_be_bytes(),
        (key.len() as u64).to_be_bytes(),
    );
    sha256_parts(&[
        b"belfry/row/v1\0",
        &kind_len,
        kind.as_bytes(),
        &key_len,
        key,
        value,
    ])
}

type Result<T> = std::result::Result<T, StoreError>;

/// One transaction. Dropped without [`Transaction::commit`], it leaves no trace.
pub trait Transaction {
    /// Begins the savepoint of one input.
    ///
    /// # Errors
    /// As for every method: [`StoreError`].
    fn savepoint(&mut self) -> Result<()>;
    /// Keeps what was done since the savepoint.
    fn keep_savepoint(&mut self) -> Result<()>;
    /// Undoes what was done since the savepoint.
    fn undo_savepoint(&mut self) -> Result<()>;

    /// Reads a singleton, its checksum checked.
    fn record(&self, record: Record) -> Result<Option<Vec<u8>>>;
    /// Writes a singleton.
    fn put_record(&mut self, record: Record, value: &[u8]) -> Result<()>;

    /// Reads a keyed row, its checksum checked.
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Writes a keyed row.
    fn put_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()>;
    /// Removes a keyed row.
    fn remove_row(&mut self, table: Table, key: &[u8]) -> Result<()>;
    /// The rows from key `from` on, in order, at most `limit`, checksums checked.
    fn rows(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;
    /// Removes the rows whose key is below `below`, and says how many there were.
    fn remove_rows_below(&mut self, table: Table, below: &[u8]) -> Result<u64>;

    /// Adds a run of entries at the open end.
    fn put_tail(&mut self, place: Place, start: u64, leaves: &[Hash], bundle: &[u8]) -> Result<()>;
    /// The unflushed runs that begin within `[from, to)`, in order.
    fn tail(&self, place: Place, from: u64, to: u64) -> Result<Vec<Run>>;
    /// Drops the runs that begin below `end`, which files hold now.
    fn drop_tail_below(&mut self, place: Place, end: u64) -> Result<()>;
    /// Drops the runs that begin at `start` or above: an unsigned tail that is given up.
    fn drop_tail_from(&mut self, place: Place, start: u64) -> Result<()>;

    /// Reads an unflushed tile of level 1 or more.
    fn edge(&self, place: Place, level: u8, tile: u64) -> Result<Option<Vec<Hash>>>;
    /// Writes an unflushed tile of level 1 or more.
    fn put_edge(&mut self, place: Place, level: u8, tile: u64, hashes: &[Hash]) -> Result<()>;
    /// Drops the tiles of `level` below `tile`, which files hold now.
    fn drop_edge_below(&mut self, place: Place, level: u8, tile: u64) -> Result<()>;
    /// Drops the tiles of `level` at `tile` and above.
    fn drop_edge_from(&mut self, place: Place, level: u8, tile: u64) -> Result<()>;

    /// Adds a signed digest, or replaces its note by one with more signatures.
    fn put_digest(&mut self, size: u64, note: &str) -> Result<()>;
    /// The newest signed digest.
    fn newest_digest(&self) -> Result<Option<(u64, String)>>;
    /// The signed digest of exactly `size` entries.
    fn digest(&self, size: u64) -> Result<Option<String>>;
    /// Forgets the digests above `size`; only a recovery does that, with digests that are a prefix of nothing.
    fn drop_digests_above(&mut self, size: u64) -> Result<()>;
    /// Forgets all but the newest `keep` digests: the newest covers the older ones.
    fn prune_digests(&mut self, keep: u64) -> Result<()>;

    /// Looks up an idempotency id.
    fn idem(&self, id: &[u8; 16]) -> Result<Option<IdemRow>>;
    /// Remembers an idempotency id.
    fn put_idem(&mut self, tag: &IdemTag, row: &IdemRow) -> Result<()>;
    /// Forgets the ids of entries from `index` on, which are given up.
    fn drop_idem_from(&mut self, index: u64) -> Result<()>;
    /// Forgets ids that expired before `now_us`.
    fn prune_idem(&mut self, now_us: i64) -> Result<()>;

    /// Stores the sealed payload of entry `index`; it is durable before the rest of the transaction is.
    fn put_payload(&mut self, index: u64, payload: &SealedPayload) -> Result<()>;
    /// Destroys a payload's key once this transaction is durable, and retries at start until it is done.
    fn erase_payload(&mut self, id: &[u8; 32], erase_index: u64) -> Result<()>;
    /// Index of the `erase` entry, if the payload was erased.
    fn erased(&self, id: &[u8; 32]) -> Result<Option<u64>>;

    /// Makes everything durable.
    fn commit(self) -> Result<Committed>;
}
