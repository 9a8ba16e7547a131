//! Signed messages: header, body, signature over the bytes of both; what follows is an attachment that nobody signed.
//! May not decode a body. Verify first: nothing in an envelope is true before.

use super::bytes::Fields;
use super::codec::MAX_BODY_BYTES;
use super::header::{HEADER_BYTES, Header};
use crate::note::{Algorithm, NoteError, SigningKey, VerifierKey};
use thiserror::Error;

const DOMAIN: &[u8] = b"belfry/envelope/v1\0";

/// Bytes of an Ed25519 signature.
pub(super) const SIGNATURE_BYTES: usize = 64;

/// Most bytes of an envelope, without attachment.
pub const MAX_ENVELOPE_BYTES: usize = HEADER_BYTES + MAX_BODY_BYTES + SIGNATURE_BYTES;

/// Why an envelope was refused or not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// The bytes end inside the envelope.
    #[error("the envelope is cut off")]
    Truncated,
    /// The header has another layout.
    #[error("the header has layout {0}; only layout 1 is known here")]
    Layout(u8),
    /// The guard is not one of the three.
    #[error("the guard of the header is malformed: {0}")]
    Guard(&'static str),
    /// A lineage is for founding, when there is no federation.
    #[error("the header has both a federation and a lineage; a lineage is for founding only")]
    Lineage,
    /// The body is longer than a body may be.
    #[error("the body has {0} bytes; at most 1,048,576 are taken")]
    BodyTooLong(usize),
    /// The key does not sign envelopes: those of type 0x01 do.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// A message with its signature, which may be right or wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// Who, to whom, when, and what.
    pub header: Header,
    /// The message, not decoded.
    pub body: Vec<u8>,
    /// Over domain, header and body.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Envelope {
    /// Signs a body of at most 1 MiB with the sender's envelope key.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn seal(header: Header, body: Vec<u8>, key: &SigningKey) -> Result<Self, EnvelopeError> {
        check_length(body.len())?;
        header.check()?;
        let signature = sign(key, &message(&header, &body))?;
        Ok(Self {
            header,
            body,
            signature,
        })
    }

    /// The bytes on the wire; an attachment is put behind them. Fields that could not be sealed give bytes that are
    /// refused.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = self.header.to_bytes(length(&self.body));
        [&head[..], &self.body, &self.signature].concat()
    }

    /// Reads the envelope at the start of `bytes` and returns it with what follows, the attachment.
    ///
    /// Nobody signed the attachment: the body has to name its hash and length.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn split(bytes: &[u8]) -> Result<(Self, &[u8]), EnvelopeError> {
        let mut fields = Fields::new(bytes);
        let (header, length) = Header::read(&mut fields)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        check_length(length)?;
        let body = fields.take(length).ok_or(EnvelopeError::Truncated)?;
        let signature = fields.array().ok_or(EnvelopeError::Truncated)?;
        let envelope = Self {
            header,
            body: body.to_vec(),
            signature,
        };
        Ok((envelope, fields.rest()))
    }

    /// Whether the signature is by `key`, which has to be of type 0x01. Whose key that is and whether it may be used
    /// now, the caller knows from certificates.
    #[must_use]
    pub fn verify(&self, key: &VerifierKey) -> bool {
        key.algorithm() == Algorithm::Ed25519
            && key.verify_bytes(&message(&self.header, &self.body), &self.signature)
    }
}

fn check_length(length: usize) -> Result<(), EnvelopeError> {
    if length > MAX_BODY_BYTES {
        return Err(EnvelopeError::BodyTooLong(length));
    }
    Ok(())
}

/// A length that has no number stands as one that every reader refuses.
fn length(body: &[u8]) -> u32 {
    u32::try_from(body.len()).unwrap_or(u32::MAX)
}

fn message(header: &Header, body: &[u8]) -> Vec<u8> {
    [DOMAIN, &header.to_bytes(length(body)), body].concat()
}

/// Signs with a key of type 0x01 only: those of other types speak about checkpoints.
pub(super) fn sign(key: &SigningKey, message: &[u8]) -> Result<[u8; SIGNATURE_BYTES], NoteError> {
    let wrong_use = NoteError::WrongUse(key.verifier().algorithm().byte());
    if key.verifier().algorithm() != Algorithm::Ed25519 {
        return Err(wrong_use);
    }
    key.sign_bytes(message)?.try_into().map_err(|_| wrong_use)
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
