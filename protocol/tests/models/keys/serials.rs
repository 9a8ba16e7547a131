//! Model G4: a tower renews its ack key, is backed up, loses its disk and comes back with an old serial (R3, R6).
//! The factory equivocates, so a second ack of another history is possible wherever the mark was lost.

use stateright::{Model, Property};

use crate::report::{Bound, breaks_in, holds};

/// Serials of a run, numbered from 1.
const SERIALS: usize = 5;
const ONE_HISTORY: &str = "K6: no honest tower acks two histories under one serial";
const ONE_CERTIFICATE: &str = "K7: no serial has two certificates";
const BACK: &str = "a restored tower acks again";

/// What a run leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// R3: "takes a new ack-key serial".
    NewSerial,
    /// Not in so many words: new is above every serial that anybody has a certificate of, not above the backup's.
    AboveAll,
    /// R3, after the restore: "both keys sign" does not hold for the serial before it.
    OldIsSilent,
}

#[derive(Clone, Copy, Debug)]
struct Serials {
    losses: u8,
    dropped: Option<Dropped>,
}

/// What is on the tower's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Disk {
    serial: usize,
    /// Lowest serial that may sign.
    lowest: usize,
    /// The history it acked: 0 is none.
    mark: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    disk: Disk,
    backup: Disk,
    restored: bool,
    back: bool,
    losses: u8,
    /// Histories acked under each serial, by their bit.
    acked: [u8; SERIALS + 1],
    /// Certificates made for each serial; the others hold the newest for the tower.
    certificates: [u8; SERIALS + 1],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// In an overlap under both serials at once.
    Ack {
        history: u8,
    },
    Renew,
    BackUp,
    LoseDisk,
    EndRestore,
}

impl Serials {
    fn ack(&self, state: &mut State, history: u8) -> Option<()> {
        let free = state.disk.mark == 0 || state.disk.mark == history;
        if !free || state.restored {
            return None;
        }
        state.disk.mark = history;
        for serial in [state.disk.serial, state.disk.serial - 1] {
            if serial >= state.disk.lowest.max(1) {
                state.acked[serial] |= history;
            }
        }
        Some(())
    }

    fn renew(state: &mut State, serial: usize) -> Option<()> {
        if serial > SERIALS {
            return None;
        }
        state.disk.serial = serial;
        state.certificates[serial] = (state.certificates[serial] + 1).min(2);
        Some(())
    }

    fn end_restore(&self, state: &mut State) -> Option<()> {
        if !state.restored {
            return None;
        }
        state.restored = false;
        state.back = true;
        let known = state.certificates.iter().rposition(|made| *made > 0)?;
        let serial = match self.dropped {
            Some(Dropped::NewSerial) => state.disk.serial,
            Some(Dropped::AboveAll) => state.disk.serial + 1,
            _ => known + 1,
        };
        if self.dropped != Some(Dropped::NewSerial) {
            Self::renew(state, serial)?;
        }
        if self.dropped != Some(Dropped::OldIsSilent) {
            state.disk.lowest = serial;
        }
        Some(())
    }
}

impl Model for Serials {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let disk = Disk {
            serial: 1,
            lowest: 1,
            mark: 0,
        };
        let mut certificates = [0; SERIALS + 1];
        certificates[1] = 1;
        vec![State {
            disk,
            backup: disk,
            restored: false,
            back: false,
            losses: self.losses,
            acked: [0; SERIALS + 1],
            certificates,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend([1, 2].map(|history| Action::Ack { history }));
        actions.extend([Action::Renew, Action::BackUp, Action::EndRestore]);
        if state.losses > 0 {
            actions.push(Action::LoseDisk);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Ack { history } => self.ack(&mut next, history)?,
            Action::Renew if state.restored => return None,
            Action::Renew => Self::renew(&mut next, state.disk.serial + 1)?,
            Action::BackUp => next.backup = state.disk,
            Action::LoseDisk => {
                next.losses -= 1;
                next.disk = state.backup;
                // That other towers' quorum bounds its first ack is model B's; here it may ack anything again.
                next.restored = true;
            }
            Action::EndRestore => self.end_restore(&mut next)?,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_HISTORY, |_, state: &State| {
                state.acked.iter().all(|histories| *histories < 3)
            }),
            Property::always(ONE_CERTIFICATE, |_, state: &State| {
                state.certificates.iter().all(|made| *made < 2)
            }),
            Property::sometimes(BACK, |_, state: &State| {
                state.back && state.acked[state.disk.serial] != 0
            }),
        ]
    }
}

fn model(losses: u8, dropped: Option<Dropped>) -> Serials {
    Serials { losses, dropped }
}

#[test]
fn a_restored_tower_takes_a_serial_above_all_others() {
    holds("G4, 2 losses", model(2, None), Bound::Exhaust);
}

#[test]
fn an_old_serial_convicts_an_honest_tower() {
    let broken = |dropped| model(1, Some(dropped));
    breaks_in("G4 old serial", broken(Dropped::NewSerial), ONE_HISTORY, 4);
    breaks_in(
        "G4 next of the backup's",
        broken(Dropped::AboveAll),
        ONE_CERTIFICATE,
        3,
    );
    breaks_in(
        "G4 overlap after a restore",
        broken(Dropped::OldIsSilent),
        ONE_HISTORY,
        4,
    );
}
