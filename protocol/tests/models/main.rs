//! Small `stateright` models of the safety rules R1 to R4: each must hold, and each must break when a rule is dropped.
//! README.md beside this file says what is modelled, what is not, and how large each run is.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

mod acks;
mod log;
mod quorum;
mod replicate;
mod report;
