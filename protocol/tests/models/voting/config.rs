//! What one run allows: members, liars, rounds, what is voted on, and the sentence of R14 that it leaves out.

/// What A and B are. Both replace the same epoch; B always lists the members that vote now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vote {
    /// A lists the same members as B.
    Amendment,
    /// A also lists a joiner, who may accept at any time or never. `next` is the threshold of A's members.
    Joiner { next: u8 },
    /// Epoch 0: A lists all, B leaves out the last honest one, who may never be heard of. `next` is B's threshold.
    Founding { next: u8 },
}

/// The sentence of R14 that a run leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// "That certificate becomes the member's lock".
    Lock,
    /// "afterwards it approves ... another hash": the lock is looked at before a commit only.
    LockOnApproval,
    /// "or commits another hash": the lock is looked at before an approval only.
    LockOnCommit,
    /// "from a later round": any certificate opens a lock.
    LaterRound,
    /// Not in the sentence, and needed: the certificate that opens a lock is one of another hash.
    AnotherHash,
    /// "`approve`: one per round".
    OneApproval,
    /// "`commit`": a certificate is enough.
    Commit,
    /// "with the required approvals in ONE round".
    ApprovalsOfOneRound,
    /// "Active = ... commits ... all of one round".
    CommitsOfOneRound,
    /// "A member never commits in a round lower than the highest in which it approved or committed".
    CommitOrder,
    /// "a **standing** acceptance ... valid in every round": a joiner or listed member accepts per round.
    Standing,
    /// "t of the members of N" beside the standing approvals: at epoch 0 these alone make a certificate in any round.
    FreshApprovals,
    /// "t' of those of N+1".
    NextThreshold,
    /// "and every joiner".
    EveryJoiner,
    /// "Active = certificate plus commits of t members of N": t' of those of N+1 besides.
    CommitsOfMembersOnly,
    /// "Approvals AND commits leave only after their entry is covered by an acked digest": approvals leave at once.
    ApprovalsGated,
    /// The same: commits leave at once.
    CommitsGated,
    /// "recovery rebuilds every own vote": only the lock.
    EveryVoteRebuilt,
    /// "recovery rebuilds": nothing.
    Rebuilt,
    /// "only in rounds at most 16 above the highest": a vote in the last round there is ends all rounds.
    RoundsAhead,
    /// "a member that committed yields only to the hash it committed".
    YieldToCommitted,
    /// "after yielding never commits another hash of that epoch".
    YieldBinds,
    /// "`yield`s of n - t + 1 members": one fewer.
    OneYield,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    /// Members that vote now: N, or all that A lists at epoch 0.
    pub(super) n: u8,
    /// Of these, liars: they have voted for everything in every round, and help nobody who waits for them.
    pub(super) liars: u8,
    /// The amendment threshold of `n` members.
    pub(super) t: u8,
    pub(super) rounds: usize,
    pub(super) vote: Vote,
    /// Disks lost between a vote and its release, or after it.
    pub(super) losses: u8,
    /// The hash that a manifest signed by recovery keys names, if there is one: A, B or a third.
    pub(super) recovery: Option<u8>,
    /// Liars yield as well, against what they committed.
    pub(super) lying_yields: bool,
    pub(super) dropped: Option<Dropped>,
}

impl Config {
    pub(super) fn new(n: u8, t: u8, liars: u8) -> Self {
        Self {
            n,
            liars,
            t,
            rounds: 2,
            vote: Vote::Amendment,
            losses: 0,
            recovery: None,
            lying_yields: false,
            dropped: None,
        }
    }

    pub(super) fn rounds(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }

    pub(super) fn on(self, vote: Vote) -> Self {
        Self { vote, ..self }
    }

    pub(super) fn losses(self, losses: u8) -> Self {
        Self { losses, ..self }
    }

    pub(super) fn recovery(self, hash: u8) -> Self {
        Self {
            recovery: Some(hash),
            ..self
        }
    }

    pub(super) fn lying_yields(self) -> Self {
        Self {
            lying_yields: true,
            ..self
        }
    }

    pub(super) fn without(self, dropped: Dropped) -> Self {
        Self {
            dropped: Some(dropped),
            ..self
        }
    }

    pub(super) fn drops(&self, dropped: Dropped) -> bool {
        self.dropped == Some(dropped)
    }

    pub(super) fn honest(&self) -> usize {
        usize::from(self.n - self.liars)
    }

    /// Whether no more than f of the members are silent: beyond that nobody promises that a vote ends.
    pub(super) fn enough_speak(&self) -> bool {
        let silent = self.liars + u8::from(self.absentee().is_some());
        silent <= (self.n - 1) / 3
    }

    /// The honest member that only A lists.
    pub(super) fn absentee(&self) -> Option<usize> {
        matches!(self.vote, Vote::Founding { .. }).then(|| self.honest() - 1)
    }
}
