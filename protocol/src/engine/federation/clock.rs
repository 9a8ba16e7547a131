//! The own clocks (R4, R8). Steps are seen by comparing the wall clock with the one that never steps: a human is told, the
//! confirmation ends, and everybody is measured anew. What the members' clocks say of the own one is judged in every step,
//! before anything is signed with its time: a tower whose clock is proven wrong acks nothing, and goes on by itself once it
//! is not. Never adopts a peer's time: acks never go back, and pauses are measured by the clock that never steps.

use super::io::{Alarm, Free};
use super::{MemberIx, Settings, Turn};
use crate::clock::{Judgement, Sample, Stamps, Verdict, Window, judge};
use crate::engine::Now;
use crate::engine::nonces::{self, ClockState};
use crate::engine::store::{StoreError, Transaction};
use std::collections::BTreeMap;

/// Clocks that part by more than this between two steps of the engine have stepped, in microseconds: no drift does that.
const STEP_US: i64 = 2_000_000;
/// From this on the samples so far and the own clocks do not belong together any more, in microseconds: the wall clock was
/// set a little, or the machine slept, which stops the clock that never steps.
const JUMP_US: i64 = 50_000;
/// After a step, by which earlier samples would prove the clock wrong, acks wait for new ones; in microseconds. They come
/// within a round trip, and who has no peer to ask may not be silent for ever.
const HOLD_US: u64 = 30_000_000;
/// A verdict holds so long while nothing happens, in microseconds: judging costs some microseconds, a busy engine steps
/// a thousand times a second, and uncertainty grows by 20 of them meanwhile.
const JUDGED_US: u64 = 100_000;
/// The own clocks may part by so much before a verdict is made anew, in microseconds; also within [`JUDGED_US`].
const PARTED_US: i64 = 1_000;
/// Pause between two prunings of nonces, in microseconds: their floor is five minutes back anyway.
const PRUNE_US: u64 = 60_000_000;

/// What is known of the clocks since the start.
#[derive(Default)]
pub(super) struct Clock {
    last: Option<Now>,
    pub(super) state: ClockState,
    pub(super) steps: u64,
    /// Bounded by the manifest's members.
    windows: BTreeMap<MemberIx, Window>,
    judged: Judgement,
    judged_at: Option<Now>,
    /// Until when acks wait, by the clock that never steps; 0: they do not.
    hold_until_us: u64,
    /// Whether a human was told of the violation that lasts.
    told: bool,
    /// How often that was, since the start.
    pub(super) violations: u64,
    pruned_us: u64,
    pub(super) samples: u64,
    pub(super) discarded: BTreeMap<&'static str, u64>,
}

/// By how much the wall clock went further than the one that never steps, in microseconds.
fn parted(from: Now, to: Now) -> i64 {
    let mono = i64::try_from(to.mono_us.saturating_sub(from.mono_us)).unwrap_or(i64::MAX);
    let wall = to.wall.micros().saturating_sub(from.wall.micros());
    wall.saturating_sub(mono)
}

impl Clock {
    /// By how much the wall clock stepped since the last look, in microseconds.
    fn look(&mut self, now: Now) -> i64 {
        let last = self.last.replace(now);
        last.map_or(0, |last| parted(last, now))
    }

    /// Whether the clock lets this node acknowledge, as of the last step.
    pub(super) fn may_ack(&self) -> bool {
        let held = self
            .last
            .is_some_and(|now| now.mono_us < self.hold_until_us);
        self.judged.verdict != Verdict::Violated && !held
    }

    /// Until when acks wait, by the clock that never steps; 0: they do not.
    pub(super) fn hold_until_us(&self) -> u64 {
        self.hold_until_us
    }

    /// When nonces are forgotten next, by the clock that never steps.
    pub(super) fn prune_due_us(&self) -> u64 {
        self.pruned_us.saturating_add(PRUNE_US)
    }

    /// An alarm that was raised may not have left: it is raised again.
    pub(super) fn untold(&mut self) {
        self.told = false;
    }

    pub(super) fn last(&self) -> Option<Now> {
        self.last
    }

    pub(super) fn judged(&self) -> &Judgement {
        &self.judged
    }

    pub(super) fn windows(&self) -> impl Iterator<Item = (MemberIx, &Window)> {
        self.windows
            .iter()
            .map(|(member, window)| (*member, window))
    }

    /// What the members' clocks say of the own one.
    fn judge(&self, now: Now, settings: &Settings) -> Judgement {
        let offsets = self.windows();
        let offsets = offsets.filter_map(|(member, window)| Some((member, window.offset(now)?)));
        let sources: Vec<_> = offsets.collect();
        judge(
            &sources,
            settings.members.current(),
            settings.clock_bound_us(),
        )
    }

    /// The own clocks do not belong together any more: whatever was measured says nothing from here on. If it would have
    /// proven the clock wrong, the wall clock stepped or the machine slept, and acks wait until that is known.
    fn jumped(&mut self, now: Now, settings: &Settings) {
        if self.judge(now, settings).verdict == Verdict::Violated {
            self.hold_until_us = now.mono_us.saturating_add(HOLD_US);
        }
        self.windows.values_mut().for_each(Window::clear);
        self.state.on_wall_step();
        self.judged_at = None;
    }

    /// Makes the verdict anew if it may be another one.
    fn refresh(&mut self, now: Now, settings: &Settings) {
        let fresh = self.judged_at.is_some_and(|at| {
            now.mono_us < at.mono_us.saturating_add(JUDGED_US)
                && parted(at, now).saturating_abs() < PARTED_US
        });
        if fresh {
            return;
        }
        self.judged_at = Some(now);
        self.judged = self.judge(now, settings);
        if self.judged.verdict == Verdict::Undetermined {
            return;
        }
        if let Some(own) = self.judged.own {
            self.state.confirm(now, own, settings.clock_bound_us());
        }
        self.hold_until_us = 0;
    }
}

impl Settings {
    /// How far a clock may be off, in microseconds.
    pub(super) fn clock_bound_us(&self) -> u64 {
        let limits = self.members.federation().manifest().limits;
        u64::from(limits.clock_bound_ms).saturating_mul(1_000)
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Looks at both clocks, and judges them.
    pub(super) fn look_at_clocks(&mut self) {
        let by_us = self.v.clock.look(self.own.now);
        if by_us.saturating_abs() > JUMP_US {
            self.v.clock.jumped(self.own.now, self.settings);
            self.out.free(Free::MeasureClocks);
        }
        if by_us.saturating_abs() > STEP_US {
            self.v.clock.steps += 1;
            self.alarm(Alarm::WallStep { by_us });
        }
        self.judge_clocks();
    }

    /// What a probe of a member showed.
    pub(super) fn clock_sample(&mut self, peer: &str, stamps: &Stamps) {
        // It said goodbye while the probe was on its way.
        let Ok(member) = self.member_of(peer) else {
            return;
        };
        let clock = &mut self.v.clock;
        match Sample::of(stamps) {
            Ok(sample) => {
                clock.samples += 1;
                clock.windows.entry(member).or_default().push(sample);
                clock.judged_at = None;
            }
            Err(why) => *clock.discarded.entry(why.name()).or_default() += 1,
        }
        self.judge_clocks();
    }

    /// A human vouches for the wall clock. It opens what needs a confirmed clock; acks follow the members' clocks alone (R4).
    pub(super) fn clock_confirmed(&mut self) {
        let bound_us = self.settings.clock_bound_us();
        let clock = &mut self.v.clock;
        clock.state.confirm_by_operator(self.own.now, bound_us);
        clock.judged_at = None;
    }

    fn judge_clocks(&mut self) {
        self.v.clock.refresh(self.own.now, self.settings);
        let judged = &self.v.clock.judged;
        let violated = judged.verdict == Verdict::Violated;
        let told = std::mem::replace(&mut self.v.clock.told, violated);
        self.v.clock.violations += u64::from(violated && !told);
        let judged = &self.v.clock.judged;
        if let Some(own) = judged.own.filter(|_| violated && !told) {
            let (against, members) = (judged.against, self.settings.members.current());
            self.alarm(Alarm::ClockViolated {
                own,
                against,
                members,
            });
        }
    }

    /// Whether the clock lets this tower acknowledge (R4).
    pub(super) fn clock_may_ack(&self) -> bool {
        self.v.clock.may_ack()
    }

    /// Forgets nonces that are too old, as long as the clock is confirmed (R8).
    pub(super) fn prune_nonces(&mut self) -> Result<(), StoreError> {
        let now = self.now_us();
        if now < self.v.clock.prune_due_us() {
            return Ok(());
        }
        let Ok(confirmed) = self.v.clock.state.now(self.own.now) else {
            return Ok(());
        };
        self.v.clock.pruned_us = now;
        if nonces::live(self.own.tx)? > 0 && nonces::prune(self.own.tx, confirmed)?.more {
            // The rest with the next step.
            self.v.clock.pruned_us = now.saturating_sub(PRUNE_US);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::time::TimeUs;

    #[test]
    fn a_step_is_told_from_drift_and_from_a_pause() {
        let mut clock = Clock::default();
        let at = |mono_us: u64, wall: i64| Now {
            mono_us,
            wall: TimeUs::from_micros(wall).unwrap(),
        };
        assert_eq!(clock.look(at(0, 1_000_000_000)), 0);
        assert_eq!(clock.look(at(60_000_000, 1_060_012_000)), 12_000);
        assert_eq!(clock.look(at(61_000_000, 4_660_012_000)), 3_599_000_000);
        assert_eq!(clock.look(at(62_000_000, 4_661_012_000)), 0);
        assert_eq!(clock.look(at(63_000_000, 1_062_012_000)), -3_600_000_000);
    }
}
