//! The reader's proof: every piece is shown to belong to the signed root when it comes, so nothing false is ever kept and
//! a lie is told with its place. Holds one tile a level.

use super::{Held, Piece, Plan};
use crate::checkpoint::Checkpoint;
use crate::tlog::bundle::{self, BundleError};
use crate::tlog::compact::CompactRange;
use crate::tlog::hash::{HASH_LEN, Hash, leaf_hash, node_hash};
use crate::tlog::tile::{MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH, Tile, hashes_at};
use thiserror::Error;

/// What does not fit the signed digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Wrong {
    /// The tiles at the right edge have another root.
    #[error("the hashes at the right edge have root {found} and the signed digest says {signed}")]
    Root {
        /// Root of what came.
        found: Hash,
        /// Root that is signed.
        signed: Hash,
    },
    /// A tile is not what the tile above it says.
    #[error("{path} is not below the signed root")]
    Tile {
        /// Path of the tile.
        path: String,
    },
    /// Entries are not what the tile above them says.
    #[error("the entries of {path} do not hash to what is below the signed root")]
    Entries {
        /// Path of the bundle.
        path: String,
    },
    /// A bundle is malformed.
    #[error("{path}: {error}")]
    Bundle {
        /// Path of the bundle.
        path: String,
        /// What is wrong.
        error: BundleError,
    },
    /// A piece has another length than it must have.
    #[error("{path} came with {found} bytes instead of {wanted}")]
    Length {
        /// Path of the tile.
        path: String,
        /// Bytes that came.
        found: usize,
        /// Bytes that it has.
        wanted: usize,
    },
    /// What the reader has from before is not the beginning of this tree.
    #[error(
        "the first {size} entries that were there already are not the first ones of the signed tree"
    )]
    Held {
        /// Entries held.
        size: u64,
    },
    /// More came than the tree has.
    #[error("more came than the signed tree has")]
    TooMuch,
}

/// A piece that belongs to the signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// A tile at the right edge; [`Checker::edge`] has them once all came.
    Edge,
    /// A full tile of level 1 or more.
    Tile(Tile),
    /// A bundle, with the hashes of its entries.
    Bundle(crate::tlog::tile::Bundle, Vec<Hash>),
}

/// A tile by its index.
type Known = Option<(u64, Vec<Hash>)>;

/// The proof of one export while it comes.
#[derive(Clone, Debug)]
pub struct Checker {
    size: u64,
    root: Hash,
    held: Held,
    plan: std::iter::Peekable<Plan>,
    /// The right edge, by level.
    edge: [Known; MAX_TILE_LEVEL as usize + 1],
    /// The full tile that what comes is below, by level.
    above: [Known; MAX_TILE_LEVEL as usize + 1],
}

impl Checker {
    /// The proof of an export under `checkpoint`, whose signature the caller has verified, to a reader that has `held`.
    ///
    /// # Errors
    /// When it has more than the tree, or the tree is empty under another root.
    pub fn new(checkpoint: &Checkpoint, held: Held) -> Result<Self, Wrong> {
        let (size, root) = (checkpoint.size, checkpoint.root);
        if held.size() > size {
            return Err(Wrong::Held { size: held.size() });
        }
        let empty = CompactRange::default().root();
        if size == 0 && root != empty {
            return Err(Wrong::Root {
                found: empty,
                signed: root,
            });
        }
        Ok(Self {
            size,
            root,
            plan: Plan::new(held.size(), size).peekable(),
            held,
            edge: Default::default(),
            above: Default::default(),
        })
    }

    /// What comes next; `None` when everything came and is proved.
    pub fn next_piece(&mut self) -> Option<Piece> {
        self.plan.peek().copied()
    }

    /// Takes the bytes of the next piece.
    ///
    /// # Errors
    /// When they are not what the signed root says; nothing more may be taken then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Checked, Wrong> {
        match self.plan.next().ok_or(Wrong::TooMuch)? {
            Piece::Edge(tile) => {
                let hashes = hashes_of(tile, bytes)?;
                self.edge[usize::from(tile.level)] = Some((tile.index, hashes));
                if !matches!(self.plan.peek(), Some(Piece::Edge(_))) {
                    self.close_edge()?;
                }
                Ok(Checked::Edge)
            }
            Piece::Tile(tile) => {
                let hashes = hashes_of(tile, bytes)?;
                let root = root_of_full(&hashes);
                if root.is_none() || root != self.parent_hash(tile.level, tile.index) {
                    return Err(Wrong::Tile { path: tile.path() });
                }
                self.check_held(tile.level, tile.index, &hashes)?;
                self.above[usize::from(tile.level)] = Some((tile.index, hashes));
                Ok(Checked::Tile(tile))
            }
            Piece::Bundle(wanted) => {
                let path = || wanted.path();
                let entries =
                    bundle::exactly(bytes, usize::from(wanted.width)).map_err(|error| {
                        Wrong::Bundle {
                            path: path(),
                            error,
                        }
                    })?;
                let leaves: Vec<Hash> = entries.into_iter().map(leaf_hash).collect();
                let fits = if wanted.is_full() {
                    root_of_full(&leaves) == self.parent_hash(0, wanted.index)
                } else {
                    matches!(&self.edge[0], Some((index, hashes)) if *index == wanted.index && *hashes == leaves)
                };
                match fits {
                    true => Ok(Checked::Bundle(wanted, leaves)),
                    false => Err(Wrong::Entries { path: path() }),
                }
            }
        }
    }

    /// The partial tiles at the right edge, proved once the first other piece is expected.
    pub fn edge(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        (0..).zip(&self.edge).filter_map(|(level, known)| {
            let (index, hashes) = known.as_ref()?;
            Some((Tile::of_tree(level, *index, self.size)?, hashes.as_slice()))
        })
    }

    /// The edge is whole: its root, and that the reader's own hashes are in it.
    fn close_edge(&mut self) -> Result<(), Wrong> {
        let mut nodes = Vec::new();
        for (_, hashes) in self.edge.iter().rev().flatten() {
            let mut range = CompactRange::default();
            for hash in hashes {
                range.push(*hash, |_| {});
            }
            nodes.extend(range.nodes().iter().map(|node| node.hash));
        }
        let found = CompactRange::from_hashes(0, self.size, &nodes)
            .map_or(CompactRange::default().root(), |range| range.root());
        if found != self.root {
            return Err(Wrong::Root {
                found,
                signed: self.root,
            });
        }
        for (level, known) in (0..).zip(&self.edge) {
            if let Some((index, hashes)) = known {
                self.check_held(level, *index, hashes)?;
            }
        }
        Ok(())
    }

    /// If a tile holds the end of what the reader has, its hashes must be the reader's.
    fn check_held(&self, level: u8, index: u64, hashes: &[Hash]) -> Result<(), Wrong> {
        let size = self.held.size();
        if hashes_at(level, size) / TILE_WIDTH != index
            || hashes.starts_with(self.held.open_end(level))
        {
            return Ok(());
        }
        Err(Wrong::Held { size })
    }

    /// What the tile above says that the root of a full tile, or of a full bundle for level 0, must be.
    fn parent_hash(&self, level: u8, index: u64) -> Option<Hash> {
        let (parent, position) = (index >> TILE_HEIGHT, index % TILE_WIDTH);
        let level = usize::from(level) + 1;
        let known = [self.above.get(level)?, self.edge.get(level)?];
        let tile = known
            .into_iter()
            .flatten()
            .find(|(index, _)| *index == parent)?;
        tile.1.get(usize::try_from(position).ok()?).copied()
    }
}

fn hashes_of(tile: Tile, bytes: &[u8]) -> Result<Vec<Hash>, Wrong> {
    let (hashes, rest) = bytes.as_chunks::<HASH_LEN>();
    if hashes.len() != usize::from(tile.width) || !rest.is_empty() {
        return Err(Wrong::Length {
            path: tile.path(),
            found: bytes.len(),
            wanted: usize::from(tile.width) * HASH_LEN,
        });
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

/// The root of 256 hashes; `None` for another number.
pub(super) fn root_of_full(hashes: &[Hash]) -> Option<Hash> {
    if hashes.len() as u64 != TILE_WIDTH {
        return None;
    }
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let pairs = row.as_chunks::<2>().0.iter();
        row = pairs.map(|[left, right]| node_hash(left, right)).collect();
    }
    row.pop()
}
