//! Genesis manifests through the public surface: their form, their rules, their signatures, and what is derived from them.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

mod fixture;
mod manifest_amend;
mod manifest_form;
mod manifest_policy;
mod manifest_rules;
mod manifest_signed;
