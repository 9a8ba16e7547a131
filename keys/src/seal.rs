//! Encryption of key files with age: one passphrase opens one X25519 identity, which opens all the others.
//! May not write files or ask for a passphrase.

use crate::KeyError;
use crate::record::{MAX_RECORD_BYTES, Record};
use crate::store::read_bounded;
use age::secrecy::{ExposeSecret as _, SecretString};
use age::{DecryptError, Decryptor, scrypt, x25519};
use std::path::Path;
use zeroize::Zeroizing;

/// Base-two logarithm of the scrypt work factor that we write. Fixed: a measured one would differ from start to start.
pub const WORK_FACTOR: u8 = 15;

/// Largest work factor that we read: a changed file must not make a start take minutes.
pub const MAX_WORK_FACTOR: u8 = 18;

/// How key files are written: plainly, or to the recipient whose identity the passphrase opens.
#[derive(Clone)]
pub(crate) enum Sealer {
    Plain,
    Age(Box<x25519::Recipient>),
}

/// How key files are read.
pub(crate) enum Opener {
    Plain,
    Age(Box<x25519::Identity>),
}

impl Sealer {
    /// Ending of the files.
    pub(crate) fn extension(&self) -> &'static str {
        match self {
            Self::Plain => "key",
            Self::Age(_) => "age",
        }
    }

    /// The content of a file that holds this record.
    pub(crate) fn seal(&self, record: &Record) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let text = record.to_text();
        match self {
            Self::Plain => Ok(Zeroizing::new(text.as_bytes().to_vec())),
            Self::Age(recipient) => age::encrypt(recipient.as_ref(), text.as_bytes())
                .map(Zeroizing::new)
                .map_err(|_| KeyError::Encrypt),
        }
    }
}

impl Opener {
    /// The matching way to write.
    pub(crate) fn sealer(&self) -> Sealer {
        match self {
            Self::Plain => Sealer::Plain,
            Self::Age(identity) => Sealer::Age(Box::new(identity.to_public())),
        }
    }

    /// Reads the record in a file's content. `path` is for messages only.
    pub(crate) fn open(&self, content: &[u8], path: &Path) -> Result<Record, KeyError> {
        let corrupt = |problem| KeyError::Corrupt {
            path: path.to_owned(),
            problem,
        };
        match self {
            Self::Plain => Record::parse(content).map_err(corrupt),
            Self::Age(identity) => {
                let text = decrypt(identity.as_ref(), content, MAX_RECORD_BYTES);
                let text =
                    text.map_err(|_| corrupt("it does not decrypt with the key in unlock.age"))?;
                Record::parse(&text).map_err(corrupt)
            }
        }
    }
}

/// Makes a new X25519 identity and the content of `unlock.age` that holds it.
pub(crate) fn new_unlock(passphrase: SecretString) -> Result<(Opener, Vec<u8>), KeyError> {
    let identity = x25519::Identity::generate();
    let content = lock(identity.to_string().expose_secret().as_bytes(), passphrase)?;
    Ok((Opener::Age(Box::new(identity)), content))
}

/// A text under a passphrase.
pub(crate) fn lock(text: &[u8], passphrase: SecretString) -> Result<Vec<u8>, KeyError> {
    if passphrase.expose_secret().is_empty() {
        return Err(KeyError::EmptyPassphrase);
    }
    let mut recipient = scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(WORK_FACTOR);
    age::encrypt(&recipient, text).map_err(|_| KeyError::Encrypt)
}

/// What [`lock`] locked.
pub(crate) fn unlock(
    content: &[u8],
    passphrase: SecretString,
    path: &Path,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut key = scrypt::Identity::new(passphrase);
    key.set_max_work_factor(MAX_WORK_FACTOR);
    decrypt(&key, content, MAX_RECORD_BYTES).map_err(|error| match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            KeyError::WrongPassphrase(path.to_owned())
        }
        DecryptError::ExcessiveWork { required, .. } => KeyError::WorkFactor {
            path: path.to_owned(),
            required,
        },
        _ => KeyError::Corrupt {
            path: path.to_owned(),
            problem: "it is not an age file under a passphrase",
        },
    })
}

/// Opens the content of `unlock.age`.
pub(crate) fn open_unlock(
    content: &[u8],
    passphrase: SecretString,
    path: &Path,
) -> Result<Opener, KeyError> {
    let text = unlock(content, passphrase, path)?;
    let identity = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.parse::<x25519::Identity>().ok());
    let corrupt = KeyError::Corrupt {
        path: path.to_owned(),
        problem: "it holds no age identity",
    };
    Ok(Opener::Age(Box::new(identity.ok_or(corrupt)?)))
}

fn decrypt(
    key: &dyn age::Identity,
    content: &[u8],
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let reader = Decryptor::new_buffered(content)?.decrypt(std::iter::once(key))?;
    read_bounded(reader, limit)?.ok_or(DecryptError::InvalidHeader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Kind;

    #[test]
    fn every_changed_byte_of_a_sealed_record_is_an_error() {
        let opener = Opener::Age(Box::new(x25519::Identity::generate()));
        let seed = Zeroizing::new([9; 32]);
        let (name, kind) = ("a.example".to_owned(), Kind::Transport);
        let record = Record {
            name,
            kind,
            serial: 0,
            created_seconds: 1,
            seed,
        };
        let good = opener.sealer().seal(&record).unwrap();
        let path = Path::new("transport.age");
        assert_eq!(opener.open(&good, path).unwrap().seed[..], [9; 32]);
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(
                matches!(opener.open(&bad, path), Err(KeyError::Corrupt { .. })),
                "byte {at}"
            );
            assert!(opener.open(&good[..at], path).is_err());
        }
        let stranger = Opener::Age(Box::new(x25519::Identity::generate()));
        assert!(stranger.open(&good, path).is_err());
        assert!(
            opener
                .open(
                    &age::encrypt(&x25519::Identity::generate().to_public(), b"x").unwrap(),
                    path
                )
                .is_err()
        );
    }
}
