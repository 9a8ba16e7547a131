//! From bytes to the ledger in bulk: a reader cuts work into chunks, workers make entries in parallel, a submitter keeps
//! their order and hands them to the writer thread.
//!
//! | file | holds |
//! |---|---|
//! | [`lines`] | NDJSON: chunks of whole lines, line numbers, occurrence counts for `--dedupe` |
//! | [`files`] | files and directory trees as `file.observed` entries |
//! | [`pipeline`] | workers, order, and the summary |
//! | [`places`] | where the entries are |

pub mod files;
pub mod lines;
pub mod pipeline;
pub mod places;

pub use pipeline::{Item, OnError, Rejected, Summary};
pub use places::Runs;
