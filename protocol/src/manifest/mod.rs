//! The genesis manifest (R2, R14): who belongs to a federation, its canonical form, its signatures and what follows from it.
//! May not vote, count approvals or decide which epoch is active: that is the founding and amending protocol.

mod amend;
mod check;
mod diff;
mod document;
mod error;
mod federation;
mod json;
mod member;
mod policy;
mod quorum;
mod risk;
mod signed;

pub use amend::AmendmentError;
pub use diff::{Change, Field};
pub use document::{
    DEFAULT_RESIGN_LEAD_SECONDS, DEFAULT_VALIDITY_SECONDS, Limits, MANIFEST_FORMAT,
    MAX_FEDERATION_NAME_BYTES, MAX_MANIFEST_BYTES, MAX_MEMBERS, MAX_RECOVERY_KEYS, Manifest,
    Validity, Version,
};
pub use error::ManifestError;
pub use federation::Federation;
pub(crate) use json::KeyTexts;
pub use member::{
    MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_HTTP_BYTES, Member, PEER_ID_BYTES, RESERVED_NAMES,
    is_peer_id,
};
pub use policy::{DerivedPolicyError, PolicySpan, policy, policy_text, policy_text_for};
pub use quorum::{
    Quorum, QuorumError, check_amendment, collusion_note, faulty, smallest_amendment,
};
pub use risk::Risk;
pub use signed::{
    Founded, GENESIS_HEADER, MAX_SIGNED_MANIFEST_BYTES, SignedManifest, signing_text,
};
