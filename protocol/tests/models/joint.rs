//! Model E: the joint activation of a new epoch by a factory that equivocates (R14). Histories: X activates early, Y does
//! not, Z is Y activated later. Towers of N, of N+1 and of both; some are liars all along, expelled ones may turn later.

use stateright::{Model, Property};

use crate::report::{Bound, breaks_in, holds};

const TOWERS: usize = 6;
const SPLIT: &str =
    "J1: all that a verifier of N+1 accepts, and N's accepted in its time, is one history";
const JOINT: &str = "a digest after the joint one is accepted";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Digest {
    /// Covers `genesis.active`, and so do X3 and Z3.
    X2,
    X3,
    Y2,
    Y3,
    /// Extends Y2.
    Z3,
}

use Digest::{X2, X3, Y2, Y3, Z3};

const ALL: [Digest; 5] = [X2, X3, Y2, Y3, Z3];

impl Digest {
    fn extends(self, other: Self) -> bool {
        self == other || matches!((self, other), (X3, X2) | (Y3 | Z3, Y2))
    }

    fn consistent_with(self, other: Self) -> bool {
        self.extends(other) || other.extends(self)
    }

    fn activates(self) -> bool {
        matches!(self, X2 | X3 | Z3)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The sentence of R14 that a run leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// "counts only with the tower quorums of N and of N+1 ... verifiers check it": N+1's is enough.
    VerifiersCheck,
    /// "A tower only in N+1 acks that origin only on or after a digest that ... carries N's quorum".
    NewTowersWait,
    /// Both.
    Joint,
    /// "accepts a digest judged by N only as a proven prefix of the joint digest".
    PrefixOnly,
}

#[derive(Clone, Copy, Debug)]
struct Joint {
    /// Towers by their bit.
    old: u8,
    new: u8,
    liars: u8,
    k: u32,
    dropped: Option<Dropped>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    marks: [Option<Digest>; TOWERS],
    acked: [u8; TOWERS],
    /// The keys of towers that are only in N are in bad hands.
    turned: bool,
    /// What verifiers who know N alone accepted before that.
    stood: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Ack { tower: usize, digest: Digest },
    Turn,
}

impl Joint {
    fn new(old: u8, new: u8, liars: u8, k: u32) -> Self {
        Self {
            old,
            new,
            liars,
            k,
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

    fn quorum(&self, state: &State, of: u8, digest: Digest) -> bool {
        let turned = if state.turned {
            self.old & !self.new
        } else {
            0
        };
        let acked = (0..TOWERS).filter(|tower| state.acked[*tower] & digest.bit() != 0);
        let honest: u8 = acked.map(|tower| 1 << tower).sum();
        ((honest | self.liars | turned) & of).count_ones() >= self.k
    }

    fn joint(&self, state: &State, digest: Digest) -> bool {
        let old = self.quorum(state, self.old, digest);
        let unchecked = self.drops(Dropped::VerifiersCheck) || self.drops(Dropped::Joint);
        digest.activates() && self.quorum(state, self.new, digest) && (old || unchecked)
    }

    fn acks(&self, state: &State, tower: usize, digest: Digest) -> bool {
        let bit = 1 << tower;
        let waits = !self.drops(Dropped::NewTowersWait) && !self.drops(Dropped::Joint);
        let carried =
            |d: &Digest| d.activates() && digest.extends(*d) && self.quorum(state, self.old, *d);
        let known = self.old & bit != 0 || !waits || ALL.iter().any(carried);
        let turned = state.turned && self.new & bit == 0;
        let mark = state.marks[tower];
        let newer = mark.is_none_or(|mark| digest.extends(mark) && digest != mark);
        known && newer && !turned && (self.liars & bit) == 0
    }

    /// By a verifier that knows N+1.
    fn accepted(&self, state: &State, digest: Digest) -> bool {
        let mut joint = ALL.iter().filter(|joint| self.joint(state, **joint));
        if digest.activates() {
            let after = joint.any(|joint| digest.extends(*joint));
            return after && self.quorum(state, self.new, digest);
        }
        let prefix = joint.any(|joint| joint.extends(digest));
        self.quorum(state, self.old, digest) && (prefix || self.drops(Dropped::PrefixOnly))
    }

    /// By a verifier that knows N alone, as long as N's keys are in good hands.
    fn stands_by_old(&self, state: &State, digest: Digest) -> bool {
        self.quorum(state, self.old, digest)
    }
}

fn one_history(model: &Joint, state: &State) -> bool {
    let counts = |d: &&Digest| state.stood & d.bit() != 0 || model.accepted(state, **d);
    let accepted = || ALL.iter().filter(counts);
    accepted().all(|a| accepted().all(|b| a.consistent_with(*b)))
}

impl Model for Joint {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let there = (0..TOWERS).filter(|tower| (self.old | self.new) & (1 << tower) != 0);
        actions.extend(there.flat_map(|tower| ALL.map(|digest| Action::Ack { tower, digest })));
        if !state.turned && ALL.iter().any(|digest| self.joint(state, *digest)) {
            actions.push(Action::Turn);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Ack { tower, digest } => {
                self.acks(state, tower, digest).then_some(())?;
                next.marks[tower] = Some(digest);
                next.acked[tower] |= digest.bit();
            }
            Action::Turn => next.turned = true,
        }
        for digest in ALL {
            if !next.turned && self.stands_by_old(&next, digest) {
                next.stood |= digest.bit();
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SPLIT, one_history),
            Property::sometimes(JOINT, |model: &Self, state| {
                model.joint(state, X2) && model.accepted(state, X3)
            }),
        ]
    }
}

/// N of towers 0 to 2, N+1 of 2 to 4, and nobody lies.
fn three() -> Joint {
    Joint::new(0b00_0111, 0b01_1100, 0, 2)
}

/// N of towers 0 to 3, N+1 of 2 to 5, and tower 3 lies.
fn four() -> Joint {
    Joint::new(0b00_1111, 0b11_1100, 0b00_1000, 3)
}

#[test]
fn a_joint_digest_leaves_one_history() {
    holds("E 3 to 3, 1 common", three(), Bound::Exhaust);
    holds("E 4 to 4, 2 common, 1 lies", four(), Bound::Exhaust);
    let disjoint = Joint::new(0b00_0111, 0b11_1000, 0, 2);
    holds("E 3 to 3, none common", disjoint, Bound::Exhaust);
}

/// Either check suffices against a split: of verifiers, or of towers.
#[test]
fn one_of_the_two_checks_suffices() {
    for dropped in [Dropped::VerifiersCheck, Dropped::NewTowersWait] {
        let name = |size| format!("E {size} without {dropped:?}");
        holds(&name(3), three().without(dropped), Bound::Exhaust);
        holds(&name(4), four().without(dropped), Bound::Exhaust);
    }
}

#[test]
fn neither_check_splits_the_history() {
    breaks_in(
        "E 3 without both",
        three().without(Dropped::Joint),
        SPLIT,
        4,
    );
    breaks_in("E 4 without both", four().without(Dropped::Joint), SPLIT, 4);
}

#[test]
fn keys_of_expelled_towers_that_count_split_the_history() {
    breaks_in(
        "E 3, no prefix",
        three().without(Dropped::PrefixOnly),
        SPLIT,
        4,
    );
    breaks_in(
        "E 4, no prefix",
        four().without(Dropped::PrefixOnly),
        SPLIT,
        4,
    );
}
