//! What can be known of a node's keys without unlocking them: the certified public keys. May not touch a secret.

use crate::load::{read_certificates, read_identity_public};
use crate::{KeyDir, KeyError};
use belfry_protocol::cert::verify_chain;
use belfry_protocol::note::VerifierKey;
use std::path::Path;

impl KeyDir {
    /// The log key of the newest certificate, as the identity certified it.
    ///
    /// # Errors
    /// [`KeyError::Missing`] or [`KeyError::Corrupt`] for the files in clear, [`KeyError::Cert`] for a broken chain,
    /// [`KeyError::WrongKey`] if they belong to another node.
    pub fn public_log_key(data_dir: &Path, name: &str) -> Result<VerifierKey, KeyError> {
        let keys = data_dir.join("keys");
        let identity = read_identity_public(&keys)?;
        if identity.name() != name {
            return Err(KeyError::WrongKey(
                "the keys belong to a node of another name",
            ));
        }
        let certificates = verify_chain(&identity, &read_certificates(&keys)?)?;
        let newest = certificates.into_iter().next_back();
        newest
            .map(|certificate| certificate.log)
            .ok_or(KeyError::Missing(keys))
    }
}
