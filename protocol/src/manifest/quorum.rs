//! The arithmetic of R2: how many towers must hold a digest, how many must answer a recovery, how many members amend.
//! May not know names or keys: it counts.

use std::ops::RangeInclusive;
use thiserror::Error;

/// What `status` and review screens say where f is 0 (R2).
const COLLUSION: &str = "with 3 or fewer towers none may be faulty (f = 0): one tower that colludes with the factory can split \
    the view; gossip detects that, the quorum does not prevent it";

/// A safe quorum for one origin. Any two quorums share more than f towers, and f silent towers cannot block one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive] // only `new` builds one, so what exists is safe
pub struct Quorum {
    /// n: towers counted for the origin, never its own member.
    pub towers: u32,
    /// f: towers that may lie, floor((n - 1) / 3).
    pub faulty: u32,
    /// k: towers that must hold a digest.
    pub needed: u32,
    /// r: valid answers that a recovery needs, n + f - k + 1.
    pub recovery: u32,
}

/// Why numbers were refused; the message shows the arithmetic and what would be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuorumError {
    /// No tower counts for the origin.
    #[error("no tower counts for it, and its own member never does; add a member that is a tower")]
    NoTowers,
    /// The quorum does not intersect safely, or cannot be reached.
    #[error(
        "a quorum of k = {needed} of n = {towers} towers is refused: f = floor((n - 1) / 3) = {faulty}, so 2k > n + f asks \
         for 2 * {needed} > {}, and k <= n - f for {needed} <= {}; choose k = {}",
        sum(towers, faulty), towers - faulty, span(*smallest, *largest)
    )]
    Refused {
        /// n.
        towers: u32,
        /// f.
        faulty: u32,
        /// The refused k.
        needed: u32,
        /// Smallest allowed k.
        smallest: u32,
        /// Largest allowed k.
        largest: u32,
    },
    /// There are no members.
    #[error("a federation without members has no amendment threshold; list the members")]
    NoMembers,
    /// The amendment threshold does not intersect safely, or cannot be reached.
    #[error(
        "an amendment threshold of t = {threshold} of n = {members} members is refused: f = floor((n - 1) / 3) = {faulty}, \
         so 2t - n > f asks for 2 * {threshold} > {}, and t <= n; choose t = {}",
        sum(members, faulty), span(*smallest, *members)
    )]
    Amendment {
        /// n, here the members.
        members: u32,
        /// f over the members.
        faulty: u32,
        /// The refused t.
        threshold: u32,
        /// Smallest allowed t.
        smallest: u32,
    },
}

impl Quorum {
    /// The quorum of `needed` (k) out of `towers` (n).
    ///
    /// # Errors
    /// [`QuorumError::NoTowers`] for n = 0; [`QuorumError::Refused`] unless 2k > n + f and k <= n - f.
    pub fn new(towers: u32, needed: u32) -> Result<Self, QuorumError> {
        let allowed = Self::allowed(towers).ok_or(QuorumError::NoTowers)?;
        let faulty = faulty(towers);
        if !allowed.contains(&needed) {
            return Err(QuorumError::Refused {
                towers,
                faulty,
                needed,
                smallest: *allowed.start(),
                largest: *allowed.end(),
            });
        }
        Ok(Self {
            towers,
            faulty,
            needed,
            recovery: towers - needed + faulty + 1,
        })
    }

    /// The quorum with the smallest allowed k; `None` without towers.
    #[must_use]
    pub fn smallest(towers: u32) -> Option<Self> {
        let needed = *Self::allowed(towers)?.start();
        Self::new(towers, needed).ok()
    }

    /// Every k that n towers allow; never empty, `None` without towers.
    #[must_use]
    pub fn allowed(towers: u32) -> Option<RangeInclusive<u32>> {
        (towers > 0).then(|| majority(towers)..=towers - faulty(towers))
    }

    /// [`collusion_note`] for the towers of this quorum.
    #[must_use]
    pub fn collusion_note(&self) -> Option<&'static str> {
        collusion_note(self.towers)
    }
}

/// What a human must be told about `towers` (n) towers: something for 1 to 3, where f is 0, else nothing.
#[must_use]
pub fn collusion_note(towers: u32) -> Option<&'static str> {
    (1..=3).contains(&towers).then_some(COLLUSION)
}

/// Checks that `threshold` (t) of `members` (n) may amend: two amendments share more than f members.
///
/// # Errors
/// [`QuorumError::NoMembers`] for n = 0; [`QuorumError::Amendment`] unless 2t - n > f and t <= n.
pub fn check_amendment(members: u32, threshold: u32) -> Result<(), QuorumError> {
    let smallest = smallest_amendment(members).ok_or(QuorumError::NoMembers)?;
    if (smallest..=members).contains(&threshold) {
        return Ok(());
    }
    Err(QuorumError::Amendment {
        members,
        faulty: faulty(members),
        threshold,
        smallest,
    })
}

/// The smallest allowed amendment threshold; `None` without members.
#[must_use]
pub fn smallest_amendment(members: u32) -> Option<u32> {
    (members > 0).then(|| majority(members))
}

/// f = floor((n - 1) / 3): of so many, that many may lie.
#[must_use]
pub fn faulty(n: u32) -> u32 {
    n.saturating_sub(1) / 3
}

/// The smallest x with 2x > n + f, without a sum that could overflow: floor((n + f) / 2) = f + floor((n - f) / 2).
fn majority(n: u32) -> u32 {
    let f = faulty(n);
    f + (n - f) / 2 + 1
}

fn sum(n: &u32, f: &u32) -> u64 {
    u64::from(*n) + u64::from(*f)
}

fn span(from: u32, to: u32) -> String {
    if from == to {
        return from.to_string();
    }
    format!("{from} to {to}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_quorums() {
        // n, f, smallest and largest k, r of each.
        for (n, f, from, to, r_of_from, r_of_to) in [
            (1, 0, 1, 1, 1, 1),
            (2, 0, 2, 2, 1, 1),
            (3, 0, 2, 3, 2, 1),
            (4, 1, 3, 3, 3, 3),
            (5, 1, 4, 4, 3, 3),
            (6, 1, 4, 5, 4, 3),
            (7, 2, 5, 5, 5, 5),
            (8, 2, 6, 6, 5, 5),
            (9, 2, 6, 7, 6, 5),
            (10, 3, 7, 7, 7, 7),
        ] {
            assert_eq!(Quorum::allowed(n), Some(from..=to), "{n}");
            let smallest = Quorum::smallest(n).unwrap();
            assert_eq!(smallest, Quorum::new(n, from).unwrap());
            assert_eq!((smallest.faulty, smallest.recovery), (f, r_of_from), "{n}");
            assert_eq!(Quorum::new(n, to).unwrap().recovery, r_of_to, "{n}");
            for k in 0..=n + 2 {
                let by_rule = 2 * k > n + f && k <= n - f;
                assert_eq!(Quorum::new(n, k).is_ok(), by_rule, "{k} of {n}");
            }
        }
        assert_eq!(Quorum::new(0, 0), Err(QuorumError::NoTowers));
        assert_eq!(Quorum::smallest(0), None);
    }

    #[test]
    fn recovery_meets_every_quorum_in_an_honest_tower() {
        for n in 1..=100 {
            for k in Quorum::allowed(n).unwrap() {
                let q = Quorum::new(n, k).unwrap();
                assert!(q.recovery >= 1 && q.recovery <= n - q.faulty, "{q:?}");
                assert!(q.recovery + k > n + q.faulty, "{q:?}");
            }
        }
        for n in [u32::MAX - 2, u32::MAX - 1, u32::MAX] {
            assert!(Quorum::smallest(n).is_some());
            assert!(
                Quorum::new(n, u32::MAX)
                    .unwrap_err()
                    .to_string()
                    .contains("choose k = ")
            );
        }
    }

    #[test]
    fn amendments_intersect_in_more_than_f() {
        for (members, allowed) in [
            (1, 1..=1),
            (2, 2..=2),
            (3, 2..=3),
            (4, 3..=4),
            (5, 4..=5),
            (6, 4..=6),
            (7, 5..=7),
            (8, 6..=8),
            (9, 6..=9),
            (10, 7..=10),
        ] {
            for t in 0..=members + 2 {
                assert_eq!(
                    check_amendment(members, t).is_ok(),
                    allowed.contains(&t),
                    "{t} of {members}"
                );
            }
            assert_eq!(smallest_amendment(members), Some(*allowed.start()));
        }
        assert_eq!(check_amendment(0, 0), Err(QuorumError::NoMembers));
    }

    #[test]
    fn refusals_show_the_arithmetic() {
        let said = Quorum::new(5, 3).unwrap_err().to_string();
        assert_eq!(
            said,
            "a quorum of k = 3 of n = 5 towers is refused: f = floor((n - 1) / 3) = 1, so 2k > n + f asks for 2 * 3 > 6, \
             and k <= n - f for 3 <= 4; choose k = 4"
        );
        let said = check_amendment(5, 3).unwrap_err().to_string();
        assert!(said.contains("2 * 3 > 6") && said.ends_with("choose t = 4 to 5"));
        assert!(Quorum::smallest(3).unwrap().collusion_note().is_some());
        assert_eq!(Quorum::smallest(4).unwrap().collusion_note(), None);
        assert_eq!(collusion_note(0), None);
    }
}
