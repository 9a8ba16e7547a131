//! Key certificates and revocations (R6): signed notes by which a node's identity key vouches for its purpose keys.
//! May not decide when a revocation acts: that depends on the digest that covers its entry.

mod certificate;
mod chain;
mod lines;
mod revocation;

pub use certificate::{CERT_HEADER, Certificate, Scope};
pub use chain::{
    LogVerifiers, MAX_CHAIN_CERTIFICATES, certificate_hash, key_for_size, verify_chain,
};
pub use revocation::{REVOCATION_HEADER, Reason, Revocation};

use crate::note::NoteError;
use thiserror::Error;

/// Why a certificate, a revocation or a chain was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertError {
    /// The text does not have the form it must have.
    #[error("malformed {what}: {problem}")]
    Malformed {
        /// `certificate` or `revocation`.
        what: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The note or a key in it was refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signing key is not the node's identity key.
    #[error("the identity key is named {key}, but the certificate is for {node}")]
    Identity {
        /// Name of the key.
        key: String,
        /// Name in the certificate.
        node: String,
    },
    /// A purpose key has the wrong name or type, or is used twice.
    #[error("the {purpose} key is not usable: {problem}")]
    Purpose {
        /// The purpose on the line.
        purpose: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A chain does not hold together.
    #[error("the certificate chain breaks at serial {serial}: {problem}")]
    Chain {
        /// Serial of the certificate that does not fit.
        serial: u64,
        /// What is wrong.
        problem: &'static str,
    },
}
