//! Verifying without trusting: receipts, exports, tile trees on disk or on the web. Works on any machine, needs no node
//! and no network where files are given. May not write anything.

pub mod history;
pub mod policy;
pub mod receipt;
pub mod source;
pub mod tree;
