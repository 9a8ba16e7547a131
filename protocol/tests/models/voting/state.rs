//! What the honest members remember and what they have let out. Votes let out are seen by anybody or nobody, at any
//! time and in any order: that is loss, delay and a proposer who shows each member something else.

/// Most rounds of a run.
pub(super) const ROUNDS: usize = 4;
/// Most honest members of a run.
pub(super) const MEMBERS: usize = 5;

/// The two manifests, by their bit in a mask, and a third that only recovery keys sign.
pub(super) const A: u8 = 1;
pub(super) const B: u8 = 2;
pub(super) const C: u8 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Approve,
    Commit,
}

/// Hashes voted for, by round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Votes(pub(super) [u8; ROUNDS]);

impl Votes {
    pub(super) fn any(self, hash: u8) -> bool {
        self.0.iter().any(|votes| votes & hash != 0)
    }

    fn highest(self) -> Option<usize> {
        self.0.iter().rposition(|votes| *votes != 0)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Member {
    /// What it remembers, which is what its rules go by.
    pub(super) approved: Votes,
    pub(super) committed: Votes,
    /// What has left it.
    pub(super) out_approved: Votes,
    pub(super) out_committed: Votes,
    /// Its last vote, as long as no acked digest covers the entry (at epoch 0: as long as it is not released).
    pub(super) waiting: Option<(Kind, usize)>,
    pub(super) yielded: bool,
}

impl Member {
    /// The highest round in which it voted, as far as it remembers.
    pub(super) fn highest(&self) -> Option<usize> {
        self.approved.highest().max(self.committed.highest())
    }

    /// The hash and round of its last commit, whose certificate is its lock.
    pub(super) fn lock(&self) -> Option<(u8, usize)> {
        let round = self.committed.highest()?;
        Some((self.committed.0[round], round))
    }

    /// The waiting vote leaves.
    pub(super) fn release(&mut self) -> Option<()> {
        let (kind, round) = self.waiting.take()?;
        match kind {
            Kind::Approve => self.out_approved.0[round] |= self.approved.0[round],
            Kind::Commit => self.out_committed.0[round] |= self.committed.0[round],
        }
        Some(())
    }

    /// The waiting vote is on no tower, so a lost disk takes it along.
    pub(super) fn forget_waiting(&mut self) {
        match self.waiting.take() {
            Some((Kind::Approve, round)) => self.approved.0[round] = 0,
            Some((Kind::Commit, round)) => self.committed.0[round] = 0,
            None => {}
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) members: [Member; MEMBERS],
    /// The joiner accepted A: once, or (without the standing acceptance) per round.
    pub(super) accepted: [bool; ROUNDS],
    pub(super) losses: u8,
}
