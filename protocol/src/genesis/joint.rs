//! Digests across an activation (R14). The digest that makes epoch N+1 count for a ledger covers its `genesis.active` entry and
//! carries the tower quorums of N and of N+1: the joint digest. What N alone acked counts only as a proven prefix of it, so
//! keys of expelled towers are worthless. May not fetch proofs or know which epoch is newest.

use super::ceremony::active_body;
use crate::checkpoint::Checkpoint;
use crate::entry::leaf::{Content, Leaf};
use crate::manifest::Manifest;
use crate::note::SignedNote;
use crate::policy::{Policy, PolicyError, Standing};
use crate::proof_file::TlogProof;
use crate::tlog::hash::{Hash, leaf_hash};
use crate::tlog::verify::{ProofError, consistency, inclusion};
use std::collections::BTreeMap;
use thiserror::Error;

/// Kind of the entry that a joint digest covers.
const ACTIVE_KIND: &str = "genesis.active";

/// Why a digest was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JointError {
    /// A quorum or the log's signature is missing.
    #[error("under the policy of epoch {epoch}: {problem}")]
    Policy {
        /// The epoch whose towers were asked.
        epoch: u64,
        /// What is missing.
        problem: PolicyError,
    },
    /// The entry does not activate this epoch.
    #[error("the entry is not the activation of epoch {0} of this federation")]
    Entry(u64),
    /// Another ledger.
    #[error("the digest is of {0:?}, another ledger")]
    Origin(String),
    /// The entry is not in the tree.
    #[error("the activation is not in the digest: {0}")]
    Inclusion(ProofError),
    /// Two digests are not one history.
    #[error(
        "the digest of {size} entries is not shown to be one history with the joint digest of {joint}: {problem}"
    )]
    Prefix {
        /// Entries of the digest.
        size: u64,
        /// Entries of the joint digest.
        joint: u64,
        /// What is wrong.
        problem: ProofError,
    },
    /// An epoch was left out.
    #[error(
        "epoch {found} does not follow epoch {newest} in this ledger's history; go through every epoch"
    )]
    Gap {
        /// The epoch that came.
        found: u64,
        /// The newest that is known.
        newest: u64,
    },
}

/// What shows that an epoch is active in one ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// The `genesis.active` entry.
    pub entry: Vec<u8>,
    /// Its index.
    pub index: u64,
    /// That it is in the digest.
    pub inclusion: Vec<Hash>,
    /// The joint digest.
    pub digest: SignedNote,
    /// That the digest extends the joint digest of the epoch before; empty for the first.
    pub extends: Vec<Hash>,
}

/// A joint digest that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JointDigest {
    /// The epoch that it makes count.
    pub epoch: u64,
    /// Index of the activation.
    pub index: u64,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// A digest that counts, and by whose quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The epoch whose towers vouch for it.
    pub epoch: u64,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Who signed.
    pub standing: Standing,
}

/// One ledger through the epochs that a verifier knows.
#[derive(Clone, Debug)]
pub struct History {
    origin: String,
    first_epoch: u64,
    policies: Vec<Policy>,
    /// By epoch, those by which receipts are judged, if they are others.
    judging: BTreeMap<u64, Policy>,
    joints: Vec<JointDigest>,
}

impl Activation {
    /// Verifies that the entry activates `next` and that the digest covers it and satisfies `policy`. With the policy of N this
    /// is what a tower that is only in N+1 asks before its first ack for the ledger.
    ///
    /// # Errors
    /// [`JointError`].
    pub fn verify_under(
        &self,
        federation: &Hash,
        next: &Manifest,
        policy: &Policy,
        epoch: u64,
    ) -> Result<Checkpoint, JointError> {
        let wrong = JointError::Entry(next.epoch);
        let leaf = Leaf::parse(&self.entry).map_err(|_| wrong.clone())?;
        let expected = active_body(federation, next.epoch, &next.hash());
        let Content::Body(body) = &leaf.content else {
            return Err(wrong);
        };
        if leaf.kind != ACTIVE_KIND || body.to_canonical() != expected.as_bytes() {
            return Err(wrong);
        }
        let (checkpoint, _) = open(policy, &self.digest, epoch)?;
        let hash = leaf_hash(&self.entry);
        inclusion(
            &hash,
            self.index,
            checkpoint.size,
            &self.inclusion,
            &checkpoint.root,
        )
        .map_err(JointError::Inclusion)?;
        Ok(checkpoint)
    }
}

fn open(
    policy: &Policy,
    note: &SignedNote,
    epoch: u64,
) -> Result<(Checkpoint, Standing), JointError> {
    let opened = policy.open(note);
    opened.map_err(|problem| JointError::Policy { epoch, problem })
}

impl History {
    /// The ledger of `origin` from the epoch on in which it joined, under that epoch's policy.
    #[must_use]
    pub fn new(origin: &str, epoch: u64, policy: Policy) -> Self {
        Self {
            origin: origin.to_owned(),
            first_epoch: epoch,
            policies: vec![policy],
            judging: BTreeMap::new(),
            joints: Vec::new(),
        }
    }

    /// Receipts of an epoch are judged by this policy: one without keys that were revoked. What brought the ledger into an epoch stands.
    pub fn judge_by(&mut self, epoch: u64, policy: Policy) {
        self.judging.insert(epoch, policy);
    }

    /// The newest epoch that counts for this ledger.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.first_epoch + self.joints.len() as u64
    }

    /// The joint digests, one for each epoch after the first.
    #[must_use]
    pub fn joints(&self) -> &[JointDigest] {
        &self.joints
    }

    /// Takes the next epoch: its manifest, which the caller verified along the chain, its policy, and what activated it here.
    ///
    /// # Errors
    /// [`JointError`]; nothing changes then.
    pub fn activate(
        &mut self,
        federation: &Hash,
        next: &Manifest,
        policy: Policy,
        activation: &Activation,
    ) -> Result<&JointDigest, JointError> {
        let newest = self.epoch();
        if newest.checked_add(1) != Some(next.epoch) {
            return Err(JointError::Gap {
                found: next.epoch,
                newest,
            });
        }
        let (old, _) = self.policy(newest);
        let checkpoint = activation.verify_under(federation, next, old, newest)?;
        activation.verify_under(federation, next, &policy, next.epoch)?;
        self.check_origin(&checkpoint)?;
        if let Some(before) = self.joints.last() {
            one_history(&before.checkpoint, &checkpoint, &activation.extends, before)?;
        }
        self.policies.push(policy);
        self.joints.push(JointDigest {
            epoch: next.epoch,
            index: activation.index,
            checkpoint,
        });
        Ok(&self.joints[self.joints.len() - 1])
    }

    /// The sizes between which a digest of `size` needs a consistency proof; `None` before the first amendment.
    #[must_use]
    pub fn link_of(&self, size: u64) -> Option<(u64, u64)> {
        let joint = self.judge_of(size).1?.checkpoint.size;
        Some((size.min(joint), size.max(joint)))
    }

    /// Judges a digest: by the towers of the newest epoch if it extends the newest joint digest; by those of an earlier one only
    /// as a proven prefix of the joint digest that ended it. `link` is the consistency proof of [`History::link_of`].
    ///
    /// # Errors
    /// [`JointError`].
    pub fn judge(&self, note: &SignedNote, link: &[Hash]) -> Result<Judged, JointError> {
        let claimed = Checkpoint::parse(note.text()).map_err(|error| JointError::Policy {
            epoch: self.epoch(),
            problem: error.into(),
        })?;
        self.check_origin(&claimed)?;
        let (epoch, joint) = self.judge_of(claimed.size);
        let (policy, epoch) = self.policy(epoch);
        let policy = self.judging.get(&epoch).unwrap_or(policy);
        let (checkpoint, standing) = open(policy, note, epoch)?;
        if let Some(joint) = joint {
            let (a, b) = (&checkpoint, &joint.checkpoint);
            let (older, newer) = if a.size <= b.size { (a, b) } else { (b, a) };
            one_history(older, newer, link, joint)?;
        }
        Ok(Judged {
            epoch,
            checkpoint,
            standing,
        })
    }

    /// Judges a receipt given in any epoch: its digest, and that the entry is in it.
    ///
    /// # Errors
    /// [`JointError`].
    pub fn judge_receipt(
        &self,
        receipt: &TlogProof,
        leaf: &Hash,
        link: &[Hash],
    ) -> Result<Judged, JointError> {
        let judged = self.judge(receipt.checkpoint(), link)?;
        let Checkpoint { size, root, .. } = &judged.checkpoint;
        inclusion(leaf, receipt.index(), *size, receipt.hashes(), root)
            .map_err(JointError::Inclusion)?;
        Ok(judged)
    }

    /// The epoch whose towers judge a digest of `size`, and the joint digest it must be one history with: the first that is
    /// not smaller ended that epoch; beyond the last, the last began it.
    fn judge_of(&self, size: u64) -> (u64, Option<&JointDigest>) {
        let ended = self.joints.iter().find(|one| size < one.checkpoint.size);
        match ended {
            Some(joint) => (joint.epoch - 1, Some(joint)),
            None => (self.epoch(), self.joints.last()),
        }
    }

    /// The policy of an epoch of this history, with the epoch.
    fn policy(&self, epoch: u64) -> (&Policy, u64) {
        let at = usize::try_from(epoch.saturating_sub(self.first_epoch)).unwrap_or(usize::MAX);
        (&self.policies[at.min(self.policies.len() - 1)], epoch)
    }

    fn check_origin(&self, checkpoint: &Checkpoint) -> Result<(), JointError> {
        if checkpoint.origin == self.origin {
            return Ok(());
        }
        Err(JointError::Origin(checkpoint.origin.clone()))
    }
}

fn one_history(
    older: &Checkpoint,
    newer: &Checkpoint,
    proof: &[Hash],
    joint: &JointDigest,
) -> Result<(), JointError> {
    let size = if *older == joint.checkpoint {
        newer.size
    } else {
        older.size
    };
    consistency(older.size, newer.size, &older.root, &newer.root, proof).map_err(|problem| {
        JointError::Prefix {
            size,
            joint: joint.checkpoint.size,
            problem,
        }
    })
}
