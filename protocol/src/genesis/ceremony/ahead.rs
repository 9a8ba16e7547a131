//! Signatures of what came, checked before the step that takes it (R9): a step holds up the one writer of a node, and whoever
//! sends many signatures must not. May not keep anything but that a signature is right.

use super::documents::voter;
use super::{Ceremony, Document, Input, Refused, election};
use crate::genesis::chain::Chain;
use crate::genesis::{Check, GenesisError, Verifier};
use crate::manifest::Manifest;
use crate::tlog::hash::Hash;
use std::collections::BTreeMap;

impl<C: Check> Ceremony<C> {
    /// Checks the signatures of documents, so that a [`Check`] that remembers does not check them again in the step. Returns those
    /// with a wrong one, by the place of their input: nothing else about them has to be asked.
    pub fn check_ahead(&mut self, inputs: &[Input]) -> BTreeMap<usize, Refused> {
        let mut wrong = BTreeMap::new();
        let mut brought = BTreeMap::new();
        for (place, input) in inputs.iter().enumerate() {
            let Input::Document(document) = input else {
                continue;
            };
            if let Some(manifest) = manifest_of(document) {
                brought.insert(manifest.hash(), manifest);
            }
            if let Err(error @ GenesisError::Signature { .. }) = self.ahead(document, &brought) {
                wrong.insert(place, Refused::from(error));
            }
        }
        wrong
    }

    /// What else is wrong is for the step to say: it knows what is durable.
    fn ahead(
        &mut self,
        document: &Document,
        brought: &BTreeMap<Hash, &Manifest>,
    ) -> Result<(), GenesisError> {
        let Some(election) = election(self.chain.as_ref(), &self.settings) else {
            return Ok(());
        };
        let (seen, verifier) = (&self.seen, &mut self.verifier);
        let known = |hash: &Hash| {
            let candidate = seen.candidates.get(hash);
            candidate
                .map(|one| &one.manifest)
                .or_else(|| brought.get(hash).copied())
        };
        match document {
            Document::Proposal(proposal) => {
                let hash = proposal.statement().subject.manifest;
                let held = seen.candidates.get(&hash);
                let held =
                    held.is_some_and(|c| c.proposals.values().any(|p| p.proposal == **proposal));
                match held {
                    true => Ok(()),
                    false => proposal.verify(&election, verifier).map(drop),
                }
            }
            Document::Vote(vote) if seen.votes.has(vote) => Ok(()),
            Document::Vote(vote) => {
                let subject = vote.statement().subject;
                election.check_subject(&subject)?;
                match known(&subject.manifest) {
                    Some(manifest) => vote.verify(&voter(&election, manifest, vote)?, verifier),
                    None => Ok(()),
                }
            }
            Document::Certificate(one) => one.verify(&election, verifier),
            Document::Evidence(evidence) => {
                let key = evidence.votes().into_iter().find_map(|vote| {
                    let manifest = known(&vote.statement().subject.manifest)?;
                    voter(&election, manifest, vote).ok()
                });
                key.map_or(Ok(()), |key| evidence.verify(&key, verifier))
            }
            Document::Link(link) => next_epoch(self.chain.as_ref(), link, verifier),
        }
    }
}

fn next_epoch<C: Check>(
    chain: Option<&Chain>,
    link: &crate::genesis::chain::Link,
    verifier: &mut Verifier<C>,
) -> Result<(), GenesisError> {
    match chain {
        // Of other epochs nothing is asked here.
        Some(chain) if link.manifest().epoch != chain.manifest().epoch.saturating_add(1) => Ok(()),
        Some(chain) => chain.clone().extend(link, verifier),
        None => Chain::found(link, verifier).map(drop),
    }
}

fn manifest_of(document: &Document) -> Option<&Manifest> {
    match document {
        Document::Proposal(proposal) => Some(proposal.manifest()),
        Document::Certificate(certificate) => Some(&certificate.manifest),
        Document::Link(link) => Some(link.manifest()),
        Document::Vote(_) | Document::Evidence(_) => None,
    }
}
