//! Randomness as a value (R9): whatever a step draws follows from the seed that it was given, so that it can be replayed.

use crate::tlog::hash::{Hash, sha256_parts};

/// Randomness for one step, from a value that the runtime drew.
pub(super) struct Seed {
    seed: [u8; 32],
    drawn: u64,
}

impl Seed {
    /// A step that has no other randomness.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next 16 bytes.
    pub(super) fn draw(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let Hash(bytes) = sha256_parts(&[
            b"belfry/step-seed/v1\0",
            &self.seed,
            &self.drawn.to_be_bytes(),
        ]);
        let mut out = [0; 16];
        out.copy_from_slice(&bytes[..16]);
        out
    }
}
