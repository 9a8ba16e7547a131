//! The body of a Belfry node: store, writer, HTTP, command line. Behaviour is `belfry-protocol`'s; this crate gives it
//! disks, clocks and sockets.
//!
//! | module | holds |
//! |---|---|
//! | [`node`] | opening a data directory: lock, start-up check, threads |
//! | [`writer`], [`flusher`] | the one writing thread (group commit), tiles to files |
//! | [`drive`] | threads in production, tasks where a simulation has one thread |
//! | [`store`], [`disk`] | SQLite and files |
//! | [`member`] | a node as a member of a federation: between engine and network |
//! | [`net`] | the transport between nodes |
//! | [`export`] | whole ledgers over QUIC: the endpoint and its reader |
//! | [`ingest`], [`reach`] | bulk appends; how far entries can ever get |
//! | [`doctor`] | what an operator would look at |
//! | [`fsck`], [`audit`] | checking one's own ledger; verifying anybody's |
//! | `witnessing` | submitting the own digests to foreign witnesses |
//! | [`conformance`] | driving anybody's witness through the status table |
//! | [`http`], [`cli`], [`config`], [`exit`] | what people and programs see |
//!
//! Without the feature `net` there is everything between the engine and a disk, and no thread, clock or socket is needed
//! to drive it: that is what the simulator runs. `net` adds the running node and its transport, `http` what people and
//! programs see.

#![cfg_attr(
    all(feature = "net", not(feature = "http")),
    allow(
        dead_code,
        unused_imports,
        reason = "some of it is there for `http` alone"
    )
)]

mod clock;
pub mod disk;
#[cfg(feature = "net")]
pub mod drive;
pub mod exit;
pub mod flusher;
pub mod fsck;
pub mod member;
#[cfg(feature = "sabotage")]
pub mod sabotage;
mod set_aside;
pub mod startup;
pub mod store;
pub mod writer;

#[cfg(feature = "http")]
pub mod ceremony;
#[cfg(feature = "net")]
pub mod config;
#[cfg(feature = "net")]
pub mod founding;
#[cfg(feature = "net")]
mod lock;
#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "net")]
pub mod node;

#[cfg(feature = "http")]
pub mod audit;
#[cfg(feature = "http")]
pub mod cli;
#[cfg(feature = "http")]
pub mod conformance;
#[cfg(feature = "http")]
pub mod doctor;
#[cfg(feature = "http")]
pub mod export;
#[cfg(feature = "http")]
mod forks;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
pub mod ingest;
#[cfg(feature = "http")]
mod key_state;
#[cfg(feature = "http")]
mod log;
#[cfg(feature = "http")]
mod reach;
#[cfg(feature = "http")]
mod web;
#[cfg(feature = "http")]
mod witnessing;
