//! The files of a node that are not SQLite's, on the same disk.

use super::SimDisk;
use super::state::{DiskError, State};
use belfry_node::disk::Disk;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

fn io_error(path: &Path, error: DiskError) -> io::Error {
    let (kind, what) = match error {
        DiskError::Dead => (io::ErrorKind::Other, "the simulated machine has no power"),
        DiskError::NotFound => (
            io::ErrorKind::NotFound,
            "there is no such file or directory",
        ),
        DiskError::WrongKind => (io::ErrorKind::NotADirectory, "it is of the other kind"),
        DiskError::Full => (io::ErrorKind::StorageFull, "no room on the simulated disk"),
        DiskError::Read => (io::ErrorKind::Other, "simulated I/O error: cannot be read"),
        DiskError::Sync => (
            io::ErrorKind::Other,
            "simulated I/O error: cannot be synced",
        ),
    };
    io::Error::new(kind, format!("{}: {what}", path.display()))
}

impl SimDisk {
    fn at<T>(
        &self,
        path: &Path,
        work: impl FnOnce(&mut State) -> Result<T, DiskError>,
    ) -> io::Result<T> {
        work(&mut self.lock()).map_err(|error| io_error(path, error))
    }
}

impl Disk for SimDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.at(path, |state| {
            if let Some(dir) = path.parent() {
                state.make_dirs(dir)?;
            }
            let id = state.open(path, true)?;
            if state.len(id)? > 0 {
                state.resize(id, 0)?;
            }
            state.write(id, 0, bytes)
        })
    }

    fn sync_files(&self, files: &[PathBuf]) -> io::Result<()> {
        files.iter().try_for_each(|path| {
            self.at(path, |state| {
                let id = state.find(path)?;
                state.sync(id)
            })
        })
    }

    fn write_again(&self, path: &Path) -> io::Result<()> {
        self.at(path, |state| {
            let id = match state.find(path) {
                Err(DiskError::NotFound) => return Ok(()),
                other => other?,
            };
            let bytes = state.read_whole(id)?;
            state.write(id, 0, &bytes)?;
            state.sync(id)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at(from, |state| {
            if let Some(dir) = to.parent() {
                state.make_dirs(dir)?;
            }
            state.rename(from, to)
        })
    }

    fn sync_dirs(&self, dirs: &BTreeSet<PathBuf>) -> io::Result<()> {
        dirs.iter()
            .try_for_each(|dir| self.at(dir, |state| state.sync_dir(dir)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.at(path, |state| {
            let id = state.find(path)?;
            state.read_whole(id)
        })
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        self.at(path, |state| {
            let id = state.find(path)?;
            state.len(id)
        })
    }

    fn exists(&self, path: &Path) -> bool {
        self.lock().exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.at(dir, |state| state.list(dir))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.at(path, |state| state.remove(path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.at(dir, |state| state.remove_dir(dir))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.lock().free())
    }

    fn vfs(&self) -> Option<&str> {
        Some(crate::vfs::VFS_NAME)
    }

    fn database_syncs_itself(&self) -> bool {
        true
    }

    fn database_synced(&self) {}
}
