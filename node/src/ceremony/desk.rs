//! One step of a ceremony: through the writer's store, and only after its commit signatures, entries and what may leave. Goes on
//! until nothing is owed. May not decide anything.

use crate::clock;
use crate::exit::{Code, Failure};
use crate::member::{Renewer, chain};
use crate::store::Store;
use crate::writer::{Answer, Request, Writer};
use belfry_keys::NodeKeys;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::store::{StoreError, Transaction};
use belfry_protocol::entry::json::Json;
use belfry_protocol::genesis::ceremony::{
    Ceremony, Document, Free, Input, Promise, Refused, Settings, Signer, VoteRecord,
};
use belfry_protocol::genesis::chain::{Chain, Link};
use belfry_protocol::genesis::{Evidence, Remembering, Statement, Vote};
use belfry_protocol::note::SignedNote;
use std::collections::BTreeSet;

/// What came of inputs.
#[derive(Default)]
pub(super) struct Outcome {
    /// Inputs that were not taken, by their place.
    pub(super) refused: Vec<(usize, Refused)>,
    /// For everybody: new, verified, and allowed to leave.
    pub(super) send: Vec<Document>,
    /// Members that are shown to have broken their word.
    pub(super) accused: Vec<Evidence>,
    /// Approvals that wait for an identity key that is not here.
    pub(super) unsigned: Vec<Statement>,
    /// Epochs that are active now, in order.
    pub(super) activated: Vec<Link>,
}

/// The ceremony with what it needs to act.
pub(super) struct Desk {
    /// `None` after a step that failed: what is durable is not known then.
    ceremony: Option<Ceremony<Remembering>>,
    keys: NodeKeys,
    /// Where newer keys are, while this node is a member.
    renewer: Option<Renewer>,
    writer: Writer,
    settings: Settings,
    /// Serials that were revoked, and what the engine knew when they were asked for last.
    revoked: (BTreeSet<(String, u64)>, usize),
}

/// The epoch that a `genesis.active` entry is about.
fn epoch_of(body: &str) -> Option<u64> {
    let body = Json::parse(body.as_bytes()).ok()?;
    body.get("epoch")?.as_u64()
}

fn now_seconds() -> u64 {
    u64::try_from(clock::wall().seconds()).unwrap_or(0)
}

fn stopped(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Io, format!("the ceremony stopped: {error}"))
        .hint("start the node again; what was promised is on disk")
}

impl Desk {
    /// For a founding, or with the chain of a founded federation. `watched`: towers hold this node's ledger.
    pub(super) fn open(
        keys: NodeKeys,
        writer: Writer,
        lineage: [u8; 16],
        (chain, watched): (Option<Chain>, bool),
    ) -> Result<Self, Failure> {
        let settings = Settings {
            identity: keys.identity_verifier().clone(),
            lineage: Some(lineage),
            // A member's start writes down that votes are missing; a restored founder is not let in.
            restored: false,
            watched,
        };
        let mut desk = Self {
            ceremony: None,
            keys,
            renewer: None,
            writer,
            settings,
            revoked: (BTreeSet::new(), 0),
        };
        desk.reopen(chain, watched)?;
        Ok(desk)
    }

    /// From now on it commits with the keys that are newest then.
    pub(super) fn renewed_by(&mut self, renewer: Renewer) {
        self.renewer = Some(renewer);
    }

    /// Reads back what is durable: after a step that failed, or where another epoch is in force.
    pub(super) fn reopen(&mut self, chain: Option<Chain>, watched: bool) -> Result<(), Failure> {
        self.settings.watched = watched;
        let settings = self.settings.clone();
        let before = self.ceremony.take();
        let check = before.map(Ceremony::into_check).unwrap_or_default();
        let load = move |store: &mut Store| {
            let mut tx = store.begin()?;
            let loaded = Ceremony::load(&mut tx, settings, chain, check);
            tx.commit()?;
            loaded
        };
        let loaded: Result<_, StoreError> = self.writer.between(load).map_err(|e| stopped(&e))?;
        let mut loaded = loaded.map_err(|error| stopped(&error))?;
        loaded.set_revoked(self.revoked.0.clone());
        self.ceremony = Some(loaded);
        Ok(())
    }

    /// Whose keys were revoked, as the engine knows it now.
    pub(super) fn look_at(&mut self, members: &Members) {
        if members.generation() == self.revoked.1 {
            return;
        }
        let all = (0..members.count()).flat_map(|one| {
            let chain = members
                .chain(one)
                .iter()
                .map(|certificate| certificate.serial);
            let gone = chain.filter(move |serial| members.is_revoked(one, *serial));
            gone.map(move |serial| (members.name(one).to_owned(), serial))
        });
        self.revoked = (all.collect(), members.generation());
        if let Some(ceremony) = &mut self.ceremony {
            ceremony.set_revoked(self.revoked.0.clone());
        }
    }

    /// Whether towers hold this node's ledger.
    pub(super) fn is_watched(&self) -> bool {
        self.settings.watched
    }

    pub(super) fn ceremony(&self) -> Result<&Ceremony<Remembering>, Failure> {
        self.ceremony
            .as_ref()
            .ok_or_else(|| stopped(&"a step failed"))
    }

    /// What made the epochs from `from` on active, as far as this node has seen it.
    pub(super) fn links(&self, from: u64) -> Result<Vec<Link>, Failure> {
        let read = move |store: &mut Store| chain::kept(&store.begin_reading()?, from);
        self.writer.between(read).map_err(|e| stopped(&e))?
    }

    /// This node's votes, for another directory.
    pub(super) fn record(&mut self) -> Result<Option<VoteRecord>, Failure> {
        let ceremony = self
            .ceremony
            .take()
            .ok_or_else(|| stopped(&"a step failed"))?;
        let work = move |store: &mut Store| -> Result<_, StoreError> {
            let record = ceremony.export(&store.begin_reading()?)?;
            Ok((ceremony, record))
        };
        let done = self.writer.between(work).map_err(|e| stopped(&e))?;
        let (ceremony, record) = done.map_err(|error| stopped(&error))?;
        self.ceremony = Some(ceremony);
        Ok(record)
    }

    /// Takes inputs, and everything that follows from them.
    pub(super) fn take(&mut self, inputs: Vec<Input>) -> Result<Outcome, Failure> {
        let taken = self.take_all(inputs);
        if taken.is_err() {
            // What was promised and not kept is asked for again at the next start, and not before.
            self.ceremony = None;
        }
        taken
    }

    fn take_all(&mut self, inputs: Vec<Input>) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        let mut owed = self.step(inputs, &mut outcome, true)?;
        while !owed.is_empty() {
            let mut next = Vec::new();
            for promise in owed {
                next.extend(self.keep(promise, &mut outcome)?);
            }
            owed = match next.is_empty() {
                true => Vec::new(),
                false => self.step(next, &mut outcome, false)?,
            };
        }
        Ok(outcome)
    }

    fn step(
        &mut self,
        inputs: Vec<Input>,
        outcome: &mut Outcome,
        theirs: bool,
    ) -> Result<Vec<Promise>, Failure> {
        let mut ceremony = self
            .ceremony
            .take()
            .ok_or_else(|| stopped(&"a step failed"))?;
        let now = now_seconds();
        // Here, and not in the step, for which entries wait.
        let wrong = ceremony.check_ahead(&inputs);
        let inputs = inputs.into_iter().enumerate();
        let (places, inputs): (Vec<usize>, Vec<Input>) = inputs
            .filter(|(place, _)| !wrong.contains_key(place))
            .unzip();
        outcome.refused.extend(wrong);
        let work = move |store: &mut Store| -> Result<_, StoreError> {
            let mut tx = store.begin()?;
            let mut out = ceremony.step(now, &mut tx, inputs)?;
            let free = out.take_free();
            let proof = tx.commit()?;
            Ok((ceremony, free, out.release(&proof)))
        };
        let stepped = self.writer.between(work).map_err(|e| stopped(&e))?;
        let (ceremony, free, promises) = stepped.map_err(|error| stopped(&error))?;
        self.ceremony = Some(ceremony);
        for one in free {
            match one {
                Free::Pass(document) => outcome.send.push(*document),
                Free::Refused { input, why } if theirs => {
                    let place = places.get(input).copied().unwrap_or(input);
                    outcome.refused.push((place, why));
                }
                // Of an epoch that this node's own commit ended, nothing is asked any more.
                Free::Refused { why, .. } => tracing::debug!(%why, "what followed was not taken"),
                Free::Accused(evidence) => outcome.accused.push(*evidence),
                // Links of the chain are among what nodes compare: they come.
                Free::Behind { .. } => {}
            }
        }
        Ok(promises)
    }

    /// Does what was promised; returns what the ceremony is to hear of it.
    fn keep(&self, promise: Promise, outcome: &mut Outcome) -> Result<Option<Input>, Failure> {
        Ok(match promise {
            Promise::Sign {
                statement, signer, ..
            } => match self.sign(&statement, signer)? {
                Some(vote) => Some(Input::Signed(Box::new(vote))),
                None => {
                    outcome.unsigned.push(statement);
                    None
                }
            },
            // A member's engine tells of it once it is in force: from there on both epochs' towers are needed.
            Promise::Append { kind, body, .. }
                if kind == "genesis.active" && self.renewer.is_some() =>
            {
                let epoch = epoch_of(&body).ok_or_else(|| stopped(&"no epoch"))?;
                Some(Input::ActiveAppended { epoch })
            }
            Promise::Append { vote, kind, body } => {
                let index = self.append(kind, &body)?;
                match vote {
                    Some(id) => Some(Input::Appended { id, index }),
                    None if kind == "genesis.active" => {
                        let epoch = epoch_of(&body).ok_or_else(|| stopped(&"no epoch"))?;
                        Some(Input::ActiveAppended { epoch })
                    }
                    None => None,
                }
            }
            Promise::Send(document) => {
                outcome.send.push(*document);
                None
            }
            Promise::Activated(link) => {
                outcome.activated.push(*link);
                None
            }
        })
    }

    /// `None` if the identity key is not here.
    fn sign(&self, statement: &Statement, signer: Signer) -> Result<Option<Vote>, Failure> {
        let text = statement.to_string();
        let newest = self.renewer.as_ref().and_then(Renewer::envelope);
        let (key, certificate) = match (signer, &newest) {
            (Signer::Identity, _) => (self.keys.identity_key(), None),
            (Signer::Envelope, Some((key, certificate))) => (Some(key), Some(certificate.clone())),
            (Signer::Envelope, None) => (
                Some(self.keys.envelope_key()),
                Some(self.keys.certificate().clone()),
            ),
        };
        let Some(key) = key else {
            return Ok(None);
        };
        let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error.to_string());
        let line = key.sign_note(&text).map_err(|error| failed(&error))?;
        let note = SignedNote::new(&text, vec![line]).map_err(|error| failed(&error))?;
        Ok(Some(
            Vote::new(note, certificate).map_err(|error| failed(&error))?,
        ))
    }

    /// An entry in this node's own ledger; returns its index.
    fn append(&self, kind: &'static str, body: &str) -> Result<u64, Failure> {
        let body = Json::parse(body.as_bytes()).map_err(|error| stopped(&error))?;
        let answer = self.writer.call(Request::System { kind, body })?;
        match answer {
            Answer::Appended(places) => Ok(places.first),
            other => Ok(other.entry().unwrap_or_default()),
        }
    }

    /// A note by the identity key over a text that binds nothing: a card, a proposal, a refusal.
    pub(super) fn identity_note(&self, text: &str) -> Result<SignedNote, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error.to_string());
        let key = self.keys.identity_key().ok_or_else(|| {
            Failure::new(Code::KeyUnavailable, "the identity key is not in keys/")
                .hint("put its file into keys/ and start the node again; it may go again once the federation is founded")
        })?;
        let line = key.sign_note(text).map_err(|error| failed(&error))?;
        SignedNote::new(text, vec![line]).map_err(|error| failed(&error))
    }
}
