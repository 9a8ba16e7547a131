//! ML-DSA-44 behind the feature `ml-dsa`: an optional second signature, never alone, because the crate is not audited.
//! May not be the only signature that anything relies on.

use super::{NoteError, subtree_message};
use crate::checkpoint::Checkpoint;
use ml_dsa::{
    EncodedSignature, EncodedVerifyingKey, KeyExport as _, Keypair as _, MlDsa44, Signature,
    SigningKey,
};
use ml_dsa::{Seed, VerifyingKey};
use zeroize::Zeroizing;

/// A decoded public key of 1,312 bytes.
#[derive(Clone)]
pub(super) struct PublicKey(VerifyingKey<MlDsa44>);

impl PublicKey {
    pub(super) fn new(bytes: &[u8]) -> Result<Self, NoteError> {
        let encoded = EncodedVerifyingKey::<MlDsa44>::try_from(bytes)
            .map_err(|_| NoteError::Key("an ML-DSA-44 key has 1,312 bytes"))?;
        Ok(Self(VerifyingKey::decode(&encoded)))
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        EncodedSignature::<MlDsa44>::try_from(signature)
            .ok()
            .and_then(|encoded| Signature::decode(&encoded))
            .is_some_and(|signature| self.0.verify_with_context(message, &[], &signature))
    }
}

/// A private key, rebuilt from its seed.
#[derive(Clone)]
pub(super) struct SecretKey(SigningKey<MlDsa44>);

impl SecretKey {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let seed = Zeroizing::new(Seed::from(*seed));
        Self(SigningKey::from_seed(&seed))
    }

    pub(super) fn public_key(&self) -> Vec<u8> {
        self.0.verifying_key().to_bytes().to_vec()
    }

    pub(super) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_seed().into())
    }

    /// The deterministic variant with an empty context: this crate has no randomness.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoteError> {
        let signature = self.0.expanded_key().sign_deterministic(message, &[]);
        Ok(signature
            .map_err(|_| NoteError::WrongUse(0x06))?
            .encode()
            .to_vec())
    }
}

/// What a cosignature of a whole tree signs; `None` if the text is no checkpoint or a name is too long.
pub(super) fn checkpoint_message(cosigner: &str, time_seconds: u64, text: &str) -> Option<Vec<u8>> {
    let checkpoint = Checkpoint::parse_foreign(text).ok()?;
    subtree_message(
        cosigner,
        time_seconds,
        &checkpoint.origin,
        0,
        checkpoint.size,
        &checkpoint.root,
    )
    .ok()
}
