//! Whole nodes in virtual time: the production behaviour of the transport, the production runtime between it and the
//! engine, the production store, on tokio's paused clock and a network in memory. Slower than discrete events, and it puts
//! to the test what those leave out: the glue, libp2p itself, and time-outs of both.
//!
//! | module | holds |
//! |---|---|
//! | [`time`] | one simulation: a thread with its own clock and randomness |
//! | [`wire`] | streams of bytes between nodes: latencies, stalls, resets, dead directions |
//! | [`federation`] | founding, starting and killing nodes; what they say of themselves |
//! | [`play`] | a plan of the simulator, played here |

pub mod federation;
pub mod play;
pub mod time;
pub mod wire;
