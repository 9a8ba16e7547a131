//! What faults do to a disk, and whether one of them explains what came of it.

use super::Drive;
use belfry_sim_sys::disk::Faults;
use std::path::PathBuf;

/// Operations of one step, more or less: a crash in a step hits one of them.
const DOOM_OPS: u64 = 12;
/// Writes that still find room when a disk becomes full.
const FULL_WRITES: u64 = 30;

impl Drive {
    /// Whether something that a fault did explains an error since the start.
    pub(crate) fn has_failed(&self) -> bool {
        self.disk.counts().failed > self.failed_before
    }

    /// Whether the machine has no power.
    pub(crate) fn is_dead(&self) -> bool {
        self.disk.is_dead()
    }

    /// Whether a fault may have damaged what is on it.
    pub(crate) fn is_damaged(&self) -> bool {
        self.rotten || self.lied
    }

    /// The next work on it is not survived: the power fails within it, or a sync.
    pub(crate) fn doom(&mut self, down_us: u64) {
        self.down_us = Some(down_us);
        if self.draws.one_in(2) {
            self.lose_power(DOOM_OPS);
        } else {
            self.faults.fail_sync = Some(0);
            self.set_faults();
        }
    }

    /// The power fails before one of the next operations.
    pub(crate) fn lose_power(&mut self, within: u64) {
        self.faults.die_at_op = Some(self.draws.below(within));
        self.set_faults();
    }

    /// There is no room: at once, or after a few more writes.
    pub(crate) fn fill(&mut self) {
        self.faults.full_at_write = Some(self.draws.below(FULL_WRITES));
        self.set_faults();
    }

    /// There is room again.
    pub(crate) fn make_room(&mut self) {
        self.faults.full_at_write = None;
        self.set_faults();
    }

    /// One in so many syncs says that it is done and does nothing; 0: none does.
    pub(crate) fn lie(&mut self, one_in: u64) {
        self.faults.lying_syncs_one_in = one_in;
        self.set_faults();
    }

    /// A bit of some file flips; says whether there was one.
    pub(crate) fn rot(&mut self) -> bool {
        let files = self.disk.files().into_iter().filter(|(path, len)| {
            // What SQLite's processes share is memory, and no file at rest.
            *len > 0 && path.extension().is_none_or(|name| name != "db-shm")
        });
        let files: Vec<PathBuf> = files.map(|(path, _)| path).collect();
        let flipped = self
            .draws
            .pick(&files)
            .and_then(|path| self.disk.flip_somewhere(path));
        self.rotten |= flipped.is_some();
        flipped.is_some()
    }

    /// It does nothing wrong any more.
    pub(crate) fn end_faults(&mut self) {
        self.faults = Faults::default();
        self.down_us = None;
        self.set_faults();
    }
}
