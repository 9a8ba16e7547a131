//! Start-up, the local half (R1, R3): a new incarnation before anything else, and the right edge against the last
//! signed digest. What other nodes know comes later; a node that fails here must not sign.

use super::head::Head;
use crate::checkpoint::Checkpoint;
use crate::engine::keys::LogKeys;
use crate::engine::store::{Record, StoreError, Transaction};
use crate::entry::time::TimeUs;
use crate::note::SignedNote;
use crate::tlog::hash::Hash;
use crate::tlog::proof::{TileSource, TreeReader};

/// One start of a node: a number above any before, and a random id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Counts starts.
    pub number: u64,
    /// Tells two starts with one number apart: two live copies of one directory.
    pub instance: [u8; 16],
}

/// Takes the next incarnation; durable with this transaction, which must be the first of a start. The number is above
/// the one before and not below the clock in microseconds: a directory that was rolled back or lost then comes with a higher one than
/// others heard of. That saves a round of refusals and carries no safety.
///
/// # Errors
/// When the store fails or the record is damaged.
pub fn take_incarnation(
    tx: &mut impl Transaction,
    instance: [u8; 16],
    wall: TimeUs,
) -> Result<Incarnation, StoreError> {
    let floor = u64::try_from(wall.micros()).unwrap_or(0).max(1);
    let next = incarnation(tx)?.map_or(1, |last| last.number.saturating_add(1));
    let number = next.max(floor);
    let taken = Incarnation { number, instance };
    tx.put_record(
        Record::Incarnation,
        &[number.to_be_bytes().as_slice(), &instance].concat(),
    )?;
    Ok(taken)
}

/// The newest incarnation.
///
/// # Errors
/// When the store fails or the record is damaged.
pub fn incarnation(tx: &impl Transaction) -> Result<Option<Incarnation>, StoreError> {
    let Some(bytes) = tx.record(Record::Incarnation)? else {
        return Ok(None);
    };
    let damaged = || StoreError::Damaged("the incarnation record".to_owned());
    let (number, instance) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
    let instance = instance.try_into().map_err(|_| damaged())?;
    Ok(Some(Incarnation {
        number: u64::from_be_bytes(*number),
        instance,
    }))
}

/// What does not fit together at the right edge.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The tiles lead to another root than the head record.
    #[error("the entries up to {size} have root {found} and the head record says {expected}")]
    Root {
        /// Size of the ledger.
        size: u64,
        /// Root from the tiles.
        found: Hash,
        /// Root from the head record.
        expected: Hash,
    },
    /// The newest digest cannot be read or is not ours.
    #[error("the newest signed digest is not valid: {0}")]
    Digest(String),
    /// The head record and the digests disagree.
    #[error(
        "the head record says that {head:?} was signed last and the newest digest is {digest:?}"
    )]
    Signed {
        /// Size in the head record.
        head: Option<u64>,
        /// Size of the newest digest.
        digest: Option<u64>,
    },
    /// A tile is missing or damaged.
    #[error("the right edge cannot be read: {0}")]
    Tile(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks the right edge: tiles against head record, head record against the newest digest, and the digest against the
/// tiles. `tiles` reads files below the flushed index and rows above it.
///
/// # Errors
/// What does not fit. The node may serve reads then, and must not append or sign.
pub fn check_edge<S>(tx: &impl Transaction, tiles: &S, log: &LogKeys) -> Result<Head, EdgeError>
where
    S: TileSource,
    S::Error: std::fmt::Display,
{
    let head = Head::load(tx)?;
    let root_of = |size: u64| {
        TreeReader::new(tiles, size)
            .root()
            .map_err(|error| EdgeError::Tile(error.to_string()))
    };
    let found = root_of(head.size())?;
    if found != head.root() {
        return Err(EdgeError::Root {
            size: head.size(),
            found,
            expected: head.root(),
        });
    }
    let newest = tx.newest_digest()?;
    let digest_size = newest.as_ref().map(|(size, _)| *size);
    if digest_size != head.signed || digest_size.is_some_and(|size| size > head.size()) {
        return Err(EdgeError::Signed {
            head: head.signed,
            digest: digest_size,
        });
    }
    if let Some((size, note)) = newest {
        let digest = |error: &dyn std::fmt::Display| EdgeError::Digest(error.to_string());
        let note = SignedNote::parse(note.as_bytes()).map_err(|error| digest(&error))?;
        let key = log
            .verifier_for(size)
            .ok_or_else(|| digest(&"the log key of its size is not here"))?;
        let checkpoint = Checkpoint::open(&note, key).map_err(|error| digest(&error))?;
        if checkpoint.size != size {
            return Err(EdgeError::Signed {
                head: head.signed,
                digest: Some(checkpoint.size),
            });
        }
        let found = root_of(size)?;
        if found != checkpoint.root {
            return Err(EdgeError::Root {
                size,
                found,
                expected: checkpoint.root,
            });
        }
    }
    Ok(head)
}
