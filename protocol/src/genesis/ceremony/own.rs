//! This member's own votes: each is a row that is durable before the key that signs it is asked, and never removed.
//! The table is in no backup: what a backup brings back would be older than what was signed. May not decide what to vote.

use crate::engine::store::{StoreError, Table, Transaction};
use crate::genesis::{Saying, Statement, Vote};
use crate::tlog::hash::Hash;
use std::collections::BTreeMap;

/// Which sort of binding statement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum VoteKind {
    /// Approval, one for each round.
    Approve,
    /// Commit, one for each round.
    Commit,
    /// Yield, one for each epoch, in round 0.
    Yield,
}

impl VoteKind {
    /// All, in the order of their numbers.
    pub(super) const ALL: [Self; 3] = [Self::Approve, Self::Commit, Self::Yield];

    fn byte(self) -> u8 {
        match self {
            Self::Approve => 1,
            Self::Commit => 2,
            Self::Yield => 3,
        }
    }

    /// The sort of a statement, if it binds.
    pub(super) fn of(saying: &Saying) -> Option<Self> {
        match saying {
            Saying::Approve => Some(Self::Approve),
            Saying::Commit => Some(Self::Commit),
            Saying::Yield { .. } => Some(Self::Yield),
            _ => None,
        }
    }
}

/// Names one vote of this member's own: there is one of each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct VoteId {
    /// Lineage.
    pub lineage: [u8; 16],
    /// Epoch.
    pub epoch: u64,
    /// Sort.
    pub kind: VoteKind,
    /// Round, 0 for a yield.
    pub round: u64,
}

impl VoteId {
    /// The id of a statement, if it binds.
    #[must_use]
    pub fn of(statement: &Statement) -> Option<Self> {
        Some(Self {
            lineage: statement.subject.lineage,
            epoch: statement.subject.epoch,
            kind: VoteKind::of(&statement.saying)?,
            round: statement.subject.round,
        })
    }

    fn key(&self) -> Vec<u8> {
        let mut key = self.lineage.to_vec();
        key.extend(self.epoch.to_be_bytes());
        key.push(self.kind.byte());
        key.extend(self.round.to_be_bytes());
        key
    }

    fn from_key(key: &[u8]) -> Option<Self> {
        let (lineage, rest) = key.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (kind, round) = rest.split_first()?;
        Some(Self {
            lineage: *lineage,
            epoch: u64::from_be_bytes(*epoch),
            kind: VoteKind::ALL.into_iter().find(|k| k.byte() == *kind)?,
            round: u64::from_be_bytes(round.try_into().ok()?),
        })
    }
}

/// One vote, from its lock to its release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OwnVote {
    /// What it is for: the lock.
    pub(super) statement: Statement,
    /// It with its signature, once the key signed.
    pub(super) vote: Option<Vote>,
    /// Index of its entry.
    pub(super) index: Option<u64>,
    /// It may have left: its entry is covered by an acked digest, or there is no tower yet.
    pub(super) released: bool,
}

const VERSION: u8 = 1;
const NO_INDEX: u64 = u64::MAX;

impl OwnVote {
    fn to_bytes(&self) -> Vec<u8> {
        let statement = self.statement.to_string();
        let mut bytes = vec![VERSION, u8::from(self.released)];
        bytes.extend(self.index.unwrap_or(NO_INDEX).to_be_bytes());
        bytes.extend((statement.len() as u64).to_be_bytes());
        bytes.extend(statement.as_bytes());
        if let Some(vote) = &self.vote {
            bytes.extend(vote.to_json().as_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version, released], rest) = bytes.split_first_chunk::<2>()?;
        let (index, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let (statement, vote) = rest.split_at_checked(length)?;
        let index = u64::from_be_bytes(*index);
        (version == VERSION && released <= 1).then_some(())?;
        let vote = match vote {
            [] => None,
            bytes => Some(Vote::parse(bytes).ok()?),
        };
        Some(Self {
            statement: Statement::parse(std::str::from_utf8(statement).ok()?).ok()?,
            vote,
            index: (index != NO_INDEX).then_some(index),
            released: released == 1,
        })
    }
}

/// The votes of one epoch, as they are in the store.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnVotes(BTreeMap<VoteId, OwnVote>);

/// Rows read at a time.
const PAGE: usize = 256;

/// Every own vote of a lineage, from `from` on.
fn read<T: Transaction>(
    tx: &T,
    prefix: &[u8],
    mut take: impl FnMut(VoteId, OwnVote),
) -> Result<(), StoreError> {
    let mut from = prefix.to_vec();
    loop {
        let rows = tx.rows(Table::Votes, &from, PAGE)?;
        let count = rows.len();
        for (key, value) in rows {
            if !key.starts_with(prefix) {
                return Ok(());
            }
            let damaged = || StoreError::Damaged("a row of this node's own votes".to_owned());
            let id = VoteId::from_key(&key).ok_or_else(damaged)?;
            let vote = OwnVote::from_bytes(&value).ok_or_else(damaged)?;
            if VoteId::of(&vote.statement) != Some(id) {
                return Err(damaged());
            }
            take(id, vote);
            from = key;
            from.push(0);
        }
        if count < PAGE {
            return Ok(());
        }
    }
}

/// Every own vote of a lineage, of all epochs.
pub(super) fn all_of_lineage<T: Transaction>(
    tx: &T,
    lineage: [u8; 16],
) -> Result<BTreeMap<VoteId, OwnVote>, StoreError> {
    let mut all = BTreeMap::new();
    read(tx, &lineage, |id, vote| {
        all.insert(id, vote);
    })?;
    Ok(all)
}

impl OwnVotes {
    /// The votes of an epoch.
    pub(super) fn load<T: Transaction>(
        tx: &T,
        lineage: [u8; 16],
        epoch: u64,
    ) -> Result<Self, StoreError> {
        let prefix = [&lineage[..], &epoch.to_be_bytes()].concat();
        let mut own = Self::default();
        read(tx, &prefix, |id, vote| {
            own.0.insert(id, vote);
        })?;
        Ok(own)
    }

    /// Writes a vote: from here on it counts, whether it was signed or not.
    pub(super) fn put<T: Transaction>(
        &mut self,
        tx: &mut T,
        id: VoteId,
        vote: OwnVote,
    ) -> Result<(), StoreError> {
        tx.put_row(Table::Votes, &id.key(), &vote.to_bytes())?;
        self.0.insert(id, vote);
        Ok(())
    }

    pub(super) fn get(&self, id: &VoteId) -> Option<&OwnVote> {
        self.0.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&VoteId, &OwnVote)> {
        self.0.iter()
    }

    /// The highest round in which this member approved or committed; 0 if it did not.
    pub(super) fn highest(&self) -> u64 {
        self.0.keys().map(|id| id.round).max().unwrap_or(0)
    }

    /// The lock: what this member committed last, and in which round.
    pub(super) fn lock(&self) -> Option<(Hash, u64)> {
        let commits = self.0.iter().filter(|(id, _)| id.kind == VoteKind::Commit);
        let last = commits.max_by_key(|(id, _)| id.round);
        last.map(|(id, vote)| (vote.statement.subject.manifest, id.round))
    }

    /// Another manifest that this member committed, and in which round.
    pub(super) fn committed_other(&self, manifest: &Hash) -> Option<(Hash, u64)> {
        let mut commits = self.0.iter().filter(|(id, vote)| {
            id.kind == VoteKind::Commit && vote.statement.subject.manifest != *manifest
        });
        let other = commits.next();
        other.map(|(id, vote)| (vote.statement.subject.manifest, id.round))
    }

    /// What this member gave way to.
    pub(super) fn yielded(&self) -> Option<Hash> {
        let mut yields = self.0.iter().filter(|(id, _)| id.kind == VoteKind::Yield);
        yields
            .next()
            .map(|(_, vote)| vote.statement.subject.manifest)
    }

    /// What this member voted for in a round.
    pub(super) fn in_round(&self, kind: VoteKind, round: u64) -> Option<Hash> {
        let mut votes = self.0.iter();
        votes
            .find(|(id, _)| id.kind == kind && id.round == round)
            .map(|(_, vote)| vote.statement.subject.manifest)
    }
}
