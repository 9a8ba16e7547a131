//! What can be known of a node's keys without unlocking them: the certified public keys. May not touch a secret.

use crate::load::{read_certificates, read_identity_public};
use crate::{KeyDir, KeyError};
use belfry_protocol::cert::{Certificate, LogVerifiers, verify_chain};
use belfry_protocol::note::SignedNote;
use std::path::Path;

impl KeyDir {
    /// The log keys by the sizes they sign, as the identity certified them.
    ///
    /// # Errors
    /// [`KeyError::Missing`] or [`KeyError::Corrupt`] for the files in clear, [`KeyError::Cert`] for a broken chain,
    /// [`KeyError::WrongKey`] if they belong to another node.
    pub fn public_log_keys(data_dir: &Path, name: &str) -> Result<LogVerifiers, KeyError> {
        let chain = Self::public_chain(data_dir, name)?;
        LogVerifiers::of_chain(&chain).ok_or_else(|| KeyError::Missing(data_dir.join("keys")))
    }

    /// The certificates, oldest first, verified under the identity key beside them.
    ///
    /// # Errors
    /// As [`KeyDir::public_log_keys`].
    pub fn public_chain(data_dir: &Path, name: &str) -> Result<Vec<Certificate>, KeyError> {
        let keys = data_dir.join("keys");
        let identity = read_identity_public(&keys)?;
        if identity.name() != name {
            return Err(KeyError::WrongKey(
                "the keys belong to a node of another name",
            ));
        }
        Ok(verify_chain(&identity, &read_certificates(&keys)?)?)
    }

    /// The certificate notes, oldest first, as they are in the directory: for others, who verify them.
    ///
    /// # Errors
    /// [`KeyError::Missing`] or [`KeyError::Corrupt`].
    pub fn public_certificates(data_dir: &Path) -> Result<Vec<SignedNote>, KeyError> {
        read_certificates(&data_dir.join("keys"))
    }
}
