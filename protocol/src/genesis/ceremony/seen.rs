//! What is known of the vote on the next epoch: manifests, votes, certificates, evidence. Everything in it was verified and
//! speaks for itself, so losing it costs a question to others and nothing else. May not decide what to vote.

use super::io::{Document, Refused};
use super::votes::Votes;
use crate::engine::store::{StoreError, Table, Transaction};
use crate::genesis::chain::Link;
use crate::genesis::{Evidence, Proposal, Recovery, Roll, Saying, VoteCertificate};
use crate::manifest::Manifest;
use crate::note::{SignatureLine, SignedNote, VerifierKey};
use crate::tlog::hash::{Hash, sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Most proposals of one proposer for one epoch: drafts are made elsewhere.
pub const MAX_PROPOSALS_EACH: usize = 8;

/// Most manifests that are proposed: eight of each member.
pub const MAX_MANIFESTS: usize = 512;

/// Most manifests of recovery keys: whoever holds more than half of these may be anybody.
pub const MAX_RECOVERIES: usize = 8;

/// Most certificates that are kept; beyond it the one of the lowest round goes, which opens no lock that a later one does not.
pub const MAX_CERTIFICATES_KEPT: usize = 64;

/// Most members against whom evidence is kept for one epoch, one piece each.
pub const MAX_EVIDENCE_KEPT: usize = 64;

/// The same against whoever is only listed in a proposal: its proposer may have invented them.
pub const MAX_EVIDENCE_OF_JOINERS: usize = 8;

/// An identity key: its name, its key id, and the hash of it whole. Whoever wants to join under another's name can make a key
/// with the same id, and must not be taken for them.
pub(super) type Who = (String, u32, Hash);

pub(super) fn who(key: &VerifierKey) -> Who {
    let whole = sha256(key.to_string().as_bytes());
    (key.name().to_owned(), key.key_id(), whole)
}

/// A proposal, and when this node saw it first, in seconds since 1970: what its proposer says of the time is only shown.
#[derive(Clone, Debug)]
pub(super) struct Proposed {
    pub(super) proposal: Proposal,
    pub(super) seen_seconds: u64,
}

/// A manifest that is voted on.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) manifest: Manifest,
    /// Its proposals, by round and proposer.
    pub(super) proposals: BTreeMap<(u64, Who), Proposed>,
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
    pub(super) votes: Votes,
    pub(super) certificates: BTreeMap<(u64, Hash), VoteCertificate>,
    /// One piece against each key.
    pub(super) evidence: BTreeMap<Who, Evidence>,
}

impl Seen {
    /// Approvals of one manifest, by round and seat.
    pub(super) fn approvals(
        &self,
        hash: &Hash,
        roll: &Roll<'_>,
    ) -> BTreeMap<(u64, usize), SignatureLine> {
        let approvals = self.votes.about(hash, Sort::Approve);
        approvals
            .filter_map(|(round, _, vote)| {
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
        let commits = self.votes.about(hash, Sort::Commit);
        commits
            .filter(|(at, ..)| *at == round)
            .filter_map(|(_, _, vote)| {
                let certificate = vote.certificate()?.clone();
                Some((vote.line().name(), (vote.line().clone(), certificate)))
            })
            .collect()
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

    /// Whether somebody proposes a manifest, and did not take that back.
    pub(super) fn is_proposed(&self, hash: &Hash) -> bool {
        let candidate = self.candidates.get(hash).into_iter();
        let mut proposals = candidate.flat_map(|one| one.proposals.keys());
        proposals.any(|(round, who)| !self.votes.withdrew(who, *round, hash))
    }

    /// Adds a manifest to vote on, with room for it checked.
    pub(super) fn candidate(
        &mut self,
        hash: Hash,
        manifest: &Manifest,
    ) -> Result<&mut Candidate, Refused> {
        let proposed = |c: &&Candidate| c.recovery.is_none();
        let proposed = self.candidates.values().filter(proposed).count();
        if !self.candidates.contains_key(&hash) && proposed >= MAX_MANIFESTS {
            return Err(Refused::TooMany {
                what: "manifests to vote on for one epoch",
                limit: MAX_MANIFESTS,
                advice: "vote on one of those",
            });
        }
        Ok(self.listed(hash, manifest))
    }

    /// Adds a manifest that recovery keys signed.
    pub(super) fn recovered(
        &mut self,
        hash: Hash,
        manifest: &Manifest,
    ) -> Result<&mut Candidate, Refused> {
        let known = self.candidates.get(&hash);
        let known = known.is_some_and(|one| one.recovery.is_some());
        let recoveries = self.candidates.values().filter(|c| c.recovery.is_some());
        if !known && recoveries.count() >= MAX_RECOVERIES {
            return Err(Refused::TooMany {
                what: "manifests by recovery keys for one epoch",
                limit: MAX_RECOVERIES,
                advice: "give way to one of those",
            });
        }
        Ok(self.listed(hash, manifest))
    }

    /// Adds a manifest that enough members approved.
    pub(super) fn listed(&mut self, hash: Hash, manifest: &Manifest) -> &mut Candidate {
        self.candidates.entry(hash).or_insert_with(|| Candidate {
            manifest: manifest.clone(),
            proposals: BTreeMap::new(),
            recovery: None,
        })
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
        let proposals = proposals.map(|one| Document::Proposal(Box::new(one.proposal.clone())));
        let votes = self.votes.all();
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
    let id = sha256(json.as_bytes());
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
