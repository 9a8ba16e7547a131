//! Model F: an honest factory loses its disk around the activation of epoch N+1, and recovers from a backup that may know
//! N alone (R3, R14). Entry 1 is before it, entry 2 is `genesis.active`, entry 3 comes after.

use stateright::{Model, Property};

use crate::report::{Bound, breaks_in, holds};

const TOWERS: usize = 6;
/// Size that covers `genesis.active`.
const ACTIVE: u8 = 2;
const SIZES: u8 = 3;
const ADOPTS: &str = "F1: who finished recovery holds everything that was signed";
const ACROSS: &str = "a factory whose backup knew N alone recovers in N+1";

/// The sentence that a run leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// "if the adopted history contains a newer `genesis.active` ... it repeats there before it signs".
    Repeat,
    /// "counts only with the tower quorums of N and of N+1": signs it with N+1's alone.
    Joint,
    /// "of every epoch it knows": of the newest one that it knows only.
    NewestOnly,
}

#[derive(Clone, Copy, Debug)]
struct Boundary {
    old: u8,
    new: u8,
    k: u32,
    r: u32,
    liars: u8,
    dropped: Option<Dropped>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    /// What each tower holds of the first life's log.
    held: [u8; TOWERS],
    signed: u8,
    /// N+1 is ready: all manifests and votes are there, `genesis.active` may be appended.
    ready: bool,
    lost: bool,
    /// The backup knows that N+1 is ready.
    knows: bool,
    /// Towers that answered the new life.
    answered: u8,
    adopted: u8,
    recovered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Ready,
    Hold { tower: usize },
    Sign,
    Lose { knows: bool },
    Answer { tower: usize },
    Recovered,
}

impl Boundary {
    fn new(old: u8, new: u8, k: u32, r: u32, liars: u8) -> Self {
        Self {
            old,
            new,
            k,
            r,
            liars,
            dropped: None,
        }
    }

    fn without(self, dropped: Dropped) -> Self {
        let dropped = Some(dropped);
        Self { dropped, ..self }
    }

    fn drops(&self, dropped: Dropped) -> bool {
        self.dropped == Some(dropped)
    }

    /// k towers of an epoch hold so much, or say so.
    fn quorum(&self, state: &State, of: u8, size: u8) -> bool {
        let held = (0..TOWERS).filter(|tower| state.held[*tower] >= size);
        let honest: u8 = held.map(|tower| 1 << tower).sum();
        ((honest | self.liars) & of).count_ones() >= self.k
    }

    fn may_sign(&self, state: &State) -> bool {
        let size = state.signed + 1;
        let old = self.quorum(state, self.old, size);
        let new = self.quorum(state, self.new, size);
        match size {
            ACTIVE => new && (old || self.drops(Dropped::Joint)),
            _ if size < ACTIVE => old,
            _ => new,
        }
    }

    fn enough(&self, state: &State, of: u8) -> bool {
        // A liar answers too, and tells nothing.
        ((state.answered | self.liars) & of).count_ones() >= self.r
    }

    fn may_end(&self, state: &State) -> bool {
        let (old, new) = (self.enough(state, self.old), self.enough(state, self.new));
        let across = state.adopted >= ACTIVE && !self.drops(Dropped::Repeat);
        match self.dropped {
            Some(Dropped::NewestOnly) if state.knows => new,
            _ => old && (new || !(state.knows || across)),
        }
    }
}

impl Model for Boundary {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let there = |t: &usize| (self.old | self.new) & !self.liars & (1 << t) != 0;
        let towers = || (0..TOWERS).filter(there);
        if !state.lost {
            if !state.ready {
                actions.push(Action::Ready);
            }
            actions.extend(towers().map(|tower| Action::Hold { tower }));
            if self.may_sign(state) && state.signed < SIZES {
                actions.push(Action::Sign);
            }
            actions.extend([false, true].map(|knows| Action::Lose { knows }));
        } else if !state.recovered {
            actions.extend(towers().map(|tower| Action::Answer { tower }));
            actions.push(Action::Recovered);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Ready => next.ready = true,
            Action::Hold { tower } => {
                let size = state.held[tower] + 1;
                // One digest ahead of what is signed; what is appended from `genesis.active` on needs N+1 to be ready.
                let there = size <= SIZES && size <= state.signed + 1;
                // A tower that is only in N+1 takes the whole log, once that epoch is ready.
                let known = self.old & (1 << tower) != 0 || state.ready;
                (there && known && (size < ACTIVE || state.ready)).then_some(())?;
                next.held[tower] = size;
            }
            Action::Sign => next.signed += 1,
            Action::Lose { knows } => {
                (state.ready || !knows).then_some(())?;
                next.lost = true;
                next.knows = knows;
            }
            Action::Answer { tower } => {
                let bit = 1 << tower;
                // N+1's towers are known to who knows N+1, from the backup or from what it adopted.
                let named = self.old & bit != 0 || state.knows || state.adopted >= ACTIVE;
                (named && state.answered & bit == 0).then_some(())?;
                next.answered |= bit;
                next.adopted = state.adopted.max(state.held[tower]);
            }
            Action::Recovered => {
                self.may_end(state).then_some(())?;
                next.recovered = true;
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ADOPTS, |_, state: &State| {
                !state.recovered || state.adopted >= state.signed
            }),
            Property::sometimes(ACROSS, |_, state: &State| {
                state.recovered && !state.knows && state.signed == SIZES
            }),
        ]
    }
}

/// Three towers each, one of them in both; k = r = 2.
fn three() -> Boundary {
    Boundary::new(0b00_0111, 0b01_1100, 2, 2, 0)
}

/// Four each, two of them in both, of which one lies; k = r = 3.
fn four() -> Boundary {
    Boundary::new(0b00_1111, 0b11_1100, 3, 3, 0b00_1000)
}

#[test]
fn recovery_finds_what_was_signed_on_both_sides() {
    holds("F 3 to 3, 1 common", three(), Bound::Exhaust);
    holds("F 4 to 4, 2 common, 1 lies", four(), Bound::Exhaust);
    let disjoint = Boundary::new(0b00_0111, 0b11_1000, 2, 2, 0);
    holds("F 3 to 3, none common", disjoint, Bound::Exhaust);
}

#[test]
fn every_sentence_is_needed() {
    for (dropped, steps) in [
        (Dropped::Repeat, 16),
        (Dropped::Joint, 12),
        (Dropped::NewestOnly, 8),
    ] {
        let name = |size| format!("F {size} without {dropped:?}");
        breaks_in(&name(3), three().without(dropped), ADOPTS, steps);
        breaks_in(&name(4), four().without(dropped), ADOPTS, steps);
    }
}
