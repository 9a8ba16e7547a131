//! SQLite on a simulated disk: one VFS for all disks, which tells them apart by the file's name. May not lose, tear or lie
//! by itself: that is the disk's.
//!
//! It claims nothing of the disk but that a write harms no byte beside it (`POWERSAFE_OVERWRITE`), as SQLite's own does;
//! with more claims SQLite leaves syncs out and crash tests prove nothing. Shared memory and locks are real, because a node
//! reads through other connections than it writes.

mod handle;
mod locks;
mod memory;

pub(crate) use locks::Locks;
pub(crate) use memory::SharedMemory;

use crate::disk::{DiskError, Shared};
use crate::streams::Stream;
use rusqlite::ffi;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The name under which SQLite knows it.
pub const VFS_NAME: &str = "belfry-sim";
const VFS_NAME_C: &CStr = c"belfry-sim";
/// The system's own VFS, but for its randomness.
const SEEDED_NAME_C: &CStr = c"belfry-seeded";
/// Longest name of a file in bytes, as on Linux.
const NAME_BYTES: c_int = 512;
/// SQLite's clock: always the first of January 2026, in milliseconds of the Julian day.
const TIME_MS: i64 = 212_633_640_000_000;
const DAY_MS: f64 = 86_400_000.0;

/// What SQLite's generator is seeded from.
static SEED: Mutex<Option<Stream>> = Mutex::new(None);
static REGISTERED: OnceLock<c_int> = OnceLock::new();
static SEEDED: OnceLock<c_int> = OnceLock::new();

fn sqlite_refused(code: c_int) -> io::Error {
    io::Error::other(format!("SQLite takes no VFS: error {code}"))
}

/// Makes the VFS known to SQLite, once per process.
pub(crate) fn register() -> io::Result<()> {
    let code = *REGISTERED.get_or_init(|| {
        let vfs = Box::leak(Box::new(vfs()));
        // SAFETY: the structure is whole, and leaked, so that it and its static name outlive every connection.
        unsafe { ffi::sqlite3_vfs_register(vfs, 0) }
    });
    match code {
        ffi::SQLITE_OK => Ok(()),
        code => Err(sqlite_refused(code)),
    }
}

/// From here on, SQLite's own generator, which draws the salts of write-ahead logs, follows `seed`. It is one per process:
/// equal bytes on disk come of equal seeds only while one simulation runs in a process.
///
/// # Errors
/// When SQLite takes no other source of randomness.
pub fn reseed_sqlite(seed: u64) -> io::Result<()> {
    let code = *SEEDED.get_or_init(register_seeded);
    if code != ffi::SQLITE_OK {
        return Err(sqlite_refused(code));
    }
    *SEED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stream::new(seed, "sqlite", 0));
    // SAFETY: with no bytes asked for, the pointer is not used; the call only drops the generator's state.
    unsafe { ffi::sqlite3_randomness(0, std::ptr::null_mut()) };
    Ok(())
}

/// SQLite seeds its generator from the default VFS alone. A copy of that one with another source of randomness takes its
/// place, so that real files stay what they are.
fn register_seeded() -> c_int {
    // SAFETY: a null name asks for the default, which SQLite makes before it answers.
    let default = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    if default.is_null() {
        return ffi::SQLITE_ERROR;
    }
    // SAFETY: the default VFS is a valid structure for the life of the process, and plain data.
    let mut copy = unsafe { std::ptr::read(default) };
    copy.pNext = std::ptr::null_mut();
    copy.zName = SEEDED_NAME_C.as_ptr();
    copy.xRandomness = Some(randomness);
    let copy = Box::leak(Box::new(copy));
    // SAFETY: the copy is whole, and leaked; its methods get it as their own structure and find the same data in it.
    unsafe { ffi::sqlite3_vfs_register(copy, 1) }
}

fn vfs() -> ffi::sqlite3_vfs {
    ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: handle::SIZE,
        mxPathname: NAME_BYTES,
        pNext: std::ptr::null_mut(),
        zName: VFS_NAME_C.as_ptr(),
        pAppData: std::ptr::null_mut(),
        xOpen: Some(handle::open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(last_error),
        xCurrentTimeInt64: Some(current_time_ms),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }
}

/// The path that SQLite means.
///
/// # Safety
/// `name` must be a C string that lives as long as the result is used.
unsafe fn path_of<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: as the caller promises.
    let name = unsafe { CStr::from_ptr(name) };
    Path::new(OsStr::from_bytes(name.to_bytes()))
}

unsafe extern "C" fn delete(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_dir: c_int,
) -> c_int {
    // SAFETY: SQLite hands over a C string that lives during the call.
    let path = unsafe { path_of(name) };
    let Some(disk) = Shared::of(path) else {
        return ffi::SQLITE_IOERR_DELETE;
    };
    let mut state = disk.lock();
    let removed = state.remove(path).and_then(|()| match path.parent() {
        Some(dir) if sync_dir != 0 => state.sync_dir(dir),
        _ => Ok(()),
    });
    match removed {
        Ok(()) => ffi::SQLITE_OK,
        Err(DiskError::NotFound) => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    found: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands over a C string that lives during the call.
    let path = unsafe { path_of(name) };
    let Some(disk) = Shared::of(path) else {
        return ffi::SQLITE_IOERR_ACCESS;
    };
    let state = disk.lock();
    if state.dead {
        return ffi::SQLITE_IOERR_ACCESS;
    }
    // As SQLite's own: an empty file counts as none.
    let there = match state.find(path) {
        Ok(id) => flags != ffi::SQLITE_ACCESS_EXISTS || state.len(id).is_ok_and(|len| len > 0),
        Err(_) => state.exists(path),
    };
    // SAFETY: SQLite hands over a place for the answer.
    unsafe { *found = c_int::from(there) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite hands over a C string that lives during the call.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if usize::try_from(room).is_ok_and(|room| name.len() <= room) {
        // SAFETY: `out` has room for `room` bytes, which is enough, and is not where the name is.
        unsafe { std::ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
        ffi::SQLITE_OK
    } else {
        ffi::SQLITE_CANTOPEN
    }
}

unsafe extern "C" fn randomness(
    _vfs: *mut ffi::sqlite3_vfs,
    len: c_int,
    out: *mut c_char,
) -> c_int {
    let Ok(room) = usize::try_from(len) else {
        return 0;
    };
    let mut bytes = vec![0; room];
    let mut seed = SEED.lock().unwrap_or_else(PoisonError::into_inner);
    // Before anybody gave a seed any will do: SQLite draws nothing secret.
    seed.get_or_insert_with(|| Stream::new(0, "sqlite", 0))
        .fill(&mut bytes);
    // SAFETY: `out` has room for `len` bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, room) };
    len
}

/// Nobody waits in a simulation: whoever is in the way is in this thread.
unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

unsafe extern "C" fn current_time_ms(_vfs: *mut ffi::sqlite3_vfs, out: *mut i64) -> c_int {
    // SAFETY: SQLite hands over a place for the answer.
    unsafe { *out = TIME_MS };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    #[allow(clippy::cast_precision_loss, reason = "it is below 2^53")]
    let days = TIME_MS as f64 / DAY_MS;
    // SAFETY: SQLite hands over a place for the answer.
    unsafe { *out = days };
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(
    _vfs: *mut ffi::sqlite3_vfs,
    _room: c_int,
    _out: *mut c_char,
) -> c_int {
    0
}

/// A pointer to nothing in particular, as SQLite's interface has them.
type Anything = *mut c_void;
