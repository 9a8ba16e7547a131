//! Model C: single requests, their nonces and the floor under a wall clock that steps, with crashes and old backups
//! (R8). One request is followed, with any stamp, delivered as often as anybody likes: others differ by their nonce only.
//!
//! One tick stands for 30 s and for the clock bound alike; the window backwards is three ticks instead of ten.

use stateright::{Model, Property};

use crate::report::{Bound, breaks_in, holds};

const BACK: i8 = 3;
const AHEAD: i8 = 1;
const CLOCK_BOUND: i8 = 1;
/// What a restore adds to the clock: 30 s and twice the bound.
const RAISE: i8 = AHEAD + 2 * CLOCK_BOUND;
/// Below every stamp.
const NO_FLOOR: i8 = -20;

const REPLAY: &str = "no request takes effect twice";
const LOCK_OUT: &str = "no floor lies further ahead than a restore may put it";
const AFTER_RESTORE: &str = "a request is accepted after a restore";
const PRUNED: &str = "a nonce is pruned";

/// The sentence of R8 that a run leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// "Single requests are accepted ... only while the clock is confirmed".
    ConfirmedToAccept,
    /// "nonces pruned ... only while the clock is confirmed".
    ConfirmedToPrune,
    /// "a restore completed only while the clock is confirmed".
    ConfirmedToRestore,
    /// "a probe interval since boot".
    SinceBoot,
    /// "and since the last wall step".
    SinceStep,
    /// "lies within the clock bound": any probe confirms.
    WithinBound,
    /// "`floor := max(floor, ...)`" when pruning: the floor follows the clock.
    PruneKeepsMaximum,
    /// "durable", of the floor.
    FloorDurable,
    /// R9: a nonce and its effect are one transaction, and the answer leaves after its commit.
    NonceDurable,
    /// "iff `issued_at > floor`": equal is accepted as well.
    StrictlyAbove,
    /// "`issued_at <= now + 30 s`".
    Ahead,
    /// "prune nonces with `issued_at <= floor`": one tick more.
    PruneUpToFloor,
    /// "After a restore or fast-forward: `floor := ...`".
    Raise,
    /// "`+ 30 s`" of it.
    RaiseAhead,
    /// "`2 *`" of it: the bound once.
    RaiseTwice,
    /// Holds: "`max(floor, ...)`" after a restore: the raise is above all that was ever accepted.
    RestoreKeepsMaximum,
    /// Holds: "`now - 300 s <= issued_at`". The floor alone decides what is too old.
    Back,
    /// Holds: the raise, where the nonces are rebuilt from the entries that carry them.
    RaiseButRebuild,
}

#[derive(Clone, Copy, Debug)]
struct Nonces {
    /// True time runs from 0 to this.
    end: i8,
    /// How far a wall clock can be from the true time after a step or a boot.
    offsets: &'static [i8],
    steps: u8,
    boots: u8,
    restores: u8,
    dropped: Option<Dropped>,
}

const NEAR_AND_FAR: &[i8] = &[-9, -1, 0, 1, 9];

/// What a node knows of the one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Store {
    floor: i8,
    nonce: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    time: i8,
    offset: i8,
    confirmed: bool,
    /// As the node reads it; differs from `disk` only in the variants that say so.
    store: Store,
    disk: Store,
    backup: Option<Store>,
    restoring: bool,
    /// Chosen when the request is first accepted: until then it could have any.
    stamp: Option<i8>,
    effects: u8,
    steps: u8,
    boots: u8,
    restores: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    /// The wall clock slews inside the bound, which needs no new probe.
    Slew {
        offset: i8,
    },
    Step {
        offset: i8,
    },
    Probe,
    Accept {
        stamp: i8,
    },
    Prune,
    BackUp,
    /// A crash, and a start with any clock.
    Boot {
        offset: i8,
    },
    Restore,
    EndRestore,
}

impl Nonces {
    fn new(steps: u8, boots: u8, restores: u8) -> Self {
        Self {
            end: 7,
            offsets: NEAR_AND_FAR,
            steps,
            boots,
            restores,
            dropped: None,
        }
    }

    fn without(self, dropped: Dropped) -> Self {
        Self {
            dropped: Some(dropped),
            ..self
        }
    }

    fn near(self) -> Self {
        let offsets = &[-1, 0, 1];
        Self { offsets, ..self }
    }

    /// Never far ahead.
    fn behind(self) -> Self {
        let offsets = &[-9, -1, 0, 1];
        Self { offsets, ..self }
    }

    fn drops(&self, dropped: Dropped) -> bool {
        self.dropped == Some(dropped)
    }

    fn accept(&self, state: &mut State, stamp: i8) -> Option<()> {
        let now = state.wall();
        let floor = state.store.floor;
        let above = stamp > floor || (stamp == floor && self.drops(Dropped::StrictlyAbove));
        let young = now - BACK <= stamp || self.drops(Dropped::Back);
        let not_ahead = stamp <= now + AHEAD || self.drops(Dropped::Ahead);
        let sure = state.confirmed || self.drops(Dropped::ConfirmedToAccept);
        let this = state.stamp.is_none_or(|first| first == stamp);
        if !(above && young && not_ahead && sure && this) || state.store.nonce || state.restoring {
            return None;
        }
        state.stamp = Some(stamp);
        state.effects += 1;
        state.store.nonce = true;
        if !self.drops(Dropped::NonceDurable) {
            state.disk = state.store;
        }
        Some(())
    }

    fn prune(&self, state: &mut State) -> Option<()> {
        if !(state.confirmed || self.drops(Dropped::ConfirmedToPrune)) || state.restoring {
            return None;
        }
        let floor = state.wall() - BACK;
        state.store.floor = match self.dropped {
            Some(Dropped::PruneKeepsMaximum) => floor,
            _ => floor.max(state.store.floor),
        };
        let more = i8::from(self.drops(Dropped::PruneUpToFloor));
        let old = state.stamp.is_some_and(|s| s <= state.store.floor + more);
        state.store.nonce &= !old;
        state.disk.nonce = state.store.nonce;
        if !self.drops(Dropped::FloorDurable) {
            state.disk.floor = state.store.floor;
        }
        Some(())
    }

    fn end_restore(&self, state: &mut State) -> Option<()> {
        if !state.restoring || !(state.confirmed || self.drops(Dropped::ConfirmedToRestore)) {
            return None;
        }
        let raise = match self.dropped {
            Some(Dropped::RaiseAhead) => RAISE - AHEAD,
            Some(Dropped::RaiseTwice) => RAISE - CLOCK_BOUND,
            _ => RAISE,
        };
        let floor = state.wall() + raise;
        match self.dropped {
            Some(Dropped::Raise) => {}
            Some(Dropped::RestoreKeepsMaximum) => state.store.floor = floor,
            Some(Dropped::RaiseButRebuild) => {
                let above = state.stamp.is_some_and(|s| s > state.store.floor);
                state.store.nonce |= state.effects > 0 && above;
            }
            _ => state.store.floor = floor.max(state.store.floor),
        }
        state.disk = state.store;
        state.restoring = false;
        Some(())
    }

    fn step(&self, state: &mut State, offset: i8) -> Option<()> {
        state.steps = state.steps.checked_sub(1)?;
        state.offset = offset;
        state.confirmed &= self.drops(Dropped::SinceStep);
        Some(())
    }

    fn boot(&self, state: &mut State, offset: i8) -> Option<()> {
        state.boots = state.boots.checked_sub(1)?;
        state.offset = offset;
        state.store = state.disk;
        state.confirmed &= self.drops(Dropped::SinceBoot);
        Some(())
    }

    fn restore(state: &mut State) -> Option<()> {
        state.restores = state.restores.checked_sub(1)?;
        state.store = state.backup?;
        state.disk = state.store;
        state.restoring = true;
        state.confirmed = false;
        Some(())
    }
}

impl State {
    fn wall(&self) -> i8 {
        self.time + self.offset
    }
}

fn no_replay(_: &Nonces, state: &State) -> bool {
    state.effects < 2
}

fn no_lock_out(_: &Nonces, state: &State) -> bool {
    state.store.floor <= state.time + CLOCK_BOUND + RAISE
}

impl Model for Nonces {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let store = Store {
            floor: NO_FLOOR,
            nonce: false,
        };
        vec![State {
            time: 0,
            offset: 0,
            confirmed: false,
            store,
            disk: store,
            backup: None,
            restoring: false,
            stamp: None,
            effects: 0,
            steps: self.steps,
            boots: self.boots,
            restores: self.restores,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.time < self.end {
            actions.push(Action::Tick);
        }
        let near = (-CLOCK_BOUND..=CLOCK_BOUND).contains(&state.offset);
        if near && state.confirmed {
            let slewed = (-CLOCK_BOUND..=CLOCK_BOUND).filter(|o| o.abs_diff(state.offset) == 1);
            actions.extend(slewed.map(|offset| Action::Slew { offset }));
        }
        if near || self.drops(Dropped::WithinBound) {
            actions.push(Action::Probe);
        }
        let stamps = match state.stamp {
            Some(stamp) => stamp..=stamp,
            None => state.wall() - BACK..=state.wall() + AHEAD + RAISE,
        };
        actions.extend(stamps.map(|stamp| Action::Accept { stamp }));
        actions.push(Action::Prune);
        for &offset in self.offsets {
            if offset != state.offset {
                actions.push(Action::Step { offset });
            }
            actions.push(Action::Boot { offset });
        }
        if state.restores > 0 && !state.restoring {
            // A backup is taken of what is on disk, and an older one is of no use to anybody but the thief of time.
            actions.extend([Action::BackUp, Action::Restore]);
        }
        actions.push(Action::EndRestore);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Tick => next.time += 1,
            Action::Slew { offset } => next.offset = offset,
            Action::Step { offset } => self.step(&mut next, offset)?,
            Action::Probe => next.confirmed = true,
            Action::Accept { stamp } => self.accept(&mut next, stamp)?,
            Action::Prune => self.prune(&mut next)?,
            Action::BackUp => next.backup = Some(next.disk),
            Action::Boot { offset } => self.boot(&mut next, offset)?,
            Action::Restore => Self::restore(&mut next)?,
            Action::EndRestore => self.end_restore(&mut next)?,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(REPLAY, no_replay),
            Property::sometimes(PRUNED, |_, s: &State| {
                let old = s.stamp.is_some_and(|stamp| stamp <= s.store.floor);
                old && s.effects == 1 && !s.store.nonce
            }),
        ];
        // The raise of a restore by a wrong clock and a prune by one both end here.
        properties.push(Property::always(LOCK_OUT, no_lock_out));
        if self.restores > 0 {
            properties.push(Property::sometimes(AFTER_RESTORE, |_, s: &State| {
                let in_backup = s.backup.is_some_and(|backup| backup.nonce);
                s.restores == 0 && s.store.nonce && !in_backup
            }));
        }
        properties
    }
}

#[test]
fn steps_and_boots_admit_no_request_twice() {
    holds("C 3 steps, 2 boots", Nonces::new(3, 2, 0), Bound::Exhaust);
}

#[test]
fn an_old_backup_admits_no_request_twice() {
    let model = Nonces::new(2, 0, 1);
    holds("C 2 steps, 1 restore", model, Bound::Exhaust);
    let model = Nonces::new(0, 1, 1);
    holds("C 1 boot, 1 restore", model, Bound::Exhaust);
}

#[test]
fn two_restores_admit_no_request_twice() {
    let model = Nonces::new(1, 0, 2).near();
    holds("C near, 1 step, 2 restores", model, Bound::Exhaust);
}

/// Sentences that others make superfluous: the oldest stamp (it bounds what must be kept, not what is safe), the raise
/// wherever the nonce is in the ledger, and the maximum when a restore raises the floor.
#[test]
fn weaker_wordings_hold() {
    for dropped in [Dropped::Back, Dropped::RaiseButRebuild] {
        let model = Nonces::new(1, 0, 1).without(dropped);
        holds(&format!("C without {dropped:?}"), model, Bound::Exhaust);
    }
    let dropped = Dropped::RestoreKeepsMaximum;
    let model = Nonces::new(0, 0, 2).without(dropped);
    holds(&format!("C without {dropped:?}"), model, Bound::Exhaust);
}

#[test]
fn every_sentence_is_needed() {
    let restored = Nonces::new(0, 0, 1);
    for (dropped, model, property, steps) in [
        (Dropped::ConfirmedToAccept, Nonces::new(2, 0, 1), REPLAY, 12),
        (Dropped::ConfirmedToPrune, Nonces::new(1, 0, 0), LOCK_OUT, 2),
        (
            Dropped::ConfirmedToRestore,
            Nonces::new(1, 0, 1),
            LOCK_OUT,
            4,
        ),
        (
            Dropped::ConfirmedToRestore,
            Nonces::new(2, 0, 1).behind(),
            REPLAY,
            9,
        ),
        (Dropped::SinceBoot, Nonces::new(0, 1, 0), LOCK_OUT, 3),
        (Dropped::SinceStep, Nonces::new(1, 0, 0), LOCK_OUT, 3),
        (Dropped::WithinBound, Nonces::new(1, 0, 0), LOCK_OUT, 3),
        (Dropped::PruneKeepsMaximum, Nonces::new(0, 0, 0), REPLAY, 6),
        (Dropped::FloorDurable, Nonces::new(0, 1, 0), REPLAY, 6),
        (Dropped::NonceDurable, Nonces::new(0, 1, 0), REPLAY, 5),
        (Dropped::StrictlyAbove, Nonces::new(0, 0, 0), REPLAY, 4),
        (Dropped::Ahead, restored, REPLAY, 7),
        (Dropped::PruneUpToFloor, Nonces::new(0, 0, 0), REPLAY, 4),
        (Dropped::Raise, restored, REPLAY, 7),
        (Dropped::RaiseAhead, restored, REPLAY, 12),
        (Dropped::RaiseTwice, restored, REPLAY, 12),
    ] {
        let name = format!("C without {dropped:?}");
        breaks_in(&name, model.without(dropped), property, steps);
    }
}
