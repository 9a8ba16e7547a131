//! The moves of model A and what must always hold.
//! S1 and S3 are about signed digests; L says that an empty disk and the honest towers always find a way on.

use stateright::{Model, Property};

use super::config::{Config, Dropped};
use super::state::{Life, MAX, Phase, State, Tower};
use crate::log::Log;

pub(crate) const S1: &str = "S1: signed digests are prefixes of one another";
pub(crate) const S3: &str = "S3: the highest incarnation holds every signed digest";
pub(crate) const L: &str = "L: a cold start can recover";
const ENTRY_OF_THE_LAST: &str = "the last life signs an entry of its own beyond an earlier one";

/// Towers are named by their place in the sorted state before the move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The next life starts with this log, last written under `stamp`; unless `copy`, the others stop.
    Start {
        log: Log,
        stamp: u8,
        number: u8,
        copy: bool,
    },
    Append {
        life: u8,
    },
    Answer {
        tower: usize,
        life: u8,
    },
    /// Only while the same-transaction rule is dropped: the promise for a state read earlier.
    PromiseLater {
        tower: usize,
        life: u8,
    },
    /// The life adopts from the answers of the towers in the mask, and what the liar claims.
    Finish {
        life: u8,
        towers: u8,
        liar: Claim,
    },
    /// The prepare of the first `len` entries arrives.
    Accept {
        tower: usize,
        life: u8,
        len: u8,
    },
    Sign {
        life: u8,
        len: u8,
    },
    SeeDigest {
        tower: usize,
        life: u8,
        len: u8,
    },
    LoseDisk {
        tower: usize,
    },
    /// One other tower tells the restored one all it knows, and notes its new disk id.
    CatchUp {
        source: usize,
    },
}

/// A liar shows only what the factory really sent, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    NotAsked,
    Nothing,
    Digest { life: u8, len: u8 },
    Tail { life: u8, len: u8 },
}

impl Config {
    fn factory_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let started = state.started();
        if started < self.lives {
            self.starts(state, started, actions);
        }
        for life in 1..=started {
            let now = state.life(life);
            match now.phase {
                Phase::Active => {
                    if now.log.len() < self.max_len {
                        actions.push(Action::Append { life });
                    }
                    for len in now.newest_digest().len() + 1..=now.log.len() {
                        actions.push(Action::Sign { life, len });
                    }
                }
                Phase::Recovering => self.finishes(state, life, actions),
                _ => (),
            }
        }
    }

    fn tower_actions(&self, state: &State, tower: usize, actions: &mut Vec<Action>) {
        let started = state.started();
        let now = &state.towers[tower];
        for life in 1..=started {
            let factory = state.life(life);
            if factory.phase == Phase::Recovering {
                let answer = now.sent[usize::from(life) - 1].answer;
                if answer.is_none_or(|a| a.disk != now.disk) {
                    actions.push(Action::Answer { tower, life });
                } else if answer.is_some_and(|a| !a.promised) {
                    actions.push(Action::PromiseLater { tower, life });
                }
            }
            if factory.was_active() {
                for len in factory.first_prepare_len.max(1)..=factory.log.len() {
                    actions.push(Action::Accept { tower, life, len });
                }
                for len in now.held.digest.len() + 1..=factory.log.len() {
                    if factory.has_signed(len) {
                        actions.push(Action::SeeDigest { tower, life, len });
                    }
                }
            }
        }
        if state.losses_left > 0 {
            actions.push(Action::LoseDisk { tower });
        }
        if self.losses > state.losses_left && !now.knows {
            actions.push(Action::CatchUp { source: tower });
        }
    }

    fn cold_start_recovers(&self, state: &State) -> bool {
        let towers = &state.towers[..self.honest()];
        (0..1_u8 << towers.len())
            .filter(|mask| mask.count_ones() as usize == self.answers())
            .all(|mask| {
                let shown: Vec<_> = (0..towers.len())
                    .filter(|t| mask & (1 << t) != 0)
                    .map(|t| towers[t].held)
                    .collect();
                let adopted = self.adopt(state, &shown, None).0;
                // A fresh, higher number is refused by nobody; only a digest outside the log could stand in the way.
                let willing = |t: &&Tower| adopted.starts_with(t.held.digest);
                towers.iter().filter(willing).count() >= usize::from(self.k)
            })
    }
}

fn signed_are_consistent(_: &Config, state: &State) -> bool {
    let newest = |life: &Life| life.newest_digest();
    state.lives.iter().enumerate().all(|(i, a)| {
        state.lives[..i]
            .iter()
            .all(|b| newest(a).consistent_with(newest(b)))
    })
}

fn highest_holds_all(config: &Config, state: &State) -> bool {
    let lives = &state.lives;
    lives.iter().enumerate().all(|(i, life)| {
        let highest = (0..MAX).all(|j| j == i || lives[j].number < life.number);
        // A lost disk may take a promise with it. A stopped life cannot sign; a live copy that rests on the replaced
        // disk may believe that it recovered, but it must not get a signature out.
        let done = match (config.losses, config.copies) {
            (0, _) => life.was_active(),
            (_, 0) => life.phase == Phase::Active,
            _ => life.signed != 0,
        };
        !(highest && done)
            || lives
                .iter()
                .all(|other| life.log.starts_with(other.newest_digest()))
    })
}

/// Not an empty promise: a later life built on an earlier one's entry and signed.
fn last_life_signs_on(config: &Config, state: &State) -> bool {
    let last = state.life(config.lives);
    let digest = last.newest_digest();
    digest.len() > 1
        && digest == digest.prefix(digest.len() - 1).push(config.lives)
        && !digest
            .prefix(1)
            .consistent_with(Log::EMPTY.push(config.lives))
}

impl Model for Config {
    type State = State;
    type Action = Action;

    /// The first life has recovered from empty towers: r answered, so all but the liar of these promised it.
    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            copies_left: self.copies,
            losses_left: self.losses,
            ..State::default()
        };
        state.lives[0].phase = Phase::Active;
        state.lives[0].number = 1;
        let promised = self.answers() - usize::from(self.f);
        for tower in &mut state.towers[..promised] {
            tower.promise = 1;
            tower.sent[0].rests_on = (self.losses > 0).then_some(0);
        }
        let state = state.canonical(self.honest());
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.factory_actions(state, actions);
        for tower in 0..self.honest() {
            // Equal towers are next to each other and have the same moves.
            if tower == 0 || state.towers[tower] != state.towers[tower - 1] {
                self.tower_actions(state, tower, actions);
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        let done = match action {
            Action::Start {
                log,
                stamp,
                number,
                copy,
            } => next.start(log, stamp, number, copy),
            Action::Append { life } => next.append(life),
            Action::Answer { tower, life } => self.answer(&mut next, tower, life),
            Action::PromiseLater { tower, life } => next.promise_later(tower, life),
            Action::Finish { life, towers, liar } => self.finish(&mut next, life, towers, liar),
            Action::Accept { tower, life, len } => self.accept(&mut next, tower, life, len),
            Action::Sign { life, len } => self.sign(&mut next, life, len),
            Action::SeeDigest { tower, life, len } => next.see_digest(tower, life, len),
            Action::LoseDisk { tower } => self.lose_disk(&mut next, tower),
            Action::CatchUp { source } => self.catch_up(&mut next, source),
        };
        done.map(|()| next.canonical(self.honest()))
            .filter(|next| next != state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(S1, signed_are_consistent),
            Property::always(S3, highest_holds_all),
        ];
        if self.losses == 0 && self.dropped == Dropped::Nothing {
            properties.push(Property::always(L, Self::cold_start_recovers));
        }
        if self.max_len > 1 {
            properties.push(Property::sometimes(ENTRY_OF_THE_LAST, last_life_signs_on));
        }
        properties
    }
}
