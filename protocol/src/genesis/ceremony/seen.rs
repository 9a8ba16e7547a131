//! What is known of the vote on the next epoch: manifests, votes, certificates, evidence. Everything in it was verified and
//! speaks for itself, so losing it costs a question to others and nothing else. May not decide what to vote.

use super::io::{Document, Refused};
use crate::engine::store::{StoreError, Table, Transaction};
use crate::genesis::chain::Link;
use crate::genesis::{Evidence, Proposal, Recovery, Roll, Saying, Vote, VoteCertificate};
use crate::manifest::Manifest;
use crate::note::{SignatureLine, SignedNote, VerifierKey};
use crate::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Most proposals of one proposer for one epoch: drafts are made elsewhere.
pub const MAX_PROPOSALS_EACH: usize = 8;

/// Most manifests that are voted on: eight of each member.
pub const MAX_MANIFESTS: usize = 512;

/// Most votes that are kept: two of each of 128 keys in 64 rounds. Rounds are bounded too, so honest votes never reach it.
pub const MAX_VOTES_KEPT: usize = 16_384;

/// Most certificates that are kept; beyond it the one of the lowest round goes, which opens no lock that a later one does not.
pub const MAX_CERTIFICATES_KEPT: usize = 64;

/// Most pieces of evidence that are kept for one epoch: two for each member.
pub const MAX_EVIDENCE_KEPT: usize = 128;

/// Name and key id of an identity key.
pub(super) type Who = (String, u32);

pub(super) fn who(key: &VerifierKey) -> Who {
    (key.name().to_owned(), key.key_id())
}

/// A manifest that is voted on.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) manifest: Manifest,
    /// Its proposals, by round and proposer.
    pub(super) proposals: BTreeMap<(u64, Who), Proposal>,
    /// It was signed by recovery keys, and when this node saw that first, in seconds since 1970.
    pub(super) recovery: Option<(Recovery, u64)>,
}

/// Sorts of votes that are kept one for each round and key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Sort {
    Approve,
    Commit,
    Yield,
    Refuse,
    Withdraw,
}

impl Sort {
    pub(super) fn of(saying: &Saying) -> Option<Self> {
        match saying {
            Saying::Approve => Some(Self::Approve),
            Saying::Commit => Some(Self::Commit),
            Saying::Yield { .. } => Some(Self::Yield),
            Saying::Refuse { .. } => Some(Self::Refuse),
            Saying::Withdraw => Some(Self::Withdraw),
            Saying::Propose { .. } | Saying::Recover => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) candidates: BTreeMap<Hash, Candidate>,
    pub(super) votes: BTreeMap<(Sort, u64, Who), Vote>,
    pub(super) certificates: BTreeMap<(u64, Hash), VoteCertificate>,
    pub(super) evidence: BTreeMap<Hash, Evidence>,
}

/// What became of a vote.
pub(super) enum Taken {
    New,
    Known,
    /// Another vote of that key in that round is here already.
    Contradicts(Box<Evidence>),
}

impl Seen {
    /// Approvals of one manifest, by round and seat.
    pub(super) fn approvals(
        &self,
        hash: &Hash,
        roll: &Roll<'_>,
    ) -> BTreeMap<(u64, usize), SignatureLine> {
        let of = |vote: &&Vote| vote.statement().subject.manifest == *hash;
        let approvals = self
            .votes
            .iter()
            .filter(|((sort, ..), _)| *sort == Sort::Approve);
        approvals
            .map(|(_, vote)| vote)
            .filter(of)
            .filter_map(|vote| {
                let round = vote.statement().subject.round;
                Some(((round, roll.seat_of(vote.line())?), vote.line().clone()))
            })
            .collect()
    }

    /// Commits of one manifest in one round, by the member's name.
    pub(super) fn commits(
        &self,
        hash: &Hash,
        round: u64,
    ) -> BTreeMap<&str, (SignatureLine, SignedNote)> {
        let commits = self.votes.iter();
        commits
            .filter(|((sort, at, _), vote)| {
                *sort == Sort::Commit && *at == round && vote.statement().subject.manifest == *hash
            })
            .filter_map(|(_, vote)| {
                let certificate = vote.certificate()?.clone();
                Some((vote.line().name(), (vote.line().clone(), certificate)))
            })
            .collect()
    }

    /// Whether exactly this vote is here.
    pub(super) fn has_vote(&self, vote: &Vote) -> bool {
        let (Some(sort), line) = (Sort::of(&vote.statement().saying), vote.line()) else {
            return false;
        };
        let round = vote.statement().subject.round;
        let from = (sort, round, (line.name().to_owned(), 0));
        let to = (sort, round, (line.name().to_owned(), u32::MAX));
        self.votes.range(from..=to).any(|(_, held)| held == vote)
    }

    /// Takes a verified vote by the holder of `key`.
    pub(super) fn take_vote(&mut self, key: &VerifierKey, vote: Vote) -> Result<Taken, Refused> {
        let Some(sort) = Sort::of(&vote.statement().saying) else {
            return Ok(Taken::Known);
        };
        let who = who(key);
        let place = (sort, vote.statement().subject.round, who.clone());
        // A yield contradicts commits of any round, and the other way round.
        let others = self.votes.iter().filter(|((_, _, by), _)| *by == who);
        let mut against = others.filter_map(|(_, other)| Evidence::of(other, &vote));
        if let Some(evidence) = against.next() {
            return Ok(Taken::Contradicts(Box::new(evidence)));
        }
        if self.votes.contains_key(&place) {
            return Ok(Taken::Known);
        }
        if self.votes.len() >= MAX_VOTES_KEPT {
            return Err(Refused::TooMany {
                what: "votes on one epoch",
                limit: MAX_VOTES_KEPT,
                advice: "a member floods; amend without it",
            });
        }
        self.votes.insert(place, vote);
        Ok(Taken::New)
    }

    /// Takes a verified certificate; says whether it is new.
    pub(super) fn take_certificate(&mut self, hash: Hash, certificate: VoteCertificate) -> bool {
        let place = (certificate.round, hash);
        if self.certificates.contains_key(&place) {
            return false;
        }
        self.certificates.insert(place, certificate);
        if self.certificates.len() > MAX_CERTIFICATES_KEPT {
            self.certificates.pop_first();
        }
        self.certificates.contains_key(&place)
    }

    /// The highest round with a certificate; 0 without any.
    pub(super) fn highest_certificate(&self) -> u64 {
        let last = self.certificates.last_key_value();
        last.map_or(0, |((round, _), _)| *round)
    }

    /// Whether a certificate of a later round for another manifest is here: what opens a lock, or lets a list be cut.
    pub(super) fn is_opened(&self, locked: &Hash, since: u64) -> bool {
        let mut later = self.certificates.keys();
        later.any(|(round, hash)| *round > since && hash != locked)
    }

    /// The certificate of a list that has everybody on `next` and somebody else, and that no later one overtook.
    pub(super) fn fuller(&self, next: &Manifest) -> Option<(u64, Hash)> {
        let keys = |manifest: &Manifest| -> BTreeSet<Who> {
            let members = manifest.members.iter();
            members.map(|member| who(&member.identity)).collect()
        };
        let mine = keys(next);
        let mut fuller = self.certificates.iter().filter(|(_, certificate)| {
            let theirs = keys(&certificate.manifest);
            theirs.len() > mine.len() && mine.is_subset(&theirs)
        });
        fuller
            .find(|((round, hash), _)| !self.is_opened(hash, *round))
            .map(|(place, _)| *place)
    }

    /// Adds a manifest to vote on, with room for it checked.
    pub(super) fn candidate(
        &mut self,
        hash: Hash,
        manifest: &Manifest,
    ) -> Result<&mut Candidate, Refused> {
        if !self.candidates.contains_key(&hash) && self.candidates.len() >= MAX_MANIFESTS {
            return Err(Refused::TooMany {
                what: "manifests to vote on for one epoch",
                limit: MAX_MANIFESTS,
                advice: "vote on one of those",
            });
        }
        Ok(self.candidates.entry(hash).or_insert_with(|| Candidate {
            manifest: manifest.clone(),
            proposals: BTreeMap::new(),
            recovery: None,
        }))
    }

    /// Everything, manifests and certificates first, because votes are judged by them.
    pub(super) fn documents(&self) -> Vec<Document> {
        let recoveries = self.candidates.values().filter_map(|candidate| {
            let (recovery, _) = candidate.recovery.as_ref()?;
            Some(Document::Link(Box::new(Link::Recovered(recovery.clone()))))
        });
        let certificates = self.certificates.values();
        let certificates = certificates.map(|one| Document::Certificate(Box::new(one.clone())));
        let proposals = self.candidates.values().flat_map(|c| c.proposals.values());
        let proposals = proposals.map(|one| Document::Proposal(Box::new(one.clone())));
        let votes = self.votes.values();
        let votes = votes.map(|one| Document::Vote(Box::new(one.clone())));
        let evidence = self.evidence.values();
        let evidence = evidence.map(|one| Document::Evidence(Box::new(one.clone())));
        let first = certificates.chain(proposals).chain(recoveries);
        first.chain(votes).chain(evidence).collect()
    }

    /// Proposals by one key.
    pub(super) fn proposals_by(&self, who: &Who) -> usize {
        let all = self.candidates.values();
        all.flat_map(|candidate| candidate.proposals.keys())
            .filter(|(_, by)| by == who)
            .count()
    }
}

/// Sorts of rows, in the order in which they are read back: certificates first, because they say which rounds are followed.
pub(super) const ROW_CERTIFICATE: u8 = 1;
pub(super) const ROW_MANIFEST: u8 = 2;
pub(super) const ROW_VOTE: u8 = 3;
pub(super) const ROW_EVIDENCE: u8 = 4;

/// Writes a document down.
pub(super) fn put<T: Transaction>(
    tx: &mut T,
    epoch: u64,
    sort: u8,
    at_seconds: u64,
    json: &str,
) -> Result<(), StoreError> {
    let id = crate::tlog::hash::sha256(json.as_bytes());
    let key = [&epoch.to_be_bytes()[..], &[sort], id.as_bytes()].concat();
    let value = [&at_seconds.to_be_bytes()[..], json.as_bytes()].concat();
    tx.put_row(Table::Genesis, &key, &value)
}

/// Every document of an epoch, with when it came.
pub(super) fn rows<T: Transaction>(tx: &T, epoch: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    const PAGE: usize = 256;
    let prefix = epoch.to_be_bytes();
    let (mut from, mut all) = (prefix.to_vec(), Vec::new());
    loop {
        let page = tx.rows(Table::Genesis, &from, PAGE)?;
        let last = page.len() < PAGE;
        for (key, value) in page {
            if !key.starts_with(&prefix) {
                return Ok(all);
            }
            let (at, json) = value
                .split_first_chunk::<8>()
                .ok_or_else(|| StoreError::Damaged("a row of the vote".to_owned()))?;
            all.push((u64::from_be_bytes(*at), json.to_vec()));
            from = key;
            from.push(0);
        }
        if last {
            return Ok(all);
        }
    }
}
