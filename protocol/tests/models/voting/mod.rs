//! Model D: founding and amending by rounds, certificates and locks, with liars, absentees, joiners, lost disks and
//! yields to a recovery manifest (R14). `config` is what a run allows, `rules` are the judgements, `model` the moves.

mod broken;
mod config;
mod holds;
mod model;
mod rules;
mod state;
