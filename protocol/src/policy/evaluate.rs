//! Judges a checkpoint note by a policy: the log's signature, then the quorum over distinct public keys.
//! May not judge how old a cosignature is.

use super::{Policy, PolicyError, Witness};
use crate::checkpoint::Checkpoint;
use crate::cosignature::timestamp;
use crate::note::{NoteError, SignedNote, VerifierKey, verify_note};
use std::collections::BTreeSet;

/// A witness whose cosignature counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// Its name inside the policy.
    pub name: String,
    /// The newest time it claims on this note, in seconds since 1970.
    pub timestamp_seconds: u64,
}

/// How a checkpoint stands under a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Keys of the log that signed; at least one.
    pub log_keys: Vec<VerifierKey>,
    /// Witnesses whose cosignature verified, in the order of the policy, whether the quorum needed them or not.
    pub counted: Vec<Counted>,
}

impl Policy {
    /// Opens a checkpoint note: a log of the policy signed it under its own origin, and the quorum cosigned it.
    ///
    /// # Errors
    /// [`PolicyError::UnknownLog`], [`PolicyError::NoLogSignature`], [`PolicyError::NoQuorum`], a wrong signature by a
    /// known key, or a malformed checkpoint.
    pub fn open(&self, note: &SignedNote) -> Result<(Checkpoint, Standing), PolicyError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let standing = self.evaluate(note, &checkpoint.origin)?;
        if let Some(quorum) = &self.quorum {
            let names: BTreeSet<&str> = standing
                .counted
                .iter()
                .map(|counted| counted.name.as_str())
                .collect();
            if !self.is_satisfied(&names) {
                let counted = standing
                    .counted
                    .iter()
                    .map(|counted| counted.name.clone())
                    .collect();
                return Err(PolicyError::NoQuorum {
                    quorum: quorum.clone(),
                    counted,
                });
            }
        }
        Ok((checkpoint, standing))
    }

    /// Verifies the log's signature and collects who cosigned, without asking whether they are enough.
    ///
    /// # Errors
    /// As [`Policy::open`], except for [`PolicyError::NoQuorum`].
    pub fn evaluate(&self, note: &SignedNote, origin: &str) -> Result<Standing, PolicyError> {
        let log_keys: Vec<VerifierKey> = self
            .logs
            .iter()
            .filter(|log| log.key.name() == origin)
            .map(|log| log.key.clone())
            .collect();
        if log_keys.is_empty() {
            return Err(PolicyError::UnknownLog(origin.to_owned()));
        }
        let log_keys = match verify_note(note, &log_keys) {
            Ok(verified) => log_keys
                .iter()
                .filter(|key| verified.iter().any(|line| line.key == *key))
                .cloned()
                .collect(),
            Err(NoteError::NoKnownSignature) => {
                return Err(PolicyError::NoLogSignature(origin.to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Standing {
            log_keys,
            counted: self.count(note)?,
        })
    }

    /// Whether these witnesses reach the quorum. Names that are no witness of the policy do not count.
    #[must_use]
    pub fn is_satisfied(&self, witnesses: &BTreeSet<&str>) -> bool {
        let Some(quorum) = &self.quorum else {
            return true;
        };
        let mut standing: BTreeSet<&str> = self
            .witnesses
            .iter()
            .map(|witness| witness.name.as_str())
            .filter(|name| witnesses.contains(name))
            .collect();
        // Groups name earlier ones only, so one pass in order settles them all.
        for group in &self.groups {
            let reached = group
                .members
                .iter()
                .filter(|member| standing.contains(member.as_str()))
                .count();
            if reached >= group.threshold {
                standing.insert(&group.name);
            }
        }
        standing.contains(quorum.as_str())
    }

    /// The witnesses whose lines verify. A known witness's wrong line refuses the note.
    fn count(&self, note: &SignedNote) -> Result<Vec<Counted>, PolicyError> {
        let keys: Vec<VerifierKey> = self
            .witnesses
            .iter()
            .map(|witness| witness.key.clone())
            .collect();
        let verified = match verify_note(note, &keys) {
            Ok(verified) => verified,
            Err(NoteError::NoKnownSignature) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let newest = |witness: &Witness| {
            let own = verified.iter().filter(|line| *line.key == witness.key);
            // A time of 0 is a log's own ML-DSA signature and no cosignature.
            let newest = own
                .filter_map(|line| timestamp(line.line))
                .filter(|time| *time > 0)
                .max()?;
            Some(Counted {
                name: witness.name.clone(),
                timestamp_seconds: newest,
            })
        };
        Ok(self.witnesses.iter().filter_map(newest).collect())
    }
}
