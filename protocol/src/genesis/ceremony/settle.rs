//! What follows from what is known, without asking anybody: certificates, this member's commit, activation.
//! May not approve: that is for humans.

use super::seen::Sort;
use super::{Document, Free, Promise, Step, Stop, election};
use crate::engine::store::{Record, Table, Transaction};
use crate::entry::json::Json;
use crate::genesis::chain::{Chain, Link};
use crate::genesis::{Check, Publication, Recovery, Saying, Statement, VoteCertificate};
use crate::manifest::Federation;
use crate::note::{SignatureLine, SignedNote};
use crate::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

impl<C: Check, T: Transaction> Step<'_, C, T> {
    pub(super) fn settle(&mut self) -> Result<(), Stop> {
        if !std::mem::take(&mut self.c.unsettled) {
            return Ok(());
        }
        self.certify()?;
        self.commit()?;
        if let Some(link) = self.publication() {
            return self.activate(link);
        }
        match self.recovered() {
            Some(link) => self.activate(link),
            None => Ok(()),
        }
    }

    /// Certificates that the approvals here make.
    fn certify(&mut self) -> Result<(), Stop> {
        let Some(election) = election(self.c.chain.as_ref(), &self.c.settings) else {
            return Ok(());
        };
        let seen = &mut self.c.seen;
        let fresh = seen.votes.take_fresh();
        let mut made = Vec::new();
        for (hash, candidate) in &seen.candidates {
            if !fresh.contains(hash) {
                continue;
            }
            let roll = election.roll(&candidate.manifest);
            let approvals = seen.approvals(hash, &roll);
            let rounds: BTreeSet<u64> = approvals.keys().map(|(round, _)| *round).collect();
            for round in rounds {
                if !seen.certificates.contains_key(&(round, *hash)) {
                    let one = VoteCertificate::assemble(&election, &roll, round, &approvals);
                    made.extend(one);
                }
            }
        }
        made.into_iter()
            .try_for_each(|certificate| self.take_certificate(certificate))
    }

    /// The commit of the newest certificate that this member may commit to: it becomes the lock.
    fn commit(&mut self) -> Result<(), Stop> {
        let Ok(view) = self.c.view() else {
            return Ok(());
        };
        let newest_first = view.seen.certificates.keys().rev();
        let mut may = newest_first.filter(|(round, hash)| view.may_commit(hash, *round));
        let Some((round, hash)) = may.next() else {
            return Ok(());
        };
        let statement = Statement {
            subject: view.election.subject(*hash, *round),
            saying: Saying::Commit,
        };
        self.lock(statement)
    }

    /// "Active = certificate plus commits of t members of N ..., all of one round."
    fn publication(&self) -> Option<Link> {
        let election = self.c.election()?;
        let seen = &self.c.seen;
        seen.certificates.iter().find_map(|((round, hash), held)| {
            let roll = election.roll(&held.manifest);
            let commits = seen.commits(hash, *round);
            if commits.len() < roll.threshold() {
                return None; // before anything is copied
            }
            let made = Publication::assemble(&election, &roll, held.clone(), commits)?;
            Some(Link::Voted(made))
        })
    }

    /// A recovery manifest with its yields and acceptances.
    fn recovered(&mut self) -> Option<Link> {
        let c = &mut *self.c;
        let election = election(c.chain.as_ref(), &c.settings)?;
        let candidates = c.seen.candidates.iter();
        candidates
            .filter_map(|(hash, candidate)| Some((hash, &candidate.recovery.as_ref()?.0)))
            .find_map(|(hash, bare)| {
                let roll = election.roll(&bare.manifest);
                let yields = c.seen.votes.about(hash, Sort::Yield).count();
                if yields < Recovery::yields_needed(&roll) {
                    return None; // before anything is verified
                }
                let mut accepted: BTreeMap<u64, Vec<SignatureLine>> = BTreeMap::new();
                let mut seats = BTreeSet::new();
                for ((round, seat), line) in c.seen.approvals(hash, &roll) {
                    if roll.is_standing(seat) && seats.insert(seat) {
                        accepted.entry(round).or_default().push(line);
                    }
                }
                let note = |(round, mut lines): (u64, Vec<SignatureLine>)| {
                    lines.sort();
                    let subject = election.subject(*hash, round);
                    let saying = Saying::Approve;
                    SignedNote::new(&Statement { subject, saying }.to_string(), lines).ok()
                };
                let yields = c.seen.votes.about(hash, Sort::Yield);
                let made = Recovery {
                    acceptances: accepted.into_iter().map(note).collect::<Option<_>>()?,
                    yields: yields.map(|(.., vote)| vote.note().clone()).collect(),
                    ..bare.clone()
                };
                let enough = made.verify(&election, &mut c.verifier).is_ok();
                enough.then_some(Link::Recovered(made))
            })
    }

    /// A link that holds: the epoch is active, and the vote on the next one begins.
    pub(super) fn activate(&mut self, link: Link) -> Result<(), Stop> {
        let manifest = link.manifest().clone();
        let (epoch, hash) = (manifest.epoch, manifest.hash());
        match &mut self.c.chain {
            Some(chain) => chain.take(&link, hash),
            None => {
                let founded = Federation::new(hash, manifest);
                let founded = founded.map_err(crate::genesis::GenesisError::from)?;
                self.c.chain = Some(Chain::from(founded));
            }
        }
        let json = link.to_json();
        let key = epoch.to_be_bytes();
        self.tx.put_row(Table::Manifests, &key, json.as_bytes())?;
        let next = epoch.saturating_add(1).to_be_bytes();
        self.tx.remove_rows_below(Table::Genesis, &next)?;
        self.c.begin_epoch(self.tx)?;
        self.tx.put_record(Record::ActiveOwed, &key)?;
        self.owe_active();
        self.out.promise(Promise::Activated(Box::new(link.clone())));
        self.out
            .free(Free::Pass(Box::new(Document::Link(Box::new(link)))));
        Ok(())
    }
}

impl<C: Check, T: Transaction> Step<'_, C, T> {
    /// The ledger must tell of the epoch: without the entry no digest ever counts in it.
    pub(super) fn owe_active(&mut self) {
        if let Some(chain) = &self.c.chain {
            let manifest = chain.manifest();
            self.out.promise(Promise::Append {
                vote: None,
                kind: "genesis.active",
                body: active_body(&chain.id(), manifest.epoch, &manifest.hash()),
            });
        }
    }

    pub(super) fn active_appended(&mut self, epoch: u64) -> Result<(), Stop> {
        let owed = self.tx.record(Record::ActiveOwed)?;
        if owed.is_some_and(|owed| owed == epoch.to_be_bytes()) {
            self.tx.put_record(Record::ActiveOwed, &[])?;
        }
        Ok(())
    }
}

/// The body of a `genesis.active` entry: what a joint digest has to cover (R14).
#[must_use]
pub fn active_body(federation: &Hash, epoch: u64, manifest: &Hash) -> String {
    crate::genesis::fields::print([
        ("epoch", Json::whole(epoch)),
        ("federation", Json::text(federation.to_hex())),
        ("manifest", Json::text(manifest.to_hex())),
    ])
}
