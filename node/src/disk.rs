//! Files and syncs behind one trait, so that the simulator and the benches can put another disk in their place.
//! May not know what is in a file.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the store needs from a disk.
pub trait Disk: Send + Sync {
    /// Writes a new file without syncing it; missing directories are made.
    ///
    /// # Errors
    /// As the file system says.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Makes the contents of all these files durable.
    ///
    /// # Errors
    /// As the file system says; the contents must then be taken as lost.
    fn sync_files(&self, files: &[PathBuf]) -> io::Result<()>;
    /// Renames a file over another within one file system.
    ///
    /// # Errors
    /// As the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in these directories durable.
    ///
    /// # Errors
    /// As the file system says.
    fn sync_dirs(&self, dirs: &BTreeSet<PathBuf>) -> io::Result<()>;
    /// Reads a whole file.
    ///
    /// # Errors
    /// As the file system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Bytes that can still be written at `path`.
    ///
    /// # Errors
    /// As the file system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Whether SQLite syncs by itself (always, in production). If not, [`Disk::database_synced`] stands for its syncs.
    fn database_syncs_itself(&self) -> bool;
    /// Called once for each sync of a database, after it.
    fn database_synced(&self);
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// Files in one batch up to which each is synced on its own; above, one sync of the file system is cheaper: it needs
/// one journal commit instead of one per file.
const SINGLE_SYNCS: usize = 4;

impl Disk for RealDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let open = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
        };
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
                open()?
            }
            other => other?,
        };
        file.write_all(bytes)
    }

    fn sync_files(&self, files: &[PathBuf]) -> io::Result<()> {
        match files.first() {
            Some(first) if files.len() > SINGLE_SYNCS && cfg!(target_os = "linux") => {
                sync_file_system(first)
            }
            _ => files
                .iter()
                .try_for_each(|path| File::open(path)?.sync_all()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
                fs::rename(from, to)
            }
            other => other,
        }
    }

    fn sync_dirs(&self, dirs: &BTreeSet<PathBuf>) -> io::Result<()> {
        match dirs.first() {
            Some(first) if dirs.len() > SINGLE_SYNCS && cfg!(target_os = "linux") => {
                sync_file_system(first)
            }
            _ => dirs
                .iter()
                .try_for_each(|path| File::open(path)?.sync_all()),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn database_syncs_itself(&self) -> bool {
        true
    }

    fn database_synced(&self) {}
}

/// One sync of the whole file system: since Linux 5.8 it reports write-back errors as `fsync` does.
#[cfg(target_os = "linux")]
fn sync_file_system(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(path)?)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A disk whose every sync takes a fixed time and makes nothing durable: for benches alone, because the time of a real
/// sync wanders by a factor of fifty.
#[derive(Clone, Copy, Debug)]
pub struct FixedSyncDisk {
    /// How long a sync takes.
    pub sync: Duration,
}

impl Disk for FixedSyncDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        RealDisk.write(path, bytes)
    }

    fn sync_files(&self, _files: &[PathBuf]) -> io::Result<()> {
        std::thread::sleep(self.sync);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn sync_dirs(&self, _dirs: &BTreeSet<PathBuf>) -> io::Result<()> {
        std::thread::sleep(self.sync);
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }

    fn database_syncs_itself(&self) -> bool {
        false
    }

    fn database_synced(&self) {
        std::thread::sleep(self.sync);
    }
}
