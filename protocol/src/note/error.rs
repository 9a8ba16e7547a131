//! The one error type of the note formats. Its messages never contain key material.

use thiserror::Error;

/// Why a name, key, signature line or note was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoteError {
    /// The name breaks the rules for the place where it stands.
    #[error("bad key name: {0}")]
    Name(&'static str),
    /// The text form of a key is malformed.
    #[error("malformed key: {0}")]
    Key(&'static str),
    /// The key id printed in the key differs from the one its parts hash to.
    #[error("the printed key id {printed} is wrong: name and key hash to {computed}")]
    KeyId {
        /// The eight digits in the text.
        printed: String,
        /// The eight digits that would be right.
        computed: String,
    },
    /// The algorithm byte is not one this build knows.
    #[error("signature type 0x{0:02x} is not supported here")]
    Algorithm(u8),
    /// The key is a point that lets anybody forge signatures.
    #[error("the Ed25519 key is of small order; such a key proves nothing, replace it")]
    SmallOrder,
    /// The key has a second spelling of the same point.
    #[error("the Ed25519 key is not a canonical point encoding")]
    NonCanonicalKey,
    /// A note or signature line is malformed.
    #[error("malformed note: {0}")]
    Note(&'static str),
    /// A note has CRLF line ends.
    #[error("the note has CRLF line ends; send it as it was signed, with LF only")]
    CarriageReturn,
    /// A limit was exceeded.
    #[error("too large: more than {limit} {what}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What was counted.
        what: &'static str,
    },
    /// A key was used for what its algorithm does not do.
    #[error("a key of type 0x{0:02x} cannot sign this")]
    WrongUse(u8),
    /// The timestamp is zero or above 2^63 - 1 seconds.
    #[error("a cosignature time must be 1 to 2^63 - 1 seconds, not {0}")]
    Timestamp(u64),
    /// A signature by a known key is wrong.
    #[error("the signature of {name} (key {key_id}) is wrong: the note was changed or forged")]
    BadSignature {
        /// Name on the signature line.
        name: String,
        /// Key id on the signature line, eight hexadecimal digits.
        key_id: String,
    },
    /// No signature is by a known key.
    #[error("no signature on the note is by a known key")]
    NoKnownSignature,
    /// Two different keys share name and key id.
    #[error("two different keys for {name} share the key id {key_id}; remove one")]
    AmbiguousKey {
        /// The shared name.
        name: String,
        /// The shared key id, eight hexadecimal digits.
        key_id: String,
    },
}
