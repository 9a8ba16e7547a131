//! The moves: votes, their release, lost disks, a joiner's acceptance, yields.

use stateright::{Model, Property};

use super::config::{Config, Dropped, Vote};
use super::state::{A, B, C, Kind, Member, State};

pub(super) const ONE: &str = "V1: at most one manifest of the epoch is active";
pub(super) const CONSENT: &str = "V2: what is active was approved by all that it needs";
pub(super) const CLEAN: &str = "V3: no honest member votes twice in one round";
pub(super) const ENDS: &str = "V4: the honest members that are there can end the vote";
const ACTIVE: &str = "a manifest is active";
const UNLOCKED: &str = "a member commits another hash than before";
const RECOVERED: &str = "a recovery manifest is active";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Vote {
        member: usize,
        kind: Kind,
        hash: u8,
        round: usize,
    },
    Release {
        member: usize,
    },
    /// The disk is lost between the vote and its release, or later, and rebuilt from what towers hold.
    LoseDisk {
        member: usize,
    },
    JoinerAccepts {
        round: usize,
    },
    Yield {
        member: usize,
    },
}

impl Config {
    fn vote(
        &self,
        state: &mut State,
        one: usize,
        kind: Kind,
        hash: u8,
        round: usize,
    ) -> Option<()> {
        let allowed = match kind {
            Kind::Approve => self.may_approve(state, one, hash, round),
            Kind::Commit => self.may_commit(state, one, hash, round),
        };
        let member = &mut state.members[one];
        if !allowed || member.waiting.is_some() {
            return None;
        }
        match kind {
            Kind::Approve => member.approved.0[round] |= hash,
            Kind::Commit => member.committed.0[round] |= hash,
        }
        member.waiting = Some((kind, round));
        if self.losses == 0 {
            // Nobody can tell a vote that waits from one that nobody has seen: only a lost disk can.
            return member.release();
        }
        if self.leaves_at_once(kind) {
            member.release()?;
            member.waiting = Some((kind, round));
        }
        Some(())
    }

    fn lose_disk(&self, state: &mut State, one: usize) -> Option<()> {
        state.losses = state.losses.checked_sub(1)?;
        let member = &mut state.members[one];
        member.forget_waiting();
        match self.dropped {
            Some(Dropped::EveryVoteRebuilt) => member.approved = Default::default(),
            Some(Dropped::Rebuilt) => {
                member.approved = Default::default();
                member.committed = Default::default();
            }
            _ => {}
        }
        Some(())
    }

    fn give_way(&self, state: &mut State, one: usize) -> Option<()> {
        let recovery = self.recovery?;
        let member = &mut state.members[one];
        let kept = member.lock().is_none_or(|(hash, _)| hash == recovery);
        if member.yielded || !(kept || self.drops(Dropped::YieldToCommitted)) {
            return None;
        }
        member.yielded = true;
        Some(())
    }

    fn one_active(&self, state: &State) -> bool {
        [A, B, C].iter().filter(|h| self.active(state, **h)).count() < 2
    }
}

fn clean(_: &Config, state: &State) -> bool {
    let once = |member: &Member| {
        let votes = member.out_approved.0.iter().chain(&member.out_committed.0);
        votes.copied().all(|votes| votes != A | B)
    };
    state.members.iter().all(once)
}

fn consent(config: &Config, state: &State) -> bool {
    let mut active = [A, B].into_iter().filter(|h| config.voted(state, *h));
    active.all(|hash| config.consented(state, hash))
}

fn unlocked(_: &Config, state: &State) -> bool {
    let both = |m: &Member| m.committed.any(A) && m.committed.any(B);
    state.members.iter().any(both)
}

impl Model for Config {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            losses: self.losses,
            ..State::default()
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for member in 0..self.honest() {
            for round in 0..self.rounds {
                for hash in [A, B] {
                    for kind in [Kind::Approve, Kind::Commit] {
                        actions.push(Action::Vote {
                            member,
                            kind,
                            hash,
                            round,
                        });
                    }
                }
            }
            if state.members[member].waiting.is_some() {
                actions.push(Action::Release { member });
            }
            if state.losses > 0 {
                actions.push(Action::LoseDisk { member });
            }
            if self.recovery.is_some() {
                actions.push(Action::Yield { member });
            }
        }
        if matches!(self.vote, Vote::Joiner { .. }) {
            let rounds = if self.drops(Dropped::Standing) {
                self.rounds
            } else {
                1
            };
            let open = (0..rounds).filter(|round| !state.accepted[*round]);
            actions.extend(open.map(|round| Action::JoinerAccepts { round }));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Vote {
                member,
                kind,
                hash,
                round,
            } => self.vote(&mut next, member, kind, hash, round)?,
            Action::Release { member } => next.members[member].release()?,
            Action::LoseDisk { member } => self.lose_disk(&mut next, member)?,
            Action::JoinerAccepts { round } => next.accepted[round] = true,
            Action::Yield { member } => self.give_way(&mut next, member)?,
        }
        // Members are interchangeable, except for the one that B leaves out.
        let alike = self.absentee().unwrap_or(self.honest());
        next.members[..alike].sort_unstable();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE, Self::one_active),
            Property::always(CONSENT, consent),
            Property::always(CLEAN, clean),
            Property::sometimes(ACTIVE, |config: &Self, state| {
                config.active(state, A) || config.active(state, B)
            }),
        ];
        if self.recovery.is_some() {
            properties.push(Property::sometimes(RECOVERED, Self::recovered));
        } else if self.enough_speak() {
            // Who yielded to a third hash has given up on the vote.
            properties.push(Property::always(ENDS, Self::can_end));
        }
        if self.vote == Vote::Amendment {
            properties.push(Property::sometimes(UNLOCKED, unlocked));
        }
        properties
    }
}
