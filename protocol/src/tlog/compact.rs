//! Compact ranges: the roots of the maximal aligned subtrees of a leaf range `[start, end)`.
//! The range from 0 is a ledger's right edge; a range from elsewhere is a day's content (R12).
//! Holds at most 126 hashes, never a tree.

use super::hash::{Hash, empty_root, node_hash};

/// A complete subtree: the leaves `[index << height, (index + 1) << height)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Height above the leaves, 0 to 63.
    pub height: u8,
    /// Position among the subtrees of this height.
    pub index: u64,
    /// Root of the subtree.
    pub hash: Hash,
}

impl Node {
    /// First leaf covered.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.index << self.height
    }

    /// One past the last leaf covered.
    #[must_use]
    pub fn end(&self) -> u64 {
        (self.index + 1) << self.height
    }
}

/// The maximal aligned subtrees of `[start, end)`, in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CompactRange {
    start: u64,
    end: u64,
    nodes: Vec<Node>,
}

impl CompactRange {
    /// The empty range at `start`.
    #[must_use]
    pub fn empty_at(start: u64) -> Self {
        Self {
            start,
            end: start,
            nodes: Vec::new(),
        }
    }

    /// Rebuilds a range from its node hashes, in order; `None` if their number is wrong.
    #[must_use]
    pub fn from_hashes(start: u64, end: u64, hashes: &[Hash]) -> Option<Self> {
        let shape = aligned_subtrees(start, end)?;
        if shape.len() != hashes.len() {
            return None;
        }
        let nodes = shape
            .into_iter()
            .zip(hashes)
            .map(|((height, index), hash)| Node {
                height,
                index,
                hash: *hash,
            })
            .collect();
        Some(Self { start, end, nodes })
    }

    /// First leaf of the range.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// One past the last leaf: for a range from 0, the size of the tree.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The subtrees, in order of their leaves.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Appends one leaf. `completed` sees every subtree of height 1 and more that this leaf completes within the range,
    /// lowest first. Returns the largest of them (or the leaf itself).
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(&Node)) -> Node {
        let mut node = Node {
            height: 0,
            index: self.end,
            hash: leaf,
        };
        while node.index % 2 == 1 {
            let Some(left) = self.nodes.last().filter(|left| left.height == node.height) else {
                break;
            };
            node = Node {
                height: node.height + 1,
                index: node.index / 2,
                hash: node_hash(&left.hash, &node.hash),
            };
            self.nodes.pop();
            completed(&node);
        }
        self.nodes.push(node);
        self.end += 1;
        node
    }

    /// Takes over a subtree that ends one leaf past this range's end and begins within it: what a `push` of that leaf
    /// would have computed, without hashing again. The caller guarantees that it belongs to the same tree.
    pub fn absorb(&mut self, node: Node) {
        debug_assert!(node.start() >= self.start && node.end() == self.end + 1);
        while self
            .nodes
            .last()
            .is_some_and(|last| last.start() >= node.start())
        {
            self.nodes.pop();
        }
        self.nodes.push(node);
        self.end = node.end();
    }

    /// Root of the range, splitting as RFC 6962 does: of a range from 0, the root of the tree of that size.
    /// Meaningless as a tree root for other ranges.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else {
            return empty_root();
        };
        nodes.fold(last.hash, |right, left| node_hash(&left.hash, &right))
    }
}

/// Height and index of the maximal aligned subtrees of `[start, end)`, in order; `None` if `end < start`.
#[must_use]
pub fn aligned_subtrees(start: u64, end: u64) -> Option<Vec<(u8, u64)>> {
    if end < start || end > super::MAX_SIZE {
        return None;
    }
    let mut shape = Vec::new();
    let mut at = start;
    while at < end {
        let fits = 63 - (end - at).leading_zeros();
        let height = at.trailing_zeros().min(fits);
        shape.push((u8::try_from(height).ok()?, at >> height));
        at += 1 << height;
    }
    Some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::hash::leaf_hash;
    use proptest::prelude::*;

    fn mth(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => empty_root(),
            1 => leaves[0],
            n => {
                let split = n.next_power_of_two() / 2;
                node_hash(&mth(&leaves[..split]), &mth(&leaves[split..]))
            }
        }
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    proptest! {
        #[test]
        fn root_is_the_rfc_6962_root(n in 0u64..600) {
            let leaves = leaves(n);
            let mut range = CompactRange::default();
            for leaf in &leaves { range.push(*leaf, |_| {}); }
            prop_assert_eq!(range.root(), mth(&leaves));
        }

        #[test]
        fn any_range_holds_the_aligned_subtrees(a in 0u64..300, len in 0u64..300) {
            let all = leaves(a + len);
            let mut whole = CompactRange::default();
            let mut part = CompactRange::empty_at(a);
            let mut pushed = CompactRange::empty_at(a);
            for (i, leaf) in (0u64..).zip(&all) {
                let mut largest = Node { height: 0, index: i, hash: *leaf };
                whole.push(*leaf, |node| if node.start() >= a { largest = *node });
                if i >= a { part.absorb(largest); pushed.push(*leaf, |_| {}); }
            }
            prop_assert_eq!(&part, &pushed);
            let hashes: Vec<Hash> = part.nodes().iter().map(|node| node.hash).collect();
            prop_assert_eq!(CompactRange::from_hashes(a, a + len, &hashes), Some(part.clone()));
            for node in part.nodes() {
                let (s, e) = (usize::try_from(node.start()).unwrap(), usize::try_from(node.end()).unwrap());
                prop_assert_eq!(node.hash, mth(&all[s..e]));
            }
            prop_assert!(part.nodes().len() <= 126);
        }
    }
}
