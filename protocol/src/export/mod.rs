//! Bulk export: a ledger's entries and hash tiles as one stream, in an order in which a reader can prove every piece when
//! it comes. Bytes and their proof only: knows no socket, and decides nothing about who may read.
//!
//! [`message`] is what is said before the stream, [`Plan`] the order of its pieces, [`Checker`] the reader's proof of
//! them, and [`Held`] what a reader has from before.

mod check;
mod held;
pub mod message;
mod plan;
#[cfg(test)]
mod tests;

pub use check::{Checked, Checker, Wrong};
pub use held::Held;
pub use message::{Accepted, Ask, Kind, Refused, Why};
pub use plan::{Piece, Plan};

use crate::wire::Version;

/// What both sides name while they greet each other below this protocol (TLS ALPN).
pub const ALPN: &[u8] = b"belfry-export/1";
/// The version of every frame.
pub const VERSION: Version = Version::V1_0;
/// Longest payload of an ask: an origin, a number and a token.
pub const MAX_ASK_BYTES: usize = 1_024;
/// Longest payload of an answer: a note, and 256 certificates of a size that none has come near.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;
