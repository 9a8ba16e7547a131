//! The key directory: creating it whole or not at all, and opening it. May not decide where a passphrase comes from.

use crate::derive::Seed;
use crate::load::{self, identity_file};
use crate::record::{Kind, Record};
use crate::rotate::{NewSerial, write_serial};
use crate::seal::{Opener, Sealer, new_unlock, open_unlock};
use crate::store;
use crate::{KeyError, NodeKeys};
use belfry_protocol::cert::Scope;
use belfry_protocol::note::{SigningKey, is_member_name};
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Name of the directory inside a data directory.
const KEYS: &str = "keys";

/// Name under which it is built, so that it appears complete or not at all.
const BUILDING: &str = "keys.creating";

pub(crate) const UNLOCK: &str = "unlock.age";

/// How key files are protected.
#[derive(Debug)]
pub enum Protection {
    /// Encrypted with age under this passphrase.
    Passphrase(SecretString),
    /// In clear, mode 0600: only by explicit choice.
    Plain,
}

/// What [`KeyDir::create`] needs to know.
#[derive(Debug)]
pub struct CreateOptions {
    /// Name of the node; see [`is_member_name`].
    pub name: String,
    /// How to protect the files.
    pub protection: Protection,
    /// The time, in seconds since 1970: start of the first certificate.
    pub now_seconds: u64,
    /// Where the keys may be used.
    pub scope: Scope,
    /// An existing log key in Go's private form, whose name must be the node's; replaces the derived log key.
    pub import_log_key: Option<SecretString>,
}

/// The directory `keys/` of a data directory.
#[derive(Debug)]
pub struct KeyDir;

impl KeyDir {
    /// Whether the data directory has keys.
    ///
    /// # Errors
    /// [`KeyError::Io`].
    pub fn exists(data_dir: &Path) -> Result<bool, KeyError> {
        store::exists(&data_dir.join(KEYS))
    }

    /// Creates all keys of a new node and its first certificate, durably.
    ///
    /// # Errors
    /// [`KeyError::Exists`] if there are keys, [`KeyError::Name`], [`KeyError::EmptyPassphrase`], [`KeyError::Io`] and
    /// others; no `keys/` is left behind then.
    pub fn create(data_dir: &Path, options: CreateOptions) -> Result<NodeKeys, KeyError> {
        if !is_member_name(&options.name) {
            return Err(KeyError::Name(options.name));
        }
        let (keys, building) = (data_dir.join(KEYS), data_dir.join(BUILDING));
        if store::exists(&keys)? {
            return Err(KeyError::Exists(keys));
        }
        if store::exists(&building)? {
            return Err(KeyError::Interrupted(building));
        }
        store::create_dir(&building)?;
        let built = build(&building, options).and_then(|opener| {
            std::fs::rename(&building, &keys).map_err(store::io("rename", &building))?;
            Ok(opener)
        });
        if built.is_err() {
            // Ours, of a moment ago, and nothing used its keys. The first error is the one to report.
            let _ = std::fs::remove_dir_all(&building);
        }
        store::sync_dir(data_dir)?;
        load::load(keys, &built?)
    }

    /// Opens the keys of a node. Calls `passphrase` only if they are encrypted.
    ///
    /// # Errors
    /// [`KeyError::NotFound`], [`KeyError::PassphraseNeeded`], [`KeyError::WrongPassphrase`],
    /// [`KeyError::Permissions`], [`KeyError::Corrupt`], [`KeyError::Missing`] and others.
    pub fn open(
        data_dir: &Path,
        passphrase: impl FnOnce() -> Result<Option<SecretString>, KeyError>,
    ) -> Result<NodeKeys, KeyError> {
        let keys = data_dir.join(KEYS);
        if !store::exists(&keys)? {
            return Err(KeyError::NotFound(keys));
        }
        let opener = unlock(&keys, passphrase)?;
        load::load(keys, &opener)
    }
}

impl KeyDir {
    /// The identity key alone, with the directory of its file: on a machine that is kept for it nothing else is needed.
    ///
    /// # Errors
    /// [`KeyError::Missing`] when it is not there, and others.
    pub fn open_identity(
        data_dir: &Path,
        passphrase: impl FnOnce() -> Result<Option<SecretString>, KeyError>,
    ) -> Result<(SigningKey, PathBuf), KeyError> {
        let keys = data_dir.join(KEYS);
        let file = |sealer: &str| keys.join(format!("{}.{sealer}", Kind::Identity.as_str()));
        let (sealed, plain) = (file("age"), file("key"));
        let (path, opener) = match store::exists(&sealed)? {
            true => {
                let unlock = keys.join(UNLOCK);
                let content = store::read(&unlock, false)?;
                let passphrase =
                    passphrase()?.ok_or_else(|| KeyError::PassphraseNeeded(keys.clone()))?;
                (sealed, open_unlock(&content, passphrase, &unlock)?)
            }
            false => (plain, Opener::Plain),
        };
        let record = opener.open(&store::read(&path, true)?, &path)?;
        if record.kind != Kind::Identity {
            return Err(KeyError::Corrupt {
                path,
                problem: "it holds another key than an identity",
            });
        }
        Ok((SigningKey::ed25519(&record.name, *record.seed)?, keys))
    }
}

/// Writes everything a new node needs into an empty directory.
fn build(dir: &Path, options: CreateOptions) -> Result<Opener, KeyError> {
    let opener = match options.protection {
        Protection::Passphrase(passphrase) => {
            let (opener, content) = new_unlock(passphrase)?;
            store::write_new(dir, UNLOCK, &content)?;
            opener
        }
        Protection::Plain => Opener::Plain,
    };
    let sealer = opener.sealer();
    let new = |kind| new_record(&options.name, kind, 0, options.now_seconds);
    let identity = new(Kind::Identity)?;
    for record in [&identity, &new(Kind::Transport)?, &new(Kind::NodeSecret)?] {
        write_record(dir, &sealer, record)?;
    }
    let identity = SigningKey::ed25519(&options.name, *identity.seed)?;
    store::write_new(
        dir,
        load::IDENTITY_PUBLIC,
        format!("{}\n", identity.verifier()).as_bytes(),
    )?;
    let first = NewSerial {
        name: &options.name,
        serial: 1,
        previous: None,
        scope: options.scope,
        now_seconds: options.now_seconds,
        log_from_size: 0,
        import_log_key: options.import_log_key.as_ref(),
    };
    write_serial(dir, &sealer, &identity, &first)?;
    Ok(opener)
}

/// Finds out how the files are protected, and unlocks them.
fn unlock(
    keys: &Path,
    passphrase: impl FnOnce() -> Result<Option<SecretString>, KeyError>,
) -> Result<Opener, KeyError> {
    let path = keys.join(UNLOCK);
    if !store::exists(&path)? {
        // Without this an encrypted directory that lost the file would look like a plain one without keys.
        let encrypted = keys.join(format!("{}.age", Kind::NodeSecret.as_str()));
        return if store::exists(&encrypted)? {
            Err(KeyError::Missing(path))
        } else {
            Ok(Opener::Plain)
        };
    }
    let content = store::read(&path, false)?;
    let passphrase = passphrase()?.ok_or_else(|| KeyError::PassphraseNeeded(keys.to_owned()))?;
    open_unlock(&content, passphrase, &path)
}

/// A record with a fresh seed.
pub(crate) fn new_record(
    name: &str,
    kind: Kind,
    serial: u64,
    now_seconds: u64,
) -> Result<Record, KeyError> {
    let mut seed: Seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..]).map_err(|_| KeyError::Randomness)?;
    Ok(Record {
        name: name.to_owned(),
        kind,
        serial,
        created_seconds: now_seconds,
        seed,
    })
}

pub(crate) fn write_record(dir: &Path, sealer: &Sealer, record: &Record) -> Result<(), KeyError> {
    store::write_new(
        dir,
        &file_name(sealer, record.kind, record.serial),
        &sealer.seal(record)?,
    )
}

pub(crate) fn file_name(sealer: &Sealer, kind: Kind, serial: u64) -> String {
    format!("{}.{}", kind.stem(serial), sealer.extension())
}

/// Path of the identity file, for messages.
pub(crate) fn identity_path(keys: &NodeKeys) -> PathBuf {
    identity_file(&keys.dir, &keys.sealer)
}
