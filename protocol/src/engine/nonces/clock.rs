//! Whether the own wall clock may be trusted with nonces (R8): only with evidence since the start and the last step.
//! Volatile: every start is unconfirmed. Times come in as values; nothing here reads or corrects a clock.

use super::single::Refused;
use crate::clock::DRIFT_ONE_IN;
pub use crate::clock::{Interval, Verdict};
use crate::engine::Now;

/// Why the clock is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Nothing was heard since the start.
    #[error("no probe since the start")]
    Start,
    /// The wall clock stepped.
    #[error("no probe since the clock stepped")]
    Step,
    /// A probe showed the clock outside the bound.
    #[error("a probe showed the clock outside the bound")]
    Outside,
    /// The last good probe is so old that the clock may have drifted out of the bound since.
    #[error("the last good probe is too old")]
    Aged,
}

/// Who vouches for the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfirmedBy {
    /// A probe; good until its error, grown by drift, exceeds the bound.
    Probe,
    /// A human, against any probe; good until the next step or start.
    Operator,
}

/// Whether the clock is confirmed.
#[derive(Clone, Copy, Debug)]
pub enum ClockState {
    /// It is not: no single request, no pruning, no end of a restore.
    Unconfirmed {
        /// Why not.
        why: Why,
    },
    /// It is, as far as [`ClockState::now`] still agrees.
    Confirmed {
        /// Who says so.
        by: ConfirmedBy,
        /// Both clocks at that time.
        at: Now,
        /// How far off the wall clock was then at most, in microseconds.
        error_us: u64,
        /// How far off it may be, in microseconds.
        bound_us: u64,
    },
}

impl Default for ClockState {
    fn default() -> Self {
        Self::Unconfirmed { why: Why::Start }
    }
}

impl ClockState {
    /// Takes the result of a probe, widened to `now`. Inside the bound it confirms; outside, it ends a confirmation by an
    /// earlier probe; undetermined, it changes nothing. What an operator confirmed, no probe changes.
    pub fn confirm(&mut self, now: Now, interval: Interval, bound_us: u64) -> Verdict {
        let verdict = interval.verdict(bound_us);
        let by_operator = matches!(
            self,
            Self::Confirmed {
                by: ConfirmedBy::Operator,
                ..
            }
        );
        match verdict {
            _ if by_operator => {}
            Verdict::Ok => {
                *self = Self::Confirmed {
                    by: ConfirmedBy::Probe,
                    at: now,
                    error_us: interval
                        .lo_us
                        .unsigned_abs()
                        .max(interval.hi_us.unsigned_abs()),
                    bound_us,
                }
            }
            Verdict::Violated => *self = Self::Unconfirmed { why: Why::Outside },
            Verdict::Undetermined => {}
        }
        verdict
    }

    /// An operator says that the clock is right, by a command with a typed confirmation. `bound_us`: see [`Self::now`].
    pub fn confirm_by_operator(&mut self, now: Now, bound_us: u64) {
        *self = Self::Confirmed {
            by: ConfirmedBy::Operator,
            at: now,
            error_us: 0,
            bound_us,
        };
    }

    /// The wall clock stepped, as the runtime or an empty intersection of samples shows: all earlier evidence is void.
    pub fn on_wall_step(&mut self) {
        *self = Self::Unconfirmed { why: Why::Step };
    }

    /// Who vouches for the clock now.
    ///
    /// # Errors
    /// As [`ClockState::now`].
    pub fn by(&self, now: Now) -> Result<ConfirmedBy, Refused> {
        self.now(now)?;
        match self {
            Self::Confirmed { by, .. } => Ok(*by),
            Self::Unconfirmed { why } => Err(Refused::Clock(*why)),
        }
    }

    /// The wall time as a confirmed one, for use within this step of the engine.
    ///
    /// The total error is that of the confirmation, plus drift by a probe's age, plus how far both clocks moved apart
    /// since: so a step that nobody reported counts too, and so does a sleep of the machine.
    ///
    /// # Errors
    /// [`Refused::Clock`] if the clock is not confirmed, or the total error exceeds the bound.
    pub fn now(&self, now: Now) -> Result<ConfirmedClock, Refused> {
        let (by, at, error_us, bound_us) = match *self {
            Self::Unconfirmed { why } => return Err(Refused::Clock(why)),
            Self::Confirmed {
                by,
                at,
                error_us,
                bound_us,
            } => (by, at, error_us, bound_us),
        };
        // A clock that never steps did: this is another boot.
        let passed = now
            .mono_us
            .checked_sub(at.mono_us)
            .ok_or(Refused::Clock(Why::Start))?;
        let wall = i128::from(now.wall.micros()) - i128::from(at.wall.micros());
        let apart = (wall - i128::from(passed)).unsigned_abs();
        if apart > u128::from(bound_us) {
            return Err(Refused::Clock(Why::Step));
        }
        let drift = match by {
            ConfirmedBy::Probe => passed.div_ceil(DRIFT_ONE_IN),
            ConfirmedBy::Operator => 0,
        };
        if apart + u128::from(error_us) + u128::from(drift) > u128::from(bound_us) {
            return Err(Refused::Clock(Why::Aged));
        }
        Ok(ConfirmedClock {
            now_us: now.wall.micros(),
        })
    }
}

/// A wall time that was confirmed. Only [`ClockState::now`] makes one; it is not for keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfirmedClock {
    now_us: i64,
}

impl ConfirmedClock {
    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.now_us
    }

    /// For the self-test, which is undone, and for tests.
    pub(super) fn assumed(now_us: i64) -> Self {
        Self { now_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::time::TimeUs;

    const BOUND: u64 = 1_000;

    fn at(mono_us: u64, wall_us: i64) -> Now {
        Now {
            mono_us,
            wall: TimeUs::from_micros(wall_us).unwrap(),
        }
    }

    fn span(lo_us: i64, hi_us: i64) -> Interval {
        Interval { lo_us, hi_us }
    }

    fn why(state: &ClockState, now: Now) -> Option<Why> {
        match state.now(now) {
            Ok(clock) => {
                assert_eq!(clock.micros(), now.wall.micros());
                None
            }
            Err(Refused::Clock(why)) => Some(why),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn verdicts_have_closed_edges() {
        for (lo, hi, verdict) in [
            (-1_000, 1_000, Verdict::Ok),
            (-1_001, 0, Verdict::Undetermined),
            (0, 1_001, Verdict::Undetermined),
            (1_000, 2_000, Verdict::Undetermined),
            (1_001, 2_000, Verdict::Violated),
            (i64::MIN, -1_001, Verdict::Violated),
            (i64::MIN, i64::MAX, Verdict::Undetermined),
            (1, 0, Verdict::Undetermined),
        ] {
            assert_eq!(span(lo, hi).verdict(BOUND), verdict, "{lo} {hi}");
        }
        assert_eq!(span(i64::MIN, 0).verdict(u64::MAX), Verdict::Undetermined);
    }

    #[test]
    fn a_probe_confirms_until_drift_a_step_or_a_bad_probe() {
        let mut state = ClockState::default();
        assert_eq!(why(&state, at(0, 0)), Some(Why::Start));
        state.confirm(at(10, 500), span(-5_000, 5_000), BOUND);
        assert_eq!(why(&state, at(10, 500)), Some(Why::Start));
        state.confirm(at(10, 500), span(-100, 990), BOUND);
        assert_eq!(why(&state, at(10, 500)), None);
        // 10 µs are left: 50 ms of drift, or a step of 10 µs.
        assert_eq!(why(&state, at(50_010, 50_500)), None);
        assert_eq!(why(&state, at(50_011, 50_501)), Some(Why::Aged));
        assert_eq!(why(&state, at(10, 490)), None);
        assert_eq!(why(&state, at(10, 511)), Some(Why::Aged));
        assert_eq!(why(&state, at(10, 1_501)), Some(Why::Step));
        assert_eq!(why(&state, at(10, -501)), Some(Why::Step));
        assert_eq!(why(&state, at(9, 499)), Some(Why::Start));
        state.confirm(at(10, 500), span(-5_000, 5_000), BOUND);
        assert_eq!(why(&state, at(10, 500)), None);
        state.confirm(at(10, 500), span(1_001, 5_000), BOUND);
        assert_eq!(why(&state, at(10, 500)), Some(Why::Outside));
        state.confirm(at(10, 500), span(0, 0), BOUND);
        state.on_wall_step();
        assert_eq!(why(&state, at(10, 500)), Some(Why::Step));
    }

    #[test]
    fn an_operator_confirms_until_a_step() {
        let mut state = ClockState::default();
        state.confirm_by_operator(at(0, 0), BOUND);
        state.confirm(at(0, 0), span(5_000, 6_000), BOUND);
        state.confirm(at(0, 0), span(0, 0), BOUND);
        let year = 31_536_000_000_000;
        assert_eq!(why(&state, at(year, 31_536_000_000_000)), None);
        assert_eq!(why(&state, at(0, 1_000)), None);
        assert_eq!(why(&state, at(0, 1_001)), Some(Why::Step));
        state.on_wall_step();
        assert_eq!(why(&state, at(0, 0)), Some(Why::Step));
    }
}
