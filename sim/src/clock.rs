//! The two clocks of a simulated node, as functions of true time: one that never steps but drifts, and wall time, which is
//! set wrong, drifts along and may step. May not be asked by a node for true time.

use belfry_protocol::clock::Reading;
use belfry_protocol::engine::Now;
use belfry_protocol::entry::time::TimeUs;

/// When every simulation begins, in seconds since 1970.
pub const START_SECONDS: u64 = 1_795_168_800;

/// The clocks of one node.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Parts per million that both clocks go too fast.
    drift_ppm: i64,
    /// How far the wall clock was ahead when the drift was set, in microseconds.
    ahead_us: i64,
    /// True time since which the drift holds.
    since_us: u64,
    /// What the drift added to the clock that never steps before that.
    mono_us: u64,
    /// How often somebody set it, put it to sleep, or made it drift.
    changes: u64,
}

impl Clock {
    /// Clocks that are right.
    #[must_use]
    pub fn right() -> Self {
        Self {
            drift_ppm: 0,
            ahead_us: 0,
            since_us: 0,
            // A machine that booted a while ago.
            mono_us: 1_000_000,
            changes: 0,
        }
    }

    fn drifted(&self, now_us: u64) -> i64 {
        let passed = i64::try_from(now_us.saturating_sub(self.since_us)).unwrap_or(i64::MAX);
        passed.saturating_mul(self.drift_ppm) / 1_000_000
    }

    /// The clock that never steps.
    #[must_use]
    pub fn mono_us(&self, now_us: u64) -> u64 {
        let passed = now_us.saturating_sub(self.since_us);
        self.mono_us
            .saturating_add(passed.saturating_add_signed(self.drifted(now_us)))
    }

    /// Counts what was done to it from outside.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether neither is wrong, nor will be.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.drift_ppm == 0 && self.ahead_us == 0
    }

    /// How far the wall clock is ahead of true time, in microseconds.
    #[must_use]
    pub fn ahead_us(&self, now_us: u64) -> i64 {
        self.ahead_us.saturating_add(self.drifted(now_us))
    }

    /// Wall time in microseconds since 1970.
    #[must_use]
    pub fn wall_us(&self, now_us: u64) -> i64 {
        true_us(now_us).saturating_add(self.ahead_us(now_us))
    }

    /// From now on both clocks go too fast by so many parts per million.
    pub fn drift(&mut self, now_us: u64, ppm: i64) {
        self.changes += 1;
        self.mono_us = self.mono_us(now_us);
        self.ahead_us = self.ahead_us(now_us);
        self.since_us = now_us;
        self.drift_ppm = ppm;
    }

    /// The wall clock is set by so much, but never to before 1970: no machine takes that.
    pub fn step(&mut self, by_us: i64) {
        self.changes += 1;
        self.ahead_us = self.ahead_us.saturating_add(by_us).max(-true_us(0));
    }

    /// The wall clock is set right.
    pub fn set_right(&mut self, now_us: u64) {
        self.drift(now_us, 0);
        self.ahead_us = 0;
    }

    /// The machine slept: its clock that never steps stood still, wall time went on.
    pub fn slept(&mut self, now_us: u64, for_us: u64) {
        self.drift(now_us, self.drift_ppm);
        self.mono_us = self.mono_us.saturating_sub(for_us);
    }

    /// Both, as the runtime reads them before a step.
    #[must_use]
    pub fn now(&self, now_us: u64) -> Now {
        Now {
            mono_us: self.mono_us(now_us),
            wall: wall(self.wall_us(now_us)),
        }
    }

    /// Both, as the runtime reads them at the socket.
    #[must_use]
    pub fn reading(&self, now_us: u64) -> Reading {
        Reading {
            mono_us: self.mono_us(now_us),
            wall_us: self.wall_us(now_us),
        }
    }
}

/// True time in microseconds since 1970.
#[must_use]
pub fn true_us(now_us: u64) -> i64 {
    let start = i64::try_from(START_SECONDS * 1_000_000).unwrap_or(i64::MAX);
    start.saturating_add_unsigned(now_us)
}

/// What no format can say is said as its nearest.
fn wall(us: i64) -> TimeUs {
    TimeUs::from_micros(us)
        .or_else(|| TimeUs::from_micros(0))
        .unwrap_or_else(|| unreachable!("1970 is a time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drifting_clock_runs_away_steadily_and_never_back() {
        let mut clock = Clock::right();
        clock.drift(0, 200);
        assert_eq!(clock.ahead_us(1_000_000_000), 200_000);
        clock.drift(1_000_000_000, -200);
        assert_eq!(clock.ahead_us(2_000_000_000), 0);
        assert!(clock.mono_us(2_000_000_000) > clock.mono_us(1_000_000_000));
    }

    #[test]
    fn a_sleeping_machine_parts_its_clocks() {
        let mut clock = Clock::right();
        let before = clock.mono_us(10_000_000);
        clock.slept(15_000_000, 5_000_000);
        assert_eq!(clock.mono_us(15_000_000), before);
        assert_eq!(clock.ahead_us(15_000_000), 0);
    }
}
