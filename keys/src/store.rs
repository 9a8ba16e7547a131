//! Files of the key directory: written once, durably and for the owner only; read bounded, with their mode checked.
//! May not know what is in them.

use crate::KeyError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Most bytes of any file here: an age file adds some hundred bytes to its content, a certificate note has at most
/// 5,000.
pub(crate) const MAX_FILE_BYTES: usize = 16_384;

/// Ending of a file that is being written; a crash may leave one, and nothing reads it.
const PARTIAL: &str = "partial";

pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io {
        action,
        path,
        source,
    }
}

/// Whether something is at `path`, even a dangling link.
pub(crate) fn exists(path: &Path) -> Result<bool, KeyError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io("look at", path)(error)),
    }
}

/// Makes a new directory for the owner only.
pub(crate) fn create_dir(path: &Path) -> Result<(), KeyError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(io("create", path))
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), KeyError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(io("sync", path))
}

/// Writes a new file durably, mode 0600: under another name first, then renamed. Never replaces a file.
pub(crate) fn write_new(dir: &Path, name: &str, content: &[u8]) -> Result<(), KeyError> {
    let path = dir.join(name);
    if exists(&path)? {
        return Err(KeyError::Exists(path));
    }
    let partial = dir.join(format!("{name}.{PARTIAL}"));
    remove_if_there(&partial)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .map_err(io("create", &partial))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(io("write", &partial))?;
    std::fs::rename(&partial, &path).map_err(io("rename", &partial))?;
    sync_dir(dir)
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), KeyError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Reads a whole small file. With `secret`, refuses one that others can access.
pub(crate) fn read(path: &Path, secret: bool) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
        _ => io("open", path)(error),
    })?;
    // Of the opened file, not of the path, so that nobody can swap it in between.
    let metadata = file.metadata().map_err(io("look at", path))?;
    if !metadata.is_file() {
        return Err(KeyError::Corrupt {
            path: path.to_owned(),
            problem: "it is not a file",
        });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if secret && mode & 0o077 != 0 {
        return Err(KeyError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    read_bounded(file, MAX_FILE_BYTES)
        .map_err(io("read", path))?
        .ok_or(KeyError::Corrupt {
            path: path.to_owned(),
            problem: "it is too large",
        })
}

/// Reads at most `limit` bytes into one allocation; `None` if there are more.
pub(crate) fn read_bounded(
    mut reader: impl std::io::Read,
    limit: usize,
) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut buffer = Zeroizing::new(vec![0u8; limit + 1]);
    let mut filled = 0;
    while filled <= limit {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => {
                buffer.truncate(filled);
                return Ok(Some(buffer));
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
