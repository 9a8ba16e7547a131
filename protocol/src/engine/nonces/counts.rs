//! How often was accepted or refused what, as plain numbers for metrics. Volatile; proves nothing (R13).

use super::single::Refused;
use super::window::Replay;

/// Numbers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Single requests that were accepted.
    pub accepted: u64,
    /// Single requests whose nonce the sender used before.
    pub replayed: u64,
    /// Single requests made too long ago.
    pub too_old: u64,
    /// Single requests from too far in the future.
    pub too_new: u64,
    /// Single requests not above the floor.
    pub below_floor: u64,
    /// Single requests that came while the clock was not confirmed.
    pub clock: u64,
    /// Single requests for which there was no room.
    pub full: u64,
    /// Messages of streams that were accepted.
    pub stream_accepted: u64,
    /// Messages of streams with a counter that was used before.
    pub stream_replayed: u64,
    /// Messages of streams with a counter below the window.
    pub stream_behind: u64,
    /// Messages of streams with counter 0.
    pub stream_zero: u64,
    /// Messages of streams of an earlier incarnation.
    pub stream_old_incarnation: u64,
    /// Messages of streams under a key whose windows were given up.
    pub stream_old_key: u64,
    /// Messages of streams for which there was no room.
    pub stream_full: u64,
}

impl Counts {
    /// Every number with its mechanism (`request` or `stream`) and its outcome, for metrics and `status`.
    #[must_use]
    pub fn by_outcome(&self) -> [(&'static str, &'static str, u64); 14] {
        [
            ("request", "accepted", self.accepted),
            ("request", "replayed", self.replayed),
            ("request", "too_old", self.too_old),
            ("request", "too_new", self.too_new),
            ("request", "below_floor", self.below_floor),
            ("request", "clock", self.clock),
            ("request", "full", self.full),
            ("stream", "accepted", self.stream_accepted),
            ("stream", "replayed", self.stream_replayed),
            ("stream", "behind", self.stream_behind),
            ("stream", "zero", self.stream_zero),
            ("stream", "old_incarnation", self.stream_old_incarnation),
            ("stream", "old_key", self.stream_old_key),
            ("stream", "full", self.stream_full),
        ]
    }

    /// Counts a single request.
    pub fn single(&mut self, outcome: &Result<(), Refused>) {
        let count = match outcome {
            Ok(()) => &mut self.accepted,
            Err(Refused::Replayed) => &mut self.replayed,
            Err(Refused::TooOld) => &mut self.too_old,
            Err(Refused::TooNew) => &mut self.too_new,
            Err(Refused::BelowFloor) => &mut self.below_floor,
            Err(Refused::Clock(_)) => &mut self.clock,
            Err(Refused::Full) => &mut self.full,
        };
        *count = count.saturating_add(1);
    }

    /// Counts a message of a stream.
    pub fn stream(&mut self, outcome: &Result<(), Replay>) {
        let count = match outcome {
            Ok(()) => &mut self.stream_accepted,
            Err(Replay::Seen) => &mut self.stream_replayed,
            Err(Replay::Behind) => &mut self.stream_behind,
            Err(Replay::Zero) => &mut self.stream_zero,
            Err(Replay::OldIncarnation) => &mut self.stream_old_incarnation,
            Err(Replay::OldKey) => &mut self.stream_old_key,
            Err(Replay::TooManyStreams) => &mut self.stream_full,
        };
        *count = count.saturating_add(1);
    }
}
