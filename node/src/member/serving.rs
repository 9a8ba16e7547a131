//! Answering with entries: a ledger as the store has it, up to the size that was asked for. Reads beside the engine;
//! decides nothing.

use crate::exit::Failure;
use crate::store::{LedgerView, Placed, Reader};
use belfry_protocol::engine::federation::serve::{self, EntrySource};
use belfry_protocol::engine::store::{Place, StoreError};
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, Tile};
use belfry_protocol::wire::v1::Get;

/// The answer to `get`.
///
/// # Errors
/// When the ledger cannot be read.
pub(super) fn answer(reader: &Reader, place: Place, get: &Get) -> Result<Vec<u8>, Failure> {
    let origin = if place == Place::OWN {
        ""
    } else {
        get.origin.as_str()
    };
    let placed = Placed {
        place,
        origin: origin.to_owned(),
        flushable: 0,
        flushed: 0,
    };
    let source = Source {
        view: reader.ledger(&placed),
        size: get.tree_size,
    };
    Ok(serve::answer(get, &source)?)
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
            Some(wanted) => self.view.bundle(wanted),
            None => Ok(Vec::new()),
        }
    }
}
