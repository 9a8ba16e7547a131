//! Steps of the wall clock (R8): seen by comparing it with the one that never steps. A human is told, the confirmation of
//! the clock ends, and nothing else depends on it: acks never go back in time, and pauses are measured monotonically.

use super::Turn;
use super::io::Alarm;
use crate::engine::Now;
use crate::engine::nonces::ClockState;
use crate::engine::store::Transaction;

/// Clocks that part by more than this between two steps of the engine have stepped, in microseconds: no drift does that.
const STEP_US: i64 = 2_000_000;

/// What is known of the clocks since the start.
#[derive(Default)]
pub(super) struct Clock {
    last: Option<Now>,
    pub(super) state: ClockState,
    pub(super) steps: u64,
}

impl Clock {
    /// By how much the wall clock stepped since the last look, if it did, in microseconds.
    fn look(&mut self, now: Now) -> Option<i64> {
        let last = self.last.replace(now)?;
        let mono = i64::try_from(now.mono_us.saturating_sub(last.mono_us)).unwrap_or(i64::MAX);
        let wall = now.wall.micros().saturating_sub(last.wall.micros());
        let by_us = wall.saturating_sub(mono);
        (by_us.saturating_abs() > STEP_US).then_some(by_us)
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Looks at both clocks.
    pub(super) fn look_at_clocks(&mut self) {
        if let Some(by_us) = self.v.clock.look(self.own.now) {
            self.v.clock.steps += 1;
            self.v.clock.state.on_wall_step();
            self.alarm(Alarm::WallStep { by_us });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::time::TimeUs;

    #[test]
    fn a_step_is_told_from_drift_and_from_a_pause() {
        let mut clock = Clock::default();
        let at = |mono_us: u64, wall: i64| Now {
            mono_us,
            wall: TimeUs::from_micros(wall).unwrap(),
        };
        assert_eq!(clock.look(at(0, 1_000_000_000)), None);
        assert_eq!(clock.look(at(60_000_000, 1_061_000_000)), None);
        assert_eq!(
            clock.look(at(61_000_000, 4_661_000_000)),
            Some(3_599_000_000)
        );
        assert_eq!(clock.look(at(62_000_000, 4_662_000_000)), None);
        assert_eq!(
            clock.look(at(63_000_000, 1_063_000_000)),
            Some(-3_600_000_000)
        );
    }
}
