//! What alarms say to people: what happened, whom it concerns, and what to do.

use super::io::Alarm;
use std::fmt;

impl Alarm {
    /// The alarm's name, for metrics and searches.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FastForward { .. } => "fast-forward",
            Self::SecondCopy { .. } => "second-copy",
            Self::ForeignStatement { .. } => "foreign-statement",
            Self::WallStep { .. } => "wall-step",
            Self::Fork { .. } => "fork",
            Self::TowerRolledBack { .. } => "tower-rolled-back",
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FastForward { from, to } => write!(
                out,
                "This node's disk held {from} entries of its ledger and its towers held {to}. It was brought forward from \
                 them. Find out how the disk was rolled back; private payloads of those entries come from a backup or not \
                 at all."
            ),
            Self::SecondCopy { incarnation } => write!(
                out,
                "Another live copy of this node has taken over. This copy signs nothing any more, and the other one is \
                 start {incarnation}. Stop one of the two for good, then restart the other."
            ),
            Self::ForeignStatement { size } => write!(
                out,
                "Others hold a digest of {size} entries of this node's ledger that this start did not make. This node \
                 signs nothing any more. Stop any other copy of it, then restart it to recover."
            ),
            Self::WallStep { by_us } => write!(
                out,
                "The wall clock stepped. It is this node's own, and it moved by {} s. Check its time service; no \
                 restart is needed.",
                Seconds(*by_us)
            ),
            Self::Fork { origin, size } => write!(
                out,
                "Two digests of {size} entries cannot both be true. Both are signed by {origin}, and nothing of it is \
                 acknowledged any more. Keep this directory, tell the other members, and find out who signed twice."
            ),
            Self::TowerRolledBack { origin } => write!(
                out,
                "This tower gave acks that it does not remember. They are of {origin}, and it counts them again. Its disk \
                 was rolled back: put the newest copy back, or start it with a file RESTORED in its directory."
            ),
        }
    }
}

/// Microseconds as seconds with three places.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "+" };
        let millis = self.0.unsigned_abs() / 1_000;
        write!(out, "{sign}{}.{:03}", millis / 1_000, millis % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_says_what_happened_whom_it_concerns_and_what_to_do() {
        let origin = "shop.example".to_owned();
        let all = [
            (Alarm::FastForward { from: 1, to: 301 }, "fast-forward"),
            (Alarm::SecondCopy { incarnation: 7 }, "second-copy"),
            (Alarm::ForeignStatement { size: 9 }, "foreign-statement"),
            (
                Alarm::WallStep {
                    by_us: -3_600_000_000,
                },
                "wall-step",
            ),
            (
                Alarm::Fork {
                    origin: origin.clone(),
                    size: 9,
                },
                "fork",
            ),
            (Alarm::TowerRolledBack { origin }, "tower-rolled-back"),
        ];
        for (alarm, kind) in all {
            let text = alarm.to_string();
            assert_eq!(alarm.kind(), kind);
            assert!(text.matches(". ").count() >= 2, "{text}");
            assert!(text.ends_with('.') && !text.contains("  "), "{text}");
        }
        let step = Alarm::WallStep { by_us: -1_500_000 }.to_string();
        assert!(step.contains("-1.500 s"), "{step}");
    }
}
