//! The unlocked keys of a node. May not read or write files; it hands keys out by purpose.

use crate::derive::{Purpose, Seed, raw};
use crate::rotation::RotationState;
use crate::seal::Sealer;
use belfry_protocol::cert::{Certificate, LogVerifiers, key_for_size};
use belfry_protocol::note::{SignedNote, SigningKey, VerifierKey};
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The signing keys of one serial.
#[derive(Clone, Debug)]
pub struct PurposeKeys {
    pub(crate) serial: u64,
    pub(crate) log: SigningKey,
    pub(crate) ack: SigningKey,
    pub(crate) mirror: SigningKey,
    pub(crate) envelope: SigningKey,
    pub(crate) subtree: SigningKey,
}

impl PurposeKeys {
    /// Serial of these keys.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The key of a purpose.
    #[must_use]
    pub fn key(&self, purpose: Purpose) -> &SigningKey {
        match purpose {
            Purpose::Log => &self.log,
            Purpose::Ack => &self.ack,
            Purpose::Mirror => &self.mirror,
            Purpose::Envelope => &self.envelope,
            Purpose::Subtree => &self.subtree,
        }
    }
}

/// Everything an unlocked node signs and derives with.
pub struct NodeKeys {
    pub(crate) dir: PathBuf,
    pub(crate) name: String,
    pub(crate) sealer: Sealer,
    pub(crate) identity_verifier: VerifierKey,
    pub(crate) identity: Option<SigningKey>,
    /// Oldest first; the last belongs to the newest certificate.
    pub(crate) purpose_keys: Vec<PurposeKeys>,
    pub(crate) current: PurposeKeys,
    pub(crate) transport: Seed,
    pub(crate) node_secret: Seed,
    pub(crate) notes: Vec<SignedNote>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) newest: (SignedNote, Certificate),
    pub(crate) revoked: Vec<(u64, SignedNote)>,
}

impl NodeKeys {
    /// Name of the node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory `keys/` they came from.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the key files are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.sealer, Sealer::Age(_))
    }

    /// Public half of the identity key.
    #[must_use]
    pub fn identity_verifier(&self) -> &VerifierKey {
        &self.identity_verifier
    }

    /// The identity key, unless it is kept elsewhere.
    #[must_use]
    pub fn identity_key(&self) -> Option<&SigningKey> {
        self.identity.as_ref()
    }

    /// Signs the ledger's digests, newest serial. See [`NodeKeys::log_key_for_size`] near a rotation.
    #[must_use]
    pub fn log_key(&self) -> &SigningKey {
        &self.current.log
    }

    /// The log keys by the sizes they sign, to verify with.
    #[must_use]
    pub fn log_verifiers(&self) -> LogVerifiers {
        let newest = || self.log_key().verifier().clone().into();
        LogVerifiers::of_chain(&self.certificates).unwrap_or_else(newest)
    }

    /// All certificates, oldest first.
    #[must_use]
    pub fn certificate_contents(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The log key that may sign a digest of this size; `None` if its seed is not here or no serial covers the size.
    #[must_use]
    pub fn log_key_for_size(&self, size: u64) -> Option<&SigningKey> {
        let serial = key_for_size(&self.certificates, size)?.serial;
        self.keys_of_serial(serial).map(|keys| &keys.log)
    }

    /// Signs witness cosignatures.
    #[must_use]
    pub fn ack_key(&self) -> &SigningKey {
        &self.current.ack
    }

    /// Signs what is durably held, under the name `<name>/mirror`.
    #[must_use]
    pub fn mirror_key(&self) -> &SigningKey {
        &self.current.mirror
    }

    /// Signs subtrees, under the node's name. No certificate names it: whoever trusts it was given its vkey.
    #[must_use]
    pub fn subtree_key(&self) -> &SigningKey {
        &self.current.subtree
    }

    /// Signs message envelopes, by [`SigningKey::sign_bytes`].
    #[must_use]
    pub fn envelope_key(&self) -> &SigningKey {
        &self.current.envelope
    }

    /// The signing keys of the newest serial.
    #[must_use]
    pub fn current(&self) -> &PurposeKeys {
        &self.current
    }

    /// The signing keys of a serial, if its seed is here: in the overlap after a rotation both serials sign (R6).
    #[must_use]
    pub fn keys_of_serial(&self, serial: u64) -> Option<&PurposeKeys> {
        self.purpose_keys.iter().find(|keys| keys.serial == serial)
    }

    /// Go's private form of a purpose key, for tools that need it. This is the secret itself.
    #[must_use]
    pub fn export_note_key(&self, purpose: Purpose) -> Zeroizing<String> {
        self.current.key(purpose).export()
    }

    /// Seed of the Ed25519 key of the libp2p transport.
    #[must_use]
    pub fn transport_seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.transport
    }

    /// Public key of the transport, of which the PeerId is made.
    #[must_use]
    pub fn transport_public_key(&self) -> [u8; 32] {
        ed25519_dalek::SigningKey::from_bytes(&self.transport)
            .verifying_key()
            .to_bytes()
    }

    /// HMAC key of idempotency ids (R11). Does not rotate.
    #[must_use]
    pub fn idem_key(&self) -> Zeroizing<[u8; 32]> {
        raw(&self.node_secret, "idem", &self.name, &[])
    }

    /// HMAC key of a tenant's scrubber tokens in one epoch.
    #[must_use]
    pub fn scrub_key(&self, tenant: &str, epoch: u64) -> Zeroizing<[u8; 32]> {
        raw(
            &self.node_secret,
            "scrub",
            &self.name,
            &[tenant.as_bytes(), &epoch.to_be_bytes()],
        )
    }

    /// HMAC key of the pseudonyms in private entries (R10). Does not rotate.
    #[must_use]
    pub fn pseudonym_key(&self) -> Zeroizing<[u8; 32]> {
        raw(&self.node_secret, "payload-pseudonym", &self.name, &[])
    }

    /// The newest certificate note.
    #[must_use]
    pub fn certificate(&self) -> &SignedNote {
        &self.newest.0
    }

    /// All certificate notes, oldest first.
    #[must_use]
    pub fn certificates(&self) -> &[SignedNote] {
        &self.notes
    }

    /// The newest certificate, verified.
    #[must_use]
    pub fn certificate_content(&self) -> &Certificate {
        &self.newest.1
    }

    /// How long the newest keys are still valid at `now_seconds` since 1970.
    #[must_use]
    pub fn rotation_state(&self, now_seconds: u64) -> RotationState {
        RotationState::at(self.newest.1.not_after_seconds, now_seconds)
    }
}

/// Shows public parts only.
impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKeys")
            .field("name", &self.name)
            .field("identity", &self.identity_verifier)
            .field("serial", &self.current.serial)
            .finish_non_exhaustive()
    }
}
