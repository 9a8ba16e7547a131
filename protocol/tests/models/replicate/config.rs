//! What a run allows (towers, lives, copies, disks) and which rule it drops.
//! The start is the rule book as written; a broken variant names the one rule that it leaves out.

/// The rule that a broken variant leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    Nothing,
    /// R1: towers ignore incarnations.
    Incarnation,
    /// R1: sign with k - 1 prepare-acks.
    OnePrepare,
    /// R2: recover with r - 1 answers.
    OneAnswer,
    /// R3: answers carry the digest, not the unsigned tail.
    Tails,
    /// R3: adopt the longest tail, whatever its incarnation.
    HighestIncarnation,
    /// R3: a tower's state is read in one transaction and its promise made in a later one.
    SameTransaction,
    /// R1, amendment A: the adopted log may be prepared again in pieces.
    WholeFirstPrepare,
    /// R1: a tower acks the first prepare although it has not got the adopted log.
    WholeLogHeld,
    /// R3: a tower that lost its disk goes on as if nothing had happened.
    RestoredMark,
    /// R3, amendment B: a restored tower catches up on digests and promises, not on tails.
    CatchUpTails,
    /// R3: a restored tower asks r others where r < n - 1, not all of them.
    CatchUpFromAll,
    /// R1, amendment C: nobody knows disk ids.
    DiskIds,
    /// R1, amendment C2: only the factory checks disk ids, towers take a late prepare.
    TowerChecksDiskIds,
    /// R1: accepting a prepare does not promise its incarnation.
    AcceptPromises,
}

/// What the first prepare of an incarnation must cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstPrepare {
    /// R1 as written: the whole adopted log.
    WholeAdopted,
    /// Only as much as the r answers showed; what the factory's own disk holds beyond it may follow later.
    WhatAnswersShowed,
}

/// How the factory's own disk ranks in recovery; R3 speaks of answers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnDisk {
    /// It counts where it extends what the answers showed, and is set aside elsewhere.
    Extends,
    /// It is one more tail, under the incarnation that was last active on it.
    OneMoreTail,
}

/// What a life may find on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disks {
    /// Nothing, what an earlier life left, or any older state of it.
    Any,
    /// Nothing, or all that an earlier life left.
    IntactOrLost,
    Lost,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) n: u8,
    pub(crate) k: u8,
    /// Lying towers; at most one.
    pub(crate) f: u8,
    pub(crate) lives: u8,
    /// How often a life may start while the one before goes on.
    pub(crate) copies: u8,
    pub(crate) max_len: u8,
    /// How many towers may lose their disk; at most one.
    pub(crate) losses: u8,
    pub(crate) disks: Disks,
    /// A life takes any number above its disk's, or only one above all others.
    pub(crate) any_number: bool,
    pub(crate) first_prepare: FirstPrepare,
    pub(crate) own_disk: OwnDisk,
    pub(crate) dropped: Dropped,
}

impl Config {
    pub(crate) fn new(n: u8, k: u8, f: u8) -> Self {
        Self {
            n,
            k,
            f,
            lives: 2,
            copies: 0,
            max_len: 2,
            losses: 0,
            disks: Disks::Any,
            any_number: true,
            first_prepare: FirstPrepare::WholeAdopted,
            own_disk: OwnDisk::Extends,
            dropped: Dropped::Nothing,
        }
    }

    pub(crate) fn lives(self, lives: u8) -> Self {
        Self { lives, ..self }
    }

    pub(crate) fn copies(self, copies: u8) -> Self {
        Self { copies, ..self }
    }

    pub(crate) fn max_len(self, max_len: u8) -> Self {
        Self { max_len, ..self }
    }

    pub(crate) fn losses(self, losses: u8) -> Self {
        Self { losses, ..self }
    }

    pub(crate) fn disks(self, disks: Disks) -> Self {
        Self { disks, ..self }
    }

    /// Each life takes a number above all others, as after a refusal.
    pub(crate) fn fresh_numbers(self) -> Self {
        Self {
            any_number: false,
            ..self
        }
    }

    pub(crate) fn first_prepare(self, first_prepare: FirstPrepare) -> Self {
        Self {
            first_prepare,
            ..self
        }
    }

    pub(crate) fn own_disk(self, own_disk: OwnDisk) -> Self {
        Self { own_disk, ..self }
    }

    pub(crate) fn without(self, dropped: Dropped) -> Self {
        Self { dropped, ..self }
    }

    pub(crate) fn honest(&self) -> usize {
        usize::from(self.n - self.f)
    }

    /// Honest prepare-acks that a signature needs; the liar confirms every prepare.
    pub(crate) fn honest_acks(&self) -> usize {
        usize::from(self.k - self.f - u8::from(self.dropped == Dropped::OnePrepare))
    }

    /// r = n + f - k + 1 (R2).
    pub(crate) fn answers(&self) -> usize {
        usize::from(self.n + self.f - self.k + 1 - u8::from(self.dropped == Dropped::OneAnswer))
    }
}
