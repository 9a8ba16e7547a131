//! Memory that all handles of one database share: the index of its write-ahead log. It is gone with the last handle, and
//! with every crash, as on a real machine. Nothing here looks into it.

use super::Anything;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::{Mutex, PoisonError};

/// As wide as anything that SQLite puts there.
const ALIGN: usize = 16;

struct Region {
    at: *mut u8,
    layout: Layout,
}

impl Region {
    fn new(len: usize) -> Option<Self> {
        let layout = Layout::from_size_align(len, ALIGN).ok()?;
        if len == 0 {
            return None;
        }
        // SAFETY: the layout's size is not zero.
        let at = unsafe { alloc_zeroed(layout) };
        (!at.is_null()).then_some(Self { at, layout })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and whoever has the pointer also holds what owns the region.
        unsafe { dealloc(self.at, self.layout) };
    }
}

// SAFETY: Rust never touches the bytes; SQLite orders its own accesses by locks on the slots and by barriers.
unsafe impl Send for Region {}

/// The regions of one database.
#[derive(Default)]
pub(crate) struct SharedMemory(Mutex<Vec<Region>>);

impl SharedMemory {
    /// The address of a region, which stays as long as this is there. Regions up to it are made if `make` says so; without
    /// that a region that is not there is null. `None`: no memory.
    pub(super) fn region(&self, number: usize, len: usize, make: bool) -> Option<Anything> {
        let mut regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while make && regions.len() <= number {
            regions.push(Region::new(len)?);
        }
        let at = regions.get(number).map(|region| region.at.cast());
        Some(at.unwrap_or(std::ptr::null_mut()))
    }
}
