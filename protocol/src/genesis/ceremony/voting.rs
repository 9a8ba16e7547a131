//! A vote of this member's own, in the one order that is safe: lock (durable), signature, entry, an acked digest that covers
//! it, and only then anybody else. Of who is no member yet no digest leaves, so the durable lock is all there is to wait for; the
//! ledger of a member that no tower holds is never acked, so there the durable entry is.

use super::io::{Refused, Signer};
use super::own::{self, OwnVote, VoteId};
use super::seen::{Who, who};
use super::votes::{Taken, Voter};
use super::{Document, Free, Promise, Step, Stop, election};
use crate::engine::store::{Record, Transaction};
use crate::genesis::{Check, Saying, Statement, Vote};
use crate::note::VerifierKey;
use crate::tlog::hash::Hash;

impl<C: Check, T: Transaction> Step<'_, C, T> {
    /// After a start: what was locked and not signed, signed and not appended, released and perhaps never sent.
    pub(super) fn resume(&mut self) -> Result<(), Stop> {
        if self.c.settings.restored {
            self.tx.put_record(Record::VotesMissing, b"1")?;
        }
        let owed = self.tx.record(Record::ActiveOwed)?;
        if owed.is_some_and(|epoch| !epoch.is_empty()) {
            self.owe_active();
        }
        let own: Vec<(VoteId, OwnVote)> = self
            .c
            .own
            .iter()
            .map(|(id, vote)| (*id, vote.clone()))
            .collect();
        for (id, own) in own {
            match own.vote {
                None => self.ask(id, own.statement),
                Some(vote) if own.released => {
                    let document = Document::Vote(Box::new(vote));
                    self.out.promise(Promise::Send(Box::new(document)));
                }
                Some(vote) if own.index.is_none() => self.append(id, &vote),
                Some(_) if !self.c.settings.watched => self.release(id)?,
                Some(_) => {} // waits for an ack
            }
        }
        Ok(())
    }

    pub(super) fn approve(
        &mut self,
        manifest: Hash,
        round: u64,
        confirm: &str,
    ) -> Result<(), Stop> {
        let view = self.c.view()?;
        view.may_approve(&manifest, round, confirm)?;
        let statement = Statement {
            subject: view.election.subject(manifest, round),
            saying: Saying::Approve,
        };
        self.lock(statement)
    }

    pub(super) fn give_way(&mut self, manifest: Hash, confirm: &str) -> Result<(), Stop> {
        let view = self.c.view()?;
        let subject = view.election.subject(manifest, 0);
        let seen = view.may_yield(&manifest, confirm, self.now_seconds)?;
        let made = |(_, own): (&VoteId, &OwnVote)| {
            let statement = &own.statement;
            let is_yield = matches!(statement.saying, Saying::Yield { .. });
            (is_yield && statement.subject == subject).then(|| statement.clone())
        };
        let statement = match seen {
            Some(seen_seconds) => Some(Statement {
                subject,
                saying: Saying::Yield { seen_seconds },
            }),
            // It did already; the key may not have signed it yet.
            None => self.c.own.iter().find_map(made),
        };
        statement.map_or(Ok(()), |statement| self.lock(statement))
    }

    /// Sets the lock, and asks for the signature once it is durable. A lock that is there is asked for again.
    pub(super) fn lock(&mut self, statement: Statement) -> Result<(), Stop> {
        let Some(id) = VoteId::of(&statement) else {
            return Ok(());
        };
        match self.c.own.get(&id) {
            Some(own) if own.vote.is_some() => return Ok(()),
            Some(_) => {}
            None => {
                let own = OwnVote {
                    statement: statement.clone(),
                    vote: None,
                    index: None,
                    released: false,
                };
                self.c.own.put(self.tx, id, own)?;
            }
        }
        self.ask(id, statement);
        Ok(())
    }

    fn ask(&mut self, id: VoteId, statement: Statement) {
        let signer = match statement.saying {
            Saying::Commit => Signer::Envelope,
            _ => Signer::Identity,
        };
        self.out.promise(Promise::Sign {
            id,
            statement,
            signer,
        });
    }

    fn append(&mut self, id: VoteId, vote: &Vote) {
        self.out.promise(Promise::Append {
            vote: Some(id),
            kind: "genesis.vote",
            body: vote.to_json(),
        });
    }

    pub(super) fn signed(&mut self, vote: Vote) -> Result<(), Stop> {
        let id = VoteId::of(vote.statement()).ok_or(Refused::NotAsked)?;
        let own = self.c.own.get(&id);
        let own = own.filter(|own| own.statement == *vote.statement());
        let own = own.ok_or(Refused::NotAsked)?;
        if own.vote.is_some() {
            return Ok(());
        }
        vote.verify(&self.c.settings.identity, &mut self.c.verifier)?;
        let own = OwnVote {
            vote: Some(vote.clone()),
            ..own.clone()
        };
        self.c.own.put(self.tx, id, own)?;
        self.append(id, &vote);
        // "A directory without an active manifest is `unfounded`: no digest leaves it." That is everybody before epoch 0, and who
        // joins later: an ack would be waited for until the vote that it is for is over.
        if !self.c.is_member() {
            self.release(id)?;
        }
        Ok(())
    }

    pub(super) fn appended(&mut self, id: VoteId, index: u64) -> Result<(), Stop> {
        let own = self.c.own.get(&id).ok_or(Refused::NotAsked)?;
        if own.vote.is_none() || own.index.is_some() {
            return Ok(());
        }
        let own = OwnVote {
            index: Some(index),
            ..own.clone()
        };
        let waits = !own.released;
        self.c.own.put(self.tx, id, own)?;
        // Nobody will ever ack it.
        match waits && !self.c.settings.watched {
            true => self.release(id),
            false => Ok(()),
        }
    }

    /// R14: "Approvals AND commits leave only after their entry is covered by an acked digest (from epoch 1)." Yields too.
    pub(super) fn acked(&mut self, size: u64) -> Result<(), Stop> {
        let covered = |own: &OwnVote| !own.released && own.index.is_some_and(|i| i < size);
        let ids: Vec<VoteId> = self
            .c
            .own
            .iter()
            .filter(|(_, own)| covered(own))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().try_for_each(|id| self.release(id))
    }

    /// The vote may leave: from now on it is among those that are counted here, too. Before, a certificate made here could
    /// have carried it out.
    fn release(&mut self, id: VoteId) -> Result<(), Stop> {
        let Some(own) = self.c.own.get(&id).cloned() else {
            return Ok(());
        };
        let Some(vote) = own.vote.clone() else {
            return Ok(());
        };
        let released = true;
        self.c.own.put(self.tx, id, OwnVote { released, ..own })?;
        let identity = self.c.settings.identity.clone();
        let document = Document::Vote(Box::new(vote.clone()));
        self.out.promise(Promise::Send(Box::new(document)));
        let election = self.c.election();
        let voter = election.map_or(Voter::Founder, |e| Voter::of(&e, &identity));
        let taken = (self.c.seen.votes).take(&who(&identity), voter, vote.clone());
        match taken {
            Taken::New => self.keep_vote(&vote),
            Taken::Known | Taken::TooMany => Ok(()),
            Taken::Contradicts(evidence) => self.accuse(&identity, *evidence),
        }
    }

    /// A vote of this member's own came from outside. If it is not known here, it was cast by this member all the same: it
    /// binds from now on.
    pub(super) fn own_vote_came(&mut self, vote: &Vote) -> Result<(), Stop> {
        let Some(id) = VoteId::of(vote.statement()) else {
            return Ok(());
        };
        let ours = self.c.own.get(&id);
        if ours.is_none_or(|own| own.vote.is_none() && own.statement == *vote.statement()) {
            let own = OwnVote {
                statement: vote.statement().clone(),
                vote: Some(vote.clone()),
                index: None,
                released: true,
            };
            self.c.own.put(self.tx, id, own)?;
        }
        Ok(())
    }

    /// R14: recovery rebuilds every own vote from the mirrored entries; until that is complete the node casts none.
    pub(super) fn rebuilt(&mut self, votes: Vec<(u64, Vote)>) -> Result<(), Stop> {
        let Some(chain) = &self.c.chain else {
            return Err(Refused::CannotRebuild.into());
        };
        if !self.c.is_member() {
            return Err(Refused::CannotRebuild.into());
        }
        if !self.c.settings.watched {
            return Err(Refused::Unwatched.into());
        }
        let (id, lineage) = (chain.id(), chain.manifest().lineage);
        let next = chain.manifest().epoch.saturating_add(1);
        let known = own::all_of_lineage(self.tx, lineage)?;
        let mut rows = Vec::new();
        for (index, vote) in votes {
            let subject = vote.statement().subject;
            let ours = subject.lineage == lineage && subject.federation == Some(id);
            let Some(vote_id) = VoteId::of(vote.statement()).filter(|_| ours) else {
                continue; // epoch 0, another lineage, or nothing that binds
            };
            if subject.epoch < next {
                continue;
            }
            vote.verify(&self.c.settings.identity, &mut self.c.verifier)?;
            let of_known = known.get(&vote_id);
            if of_known.is_some_and(|own| own.statement != *vote.statement()) {
                return Err(Refused::Conflict {
                    epoch: subject.epoch,
                    round: subject.round,
                }
                .into());
            }
            let own = OwnVote {
                statement: vote.statement().clone(),
                vote: Some(vote),
                index: Some(index),
                released: of_known.is_some_and(|own| own.released),
            };
            rows.push((vote_id, own));
        }
        for (vote_id, own) in rows {
            own::OwnVotes::default().put(self.tx, vote_id, own)?;
        }
        self.tx.put_record(Record::VotesMissing, &[])?;
        self.c.missing = false;
        self.c.settings.restored = false;
        self.c.own = own::OwnVotes::load(self.tx, lineage, next)?;
        Ok(())
    }

    /// Evidence against the holder of a key is kept and passed on, once; against one that has a vote it is told to a human and
    /// written down, too. Whoever only wants to join may be somebody's invention, under anybody's name.
    pub(super) fn accuse(
        &mut self,
        key: &VerifierKey,
        evidence: crate::genesis::Evidence,
    ) -> Result<(), Stop> {
        let c = &mut *self.c;
        let election = election(c.chain.as_ref(), &c.settings).ok_or(Refused::NoElection)?;
        let votes = election.votes(key);
        let listed = |(name, id, _): &Who| {
            let base = election.base.map(|(_, base)| base);
            base.is_none_or(|base| {
                let member = base.member(name);
                member.is_some_and(|(_, member)| member.identity.key_id() == *id)
            })
        };
        let kept = &mut c.seen.evidence;
        let alike = kept.keys().filter(|who| listed(who) == votes).count();
        let limit = match votes {
            true => super::MAX_EVIDENCE_KEPT,
            false => super::MAX_EVIDENCE_OF_JOINERS,
        };
        let accused = who(key);
        if kept.contains_key(&accused) || alike >= limit {
            return Ok(());
        }
        kept.insert(accused, evidence.clone());
        let json = evidence.to_json();
        self.keep(super::seen::ROW_EVIDENCE, &json)?;
        let document = Document::Evidence(Box::new(evidence.clone()));
        self.out.free(Free::Pass(Box::new(document)));
        if !votes {
            return Ok(());
        }
        self.out.free(Free::Accused(Box::new(evidence)));
        self.out.promise(Promise::Append {
            vote: None,
            kind: "genesis.evidence",
            body: json,
        });
        Ok(())
    }
}
