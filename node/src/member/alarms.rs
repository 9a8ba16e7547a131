//! Alarms since the start: counted by kind, and the newest kept for `status`. They are in the log, too; raising one is
//! the engine's.

use crate::clock;
use crate::net::Tally;
use belfry_protocol::engine::federation::Alarm;
use belfry_protocol::entry::time::TimeUs;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Alarms that are kept: enough to see how trouble began, few enough to read.
const KEPT: usize = 16;

/// One alarm.
#[derive(Clone, Debug)]
pub struct Told {
    /// When.
    pub at: TimeUs,
    /// Its name.
    pub kind: &'static str,
    /// What happened, whom it concerns, and what to do.
    pub text: String,
}

/// The alarms of a running node.
#[derive(Default)]
pub(crate) struct Alarms(Mutex<(VecDeque<Told>, Tally)>);

impl Alarms {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Told>, Tally)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a human.
    pub(super) fn tell(&self, alarm: &Alarm) {
        self.raise(alarm.kind(), alarm.to_string());
    }

    /// The same for what the engine does not know of.
    pub(crate) fn raise(&self, kind: &'static str, text: String) {
        tracing::error!(kind, "ALARM: {text}");
        let mut all = self.lock();
        if all.0.len() == KEPT {
            all.0.pop_front();
        }
        let at = clock::wall();
        all.0.push_back(Told { at, kind, text });
        *all.1.entry(kind).or_default() += 1;
    }

    /// The newest, oldest first.
    pub(crate) fn newest(&self) -> Vec<Told> {
        self.lock().0.iter().cloned().collect()
    }

    pub(crate) fn counts(&self) -> Tally {
        self.lock().1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_all_are_counted() {
        let alarms = Alarms::default();
        for size in 0..20 {
            alarms.tell(&Alarm::ForeignStatement { size });
        }
        let kept = alarms.newest();
        assert_eq!(kept.len(), KEPT);
        assert!(kept[KEPT - 1].text.contains("19 entries"), "{kept:?}");
        assert_eq!(alarms.counts()["foreign-statement"], 20);
    }
}
