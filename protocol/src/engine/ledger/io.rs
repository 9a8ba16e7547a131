//! Inputs and outputs of the ledger's state machine: plain data.

use crate::engine::RequestId;
use crate::entry::batch::Batch;
use crate::entry::json::Json;
use crate::fork::ForkProof;

/// What the runtime tells the ledger.
#[derive(Clone)]
pub enum Input {
    /// Append finished entries, all or none.
    Append {
        /// Whose answer it is.
        request: RequestId,
        /// The entries.
        batch: Batch,
    },
    /// Destroy a private payload and record it.
    Erase {
        /// Whose answer it is.
        request: RequestId,
        /// Index of the private entry.
        index: u64,
        /// Its commitment, as read from that entry.
        payload: [u8; 32],
    },
    /// An entry of the node's own, of a reserved kind.
    System {
        /// Whose answer it is.
        request: RequestId,
        /// A reserved kind.
        kind: &'static str,
        /// Its body; the runtime's own data, never a caller's.
        body: Json,
    },
    /// The ledger ends here, and another goes on in its place.
    Retire {
        /// Whose answer it is.
        request: RequestId,
        /// Origin of the ledger that goes on.
        successor: String,
    },
    /// Two digests under this ledger's own keys that cannot both be true (R3); judged here, whoever found them.
    OwnFork(Box<ForkProof>),
    /// The flusher wrote, synced, re-read and re-hashed all tiles and bundles below this index, a multiple of 256.
    Flushed {
        /// One past the last flushed entry.
        through: u64,
    },
    /// Time for housekeeping, and for closing a day that ended.
    Tick,
}

/// Where the entries of a batch are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Index of the first new entry.
    pub first: u64,
    /// Number of new entries, which have consecutive indices.
    pub new: u64,
    /// Entries that were there before, as (position in the batch, index).
    pub known: Vec<(usize, u64)>,
}

impl Places {
    pub(crate) fn run(first: u64, new: u64) -> Self {
        Self {
            first,
            new,
            known: Vec::new(),
        }
    }

    /// Index of every entry of the batch, in order, and whether it is new.
    pub fn indices(&self) -> impl Iterator<Item = (u64, bool)> + '_ {
        let mut known = self.known.iter().peekable();
        let mut next = self.first;
        let total = usize::try_from(self.new)
            .unwrap_or(usize::MAX)
            .saturating_add(self.known.len());
        (0..total).map(
            move |position| match known.next_if(|(at, _)| *at == position) {
                Some((_, index)) => (*index, false),
                None => {
                    next += 1;
                    (next - 1, true)
                }
            },
        )
    }
}

/// Outputs that may leave only when they are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Entries have an index. Provisional until a digest covers them (R1).
    Appended {
        /// The request.
        request: RequestId,
        /// Their indices.
        places: Places,
    },
    /// A payload's key is destroyed as soon as this is released.
    Erased {
        /// The request.
        request: RequestId,
        /// Index of the `erase` entry.
        index: u64,
    },
    /// The ledger is retired for good.
    Retired {
        /// The request.
        request: RequestId,
        /// Index of the `retire` entry; `None` if the ledger took no entry any more.
        index: Option<u64>,
    },
    /// A new signed digest.
    Digest {
        /// Its size.
        size: u64,
        /// The signed note.
        note: String,
    },
}

/// Outputs that promise nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Free {
    /// A request was refused and changed nothing.
    Refused {
        /// The request.
        request: RequestId,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The idempotency key was used for other content (R11).
    #[error("the idempotency key was used before for other content (entry {index}); use a new key")]
    OtherContent {
        /// Index of the earlier entry.
        index: u64,
    },
    /// The payload is already gone.
    #[error("the payload was erased before, see entry {index}")]
    AlreadyErased {
        /// Index of the `erase` entry.
        index: u64,
    },
    /// No such entry.
    #[error("there is no entry {index}: the ledger has {size}")]
    NoSuchEntry {
        /// Index asked for.
        index: u64,
        /// Size of the ledger.
        size: u64,
    },
    /// The node recovers, or has stopped signing (R3).
    #[error("the node takes no entries now, it is {phase}; see `belfry status`")]
    NotReady {
        /// Where it stands.
        phase: String,
    },
    /// The ledger was retired.
    #[error("the ledger is retired and takes no entries; its successor is {successor}")]
    Retired {
        /// Origin of the ledger that goes on.
        successor: String,
    },
    /// Two digests of this ledger contradict each other.
    #[error(
        "the ledger takes no entries: {}; keep the proof, and found a new ledger",
        super::FORKED
    )]
    Forked,
    /// Towers do not keep up.
    #[error("too much is appended that towers do not hold yet; try again later")]
    Backlog,
    /// The ledger cannot grow further.
    #[error("the ledger is full")]
    LedgerFull,
}
