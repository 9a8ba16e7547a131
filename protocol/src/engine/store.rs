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
}

impl Record {
    /// Name of the row.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Incarnation => "incarnation",
        }
    }
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

    /// Adds a run of entries at the open end; it never crosses a bundle's border.
    fn put_tail(&mut self, start: u64, leaves: &[Hash], bundle: &[u8]) -> Result<()>;
    /// Drops the runs below `end`, which files hold now.
    fn drop_tail_below(&mut self, end: u64) -> Result<()>;

    /// Reads an unflushed tile of level 1 or more.
    fn edge(&self, level: u8, tile: u64) -> Result<Option<Vec<Hash>>>;
    /// Writes an unflushed tile of level 1 or more.
    fn put_edge(&mut self, level: u8, tile: u64, hashes: &[Hash]) -> Result<()>;
    /// Drops the tiles of `level` below `tile`, which files hold now.
    fn drop_edge_below(&mut self, level: u8, tile: u64) -> Result<()>;

    /// Adds a signed digest.
    fn put_digest(&mut self, size: u64, note: &str) -> Result<()>;
    /// The newest signed digest.
    fn newest_digest(&self) -> Result<Option<(u64, String)>>;
    /// Forgets all but the newest `keep` digests: the newest covers the older ones.
    fn prune_digests(&mut self, keep: u64) -> Result<()>;

    /// Looks up an idempotency id.
    fn idem(&self, id: &[u8; 16]) -> Result<Option<IdemRow>>;
    /// Remembers an idempotency id.
    fn put_idem(&mut self, tag: &IdemTag, row: &IdemRow) -> Result<()>;
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
