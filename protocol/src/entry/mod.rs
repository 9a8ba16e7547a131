//! Ledger entries: one leaf is one canonical JSON object of at most 65,535 bytes.
//! An entry exists only as the result of [`press::Press`], which scrubs before it hashes; nothing here reads a clock
//! or draws randomness.

pub mod batch;
pub mod commit;
pub mod draft;
pub mod json;
pub mod kinds;
pub mod leaf;
pub mod press;
pub mod rulebook;
pub mod time;

pub use batch::Batch;
pub use draft::{Draft, EntryError, Visibility};
pub use leaf::Leaf;
pub use press::Press;
pub use rulebook::Rulebook;
