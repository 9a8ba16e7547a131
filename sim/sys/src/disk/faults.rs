//! What a disk does wrong, given as values. Nothing here happens by itself.

/// What happens to changes that no sync made durable, when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unsynced {
    /// All are lost.
    Lost,
    /// All are kept.
    Kept,
    /// Of each file the first ones are kept.
    Prefix,
    /// Some of them are kept, in their order.
    Subset,
    /// The first ones are kept, and sectors of the next.
    Torn,
    /// Every sector is as it was at a moment of its own.
    Reordered,
}

impl Unsynced {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Lost,
        Self::Kept,
        Self::Prefix,
        Self::Subset,
        Self::Torn,
        Self::Reordered,
    ];
}

/// What goes wrong from now on. Numbers count from the moment it is set; 0 is the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Before which operation the power fails.
    pub die_at_op: Option<u64>,
    /// Out of how many syncs one says that it is done and does nothing; 0: none.
    pub lying_syncs_one_in: u64,
    /// Which sync fails with an I/O error. What it should have written never becomes durable.
    pub fail_sync: Option<u64>,
    /// Which read fails with an I/O error.
    pub fail_read: Option<u64>,
    /// Which read gives only part of what is there, if it is none of SQLite's.
    pub short_read: Option<u64>,
    /// From which write on there is no room.
    pub full_at_write: Option<u64>,
}

/// What a disk did since it was mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations of all kinds.
    pub ops: u64,
    /// Reads.
    pub reads: u64,
    /// Writes and changes of a length.
    pub writes: u64,
    /// Syncs of files and directories.
    pub syncs: u64,
    /// Syncs that lied.
    pub lied: u64,
    /// Reads and syncs that failed, writes that found no room, reads that came short.
    pub failed: u64,
    /// Crashes.
    pub crashes: u64,
    /// Changes that crashes took.
    pub lost: u64,
}
