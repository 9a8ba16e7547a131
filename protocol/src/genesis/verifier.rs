//! Checks of lines and of the certificates that vouch for operational keys, each certificate opened once.
//! May not know who votes.

use super::{Check, GenesisError, Subject};
use crate::cert::{Certificate, Scope};
use crate::note::{SignatureLine, SignedNote, VerifierKey};
use std::collections::BTreeMap;

/// Most certificates that are remembered: some for each of the most members. Beyond it, all are forgotten.
const OPENED_MAX: usize = 1_024;

/// Checks signatures, and remembers which envelope keys are vouched for.
#[derive(Clone, Debug, Default)]
pub struct Verifier<C> {
    pub(super) check: C,
    opened: BTreeMap<String, Opened>,
}

#[derive(Clone, Debug)]
struct Opened {
    identity: VerifierKey,
    scope: Scope,
    envelope: VerifierKey,
}

impl<C: Check> Verifier<C> {
    /// One that checks signatures as `check` does.
    pub fn new(check: C) -> Self {
        Self {
            check,
            opened: BTreeMap::new(),
        }
    }

    /// Verifies that `line` on `text` is `key`'s.
    pub(super) fn line(
        &mut self,
        key: &VerifierKey,
        text: &str,
        line: &SignatureLine,
    ) -> Result<(), GenesisError> {
        if line.name() != key.name() || line.key_id() != key.key_id() {
            return Err(GenesisError::stranger(line));
        }
        if self.check.is_right(key, text, line) {
            return Ok(());
        }
        Err(GenesisError::Signature {
            name: key.name().to_owned(),
        })
    }

    /// The envelope key of a key certificate, which the identity key must have signed, for this federation or lineage.
    pub(super) fn envelope_key(
        &mut self,
        note: &SignedNote,
        identity: &VerifierKey,
        subject: &Subject,
    ) -> Result<VerifierKey, GenesisError> {
        let id = note.to_string();
        if let Some(known) = self.opened.get(&id)
            && known.identity == *identity
        {
            in_scope(known.scope, subject)?;
            return Ok(known.envelope.clone());
        }
        let [line] = note.signatures() else {
            return Err(GenesisError::malformed(
                "certificate",
                "it does not have exactly one signature",
            ));
        };
        self.line(identity, note.text(), line)?;
        let certificate = Certificate::parse(note.text())?;
        let foreign = certificate.node != identity.name();
        let same = |(_, key): (_, &VerifierKey)| key.public_key() == identity.public_key();
        if foreign || certificate.keys().into_iter().any(same) {
            return Err(GenesisError::malformed(
                "certificate",
                "it is for another node, or vouches for the identity key itself",
            ));
        }
        in_scope(certificate.scope, subject)?;
        if self.opened.len() >= OPENED_MAX {
            self.opened.clear();
        }
        let opened = Opened {
            identity: identity.clone(),
            scope: certificate.scope,
            envelope: certificate.envelope.clone(),
        };
        self.opened.insert(id, opened);
        Ok(certificate.envelope)
    }
}

/// A certificate may be for this federation, for its lineage, or from before there was either.
fn in_scope(scope: Scope, subject: &Subject) -> Result<(), GenesisError> {
    let fits = match scope {
        Scope::Unfounded => true,
        Scope::Lineage(lineage) => lineage == subject.lineage,
        Scope::Federation(id) => Some(id) == subject.federation,
    };
    if fits {
        return Ok(());
    }
    Err(GenesisError::malformed(
        "certificate",
        "its keys are for another federation or lineage",
    ))
}
