//! Builds roots and proofs from tiles, with memory for a few tiles at a time whatever the size of the tree.
//! May not check signatures and does not verify the tiles: whoever serves a proof verifies it before it leaves.

use super::hash::{Hash, empty_root, node_hash};
use super::tile::{TILE_HEIGHT, TILE_WIDTH, Tile};
use super::verify::{ProofError, is_subtree};
use std::collections::BTreeMap;

/// Where tiles come from: files, rows, a web server or a map in a test.
pub trait TileSource {
    /// What can go wrong while fetching.
    type Error;
    /// The hashes of `tile`: exactly `tile.width` of them.
    ///
    /// # Errors
    /// When the tile cannot be had.
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error>;
}

/// Why a proof could not be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// What was asked for does not exist in this tree.
    #[error(transparent)]
    Range(#[from] ProofError),
    /// A tile has another number of hashes than was asked for.
    #[error("tile {} has {found} hashes instead of {}", .tile.path(), .tile.width)]
    WrongWidth {
        /// The tile asked for.
        tile: Tile,
        /// Hashes found.
        found: usize,
    },
    /// The source failed.
    #[error("{0}")]
    Source(E),
}

/// Tiles kept while one proof is built: a proof crosses at most two tiles of each of eight levels.
const CACHED_TILES: usize = 32;

/// A tree of a fixed size over a [`TileSource`].
pub struct TreeReader<'a, S> {
    source: &'a S,
    size: u64,
    cache: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl<'a, S: TileSource> TreeReader<'a, S> {
    /// The tree of `size` entries; tiles are asked for with the widths this size gives them.
    pub fn new(source: &'a S, size: u64) -> Self {
        Self {
            source,
            size,
            cache: BTreeMap::new(),
        }
    }

    /// The root of the tree.
    ///
    /// # Errors
    /// When a tile cannot be had.
    pub fn root(&mut self) -> Result<Hash, BuildError<S::Error>> {
        if self.size == 0 {
            return Ok(empty_root());
        }
        self.range(0, self.size)
    }

    /// The hash of leaf `index`.
    ///
    /// # Errors
    /// When there is no such leaf or a tile cannot be had.
    pub fn leaf(&mut self, index: u64) -> Result<Hash, BuildError<S::Error>> {
        if index >= self.size {
            return Err(ProofError::IndexOutsideTree {
                index,
                size: self.size,
            }
            .into());
        }
        self.node(0, index)
    }

    /// PATH(index, D\[size\]) of RFC 6962 §2.1.1, leaf to root.
    ///
    /// # Errors
    /// When there is no such leaf or a tile cannot be had.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, BuildError<S::Error>> {
        if index >= self.size {
            return Err(ProofError::IndexOutsideTree {
                index,
                size: self.size,
            }
            .into());
        }
        let (mut start, mut end) = (0, self.size);
        let mut path = Vec::new();
        while end - start > 1 {
            let split = start + largest_power_below(end - start);
            if index < split {
                path.push(self.range(split, end)?);
                end = split;
            } else {
                path.push(self.range(start, split)?);
                start = split;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// PROOF(old, D\[size\]) of RFC 6962 §2.1.2; empty for `old` 0 and `old == size`.
    ///
    /// # Errors
    /// When `old` is above the size or a tile cannot be had.
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, BuildError<S::Error>> {
        if old > self.size {
            return Err(ProofError::SizesReversed {
                old,
                new: self.size,
            }
            .into());
        }
        if old == 0 {
            return Ok(Vec::new());
        }
        self.subtree(0, old)
    }

    /// SUBPROOF(old, D\[size\], false): a consistency proof that always begins with its starting node, as fork proofs
    /// need it (R5).
    ///
    /// # Errors
    /// When `old` is 0 or above the size, or a tile cannot be had.
    pub fn consistency_with_start(&mut self, old: u64) -> Result<Vec<Hash>, BuildError<S::Error>> {
        let mut proof = self.consistency(old)?;
        if old.is_power_of_two() && old <= self.size {
            proof.insert(0, self.range(0, old)?);
        } else if old == self.size && old > 0 {
            proof.push(self.range(0, old)?);
        }
        Ok(proof)
    }

    /// The proof that `[start, end)` is a subtree of this tree (draft-ietf-plants-merkle-tree-certs §4.4).
    ///
    /// # Errors
    /// When it is not a subtree or a tile cannot be had.
    pub fn subtree(&mut self, start: u64, end: u64) -> Result<Vec<Hash>, BuildError<S::Error>> {
        if !is_subtree(start, end) || end > self.size {
            return Err(ProofError::NotASubtree {
                start,
                end,
                size: self.size,
            }
            .into());
        }
        let (mut from, mut to, mut start) = (0, self.size, start);
        let mut whole = true;
        let mut proof = Vec::new();
        while !(start == from && end == to) {
            let split = from + largest_power_below(to - from);
            if end <= split {
                proof.push(self.range(split, to)?);
                to = split;
                continue;
            }
            proof.push(self.range(from, split)?);
            from = split;
            if start < split {
                // The subtree crosses the split, so it begins at 0: its left part is proven by the hash just pushed.
                start = split;
                whole = false;
            }
        }
        if !whole {
            proof.push(self.range(from, end)?);
        }
        proof.reverse();
        Ok(proof)
    }

    /// MTH(D\[start:end\]) for a range that RFC 6962 splits off: its start is aligned to what holds its length.
    fn range(&mut self, start: u64, end: u64) -> Result<Hash, BuildError<S::Error>> {
        let length = end - start;
        if length.is_power_of_two() {
            let height = length.trailing_zeros();
            return self.node(height, start >> height);
        }
        let split = start + largest_power_below(length);
        let left = self.range(start, split)?;
        let right = self.range(split, end)?;
        Ok(node_hash(&left, &right))
    }

    /// The root of a complete subtree.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, BuildError<S::Error>> {
        let inner = height % TILE_HEIGHT;
        let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
        let first = index << inner;
        let hashes = self.tile(level, first / TILE_WIDTH)?;
        let offset = usize::try_from(first % TILE_WIDTH).unwrap_or(0);
        let slice = hashes
            .get(offset..offset + (1 << inner))
            .unwrap_or_default();
        let mut row = slice.to_vec();
        while row.len() > 1 {
            row = row
                .chunks_exact(2)
                .map(|pair| node_hash(&pair[0], &pair[1]))
                .collect();
        }
        // `tile` returned the width this tree gives it, so a complete subtree is always inside.
        row.first()
            .copied()
            .ok_or(BuildError::Range(ProofError::RootMismatch))
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash], BuildError<S::Error>> {
        if !self.cache.contains_key(&(level, index)) {
            let Some(tile) = Tile::of_tree(level, index, self.size) else {
                return Err(ProofError::IndexOutsideTree {
                    index,
                    size: self.size,
                }
                .into());
            };
            let hashes = self.source.tile(tile).map_err(BuildError::Source)?;
            if hashes.len() != usize::from(tile.width) {
                return Err(BuildError::WrongWidth {
                    tile,
                    found: hashes.len(),
                });
            }
            if self.cache.len() >= CACHED_TILES {
                self.cache.pop_first();
            }
            self.cache.insert((level, index), hashes);
        }
        Ok(self.cache.get(&(level, index)).map_or(&[], Vec::as_slice))
    }
}

/// The largest power of two below `n`, for n of at least 2.
fn largest_power_below(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
