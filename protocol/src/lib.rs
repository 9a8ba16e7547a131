//! What Belfry nodes say and how they must behave.
//!
//! This crate does no I/O: no socket, file, clock, thread or randomness. Time and seeds come in as values.
//!
//! | module | holds |
//! |---|---|
//! | [`tlog`] | RFC 6962 trees: hashing, tiles, proofs, strict verifiers |
//! | [`note`], [`checkpoint`], [`cosignature`], [`proof_file`], [`policy`], [`witness`], [`upload`], [`log_list`] | the C2SP text formats |
//! | [`tower_receipt`] | receipts as JSON |
//! | [`cert`], [`fork`], [`day`] | key certificates, fork proofs, day digests |
//! | [`clock`] | measuring clocks: intervals, what most agree on, verdicts |
//! | [`window`] | attachments of hourly `window` entries |
//! | [`manifest`] | who belongs: the co-signed genesis manifest, quorum arithmetic, policies |
//! | [`genesis`] | founding and amending: votes, certificates, the chain of manifests |
//! | [`export`] | bulk export: a ledger as a stream whose every piece proves itself |
//! | [`wire`] | what peers say to each other: frames, signed envelopes, hello, the body codec |
//! | [`scrub`], [`entry`] | from a caller's draft to a leaf: scrubbed, canonical, committed, hashed |
//! | [`engine`] | the state machine of a node, over a storage trait |

#![deny(missing_docs)]

pub mod base64;
pub mod cert;
pub mod checkpoint;
pub mod clock;
pub mod cosignature;
pub mod day;
pub mod engine;
pub mod entry;
pub mod export;
pub mod fork;
pub mod genesis;
pub mod hex;
pub mod log_list;
pub mod manifest;
pub mod note;
pub mod policy;
pub mod proof_file;
pub mod scrub;
pub mod tlog;
pub mod tower_receipt;
pub mod upload;
pub mod window;
pub mod wire;
pub mod witness;
