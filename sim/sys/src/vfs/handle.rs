//! One file that SQLite has open: a number on a disk, what it has locked, and the memory it shares. A handle from before a
//! crash fails for ever.

use super::locks::Level;
use super::{Anything, SharedMemory, path_of};
use crate::disk::{DiskError, Shared, State};
use rusqlite::ffi;
use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};

/// What SQLite sets aside for a file.
#[repr(C)]
struct Slot {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "it is 16"
)]
pub(super) const SIZE: c_int = size_of::<Slot>() as c_int;

/// What a disk writes at once as far as SQLite knows; the same as its own VFS says.
const SECTOR_BYTES: c_int = 4_096;

struct Handle {
    disk: Arc<Shared>,
    /// Its own number, for locks.
    me: u64,
    file: u64,
    epoch: u64,
    memory: Option<Arc<SharedMemory>>,
    /// The directory of a log or journal, until the first sync makes its name durable too. As SQLite's own VFS: also of one
    /// that was there, because whoever made it may have ended before its first sync.
    new_in: Option<PathBuf>,
    /// To be removed when it is closed.
    temporary: Option<PathBuf>,
}

impl Handle {
    /// The disk, if this handle is worth anything.
    fn disk(&self) -> Result<MutexGuard<'_, State>, DiskError> {
        let state = self.disk.lock();
        state.alive(self.epoch)?;
        Ok(state)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.epoch() != self.epoch {
            return;
        }
        if let Some(locks) = state.locks.get_mut(&self.file) {
            locks.forget(self.me);
        }
        if let Some(path) = &self.temporary {
            // Without power it stays, and is nobody's.
            let _ = state.remove(path);
        }
        state.release(self.file);
    }
}

/// The handle behind what SQLite hands over.
///
/// # Safety
/// `file` must have been opened by [`open`] and not closed since.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: `open` wrote a `Slot` there, whose first field is what SQLite knows.
    let slot = unsafe { &mut *file.cast::<Slot>() };
    // SAFETY: the handle lives until `close`, and SQLite uses a file from one thread at a time.
    unsafe { &mut *slot.handle }
}

fn code(result: Result<(), DiskError>, io: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(DiskError::Full) => ffi::SQLITE_FULL,
        Err(_) => io,
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

pub(super) unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite set aside `SIZE` bytes there; without methods it will not close what was never opened.
    unsafe { (*file).pMethods = std::ptr::null() };
    if name.is_null() {
        // Everything that needs no name is kept in memory here (`temp_store`).
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: SQLite hands over a C string that lives as long as the file is open.
    let path = unsafe { path_of(name) };
    let Some(disk) = Shared::of(path) else {
        return ffi::SQLITE_CANTOPEN;
    };
    let mut state = disk.lock();
    let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let id = match state.open(path, create) {
        Ok(id) => id,
        Err(DiskError::NotFound | DiskError::WrongKind) => return ffi::SQLITE_CANTOPEN,
        Err(_) => return ffi::SQLITE_IOERR,
    };
    state.hold(id);
    let journal =
        ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
    let handle = Handle {
        me: state.fresh(),
        file: id,
        epoch: state.epoch(),
        memory: None,
        new_in: path
            .parent()
            .filter(|_| create && flags & journal != 0)
            .map(Into::into),
        temporary: (flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0).then(|| path.to_owned()),
        disk: Arc::clone(&disk),
    };
    drop(state);
    let slot = Slot {
        base: ffi::sqlite3_file { pMethods: &METHODS },
        handle: Box::into_raw(Box::new(handle)),
    };
    // SAFETY: SQLite set aside `SIZE` bytes there, aligned for any structure.
    unsafe { file.cast::<Slot>().write(slot) };
    if !out_flags.is_null() {
        // SAFETY: it is not null, so it is a place for the answer.
        unsafe { *out_flags = flags };
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` wrote a `Slot` there.
    let slot = unsafe { &mut *file.cast::<Slot>() };
    slot.base.pMethods = std::ptr::null();
    // SAFETY: `open` made it with `Box::into_raw`, and SQLite closes a file once.
    drop(unsafe { Box::from_raw(slot.handle) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    out: Anything,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    let (Ok(len), Ok(at)) = (usize::try_from(len), u64::try_from(at)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    let Ok(mut state) = handle.disk() else {
        return ffi::SQLITE_IOERR_READ;
    };
    let Ok(found) = state.read(handle.file, at, len) else {
        return ffi::SQLITE_IOERR_READ;
    };
    let out: *mut u8 = out.cast();
    // SAFETY: `out` has room for `len` bytes, no more than that were read, and they are not there.
    unsafe { std::ptr::copy_nonoverlapping(found.as_ptr(), out, found.len()) };
    if found.len() == len {
        return ffi::SQLITE_OK;
    }
    // SAFETY: what was read ends within the `len` bytes.
    let rest = unsafe { out.add(found.len()) };
    // SAFETY: so does the rest, which SQLite wants as zeros.
    unsafe { std::ptr::write_bytes(rest, 0, len - found.len()) };
    ffi::SQLITE_IOERR_SHORT_READ
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const std::ffi::c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    let (Ok(len), Ok(at)) = (usize::try_from(len), u64::try_from(at)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite hands over `len` bytes, which nobody changes during the call.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) };
    let done = handle
        .disk()
        .and_then(|mut state| state.write(handle.file, at, bytes));
    code(done, ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    let Ok(len) = u64::try_from(len) else {
        return ffi::SQLITE_IOERR_TRUNCATE;
    };
    let done = handle
        .disk()
        .and_then(|mut state| state.resize(handle.file, len));
    code(done, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    let new_in = handle.new_in.take();
    let done = handle.disk().and_then(|mut state| {
        state.sync(handle.file)?;
        new_in.map_or(Ok(()), |dir| state.sync_dir(&dir))
    });
    code(done, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    let len = handle.disk().and_then(|state| state.len(handle.file));
    let Some(len) = len.ok().and_then(|len| i64::try_from(len).ok()) else {
        return ffi::SQLITE_IOERR_FSTAT;
    };
    // SAFETY: SQLite hands over a place for the answer.
    unsafe { *out = len };
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    let Ok(mut state) = handle.disk() else {
        return ffi::SQLITE_IOERR_LOCK;
    };
    let locks = state.locks.entry(handle.file).or_default();
    if locks.raise(handle.me, Level::of(level)) {
        ffi::SQLITE_OK
    } else {
        ffi::SQLITE_BUSY
    }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    if let Ok(mut state) = handle.disk() {
        let locks = state.locks.entry(handle.file).or_default();
        locks.lower(handle.me, Level::of(level));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    let Ok(mut state) = handle.disk() else {
        return ffi::SQLITE_IOERR_CHECKRESERVEDLOCK;
    };
    let locks = state.locks.entry(handle.file).or_default();
    // SAFETY: SQLite hands over a place for the answer.
    unsafe { *out = c_int::from(locks.is_reserved()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(
    _file: *mut ffi::sqlite3_file,
    _what: c_int,
    _with: Anything,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    number: c_int,
    len: c_int,
    make: c_int,
    out: *mut *mut std::ffi::c_void,
) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    let (Ok(number), Ok(len)) = (usize::try_from(number), usize::try_from(len)) else {
        return ffi::SQLITE_IOERR_SHMMAP;
    };
    if handle.memory.is_none() {
        let Ok(mut state) = handle.disk() else {
            return ffi::SQLITE_IOERR_SHMOPEN;
        };
        let there = state
            .memory
            .get(&handle.file)
            .and_then(std::sync::Weak::upgrade);
        let memory = there.unwrap_or_default();
        state.memory.insert(handle.file, Arc::downgrade(&memory));
        drop(state);
        handle.memory = Some(memory);
    }
    let memory = handle.memory.as_ref();
    let Some(at) = memory.and_then(|memory| memory.region(number, len, make != 0)) else {
        return ffi::SQLITE_NOMEM;
    };
    // SAFETY: SQLite hands over a place for the answer.
    unsafe { *out = at };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    let mask = ((1_u32 << count) - 1) << first;
    let Ok(mut state) = handle.disk() else {
        return ffi::SQLITE_IOERR_SHMLOCK;
    };
    let locks = state.locks.entry(handle.file).or_default();
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        locks.give_back(handle.me, mask);
        return ffi::SQLITE_OK;
    }
    if locks.take(handle.me, mask, flags & ffi::SQLITE_SHM_EXCLUSIVE != 0) {
        ffi::SQLITE_OK
    } else {
        ffi::SQLITE_BUSY
    }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    // What SQLite's own VFS does: a fence, and a mutex taken and given back.
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    drop(handle.disk.lock());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: SQLite hands over a file that is open.
    let handle = unsafe { handle(file) };
    if let Ok(mut state) = handle.disk()
        && let Some(locks) = state.locks.get_mut(&handle.file)
    {
        locks.unmap(handle.me);
    }
    handle.memory = None;
    ffi::SQLITE_OK
}
