//! Merkle trees as the transparency-log standards define them: hashing, tile arithmetic, proofs, verifiers.
//! May not read or write tiles itself: they come through a [`proof::TileSource`].

pub mod bounded;
pub mod bundle;
pub mod compact;
pub mod hash;
pub mod memory;
pub mod proof;
pub mod tile;
pub mod verify;

/// Largest size, index or timestamp in any format: signed 64-bit readers must be able to hold it.
pub const MAX_SIZE: u64 = (1 << 63) - 1;

/// Most hashes a proof may have: a tree below 2^63 leaves is at most 63 levels high.
pub const MAX_PROOF_HASHES: usize = 63;
