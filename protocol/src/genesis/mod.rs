//! Founding and amending a federation (R14): what is signed, what counts, who may vote when, and the chain of manifests.
//! Pure: no I/O, clock or randomness. Keys sign outside; what a key signs is durable here before.
//!
//! | file | holds |
//! |---|---|
//! | [`statement`](Statement) | the texts that are signed |
//! | [`vote`](Vote), [`proposal`](Proposal) | one signed statement; a manifest to vote on |
//! | [`election`](Election) | who has a say, and how much is enough |
//! | [`certificate`](VoteCertificate), [`publication`](Publication), [`recovery`](Recovery) | what lets members commit, and what makes a manifest active |
//! | [`evidence`](Evidence) | two votes that nobody honest gives both |
//! | [`chain`] | the manifests from epoch 0 on, verified offline |
//! | [`joint`] | digests across an activation |
//! | [`history`] | one ledger's whole history in a file |
//! | [`ceremony`] | one member's view: the state machine |
//! | [`Card`], [`Ticket`] | who wants to be listed; an invitation |

mod card;
pub mod ceremony;
mod certificate;
pub mod chain;
mod check;
mod election;
mod error;
mod evidence;
mod fields;
pub mod history;
pub mod joint;
mod lines;
mod proposal;
mod publication;
mod recovery;
mod statement;
mod ticket;
mod verifier;
mod vote;

pub use card::{Card, MAX_CARD_BYTES};
pub use certificate::{CERTIFICATE_FORMAT, MAX_CERTIFICATE_BYTES, VoteCertificate};
pub use check::{Check, Job, Remembering, Strict};
pub use election::{Election, Roll};
pub use error::GenesisError;
pub use evidence::{EVIDENCE_FORMAT, Evidence, MAX_EVIDENCE_BYTES};
pub use proposal::{MAX_PROPOSAL_BYTES, OPEN_SECONDS, PROPOSAL_FORMAT, Proposal};
pub use publication::{ACTIVE_FORMAT, MAX_PUBLICATION_BYTES, Publication};
pub use recovery::{
    MAX_RECOVERY_BYTES, RECOVERY_FORMAT, Recovery, YIELD_AFTER_SECONDS, recovery_key_hash,
};
pub use statement::{MAX_REASON_BYTES, MAX_ROUND, MAX_TITLE_BYTES, Saying, Statement, Subject};
pub use ticket::{
    MAX_TICKET_ADDRESSES, MAX_TICKET_CHARS, Pinned, TICKET_PREFIX, Ticket, TicketError, secret_hash,
};
pub use verifier::Verifier;
pub use vote::{MAX_VOTE_BYTES, VOTE_FORMAT, Vote};
