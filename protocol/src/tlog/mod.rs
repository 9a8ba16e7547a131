//! Merkle trees as the transparency-log standards define them: hashing, tile arithmetic, proofs, verifiers.
//! May not read or write tiles itself: they come through a `TileSource`.

pub mod hash;
