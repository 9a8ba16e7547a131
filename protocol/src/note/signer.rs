//! Private keys: signing notes and cosigning checkpoints, and Go's text form for them.
//! May not make seeds, and may not show one except through [`SigningKey::export`] and [`SigningKey::seed`].

use super::message::{check_timestamp, cosignature_message};
use super::name::is_signer_name;
use super::signed::check_text;
use super::verifier::is_right;
use super::{Algorithm, MAX_VKEY_BYTES, NoteError, SignatureLine, SignedNote, VerifierKey, memo};
use crate::checkpoint::Checkpoint;
use ed25519_dalek::Signer as _;
use std::fmt;
use zeroize::Zeroizing;

const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// A private key with its name and algorithm. The seed is wiped on drop.
#[derive(Clone)]
pub struct SigningKey {
    verifier: VerifierKey,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    #[cfg(feature = "ml-dsa")]
    /// Shared, because its expanded form has 30 KB.
    MlDsa44(std::sync::Arc<super::mldsa::SecretKey>),
}

impl SigningKey {
    /// A key of any supported algorithm from its 32-byte seed.
    ///
    /// # Errors
    /// [`NoteError::Name`] if `name` is not printable ASCII without space and `+`, or too long.
    pub fn new(name: &str, algorithm: Algorithm, seed: [u8; 32]) -> Result<Self, NoteError> {
        let seed = Zeroizing::new(seed);
        if !is_signer_name(name) {
            return Err(NoteError::Name(
                "must be printable ASCII without space and +, at most 207 bytes",
            ));
        }
        let (secret, public_key) = match algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => {
                let key = Box::new(ed25519_dalek::SigningKey::from_bytes(&seed));
                let public_key = key.verifying_key().to_bytes().to_vec();
                (Secret::Ed25519(key), public_key)
            }
            #[cfg(feature = "ml-dsa")]
            Algorithm::MlDsa44 => {
                let key = std::sync::Arc::new(super::mldsa::SecretKey::new(&seed));
                let public_key = key.public_key();
                (Secret::MlDsa44(key), public_key)
            }
        };
        Ok(Self {
            verifier: VerifierKey::new(name, algorithm, &public_key)?,
            secret,
        })
    }

    /// A type 0x01 key, for notes and for a log's own signature.
    ///
    /// # Errors
    /// As [`SigningKey::new`].
    pub fn ed25519(name: &str, seed: [u8; 32]) -> Result<Self, NoteError> {
        Self::new(name, Algorithm::Ed25519, seed)
    }

    /// A type 0x04 key, for Ed25519 cosignatures.
    ///
    /// # Errors
    /// As [`SigningKey::new`].
    pub fn cosigner(name: &str, seed: [u8; 32]) -> Result<Self, NoteError> {
        Self::new(name, Algorithm::CosignatureV1, seed)
    }

    /// Reads Go's form `PRIVATE+KEY+name+id+base64(type ‖ seed)`.
    ///
    /// # Errors
    /// [`NoteError`] for malformed text, an unsupported type, or an id that is not the public key's.
    pub fn import(skey: &str) -> Result<Self, NoteError> {
        if skey.len() > MAX_VKEY_BYTES {
            return Err(NoteError::TooLarge {
                limit: MAX_VKEY_BYTES,
                what: "bytes in a private key",
            });
        }
        let rest = skey
            .strip_prefix(PRIVATE_PREFIX)
            .ok_or(NoteError::Key("a private key starts with PRIVATE+KEY+"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(NoteError::Key("expected PRIVATE+KEY+name+id+seed"));
        };
        let blob = crate::base64::decode(encoded)
            .ok_or(NoteError::Key("the seed is not canonical base64"))?;
        let blob = Zeroizing::new(blob);
        let (kind, seed) = blob
            .split_first()
            .ok_or(NoteError::Key("the seed is empty"))?;
        let seed = Zeroizing::new(
            <[u8; 32]>::try_from(seed).map_err(|_| NoteError::Key("a seed has 32 bytes"))?,
        );
        let key = Self::new(name, Algorithm::from_byte(*kind)?, *seed)?;
        let computed = key.verifier.key_id_hex();
        if id != computed {
            return Err(NoteError::KeyId {
                printed: id.to_owned(),
                computed,
            });
        }
        Ok(key)
    }

    /// Prints Go's private form. The result is the secret itself: write it to a protected file only.
    #[must_use]
    pub fn export(&self) -> Zeroizing<String> {
        let mut blob = Zeroizing::new([0u8; 33]);
        blob[0] = self.verifier.algorithm().byte();
        blob[1..].copy_from_slice(&self.seed()[..]);
        let encoded = Zeroizing::new(crate::base64::encode(&blob[..]));
        let (name, id) = (self.verifier.name(), self.verifier.key_id_hex());
        // One allocation of the right size: growing would leave copies of the seed behind.
        let length = PRIVATE_PREFIX.len() + name.len() + 10 + encoded.len();
        let mut text = Zeroizing::new(String::with_capacity(length));
        for part in [PRIVATE_PREFIX, name, "+", &id, "+", &encoded] {
            text.push_str(part);
        }
        text
    }

    /// The seed, for storing it in a protected file. This is the secret itself.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        match &self.secret {
            Secret::Ed25519(key) => Zeroizing::new(key.to_bytes()),
            #[cfg(feature = "ml-dsa")]
            Secret::MlDsa44(key) => key.seed(),
        }
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The name that its signature lines carry.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// Signs a note text, which must end in LF. An ML-DSA-44 key signs a log's own checkpoint only, with the time 0.
    ///
    /// # Errors
    /// [`NoteError::WrongUse`] for a cosigner's key; [`NoteError::Note`] if the text cannot be a note.
    pub fn sign_note(&self, text: &str) -> Result<SignatureLine, NoteError> {
        check_text(text)?;
        match (&self.secret, self.verifier.algorithm()) {
            (Secret::Ed25519(key), Algorithm::Ed25519) => self.line(sign(key, text.as_bytes())),
            #[cfg(feature = "ml-dsa")]
            (Secret::MlDsa44(key), _) => {
                let message = super::mldsa::checkpoint_message(self.name(), 0, text)
                    .ok_or(NoteError::Note("an ML-DSA key signs checkpoints only"))?;
                self.line([&[0u8; 8][..], &key.sign(&message)?].concat())
            }
            (_, other) => Err(NoteError::WrongUse(other.byte())),
        }
    }

    /// Signs a note text and puts the note together.
    ///
    /// # Errors
    /// As [`SigningKey::sign_note`].
    pub fn signed_note(&self, text: &str) -> Result<SignedNote, NoteError> {
        SignedNote::new(text, vec![self.sign_note(text)?])
    }

    /// Cosigns a checkpoint text as of `timestamp_seconds` since 1970.
    ///
    /// The caller has verified the log's signature and consistency, and made its mark durable.
    ///
    /// # Errors
    /// [`NoteError::WrongUse`] for a type 0x01 key, [`NoteError::Timestamp`] for a time of 0 or above 2^63 - 1,
    /// [`NoteError::Note`] if the text is no checkpoint.
    pub fn cosign(
        &self,
        checkpoint_text: &str,
        timestamp_seconds: u64,
    ) -> Result<SignatureLine, NoteError> {
        check_text(checkpoint_text)?;
        check_timestamp(timestamp_seconds)?;
        if Checkpoint::parse_foreign(checkpoint_text).is_err() {
            return Err(NoteError::Note("only a checkpoint can be cosigned"));
        }
        let signature = match (&self.secret, self.verifier.algorithm()) {
            (Secret::Ed25519(key), Algorithm::CosignatureV1) => sign(
                key,
                &cosignature_message(checkpoint_text, timestamp_seconds),
            ),
            #[cfg(feature = "ml-dsa")]
            (Secret::MlDsa44(key), _) => {
                let message = super::mldsa::checkpoint_message(
                    self.name(),
                    timestamp_seconds,
                    checkpoint_text,
                )
                .ok_or(NoteError::Note(
                    "this checkpoint cannot be cosigned with ML-DSA",
                ))?;
                key.sign(&message)?
            }
            (_, other) => return Err(NoteError::WrongUse(other.byte())),
        };
        self.line([&timestamp_seconds.to_be_bytes()[..], &signature].concat())
    }

    /// Signs exactly `message`, without any framing: for envelopes, whose layout binds their own domain.
    ///
    /// # Errors
    /// [`NoteError::WrongUse`] if the algorithm refuses the message.
    pub fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, NoteError> {
        match &self.secret {
            Secret::Ed25519(key) => Ok(sign(key, message)),
            #[cfg(feature = "ml-dsa")]
            Secret::MlDsa44(key) => key.sign(message),
        }
    }

    /// A line by this key around a finished signature.
    pub(crate) fn line(&self, signature: Vec<u8>) -> Result<SignatureLine, NoteError> {
        SignatureLine::new(self.name(), self.verifier.key_id(), signature)
    }
}

fn sign(key: &ed25519_dalek::SigningKey, message: &[u8]) -> Vec<u8> {
    let signature = key.sign(message).to_bytes();
    let public = key.as_ref();
    memo::made(public.as_bytes(), message, &signature, || {
        is_right(public, message, &signature)
    });
    signature.to_vec()
}

/// Shows the public half only.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier)
    }
}
