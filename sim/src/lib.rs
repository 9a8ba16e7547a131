//! A deterministic simulator: the production engine with its production rules on a virtual clock, network and disk. One
//! seed gives one run, byte for byte; whatever it finds is replayed with one command.
//!
//! | module | holds |
//! |---|---|
//! | [`plan`] | what a run is told from outside: topology, workload, faults; drawn from a seed or written by hand |
//! | [`run`] | one run to its end |
//! | `world`, `queue`, `node`, `net`, [`clock`] | what happens next, machines, connections, clocks |
//! | `directory`, `drive` | what survives a process: in memory, or the product's store on a simulated disk |
//! | `inject` | what faults do |
//! | `watch` | whether the rules are kept |
//! | [`founding`] | the federation that is simulated |
//! | [`swarm`], [`shrink`] | many seeds; a smaller plan that fails alike |
//! | [`ceremonies`] | foundings and amendments by vote, with humans and liars |
//! | [`large`] | many federations beside each other, and nodes that follow heads |
//! | [`scenario`] | the same, as an operator writes it |
//! | [`report`] | a run as a page |
//! | [`work`], [`heads`] | what callers do, and what the ledgers are in the end: the same for every tier |
//! | [`streams`] | randomness, one stream for each purpose |

pub mod ceremonies;
pub mod clock;
mod directory;
mod drive;
pub mod founding;
pub mod heads;
mod inject;
pub mod large;
mod net;
mod node;
pub mod plan;
mod queue;
pub mod report;
pub mod run;
#[cfg(feature = "sabotage")]
mod sabotage;
pub mod scenario;
pub mod shrink;
pub mod swarm;
mod watch;
pub mod work;
mod world;

pub use belfry_sim_sys::streams;
pub use watch::{RARE, Violation};
