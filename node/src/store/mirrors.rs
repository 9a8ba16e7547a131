//! Which ledgers a data directory holds, where each of them is, and how far each may be written to files.
//! May not know more of a mirror's row than its first 20 bytes: the rest is the engine's.

use super::layout::{Layout, TileRoot};
use super::reader::Reader;
use super::transaction::read_record;
use super::{Store, StoreError};
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::store::{Place, Record, Table};
use belfry_protocol::tlog::tile::TILE_WIDTH;

/// One ledger of a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its place among the rows.
    pub place: Place,
    /// Its origin; empty for the node's own ledger.
    pub origin: String,
    /// Entries below this index may be written to files: a signed and verified digest covers them.
    pub flushable: u64,
    /// Entries below this index are in files.
    pub flushed: u64,
}

impl Placed {
    /// Where its files are.
    #[must_use]
    pub fn root(&self, layout: &Layout) -> TileRoot {
        if self.place == Place::OWN {
            layout.own_root()
        } else {
            layout.mirror_root(&self.origin)
        }
    }

    /// Bundles that are full, may be in files, and are not.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        (self.flushable / TILE_WIDTH).saturating_sub(self.flushed / TILE_WIDTH)
    }

    /// Reads a row of [`Table::Mirror`]: u32 place, u64 base, u64 flushed, all big-endian, then what only the engine reads.
    ///
    /// # Errors
    /// When the row is too short, names the own ledger's place, or its key is no text.
    pub fn decode(key: &[u8], row: &[u8]) -> Result<Self, StoreError> {
        let origin = String::from_utf8_lossy(key).into_owned();
        let damaged = || StoreError::Damaged(format!("the mirror row of {origin}"));
        let (place, rest) = row.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (base, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let flushed = rest.first_chunk::<8>().ok_or_else(damaged)?;
        let place = Place(u32::from_be_bytes(*place));
        if place == Place::OWN || std::str::from_utf8(key).is_err() {
            return Err(damaged());
        }
        Ok(Self {
            place,
            flushable: u64::from_be_bytes(*base),
            flushed: u64::from_be_bytes(*flushed),
            origin,
        })
    }
}

impl Reader {
    /// All ledgers of this data directory: the own one first, then the mirrored ones by origin.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn ledgers(&self) -> Result<Vec<Placed>, StoreError> {
        let head = self.head()?;
        let own = Placed {
            place: Place::OWN,
            origin: String::new(),
            flushable: flushable(&head, self.signed_head()?.as_ref()),
            flushed: head.flushed,
        };
        let rows = self.rows(Table::Mirror, b"", usize::MAX)?;
        let mirrored = rows.iter().map(|(key, row)| Placed::decode(key, row));
        std::iter::once(Ok(own)).chain(mirrored).collect()
    }
}

impl Store {
    /// How much of the own ledger may be written to files.
    ///
    /// # Errors
    /// When the store fails or the record is damaged.
    pub fn flushable(&self, head: &Head) -> Result<u64, StoreError> {
        let signed = read_record(&self.ledger, Record::SignedHead)?;
        let signed = signed.map(|bytes| head_of(Some(bytes))).transpose()?;
        Ok(flushable(head, signed.as_ref()))
    }
}

/// In a federation only what the newest digest covers may be written to files, because a recovery may give up the rest;
/// on its own a ledger never gives up anything.
fn flushable(head: &Head, signed: Option<&Head>) -> u64 {
    signed.map_or(head.size(), |signed| signed.size().min(head.size()))
}

/// A head record; a fresh ledger has none.
pub(super) fn head_of(record: Option<Vec<u8>>) -> Result<Head, StoreError> {
    match record {
        None => Ok(Head::default()),
        Some(bytes) => Head::decode(&bytes)
            .ok_or_else(|| StoreError::Damaged("a head record of the ledger".to_owned())),
    }
}
