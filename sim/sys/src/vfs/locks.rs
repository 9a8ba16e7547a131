//! SQLite's locks on one file: the five levels of a database, and the slots of a write-ahead log's shared memory.
//! Touches no file.

use std::collections::BTreeMap;
use std::ffi::c_int;

use rusqlite::ffi;

/// How far a handle has locked a database, in SQLite's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    #[default]
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

impl Level {
    pub(super) fn of(number: c_int) -> Self {
        match number {
            ffi::SQLITE_LOCK_SHARED => Self::Shared,
            ffi::SQLITE_LOCK_RESERVED => Self::Reserved,
            ffi::SQLITE_LOCK_PENDING => Self::Pending,
            ffi::SQLITE_LOCK_EXCLUSIVE => Self::Exclusive,
            _ => Self::None,
        }
    }
}

/// Slots of shared memory that a handle holds, a bit for each.
#[derive(Clone, Copy, Debug, Default)]
struct Slots {
    shared: u32,
    exclusive: u32,
}

/// Who holds what of one file, by handle.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    levels: BTreeMap<u64, Level>,
    slots: BTreeMap<u64, Slots>,
}

impl Locks {
    fn others(&self, me: u64) -> impl Iterator<Item = Level> {
        self.levels
            .iter()
            .filter(move |(handle, _)| **handle != me)
            .map(|(_, level)| *level)
    }

    /// Raises a handle's level; `false` if somebody is in the way.
    pub(super) fn raise(&mut self, me: u64, wanted: Level) -> bool {
        let mine = self.levels.get(&me).copied().unwrap_or_default();
        if mine >= wanted {
            return true;
        }
        let highest = self.others(me).max().unwrap_or_default();
        let free = match wanted {
            Level::None => true,
            Level::Shared => highest < Level::Pending,
            Level::Reserved => highest < Level::Reserved,
            Level::Pending | Level::Exclusive => highest < Level::Reserved,
        };
        if !free {
            return false;
        }
        if wanted == Level::Exclusive && highest > Level::None {
            // Readers finish, and no new ones come.
            self.levels.insert(me, Level::Pending);
            return false;
        }
        self.levels.insert(me, wanted);
        true
    }

    /// Lowers a handle's level.
    pub(super) fn lower(&mut self, me: u64, wanted: Level) {
        match wanted {
            Level::None => drop(self.levels.remove(&me)),
            level => drop(self.levels.insert(me, level)),
        }
    }

    /// Whether somebody means to write.
    pub(super) fn is_reserved(&self) -> bool {
        self.levels.values().any(|level| *level >= Level::Reserved)
    }

    /// Takes slots; `false` if somebody is in the way.
    pub(super) fn take(&mut self, me: u64, mask: u32, exclusive: bool) -> bool {
        let in_the_way = self
            .slots
            .iter()
            .filter(|(handle, _)| **handle != me)
            .any(|(_, held)| held.exclusive & mask != 0 || (exclusive && held.shared & mask != 0));
        if in_the_way {
            return false;
        }
        let mine = self.slots.entry(me).or_default();
        if exclusive {
            mine.exclusive |= mask;
        } else {
            mine.shared |= mask;
        }
        true
    }

    /// Gives slots back.
    pub(super) fn give_back(&mut self, me: u64, mask: u32) {
        if let Some(mine) = self.slots.get_mut(&me) {
            mine.shared &= !mask;
            mine.exclusive &= !mask;
        }
    }

    /// A handle lets go of all slots.
    pub(super) fn unmap(&mut self, me: u64) {
        self.slots.remove(&me);
    }

    /// A handle is gone.
    pub(super) fn forget(&mut self, me: u64) {
        self.levels.remove(&me);
        self.slots.remove(&me);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_after_readers_are_gone_and_keeps_new_ones_out() {
        let mut locks = Locks::default();
        assert!(locks.raise(1, Level::Shared) && locks.raise(2, Level::Shared));
        assert!(locks.raise(1, Level::Reserved) && !locks.raise(2, Level::Reserved));
        assert!(!locks.raise(1, Level::Exclusive) && !locks.raise(3, Level::Shared));
        locks.lower(2, Level::None);
        assert!(locks.raise(1, Level::Exclusive) && locks.is_reserved());
        locks.forget(1);
        assert!(locks.raise(3, Level::Shared) && !locks.is_reserved());
    }

    #[test]
    fn slots_are_shared_by_readers_and_nobody_elses_when_exclusive() {
        let mut locks = Locks::default();
        assert!(locks.take(1, 0b110, false) && locks.take(2, 0b010, false));
        assert!(!locks.take(3, 0b010, true) && locks.take(3, 0b001, true));
        assert!(!locks.take(1, 0b001, false));
        locks.give_back(3, 0b001);
        assert!(locks.take(1, 0b001, false));
        locks.unmap(1);
        locks.unmap(2);
        assert!(locks.take(3, 0b111, true));
    }
}
