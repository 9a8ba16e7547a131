//! The data-directory lock: one writing process at a time, held for life. Released by the system when the process ends.

use crate::exit::{Code, Failure};
use crate::store::Layout;
use std::fs::{File, OpenOptions, TryLockError};

/// A held lock.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock or says who has it.
    ///
    /// # Errors
    /// [`Code::Locked`] if another process holds it, [`Code::Io`] if the directory cannot be written.
    pub(crate) fn take(layout: &Layout) -> Result<Self, Failure> {
        let path = layout.lock();
        let unwritable = |error: std::io::Error| {
            Failure::new(Code::Io, format!("cannot write to {}: {error}", layout.dir().display()))
                .hint("the data directory must be writable by this user and on a disk that is not read-only")
        };
        std::fs::create_dir_all(layout.run()).map_err(unwritable)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Code::Locked,
                format!("another process is using {}", layout.dir().display()),
            )
            .hint("stop it, or let it do the work: commands use a running node by themselves")),
            Err(TryLockError::Error(error)) => Err(unwritable(error)),
        }
    }
}
