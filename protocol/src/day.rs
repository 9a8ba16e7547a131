//! Day digests (R12): one root for everything that was sequenced while the node's clock showed one UTC day.
//! The day's maximal aligned subtrees are nodes of the ledger's own tree, so a day is provable against any digest.

use crate::tlog::bounded::{self, BoundedTree};
use crate::tlog::compact::{CompactRange, Node};
use crate::tlog::hash::{Hash, sha256_parts};
use crate::tlog::verify::ProofError;

/// The leaf value of one subtree: `SHA-256("belfry/day/v1\0" ‖ u64 start ‖ u64 end ‖ subtree root)`, big-endian.
#[must_use]
pub fn subtree_value(node: &Node) -> Hash {
    sha256_parts(&[
        b"belfry/day/v1\0",
        &node.start().to_be_bytes(),
        &node.end().to_be_bytes(),
        node.hash.as_bytes(),
    ])
}

/// The root of the day whose entries are `range`; of an empty day the empty root.
#[must_use]
pub fn day_root(range: &CompactRange) -> Hash {
    tree(range).map_or_else(crate::tlog::hash::empty_root, |tree| tree.root())
}

/// The proof that one of the day's subtrees is under its root.
///
/// # Errors
/// When there is no such subtree.
pub fn subtree_proof(range: &CompactRange, position: u64) -> Result<Vec<Hash>, ProofError> {
    match tree(range) {
        Some(tree) => tree.inclusion(position),
        None => Err(ProofError::IndexOutsideTree {
            index: position,
            size: 0,
        }),
    }
}

/// Checks that `node` is subtree `position` of `count` of the day with `root`.
///
/// # Errors
/// The reason why it is not proven.
pub fn verify_subtree(
    node: &Node,
    position: u64,
    count: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    bounded::verify_inclusion(subtree_value(node).as_bytes(), position, count, proof, root)
}

/// At most 126 subtrees, so the tree always fits.
fn tree(range: &CompactRange) -> Option<BoundedTree> {
    let values: Vec<[u8; 32]> = range
        .nodes()
        .iter()
        .map(|node| subtree_value(node).0)
        .collect();
    BoundedTree::build(&values).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::hash::{empty_root, leaf_hash};

    #[test]
    fn a_day_is_its_subtrees() {
        assert_eq!(day_root(&CompactRange::empty_at(5)), empty_root());
        let mut range = CompactRange::empty_at(3);
        for i in 3..21u64 {
            range.push(leaf_hash(&i.to_be_bytes()), |_| {});
        }
        let count = range.nodes().len() as u64;
        for (position, node) in (0..).zip(range.nodes()) {
            let proof = subtree_proof(&range, position).unwrap();
            verify_subtree(node, position, count, &proof, &day_root(&range)).unwrap();
            let moved = Node {
                index: node.index + 1,
                ..*node
            };
            assert!(verify_subtree(&moved, position, count, &proof, &day_root(&range)).is_err());
        }
    }
}
