//! stub
use belfry_protocol::entry::commit::EntrySecrets;
use belfry_protocol::note::*;
use secrecy::SecretString;
use std::path::Path;
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{0}")]
    Passphrase(String),
}
pub struct CreateOptions {
    pub name: String,
    pub passphrase: Option<SecretString>,
    pub now_unix: i64,
}
pub struct KeyDir;
pub struct NodeKeys {
    name: String,
    log: SigningKey,
    certs: Vec<SignedNote>,
}
pub struct RotationState {
    pub days_left: i64,
    pub level: String,
}
impl KeyDir {
    pub fn create(d: &Path, o: &CreateOptions) -> Result<NodeKeys, KeyError> {
        std::fs::create_dir_all(d).unwrap();
        std::fs::write(d.join("name"), &o.name).unwrap();
        Self::open(d, || Ok(None))
    }
    pub fn open(
        d: &Path,
        _: impl FnOnce() -> Result<Option<SecretString>, KeyError>,
    ) -> Result<NodeKeys, KeyError> {
        let name = std::fs::read_to_string(d.join("name")).unwrap();
        let log = SigningKey::ed25519(&name, [7; 32]).unwrap();
        Ok(NodeKeys {
            name,
            log,
            certs: vec![],
        })
    }
}
impl NodeKeys {
    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn log_key(&self) -> SigningKey {
        self.log.clone()
    }
    pub fn ack_key(&self) -> SigningKey {
        self.log.clone()
    }
    pub fn mirror_key(&self) -> SigningKey {
        self.log.clone()
    }
    pub fn identity_verifier(&self) -> &VerifierKey {
        self.log.verifier()
    }
    pub fn certificates(&self) -> &[SignedNote] {
        &self.certs
    }
    pub fn serial(&self) -> u64 {
        1
    }
    pub fn rotation_state(&self, _: i64) -> RotationState {
        RotationState {
            days_left: 90,
            level: "ok".into(),
        }
    }
    pub fn entry_secrets(&self) -> EntrySecrets {
        EntrySecrets {
            idempotency: [1; 32],
            pseudonym: [2; 32],
            scrub: [3; 32],
        }
    }
}
pub fn fingerprint(v: &str) -> String {
    v[..4].to_owned()
}
