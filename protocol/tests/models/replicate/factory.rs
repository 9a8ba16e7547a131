//! The factory's moves: start, recover, append, sign.
//! It may not look at a tower except through what the tower sent to this life.

use super::config::{Config, Disks, Dropped, FirstPrepare, OwnDisk};
use super::model::{Action, Claim};
use super::state::{Held, Life, MAX, Phase, State};
use crate::log::Log;

impl Config {
    /// Every disk that the next life may find, with every number it may take.
    pub(crate) fn starts(&self, state: &State, started: u8, actions: &mut Vec<Action>) {
        let highest = (1..=started)
            .map(|life| state.number(life))
            .fold(0, u8::max);
        let mut disks = vec![(Log::EMPTY, 0)];
        for life in 1..=started {
            let old = state.life(life);
            if self.disks == Disks::Lost || !old.was_active() {
                continue;
            }
            // Adopting a log and stamping it are one transaction: no older state holds less under this stamp.
            let shortest = match self.disks {
                Disks::Any => old.adopted_len.max(1),
                _ => old.log.len().max(1),
            };
            disks.extend((shortest..=old.log.len()).map(|len| (old.log.prefix(len), life)));
        }
        for (log, stamp) in disks {
            let lowest = if self.any_number {
                state.number(stamp) + 1
            } else {
                highest + 1
            };
            for number in lowest..=highest + 1 {
                for copy in [false, true] {
                    if !copy || state.copies_left > 0 {
                        actions.push(Action::Start {
                            log,
                            stamp,
                            number,
                            copy,
                        });
                    }
                }
            }
        }
    }

    pub(crate) fn finishes(&self, state: &State, life: u8, actions: &mut Vec<Action>) {
        let here = usize::from(life) - 1;
        let answered = (0..self.honest())
            .filter(|&t| {
                state.towers[t].sent[here]
                    .answer
                    .is_some_and(|a| a.promised)
            })
            .fold(0_u8, |mask, t| mask | (1 << t));
        for towers in (0..8_u8).filter(|mask| mask & !answered == 0) {
            let given = towers.count_ones() as usize;
            if given == self.answers() {
                let liar = Claim::NotAsked;
                actions.push(Action::Finish { life, towers, liar });
            } else if self.f == 1 && given + 1 == self.answers() {
                actions.extend(claims(state).into_iter().map(|liar| Action::Finish {
                    life,
                    towers,
                    liar,
                }));
            }
        }
    }

    /// R3: adopt the newest signed digest, then the tail with the highest incarnation, then the longest; the
    /// own disk comes last. Returns the log and how much of it the answers alone show.
    pub(crate) fn adopt(&self, state: &State, shown: &[Held], own: Option<(Log, u8)>) -> (Log, u8) {
        let base = shown
            .iter()
            .map(|held| held.digest)
            .fold(Log::EMPTY, longer);
        let rank = |&(log, life): &(Log, u8)| {
            let number = match self.dropped {
                Dropped::Incarnation | Dropped::HighestIncarnation => 0,
                _ => state.number(life),
            };
            (number, log.len())
        };
        let mut best = (base, 0);
        let better = |best: (Log, u8), tail: (Log, u8)| {
            if tail.0.starts_with(base) && rank(&tail) > rank(&best) {
                tail
            } else {
                best
            }
        };
        for held in shown {
            let tail = match self.dropped {
                Dropped::Tails => (held.digest, 0),
                _ => (held.log, held.tail),
            };
            best = better(best, tail);
        }
        let shown_len = best.0.len();
        let adopted = match (own, self.own_disk) {
            (Some((log, _)), OwnDisk::Extends) if log.starts_with(best.0) => log,
            (Some(own), OwnDisk::OneMoreTail) => better(best, own).0,
            _ => best.0,
        };
        (adopted, shown_len)
    }

    pub(crate) fn finish(
        &self,
        state: &mut State,
        life: u8,
        towers: u8,
        liar: Claim,
    ) -> Option<()> {
        let here = usize::from(life) - 1;
        let mut shown = Vec::with_capacity(MAX);
        let (mut old, mut knows) = (false, false);
        for t in (0..MAX).filter(|t| towers & (1 << t) != 0) {
            let answer = state.towers[t].sent[here].answer?;
            shown.push(answer.held);
            old |= answer.disk < state.towers[t].disk;
            knows |= answer.knows;
        }
        if old && knows && self.factory_checks_disk_ids() {
            return None; // R1: one answer names the disk of another as replaced
        }
        shown.extend(liar.held(state));
        let now = *state.life(life);
        let (log, shown_len) = self.adopt(state, &shown, Some((now.log, now.stamp)));
        let first = match (self.dropped, self.first_prepare) {
            (Dropped::WholeFirstPrepare, _) => 0,
            (_, FirstPrepare::WholeAdopted) => log.len(),
            (_, FirstPrepare::WhatAnswersShowed) => shown_len.min(log.len()),
        };
        state.lives[here] = Life {
            phase: Phase::Active,
            log,
            stamp: life,
            adopted_len: log.len(),
            first_prepare_len: first,
            ..now
        };
        for (t, tower) in state.towers.iter_mut().enumerate() {
            let sent = &mut tower.sent[here];
            if self.losses > 0 && towers & (1 << t) != 0 {
                sent.rests_on = sent.answer.map(|answer| answer.disk);
            }
            sent.answer = None;
        }
        Some(())
    }

    /// R1: sign only what k towers hold under this incarnation. Acks are found in flight: any k of them may be the
    /// ones that arrived, but not one from a replaced disk together with one that names it as replaced.
    pub(crate) fn sign(&self, state: &mut State, life: u8, len: u8) -> Option<()> {
        let here = usize::from(life) - 1;
        let (mut all, mut old, mut knowing) = (0, 0, 0);
        for tower in &state.towers[..self.honest()] {
            let ack = tower.sent[here].ack;
            if ack.len < len {
                continue;
            }
            all += 1;
            old += usize::from(ack.disk < tower.disk);
            knowing += usize::from(ack.knows);
        }
        let counted = if !self.factory_checks_disk_ids() {
            all
        } else if state.rests_on_replaced(life) {
            all - knowing
        } else {
            all - old.min(knowing)
        };
        if counted < self.honest_acks() {
            return None;
        }
        state.lives[here].signed |= 1 << len;
        Some(())
    }

    fn factory_checks_disk_ids(&self) -> bool {
        !matches!(self.dropped, Dropped::DiskIds | Dropped::RestoredMark)
    }
}

impl State {
    pub(crate) fn start(&mut self, log: Log, stamp: u8, number: u8, copy: bool) -> Option<()> {
        let next = usize::from(self.started());
        if copy {
            if !self.lives.iter().any(Life::runs) {
                return None; // nobody to run beside
            }
            self.copies_left -= 1;
        } else {
            self.stop_all();
        }
        self.lives[next] = Life {
            phase: Phase::Recovering,
            number,
            log,
            stamp,
            ..Life::default()
        };
        Some(())
    }

    fn stop_all(&mut self) {
        for (i, life) in self.lives.iter_mut().enumerate() {
            life.phase = match life.phase {
                Phase::Recovering => Phase::DeadRecovering,
                Phase::Active => Phase::DeadActive,
                other => other,
            };
            if life.phase == Phase::DeadRecovering {
                // Nobody reads its answers or its disk again; an older life's disk stands for it.
                (life.log, life.stamp) = (Log::EMPTY, 0);
                for tower in &mut self.towers {
                    tower.sent[i].answer = None;
                }
            }
        }
    }

    pub(crate) fn append(&mut self, life: u8) -> Option<()> {
        let log = &mut self.lives[usize::from(life) - 1].log;
        *log = log.push(life);
        Some(())
    }
}

impl Claim {
    fn held(self, state: &State) -> Option<Held> {
        match self {
            Self::NotAsked | Self::Nothing => None,
            Self::Digest { life, len } => {
                let digest = state.life(life).log.prefix(len);
                Some(Held {
                    digest,
                    log: digest,
                    tail: 0,
                })
            }
            Self::Tail { life, len } => Some(Held {
                digest: Log::EMPTY,
                log: state.life(life).log.prefix(len),
                tail: life,
            }),
        }
    }
}

fn claims(state: &State) -> Vec<Claim> {
    let mut claims = vec![Claim::Nothing];
    for life in 1..=state.started() {
        let sent = state.life(life);
        if sent.was_active() {
            claims.extend(
                (sent.first_prepare_len.max(1)..=sent.log.len())
                    .map(|len| Claim::Tail { life, len }),
            );
            claims.extend(
                (1..=sent.log.len())
                    .filter(|&len| sent.has_signed(len))
                    .map(|len| Claim::Digest { life, len }),
            );
        }
    }
    claims
}

fn longer(a: Log, b: Log) -> Log {
    if b.len() > a.len() { b } else { a }
}
