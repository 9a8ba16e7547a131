//! What a factory appended and no digest covers yet: bounded, because towers must hold all of it before it is signed (R1)
//! and a new incarnation prepares it as one. Volatile: a start counts from nothing, and is not wrong for long.

use std::collections::VecDeque;

/// Unsigned entries from which callers wait.
const ROOM_ENTRIES: u64 = 65_536;
/// Unsigned bytes from which callers wait: three cuts are on their way or wait.
const ROOM_BYTES: u64 = 16 << 20;

/// Appended and not signed.
#[derive(Default)]
pub(super) struct Backlog {
    /// Size of the ledger after an append, and the bytes of that append.
    appended: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl Backlog {
    /// Entries were appended.
    pub(super) fn appended(&mut self, size: u64, bytes: u64) {
        self.appended.push_back((size, bytes));
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// A digest covers the first `size` entries.
    pub(super) fn signed(&mut self, size: u64) {
        while let Some((after, bytes)) = self.appended.front().copied() {
            if after > size {
                break;
            }
            self.appended.pop_front();
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// Whether callers may append more to a ledger of `size` entries of which `signed` are covered.
    pub(super) fn has_room(&self, size: u64, signed: u64) -> bool {
        size.saturating_sub(signed) < ROOM_ENTRIES && self.bytes < ROOM_BYTES
    }

    /// Whether what is there may not grow at all, whoever asks.
    pub(super) fn is_full(&self, size: u64, signed: u64) -> bool {
        size.saturating_sub(signed) >= 4 * ROOM_ENTRIES || self.bytes >= 4 * ROOM_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_bytes_fill_it_and_a_digest_empties_it() {
        let mut backlog = Backlog::default();
        assert!(backlog.has_room(0, 0));
        assert!(!backlog.has_room(ROOM_ENTRIES + 5, 5));
        backlog.appended(10, ROOM_BYTES / 2);
        backlog.appended(20, ROOM_BYTES / 2);
        assert!(!backlog.has_room(20, 0));
        assert!(!backlog.is_full(20, 0));
        backlog.signed(15);
        assert!(backlog.has_room(20, 15));
        backlog.signed(20);
        assert_eq!(backlog.bytes, 0);
        backlog.appended(30, 4 * ROOM_BYTES);
        assert!(backlog.is_full(30, 20));
    }
}
