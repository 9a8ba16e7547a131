//! The body of a Belfry node: store, writer, HTTP, command line. Behaviour is `belfry-protocol`'s; this crate gives it
//! disks, clocks and sockets.
//!
//! | module | holds |
//! |---|---|
//! | [`node`] | opening a data directory: lock, start-up check, threads |
//! | [`writer`], [`flusher`] | the one writing thread (group commit), tiles to files |
//! | [`store`], [`disk`] | SQLite and files |
//! | [`member`] | a node as a member of a federation: between engine and network |
//! | [`net`] | the transport between nodes |
//! | [`ingest`], [`reach`] | bulk appends; how far entries can ever get |
//! | [`fsck`], [`audit`] | checking one's own ledger; verifying anybody's |
//! | [`http`], [`cli`], [`config`], [`exit`] | what people and programs see |

pub mod audit;
pub mod cli;
mod clock;
pub mod config;
pub mod disk;
pub mod exit;
mod flusher;
pub mod founding;
pub mod fsck;
mod http;
pub mod ingest;
mod lock;
mod log;
pub mod member;
pub mod net;
pub mod node;
mod reach;
mod set_aside;
mod startup;
pub mod store;
pub mod writer;
