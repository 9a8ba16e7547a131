//! One member on its own, driven by hand.

use crate::fixture::{
    CREATED, LINEAGE, Shared, amendment, federation, founding, proposal, settings, signed, vote,
};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::genesis::ceremony::{
    Ceremony, Document, Free, Input, Promise, Refused, Settings, confirmation,
};
use belfry_protocol::genesis::chain::Chain;
use belfry_protocol::genesis::{Election, Saying};
use belfry_protocol::manifest::{Federation, Manifest};

/// One member on its own, driven by hand.
pub(crate) struct One {
    pub(crate) store: MemStore,
    pub(crate) ceremony: Ceremony<Shared>,
    pub(crate) base: Option<Federation>,
    pub(crate) now_seconds: u64,
}

impl One {
    pub(crate) fn new(base: Option<Federation>, settings: Settings) -> Self {
        let mut store = MemStore::default();
        let mut tx = store.begin();
        let ceremony = Ceremony::load(
            &mut tx,
            settings,
            base.clone().map(Chain::from),
            Shared::new(),
        )
        .unwrap();
        drop(tx);
        Self {
            store,
            ceremony,
            base,
            now_seconds: CREATED,
        }
    }

    pub(crate) fn amending() -> Self {
        Self::new(Some(federation(&[0, 1, 2, 3])), settings(0))
    }

    pub(crate) fn founding() -> Self {
        Self::new(None, settings(0))
    }

    pub(crate) fn election(&self) -> Election<'_> {
        match &self.base {
            Some(federation) => Election::amending(federation.id(), federation.manifest()),
            None => Election::founding(LINEAGE),
        }
    }

    /// Takes an input; what it promised, or why it was refused.
    pub(crate) fn take(&mut self, input: Input) -> Result<Vec<Promise>, Refused> {
        let mut tx = self.store.begin();
        let mut out = self
            .ceremony
            .step(self.now_seconds, &mut tx, vec![input])
            .unwrap();
        let free = out.take_free();
        let proof = tx.commit().unwrap();
        let refused = free.into_iter().find_map(|one| match one {
            Free::Refused { why, .. } => Some(why),
            _ => None,
        });
        match refused {
            Some(why) => Err(why),
            None => Ok(out.release(&proof)),
        }
    }

    pub(crate) fn hear(&mut self, document: Document) -> Result<Vec<Promise>, Refused> {
        self.take(Input::Document(Box::new(document)))
    }

    pub(crate) fn propose(&mut self, by: usize, manifest: &Manifest, round: u64) {
        let made = proposal(by, &self.election(), manifest, round);
        self.hear(Document::Proposal(Box::new(made))).unwrap();
    }

    pub(crate) fn say(
        &mut self,
        by: usize,
        manifest: &Manifest,
        round: u64,
        saying: Saying,
    ) -> Result<Vec<Promise>, Refused> {
        let made = vote(by, &self.election(), manifest, round, saying);
        self.hear(Document::Vote(Box::new(made)))
    }

    pub(crate) fn approve(
        &mut self,
        manifest: &Manifest,
        round: u64,
    ) -> Result<Vec<Promise>, Refused> {
        let hash = manifest.hash();
        self.take(Input::Approve {
            manifest: hash,
            round,
            confirm: confirmation(manifest.epoch, &hash),
        })
    }

    /// Signs what is asked, appends it at `index`, and lets it be acked.
    pub(crate) fn sign(&mut self, promises: &[Promise], index: u64) -> Vec<Promise> {
        let mut after = Vec::new();
        for promise in promises {
            if let Promise::Sign { statement, id, .. } = promise {
                let vote = Box::new(signed(0, statement));
                after.extend(self.take(Input::Signed(vote)).unwrap());
                after.extend(self.take(Input::Appended { id: *id, index }).unwrap());
            }
        }
        after
    }

    pub(crate) fn restart(&mut self, settings: Settings) {
        let mut tx = self.store.begin();
        let base = self.base.clone();
        self.ceremony =
            Ceremony::load(&mut tx, settings, base.map(Chain::from), Shared::new()).unwrap();
        let _ = tx.commit().unwrap();
    }
}

pub(crate) fn sends(promises: &[Promise]) -> usize {
    let sends = promises.iter().filter(|p| matches!(p, Promise::Send(_)));
    sends.count()
}

/// Two amendments of the same four members.
pub(crate) fn two() -> (Manifest, Manifest) {
    let base = founding(&[0, 1, 2, 3], 0);
    let make = |variant| amendment(&base, &[0, 1, 2, 3], variant);
    (make(1), make(2))
}
