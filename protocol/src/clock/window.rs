//! The last samples of one peer: each grows with its age, and the truth lies in all of them. If nothing does, a clock
//! stepped: the window begins anew. May not mix peers: what one says moves no other's interval.

use super::DRIFT_ONE_IN;
use super::interval::Interval;
use super::sample::Sample;
use crate::engine::Now;
use std::collections::VecDeque;

/// Samples that are kept of a peer: with one each 16 s, those of the last 17 minutes.
pub const SAMPLES: usize = 64;

/// Samples of one peer, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Window {
    samples: VecDeque<Sample>,
    /// The intersection, see [`Window::edges`].
    edges: Option<(i128, i128)>,
    /// When the newest one was complete: before that, what its answer shows was not so yet.
    newest_us: u64,
    steps: u64,
}

impl Window {
    /// Adds a sample. Returns whether it shows that a clock stepped, so that it stands alone now.
    pub fn push(&mut self, sample: Sample) -> bool {
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.newest_us = self.newest_us.max(sample.came_us);
        self.edges = self.intersection();
        let stepped = self.is_empty_intersection();
        if stepped {
            self.steps += 1;
            self.samples = VecDeque::from([sample]);
            self.newest_us = sample.came_us;
            self.edges = self.intersection();
        }
        stepped
    }

    /// Forgets all samples, because the own clocks do not belong together any more; counted steps stay.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.edges = None;
        self.newest_us = 0;
    }

    /// All samples grow equally fast, so which of them bound the intersection does not change with time: those with the
    /// highest `lo * 5000 + at` and the lowest `hi * 5000 - at`.
    fn intersection(&self) -> Option<(i128, i128)> {
        let scaled = |edge_us: i64| i128::from(edge_us) * i128::from(DRIFT_ONE_IN);
        let lows = self.samples.iter();
        let lows = lows.map(|one| scaled(one.lo_us) + i128::from(one.at_us));
        let highs = self.samples.iter();
        let highs = highs.map(|one| scaled(one.hi_us) - i128::from(one.at_us));
        Some((lows.max()?, highs.min()?))
    }

    fn is_empty_intersection(&self) -> bool {
        self.on_own_scale(self.newest_us)
            .is_some_and(|interval| interval.lo_us > interval.hi_us)
    }

    /// Where the peer's wall clock is on the scale of the own clock that never steps.
    fn on_own_scale(&self, mono_us: u64) -> Option<Interval> {
        let (low, high) = self.edges?;
        let (one_in, now) = (
            i128::from(DRIFT_ONE_IN),
            i128::from(mono_us.max(self.newest_us)),
        );
        let lo = (low - now).div_euclid(one_in);
        let hi = -(-(high + now)).div_euclid(one_in);
        // Beyond what 64 bits hold nothing is known.
        let within = |edge: i128| edge.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Some(Interval {
            lo_us: i64::try_from(within(lo)).unwrap_or(i64::MIN),
            hi_us: i64::try_from(within(hi)).unwrap_or(i64::MAX),
        })
    }

    /// How far the peer's wall clock is ahead of the own one now; `None` without a sample.
    #[must_use]
    pub fn offset(&self, now: Now) -> Option<Interval> {
        let interval = self.on_own_scale(now.mono_us)?;
        let own = i128::from(now.wall.micros()) - i128::from(now.mono_us);
        let of =
            |edge_us: i64, beyond: i64| i64::try_from(i128::from(edge_us) - own).unwrap_or(beyond);
        Some(Interval {
            lo_us: of(interval.lo_us, i64::MIN),
            hi_us: of(interval.hi_us, i64::MAX),
        })
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Time from the oldest sample until now, in microseconds.
    #[must_use]
    pub fn span_us(&self, mono_us: u64) -> u64 {
        let oldest = self.samples.iter().map(|one| one.at_us).min();
        oldest.map_or(0, |at_us| mono_us.saturating_sub(at_us))
    }

    /// Shortest round trip among the samples, in microseconds.
    #[must_use]
    pub fn min_delay_us(&self) -> Option<u64> {
        self.samples.iter().map(|one| one.delay_us).min()
    }

    /// How often a clock stepped so that no offset explained all samples.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }
}
