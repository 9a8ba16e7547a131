//! Strict verifiers for inclusion, consistency and subtree proofs (RFC 9162 §2.1.3.2 and §2.1.4.2, and
//! draft-ietf-plants-merkle-tree-certs §4.4). May not trust a size: it must come from a signed checkpoint.

use super::hash::{Hash, empty_root, node_hash};

/// Why a proof was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the tree size.
    #[error("index {index} is not in a tree of {size} entries")]
    IndexOutsideTree {
        /// Index of the leaf.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The older size is above the newer one.
    #[error("the older size {old} is above the newer size {new}")]
    SizesReversed {
        /// Older size.
        old: u64,
        /// Newer size.
        new: u64,
    },
    /// The range is not a valid subtree of this tree.
    #[error("[{start}, {end}) is not a subtree of a tree of {size} entries")]
    NotASubtree {
        /// First leaf.
        start: u64,
        /// One past the last leaf.
        end: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The proof has too many or too few hashes.
    #[error("the proof has {found} hashes, which does not fit its sizes")]
    WrongLength {
        /// Number of hashes given.
        found: usize,
    },
    /// The recomputed root is another one.
    #[error("the proof leads to another root than the signed one")]
    RootMismatch,
    /// The recomputed older (or subtree) root is another one.
    #[error("the proof leads to another older root than the signed one")]
    OldRootMismatch,
}

/// Checks that `leaf` is entry `index` of the tree of `size` entries with `root`.
///
/// # Errors
/// The reason why it is not proven.
pub fn inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutsideTree { index, size });
    }
    let wrong_length = ProofError::WrongLength { found: proof.len() };
    let (mut fnode, mut snode, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if snode == 0 {
            return Err(wrong_length);
        }
        if fnode % 2 == 1 || fnode == snode {
            hash = node_hash(sibling, &hash);
            while fnode.is_multiple_of(2) && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    if snode != 0 {
        return Err(wrong_length);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// Checks that the tree of `new_size` entries extends the tree of `old_size` entries.
///
/// # Errors
/// The reason why it is not proven.
pub fn consistency(
    old_size: u64,
    new_size: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let wrong_length = ProofError::WrongLength { found: proof.len() };
    if old_size > new_size {
        return Err(ProofError::SizesReversed {
            old: old_size,
            new: new_size,
        });
    }
    if old_size == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRootMismatch);
    }
    if old_size == new_size {
        let same = old_root == new_root;
        return match (proof.is_empty(), same) {
            (false, _) => Err(wrong_length),
            (true, false) => Err(ProofError::RootMismatch),
            (true, true) => Ok(()),
        };
    }
    if old_size == 0 {
        return if proof.is_empty() {
            Ok(())
        } else {
            Err(wrong_length)
        };
    }
    subtree(0, old_size, new_size, old_root, new_root, proof)
}

/// Checks that `subtree_root` is the root of the leaves `[start, end)` of the tree of `size` entries with `root`.
/// With `start` 0 this is a consistency proof.
///
/// # Errors
/// The reason why it is not proven.
pub fn subtree(
    start: u64,
    end: u64,
    size: u64,
    subtree_root: &Hash,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if !is_subtree(start, end) || end > size {
        return Err(ProofError::NotASubtree { start, end, size });
    }
    let wrong_length = ProofError::WrongLength { found: proof.len() };
    let (mut fnode, mut snode, mut tnode) = (start, end - 1, size - 1);
    let shift = |f: &mut u64, s: &mut u64, t: &mut u64| {
        *f >>= 1;
        *s >>= 1;
        *t >>= 1;
    };
    if snode == tnode {
        while fnode != snode {
            shift(&mut fnode, &mut snode, &mut tnode);
        }
    } else {
        while fnode != snode && snode % 2 == 1 {
            shift(&mut fnode, &mut snode, &mut tnode);
        }
    }
    let mut rest = proof.iter();
    let mut small = if fnode == snode {
        *subtree_root
    } else {
        *rest.next().ok_or(wrong_length)?
    };
    let mut large = small;
    for hash in rest {
        if tnode == 0 {
            return Err(wrong_length);
        }
        if snode % 2 == 1 || snode == tnode {
            if fnode < snode {
                small = node_hash(hash, &small);
            }
            large = node_hash(hash, &large);
            while snode.is_multiple_of(2) && snode != 0 {
                shift(&mut fnode, &mut snode, &mut tnode);
            }
        } else {
            large = node_hash(&large, hash);
        }
        shift(&mut fnode, &mut snode, &mut tnode);
    }
    if tnode != 0 {
        return Err(wrong_length);
    }
    if small != *subtree_root {
        return Err(ProofError::OldRootMismatch);
    }
    if large == *root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// Whether `[start, end)` is a subtree that a proof can speak of: not empty, and `start` aligned to the smallest power
/// of two that holds its length.
#[must_use]
pub fn is_subtree(start: u64, end: u64) -> bool {
    end > start && end <= super::MAX_SIZE && start.is_multiple_of((end - start).next_power_of_two())
}
