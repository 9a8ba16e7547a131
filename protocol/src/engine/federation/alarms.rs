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
            Self::ClockViolated { .. } => "clock-violated",
            Self::Fork { .. } => "fork",
            Self::TowerFork { .. } => "tower-fork",
            Self::Withheld { .. } => "withheld",
            Self::TowerRolledBack { .. } => "tower-rolled-back",
            Self::KeyRange { .. } => "key-range",
            Self::OddDigest { .. } => "odd-digest",
            Self::StolenKey { .. } => "stolen-key",
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
            Self::ClockViolated {
                own,
                against,
                members,
            } => write!(
                out,
                "The wall clock of this node is proven wrong. {against} of {members} members show that it is off by {} to \
                 {} s. As a tower it acknowledges nothing and goes on mirroring; mend its time service, and it \
                 acknowledges again by itself.",
                Seconds(own.lo_us),
                Seconds(own.hi_us)
            ),
            Self::Fork { origin, size } => write!(
                out,
                "Two digests cannot both be true. Both are signed by the log key of {origin}, the larger is of {size} \
                 entries, and nothing of it is acknowledged any more. Every member gets the proof: `belfry forks list` \
                 shows it. Find out who signed twice."
            ),
            Self::TowerFork { origin, tower } => write!(
                out,
                "A tower acknowledged two trees that cannot both be true. It is {tower}, the ledger is {origin}, and its \
                 acknowledgements do not count any more. Every member gets the proof: `belfry forks list` shows it."
            ),
            Self::Withheld { origin, size } => write!(
                out,
                "Nobody hands out what a digest covers. It is of {origin} and {size} entries, and nobody shows that it \
                 extends the entries held here either. It is not acknowledged. Ask the operator of {origin}, and look at \
                 `belfry peers list`."
            ),
            Self::TowerRolledBack { origin } => write!(
                out,
                "This tower gave acks that it does not remember. They are of {origin}. Its disk was rolled back: put the \
                 newest copy back, or start it with a file RESTORED in its directory."
            ),
            Self::KeyRange {
                origin,
                size,
                from_size,
            } => write!(
                out,
                "A new key takes sizes that were signed already. The newest certificate of {origin} begins at {from_size} \
                 entries, and the key before it signed a digest of {size}, which verifies no more. Whoever holds its \
                 identity key made a mistake, or denies what it signed. Keep the receipts and the digest, and ask the \
                 operator of {origin}: that node stays recovering, and its ledger has to be retired."
            ),
            Self::StolenKey {
                member,
                serial,
                origin,
                size,
            } => write!(
                out,
                "Somebody else has a key of {member}. It is of serial {serial}, which is revoked, and it signed a digest of \
                 {size} entries of {origin} after that. The digest is kept: `belfry forks list` shows it. Nothing counts \
                 under that key any more; tell the operator of {member}."
            ),
            Self::OddDigest { origin, size } => write!(
                out,
                "A member signed a digest that no honest member signs. It is of {origin} and {size} entries, with extension \
                 lines or a wrong root for no entries, and it is not acknowledged. It is kept: `belfry forks list` shows \
                 it. Ask the operator of {origin} who else has the log key."
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
    use crate::clock::Interval;

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
                Alarm::ClockViolated {
                    own: Interval {
                        lo_us: 3_599_000_000,
                        hi_us: 3_601_000_000,
                    },
                    against: 3,
                    members: 4,
                },
                "clock-violated",
            ),
            (
                Alarm::Fork {
                    origin: origin.clone(),
                    size: 9,
                },
                "fork",
            ),
            (
                Alarm::TowerFork {
                    origin: origin.clone(),
                    tower: "north.example".to_owned(),
                },
                "tower-fork",
            ),
            (
                Alarm::Withheld {
                    origin: origin.clone(),
                    size: 9,
                },
                "withheld",
            ),
            (
                Alarm::TowerRolledBack {
                    origin: origin.clone(),
                },
                "tower-rolled-back",
            ),
            (
                Alarm::KeyRange {
                    origin: origin.clone(),
                    size: 9,
                    from_size: 5,
                },
                "key-range",
            ),
            (
                Alarm::StolenKey {
                    member: "north.example".to_owned(),
                    serial: 1,
                    origin: origin.clone(),
                    size: 9,
                },
                "stolen-key",
            ),
            (Alarm::OddDigest { origin, size: 0 }, "odd-digest"),
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
