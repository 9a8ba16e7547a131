//! The simulated machine below a node: a disk in memory that loses, tears, reorders and lies as a seed says, SQLite on it,
//! crash trials of the store, and TUN for real processes. The one crate with unsafe code: SQLite and the kernel speak C.
//!
//! | module | holds |
//! |---|---|
//! | [`disk`] | the disk: what is durable, what is not yet, faults, crashes, snapshots; files of a node |
//! | [`fresh`] | a data directory as the product makes it |
//! | `vfs` | SQLite on it: files, locks, shared memory, randomness |
//! | [`trials`] | crash trials of the store, and what a store may answer after a crash |
//! | `process` | the clocks and the randomness of a thread, for simulators that ask for it |
//! | `tun` | network devices whose packets a program carries |
//! | [`streams`] | randomness from a seed, of the whole simulator |

pub mod disk;
pub mod fresh;
#[cfg(all(target_os = "linux", feature = "process"))]
pub mod process;
pub mod streams;
pub mod trials;
#[cfg(target_os = "linux")]
pub mod tun;
mod vfs;

pub use disk::SimDisk;
pub use vfs::{VFS_NAME, reseed_sqlite};
