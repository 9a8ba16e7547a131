//! Public keys in their text form (`name+id+base64`), and the check of one signature by one key.
//! May not accept a key with which anybody could forge.

use super::message::{MAX_TIMESTAMP_SECONDS, cosignature_message};
use super::{NoteError, is_foreign_name, memo};
use crate::tlog::hash::sha256_parts;
use ed25519_dalek::{Signature, VerifyingKey};
use std::fmt;

/// Most bytes of a verifier key's text: an ML-DSA-44 one has about 1,800.
pub const MAX_VKEY_BYTES: usize = 4_096;

/// The signature types of C2SP `signed-note` that we use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// 0x01: Ed25519 over the note text.
    Ed25519,
    /// 0x04: Ed25519 over time and checkpoint (`cosignature/v1`).
    CosignatureV1,
    /// 0x06: ML-DSA-44 over a (sub)tree.
    #[cfg(feature = "ml-dsa")]
    MlDsa44,
}

impl Algorithm {
    /// The byte that stands for the algorithm in key ids and keys.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
            #[cfg(feature = "ml-dsa")]
            Self::MlDsa44 => 0x06,
        }
    }

    /// Whether cosignatures of this type can cover subtrees: only those of type 0x06.
    #[must_use]
    pub fn signs_subtrees(self) -> bool {
        self.byte() == 0x06
    }

    /// The algorithm for a type byte.
    ///
    /// # Errors
    /// [`NoteError::Algorithm`] for a type that this build does not support.
    pub fn from_byte(byte: u8) -> Result<Self, NoteError> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::CosignatureV1),
            #[cfg(feature = "ml-dsa")]
            0x06 => Ok(Self::MlDsa44),
            other => Err(NoteError::Algorithm(other)),
        }
    }
}

/// A public key with its name; equal iff name, algorithm and key bytes are equal.
#[derive(Clone)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    bytes: Vec<u8>,
    key: PublicKey,
    /// As [`VerifierKey::key_id`] says: asked for with every line of every note.
    key_id: u32,
}

#[derive(Clone)]
enum PublicKey {
    Ed25519(VerifyingKey),
    #[cfg(feature = "ml-dsa")]
    /// Shared, because its expanded form has 20 KB.
    MlDsa44(std::sync::Arc<super::mldsa::PublicKey>),
}

impl VerifierKey {
    /// Makes a verifier key from its parts.
    ///
    /// # Errors
    /// [`NoteError`] for a bad name, a wrong length, or a small-order or non-canonical Ed25519 point.
    pub fn new(name: &str, algorithm: Algorithm, public_key: &[u8]) -> Result<Self, NoteError> {
        if !is_foreign_name(name) {
            return Err(NoteError::Name(
                "must be non-empty, without space, control byte and +",
            ));
        }
        let key = match algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => {
                let bytes = public_key
                    .try_into()
                    .map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
                PublicKey::Ed25519(memo::point(bytes, || checked_point(bytes))?)
            }
            #[cfg(feature = "ml-dsa")]
            Algorithm::MlDsa44 => PublicKey::MlDsa44(std::sync::Arc::new(
                super::mldsa::PublicKey::new(public_key)?,
            )),
        };
        let made = Self {
            name: name.to_owned(),
            algorithm,
            bytes: public_key.to_vec(),
            key,
            key_id: key_id_of(name, algorithm, public_key),
        };
        // `+`, eight digits, `+` and base64 of type and key: what prints must parse.
        if name.len() + 10 + (1 + public_key.len()).div_ceil(3) * 4 > MAX_VKEY_BYTES {
            return Err(NoteError::TooLarge {
                limit: MAX_VKEY_BYTES,
                what: "bytes in a verifier key",
            });
        }
        Ok(made)
    }

    /// Reads `name+id+base64(type ‖ key)`; printing gives exactly this text again.
    ///
    /// # Errors
    /// [`NoteError`] for malformed text, an unsupported type, a wrong printed id or an unsafe key.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        if vkey.len() > MAX_VKEY_BYTES {
            return Err(NoteError::TooLarge {
                limit: MAX_VKEY_BYTES,
                what: "bytes in a verifier key",
            });
        }
        // The base64 part may contain `+`, so only the first two separate.
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(NoteError::Key("expected name+id+key"));
        };
        let blob = crate::base64::decode(encoded)
            .ok_or(NoteError::Key("the key is not canonical base64"))?;
        let (kind, public_key) = blob
            .split_first()
            .ok_or(NoteError::Key("the key is empty"))?;
        let key = Self::new(name, Algorithm::from_byte(*kind)?, public_key)?;
        let computed = key.key_id_hex();
        if id != computed {
            return Err(NoteError::KeyId {
                printed: id.to_owned(),
                computed,
            });
        }
        Ok(key)
    }

    /// The name that its signature lines carry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signature type.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw public key: 32 bytes for Ed25519, 1,312 for ML-DSA-44.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.bytes
    }

    /// First four bytes of SHA-256(name ‖ LF ‖ type ‖ public key), big-endian.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The key id as eight lower-case hexadecimal digits.
    #[must_use]
    pub fn key_id_hex(&self) -> String {
        format!("{:08x}", self.key_id())
    }

    /// Whether `signature` (the bytes after the key id) is this key's over the note text.
    ///
    /// Types 0x04 and 0x06 accept a signature over a checkpoint only, with a time of at most 2^63 - 1 seconds. A time of 0
    /// is no cosignature: with type 0x06 it is how a log signs its own checkpoint, with type 0x04 it is refused.
    #[must_use]
    pub fn verify(&self, text: &str, signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Ed25519 => self.verify_bytes(text.as_bytes(), signature),
            Algorithm::CosignatureV1 => split_time(signature).is_some_and(|(time, rest)| {
                // A cosignature speaks about a tree; over any other text it would mean nothing.
                time != 0
                    && crate::checkpoint::Checkpoint::parse_foreign(text).is_ok()
                    && self.verify_bytes(&cosignature_message(text, time), rest)
            }),
            #[cfg(feature = "ml-dsa")]
            Algorithm::MlDsa44 => split_time(signature).is_some_and(|(time, rest)| {
                super::mldsa::checkpoint_message(&self.name, time, text)
                    .is_some_and(|message| self.verify_bytes(&message, rest))
            }),
        }
    }

    /// Whether `signature` is this key's over exactly `message`, without any framing.
    #[must_use]
    pub fn verify_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            PublicKey::Ed25519(key) => signature.try_into().is_ok_and(|signature| {
                let check = || is_right(key, message, signature);
                memo::verdict(key.as_bytes(), message, signature, check)
            }),
            #[cfg(feature = "ml-dsa")]
            PublicKey::MlDsa44(key) => key.verify(message, signature),
        }
    }
}

fn key_id_of(name: &str, algorithm: Algorithm, public_key: &[u8]) -> u32 {
    let hash = sha256_parts(&[name.as_bytes(), b"\n", &[algorithm.byte()], public_key]);
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The check itself.
pub(super) fn is_right(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    key.verify_strict(message, &Signature::from_bytes(signature))
        .is_ok()
}

/// Splits `u64 time ‖ signature`; `None` for a time above 2^63 - 1.
fn split_time(signature: &[u8]) -> Option<(u64, &[u8])> {
    let (time, rest) = signature.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    (time <= MAX_TIMESTAMP_SECONDS).then_some((time, rest))
}

/// A point that is canonical and not of small order.
fn checked_point(bytes: &[u8; 32]) -> Result<VerifyingKey, NoteError> {
    let key =
        VerifyingKey::from_bytes(bytes).map_err(|_| NoteError::Key("not a point of Ed25519"))?;
    if key.is_weak() {
        return Err(NoteError::SmallOrder);
    }
    if key.to_edwards().compress().as_bytes() != bytes {
        return Err(NoteError::NonCanonicalKey);
    }
    Ok(key)
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.algorithm, &self.bytes) == (&other.name, other.algorithm, &other.bytes)
    }
}

impl Eq for VerifierKey {}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&[self.algorithm.byte()], &self.bytes[..]].concat();
        write!(
            f,
            "{}+{}+{}",
            self.name,
            self.key_id_hex(),
            crate::base64::encode(&blob)
        )
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl std::str::FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(vkey: &str) -> Result<Self, NoteError> {
        Self::parse(vkey)
    }
}
