//! Identities, key files, purpose keys, certificates and note keys of a Belfry node.
//!
//! This crate reads and writes the directory `keys/` of a data directory and asks the system for randomness. It reads
//! no clock (times come in as values) and opens no connection. Secrets are wiped when dropped and never appear in
//! `Debug`, `Display` or errors.
//!
//! | file | holds |
//! |---|---|
//! | `unlock.age` | an age X25519 identity under the passphrase (scrypt, work factor 2^15); it opens the other `.age` files |
//! | `identity.age` | the long-lived identity seed; may be kept elsewhere |
//! | `identity.pub` | the identity's public key, in clear |
//! | `operational-<serial>.age` | the seed of the purpose keys of one serial |
//! | `log-<serial>.age` | an imported log key, which replaces the derived one of that serial |
//! | `transport.age` | the seed of the libp2p key |
//! | `node-secret.age` | the long-lived secret for HMAC keys |
//! | `cert-<serial>.note` | the certificate of a serial, in clear |
//! | `revoked-<serial>.note` | its revocation, if it was withdrawn, in clear |
//!
//! A recovery key is a file of its own, wherever its holder keeps it: see [`RecoveryKey`].
//!
//! In plain mode, by explicit choice, there is no `unlock.age` and the files end in `.key`, readable by the owner only.

#![deny(missing_docs)]

mod derive;
mod dir;
mod error;
mod fingerprint;
mod load;
mod node_keys;
mod public;
mod record;
mod recovery;
mod revoke;
mod rotate;
mod rotation;
mod seal;
mod store;

pub use derive::Purpose;
pub use dir::{CreateOptions, KeyDir, Protection};
pub use error::KeyError;
pub use fingerprint::{fingerprint, is_fingerprint};
pub use node_keys::{NodeKeys, PurposeKeys};
pub use recovery::RecoveryKey;
pub use rotate::RotateOptions;
pub use rotation::{CRITICAL_DAYS, RotationLevel, RotationState, VALIDITY_DAYS, WARNING_DAYS};
pub use seal::{MAX_WORK_FACTOR, WORK_FACTOR};
