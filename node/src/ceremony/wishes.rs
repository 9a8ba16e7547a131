//! What operators ask of a founding, as its thread does it. May not decide what this node votes.

use super::clerk::{self, Plan, Wish};
use super::desk::Outcome;
use super::guests;
use super::task::{Task, now_seconds};
use super::view::{self, Beside};
use crate::clock;
use crate::exit::{Code, Failure};
use belfry_protocol::genesis::ceremony::status::State;
use belfry_protocol::genesis::ceremony::{Document, Input, Status, VoteRecord};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::genesis::{Election, Pinned, Proposal, Saying, Statement, Vote};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::Hash;
use serde_json::{Value, json};

impl Task {
    pub(super) fn wish(&mut self, wish: &Wish) -> Result<Value, Failure> {
        let documents = self.desk.ceremony()?.documents();
        let meant = |digits: &str| clerk::meant(&documents, Some(digits));
        match wish {
            Wish::Status => self.status(),
            Wish::Show { manifest } => {
                let manifest = match manifest {
                    Some(digits) => meant(digits)?,
                    None => clerk::meant(&self.living(&documents)?, None)?,
                };
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
                dry_run,
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
                if *dry_run {
                    let (file, hash) = (made.manifest.to_json(), made.manifest.hash());
                    return Ok(json!({ "dry_run": true, "file": file, "shown": hash.to_hex() }));
                }
                self.put(made)
            }
            Wish::Amend { plan, dry_run } => self.amend(plan, *dry_run),
            Wish::Sign {
                manifest,
                confirm,
                round,
            } => {
                let manifest = meant(manifest)?;
                super::amendment::speaks(&manifest)?;
                let (status, hash) = (self.votes()?, manifest.hash());
                let round = round.unwrap_or_else(|| clerk::round_of(&status, &hash));
                let confirm = confirm.clone();
                let manifest = hash;
                self.cast(
                    &hash,
                    Input::Approve {
                        manifest,
                        round,
                        confirm,
                    },
                )
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
                let (manifest, confirm) = (meant(manifest)?.hash(), confirm.clone());
                self.cast(&manifest, Input::Yield { manifest, confirm })
            }
            Wish::Reject { manifest, reason } => {
                let saying = Saying::Refuse {
                    reason: reason.clone(),
                };
                let manifest = meant(manifest)?;
                let round = clerk::round_of(&self.votes()?, &manifest.hash());
                if self.has_signed(round, &manifest.hash()) {
                    let text = format!(
                        "this node signed that manifest in round {round}, and nobody takes a signature back"
                    );
                    return Err(Failure::new(Code::Failed, text)
                        .hint("tell the others: without enough signatures nothing happens"));
                }
                self.state(&manifest, round, saying)
            }
            Wish::Withdraw { manifest } => {
                let manifest = meant(manifest)?;
                let round =
                    clerk::proposed_in(&documents, &manifest, &self.me).ok_or_else(|| {
                        Failure::new(Code::Failed, "only who proposed a manifest takes it back")
                            .hint("refuse it with `belfry genesis reject`")
                    })?;
                self.state(&manifest, round, Saying::Withdraw)
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
                let mut outcome = self.take(vec![Input::Resume])?;
                // Giving way has no round and is asked for by a human only; of approvals the newest matters.
                let place = |one: &Statement| match one.saying {
                    Saying::Yield { .. } => u64::MAX,
                    _ => one.subject.round,
                };
                outcome
                    .unsigned
                    .sort_by_key(|one| std::cmp::Reverse(place(one)));
                let texts = outcome.unsigned.iter().map(ToString::to_string);
                Ok(json!({ "statements": texts.collect::<Vec<String>>() }))
            }
            Wish::Import { vote } => {
                let vote = Vote::parse(vote.as_bytes()).map_err(refused)?;
                if vote.line().name() != self.me.name {
                    let text = format!(
                        "it is a vote of {}, not of {}",
                        vote.line().name(),
                        self.me.name
                    );
                    return Err(Failure::new(Code::Usage, text).hint("import it at that node"));
                }
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
        let documents = self.desk.ceremony()?.documents();
        let before = clerk::proposed_in(&documents, &made.manifest, &self.me);
        if let Some(round) = before.filter(|round| *round >= made.statement.subject.round) {
            let text = format!("this node proposed that manifest in round {round} already");
            return Err(Failure::new(Code::Failed, text).hint(
                "remind the others: `belfry genesis remind`; another member may propose it again",
            ));
        }
        let note = self.desk.identity_note(&made.statement.to_string())?;
        let proposal = Proposal::new(made.manifest, note).map_err(refused)?;
        let hash = proposal.manifest().hash();
        self.say(Document::Proposal(Box::new(proposal)))?;
        self.shown(&hash.to_hex())
    }

    /// A statement by the identity key that binds nothing.
    fn state(&mut self, manifest: &Manifest, round: u64, saying: Saying) -> Result<Value, Failure> {
        let statement = clerk::about(&self.election()?, round, manifest, saying)?;
        let note: SignedNote = self.desk.identity_note(&statement.to_string())?;
        let vote = Vote::new(note, None).map_err(refused)?;
        self.say(Document::Vote(Box::new(vote)))?;
        self.shown(&manifest.hash().to_hex())
    }

    fn say(&mut self, document: Document) -> Result<(), Failure> {
        let outcome = self.take(vec![Input::Document(Box::new(document))])?;
        first_refusal(&outcome)
    }

    /// A vote of this node's own; its key may be elsewhere.
    fn cast(&mut self, manifest: &Hash, input: Input) -> Result<Value, Failure> {
        let outcome = self.take(vec![input])?;
        first_refusal(&outcome)?;
        let mut shown = self.shown(&manifest.to_hex())?;
        shown["unsigned"] = json!(outcome.unsigned.len());
        Ok(shown)
    }

    /// What is known of manifests that were not taken back; everything, if all were.
    fn living(&self, documents: &[Document]) -> Result<Vec<Document>, Failure> {
        let status = self.votes()?;
        let lives = |document: &&Document| match document {
            Document::Proposal(proposal) => {
                let hash = proposal.statement().subject.manifest;
                clerk::of(&status, &hash).is_none_or(|one| one.state != State::Withdrawn)
            }
            _ => true,
        };
        let living: Vec<Document> = documents.iter().filter(lives).cloned().collect();
        Ok(match living.is_empty() {
            true => documents.to_vec(),
            false => living,
        })
    }

    fn has_signed(&self, round: u64, manifest: &Hash) -> bool {
        let ceremony = self.desk.ceremony();
        ceremony.is_ok_and(|ceremony| ceremony.voted(round).0 == Some(*manifest))
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
