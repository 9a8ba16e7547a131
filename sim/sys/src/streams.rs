//! Randomness of a run: one stream for each purpose, all from one seed, so that a draw more in one place leaves the others
//! as they were. May not be used by the engine, which is given its seeds as values.

use belfry_protocol::tlog::hash::sha256_parts;
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// One stream.
#[derive(Clone, Debug)]
pub struct Stream(Xoshiro256PlusPlus);

/// One in a million is the unit of odds: whole numbers alone, so that every machine draws the same.
pub const MILLION: u32 = 1_000_000;

impl Stream {
    /// The stream of `seed` for one purpose, e.g. `net` or `clock` of node 3.
    #[must_use]
    pub fn new(seed: u64, purpose: &str, index: u64) -> Self {
        let parts: [&[u8]; 4] = [
            b"belfry/sim/v1\0",
            &seed.to_be_bytes(),
            &index.to_be_bytes(),
            purpose.as_bytes(),
        ];
        Self(Xoshiro256PlusPlus::from_seed(sha256_parts(&parts).0))
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of a modulus of 64 bits is far below what a simulation can tell.
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from.saturating_add(self.below(to.saturating_sub(from).saturating_add(1)))
    }

    /// A position in a list of `len`.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Whether something happens whose odds are so many in a million.
    pub fn happens(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(u64::from(MILLION)) < u64::from(per_million)
    }

    /// Any number.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// True once in `one_in` draws; never if that is 0.
    pub fn one_in(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.below(one_in) == 0
    }

    /// One of a list.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }

    /// Up to `count` different numbers below `bound`, in ascending order.
    pub fn some(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..bound).collect();
        let mut taken = Vec::new();
        while taken.len() < count && !all.is_empty() {
            taken.push(all.swap_remove(self.index(all.len())));
        }
        taken.sort_unstable();
        taken
    }

    /// Bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_apart() {
        let draw = |seed, purpose, index| Stream::new(seed, purpose, index).bytes::<16>();
        assert_eq!(draw(7, "net", 0), draw(7, "net", 0));
        assert_ne!(draw(7, "net", 0), draw(8, "net", 0));
        assert_ne!(draw(7, "net", 0), draw(7, "disk", 0));
        assert_ne!(draw(7, "net", 0), draw(7, "net", 1));
    }

    #[test]
    fn odds_are_about_what_they_say() {
        let mut stream = Stream::new(1, "odds", 0);
        let hits = (0..10_000).filter(|_| stream.happens(250_000)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!stream.happens(0) && !stream.one_in(0));
    }

    #[test]
    fn numbers_stay_below_their_end_and_reach_all_of_it() {
        let mut stream = Stream::new(1, "numbers", 0);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[stream.index(5)] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!((stream.below(0), stream.below(1)), (0, 0));
    }
}
