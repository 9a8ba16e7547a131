//! How signatures are checked: at once, or collected for whoever has more cores. May not decide whose key counts.

use crate::note::{SignatureLine, VerifierKey};
use crate::tlog::hash::{Hash, sha256_parts};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Says whether a signature is right: pure, so that a runtime may have asked ahead (R9).
pub trait Check {
    /// Whether `line` is `key`'s over the note text.
    fn is_right(&mut self, key: &VerifierKey, text: &str, line: &SignatureLine) -> bool;
}

/// Checks each signature when it is met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strict;

impl Check for Strict {
    fn is_right(&mut self, key: &VerifierKey, text: &str, line: &SignatureLine) -> bool {
        key.verify(text, line.signature())
    }
}

/// Checks each signature once: votes travel in certificates and publications again and again.
#[derive(Clone, Debug, Default)]
pub struct Remembering {
    right: BTreeSet<Hash>,
}

/// Most right signatures that are remembered: some elections of the largest federation. Beyond it, all are forgotten.
const REMEMBERED_MAX: usize = 65_536;

impl Check for Remembering {
    fn is_right(&mut self, key: &VerifierKey, text: &str, line: &SignatureLine) -> bool {
        let name_bytes = (key.name().len() as u64).to_le_bytes();
        let id = sha256_parts(&[
            &name_bytes,
            key.name().as_bytes(),
            &[key.algorithm().byte()],
            &(key.public_key().len() as u64).to_le_bytes(),
            key.public_key(),
            &(line.signature().len() as u64).to_le_bytes(),
            line.signature(),
            text.as_bytes(),
        ]);
        if self.right.contains(&id) {
            return true;
        }
        let right = key.verify(text, line.signature());
        if right {
            if self.right.len() >= REMEMBERED_MAX {
                self.right.clear();
            }
            self.right.insert(id);
        }
        right
    }
}

/// One signature to be checked.
#[derive(Clone, Debug)]
pub struct Job {
    key: VerifierKey,
    text: Arc<str>,
    signature: Vec<u8>,
}

impl Job {
    /// Whether it is right.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.key.verify(&self.text, &self.signature)
    }
}

/// Takes every signature for right and keeps it as a [`Job`]: what was concluded stands exactly if all jobs are right.
#[derive(Clone, Debug, Default)]
pub(super) struct Later {
    pub(super) jobs: Vec<Job>,
}

impl Check for Later {
    fn is_right(&mut self, key: &VerifierKey, text: &str, line: &SignatureLine) -> bool {
        // Lines of one note come one after the other.
        let last = self.jobs.last().filter(|job| &*job.text == text);
        let text = last.map_or_else(|| Arc::from(text), |job| Arc::clone(&job.text));
        self.jobs.push(Job {
            key: key.clone(),
            text,
            signature: line.signature().to_vec(),
        });
        true
    }
}
