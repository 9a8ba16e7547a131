//! The judgement of a fork proof, exactly as R5 says. May not read anything but the proof and the trusted keys.

use super::{ForkError, ForkKind, ForkProof, read};
use crate::cert::{Certificate, key_for_size, verify_chain};
use crate::checkpoint::ForeignCheckpoint;
use crate::note::{Algorithm, SignedNote, VerifierKey, verify_note};
use crate::tlog::hash::{Hash, empty_root, node_hash};

/// A proven fork.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fork {
    /// Whose signatures contradict each other.
    pub kind: ForkKind,
    /// Origin of the forked log.
    pub origin: String,
    /// Key that signed the smaller checkpoint.
    pub smaller_key: VerifierKey,
    /// Key that signed the larger one; of type `tower`, the same key.
    pub larger_key: VerifierKey,
    /// Size of the smaller checkpoint.
    pub smaller_size: u64,
    /// Size of the larger one; may be equal.
    pub larger_size: u64,
}

impl ForkProof {
    /// Verifies the proof with the keys that the verifier already trusts: the accused's log or cosigner key, or, if the
    /// proof carries certificates, its identity key.
    ///
    /// # Errors
    /// [`ForkError`]; only `Ok` means that somebody is a liar.
    pub fn verify(&self, trusted: &[VerifierKey]) -> Result<Fork, ForkError> {
        let (smaller, larger) = (read(&self.smaller)?, read(&self.larger)?);
        let chain = self.chain(trusted)?;
        let find = |note: &SignedNote, checkpoint: &ForeignCheckpoint| match self.kind {
            ForkKind::Origin => log_key(note, checkpoint, trusted, &chain),
            ForkKind::Tower => self.tower_key(trusted, &chain),
        };
        let (smaller_key, larger_key) =
            (find(&self.smaller, &smaller)?, find(&self.larger, &larger)?);
        contradict(&smaller, &larger, &self.nodes)?;
        let (smaller_size, larger_size) = (smaller.size, larger.size);
        Ok(Fork {
            kind: self.kind,
            origin: smaller.origin,
            smaller_key,
            larger_key,
            smaller_size,
            larger_size,
        })
    }

    /// The verified chain in the proof; empty if it carries none.
    fn chain(&self, trusted: &[VerifierKey]) -> Result<Vec<Certificate>, ForkError> {
        let Some(first) = self.certificates.first() else {
            return Ok(Vec::new());
        };
        let node = Certificate::parse(first.text())?.node;
        let mut refused = ForkError::Signer("no trusted key is the identity in the certificates");
        let is_identity =
            |key: &&VerifierKey| key.name() == node && key.algorithm() == Algorithm::Ed25519;
        for identity in trusted.iter().filter(is_identity) {
            match verify_chain(identity, &self.certificates) {
                Ok(chain) => return Ok(chain),
                Err(error) => refused = error.into(),
            }
        }
        Err(refused)
    }

    /// The one cosigner key with a valid line on both notes: two keys of a tower do not contradict each other (R3).
    fn tower_key(
        &self,
        trusted: &[VerifierKey],
        chain: &[Certificate],
    ) -> Result<VerifierKey, ForkError> {
        let from_chain = chain
            .iter()
            .flat_map(|certificate| [&certificate.ack, &certificate.mirror]);
        let mut keys = trusted
            .iter()
            .filter(|key| key.algorithm() != Algorithm::Ed25519)
            .chain(from_chain);
        let on_both = |key: &&VerifierKey| {
            let key = std::slice::from_ref(*key);
            [&self.smaller, &self.larger].into_iter().all(|note| {
                let lines = verify_note(note, key).unwrap_or_default();
                // A time of 0 is a log's own ML-DSA signature, not a cosignature.
                lines.iter().any(|line| {
                    crate::cosignature::timestamp(line.line).is_some_and(|time| time > 0)
                })
            })
        };
        let key = keys
            .find(on_both)
            .ok_or(ForkError::Signer("no known cosigner key signed both notes"))?;
        Ok(key.clone())
    }
}

/// The log key that signed this note: one the verifier trusts, or the one certified for this size.
fn log_key(
    note: &SignedNote,
    checkpoint: &ForeignCheckpoint,
    trusted: &[VerifierKey],
    chain: &[Certificate],
) -> Result<VerifierKey, ForkError> {
    let certified = key_for_size(chain, checkpoint.size).map(|certificate| &certificate.log);
    let mut keys = trusted
        .iter()
        .filter(|key| key.algorithm() != Algorithm::CosignatureV1)
        .chain(certified)
        .filter(|key| key.name() == checkpoint.origin);
    let signed = |key: &&VerifierKey| verify_note(note, std::slice::from_ref(*key)).is_ok();
    let key = keys.find(signed).ok_or(ForkError::Signer(
        "no known log key signed one of the notes",
    ))?;
    Ok(key.clone())
}

/// Whether the two checkpoints cannot both be true.
fn contradict(
    smaller: &ForeignCheckpoint,
    larger: &ForeignCheckpoint,
    nodes: &[Hash],
) -> Result<(), ForkError> {
    let true_root = if smaller.size == larger.size {
        larger.root
    } else if smaller.size == 0 {
        // Every tree starts empty, so the larger checkpoint says nothing that matters here.
        empty_root()
    } else {
        smaller_root(smaller.size, larger.size, nodes, &larger.root).ok_or(ForkError::LargerRoot)?
    };
    if true_root == smaller.root {
        Err(ForkError::Consistent)
    } else {
        Ok(())
    }
}

/// The root at size `m` of the tree with `n` entries and root `root`, out of SUBPROOF(m, D\[n\], false).
///
/// `None` unless 0 < m < n and the nodes recompute `root` exactly. As RFC 9162 §2.1.4.2, except that the nodes always
/// begin with the starting node.
#[must_use]
pub fn smaller_root(m: u64, n: u64, nodes: &[Hash], root: &Hash) -> Option<Hash> {
    if m == 0 || m >= n {
        return None;
    }
    let (first, rest) = nodes.split_first()?;
    let (mut fnode, mut snode) = (m - 1, n - 1);
    while fnode % 2 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut small, mut large) = (*first, *first);
    for node in rest {
        if snode == 0 {
            return None;
        }
        if fnode % 2 == 1 || fnode == snode {
            small = node_hash(node, &small);
            large = node_hash(node, &large);
            while fnode.is_multiple_of(2) && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            large = node_hash(&large, node);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    (snode == 0 && large == *root).then_some(small)
}
