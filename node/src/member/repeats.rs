//! Log lines that a peer can cause: the first is said at once, what follows about the same member and reason at most once
//! a minute with how many were left out. A flood costs a line a minute.

use crate::net::PeerId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pause between two lines about one member and reason.
const PAUSE: Duration = Duration::from_secs(60);

/// About whom and why. Strangers share one place, so that members and reasons, both few, bound the table.
type About = (Option<PeerId>, &'static str);

/// What was said, and what was not.
#[derive(Default)]
pub(super) struct Repeats(Mutex<BTreeMap<About, Last>>);

struct Last {
    said: Instant,
    left_out: u64,
}

impl Repeats {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<About, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines were left out before this one, if it is to be said now.
    pub(super) fn say(
        &self,
        member: Option<PeerId>,
        why: &'static str,
        now: Instant,
    ) -> Option<u64> {
        let mut all = self.lock();
        let Some(last) = all.get_mut(&(member, why)) else {
            let fresh = Last {
                said: now,
                left_out: 0,
            };
            all.insert((member, why), fresh);
            return Some(0);
        };
        if now < last.said + PAUSE {
            last.left_out += 1;
            return None;
        }
        last.said = now;
        Some(std::mem::take(&mut last.left_out))
    }

    /// What was left out and is due, because nothing came since; what is quiet is forgotten.
    pub(super) fn owed(&self, now: Instant) -> Vec<(Option<PeerId>, &'static str, u64)> {
        let mut all = self.lock();
        all.retain(|_, last| last.left_out > 0 || now < last.said + PAUSE);
        let due = all
            .iter_mut()
            .filter(|(_, last)| last.left_out > 0 && now >= last.said + PAUSE);
        due.map(|((member, why), last)| {
            last.said = now;
            (*member, *why, std::mem::take(&mut last.left_out))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_minute_that_counts_the_others() {
        let repeats = Repeats::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let one = Some(PeerId::random());
        assert_eq!(repeats.say(one, "stranger", at(0)), Some(0));
        for _ in 0..5 {
            assert_eq!(repeats.say(one, "stranger", at(1)), None);
        }
        assert_eq!(
            repeats.say(one, "replayed", at(1)),
            Some(0),
            "another reason"
        );
        assert_eq!(
            repeats.say(None, "stranger", at(1)),
            Some(0),
            "somebody else"
        );
        assert_eq!(repeats.owed(at(59)), []);
        assert_eq!(repeats.say(one, "stranger", at(60)), Some(5));
        assert_eq!(repeats.say(one, "stranger", at(61)), None);
        assert_eq!(repeats.owed(at(120)), [(one, "stranger", 1)]);
        assert_eq!(repeats.owed(at(300)), []);
        assert!(
            repeats.lock().is_empty(),
            "what is quiet takes no room any more"
        );
    }
}
