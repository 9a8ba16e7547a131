//! Model A: one factory's lives, its towers, and messages that arrive in any order, twice or never (R1 to R3).
//! `state` is what is stored, `factory` and `tower` are the moves of each side, `holds` to `extra` are the runs.

mod broken;
mod config;
mod extra;
mod factory;
mod holds;
mod model;
mod restored;
mod state;
mod tower;
