//! Fork proofs (R5): one file that shows offline that a log, or a tower, signed two trees that cannot both be true.
//! May not call anything a fork that does not recompute exactly.

mod json;
mod verify;

pub use json::{FORK_FORMAT, MAX_FORK_BYTES};
pub use verify::{Fork, smaller_root};

use crate::cert::{CertError, MAX_CHAIN_CERTIFICATES};
use crate::checkpoint::{Checkpoint, CheckpointError, ForeignCheckpoint};
use crate::note::{NoteError, SignedNote};
use crate::tlog::MAX_PROOF_HASHES;
use crate::tlog::hash::{Hash, sha256};
use std::cmp::Ordering;
use thiserror::Error;

/// Media type of a fork proof.
pub const FORK_MEDIA_TYPE: &str = "application/vnd.belfry.fork+json";

/// Whose two signatures contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForkKind {
    /// Two signatures of the log itself.
    Origin,
    /// Two cosignatures by one key of a tower.
    Tower,
}

impl ForkKind {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Tower => "tower",
        }
    }
}

/// A well-formed fork proof. It proves nothing until verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForkProof {
    kind: ForkKind,
    smaller: SignedNote,
    larger: SignedNote,
    nodes: Vec<Hash>,
    certificates: Vec<SignedNote>,
}

/// Why a fork proof was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForkError {
    /// The file does not have the canonical form.
    #[error("malformed fork proof: {0}")]
    Malformed(&'static str),
    /// A note in it was refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A checkpoint in it was refused.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A certificate in it was refused.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// The signatures are not of the accused, or not by keys the verifier trusts.
    #[error("the fork proof accuses nobody known: {0}")]
    Signer(&'static str),
    /// The nodes do not lead to the larger root, so they show nothing.
    #[error("the nodes do not recompute the larger root exactly")]
    LargerRoot,
    /// The two checkpoints agree.
    #[error("the two checkpoints are consistent: this is no fork")]
    Consistent,
}

impl ForkProof {
    /// Puts a proof together from two notes in any order.
    ///
    /// For sizes 0 < m < n, `nodes` is SUBPROOF(m, D\[n\], false) of the larger tree, always with its starting node;
    /// otherwise it is empty. `certificates` is the accused node's chain, or empty if the verifier knows the keys.
    ///
    /// # Errors
    /// [`ForkError`] if the notes are no checkpoints of one origin, or the nodes do not fit the sizes.
    pub fn build(
        kind: ForkKind,
        one: SignedNote,
        other: SignedNote,
        nodes: Vec<Hash>,
        certificates: Vec<SignedNote>,
    ) -> Result<Self, ForkError> {
        let (a, b) = (read(&one)?, read(&other)?);
        if a.origin != b.origin {
            return Err(ForkError::Malformed("the checkpoints are of two logs"));
        }
        if certificates.len() > MAX_CHAIN_CERTIFICATES {
            return Err(ForkError::Malformed("more than 256 certificates"));
        }
        // One order for each pair: by size, then by text, then by signatures.
        let order = a
            .size
            .cmp(&b.size)
            .then_with(|| one.text().cmp(other.text()));
        let order = order.then_with(|| one.signatures().cmp(other.signatures()));
        let (smaller, larger, small_size, large_size) = match order {
            Ordering::Greater => (other, one, b.size, a.size),
            Ordering::Less | Ordering::Equal => (one, other, a.size, b.size),
        };
        let has_nodes = small_size != 0 && small_size != large_size;
        if nodes.is_empty() == has_nodes || nodes.len() > MAX_PROOF_HASHES + 1 {
            return Err(ForkError::Malformed(
                "there are nodes exactly if the sizes differ and neither is 0",
            ));
        }
        let proof = Self {
            kind,
            smaller,
            larger,
            nodes,
            certificates,
        };
        if proof.to_json().len() > MAX_FORK_BYTES {
            return Err(ForkError::Malformed("it is larger than 786,432 bytes"));
        }
        Ok(proof)
    }

    /// Whose signatures contradict each other.
    #[must_use]
    pub fn kind(&self) -> ForkKind {
        self.kind
    }

    /// The note of the smaller size, or of equal size the one that sorts first.
    #[must_use]
    pub fn smaller(&self) -> &SignedNote {
        &self.smaller
    }

    /// The other note.
    #[must_use]
    pub fn larger(&self) -> &SignedNote {
        &self.larger
    }

    /// Nodes of the larger tree, empty unless 0 < m < n.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// The accused node's certificates, oldest first; may be empty.
    #[must_use]
    pub fn certificates(&self) -> &[SignedNote] {
        &self.certificates
    }

    /// Origin of the forked log.
    ///
    /// # Errors
    /// None in a proof that was built or parsed; the form is checked there.
    pub fn origin(&self) -> Result<String, ForkError> {
        Ok(read(&self.smaller)?.origin)
    }

    /// Sizes of the smaller and of the larger checkpoint.
    ///
    /// # Errors
    /// As [`ForkProof::origin`].
    pub fn sizes(&self) -> Result<(u64, u64), ForkError> {
        Ok((read(&self.smaller)?.size, read(&self.larger)?.size))
    }

    /// SHA-256 of the canonical file, by which the same proof is recognised.
    #[must_use]
    pub fn digest(&self) -> Hash {
        sha256(self.to_json().as_bytes())
    }
}

/// Reads a checkpoint as leniently as a liar could have signed it: with extension lines and any root for size 0.
fn read(note: &SignedNote) -> Result<ForeignCheckpoint, ForkError> {
    Ok(Checkpoint::parse_foreign(note.text())?)
}
