//! Text, bytes and lists that know their largest length, so that no claim of a stranger makes us allocate more.
//! May not be built or read beyond their bounds.
//!
//! On the wire each is a `u64` count and its elements, as bincode has strings and vectors.

use bincode::de::read::Reader;
use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};
use std::fmt;

/// Room made for a list before its first element was read: a claim alone does not cost more.
const FIRST_ELEMENTS: usize = 16;

/// UTF-8 of at most `N` bytes without control characters (Unicode `Cc`: below U+0020, U+007F to U+009F).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<const N: usize>(String);

impl<const N: usize> Text<N> {
    /// `None` if it is too long or has a control character.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        check_text::<N>(&text).is_ok().then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, without its bound.
    #[must_use]
    pub fn into_inner(self) -> String {
        self.0
    }

    /// Reads UTF-8 bytes; says what is wrong with others.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > N {
            return Err(TOO_LONG);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
        check_text::<N>(text)?;
        Ok(Self(text.to_owned()))
    }
}

const TOO_LONG: &str = "a text, byte string or list is longer than its bound";

fn check_text<const N: usize>(text: &str) -> Result<(), &'static str> {
    if text.len() > N {
        return Err(TOO_LONG);
    }
    if text.chars().any(char::is_control) {
        return Err("a text has a control character");
    }
    Ok(())
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// At most `N` bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes<const N: usize>(Vec<u8>);

impl<const N: usize> Bytes<N> {
    /// `None` if there are too many.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (bytes.len() <= N).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, without their bound.
    #[must_use]
    pub fn into_inner(self) -> Vec<u8> {
        self.0
    }
}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", crate::hex::encode(&self.0))
    }
}

/// At most `N` elements, each of which takes at least one byte on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct List<T, const N: usize>(Vec<T>);

impl<T, const N: usize> List<T, N> {
    /// `None` if there are too many.
    #[must_use]
    pub fn new(elements: Vec<T>) -> Option<Self> {
        (elements.len() <= N).then_some(Self(elements))
    }

    /// The elements.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The elements, without their bound.
    #[must_use]
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<T, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Reads a count and holds it to its bound before anything is allocated.
fn read_count<D: Decoder>(decoder: &mut D, max: usize) -> Result<usize, DecodeError> {
    let count = u64::decode(decoder)?;
    usize::try_from(count)
        .ok()
        .filter(|count| *count <= max)
        .ok_or(DecodeError::Other(TOO_LONG))
}

/// Reads bytes only if they are there: nothing is allocated for a claim that the input does not back.
fn read_bytes<D: Decoder>(decoder: &mut D, max: usize) -> Result<Vec<u8>, DecodeError> {
    let count = read_count(decoder, max)?;
    decoder.claim_bytes_read(count)?;
    if let Some(peeked) = decoder.reader().peek_read(count) {
        let bytes = peeked.to_vec();
        decoder.reader().consume(count);
        return Ok(bytes);
    }
    Err(DecodeError::UnexpectedEnd { additional: count })
}

fn write_bytes<E: Encoder>(encoder: &mut E, bytes: &[u8]) -> Result<(), EncodeError> {
    (bytes.len() as u64).encode(encoder)?;
    encoder.writer().write(bytes)
}

impl<const N: usize> Encode for Text<N> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        write_bytes(encoder, self.0.as_bytes())
    }
}

impl<Context, const N: usize> Decode<Context> for Text<N> {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::read(&read_bytes(decoder, N)?).map_err(DecodeError::Other)
    }
}

impl<'de, Context, const N: usize> BorrowDecode<'de, Context> for Text<N> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

impl<const N: usize> Encode for Bytes<N> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        write_bytes(encoder, &self.0)
    }
}

impl<Context, const N: usize> Decode<Context> for Bytes<N> {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        read_bytes(decoder, N).map(Self)
    }
}

impl<'de, Context, const N: usize> BorrowDecode<'de, Context> for Bytes<N> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

impl<T: Encode, const N: usize> Encode for List<T, N> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.0.len() as u64).encode(encoder)?;
        self.0
            .iter()
            .try_for_each(|element| element.encode(encoder))
    }
}

// Not `claim_container_read`, as bincode's own vectors do: it counts bytes in memory against the limit of the wire, so
// that what is refused would depend on the machine.
impl<Context, T: Decode<Context>, const N: usize> Decode<Context> for List<T, N> {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let count = read_count(decoder, N)?;
        let mut elements = Vec::with_capacity(count.min(FIRST_ELEMENTS));
        for _ in 0..count {
            elements.push(T::decode(decoder)?);
        }
        Ok(Self(elements))
    }
}

impl<'de, Context, T: BorrowDecode<'de, Context>, const N: usize> BorrowDecode<'de, Context>
    for List<T, N>
{
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        let count = read_count(decoder, N)?;
        let mut elements = Vec::with_capacity(count.min(FIRST_ELEMENTS));
        for _ in 0..count {
            elements.push(T::borrow_decode(decoder)?);
        }
        Ok(Self(elements))
    }
}
