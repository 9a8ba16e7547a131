//! Signed notes as C2SP `signed-note` defines them: names, keys, signature lines, notes and their verification.
//! May not create keys from randomness, read a clock, or decide which keys are to be trusted.

mod error;
pub mod memo;
mod message;
#[cfg(feature = "ml-dsa")]
mod mldsa;
mod name;
mod signed;
mod signer;
pub(crate) mod text;
mod verifier;
mod verify;

pub use error::NoteError;
pub(crate) use message::check_timestamp;
pub use message::{MAX_TIMESTAMP_SECONDS, cosignature_message, subtree_message};
pub use name::{
    MAX_NAME_BYTES, MAX_SIGNER_NAME_BYTES, MIRROR_SUFFIX, is_foreign_name, is_member_name,
    is_own_name,
};
pub use signed::{MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, SignatureLine, SignedNote};
pub use signer::SigningKey;
pub use verifier::{Algorithm, MAX_VKEY_BYTES, VerifierKey};
pub use verify::{Verified, verify_note};
