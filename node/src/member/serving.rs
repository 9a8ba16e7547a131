//! Answering with entries: a ledger as the store has it, up to the size that was asked for. Reads beside the engine;
//! decides nothing.

use crate::exit::Failure;
use crate::store::{LedgerView, Placed, Reader};
use belfry_protocol::engine::federation::serve::{self, EntrySource};
use belfry_protocol::engine::store::{Place, StoreError};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, Tile};
use belfry_protocol::wire::v1::{Get, GetProof};

/// The answer to `get`.
///
/// # Errors
/// When the ledger cannot be read.
pub fn answer(reader: &Reader, place: Place, get: &Get) -> Result<Vec<u8>, Failure> {
    let source = source(reader, place, get.origin.as_str(), get.tree_size);
    Ok(serve::answer(get, &source)?)
}

/// The answer to a question for a proof.
#[must_use]
pub fn prove(reader: &Reader, place: Place, get: &GetProof) -> Vec<u8> {
    let source = source(reader, place, get.origin.as_str(), get.larger);
    serve::prove(get, &source)
}

/// Nodes that show how two trees of one ledger relate; `None` if they cannot be read.
#[must_use]
pub fn nodes(
    reader: &Reader,
    place: Place,
    origin: &str,
    (smaller, larger): (u64, u64),
) -> Option<Vec<Hash>> {
    serve::nodes(&source(reader, place, origin, larger), smaller, larger)
}

fn source<'a>(reader: &'a Reader, place: Place, origin: &str, size: u64) -> Source<'a> {
    let origin = if place == Place::OWN { "" } else { origin };
    let placed = Placed {
        place,
        origin: origin.to_owned(),
        flushable: 0,
        flushed: 0,
    };
    Source {
        view: reader.ledger(&placed),
        size,
    }
}

/// One ledger up to the size that was asked for.
struct Source<'a> {
    view: LedgerView<'a>,
    size: u64,
}

impl TileSource for Source<'_> {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, StoreError> {
        self.view.tile(tile)
    }
}

impl EntrySource for Source<'_> {
    fn bundle(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        match Bundle::of_tree(index, self.size) {
            Some(wanted) => {
                let entries = self.view.bundle(wanted)?;
                self.verify(wanted, &entries)?;
                Ok(entries)
            }
            None => Ok(Vec::new()),
        }
    }
}

impl Source<'_> {
    /// A bit that flipped on the disk is told to nobody: whoever got it would have to blame this node.
    fn verify(&self, bundle: Bundle, entries: &[u8]) -> Result<(), StoreError> {
        let tile = Tile {
            level: 0,
            index: bundle.index,
            width: bundle.width,
        };
        let leaves = bundle::entries(entries).map(|entry| entry.map(leaf_hash));
        let leaves: Result<Vec<Hash>, _> = leaves.collect();
        if leaves.ok() == Some(self.view.tile(tile)?) {
            return Ok(());
        }
        let what = format!("the entries of {} do not match their hashes", bundle.path());
        Err(StoreError::Damaged(what))
    }
}
