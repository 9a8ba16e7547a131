//! Anti-replay (R7, R8): what was accepted once is not accepted again, across restarts, clock steps and restores.
//! The insert is the check: call it in the transaction of the effect, after the signature was verified, never before.
//! May not read a clock or judge a signature; may not keep anything that counts outside the store.
//!
//! Two mechanisms. [`window`]: messages between members carry counters, of which a receiver remembers the last 1,024 of
//! each stream; [`counters`] hands them out. [`single`]: requests without a stream carry a random number and a time, and
//! are remembered for as long as that time would be accepted, by a clock that was [`confirmed`](clock).

pub mod clock;
pub mod counters;
mod counts;
mod self_test;
pub mod single;
pub mod window;

pub use clock::{ClockState, ConfirmedBy, ConfirmedClock, Interval, Verdict, Why};
pub use counters::Counters;
pub use counts::Counts;
pub use self_test::self_test;
pub use single::{Pruned, Refused, accept_once, after_restore, floor, floor_is_due, live, prune};
pub use window::{Replay, StreamKey, accept_stream};

use super::store::StoreError;

/// Reads a stored number of 8 bytes, big-endian.
fn number(bytes: &[u8], what: &str) -> Result<u64, StoreError> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| damaged(what))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("anti-replay: {what}"))
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
