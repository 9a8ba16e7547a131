//! One member's view of founding and amending (R14): what came in, what it may vote, what it must never take back.
//! No clock, network or key: time is a value, keys sign what [`Promise::Sign`] asks, and the store's transaction decides
//! what left.
//!
//! | file | holds |
//! |---|---|
//! | [`io`] | inputs, outputs, refusals |
//! | `rules` | may I approve, commit, yield |
//! | `rounds` | in which round a manifest can be won |
//! | `own` | my votes: durable before they are signed |
//! | `seen`, `votes` | everybody's manifests and certificates; their votes |
//! | `ahead`, `documents` | what comes in: its signatures, and the rest |
//! | `voting` | from a lock to a signature, an entry and its release |
//! | `settle` | certificates, commits, activation |
//! | [`record`], [`status`] | my votes for another directory; what a screen shows |

mod ahead;
mod documents;
pub mod io;
mod own;
pub mod record;
mod rounds;
mod rules;
mod seen;
mod settle;
pub mod status;
mod votes;
mod voting;

pub use io::{Document, Free, Input, Promise, Refused, Signer, confirmation};
pub use own::{VoteId, VoteKind};
pub use record::VoteRecord;
pub use rules::ROUNDS_AHEAD_MAX;
pub use seen::{
    MAX_CERTIFICATES_KEPT, MAX_EVIDENCE_KEPT, MAX_EVIDENCE_OF_JOINERS, MAX_MANIFESTS,
    MAX_PROPOSALS_EACH, MAX_RECOVERIES,
};
pub use settle::active_body;
pub use status::Status;
pub use votes::{MAX_FOUNDING_VOTES, MAX_FOUNDING_VOTES_EACH, MAX_REMARKS_EACH, MAX_VOTES_EACH};

use super::chain::{Chain, Link};
use super::{Check, Election, Verifier, Vote};
use crate::cert::Certificate;
use crate::engine::outbox::Outbox;
use crate::engine::store::{Record, StoreError, Table, Transaction};
use crate::manifest::Federation;
use crate::note::VerifierKey;
use own::OwnVotes;
use rules::View;
use seen::Seen;
use std::collections::BTreeSet;

/// What is fixed for one start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's identity key.
    pub identity: VerifierKey,
    /// The lineage in whose founding it takes part, before it belongs to a federation.
    pub lineage: Option<[u8; 16]>,
    /// This directory came out of a backup, or is empty although a manifest names this node: its votes are missing.
    pub restored: bool,
    /// Towers hold the ledger of this member in which its votes are. Those of nobody else are ever acked: its votes leave as soon
    /// as they are durable in its own ledger, and once that is lost it casts none any more.
    pub watched: bool,
}

/// One member's view. Everything that binds is in the store; the rest is read back from it at a start.
pub struct Ceremony<C> {
    settings: Settings,
    chain: Option<Chain>,
    own: OwnVotes,
    seen: Seen,
    /// Own votes may be missing: none is cast.
    missing: bool,
    /// Serials of members' keys that were revoked (R6), by name.
    revoked: BTreeSet<(String, u64)>,
    /// Something is new since it was asked what follows.
    unsettled: bool,
    verifier: Verifier<C>,
}

/// Why an input ended early.
enum Stop {
    Refused(Refused),
    Store(StoreError),
}

impl<E: Into<Refused>> From<E> for Stop {
    fn from(why: E) -> Self {
        Self::Refused(why.into())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One step in progress.
struct Step<'c, C, T> {
    c: &'c mut Ceremony<C>,
    tx: &'c mut T,
    now_seconds: u64,
    out: Outbox<Promise, Free>,
}

impl<C: Check> Ceremony<C> {
    /// Reads back what is durable. `founded` is the chain of the federation that this node belongs to, if it has one beside the
    /// store; newer epochs in the store win.
    ///
    /// After a step that did not commit this is the only way on.
    ///
    /// # Errors
    /// When the store fails or holds something damaged.
    pub fn load<T: Transaction>(
        tx: &mut T,
        settings: Settings,
        founded: Option<Chain>,
        check: C,
    ) -> Result<Self, StoreError> {
        let mut chain = founded;
        let from = chain.as_ref().map_or(0, |c| c.manifest().epoch + 1);
        let damaged = |_| StoreError::Damaged("a manifest of this federation".to_owned());
        let rows = tx.rows(
            Table::Manifests,
            &from.to_be_bytes(),
            super::chain::MAX_EPOCHS,
        )?;
        for (_, json) in rows {
            let link = Link::parse(&json).map_err(damaged)?;
            // Of another federation, to which this directory was going to belong.
            let lineage = chain
                .as_ref()
                .map(|c| c.manifest().lineage)
                .or(settings.lineage);
            if lineage.is_some_and(|lineage| lineage != link.manifest().lineage) {
                continue;
            }
            match &mut chain {
                Some(chain) => chain.take(&link, link.manifest().hash()),
                None => {
                    let manifest = link.manifest().clone();
                    let founded = Federation::new(manifest.hash(), manifest);
                    let founded = founded.map_err(super::GenesisError::from);
                    chain = Some(Chain::from(founded.map_err(damaged)?));
                }
            }
        }
        let missing = tx
            .record(Record::VotesMissing)?
            .is_some_and(|bytes| !bytes.is_empty());
        let mut ceremony = Self {
            missing: missing || settings.restored,
            unsettled: true,
            revoked: BTreeSet::new(),
            settings,
            chain,
            own: OwnVotes::default(),
            seen: Seen::default(),
            verifier: Verifier::new(check),
        };
        ceremony.begin_epoch(tx)?;
        let Some(election) = ceremony.election() else {
            return Ok(ceremony);
        };
        let rows = seen::rows(tx, election.epoch())?;
        let mut step = Step::new(&mut ceremony, tx, 0);
        for (at_seconds, json) in rows {
            step.now_seconds = at_seconds;
            // What is not taken now was kept under another lineage, or by an older program.
            let document = Document::parse(&json);
            match document.map_err(Stop::from).and_then(|d| step.document(d)) {
                Ok(()) | Err(Stop::Refused(_)) => {}
                Err(Stop::Store(error)) => return Err(error),
            }
        }
        Ok(ceremony)
    }

    /// Takes inputs in order. What it returns may be released only as its sorts say; after a commit that failed, this value
    /// must be dropped and loaded again.
    ///
    /// # Errors
    /// When the store fails: nothing may be released, and this value must be loaded again.
    pub fn step<T: Transaction>(
        &mut self,
        now_seconds: u64,
        tx: &mut T,
        inputs: Vec<Input>,
    ) -> Result<Outbox<Promise, Free>, StoreError> {
        let mut step = Step::new(self, tx, now_seconds);
        for (number, input) in inputs.into_iter().enumerate() {
            // What is known already costs nothing more.
            step.c.unsettled |= !matches!(input, Input::Document(_));
            match step.input(input).and_then(|()| step.settle()) {
                Ok(()) => {}
                Err(Stop::Refused(why)) => {
                    step.out.free(Free::Refused { input: number, why });
                }
                Err(Stop::Store(error)) => return Err(error),
            }
        }
        Ok(step.out)
    }

    /// What it remembers of signatures, for the value that is loaded after it.
    #[must_use]
    pub fn into_check(self) -> C {
        self.verifier.check
    }

    /// From now on no commit is taken that one of these serials signed: whoever has the keys could make its member look like a liar.
    /// What was taken before stands. Not kept over a start.
    pub fn set_revoked(&mut self, revoked: BTreeSet<(String, u64)>) {
        self.revoked = revoked;
    }

    fn is_revoked(&self, vote: &Vote) -> bool {
        let certificate = vote
            .certificate()
            .map(|note| Certificate::parse(note.text()));
        certificate.and_then(Result::ok).is_some_and(|certificate| {
            let serial = (certificate.node, certificate.serial);
            self.revoked.contains(&serial)
        })
    }

    /// The chain as this member knows it.
    #[must_use]
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// Everything known of the vote that is on, for whoever was away: manifests first, then what is about them. Own votes are
    /// among it once they may leave.
    #[must_use]
    pub fn documents(&self) -> Vec<Document> {
        self.seen.documents()
    }

    /// The vote that is on: on the next epoch, or on epoch 0.
    #[must_use]
    pub fn election(&self) -> Option<Election<'_>> {
        election(self.chain.as_ref(), &self.settings)
    }

    /// The size of a ledger that covers the first of this node's votes that wait for an acked digest.
    #[must_use]
    pub fn waits_for(&self) -> Option<u64> {
        let waiting = self.own.iter().filter(|(_, own)| !own.released);
        waiting
            .filter_map(|(_, own)| own.index?.checked_add(1))
            .min()
    }

    /// Whether it is a member of epoch N: nobody watches the ledger of anybody else, so no digest of theirs is ever acked.
    fn is_member(&self) -> bool {
        let members = self.chain.iter().flat_map(|c| &c.manifest().members);
        members
            .into_iter()
            .any(|member| member.identity == self.settings.identity)
    }

    fn view(&self) -> Result<View<'_>, Refused> {
        Ok(View {
            election: self.election().ok_or(Refused::NoElection)?,
            settings: &self.settings,
            own: &self.own,
            seen: &self.seen,
            missing: self.missing,
            is_member: self.is_member(),
        })
    }

    fn begin_epoch<T: Transaction>(&mut self, tx: &T) -> Result<(), StoreError> {
        self.seen = Seen::default();
        self.own = match self.election() {
            Some(election) => OwnVotes::load(tx, election.lineage, election.epoch())?,
            None => OwnVotes::default(),
        };
        Ok(())
    }
}

fn election<'a>(chain: Option<&'a Chain>, settings: &Settings) -> Option<Election<'a>> {
    match chain {
        Some(chain) => Some(chain.election()),
        None => settings.lineage.map(Election::founding),
    }
}

impl<'c, C: Check, T: Transaction> Step<'c, C, T> {
    fn new(c: &'c mut Ceremony<C>, tx: &'c mut T, now_seconds: u64) -> Self {
        Self {
            c,
            tx,
            now_seconds,
            out: Outbox::default(),
        }
    }

    fn input(&mut self, input: Input) -> Result<(), Stop> {
        match input {
            Input::Resume => self.resume(),
            Input::Document(document) => self.document(*document),
            Input::Approve {
                manifest,
                round,
                confirm,
            } => self.approve(manifest, round, &confirm),
            Input::Yield { manifest, confirm } => self.give_way(manifest, &confirm),
            Input::Signed(vote) => self.signed(*vote),
            Input::Appended { id, index } => self.appended(id, index),
            Input::ActiveAppended { epoch } => self.active_appended(epoch),
            Input::Acked { size } => self.acked(size),
            Input::Rebuilt(votes) => self.rebuilt(votes),
            Input::Import(record) => self.import(&record),
        }
    }
}
