//! When the engine has something to do by itself: what waits for a time, rule by rule in the order of [`super::turn`]. Whoever
//! drives it may leave out the steps before that. May not decide what is done then: a step does, and a rule that is not
//! named here is late by [`LONGEST_REST_US`] at most.

use super::factory::Phase;
use super::{Engine, Settings, Volatile, clock, heads, window};

/// No rest is longer, in microseconds. A wall clock that is set says nothing by itself (R8): whoever knows of it steps at
/// once, and nobody is later than this.
pub const LONGEST_REST_US: u64 = 10_000_000;
/// Days end by the wall clock (R12), in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// The earliest of some times.
struct Due(u64);

impl Due {
    fn at(&mut self, at_us: u64) {
        self.0 = self.0.min(at_us);
    }
}

impl Engine {
    /// When the next step without inputs may do anything, by the clock that never steps, in microseconds. `None`: it may at
    /// once, so that the pauses between steps are the usual ones.
    ///
    /// It may be asked only after a step that wrote nothing and put nothing out: what a step did may have set something off
    /// that the next one does. Whatever arrives ends the rest.
    #[must_use]
    pub fn next_due_us(&self) -> Option<u64> {
        let (settings, v) = (&self.settings, &self.volatile);
        let now = v.clock.last()?;
        let now_us = now.mono_us;
        let says = v.say_hello || v.hello_again || v.certificates_owed;
        let starts = v.steps == 0 || v.reload || v.failed || says || v.epochs.telling.goes_on();
        if starts || !v.factory.rests() || !v.tower_rests(settings) || !v.forks.rest() {
            return None;
        }
        let mut due = Due(now_us.saturating_add(LONGEST_REST_US));
        due.at(v.clock.next_due_us(now_us).unwrap_or(u64::MAX));
        let day_ends_us = DAY_US - now.wall.micros().rem_euclid(DAY_US);
        due.at(now_us.saturating_add(day_ends_us.unsigned_abs()));
        if v.quiet_until_us > now_us {
            due.at(v.quiet_until_us);
        }
        due.at(v.windows.next_due_us(settings, now_us)?);
        for peer in v.peers.values().filter(|peer| peer.admitted) {
            due.at(peer.certificates_us?.saturating_add(settings.ask_us));
            due.at(peer.forks_us?.saturating_add(settings.ask_us));
        }
        if settings.members.is_tower(settings.me) {
            due.at(v.tower.heads_us.saturating_add(heads::INTERVAL_US));
        }
        due.at(v.digests_due_us(settings)?);
        (due.0 > now_us).then_some(due.0)
    }
}

impl super::factory::Factory {
    /// Nothing is being prepared, asked or fetched.
    fn rests(&self) -> bool {
        let settled = matches!(self.phase, Phase::Idle | Phase::Active | Phase::Stopped(_));
        settled && self.cuts.is_empty()
    }
}

impl Volatile {
    /// Everybody who is connected told this tower what it saw, and it restores nothing.
    fn tower_rests(&self, settings: &Settings) -> bool {
        if !settings.members.is_tower(settings.me) {
            return true;
        }
        !self.tower.restoring && self.tower.was_asked_for_all(settings, self)
    }

    /// When the newest digest is pushed to some tower again; `None`: at once.
    fn digests_due_us(&self, settings: &Settings) -> Option<u64> {
        let mut due = Due(u64::MAX);
        let pushes = matches!(self.factory.phase, Phase::Active);
        let Some(size) = self.factory.newest.filter(|_| pushes) else {
            return Some(due.0);
        };
        for tower in settings.members.towers_of(settings.me) {
            if self.connection(&settings.members, tower).is_none() {
                continue;
            }
            let (sent, at_us) = *self.factory.digests.get(&tower)?;
            if sent < size {
                return None;
            }
            let rests = self.acked >= size && self.factory.refused_by(tower).is_none();
            due.at(at_us.saturating_add(settings.digest_pause_us(rests)));
        }
        Some(due.0)
    }
}

impl clock::Clock {
    /// When acks that wait are given again, or nonces are forgotten.
    fn next_due_us(&self, now_us: u64) -> Option<u64> {
        // What is overdue waits for a clock that is confirmed, which a sample brings and time alone does not.
        let waits = [self.hold_until_us(), self.prune_due_us()];
        waits.into_iter().filter(|at_us| *at_us > now_us).min()
    }
}

impl window::Windows {
    /// When the window is closed, or its file is waited for no longer; `None`: at once.
    fn next_due_us(&self, settings: &Settings, now_us: u64) -> Option<u64> {
        if settings.window_us.is_none() {
            return Some(u64::MAX);
        }
        let due_us = self.due_us()?;
        if due_us > now_us {
            return Some(due_us);
        }
        // Overdue: its file is on its way, or the ledger takes no entry, which no time changes.
        Some(self.waits_until_us().unwrap_or(u64::MAX))
    }
}
