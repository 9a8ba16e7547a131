//! A disk in memory. It remembers which changes no sync made durable yet, and a crash takes some of them as a seed says.
//! Whatever it does wrong was asked for as a value; it knows nothing of what is in a file.

mod faults;
mod file;
mod files;
mod names;
mod state;

pub use faults::{Counts, Faults, Unsynced};
pub(crate) use state::{DiskError, State};

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// All disks of this process, by root: SQLite hands its files over as names.
static MOUNTED: Mutex<BTreeMap<PathBuf, Weak<Shared>>> = Mutex::new(BTreeMap::new());

fn mounted() -> MutexGuard<'static, BTreeMap<PathBuf, Weak<Shared>>> {
    MOUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One disk, as its owners and SQLite's handles share it.
pub(crate) struct Shared {
    root: PathBuf,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk on which a path is.
    pub(crate) fn of(path: &Path) -> Option<Arc<Self>> {
        let all = mounted();
        path.ancestors()
            .find_map(|root| all.get(root).and_then(Weak::upgrade))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut all = mounted();
        // Another disk may be there already.
        if all
            .get(&self.root)
            .is_some_and(|disk| disk.strong_count() == 0)
        {
            all.remove(&self.root);
        }
    }
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

/// What a disk held at one moment.
#[derive(Clone)]
pub struct Snapshot(state::Image);

impl Snapshot {
    /// Its files, with their lengths in bytes.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.0.files()
    }
}

impl SimDisk {
    /// An empty disk for all names below `root`, which no real file has while this or an open file of it is there.
    ///
    /// # Errors
    /// When `root` is not absolute, or another disk is there.
    pub fn mount(root: impl Into<PathBuf>, seed: u64) -> io::Result<Self> {
        let root = root.into();
        if !root.is_absolute() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no absolute path", root.display()),
            ));
        }
        crate::vfs::register()?;
        let mut all = mounted();
        let taken = root
            .ancestors()
            .any(|above| all.get(above).is_some_and(|disk| disk.strong_count() > 0));
        if taken {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("there is a simulated disk at {} already", root.display()),
            ));
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(&root, seed)),
            root: root.clone(),
        });
        all.insert(root, Arc::downgrade(&shared));
        Ok(Self { shared })
    }

    /// Where its names begin.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// What goes wrong from now on, in place of what was said before.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().set_faults(faults);
    }

    /// Looks at what is on it as no process does: what is to go wrong neither happens meanwhile nor comes nearer.
    pub fn calmly<R>(&self, look: impl FnOnce() -> R) -> R {
        let before = std::mem::replace(&mut self.lock().calm, true);
        let found = look();
        self.lock().calm = before;
        found
    }

    /// How many bytes fit.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Whether the power failed: every operation fails until [`SimDisk::crash`].
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// The power fails and comes back. Handles that are still open fail for ever. Says what happened to what was not
    /// synced: `mode`, or one that the seed draws.
    pub fn crash(&self, mode: Option<Unsynced>) -> Unsynced {
        self.lock().crash(mode)
    }

    /// The process stops and starts again, and the machine runs on: nothing is lost, handles that are open fail for ever.
    pub fn restart(&self) {
        self.lock().restart();
    }

    /// Changes that a crash may take now.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced()
    }

    /// What is on it now, as a backup would take it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.lock().image())
    }

    /// Everything is as it was then, and durable. Handles that are still open fail for ever.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.lock().restore(&snapshot.0, |_| true);
    }

    /// As [`SimDisk::restore`], of the files alone whose names begin with `name`: `ledger.db` goes back with its log.
    pub fn restore_files(&self, snapshot: &Snapshot, name: &Path) {
        let name = name.as_os_str().as_encoded_bytes();
        self.lock().restore(&snapshot.0, |path| {
            path.as_os_str().as_encoded_bytes().starts_with(name)
        });
    }

    /// As [`SimDisk::restore`], of what was on another disk.
    pub fn restore_from(&self, other: &Snapshot, root: &Path) {
        let moved = other.0.moved(root, self.root());
        self.lock().restore(&moved, |_| true);
    }

    /// All files, with their lengths in bytes.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.lock().image().files()
    }

    /// Changes one bit of a file where it is stored; says whether there was one.
    pub fn flip(&self, path: &Path, byte: u64, bit: u8) -> bool {
        self.lock().flip(path, byte, bit)
    }

    /// As [`SimDisk::flip`], somewhere in the file; says where.
    pub fn flip_somewhere(&self, path: &Path) -> Option<(u64, u8)> {
        self.lock().flip_somewhere(path)
    }

    /// Whether these bytes lie anywhere on it: in a file, in what a crash would bring back, in what no name leads to.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.lock().holds(bytes)
    }

    /// A number that is another one if anything on the disk is.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.lock().image().fingerprint()
    }
}
