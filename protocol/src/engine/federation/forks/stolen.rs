//! Digests under a log key that was revoked (R6): one that comes when the revocation acts, and is not of the tree that is held
//! here, shows that somebody else has the key. It is no fork of its owner's. What was held before stays a fork proof.

use super::super::{MemberIx, Turn};
use super::Statement;
use super::heard::is_by;
use crate::cert::{Certificate, key_for_size};
use crate::checkpoint::Checkpoint;
use crate::engine::store::Transaction;
use crate::fork::ForkProof;

impl<T: Transaction> Turn<'_, '_, T> {
    /// The certificate of a statement's key, if that was revoked and the statement is not of the tree that is held here.
    fn stolen_key(&self, origin: MemberIx, statement: &Statement) -> Option<Certificate> {
        let chain = self.settings.members.chain(origin);
        let certificate = key_for_size(chain, statement.size)?;
        let acts = self
            .v
            .revocations
            .acts((origin, certificate.serial), origin);
        let held = self.is_good(origin, statement.size, &statement.root);
        (acts && !held).then(|| certificate.clone())
    }

    /// Whether one of two statements that contradict each other, the newer one last, is by a stolen log key. Then a human is
    /// told.
    pub(super) fn is_by_stolen_log_key(&mut self, origin: MemberIx, both: [&Statement; 2]) -> bool {
        let stolen = |one: &&Statement| Some(((*one).clone(), self.stolen_key(origin, one)?));
        let Some((statement, certificate)) = both.iter().rev().find_map(stolen) else {
            return false;
        };
        let digest = Checkpoint {
            origin: certificate.node.clone(),
            size: statement.size,
            root: statement.root,
        };
        let (key, note) = ((origin, certificate.serial), &statement.note);
        // A store that fails here fails again at the next write, and ends the step.
        let _ = self.compromised(
            key,
            origin,
            &digest,
            note,
            std::slice::from_ref(&certificate.log),
        );
        true
    }

    /// The same for the two notes of a proof that somebody tells.
    pub(super) fn shows_stolen_log_key(&self, origin: MemberIx, proof: &ForkProof) -> bool {
        let notes = [proof.smaller(), proof.larger()];
        notes.into_iter().any(|note| {
            let statement = Statement::stored(&note.to_string());
            statement.is_some_and(|one| self.stolen_key(origin, &one).is_some())
        })
    }

    /// Whether the two cosignatures of a proof are by an ack key whose revocation acts for that ledger here.
    pub(super) fn shows_stolen_ack_key(&self, tower: MemberIx, proof: &ForkProof) -> bool {
        let members = &self.settings.members;
        let origin = proof.origin().ok();
        let Some(origin) = origin.and_then(|name| members.by_name(&name)) else {
            return false;
        };
        let revocations = &self.v.revocations;
        let mut revoked = members.chain(tower).iter();
        revoked.any(|one| {
            let notes = [proof.smaller(), proof.larger()];
            revocations.acts((tower, one.serial), origin)
                && notes.into_iter().all(|note| is_by(note, &one.ack))
        })
    }
}
