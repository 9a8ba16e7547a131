//! Percentiles of offsets, exact by nearest rank. May not interpolate: every value shown was measured.

use super::interval::Interval;

/// The smallest value that at least `percent` of all values do not exceed; `None` without values. Reorders them.
#[must_use]
pub fn nearest_rank(values: &mut [u64], percent: u8) -> Option<u64> {
    let count = values.len();
    let rank = (count.saturating_mul(usize::from(percent.min(100)))).div_ceil(100);
    let at = rank.clamp(1, count.max(1)) - 1;
    (at < count).then(|| *values.select_nth_unstable(at).1)
}

/// How far clocks are apart, in microseconds, and how well that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Half of the offsets are at most this far from zero.
    pub p50_us: u64,
    /// 95 % of them.
    pub p95_us: u64,
    /// Half of the half-widths are at most this.
    pub half_width_p50_us: u64,
    /// 95 % of them.
    pub half_width_p95_us: u64,
}

impl Spread {
    /// Over all intervals; `None` without any.
    #[must_use]
    pub fn of(intervals: &[Interval]) -> Option<Self> {
        let middles = intervals.iter().map(|one| one.middle_us().unsigned_abs());
        let mut middles: Vec<u64> = middles.collect();
        let mut widths: Vec<u64> = intervals.iter().map(|one| one.half_width_us()).collect();
        Some(Self {
            p50_us: nearest_rank(&mut middles, 50)?,
            p95_us: nearest_rank(&mut middles, 95)?,
            half_width_p50_us: nearest_rank(&mut widths, 50)?,
            half_width_p95_us: nearest_rank(&mut widths, 95)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_by_sorting(mut values in proptest::collection::vec(any::<u64>(), 0..200), percent in 0..=100u8) {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let below = |value: u64| sorted.iter().filter(|one| **one <= value).count() * 100;
            let wanted = sorted.len() * usize::from(percent);
            let expected = sorted.iter().copied().find(|value| below(*value) >= wanted.max(1));
            prop_assert_eq!(nearest_rank(&mut values, percent), expected);
        }
    }

    #[test]
    fn a_spread_has_both_kinds_of_percentiles() {
        let around = |middle: i64, half: i64| Interval {
            lo_us: middle - half,
            hi_us: middle + half,
        };
        let all: Vec<Interval> = (1..=20).map(|one| around(-one * 10, one)).collect();
        let spread = Spread::of(&all).unwrap();
        assert_eq!((spread.p50_us, spread.p95_us), (100, 190));
        assert_eq!(
            (spread.half_width_p50_us, spread.half_width_p95_us),
            (10, 19)
        );
        assert_eq!(Spread::of(&[]), None);
    }
}
