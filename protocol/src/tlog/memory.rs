//! A whole tree in memory, as a source of tiles: for demonstrations, conformance tests and small logs. May not hold a ledger:
//! it grows with every entry, and each tile above the lowest level is computed when it is asked for.

use super::compact::CompactRange;
use super::hash::Hash;
use super::proof::{BuildError, TileSource, TreeReader};
use super::tile::{TILE_WIDTH, Tile};
use super::verify::ProofError;
use std::convert::Infallible;

/// Leaf hashes, in order.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    leaves: Vec<Hash>,
}

impl MemoryTree {
    /// The tree of these leaf hashes.
    #[must_use]
    pub fn new(leaves: Vec<Hash>) -> Self {
        Self { leaves }
    }

    /// Adds a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.leaves.push(leaf);
    }

    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Root of the first `size` entries, or of all if there are fewer.
    #[must_use]
    pub fn root(&self, size: u64) -> Hash {
        self.subtree(0, size)
    }

    /// PROOF(old, D\[new\]) of RFC 6962 §2.1.2.
    ///
    /// # Errors
    /// When there are not so many entries, or `old` is above `new`.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ProofError> {
        proof(self.reader(new)?.consistency(old))
    }

    /// The proof that `[start, end)` is a subtree of the first `size` entries.
    ///
    /// # Errors
    /// When there are not so many entries, or it is no subtree.
    pub fn subtree_proof(&self, start: u64, end: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
        proof(self.reader(size)?.subtree(start, end))
    }

    fn reader(&self, size: u64) -> Result<TreeReader<'_, Self>, ProofError> {
        if size > self.size() {
            let (old, new) = (size, self.size());
            return Err(ProofError::SizesReversed { old, new });
        }
        Ok(TreeReader::new(self, size))
    }

    fn subtree(&self, from: u64, to: u64) -> Hash {
        let at = |index: u64| {
            usize::try_from(index)
                .unwrap_or(usize::MAX)
                .min(self.leaves.len())
        };
        let mut range = CompactRange::empty_at(from);
        for leaf in &self.leaves[at(from)..at(to)] {
            range.push(*leaf, |_| {});
        }
        range.root()
    }
}

/// Nothing but a wrong range can fail: tiles are always there, and as wide as asked for.
fn proof(built: Result<Vec<Hash>, BuildError<Infallible>>) -> Result<Vec<Hash>, ProofError> {
    built.map_err(|error| match error {
        BuildError::Range(error) => error,
        BuildError::WrongWidth { found, .. } => ProofError::WrongLength { found },
        BuildError::Source(never) => match never {},
    })
}

impl TileSource for MemoryTree {
    type Error = Infallible;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Infallible> {
        // Entries under one hash of this level; a level that no tree reaches has none.
        let under = TILE_WIDTH
            .checked_pow(u32::from(tile.level))
            .unwrap_or(u64::MAX);
        let first = tile.index.saturating_mul(TILE_WIDTH);
        let hash = |position: u16| {
            let from = first.saturating_add(position.into()).saturating_mul(under);
            self.subtree(from, from.saturating_add(under))
        };
        Ok((0..tile.width).map(hash).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::hash::leaf_hash;
    use crate::tlog::verify;

    #[test]
    fn proofs_of_a_tree_in_memory_verify() {
        let mut tree = MemoryTree::default();
        for number in 0..70_000_u32 {
            tree.push(leaf_hash(&number.to_le_bytes()));
        }
        for (old, new) in [
            (1, 2),
            (255, 257),
            (256, 512),
            (300, 70_000),
            (65_536, 65_537),
        ] {
            let mut reader = TreeReader::new(&tree, new);
            assert_eq!(reader.root().unwrap(), tree.root(new));
            let proof = tree.consistency(old, new).unwrap();
            verify::consistency(old, new, &tree.root(old), &tree.root(new), &proof).unwrap();
            let path = reader.inclusion(old).unwrap();
            let leaf = reader.leaf(old).unwrap();
            verify::inclusion(&leaf, old, new, &path, &tree.root(new)).unwrap();
        }
    }
}
