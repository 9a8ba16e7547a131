//! Model G1: the log key of a factory is renewed while a thief holds the old one; towers may learn of it late (R6).
//! The owner signs H1, H2 (which covers the new certificate's entry) and H3, the thief what only the old key signs.

use stateright::{Model, Property};

use crate::report::{Bound, breaks_in, holds};

const TOWERS: usize = 3;
const THIEF: &str =
    "K1: beside the digest that covers the rotation, no digest of the thief has a quorum";
const PAST: &str = "K2: what was acked verifies for ever, or is a prefix of what does";
const ROTATED: &str = "a digest under the new key is acked";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Digest {
    H1,
    H2,
    H3,
    /// The thief's extension of H2 under the old key.
    E3,
    /// The thief's continuation of H1 without the certificate.
    T2,
    T3,
}

use Digest::{E3, H1, H2, H3, T2, T3};

const ALL: [Digest; 6] = [H1, H2, H3, E3, T2, T3];

impl Digest {
    fn size(self) -> u8 {
        match self {
            H1 => 1,
            H2 | T2 => 2,
            H3 | E3 | T3 => 3,
        }
    }

    fn extends(self, other: Self) -> bool {
        let ways: &[Self] = match self {
            H1 => &[H1],
            H2 => &[H1, H2],
            H3 => &[H1, H2, H3],
            E3 => &[H1, H2, E3],
            T2 => &[H1, T2],
            T3 => &[H1, T2, T3],
        };
        ways.contains(&other)
    }
}

/// The sentence that a run leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// "A digest of size N verifies only under the serial whose range contains N": under any known serial.
    Range,
    /// The same: under the newest known serial.
    OldRange,
    /// Not in the rule: the certificate's from-size is above the size that covers its own entry. Without it the owner
    /// withdraws what it signed.
    FromSizeAhead,
}

#[derive(Clone, Copy, Debug)]
struct LogKey {
    n: u8,
    k: u8,
    f: u8,
    dropped: Option<Dropped>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Tower {
    mark: Option<Digest>,
    acked: u8,
    /// It has seen the new certificate.
    knows: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    towers: [Tower; TOWERS],
    rotated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Rotate,
    /// The certificate comes by gossip.
    Learn {
        tower: usize,
    },
    Ack {
        tower: usize,
        digest: Digest,
    },
}

impl LogKey {
    fn new(n: u8, k: u8, f: u8) -> Self {
        let dropped = None;
        Self { n, k, f, dropped }
    }

    fn without(self, dropped: Dropped) -> Self {
        let dropped = Some(dropped);
        Self { dropped, ..self }
    }

    fn honest(&self) -> usize {
        usize::from(self.n - self.f)
    }

    fn new_key_from(&self) -> u8 {
        match self.dropped {
            Some(Dropped::FromSizeAhead) => 1,
            _ => 3,
        }
    }

    /// H3 is the owner's under the new key; everything else is under the old one.
    fn verifies(&self, digest: Digest, knows: bool) -> bool {
        let new = digest == H3;
        match self.dropped {
            Some(Dropped::Range) => knows || !new,
            Some(Dropped::OldRange) => knows == new,
            _ => new == (knows && digest.size() >= self.new_key_from()),
        }
    }

    fn quorum(&self, state: &State, digest: Digest) -> bool {
        let bit = 1 << digest as u8;
        let honest = state.towers.iter().filter(|t| t.acked & bit != 0).count();
        honest + usize::from(self.f) >= usize::from(self.k)
    }

    fn ack(&self, state: &mut State, tower: usize, digest: Digest) -> Option<()> {
        let tower = &mut state.towers[tower];
        let signed = state.rotated || matches!(digest, H1 | T2 | T3);
        // The owner's digests come with the chain, the thief's without; a tower that mirrors nothing reads no entries.
        let knows = tower.knows || matches!(digest, H2 | H3);
        let newer = tower
            .mark
            .is_none_or(|mark| digest.extends(mark) && digest != mark);
        if !(signed && newer && self.verifies(digest, knows)) {
            return None;
        }
        tower.knows = knows;
        tower.mark = Some(digest);
        tower.acked |= 1 << digest as u8;
        Some(())
    }
}

fn thief_is_late(model: &LogKey, state: &State) -> bool {
    let any = |digests: &[Digest]| digests.iter().any(|d| model.quorum(state, *d));
    !(any(&[H2, H3]) && any(&[E3, T2, T3]))
}

fn past_stands(model: &LogKey, state: &State) -> bool {
    let good = |d: Digest| model.quorum(state, d) && model.verifies(d, state.rotated);
    let acked = |d: &&Digest| model.quorum(state, **d);
    let mut before = [H1, H2].iter().filter(acked);
    before.all(|old| ALL.iter().any(|d| d.extends(*old) && good(*d)))
}

impl Model for LogKey {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !state.rotated {
            actions.push(Action::Rotate);
        }
        for tower in 0..self.honest() {
            if state.rotated && !state.towers[tower].knows {
                actions.push(Action::Learn { tower });
            }
            actions.extend(ALL.map(|digest| Action::Ack { tower, digest }));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Rotate => next.rotated = true,
            Action::Learn { tower } => next.towers[tower].knows = true,
            Action::Ack { tower, digest } => self.ack(&mut next, tower, digest)?,
        }
        next.towers[..self.honest()].sort_unstable();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(THIEF, thief_is_late),
            Property::always(PAST, past_stands),
            Property::sometimes(ROTATED, |model: &Self, state| model.quorum(state, H3)),
        ]
    }
}

const SIZES: [(u8, u8, u8); 3] = [(2, 2, 0), (3, 2, 0), (4, 3, 1)];

#[test]
fn a_digest_verifies_under_the_serial_of_its_size() {
    for (n, k, f) in SIZES {
        let name = format!("G1 n{n} k{k} f{f}");
        holds(&name, LogKey::new(n, k, f), Bound::Exhaust);
    }
}

#[test]
fn an_old_key_for_any_size_lets_its_thief_go_on() {
    for (n, k, f) in [(3, 2, 0), (4, 3, 1)] {
        let model = LogKey::new(n, k, f).without(Dropped::Range);
        breaks_in(&format!("G1 n{n} k{k}, any serial"), model, THIEF, 5);
    }
}

#[test]
fn the_newest_key_for_every_size_withdraws_the_past() {
    let model = LogKey::new(3, 2, 0).without(Dropped::OldRange);
    breaks_in("G1 n3 k2, newest serial", model, PAST, 3);
}

/// R6 as written: nothing ties `from_size` to the ledger, so an owner repudiates what it signed by a new certificate.
#[test]
fn a_from_size_that_lies_back_withdraws_the_past() {
    let model = LogKey::new(3, 2, 0).without(Dropped::FromSizeAhead);
    breaks_in("G1 n3 k2, from-size in the past", model, PAST, 3);
}
