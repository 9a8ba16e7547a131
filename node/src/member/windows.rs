//! Files of windows (R13): verbatim acks, each file under its own hash. Writes and reads whole files; may not look into
//! them. How long they are kept is in [`expire`].

mod expire;

pub use expire::Retention;

use crate::disk::Disk;
use crate::store::Layout;
use belfry_protocol::tlog::hash::{Hash, sha256};
use belfry_protocol::window::MAX_ATTACHMENT_BYTES;
use std::collections::BTreeSet;
use std::io;
use std::time::SystemTime;

/// Makes a file durable under its hash. One that is there already is written again: it may be from a crash.
///
/// # Errors
/// When the disk fails.
pub fn keep(layout: &Layout, disk: &dyn Disk, hash: Hash, bytes: &[u8]) -> io::Result<()> {
    let path = layout.window(&hash);
    let temporary = path.with_extension("new");
    disk.write(&temporary, bytes)?;
    disk.sync_files(std::slice::from_ref(&temporary))?;
    disk.rename(&temporary, &path)?;
    // The directory may be as new as the file.
    disk.sync_dirs(&BTreeSet::from([
        layout.windows(),
        layout.dir().to_path_buf(),
    ]))
}

/// Removes the files that are older than the configuration keeps them, or too many.
pub fn expire(layout: &Layout, retention: Retention) {
    match expire::expire(layout, retention, SystemTime::now()) {
        Ok(0) => {}
        Ok(files) => tracing::info!(
            files,
            "files of old windows were removed; their entries stay"
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(%error, "files of old windows could not be removed; the next window tries again");
        }
    }
}

/// The file with that hash; `None` if there is none.
///
/// # Errors
/// When it cannot be read, or is not what was written.
pub fn read_window(layout: &Layout, disk: &dyn Disk, hash: Hash) -> io::Result<Option<Vec<u8>>> {
    let path = layout.window(&hash);
    match disk.len(&path) {
        Ok(len) if len > MAX_ATTACHMENT_BYTES as u64 => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is larger than any window's file", path.display()),
            ));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let bytes = disk.read(&path)?;
    if sha256(&bytes) != hash {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is damaged: it has another hash", path.display()),
        ));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn a_file_is_found_by_its_hash_and_a_damaged_one_is_not_given_out() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        let (bytes, disk) = (b"acks\n".as_slice(), RealDisk);
        let hash = sha256(bytes);
        assert!(read_window(&layout, &disk, hash).unwrap().is_none());
        for _ in 0..2 {
            keep(&layout, &disk, hash, bytes).unwrap();
        }
        let read = read_window(&layout, &disk, hash).unwrap();
        assert_eq!(read.as_deref(), Some(bytes));
        std::fs::write(layout.window(&hash), "other").unwrap();
        let error = read_window(&layout, &disk, hash).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
