//! The transport between nodes, and the only place that knows libp2p. Bytes in, bytes out: it has no opinion on
//! messages, reads no store and keeps nothing on disk. Who may speak is the caller's decision ([`NetCommand::Admit`]).
//!
//! | module | holds |
//! |---|---|
//! | [`api`] | the types that cross the border: configuration, commands, events |
//! | [`handle`] | [`start`] and the handle that sends commands |
//! | `params` | every limit with its reason, the gossip settings |
//! | `behaviour` | how the libp2p protocols are put together |
//! | `wire` | what connections run over: sockets, or what a simulation brings |
//! | `codec` | frames of requests and responses |
//! | `door` | which connections come into being: bans, lobby places, duplicates |
//! | `dial_error` | why a dial failed, in words |
//! | `gate` | gossip and sync stay shut for a peer until it is admitted |
//! | `peers`, `members` | sessions, and whom to dial when: plain state, time is an argument |
//! | `requests` | which answer belongs to which question |
//! | `quotas`, `fair` | how much a peer may ask for, and we of it |
//! | `relays` | relays that are listened through |
//! | `probe` | a ping when somebody wants to know |
//! | `clocks` | probes of clocks, stamped at the socket |
//! | `counters` | what happened, in numbers |
//! | `event_loop`, `translate` | the one task: commands in, events out |
//!
//! **Sessions.** A peer is [`Up`](NetEvent::Up) once *one* connection to it is known to be accepted at both ends, and a
//! session never moves to another connection. When two nodes dial each other at once, the one with the smaller
//! `PeerId` keeps its first connection and refuses the other; the larger one waits to see which survives. A
//! connection that shows a session to be stale ends it, and the next dial starts a clean one. So the protocols
//! behind the gate never see two connections to one peer; gossipsub would lose its subscriptions there for good.

pub mod api;
mod behaviour;
mod clocks;
mod codec;
mod counters;
mod dial_error;
mod door;
mod event_loop;
mod fair;
mod gate;
pub mod handle;
mod members;
mod params;
mod peers;
mod probe;
mod quotas;
mod relays;
mod requests;
mod translate;
mod wire;

pub use api::{
    DialStatus, GossipId, InboundId, NetCommand, NetConfig, NetError, NetEvent, PeerStatus,
    Protocol, RequestFailure, Topic, Transport, Verdict,
};
pub use counters::{Counters, Counts, Tally};
pub use handle::{NetHandle, peer_id_of, start};
pub use libp2p::{Multiaddr, PeerId};
pub use params::{MAX_GOSSIP_BYTES, MAX_RELAYS, OVERSTAYED};
pub use quotas::{Limits, Quota, Resource};
pub use wire::{Carrier, Stream, Wire};
