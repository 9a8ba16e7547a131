//! The one error type of the crate: what was wrong, and what to do. Never contains a secret.

use belfry_protocol::cert::CertError;
use belfry_protocol::note::NoteError;
use std::path::PathBuf;
use thiserror::Error;

/// Why keys could not be created, opened or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There are keys already.
    #[error("{0} exists already; keys are never overwritten")]
    Exists(PathBuf),
    /// There are no keys.
    #[error("no keys in {0}; create them first")]
    NotFound(PathBuf),
    /// An earlier creation did not finish.
    #[error(
        "{0} is left over from an interrupted creation; nothing used its keys, remove it and try again"
    )]
    Interrupted(PathBuf),
    /// The node name breaks the rules.
    #[error(
        "{0:?} is not a node name: lower-case printable ASCII without space and +, at most 200 bytes, \
         not ending in /mirror and not starting with belfry-"
    )]
    Name(String),
    /// The passphrase is empty.
    #[error("the passphrase is empty; choose one, or choose plain key files explicitly")]
    EmptyPassphrase,
    /// The keys are encrypted and no passphrase was given.
    #[error("the keys in {0} are encrypted and no passphrase was given")]
    PassphraseNeeded(PathBuf),
    /// The passphrase could not be had from where it should come.
    #[error("the passphrase could not be read: {0}")]
    PassphraseSource(String),
    /// The passphrase does not open the keys.
    #[error("the passphrase does not open {0}: it is wrong, or the file is damaged")]
    WrongPassphrase(PathBuf),
    /// The passphrase file asks for more work than we do.
    #[error(
        "{path} asks for the scrypt work factor 2^{required}, more than 2^18; it is not one of ours"
    )]
    WorkFactor {
        /// The file.
        path: PathBuf,
        /// Base-two logarithm of the work factor.
        required: u8,
    },
    /// A plain key file can be read by others.
    #[error(
        "{path} can be accessed by others (mode {mode:04o}); run `chmod 600 {path}`, and replace the keys if anybody may have read them"
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("{path} is damaged or does not belong here: {problem}; restore it from a backup")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// A file that is needed is not there.
    #[error("{0} is missing; restore it from a backup")]
    Missing(PathBuf),
    /// The identity key is kept elsewhere.
    #[error("this needs the identity key, which is not in {0}; bring it back or give it")]
    IdentityAbsent(PathBuf),
    /// A given key is not the one that is needed.
    #[error("the given key is not usable here: {0}")]
    WrongKey(&'static str),
    /// A file or directory operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The system gave no randomness.
    #[error("the system gave no randomness; nothing was created")]
    Randomness,
    /// Encryption failed.
    #[error("a key file could not be encrypted")]
    Encrypt,
    /// A key or note is malformed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A certificate is wrong.
    #[error(transparent)]
    Cert(#[from] CertError),
}
