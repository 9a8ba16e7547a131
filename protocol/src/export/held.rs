//! What a reader has from before: the hashes that its whole bundles leave at the right edge, from which the newer tree
//! must have grown. At most 255 hashes a level.

use super::check::root_of_full;
use crate::tlog::hash::Hash;
use crate::tlog::tile::{MAX_TILE_LEVEL, TILE_WIDTH, Tile};

/// The hashes of the first full bundles of a ledger, as far as no full tile holds them.
#[derive(Clone, Debug, Default)]
pub struct Held {
    bundles: u64,
    /// By level, from 1 on.
    upper: [Vec<Hash>; MAX_TILE_LEVEL as usize],
}

impl Held {
    /// Entries held, a multiple of 256.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bundles * TILE_WIDTH
    }

    /// Takes the leaf hashes of the next full bundle. `completed` sees every full tile of level 1 and more that ends with
    /// it, lowest first. `false` if these are not 256 hashes: nothing is taken then.
    pub fn push(&mut self, leaves: &[Hash], mut completed: impl FnMut(Tile, &[Hash])) -> bool {
        let Some(mut hash) = root_of_full(leaves) else {
            return false;
        };
        self.bundles += 1;
        let mut done = self.bundles;
        for (level, hashes) in (1..).zip(&mut self.upper) {
            hashes.push(hash);
            if hashes.len() as u64 != TILE_WIDTH {
                break;
            }
            done /= TILE_WIDTH;
            let tile = Tile {
                level,
                index: done - 1,
                width: 256,
            };
            completed(tile, hashes);
            let Some(root) = root_of_full(hashes) else {
                break;
            };
            hash = root;
            hashes.clear();
        }
        true
    }

    /// The hashes of `level` that no full tile holds yet.
    pub(super) fn open_end(&self, level: u8) -> &[Hash] {
        let at = usize::from(level).checked_sub(1);
        at.and_then(|at| self.upper.get(at))
            .map_or(&[], Vec::as_slice)
    }
}
