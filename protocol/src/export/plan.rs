//! The order of the pieces: from the root down, so that each hash is proved before what it proves comes. Both sides walk
//! it, so pieces need no names. Arithmetic only.

use crate::tlog::bundle::MAX_ENTRY_LEN;
use crate::tlog::hash::HASH_LEN;
use crate::tlog::tile::{Bundle, MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH, Tile, hashes_at};

/// One piece of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A partial tile at the right edge: these alone give the root.
    Edge(Tile),
    /// A full tile of level 1 or more, whose root is a hash of a tile that came before.
    Tile(Tile),
    /// A bundle, whose entries hash to a hash of a tile that came before, or to the edge of level 0.
    Bundle(Bundle),
}

impl Piece {
    /// Most bytes that it can have.
    #[must_use]
    pub fn max_bytes(self) -> usize {
        match self {
            Self::Edge(tile) | Self::Tile(tile) => usize::from(tile.width) * HASH_LEN,
            Self::Bundle(bundle) => usize::from(bundle.width) * (2 + MAX_ENTRY_LEN),
        }
    }
}

/// The pieces of an export, in order: the edge from the highest level down; then for each bundle the full tiles of level
/// 1 and more above it that did not come yet, highest first, and the bundle. Full tiles of level 0 do not come: a reader
/// makes them of the entries.
#[derive(Clone, Debug)]
pub struct Plan {
    size: u64,
    first: u64,
    /// Next bundle.
    bundle: u64,
    /// Next level to look at: of the edge, counted down with one added, and then of the tiles above `bundle`.
    level: u8,
    edge: bool,
}

impl Plan {
    /// The plan from entry `from` on, which is rounded down to a bundle, in a tree of `size` entries.
    #[must_use]
    pub fn new(from: u64, size: u64) -> Self {
        let first = from / TILE_WIDTH;
        Self {
            size,
            first,
            bundle: first,
            level: MAX_TILE_LEVEL + 1,
            edge: true,
        }
    }

    /// The partial tile of a level, if it has one.
    fn edge_of(&self, level: u8) -> Option<Tile> {
        let index = hashes_at(level, self.size) / TILE_WIDTH;
        Tile::of_tree(level, index, self.size)
    }

    /// The full tile of a level that begins to be needed with the next bundle.
    fn tile_above(&self, level: u8) -> Option<Tile> {
        let shift = TILE_HEIGHT * u32::from(level);
        let index = self.bundle >> shift;
        let begins = self.bundle == index << shift || self.bundle == self.first;
        Tile::of_tree(level, index, self.size).filter(|tile| begins && tile.is_full())
    }
}

impl Iterator for Plan {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while self.edge {
            let Some(level) = self.level.checked_sub(1) else {
                self.edge = false;
                self.level = MAX_TILE_LEVEL;
                break;
            };
            self.level = level;
            if let Some(tile) = self.edge_of(level) {
                return Some(Piece::Edge(tile));
            }
        }
        let bundle = Bundle::of_tree(self.bundle, self.size)?;
        while self.level > 0 {
            let tile = self.tile_above(self.level);
            self.level -= 1;
            if let Some(tile) = tile {
                return Some(Piece::Tile(tile));
            }
        }
        self.level = MAX_TILE_LEVEL;
        self.bundle += 1;
        Some(Piece::Bundle(bundle))
    }
}
