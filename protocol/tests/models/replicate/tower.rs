//! A tower's moves: answer, hold a prepare, see a digest, lose its disk and catch up.
//! Each is one transaction; entries arrive with the prepare, fetching them is no step of its own.

use super::config::{Config, Dropped};
use super::state::{Ack, Answer, Held, State, Tower};
use crate::log::Log;

impl State {
    /// Only a higher incarnation than the promised one, or that very one (number and instance).
    fn admits(&self, tower: usize, life: u8) -> bool {
        let promise = self.towers[tower].promise;
        promise == life || self.number(life) > self.number(promise)
    }

    pub(crate) fn promise_later(&mut self, tower: usize, life: u8) -> Option<()> {
        if !self.admits(tower, life) {
            return None;
        }
        let tower = &mut self.towers[tower];
        tower.promise = life;
        let answer = &mut tower.sent[usize::from(life) - 1].answer;
        *answer = answer.map(|answer| Answer {
            promised: true,
            ..answer
        });
        Some(())
    }

    pub(crate) fn see_digest(&mut self, tower: usize, life: u8, len: u8) -> Option<()> {
        let digest = self.life(life).log.prefix(len);
        let tower = &mut self.towers[tower];
        if tower.restored || !digest.starts_with(tower.held.digest) {
            return None;
        }
        tower.held.digest = digest;
        tower.held = tower.held.tidy();
        Some(())
    }
}

impl Held {
    /// What was signed is held, and a tail that is all signed is no tail.
    fn tidy(self) -> Self {
        let log = if self.log.starts_with(self.digest) {
            self.log
        } else {
            self.digest
        };
        let tail = if log == self.digest { 0 } else { self.tail };
        Self { log, tail, ..self }
    }
}

impl Config {
    /// R3: promise and state of one transaction, for exactly this incarnation and instance.
    pub(crate) fn answer(&self, state: &mut State, tower: usize, life: u8) -> Option<()> {
        let apart = self.dropped == Dropped::SameTransaction;
        let promising = !apart && self.dropped != Dropped::Incarnation;
        if state.towers[tower].restored || (promising && !state.admits(tower, life)) {
            return None;
        }
        let tower = &mut state.towers[tower];
        if promising {
            tower.promise = life;
        }
        tower.sent[usize::from(life) - 1].answer = Some(Answer {
            held: tower.held,
            promised: !apart,
            disk: tower.disk,
            knows: tower.knows,
        });
        Some(())
    }

    /// R1: the tower holds exactly this log under this incarnation, from now on, and promises the incarnation.
    pub(crate) fn accept(&self, state: &mut State, tower: usize, life: u8, len: u8) -> Option<()> {
        let log = state.life(life).log.prefix(len);
        let held = state.towers[tower].held;
        let blind = self.dropped == Dropped::Incarnation;
        let may_replace =
            blind || held.tail == life || state.number(life) > state.number(held.tail);
        let unknown_disks = self.tower_checks_disk_ids()
            && state.towers[tower].knows
            && state.rests_on_replaced(life);
        if state.towers[tower].restored
            || !log.starts_with(held.digest)
            || !may_replace
            || (!blind && !state.admits(tower, life))
            || unknown_disks
        {
            return None;
        }
        let adopted = state.life(life).adopted_len;
        let tower = &mut state.towers[tower];
        if !blind && self.dropped != Dropped::AcceptPromises {
            tower.promise = life;
        }
        let keeps_more = held.tail == life && held.log.starts_with(log);
        let only_claims =
            self.dropped == Dropped::WholeLogHeld && held.tail != life && len == adopted;
        if !keeps_more && !only_claims {
            tower.held.log = log;
            tower.held.tail = life;
            tower.held = tower.held.tidy();
        }
        tower.ack(life, len);
        Some(())
    }

    fn tower_checks_disk_ids(&self) -> bool {
        !matches!(
            self.dropped,
            Dropped::DiskIds | Dropped::RestoredMark | Dropped::TowerChecksDiskIds
        )
    }

    pub(crate) fn lose_disk(&self, state: &mut State, tower: usize) -> Option<()> {
        state.losses_left -= 1;
        let tower = &mut state.towers[tower];
        tower.held = Held::default();
        tower.promise = 0;
        if self.dropped != Dropped::RestoredMark {
            tower.restored = true;
            tower.disk = 1;
            tower.knows = true;
        }
        Some(())
    }

    /// R3: the restored tower takes the newest digest, the highest-incarnation tail and the highest promise from all
    /// others; until it has asked them all it answers nothing, takes nothing and promises nothing.
    pub(crate) fn catch_up(&self, state: &mut State, source: usize) -> Option<()> {
        let restored = (0..self.honest()).find(|&t| state.towers[t].restored)?;
        state.towers[source].knows = true;
        let told = state.towers[source];
        let number = |life: u8| state.number(life);
        let mut now = state.towers[restored];
        if told.held.digest.len() > now.held.digest.len() {
            now.held.digest = told.held.digest;
        }
        if self.dropped != Dropped::CatchUpTails {
            let rank = |held: &Held| (number(held.tail), held.log.len());
            if rank(&told.held) > rank(&now.held) {
                (now.held.log, now.held.tail) = (told.held.log, told.held.tail);
            }
        }
        if number(told.promise) > number(now.promise) {
            now.promise = told.promise;
        }
        let asked = match self.dropped {
            Dropped::CatchUpFromAll => self.answers().min(self.honest() - 1),
            _ => self.honest() - 1,
        };
        // The restored tower itself knows, too.
        if state.towers.iter().filter(|t| t.knows).count() > asked {
            now.restored = false;
            now.held = now.held.tidy();
        }
        state.towers[restored] = now;
        Some(())
    }
}

impl Tower {
    fn ack(&mut self, life: u8, len: u8) {
        let (disk, knows) = (self.disk, self.knows);
        let ack = &mut self.sent[usize::from(life) - 1].ack;
        if ack.disk == disk && ack.len >= len {
            return; // the longer one is in flight already
        }
        *ack = Ack { len, disk, knows };
    }
}

#[test]
fn a_tail_that_is_all_signed_is_no_tail() {
    let log = Log::EMPTY.push(1);
    let held = Held {
        digest: log,
        log: Log::EMPTY,
        tail: 1,
    };
    assert_eq!(
        held.tidy(),
        Held {
            digest: log,
            log,
            tail: 0
        }
    );
}
