//! Founding and amending through the public surface: documents, rules, schedules of crashes and liars, chains.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

mod ceremony;
mod chain;
mod documents;
mod fixture;
mod history;
mod invitations;
mod joint;
mod mischief;
mod one;
mod recovery;
mod schedules;
mod world;
