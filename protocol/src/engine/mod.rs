//! The engine: the whole behaviour of a node as one state machine over a [`store::Transaction`].
//! No clock, no randomness, no I/O: time and seeds come in as values, effects go out through an [`outbox::Outbox`].
//!
//! ```text
//! step(now, transaction, inputs) -> outbox      then: commit -> Committed -> outbox.release(&committed)
//! ```

pub mod federation;
pub mod keys;
pub mod ledger;
pub mod mem;
pub mod nonces;
mod open_end;
pub mod outbox;
pub mod store;

pub use open_end::flushed_mirror;

use crate::entry::time::TimeUs;

/// Both clocks, as the runtime read them just before the step.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Microseconds of a clock that never steps.
    pub mono_us: u64,
    /// Wall time in UTC, which may step.
    pub wall: TimeUs,
}

impl Now {
    /// Wall time in whole seconds since 1970, as notes have it.
    #[must_use]
    pub fn wall_seconds(self) -> u64 {
        u64::try_from(self.wall.seconds()).unwrap_or(0)
    }
}

/// Names a request of the runtime, so that its answer finds the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);
