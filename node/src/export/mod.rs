//! Bulk export: whole ledgers over QUIC, on a port of its own. Read-only, and apart from the swarm: no connection, window
//! or task is shared with it, so a reader can slow down nobody but itself. The protocol is `belfry_protocol::export`.
//!
//! | file | holds |
//! |---|---|
//! | [`server`] | the endpoint: who may connect, and how many |
//! | [`serve`] | one export: the ask, the answer, the pieces |
//! | [`ledgers`] | who may read which ledger, and where its bytes are |
//! | [`tls`] | transport keys as certificates, and the limits of a connection |
//! | [`client`], [`directory`], [`fetch`] | the reader: the stream, the files, and the proof between them |

pub mod client;
mod directory;
pub mod fetch;
mod ledgers;
mod serve;
mod server;
#[cfg(test)]
mod tests;
mod tls;

pub use ledgers::{Ledgers, Newest};
pub use server::{Counts, Server, Shown};
