//! Model G2: the ack key of tower X is in the hands of a thief who works with the factory, and is revoked (R6).
//! n = 4, k = 3, f = 1. Once the revocation acts, X is honest again under its new key, and another tower may turn.

use stateright::{Model, Property};

use crate::report::{Bound, breaks_in, holds};

const K: usize = 3;
/// Honest towers beside X.
const OTHERS: usize = 3;
const PAST: &str = "K3: what had a quorum stands, or is a prefix of what does";
const SPLIT: &str = "K4: no two inconsistent digests ever had a quorum";
const ACTS: &str = "the revocation acts and the federation goes on";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Digest {
    A1,
    /// Covers the entry of the revocation.
    A2,
    A3,
    /// Extends A2 as well, and contradicts A3.
    C3,
    B1,
}

use Digest::{A1, A2, A3, B1, C3};

const ALL: [Digest; 5] = [A1, A2, A3, C3, B1];
const COVERING: [Digest; 3] = [A2, A3, C3];

impl Digest {
    fn extends(self, other: Self) -> bool {
        let ways: &[Self] = match self {
            A1 => &[A1],
            A2 => &[A1, A2],
            A3 => &[A1, A2, A3],
            C3 => &[A1, A2, C3],
            B1 => &[B1],
        };
        ways.contains(&other)
    }

    fn consistent_with(self, other: Self) -> bool {
        self.extends(other) || other.extends(self)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The sentence that a run leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// "acts from the moment its entry is covered by an acked digest, never earlier": as soon as it is signed.
    Covered,
    /// Not in so many words: no ack by the revoked key counts for a digest that covers the revocation, also not when that
    /// digest is judged for the first time.
    CoveredByOthers,
    /// "a quorum of other, unrevoked keys": acks by the revoked key still count.
    Unrevoked,
    /// "one `group <tower> any <old> <new>` per tower": its old and its new key count as two.
    Group,
}

#[derive(Clone, Copy, Debug, Default)]
struct Revocation {
    dropped: Option<Dropped>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Tower {
    mark: Option<Digest>,
    acked: u8,
    liar: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    others: [Tower; OTHERS],
    /// X under its new key, once it is honest.
    renewed: Tower,
    signed: bool,
    /// A verifier has seen the revocation act.
    acts: bool,
    /// Digests that had a quorum at some time.
    stood: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Ack { tower: usize, digest: Digest },
    AckRenewed { digest: Digest },
    SignRevocation,
    Turn { tower: usize },
}

impl Revocation {
    fn without(dropped: Dropped) -> Self {
        let dropped = Some(dropped);
        Self { dropped }
    }

    fn drops(&self, dropped: Dropped) -> bool {
        self.dropped == Some(dropped)
    }

    /// Towers whose acks of this digest count, if the thief's do.
    fn acks(&self, state: &State, digest: Digest, thief: bool) -> usize {
        let acked = |t: &&Tower| t.liar || t.acked & digest.bit() != 0;
        let others = state.others.iter().filter(acked).count();
        let renewed = state.renewed.acked & digest.bit() != 0;
        // In the overlap the thief has both of X's keys, until the owner revokes and makes a third.
        let x = match (thief, renewed) {
            (true, _) if self.drops(Dropped::Group) => 2,
            (true, _) | (_, true) => 1,
            _ => 0,
        };
        others + x
    }

    /// As a verifier judges now.
    fn stands(&self, state: &State, digest: Digest) -> bool {
        let covers = COVERING.contains(&digest) && !self.drops(Dropped::CoveredByOthers);
        let thief = !(covers || state.acts) || self.drops(Dropped::Unrevoked);
        self.acks(state, digest, thief) >= K
    }

    /// What follows from the acks that there are now.
    fn settle(&self, state: &mut State) {
        for digest in ALL {
            if self.stands(state, digest) {
                state.stood |= digest.bit();
            }
        }
        let covered = COVERING.iter().any(|digest| self.stands(state, *digest));
        state.acts |= state.signed && (covered || self.drops(Dropped::Covered));
    }
}

impl Tower {
    fn ack(&mut self, digest: Digest) -> Option<()> {
        let newer = self
            .mark
            .is_none_or(|mark| digest.extends(mark) && digest != mark);
        (newer && !self.liar).then(|| {
            self.mark = Some(digest);
            self.acked |= digest.bit();
        })
    }
}

fn past_stands(model: &Revocation, state: &State) -> bool {
    let mut before = ALL.iter().filter(|d| state.stood & d.bit() != 0);
    before.all(|old| {
        ALL.iter()
            .any(|d| d.extends(*old) && model.stands(state, *d))
    })
}

fn no_split(_: &Revocation, state: &State) -> bool {
    let stood = || ALL.iter().filter(|d| state.stood & d.bit() != 0);
    stood().all(|a| stood().all(|b| a.consistent_with(*b)))
}

impl Model for Revocation {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for tower in 0..OTHERS {
            actions.extend(ALL.map(|digest| Action::Ack { tower, digest }));
            // Now X is honest again, f = 1 allows for another liar.
            if state.acts && !state.others.iter().any(|t| t.liar) {
                actions.push(Action::Turn { tower });
            }
        }
        if !state.signed {
            actions.push(Action::SignRevocation);
        }
        if state.acts {
            actions.extend(COVERING.map(|digest| Action::AckRenewed { digest }));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Ack { tower, digest } => {
                let covers = COVERING.contains(&digest);
                (state.signed || !covers).then_some(())?;
                next.others[tower].ack(digest)?;
            }
            Action::AckRenewed { digest } => next.renewed.ack(digest)?,
            Action::SignRevocation => next.signed = true,
            Action::Turn { tower } => next.others[tower].liar = true,
        }
        self.settle(&mut next);
        next.others.sort_unstable();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SPLIT, no_split),
            Property::always(PAST, past_stands),
            Property::sometimes(ACTS, |_, state: &State| {
                state.renewed.acked != 0 && state.stood & (A3.bit() | C3.bit()) != 0
            }),
        ]
    }
}

#[test]
fn a_revocation_covered_by_a_quorum_of_others_repudiates_nothing() {
    holds("G2", Revocation::default(), Bound::Exhaust);
}

#[test]
fn a_revocation_that_acts_when_signed_repudiates_the_past() {
    let model = Revocation::without(Dropped::Covered);
    breaks_in("G2 acts when signed", model, PAST, 3);
}

/// R6 read literally: a covering digest that has its quorum only with the revoked key takes its own ground away, and
/// nothing is left that stands.
#[test]
fn a_revocation_covered_with_the_help_of_its_own_key_repudiates_the_past() {
    let model = Revocation::without(Dropped::CoveredByOthers);
    breaks_in("G2 covered by its own key", model, PAST, 3);
}

#[test]
fn a_revoked_key_that_counts_splits_the_view() {
    let model = Revocation::without(Dropped::Unrevoked);
    breaks_in("G2 revoked acks count", model, SPLIT, 5);
}

#[test]
fn a_tower_that_counts_twice_splits_the_view() {
    let model = Revocation::without(Dropped::Group);
    breaks_in("G2 two keys count twice", model, SPLIT, 2);
}
