//! Times in entries: whole microseconds since 1970 in UTC, printed as RFC 3339 with six digits and `Z`.
//! May not know what time it is.

use jiff::Timestamp;
use std::fmt;

/// Microseconds in a day.
pub const DAY_US: i64 = 86_400_000_000;

/// A point in time: microseconds since 1970-01-01T00:00:00Z, from year 1 to nearly the end of 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeUs(i64);

impl TimeUs {
    /// From microseconds since 1970; `None` outside the years 1 to 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        let stamp = Timestamp::from_microsecond(micros).ok()?;
        (Timestamp::from_second(-62_135_596_800).ok()?..=Timestamp::MAX)
            .contains(&stamp)
            .then_some(Self(micros))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Number of the UTC day: 0 is 1970-01-01.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY_US)
    }

    /// Reads RFC 3339 with any offset; digits after the sixth are cut off. `None` if it is no such time.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The library also reads forms that RFC 3339 does not know; these bounds leave only its own.
        if text.len() < 20 || text.len() > 40 || !text.is_ascii() {
            return None;
        }
        let stamp: Timestamp = text.parse().ok()?;
        // Cut towards the past, also before 1970.
        Self::from_micros(i64::try_from(stamp.as_nanosecond().div_euclid(1_000)).ok()?)
    }
}

impl fmt::Display for TimeUs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `from_micros` admitted only what the library can hold.
        let stamp = Timestamp::from_microsecond(self.0).unwrap_or_default();
        write!(f, "{stamp:.6}")
    }
}

/// The date of a day number, `YYYY-MM-DD`.
#[must_use]
pub fn date_of_day(day: i64) -> String {
    let text = TimeUs(day.saturating_mul(DAY_US)).to_string();
    text.chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_canonically() {
        let time = TimeUs::parse("2026-11-20T12:00:00.1234567+02:00").unwrap();
        assert_eq!(time.to_string(), "2026-11-20T10:00:00.123456Z");
        assert_eq!(TimeUs::parse(&time.to_string()), Some(time));
        assert_eq!(
            TimeUs::from_micros(0).unwrap().to_string(),
            "1970-01-01T00:00:00.000000Z"
        );
        let before = TimeUs::parse("1969-12-31T23:59:59.9999999Z").unwrap();
        assert_eq!(before.micros(), -1);
        assert_eq!(date_of_day(20_777), "2026-11-20");
        for bad in [
            "2026-11-20",
            "2026-11-20T10:00:00",
            "yesterday at about ten",
            "2026-13-20T10:00:00Z",
        ] {
            assert_eq!(TimeUs::parse(bad), None, "{bad}");
        }
    }
}
