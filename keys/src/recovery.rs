//! A recovery key: one file that belongs to no node, kept offline by a person, and used once (R14). May not know of manifests.

use crate::dir::{Protection, new_record};
use crate::record::{Kind, Record};
use crate::seal::{lock, unlock};
use crate::{KeyError, store};
use belfry_protocol::note::{SigningKey, VerifierKey, is_member_name};
use secrecy::SecretString;
use std::path::Path;

/// How every age file begins.
const AGE: &[u8] = b"age-encryption.org/";

/// Files with recovery keys.
#[derive(Debug)]
pub struct RecoveryKey;

impl RecoveryKey {
    /// Makes a key called `name` in a new file, durably, for the owner only. Returns its public half.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::Name`], [`KeyError::EmptyPassphrase`], [`KeyError::Io`] and others; no file is left
    /// behind then.
    pub fn create(
        path: &Path,
        name: &str,
        protection: Protection,
        now_seconds: u64,
    ) -> Result<VerifierKey, KeyError> {
        if !is_member_name(name) {
            return Err(KeyError::Name(name.to_owned()));
        }
        let record = new_record(name, Kind::Recovery, 0, now_seconds)?;
        let text = record.to_text();
        let content = match protection {
            Protection::Plain => text.as_bytes().to_vec(),
            Protection::Passphrase(passphrase) => lock(text.as_bytes(), passphrase)?,
        };
        let content = zeroize::Zeroizing::new(content);
        let file = path.file_name().and_then(|name| name.to_str());
        let file = file.ok_or_else(|| KeyError::Corrupt {
            path: path.to_owned(),
            problem: "it does not name a file",
        })?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        store::write_new(dir.unwrap_or(Path::new(".")), file, &content)?;
        Ok(SigningKey::ed25519(name, *record.seed)?.verifier().clone())
    }

    /// Opens a file that [`RecoveryKey::create`] made. Calls `passphrase` only if it is encrypted.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(
        path: &Path,
        passphrase: impl FnOnce() -> Result<Option<SecretString>, KeyError>,
    ) -> Result<SigningKey, KeyError> {
        let content = store::read(path, true)?;
        let record = match content.starts_with(AGE) {
            true => {
                let needed = || KeyError::PassphraseNeeded(path.to_owned());
                let text = unlock(&content, passphrase()?.ok_or_else(needed)?, path)?;
                Record::parse(&text)
            }
            false => Record::parse(&content),
        };
        let corrupt = |problem| KeyError::Corrupt {
            path: path.to_owned(),
            problem,
        };
        let record = record.map_err(corrupt)?;
        if record.kind != Kind::Recovery {
            return Err(corrupt("it holds another key than one for recovery"));
        }
        Ok(SigningKey::ed25519(&record.name, *record.seed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_passphrase() -> Result<Option<SecretString>, KeyError> {
        Ok(None)
    }

    #[test]
    fn a_recovery_key_comes_back_out_of_its_file_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        for (file, protection) in [
            ("plain", Protection::Plain),
            (
                "sealed",
                Protection::Passphrase(SecretString::from("a b c".to_owned())),
            ),
        ] {
            let path = dir.path().join(file);
            let public = RecoveryKey::create(&path, "ann.recovery", protection, 7).unwrap();
            let words = || Ok(Some(SecretString::from("a b c".to_owned())));
            let key = RecoveryKey::open(&path, words).unwrap();
            assert_eq!(*key.verifier(), public);
            let again = RecoveryKey::create(&path, "ann.recovery", Protection::Plain, 8);
            assert!(matches!(again, Err(KeyError::Exists(_))));
        }
        let sealed = dir.path().join("sealed");
        let without = RecoveryKey::open(&sealed, no_passphrase);
        assert!(matches!(without, Err(KeyError::PassphraseNeeded(_))));
        let wrong = || Ok(Some(SecretString::from("a b d".to_owned())));
        let wrong = RecoveryKey::open(&sealed, wrong);
        assert!(matches!(wrong, Err(KeyError::WrongPassphrase(_))));
    }

    #[test]
    fn a_key_of_a_node_is_no_recovery_key() {
        let dir = tempfile::tempdir().unwrap();
        let record = new_record("a.example", Kind::Identity, 0, 1).unwrap();
        store::write_new(dir.path(), "identity", record.to_text().as_bytes()).unwrap();
        let opened = RecoveryKey::open(&dir.path().join("identity"), no_passphrase);
        assert!(matches!(opened, Err(KeyError::Corrupt { .. })));
    }
}
