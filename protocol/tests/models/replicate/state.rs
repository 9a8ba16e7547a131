//! The state of model A, small because debug builds visit millions of them. Honest towers are interchangeable, so
//! they are kept sorted; what a tower sent to a life stands beside the tower.

use std::hash::{Hash, Hasher};

use crate::log::Log;

/// Honest towers and lives of the largest run.
pub(crate) const MAX: usize = 3;

/// What a tower showed: the newest digest it saw, the log it holds, and the life under whose incarnation it holds
/// the part beyond that digest (0: nothing beyond it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) digest: Log,
    pub(crate) log: Log,
    pub(crate) tail: u8,
}

/// An answer to one life's recovery query, in flight for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) held: Held,
    /// The promise came with it; false only while the same-transaction rule is dropped.
    pub(crate) promised: bool,
    /// The disk that it was read from: 0 before a loss, 1 after.
    pub(crate) disk: u8,
    /// It names the new id of the disk that was replaced.
    pub(crate) knows: bool,
}

/// The longest prepare of a life that a tower confirmed, in flight for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) len: u8,
    pub(crate) disk: u8,
    pub(crate) knows: bool,
}

/// What a tower sent to one life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) answer: Option<Answer>,
    pub(crate) ack: Ack,
    /// The disk of this tower that the life's recovery rests on (only kept where towers can lose disks).
    pub(crate) rests_on: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tower {
    pub(crate) held: Held,
    /// The life whose incarnation it promised (0: none).
    pub(crate) promise: u8,
    pub(crate) restored: bool,
    pub(crate) disk: u8,
    /// Knows that a tower's disk was replaced; while that tower catches up this also means "has told it all".
    pub(crate) knows: bool,
    pub(crate) sent: [Sent; MAX],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Unborn,
    Recovering,
    Active,
    /// Stopped while recovering.
    DeadRecovering,
    /// Stopped after it was active; its prepares may still arrive.
    DeadActive,
}

/// One start of the factory. Its instance is its index, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) phase: Phase,
    pub(crate) number: u8,
    /// On its own disk, with the life that was last active there.
    pub(crate) log: Log,
    pub(crate) stamp: u8,
    pub(crate) adopted_len: u8,
    pub(crate) first_prepare_len: u8,
    /// Bit `len`: it signed the digest of its first `len` entries.
    pub(crate) signed: u8,
}

impl Life {
    pub(crate) fn was_active(&self) -> bool {
        matches!(self.phase, Phase::Active | Phase::DeadActive)
    }

    pub(crate) fn runs(&self) -> bool {
        matches!(self.phase, Phase::Active | Phase::Recovering)
    }

    pub(crate) fn has_signed(&self, len: u8) -> bool {
        self.signed & (1 << len) != 0
    }

    /// The newest digest it signed; empty if none.
    pub(crate) fn newest_digest(&self) -> Log {
        let len = (0..=3).rev().find(|&len| self.has_signed(len)).unwrap_or(0);
        self.log.prefix(len)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) towers: [Tower; MAX],
    pub(crate) lives: [Life; MAX],
    pub(crate) copies_left: u8,
    pub(crate) losses_left: u8,
}

impl State {
    pub(crate) fn life(&self, life: u8) -> &Life {
        &self.lives[usize::from(life) - 1]
    }

    /// The number of a life's incarnation; 0 for "none".
    pub(crate) fn number(&self, life: u8) -> u8 {
        if life == 0 { 0 } else { self.life(life).number }
    }

    /// Lives started so far.
    pub(crate) fn started(&self) -> u8 {
        (1..=3)
            .take_while(|&life| self.life(life).phase != Phase::Unborn)
            .fold(0, |_, life| life)
    }

    /// The life's recovery rests on a disk that was replaced since.
    pub(crate) fn rests_on_replaced(&self, life: u8) -> bool {
        self.towers
            .iter()
            .any(|t| t.disk == 1 && t.sent[usize::from(life) - 1].rests_on == Some(0))
    }

    /// Sorts the honest towers: none has a name that matters.
    pub(crate) fn canonical(mut self, honest: usize) -> Self {
        let mut keys = [[0; 2]; MAX];
        for (key, tower) in keys.iter_mut().zip(&self.towers) {
            *key = tower.pack();
        }
        for (a, b) in [(0, 1), (1, 2), (0, 1)] {
            if b < honest && keys[a] > keys[b] {
                keys.swap(a, b);
                self.towers.swap(a, b);
            }
        }
        self
    }
}

/// Appends fields of a few bits to one word; stays exact because every field is below its width.
struct Packer(u64);

impl Packer {
    fn put(&mut self, width: u32, value: u64) {
        self.0 = (self.0 << width) | value;
    }

    fn held(&mut self, held: &Held) {
        self.put(6, held.digest.bits());
        self.put(6, held.log.bits());
        self.put(2, u64::from(held.tail));
    }
}

impl Tower {
    fn pack(&self) -> [u64; 2] {
        let (mut own, mut answers) = (Packer(0), Packer(0));
        own.held(&self.held);
        own.put(2, u64::from(self.promise));
        own.put(1, u64::from(self.restored));
        own.put(1, u64::from(self.disk));
        own.put(1, u64::from(self.knows));
        for sent in &self.sent {
            own.put(2, u64::from(sent.ack.len));
            own.put(1, u64::from(sent.ack.disk));
            own.put(1, u64::from(sent.ack.knows));
            own.put(2, sent.rests_on.map_or(0, |disk| 1 + u64::from(disk)));
            let Some(answer) = &sent.answer else {
                answers.put(18, 0);
                continue;
            };
            answers.held(&answer.held);
            answers.put(1, 1);
            answers.put(1, u64::from(answer.promised));
            answers.put(1, u64::from(answer.disk));
            answers.put(1, u64::from(answer.knows));
        }
        [own.0, answers.0]
    }
}

impl Life {
    fn pack(&self) -> u64 {
        let mut word = Packer(self.phase as u64);
        word.put(3, u64::from(self.number));
        word.put(6, self.log.bits());
        word.put(2, u64::from(self.stamp));
        word.put(2, u64::from(self.adopted_len));
        word.put(2, u64::from(self.first_prepare_len));
        word.put(4, u64::from(self.signed));
        word.0
    }
}

impl Hash for State {
    // By hand, as few words: deriving it hashes byte by byte, which is most of the time of a debug build.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for tower in &self.towers {
            let [own, answers] = tower.pack();
            hasher.write_u64(own);
            hasher.write_u64(answers);
        }
        for (life, left) in self
            .lives
            .iter()
            .zip([self.copies_left, self.losses_left, 0])
        {
            hasher.write_u64((life.pack() << 8) | u64::from(left));
        }
    }
}
