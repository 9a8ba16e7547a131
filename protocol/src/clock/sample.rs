//! One probe: four timestamps become the interval that holds the peer's offset (Cristian, NTP). May not guess: what does
//! not fit together is discarded, and why is said.
//!
//! The own times come from the clock that never steps. So a sample says where the peer's wall clock is on *that* scale, and
//! stays true when the own wall clock is set, or is set wrong.

use crate::entry::time::TimeUs;

/// Longest round trip that is taken, in microseconds: a minute. It would show half a minute of uncertainty, which is no
/// measurement.
pub const MAX_DELAY_US: i64 = 60_000_000;
/// The own clocks may part by so much between sending and receiving, in microseconds; more is a step. They are read one
/// after the other, and a busy machine puts milliseconds between.
pub const MAX_PARTING_US: i64 = 50_000;
/// Timestamps are cut to whole microseconds, so a difference of two may be off by less than this.
const CUT_US: i64 = 1;

/// Both clocks of this machine at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The clock that never steps, in microseconds since some moment of this process.
    pub mono_us: u64,
    /// The wall clock, in microseconds since 1970.
    pub wall_us: i64,
}

/// The four timestamps of a probe and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// Just before the probe was written.
    pub sent: Reading,
    /// The peer's wall clock when the probe arrived, in microseconds since 1970; as the peer says.
    pub received_us: i64,
    /// The peer's wall clock just before it answered, in microseconds since 1970; as the peer says.
    pub answered_us: i64,
    /// When the answer had arrived.
    pub came: Reading,
}

/// Why a probe shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// The own wall clock was set while the probe was on its way.
    Stepped,
    /// The peer says that it answered before it was asked.
    Backwards,
    /// The peer says that it kept the probe for longer than it was away.
    Negative,
    /// A time that is none, or a round trip that is too long.
    Absurd,
}

impl Discard {
    /// Its name, for counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stepped => "own_step",
            Self::Backwards => "answered_before_asked",
            Self::Negative => "negative_delay",
            Self::Absurd => "absurd",
        }
    }
}

/// Where a peer's wall clock was, on the scale of the own clock that never steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Lowest possible difference, in microseconds.
    pub lo_us: i64,
    /// Highest possible difference, in microseconds.
    pub hi_us: i64,
    /// When the probe was sent, by the clock that never steps, in microseconds: it ages from here on.
    pub at_us: u64,
    /// When the answer had come, by the same clock: the lowest difference is that of this moment.
    pub came_us: u64,
    /// Time on the wire there and back, in microseconds.
    pub delay_us: u64,
}

impl Sample {
    /// What a probe shows.
    ///
    /// # Errors
    /// Why it shows nothing.
    pub fn of(stamps: &Stamps) -> Result<Self, Discard> {
        let time = |wall_us: i64| {
            let time = TimeUs::from_micros(wall_us).map(TimeUs::micros);
            time.filter(|wall_us| *wall_us >= 0)
        };
        let (Some(received), Some(answered), Some(left), Some(came)) = (
            time(stamps.received_us),
            time(stamps.answered_us),
            time(stamps.sent.wall_us),
            time(stamps.came.wall_us),
        ) else {
            return Err(Discard::Absurd);
        };
        let mono = |reading: Reading| i64::try_from(reading.mono_us).map_err(|_| Discard::Absurd);
        let (sent_mono, came_mono) = (mono(stamps.sent)?, mono(stamps.came)?);
        // All times lie between 0 and 10,000 years, far below what overflows.
        let away = came_mono - sent_mono;
        if !(0..=MAX_DELAY_US).contains(&away) {
            return Err(Discard::Absurd);
        }
        if ((came - left) - away).abs() > MAX_PARTING_US {
            return Err(Discard::Stepped);
        }
        let kept = answered - received;
        if kept < 0 {
            return Err(Discard::Backwards);
        }
        // The probe took some time to arrive, so the peer was ahead by at most this; the answer, too: by at least that.
        let hi_us = received - sent_mono + CUT_US;
        let lo_us = answered - came_mono - CUT_US;
        if lo_us > hi_us {
            return Err(Discard::Negative);
        }
        Ok(Self {
            lo_us,
            hi_us,
            at_us: stamps.sent.mono_us,
            came_us: stamps.came.mono_us,
            delay_us: u64::try_from(away - kept).unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: i64 = 1_800_000_000_000_000;

    fn stamps(peer_ahead_us: i64, there_us: i64, kept_us: i64, back_us: i64) -> Stamps {
        let reading = |after_us: i64| Reading {
            mono_us: u64::try_from(1_000_000 + after_us).unwrap(),
            wall_us: WALL + after_us,
        };
        Stamps {
            sent: reading(0),
            received_us: WALL + peer_ahead_us + there_us,
            answered_us: WALL + peer_ahead_us + there_us + kept_us,
            came: reading(there_us + kept_us + back_us),
        }
    }

    #[test]
    fn the_interval_is_the_offset_give_or_take_half_the_delay() {
        let sample = Sample::of(&stamps(5_000, 40, 7, 60)).unwrap();
        let scale = WALL - 1_000_000;
        assert_eq!(
            (sample.lo_us - scale, sample.hi_us - scale, sample.delay_us),
            (5_000 - 60 - 1, 5_000 + 40 + 1, 100)
        );
    }

    #[test]
    fn what_does_not_fit_together_is_discarded() {
        let good = stamps(0, 40, 7, 60);
        let mut backwards = good;
        backwards.answered_us = good.received_us - 1;
        assert_eq!(Sample::of(&backwards), Err(Discard::Backwards));
        let mut negative = good;
        negative.answered_us = good.received_us + 110;
        assert_eq!(Sample::of(&negative), Err(Discard::Negative));
        for by_us in [MAX_PARTING_US + 1, -MAX_PARTING_US - 1] {
            let mut stepped = good;
            stepped.came.wall_us += by_us;
            assert_eq!(Sample::of(&stepped), Err(Discard::Stepped));
        }
        for wrong in [i64::MIN, -1, i64::MAX] {
            for field in 0..3 {
                let mut absurd = good;
                match field {
                    0 => absurd.received_us = wrong,
                    1 => absurd.answered_us = wrong,
                    _ => absurd.sent.wall_us = wrong,
                }
                assert_eq!(Sample::of(&absurd), Err(Discard::Absurd));
            }
        }
        let slow = stamps(0, MAX_DELAY_US, 1, 1);
        assert_eq!(Sample::of(&slow), Err(Discard::Absurd));
        let mut turned = good;
        turned.came.mono_us = 0;
        assert_eq!(Sample::of(&turned), Err(Discard::Absurd));
        turned.came.mono_us = u64::MAX;
        assert_eq!(Sample::of(&turned), Err(Discard::Absurd));
    }
}
