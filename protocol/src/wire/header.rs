//! The header of a signed message (R7), laid out by hand and frozen, and the names it uses for members and topics.
//! May not judge: whether sender, destination, guard and time are right is for the receiver.

use super::bytes::Fields;
use super::codec::{Decode, Encode};
use super::envelope::EnvelopeError;
use super::version::Version;
use crate::note::VerifierKey;
use crate::tlog::hash::{Hash, sha256_parts};
use std::fmt;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 186;

/// First byte of a header. Another layout gets another number.
const LAYOUT: u8 = 1;

/// Who a member is, whatever it is called: the hash of its identity key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct MemberId(pub Hash);

impl MemberId {
    /// SHA-256("belfry/member/v1\0" ‖ verifier key text).
    #[must_use]
    pub fn of(identity: &VerifierKey) -> Self {
        let text = identity.to_string();
        Self(sha256_parts(&[b"belfry/member/v1\0", text.as_bytes()]))
    }
}

/// The first 16 hexadecimal digits.
impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::hex::encode(&self.0.0[..8]))
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberId({})", self.0.to_hex())
    }
}

/// The destination of a message to one member.
#[must_use]
pub fn to_member(member: MemberId) -> Hash {
    member.0
}

/// The destination of a message to everybody who listens to a topic: SHA-256("belfry/topic/v1\0" ‖ name).
#[must_use]
pub fn to_topic(name: &str) -> Hash {
    sha256_parts(&[b"belfry/topic/v1\0", name.as_bytes()])
}

/// What keeps a message from taking effect twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// Nothing: taking it twice does no harm.
    None,
    /// A counter of the sender, of which no value is used twice.
    Stream {
        /// Which of the sender's streams.
        stream: u64,
        /// Place in the stream.
        counter: u64,
    },
    /// A random number that the sender never used before.
    Nonce([u8; 16]),
}

impl Guard {
    /// Tag and 16 bytes.
    fn to_bytes(self) -> [u8; 17] {
        let (tag, value) = match self {
            Self::None => (0, 0),
            // Both halves little-endian, the stream first.
            Self::Stream { stream, counter } => (1, u128::from(counter) << 64 | u128::from(stream)),
            Self::Nonce(nonce) => (2, u128::from_le_bytes(nonce)),
        };
        let mut bytes = [tag; 17];
        bytes[1..].copy_from_slice(&value.to_le_bytes());
        bytes
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, EnvelopeError> {
        let tag = fields.u8().ok_or(EnvelopeError::Truncated)?;
        let mut value = *fields;
        let bytes: [u8; 16] = fields.array().ok_or(EnvelopeError::Truncated)?;
        match tag {
            0 if bytes == [0; 16] => Ok(Self::None),
            0 => Err(EnvelopeError::Guard(
                "there is none, but its bytes are not zero",
            )),
            1 => Ok(Self::Stream {
                stream: value.u64().ok_or(EnvelopeError::Truncated)?,
                counter: value.u64().ok_or(EnvelopeError::Truncated)?,
            }),
            2 => Ok(Self::Nonce(bytes)),
            _ => Err(EnvelopeError::Guard("its tag is not known")),
        }
    }
}

/// What is signed beside the body. The length of the body is on the wire too, but belongs to the envelope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Version of the protocol that the body follows.
    pub version: Version,
    /// What the body is.
    pub kind: u16,
    /// Hash of the epoch-0 manifest; all zero while founding.
    pub federation: Hash,
    /// Random number of the draft while founding; else all zero.
    pub lineage: [u8; 16],
    /// Epoch of the manifest that the sender follows.
    pub epoch: u64,
    /// Who sends.
    pub sender: MemberId,
    /// Serial of the certificate whose envelope key signs.
    pub key_serial: u64,
    /// Incarnation of the sender, which grows when its counters may have been lost.
    pub incarnation: u64,
    /// For whom it is: see [`to_member`] and [`to_topic`].
    pub destination: Hash,
    /// What keeps it from taking effect twice.
    pub guard: Guard,
    /// What the receiver's hello asked for; all zero if nothing is needed.
    pub token: [u8; 16],
    /// When the sender made it, in microseconds since 1970, as claimed.
    pub issued_at_us: i64,
}

impl Header {
    /// The bytes on the wire, which are signed.
    pub(super) fn to_bytes(self, body_length: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.push(LAYOUT);
        bytes.extend_from_slice(&self.version.to_u16().to_le_bytes());
        bytes.extend_from_slice(&self.kind.to_le_bytes());
        bytes.extend_from_slice(&self.federation.0);
        bytes.extend_from_slice(&self.lineage);
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.sender.0.0);
        bytes.extend_from_slice(&self.key_serial.to_le_bytes());
        bytes.extend_from_slice(&self.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.destination.0);
        bytes.extend_from_slice(&self.guard.to_bytes());
        bytes.extend_from_slice(&self.token);
        bytes.extend_from_slice(&self.issued_at_us.to_le_bytes());
        bytes.extend_from_slice(&body_length.to_le_bytes());
        bytes
    }

    /// Reads a header and the length of the body behind it.
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<(Self, u32), EnvelopeError> {
        const CUT: EnvelopeError = EnvelopeError::Truncated;
        let layout = fields.u8().ok_or(CUT)?;
        if layout != LAYOUT {
            return Err(EnvelopeError::Layout(layout));
        }
        let header = Self {
            version: Version::from_u16(fields.u16().ok_or(CUT)?),
            kind: fields.u16().ok_or(CUT)?,
            federation: fields.hash().ok_or(CUT)?,
            lineage: fields.array().ok_or(CUT)?,
            epoch: fields.u64().ok_or(CUT)?,
            sender: MemberId(fields.hash().ok_or(CUT)?),
            key_serial: fields.u64().ok_or(CUT)?,
            incarnation: fields.u64().ok_or(CUT)?,
            destination: fields.hash().ok_or(CUT)?,
            guard: Guard::read(fields)?,
            token: fields.array().ok_or(CUT)?,
            issued_at_us: fields.i64().ok_or(CUT)?,
        };
        header.check()?;
        Ok((header, fields.u32().ok_or(CUT)?))
    }

    /// A lineage beside a federation is refused.
    pub(super) fn check(&self) -> Result<(), EnvelopeError> {
        if self.lineage != [0; 16] && self.federation.0 != [0; 32] {
            return Err(EnvelopeError::Lineage);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_topics_have_different_names() {
        let key = crate::note::SigningKey::ed25519("a.example", [7; 32]).unwrap();
        let member = MemberId::of(key.verifier());
        let text = format!("belfry/member/v1\0{}", key.verifier());
        assert_eq!(member.0, crate::tlog::hash::sha256(text.as_bytes()));
        assert_eq!(member.to_string(), member.0.to_hex()[..16]);
        assert_eq!(to_member(member), member.0);
        let topic = crate::tlog::hash::sha256(b"belfry/topic/v1\0belfry/00000000/digests/1");
        assert_eq!(to_topic("belfry/00000000/digests/1"), topic);
    }

    #[test]
    fn a_stream_is_laid_out_before_its_counter() {
        let guard = Guard::Stream {
            stream: 0x0102,
            counter: 0x0304,
        };
        assert_eq!(
            crate::hex::encode(&guard.to_bytes()),
            "0102010000000000000403000000000000"
        );
        let nonce = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let bytes = Guard::Nonce(nonce).to_bytes();
        assert_eq!((bytes[0], &bytes[1..]), (2, &nonce[..]));
        assert_eq!(Guard::None.to_bytes(), [0; 17]);
    }
}
