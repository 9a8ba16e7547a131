//! Files and syncs behind one trait, so that the simulator and the benches can put another disk in their place.
//! May not know what is in a file.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
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
    /// Writes a file's bytes over themselves and makes them durable; a file that is not there is none to write. After a sync
    /// that failed, a system may show bytes that it will never write: this is how they are written after all. Nobody else
    /// may write the file meanwhile.
    ///
    /// # Errors
    /// As the file system says.
    fn write_again(&self, path: &Path) -> io::Result<()>;
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
    /// Length of a file in bytes.
    ///
    /// # Errors
    /// As the file system says; [`io::ErrorKind::NotFound`] if there is none.
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Whether there is a file or directory of this name.
    fn exists(&self, path: &Path) -> bool;
    /// What is in a directory, by full path and in order.
    ///
    /// # Errors
    /// As the file system says; [`io::ErrorKind::NotFound`] if there is none.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Removes a file, without making that durable.
    ///
    /// # Errors
    /// As the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all that is in it, without making that durable.
    ///
    /// # Errors
    /// As the file system says.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written at `path`.
    ///
    /// # Errors
    /// As the file system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Name of the SQLite VFS that databases on this disk are opened with; `None`: the system's own files.
    fn vfs(&self) -> Option<&str> {
        None
    }
    /// Whether SQLite syncs by itself (always, in production). If not, [`Disk::database_synced`] stands for its syncs.
    fn database_syncs_itself(&self) -> bool;
    /// Called once for each sync of a database, after it.
    fn database_synced(&self);
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// Syncs under way at once. Each one alone waits for the disk's own flush; together they share it: 256 files take 25 ms
/// with 8 threads and 900 ms with one. One `syncfs` is as fast on a quiet machine and waits for everybody's data on a
/// busy one.
const SYNCS_AT_ONCE: usize = 16;
/// What is read at once of a file that is written again.
const PIECE_BYTES: usize = 1 << 20;

/// Syncs files or directories, many at once.
fn sync_all<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> io::Result<()> {
    let paths: Vec<&PathBuf> = paths.collect();
    let share = paths.len().div_ceil(SYNCS_AT_ONCE).max(1);
    let sync = |share: &[&PathBuf]| {
        share
            .iter()
            .try_for_each(|path| File::open(path)?.sync_all())
    };
    if paths.len() <= 1 {
        return sync(&paths);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = paths
            .chunks(share)
            .map(|share| scope.spawn(move || sync(share)))
            .collect();
        // Every thread is joined; the first error is the one that counts.
        let results: Vec<io::Result<()>> = threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a syncing thread panicked")))
            })
            .collect();
        results.into_iter().collect()
    })
}

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
        sync_all(files.iter())
    }

    fn write_again(&self, path: &Path) -> io::Result<()> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let (mut piece, mut at) = (vec![0; PIECE_BYTES], 0);
        loop {
            let read = file.read_at(&mut piece, at)?;
            if read == 0 {
                return file.sync_all();
            }
            file.write_all_at(&piece[..read], at)?;
            at += read as u64;
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
        sync_all(dirs.iter())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let items = fs::read_dir(dir)?;
        let mut paths: Vec<PathBuf> = items
            .map(|item| Ok(item?.path()))
            .collect::<io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
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

    fn write_again(&self, path: &Path) -> io::Result<()> {
        RealDisk.write_again(path)
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

    fn len(&self, path: &Path) -> io::Result<u64> {
        RealDisk.len(path)
    }

    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.remove_dir(dir)
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
