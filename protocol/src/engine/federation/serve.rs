//! Answering with entries (R3, R10): bundles as they are, and a proof that they lead to the tree that was asked for. Runs beside
//! the engine over whatever holds the ledger; may not decide who gets an answer.

use crate::engine::store::StoreError;
use crate::tlog::bundle;
use crate::tlog::hash::Hash;
use crate::tlog::proof::{TileSource, TreeReader};
use crate::tlog::tile::TILE_WIDTH;
use crate::wire::codec::{self, List};
use crate::wire::v1::{Entries, Get, GetProof, Kind, ProofNodes};
use crate::wire::{Frame, Version};

/// Entry bytes in one answer at most, unless a single bundle is longer.
pub const MAX_SERVED_BYTES: usize = 2 << 20;

/// Where the entries of one ledger are.
pub trait EntrySource: TileSource<Error = StoreError> {
    /// The entries of bundle `index` that are held, in bundle form.
    ///
    /// # Errors
    /// When it cannot be read.
    fn bundle(&self, index: u64) -> Result<Vec<u8>, StoreError>;
}

/// The answer to `get` from a ledger of which at least `get.tree_size` entries are held; an empty range if that cannot
/// be proved from here.
///
/// # Errors
/// When the ledger cannot be read.
pub fn answer(get: &Get, source: &impl EntrySource) -> Result<Vec<u8>, StoreError> {
    let end = get
        .from
        .saturating_add(u64::from(get.count))
        .min(get.tree_size);
    let mut bytes = Vec::new();
    let mut next = get.from;
    while next < end && bytes.len() < MAX_SERVED_BYTES {
        let held = source.bundle(next / TILE_WIDTH)?;
        let skip = usize::try_from(next % TILE_WIDTH).unwrap_or(0);
        let room = usize::try_from(end - next).unwrap_or(usize::MAX);
        let before = next;
        for entry in bundle::entries(&held).skip(skip).take(room) {
            let entry = entry.map_err(|error| StoreError::Damaged(error.to_string()))?;
            if bytes.len() >= MAX_SERVED_BYTES {
                break;
            }
            if bundle::push(&mut bytes, entry).is_ok() {
                next += 1;
            }
        }
        if next == before {
            break;
        }
    }
    let mut proof = Vec::new();
    if next > 0 && next < get.tree_size {
        proof = TreeReader::new(source, get.tree_size)
            .consistency(next)
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
    }
    let head = Entries {
        from: get.from,
        to: next,
        proof: List::new(proof).unwrap_or_default(),
    };
    let mut payload = codec::encode(&head);
    let length = u32::try_from(payload.len()).unwrap_or(0).to_le_bytes();
    payload.splice(0..0, length);
    payload.extend_from_slice(&bytes);
    Ok(Frame::encode(
        Version::V1_0,
        Kind::Entries.number(),
        &payload,
    ))
}

/// Nodes that show how the tree of `smaller` entries relates to that of `larger`, as fork proofs have them; `None` if they
/// cannot be had from here.
pub fn nodes<S: TileSource>(source: &S, smaller: u64, larger: u64) -> Option<Vec<Hash>> {
    TreeReader::new(source, larger)
        .consistency_with_start(smaller)
        .ok()
}

/// The answer to a question for a proof.
#[must_use]
pub fn prove<S: TileSource>(get: &GetProof, source: &S) -> Vec<u8> {
    let nodes = nodes(source, get.smaller, get.larger).unwrap_or_default();
    let answer = ProofNodes {
        nodes: List::new(nodes).unwrap_or_default(),
    };
    Frame::encode(
        Version::V1_0,
        Kind::ProofNodes.number(),
        &codec::encode(&answer),
    )
}

/// Takes the payload of an answer apart: its head, and the entries in bundle form.
pub(super) fn split(payload: &[u8]) -> Option<(Entries, &[u8])> {
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (head, entries) = rest.split_at_checked(length)?;
    Some((codec::decode(head).ok()?, entries))
}
