//! Small `stateright` models of the safety rules R1 to R4, R6, R8 and R14: each must hold, and each must break when a rule is dropped.
//! README.md beside this file says what is modelled, what is not, and how large each run is.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

mod acks;
mod boundary;
mod joint;
mod keys;
mod log;
mod nonces;
mod quorum;
mod replicate;
mod report;
mod voting;
