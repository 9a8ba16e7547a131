//! Bodies of messages: the one place that calls bincode, and its rules. bincode is unmaintained (RUSTSEC-2025-0141);
//! the layout is bincode 1's, fixed-width and little-endian, so another implementation can take over unseen.
//! May not be used for what is frozen for ever: frames, headers and hellos are laid out by hand.
//!
//! Types of messages derive [`Encode`] and [`Decode`] from here, without further attributes. The derives name the crate
//! `bincode`, so they work in this crate only, and only here do such types belong:
//!
//! ```
//! use belfry_protocol::wire::codec::{self, Decode, Encode, List, Text};
//!
//! #[derive(Encode, Decode, Debug, PartialEq)]
//! struct Seen {
//!     origin: Text<200>,
//!     sizes: List<u64, 16>,
//! }
//!
//! let seen = Seen { origin: Text::new("a.example").unwrap(), sizes: List::new(vec![7]).unwrap() };
//! assert_eq!(codec::decode::<Seen>(&codec::encode(&seen)).unwrap(), seen);
//! ```
//!
//! They hold fixed-width integers, `bool`, `Option`, `[u8; N]`, enums, [`Hash`] and the bounded [`Text`], [`Bytes`] and
//! [`List`]. Never floats, maps, `usize`, `String`, `Vec`, recursion, or elements without bytes. A type that has been
//! released never changes: neither its fields nor the order of its variants.

pub use super::bounded::{Bytes, List, Text};
pub use bincode::{Decode, Encode};

use crate::tlog::hash::Hash;
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use thiserror::Error;

/// Most bytes of a body. A larger thing is asked for in parts, or travels as an attachment with its hash.
pub const MAX_BODY_BYTES: usize = 1 << 20;

type Config = Configuration<LittleEndian, Fixint, Limit<MAX_BODY_BYTES>>;

const CONFIG: Config = bincode::config::standard()
    .with_little_endian()
    .with_fixed_int_encoding()
    .with_limit::<MAX_BODY_BYTES>();

/// Why a body was refused. It holds nothing out of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CodecError {
    /// It is longer than any body.
    #[error("the body has {0} bytes; at most 1,048,576 are taken")]
    TooLong(usize),
    /// It does not follow the layout of its type.
    #[error("malformed body: {0}")]
    Malformed(&'static str),
    /// Bytes are left behind the last field.
    #[error("malformed body: {0} bytes follow its last field")]
    Trailing(usize),
    /// It is a second spelling of some value.
    #[error("malformed body: it is not the one encoding of its value")]
    NotCanonical,
}

/// The bytes of a body. They can be more than [`MAX_BODY_BYTES`], which no reader takes and no envelope seals.
#[must_use]
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let encoded = bincode::encode_to_vec(value, CONFIG);
    // Writing to memory fails for locks, cells, paths and clocks only. No body holds any; an empty one is refused.
    debug_assert!(encoded.is_ok(), "a body holds what cannot be encoded");
    encoded.unwrap_or_default()
}

/// Reads a body. Encoding the value gives exactly these bytes again.
///
/// # Errors
/// [`CodecError`].
pub fn decode<T: Encode + Decode<()>>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_BODY_BYTES {
        return Err(CodecError::TooLong(bytes.len()));
    }
    let (value, used) =
        bincode::decode_from_slice::<T, _>(bytes, CONFIG).map_err(|e| malformed(&e))?;
    if used != bytes.len() {
        return Err(CodecError::Trailing(bytes.len().saturating_sub(used)));
    }
    if encode(&value) != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

fn malformed(error: &DecodeError) -> CodecError {
    CodecError::Malformed(match error {
        DecodeError::UnexpectedEnd { .. } => "it ends inside a field",
        DecodeError::LimitExceeded => "it claims more than a body may hold",
        DecodeError::UnexpectedVariant { .. } => "a tag stands for no variant",
        DecodeError::InvalidBooleanValue(_) => "a flag is neither 0 nor 1",
        DecodeError::Utf8 { .. } => "a text is not UTF-8",
        DecodeError::Other(problem) => problem,
        _ => "a field has no valid value",
    })
}

/// 32 bytes, without a length.
impl Encode for Hash {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<Context> Decode<Context> for Hash {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        <[u8; 32]>::decode(decoder).map(Self)
    }
}

bincode::impl_borrow_decode!(Hash);

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
