//! The tiles above the leaves, built again from leaf hashes and compared with what is stored. One tile per level in
//! memory; the same for the own ledger and for mirrored ones.

use super::Report;
use crate::store::LedgerView;
use belfry_protocol::tlog::compact::{CompactRange, Node};
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH, Tile, hashes_at};

/// A tree as far as it was walked.
pub(super) struct Levels<'a> {
    /// The ledger.
    pub(super) view: LedgerView<'a>,
    /// Right edge of what was walked.
    pub(super) edge: CompactRange,
    /// Stands before every place in the report.
    label: String,
    /// Hashes of the tile being filled, by level.
    upper: Vec<Vec<Hash>>,
}

impl<'a> Levels<'a> {
    pub(super) fn new(view: LedgerView<'a>, label: String) -> Self {
        Self {
            view,
            edge: CompactRange::default(),
            label,
            upper: vec![Vec::new(); usize::from(MAX_TILE_LEVEL) + 2],
        }
    }

    /// How the report names something of this ledger.
    pub(super) fn place(&self, what: &str) -> String {
        format!("{}{what}", self.label)
    }

    /// Takes the next leaf hash; `completed` sees every subtree that it completes.
    pub(super) fn push(
        &mut self,
        leaf: Hash,
        report: &mut Report,
        mut completed: impl FnMut(&Node),
    ) {
        let upper = &mut self.upper;
        self.edge.push(leaf, |node| {
            completed(node);
            if u32::from(node.height).is_multiple_of(TILE_HEIGHT) {
                upper[usize::from(node.height / 8)].push(node.hash);
            }
        });
        for level in 1..=MAX_TILE_LEVEL {
            if self.upper[usize::from(level)].len() as u64 == TILE_WIDTH {
                let index = hashes_at(level, self.edge.end()) / TILE_WIDTH - 1;
                let width = 256;
                self.compare(
                    Tile {
                        level,
                        index,
                        width,
                    },
                    report,
                );
                self.upper[usize::from(level)].clear();
            }
        }
    }

    /// Compares the tiles that are not full.
    pub(super) fn finish(&self, report: &mut Report) {
        let size = self.edge.end();
        for level in 1..=MAX_TILE_LEVEL {
            if let Some(tile) = Tile::of_tree(level, hashes_at(level, size) / TILE_WIDTH, size)
                && !self.upper[usize::from(level)].is_empty()
            {
                self.compare(tile, report);
            }
        }
    }

    fn compare(&self, tile: Tile, report: &mut Report) {
        let own = &self.upper[usize::from(tile.level)];
        match self.view.tile(tile) {
            Ok(stored) => {
                for (position, _) in stored
                    .iter()
                    .zip(own)
                    .enumerate()
                    .filter(|(_, (stored, own))| stored != own)
                {
                    report.problem(
                        self.place(&tile.path()),
                        format!("hash {position} is not the root of what is below it"),
                    );
                }
            }
            Err(error) => report.problem(self.place(&tile.path()), error.to_string()),
        }
    }
}
