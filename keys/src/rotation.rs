//! How long the purpose keys are still valid. May not read a clock: the time comes in.

/// Days for which purpose keys are valid.
pub const VALIDITY_DAYS: u64 = 90;

/// From so many days before the end on, `status` warns. It is also the overlap in which both serials sign (R6).
pub const WARNING_DAYS: u64 = 14;

/// From so many days before the end on, it is urgent.
pub const CRITICAL_DAYS: u64 = 7;

pub(crate) const DAY_SECONDS: u64 = 86_400;

/// How urgent a rotation is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RotationLevel {
    /// More than 14 days are left.
    Ok,
    /// At most 14 days are left.
    Warning,
    /// At most 7 days are left.
    Critical,
    /// The keys are no longer valid.
    Expired,
}

/// How the newest certificate stands at some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotationState {
    /// Whole days left; 0 on the last day and after the end.
    pub days_left: u64,
    /// How urgent it is.
    pub level: RotationLevel,
}

impl RotationState {
    /// The state at `now_seconds` of keys that are valid until `not_after_seconds`, both since 1970.
    #[must_use]
    pub fn at(not_after_seconds: u64, now_seconds: u64) -> Self {
        let left_seconds = not_after_seconds.saturating_sub(now_seconds);
        let level = match left_seconds {
            0 => RotationLevel::Expired,
            left if left <= CRITICAL_DAYS * DAY_SECONDS => RotationLevel::Critical,
            left if left <= WARNING_DAYS * DAY_SECONDS => RotationLevel::Warning,
            _ => RotationLevel::Ok,
        };
        Self {
            days_left: left_seconds / DAY_SECONDS,
            level,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_change_on_the_day() {
        let end = VALIDITY_DAYS * DAY_SECONDS;
        for (left_seconds, days_left, level) in [
            (end, 90, RotationLevel::Ok),
            (14 * DAY_SECONDS + 1, 14, RotationLevel::Ok),
            (14 * DAY_SECONDS, 14, RotationLevel::Warning),
            (7 * DAY_SECONDS + 1, 7, RotationLevel::Warning),
            (7 * DAY_SECONDS, 7, RotationLevel::Critical),
            (1, 0, RotationLevel::Critical),
            (0, 0, RotationLevel::Expired),
        ] {
            assert_eq!(
                RotationState::at(end, end - left_seconds),
                RotationState { days_left, level }
            );
        }
        assert_eq!(
            RotationState::at(end, u64::MAX).level,
            RotationLevel::Expired
        );
    }
}
