//! The sender's side of streams (R7): counters of which none is used twice, taken from the store in blocks of 1,024.
//! Never from the clock, which may step back. What is left of a block at the end of a process is skipped.

use super::{damaged, number};
use crate::engine::store::{Record, StoreError, Transaction};

/// Counters that are reserved by one write.
pub const BLOCK: u64 = 1_024;

/// The counters that this process may hand out: one sequence for all its streams, since gaps do no harm.
///
/// Volatile: every start begins with [`Counters::default`] and so with a new block. A counter is good for a message that
/// leaves after the commit (a promise): one that left before could, after a crash, be followed by another with the same
/// counter, which its receiver would then refuse.
#[derive(Debug, Default)]
pub struct Counters {
    /// The next one to hand out; 0 before the first.
    next: u64,
    /// Where the reserved block ends; not part of it.
    end: u64,
}

impl Counters {
    /// The next counter, at least 1; reserves a block if none is left.
    ///
    /// If the transaction or savepoint that reserved the block was rolled back, the store no longer covers it: that is
    /// seen here, and a block is reserved again, from behind what was already handed out.
    ///
    /// # Errors
    /// When the store fails, or holds a number that no honest use could have reached.
    pub fn next(&mut self, tx: &mut impl Transaction) -> Result<u64, StoreError> {
        let stored = match tx.record(Record::StreamBlock)? {
            Some(bytes) => number(&bytes, "the block of counters")?,
            None => 1,
        };
        if self.next >= self.end || stored < self.end {
            let start = stored.max(self.next).max(1);
            let end = start
                .checked_add(BLOCK)
                .ok_or_else(|| damaged("the block of counters has no end"))?;
            tx.put_record(Record::StreamBlock, &end.to_be_bytes())?;
            (self.next, self.end) = (start, end);
        }
        let counter = self.next;
        // Below the end of a block.
        self.next = counter.saturating_add(1);
        Ok(counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mem::MemStore;

    fn next(store: &mut MemStore, counters: &mut Counters) -> u64 {
        let mut tx = store.begin();
        let counter = counters.next(&mut tx).unwrap();
        tx.commit().unwrap();
        counter
    }

    #[test]
    fn a_start_takes_a_new_block() {
        let (mut store, mut counters) = (MemStore::default(), Counters::default());
        for expected in 1..=BLOCK + 1 {
            assert_eq!(next(&mut store, &mut counters), expected);
        }
        assert_eq!(next(&mut store, &mut Counters::default()), 2 * BLOCK + 1);
        assert_eq!(next(&mut store, &mut Counters::default()), 3 * BLOCK + 1);
        // The older process, were it still there, would stay within its own block and then jump.
        let rest: Vec<u64> = (0..BLOCK)
            .map(|_| next(&mut store, &mut counters))
            .collect();
        assert_eq!((rest[0], rest[1022]), (BLOCK + 2, 2 * BLOCK));
        assert_eq!(rest[1023], 4 * BLOCK + 1);
    }

    #[test]
    fn a_rolled_back_block_is_not_used() {
        let (mut store, mut counters) = (MemStore::default(), Counters::default());
        let mut tx = store.begin();
        assert_eq!(counters.next(&mut tx).unwrap(), 1);
        assert_eq!(counters.next(&mut tx).unwrap(), 2);
        drop(tx);
        // Nothing is reserved, so this one reserves, and does not repeat 1 or 2 within the process.
        assert_eq!(next(&mut store, &mut counters), 3);
        assert_eq!(next(&mut store, &mut Counters::default()), BLOCK + 3);
        let mut tx = store.begin();
        tx.savepoint().unwrap();
        let mut other = Counters::default();
        let lost = other.next(&mut tx).unwrap();
        tx.undo_savepoint().unwrap();
        assert_eq!(other.next(&mut tx).unwrap(), lost + 1);
        tx.commit().unwrap();
        assert!(next(&mut store, &mut Counters::default()) > lost + 1);
    }

    #[test]
    fn a_number_without_a_block_behind_it_is_damage() {
        let mut store = MemStore::default();
        for value in [&u64::MAX.to_be_bytes()[..], &[1]] {
            let mut tx = store.begin();
            tx.put_record(Record::StreamBlock, value).unwrap();
            let result = Counters::default().next(&mut tx);
            assert!(matches!(result, Err(StoreError::Damaged(_))));
        }
    }
}
