//! Bounded trees on `rs_merkle`: a day's digest (R12), an evidence bundle, a roster.
//! Builds only: every proof is checked by [`super::verify`], because the library's own check is not strict.

use super::hash::{Hash, empty_root, leaf_hash, node_hash};
use super::verify::{self, ProofError};
use rs_merkle::{Hasher, MerkleTree};

/// Most leaves of a bounded tree: its nodes are held in memory.
pub const MAX_LEAVES: usize = 65_536;

/// The RFC 6962 hasher: domain-separated, and a lone node is promoted unchanged.
#[derive(Clone)]
struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        leaf_hash(data).0
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        right.map_or(*left, |right| node_hash(&Hash(*left), &Hash(*right)).0)
    }
}

/// A tree of more leaves than [`MAX_LEAVES`] was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{leaves} leaves are too many for a bounded tree: the limit is 65,536")]
pub struct TooManyLeaves {
    /// Leaves asked for.
    pub leaves: usize,
}

/// A Merkle tree over at most [`MAX_LEAVES`] values.
pub struct BoundedTree {
    tree: MerkleTree<Rfc6962>,
    leaves: usize,
}

impl BoundedTree {
    /// Builds the tree over `values`; each is hashed as an RFC 6962 leaf.
    ///
    /// # Errors
    /// When there are too many.
    pub fn build<T: AsRef<[u8]>>(values: &[T]) -> Result<Self, TooManyLeaves> {
        if values.len() > MAX_LEAVES {
            return Err(TooManyLeaves {
                leaves: values.len(),
            });
        }
        let hashes: Vec<[u8; 32]> = values
            .iter()
            .map(|value| leaf_hash(value.as_ref()).0)
            .collect();
        Ok(Self {
            tree: MerkleTree::from_leaves(&hashes),
            leaves: hashes.len(),
        })
    }

    /// Number of leaves.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.leaves as u64
    }

    /// Whether the tree has no leaf.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves == 0
    }

    /// The root; of the empty tree SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root().map_or_else(empty_root, Hash)
    }

    /// The inclusion proof of leaf `index`, leaf to root.
    ///
    /// # Errors
    /// When there is no such leaf.
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, ProofError> {
        // The library returns a junk proof for an index beyond the tree.
        let position = usize::try_from(index)
            .ok()
            .filter(|position| *position < self.leaves);
        let Some(position) = position else {
            return Err(ProofError::IndexOutsideTree {
                index,
                size: self.len(),
            });
        };
        Ok(self
            .tree
            .proof(&[position])
            .proof_hashes()
            .iter()
            .map(|hash| Hash(*hash))
            .collect())
    }
}

/// Checks that `value` is leaf `index` of the bounded tree of `size` leaves with `root`.
///
/// # Errors
/// The reason why it is not proven.
pub fn verify_inclusion(
    value: &[u8],
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    verify::inclusion(&leaf_hash(value), index, size, proof, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_verify_and_junk_is_refused() {
        for n in 0..70u64 {
            let values: Vec<[u8; 8]> = (0..n).map(u64::to_be_bytes).collect();
            let tree = BoundedTree::build(&values).unwrap();
            for (i, value) in (0..n).zip(&values) {
                let mut proof = tree.inclusion(i).unwrap();
                verify_inclusion(value, i, n, &proof, &tree.root()).unwrap();
                proof.push(tree.root());
                assert!(verify_inclusion(value, i, n, &proof, &tree.root()).is_err());
            }
            assert!(tree.inclusion(n).is_err());
        }
        assert_eq!(
            BoundedTree::build::<[u8; 1]>(&[]).unwrap().root(),
            empty_root()
        );
        assert!(BoundedTree::build(&vec![[0u8]; MAX_LEAVES + 1]).is_err());
    }
}
