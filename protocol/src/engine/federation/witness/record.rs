//! What a tower cosigned of an origin over HTTP, one row for each (R4, R10). For a member's ledger only what is not in its
//! mirror's record: digests that were cosigned before their entries were held.

use crate::checkpoint::Checkpoint;
use crate::engine::federation::mirror::Mirror;
use crate::engine::store::{StoreError, Table, Transaction};
use crate::note::SignedNote;
use crate::tlog::compact::CompactRange;
use crate::tlog::hash::Hash;
use crate::wire::codec::{self, Bytes, Decode, Encode, List};
use crate::wire::v1::MAX_NOTE_BYTES;

/// What was cosigned of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// Size of the checkpoint. Never goes back.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Time of the cosignatures, in seconds since 1970. Never goes back.
    pub time_seconds: u64,
    /// The checkpoint with the log's verified signatures and this tower's, and no other line.
    pub note: String,
    /// The log signed two trees of one size: nothing more is cosigned.
    pub forked: bool,
    /// Of a member's ledger: the edge of what is held, as far as it has grown towards `size`. It shows whether the entries
    /// that come later lead to what was cosigned before they were here.
    pub(super) edge: CompactRange,
}

#[derive(Encode, Decode)]
struct Row {
    size: u64,
    root: Hash,
    time_seconds: u64,
    note: Bytes<MAX_NOTE_BYTES>,
    forked: bool,
    edge_size: u64,
    edge: List<Hash, 64>,
}

impl Witnessed {
    /// Reads the row of an origin.
    ///
    /// # Errors
    /// When the store fails or the row is damaged.
    pub fn load(tx: &impl Transaction, origin: &str) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = tx.row(Table::Witness, origin.as_bytes())? else {
            return Ok(None);
        };
        Self::decode(&bytes)
            .map(Some)
            .ok_or_else(|| StoreError::Damaged(format!("what was cosigned of {origin}")))
    }

    /// Writes it.
    pub(super) fn store(&self, tx: &mut impl Transaction, origin: &str) -> Result<(), StoreError> {
        let hashes = self.edge.nodes().iter().map(|node| node.hash).collect();
        let too_long = || StoreError::Damaged(format!("the checkpoint of {origin} is too long"));
        let row = Row {
            size: self.size,
            root: self.root,
            time_seconds: self.time_seconds,
            note: Bytes::new(self.note.clone()).ok_or_else(too_long)?,
            forked: self.forked,
            edge_size: self.edge.end(),
            edge: List::new(hashes).ok_or_else(too_long)?,
        };
        tx.put_row(Table::Witness, origin.as_bytes(), &codec::encode(&row))
    }

    /// Reads a row; `None` if it is damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let row: Row = codec::decode(bytes).ok()?;
        Some(Self {
            size: row.size,
            root: row.root,
            time_seconds: row.time_seconds,
            note: String::from_utf8(row.note.into_inner()).ok()?,
            forked: row.forked,
            edge: CompactRange::from_hashes(0, row.edge_size, row.edge.as_slice())?,
        })
    }
}

/// The newest note that this tower cosigned of an origin: the larger one, and of one size the later one.
#[must_use]
pub fn newest(witnessed: Option<Witnessed>, mirror: Option<Mirror>) -> Option<String> {
    let acked = mirror.and_then(|mirror| mirror.acked);
    match (witnessed, acked) {
        (Some(one), Some(ack)) if (one.size, one.time_seconds) > (ack.size, ack.time_seconds) => {
            Some(one.note)
        }
        (_, Some(ack)) => Some(ack.note),
        (Some(one), None) => Some(one.note),
        (None, None) => None,
    }
}

/// The newest note that carries this tower's mirror line, and its size: all of its entries are held (R4).
#[must_use]
pub fn mirrored(mirror: Mirror) -> Option<(u64, String)> {
    let held = mirror.base.end();
    let ack = mirror.acked.filter(|ack| ack.size <= held)?;
    Some((ack.size, ack.note))
}

/// Size, root and text of a stored note.
pub(super) fn opened(note: &str) -> Result<(Hash, SignedNote), StoreError> {
    let damaged = |_| StoreError::Damaged("a cosigned checkpoint".to_owned());
    let note = SignedNote::parse(note.as_bytes()).map_err(|_| damaged(()))?;
    let root = Checkpoint::parse_foreign(note.text())
        .map_err(|_| damaged(()))?
        .root;
    Ok((root, note))
}
