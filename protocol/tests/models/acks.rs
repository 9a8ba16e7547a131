//! Model B: towers ack what an equivocating factory signs, and one of them loses its disk (R3, R4, amendment D).
//! The factory signs two histories, X and Y, of two digests each, and shows any tower any of them at any time.

use stateright::{Model, Property};

use crate::report::{Bound, breaks, breaks_in, holds};

const TOWERS: usize = 4;
const T2: &str = "T2: no two inconsistent digests have k acks each";
const T1: &str = "T1: no tower acks two histories under one serial";
const RESTORED_ACKS: &str = "a restored tower acks again";

/// D, the prefix of both histories, X1, X2, Y1 and Y2 by their bit in a mask.
const DIGESTS: [u8; 5] = [0b00001, 0b00010, 0b00100, 0b01000, 0b10000];
const X: u8 = 0b00110;
const Y: u8 = 0b11000;

fn same_history(a: u8, b: u8) -> bool {
    (a | b) & X == 0 || (a | b) & Y == 0
}

/// What a tower that starts RESTORED does before it acks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterRestore {
    /// R3: asks all others for their marks, then acks only what min(k, n - 1) others acked, under a new serial.
    QuorumOfOthers,
    /// The earlier wording: asks all others for their marks, then acks at once.
    Marks,
    /// Acks at once, nobody asked.
    Nothing,
    /// Asks for no marks, but waits for the quorum of others.
    QuorumWithoutMarks,
    /// As the rule, under the old serial.
    OldSerial,
    /// As the rule, and acks under the serial before count no more from then on.
    OldAcksVoid,
}

#[derive(Clone, Copy, Debug)]
struct Acks {
    n: u8,
    k: u8,
    f: u8,
    losses: u8,
    after: AfterRestore,
    /// The two histories have a common digest D, as real ones do.
    prefix: bool,
}

/// The marks and acks of one honest tower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Tower {
    /// The newest digest it acked or was told; 0 is none. Durable.
    mark: u8,
    restored: bool,
    /// It was restored and has not acked yet: the quorum rule is on.
    bound: bool,
    /// It told the restored tower its mark.
    told: bool,
    /// Acks in the world, under the first serial and under the one after a restore.
    acked: [u8; 2],
    serial: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    towers: [Tower; TOWERS],
    losses: u8,
    /// Digests that had a quorum at some time.
    stood: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Ack { tower: usize, digest: u8 },
    LoseDisk { tower: usize },
    Tell { source: usize },
}

impl Acks {
    fn new(n: u8, k: u8, f: u8, after: AfterRestore) -> Self {
        Self {
            n,
            k,
            f,
            losses: 1,
            after,
            prefix: false,
        }
    }

    fn with_prefix(self) -> Self {
        Self {
            prefix: true,
            ..self
        }
    }

    fn digests(&self) -> &'static [u8] {
        &DIGESTS[usize::from(!self.prefix)..]
    }

    fn honest(&self) -> usize {
        usize::from(self.n - self.f)
    }

    fn has_quorum(&self, state: &State, digest: u8) -> bool {
        let counts = |t: &&Tower| {
            let void = self.after == AfterRestore::OldAcksVoid && t.serial == 1;
            let old = if void { 0 } else { t.acked[0] };
            (old | t.acked[1]) & digest != 0
        };
        let honest = state.towers.iter().filter(counts).count();
        honest + usize::from(self.f) >= usize::from(self.k)
    }

    /// R3 (amendment D ii): min(k, n - 1) others acked exactly this digest; a liar acks everything.
    fn others_acked(&self, state: &State, tower: usize, digest: u8) -> bool {
        let own = usize::from(state.towers[tower].has_acked(digest));
        let others = acks(state, digest) - own + usize::from(self.f);
        others >= usize::from(self.k.min(self.n - 1))
    }

    fn ack(&self, state: &mut State, tower: usize, digest: u8) -> Option<()> {
        let now = state.towers[tower];
        let newer = now.mark == 0 || (same_history(digest, now.mark) && digest > now.mark);
        // A mark that it was told it has not acked itself: that digest is acceptable too.
        let told = now.bound && digest == now.mark;
        if now.restored
            || !(newer || told)
            || (now.bound && !self.others_acked(state, tower, digest))
        {
            return None;
        }
        let tower = &mut state.towers[tower];
        tower.mark = digest;
        tower.bound = false;
        tower.acked[usize::from(tower.serial)] |= digest;
        Some(())
    }

    fn lose_disk(&self, state: &mut State, tower: usize) -> Option<()> {
        state.losses -= 1;
        let tower = &mut state.towers[tower];
        tower.mark = 0;
        tower.told = true;
        tower.serial = u8::from(self.after != AfterRestore::OldSerial);
        tower.restored = !matches!(
            self.after,
            AfterRestore::Nothing | AfterRestore::QuorumWithoutMarks
        );
        tower.bound = !matches!(self.after, AfterRestore::Nothing | AfterRestore::Marks);
        Some(())
    }

    /// One other tower tells its mark; once all have, the restored one goes on. Liars tell nothing of use.
    fn tell(&self, state: &mut State, source: usize) -> Option<()> {
        let restored = (0..self.honest()).find(|&t| state.towers[t].restored)?;
        state.towers[source].told = true;
        let mark = state.towers[source].mark;
        let all = state.towers[..self.honest()].iter().all(|t| t.told);
        let tower = &mut state.towers[restored];
        // The maximum of two histories does not exist: keep the first and let the fork proof do the rest.
        if tower.mark == 0 || (same_history(mark, tower.mark) && mark > tower.mark) {
            tower.mark = mark;
        }
        tower.restored = !all;
        Some(())
    }
}

impl Tower {
    fn has_acked(&self, digest: u8) -> bool {
        (self.acked[0] | self.acked[1]) & digest != 0
    }
}

fn acks(state: &State, digest: u8) -> usize {
    let acked = |t: &&Tower| t.has_acked(digest);
    state.towers.iter().filter(acked).count()
}

fn no_split_view(_: &Acks, state: &State) -> bool {
    let stood = || DIGESTS.iter().filter(|d| state.stood & **d != 0);
    stood().all(|&a| stood().all(|&b| same_history(a, b)))
}

fn no_double_ack(_: &Acks, state: &State) -> bool {
    let one_history = |&acked: &u8| acked & X == 0 || acked & Y == 0;
    state.towers.iter().all(|t| t.acked.iter().all(one_history))
}

impl Model for Acks {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            losses: self.losses,
            ..State::default()
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for tower in 0..self.honest() {
            let digests = self.digests().iter();
            actions.extend(digests.map(|&digest| Action::Ack { tower, digest }));
            if state.losses > 0 {
                actions.push(Action::LoseDisk { tower });
            } else if !state.towers[tower].told {
                actions.push(Action::Tell { source: tower });
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Ack { tower, digest } => self.ack(&mut next, tower, digest),
            Action::LoseDisk { tower } => self.lose_disk(&mut next, tower),
            Action::Tell { source } => self.tell(&mut next, source),
        }?;
        for digest in self.digests() {
            if self.has_quorum(&next, *digest) {
                next.stood |= digest;
            }
        }
        next.towers[..self.honest()].sort_unstable();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![Property::always(T2, no_split_view)];
        // With one serial for both lives of a disk T1 is what breaks; elsewhere it must hold as well.
        if matches!(
            self.after,
            AfterRestore::QuorumOfOthers | AfterRestore::OldSerial | AfterRestore::OldAcksVoid
        ) {
            properties.push(Property::always(T1, no_double_ack));
        }
        properties.push(Property::sometimes(RESTORED_ACKS, |_, state: &State| {
            state.towers.iter().any(|t| t.acked[1] != 0)
        }));
        properties
    }
}

const SIZES: [(u8, u8, u8); 4] = [(2, 2, 0), (3, 2, 0), (3, 3, 0), (4, 3, 1)];

#[test]
fn a_restored_tower_waits_for_a_quorum_of_others() {
    for (n, k, f) in SIZES {
        let model = Acks::new(n, k, f, AfterRestore::QuorumOfOthers);
        holds(&format!("B n{n} k{k} f{f}"), model, Bound::Exhaust);
    }
}

/// The marks of others are not what protects: the quorum of others alone suffices against a split view.
#[test]
fn the_quorum_of_others_suffices_without_their_marks() {
    for (n, k, f) in SIZES {
        let model = Acks::new(n, k, f, AfterRestore::QuorumWithoutMarks);
        holds(
            &format!("B n{n} k{k} f{f}, no marks asked"),
            model,
            Bound::Exhaust,
        );
    }
}

/// R3 as written: D is known to all, X2 only to the tower that loses its disk. It catches up, takes D as its mark, and
/// goes on with Y, while another goes on with X2, which its old ack completes.
#[test]
fn a_common_prefix_splits_the_view_after_a_restore() {
    for (n, k, f) in [(3, 2, 0), (4, 3, 1)] {
        let model = Acks::new(n, k, f, AfterRestore::QuorumOfOthers).with_prefix();
        breaks_in(&format!("B n{n} k{k} f{f}, prefix"), model, T2, 10);
    }
}

/// It takes a fault more than the rule counts: a tower once restored is one of the f for good, not until it caught up.
#[test]
fn a_restored_tower_that_is_one_of_the_f_for_good_splits_nothing() {
    for (n, k) in [(2, 2), (3, 3), (4, 3)] {
        let model = Acks::new(n, k, 0, AfterRestore::QuorumOfOthers).with_prefix();
        holds(&format!("B n{n} k{k} f0, prefix"), model, Bound::Exhaust);
    }
}

/// A way out: whoever counts acks drops those under the serial before the restore.
#[test]
fn acks_of_the_lost_disk_that_count_no_more_split_nothing() {
    for (n, k, f) in SIZES {
        let model = Acks::new(n, k, f, AfterRestore::OldAcksVoid).with_prefix();
        holds(
            &format!("B n{n} k{k} f{f}, prefix, void"),
            model,
            Bound::Exhaust,
        );
    }
}

#[test]
fn acking_at_once_after_asking_for_marks_splits_the_view() {
    for (n, k, f) in [(3, 2, 0), (4, 3, 1)] {
        let model = Acks::new(n, k, f, AfterRestore::Marks);
        breaks(&format!("B n{n} k{k} f{f}, marks only"), model, &[T2]);
    }
}

#[test]
fn skipping_mark_recovery_splits_the_view() {
    for (n, k, f) in [(3, 2, 0), (4, 3, 1)] {
        let model = Acks::new(n, k, f, AfterRestore::Nothing);
        breaks(&format!("B n{n} k{k} f{f}, nobody asked"), model, &[T2]);
    }
}

#[test]
fn an_honest_tower_under_its_old_serial_makes_a_fork_proof_against_itself() {
    for (n, k, f) in [(3, 2, 0), (4, 3, 1)] {
        let model = Acks::new(n, k, f, AfterRestore::OldSerial);
        breaks(&format!("B n{n} k{k} f{f}, old serial"), model, &[T1]);
    }
}
