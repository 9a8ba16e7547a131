//! What Belfry nodes say and how they must behave.
//!
//! This crate does no I/O: no socket, file, clock, thread or randomness. Time and seeds come in as values.

pub mod base64;
pub mod hex;
pub mod tlog;
