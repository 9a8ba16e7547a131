//! What operators ask of a founding, as its thread does it. May not decide what this node votes.

use super::clerk::{self, Plan, Wish};
use super::desk::Outcome;
use super::guests;
use super::task::{Task, now_seconds};
use super::view::{self, Beside};
use crate::clock;
use crate::exit::{Code, Failure};
use belfry_protocol::genesis::ceremony::{Document, Input, Status, VoteRecord};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::genesis::{Election, Pinned, Proposal, Saying, Vote};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::note::SignedNote;
use serde_json::{Value, json};

impl Task {
    pub(super) fn wish(&mut self, wish: &Wish) -> Result<Value, Failure> {
        let documents = self.desk.ceremony()?.documents();
        let meant = |digits: &str| clerk::meant(&documents, Some(digits));
        match wish {
            Wish::Status => self.status(),
            Wish::Show { manifest } => {
                let manifest = clerk::meant(&documents, manifest.as_deref())?;
                let mut status = self.status()?;
                if let Some(base) = self.newest() {
                    status["base"] = json!(base.to_json());
                }
                status["file"] = json!(manifest.to_json());
                status["shown"] = json!(manifest.hash().to_hex());
                Ok(status)
            }
            Wish::Propose {
                title,
                quorum,
                threshold,
                without,
                again,
                recovery_keys,
            } => {
                let status = self.votes()?;
                let plan = Plan {
                    title,
                    quorum: *quorum,
                    threshold: *threshold,
                    without,
                    again: again.as_deref(),
                    recovery_keys,
                };
                let now = now_seconds();
                let made = clerk::propose(
                    (&self.draft, &self.election()?),
                    &self.me,
                    (&status, &documents),
                    &plan,
                    now,
                )?;
                self.put(made)
            }
            Wish::Amend { plan, dry_run } => self.amend(plan, *dry_run),
            Wish::Sign { manifest, confirm } => {
                let manifest = meant(manifest)?;
                let (status, hash) = (self.votes()?, manifest.hash());
                let round = clerk::round_of(&status, &hash);
                let outcome = self.take(vec![Input::Approve {
                    manifest: hash,
                    round,
                    confirm: confirm.clone(),
                }])?;
                first_refusal(&outcome)?;
                let mut shown = self.shown(&hash.to_hex())?;
                shown["unsigned"] = json!(outcome.unsigned.len());
                Ok(shown)
            }
            Wish::Recover { recovery } => {
                let link = Link::parse(recovery.as_bytes()).map_err(refused)?;
                if !matches!(link, Link::Recovered(_)) {
                    return Err(refused("it is not a manifest of recovery keys"));
                }
                let hash = link.manifest().hash().to_hex();
                self.say(Document::Link(Box::new(link)))?;
                self.shown(&hash)
            }
            Wish::Yield { manifest, confirm } => {
                let hash = meant(manifest)?.hash();
                let outcome = self.take(vec![Input::Yield {
                    manifest: hash,
                    confirm: confirm.clone(),
                }])?;
                first_refusal(&outcome)?;
                let mut shown = self.shown(&hash.to_hex())?;
                shown["unsigned"] = json!(outcome.unsigned.len());
                Ok(shown)
            }
            Wish::Reject { manifest, reason } => {
                let saying = Saying::Refuse {
                    reason: reason.clone(),
                };
                self.state(&meant(manifest)?, saying)
            }
            Wish::Withdraw { manifest } => {
                let manifest = meant(manifest)?;
                clerk::check_own(&documents, &manifest, &self.me)?;
                self.state(&manifest, Saying::Withdraw)
            }
            Wish::Invite {
                factory,
                tower,
                seconds,
            } => {
                let mut draft = self.draft.clone();
                let pinned = self.federation_id().zip(self.newest());
                let pinned = pinned.map(|(federation, newest)| Pinned {
                    federation,
                    manifest: newest.hash(),
                });
                let fresh = (crate::member::random_id()?, now_seconds());
                let (ticket, id) = clerk::invite(
                    (&mut draft, pinned),
                    &self.me,
                    (*factory, *tower),
                    *seconds,
                    fresh,
                )?;
                draft.save(&self.layout, &*self.disk)?;
                self.draft = draft;
                Ok(json!({
                    "ticket": ticket.to_text(), "id": id, "federation": ticket.federation,
                    "expires_seconds": ticket.expires_seconds, "expires": clock::shown_seconds(ticket.expires_seconds),
                }))
            }
            Wish::Tickets => Ok(view::tickets(&self.draft, now_seconds())),
            Wish::Revoke { id } => {
                let mut draft = self.draft.clone();
                let id = guests::revoke(&mut draft, id)?;
                draft.save(&self.layout, &*self.disk)?;
                self.draft = draft;
                Ok(json!({ "revoked": id }))
            }
            Wish::Remind => {
                self.tick(true)?;
                self.exchange.push(&documents);
                self.status()
            }
            Wish::Export => {
                let outcome = self.take(vec![Input::Resume])?;
                let texts = outcome.unsigned.iter().map(ToString::to_string);
                Ok(json!({ "statements": texts.collect::<Vec<String>>() }))
            }
            Wish::Import { vote } => {
                let vote = Vote::parse(vote.as_bytes()).map_err(refused)?;
                let hash = vote.statement().subject.manifest.to_hex();
                let outcome = self.take(vec![Input::Signed(Box::new(vote))])?;
                first_refusal(&outcome)?;
                self.shown(&hash)
            }
            Wish::ExportRecord => {
                let record = self.desk.record()?;
                Ok(json!({ "record": record.map(|record| record.to_json()) }))
            }
            Wish::ImportRecord { record } => {
                let record = VoteRecord::parse(record.as_bytes()).map_err(refused)?;
                let votes = record.votes.len();
                let outcome = self.take(vec![Input::Import(Box::new(record))])?;
                first_refusal(&outcome)?;
                Ok(json!({ "votes": votes }))
            }
        }
    }

    pub(super) fn election(&self) -> Result<Election<'_>, Failure> {
        let election = self.desk.ceremony()?.election();
        election.ok_or_else(|| Failure::new(Code::Failed, "nothing is voted on here"))
    }

    /// Proposes a manifest.
    pub(super) fn put(&mut self, made: clerk::Proposed) -> Result<Value, Failure> {
        let note = self.desk.identity_note(&made.statement.to_string())?;
        let proposal = Proposal::new(made.manifest, note).map_err(refused)?;
        let hash = proposal.manifest().hash();
        self.say(Document::Proposal(Box::new(proposal)))?;
        self.shown(&hash.to_hex())
    }

    /// A statement by the identity key that binds nothing.
    fn state(&mut self, manifest: &Manifest, saying: Saying) -> Result<Value, Failure> {
        let statement = clerk::about(&self.election()?, &self.votes()?, manifest, saying)?;
        let note: SignedNote = self.desk.identity_note(&statement.to_string())?;
        let vote = Vote::new(note, None).map_err(refused)?;
        self.say(Document::Vote(Box::new(vote)))?;
        self.shown(&manifest.hash().to_hex())
    }

    fn say(&mut self, document: Document) -> Result<(), Failure> {
        let outcome = self.take(vec![Input::Document(Box::new(document))])?;
        first_refusal(&outcome)
    }

    pub(super) fn votes(&self) -> Result<Status, Failure> {
        let over = || Failure::new(Code::Failed, "the federation is founded");
        self.desk
            .ceremony()?
            .status(now_seconds())
            .filter(|_| !self.ended)
            .ok_or_else(over)
    }

    fn shown(&self, hash: &str) -> Result<Value, Failure> {
        let mut status = self.status()?;
        status["shown"] = json!(hash);
        Ok(status)
    }

    fn status(&self) -> Result<Value, Failure> {
        if let Some(newest) = self.newest().filter(|_| self.ended) {
            let id = self.federation_id().map(|id| id.to_hex());
            return Ok(json!({
                "state": "active", "federation": newest.federation, "federation_id": id, "epoch": newest.epoch,
                "name": self.me.name,
            }));
        }
        let beside = Beside {
            draft: &self.draft,
            me: &self.me,
            is_up: &|peer| self.exchange.is_up(peer),
            welcome: &self.welcome,
            chain: &self.links,
            in_force: self.in_force,
        };
        Ok(view::status(&self.votes()?, &beside))
    }
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::VerificationFailed, error.to_string())
}

/// The rules' own words are for people.
fn first_refusal(outcome: &Outcome) -> Result<(), Failure> {
    match outcome.refused.first() {
        None => Ok(()),
        Some((_, why)) => Err(Failure::new(Code::Failed, why.to_string())),
    }
}
