//! Intervals of clock offsets, and what one says about a bound: a verdict only where no value inside it would say
//! otherwise.

/// Where an offset of clocks lies: between both, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Lowest possible offset, in microseconds.
    pub lo_us: i64,
    /// Highest possible offset, in microseconds; not below `lo_us`.
    pub hi_us: i64,
}

impl Interval {
    /// Compares with a bound in microseconds that holds in both directions.
    #[must_use]
    pub fn verdict(self, bound_us: u64) -> Verdict {
        let bound = i64::try_from(bound_us).unwrap_or(i64::MAX);
        if self.lo_us > self.hi_us {
            Verdict::Undetermined
        } else if self.lo_us > bound || self.hi_us < -bound {
            Verdict::Violated
        } else if self.lo_us >= -bound && self.hi_us <= bound {
            Verdict::Ok
        } else {
            Verdict::Undetermined
        }
    }

    /// The value that is at most half a width off; rounded down.
    #[must_use]
    pub fn middle_us(self) -> i64 {
        let sum = i128::from(self.lo_us) + i128::from(self.hi_us);
        // The middle of two numbers lies between them.
        i64::try_from(sum.div_euclid(2)).unwrap_or(0)
    }

    /// How far the truth may be from the middle, in microseconds; rounded up.
    #[must_use]
    pub fn half_width_us(self) -> u64 {
        self.lo_us.abs_diff(self.hi_us).div_ceil(2)
    }

    /// The same offset seen from the other clock.
    #[must_use]
    pub fn turned(self) -> Self {
        Self {
            lo_us: self.hi_us.saturating_neg(),
            hi_us: self.lo_us.saturating_neg(),
        }
    }

    /// Whether a value lies in it, its edges included.
    #[must_use]
    pub fn contains(self, offset_us: i64) -> bool {
        (self.lo_us..=self.hi_us).contains(&offset_us)
    }
}

/// What an interval says about a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Wholly inside.
    Ok,
    /// Wholly outside.
    Violated,
    /// Neither, or malformed.
    #[default]
    Undetermined,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Undetermined, Self::Violated];

    /// Its name in views and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Violated => "violated",
            Self::Undetermined => "undetermined",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn middle_and_half_width_cover_the_interval(a: i64, b: i64) {
            let interval = Interval { lo_us: a.min(b), hi_us: a.max(b) };
            let (middle, half) = (i128::from(interval.middle_us()), i128::from(interval.half_width_us()));
            prop_assert!(middle - half <= i128::from(interval.lo_us));
            prop_assert!(middle + half >= i128::from(interval.hi_us));
            prop_assert!(interval.contains(interval.middle_us()));
            prop_assert!(middle + half - i128::from(interval.hi_us) <= 1);
        }
    }

    #[test]
    fn turning_over_keeps_the_verdict() {
        for (lo_us, hi_us) in [(-7, 3), (11, 12), (i64::MIN, -20), (i64::MIN, i64::MAX)] {
            let interval = Interval { lo_us, hi_us };
            assert_eq!(interval.turned().verdict(10), interval.verdict(10));
        }
    }
}
