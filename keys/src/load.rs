//! Reads an unlocked key directory and checks that everything in it belongs together.
//! May not change anything.

use crate::derive::{Purpose, Seed};
use crate::dir::file_name;
use crate::record::{Kind, Record};
use crate::revoke::read_revocations;
use crate::seal::{Opener, Sealer};
use crate::store;
use crate::{KeyError, NodeKeys, PurposeKeys};
use belfry_protocol::cert::{Certificate, MAX_CHAIN_CERTIFICATES, verify_chain};
use belfry_protocol::note::{SignedNote, SigningKey, VerifierKey};
use std::path::{Path, PathBuf};

pub(crate) const IDENTITY_PUBLIC: &str = "identity.pub";

pub(crate) fn certificate_name(serial: u64) -> String {
    format!("cert-{serial}.note")
}

pub(crate) fn identity_file(dir: &Path, sealer: &Sealer) -> PathBuf {
    dir.join(file_name(sealer, Kind::Identity, 0))
}

/// Loads all keys of the directory.
pub(crate) fn load(dir: PathBuf, opener: &Opener) -> Result<NodeKeys, KeyError> {
    let reader = Reader {
        dir: &dir,
        opener,
        sealer: opener.sealer(),
    };
    let identity_verifier = read_identity_public(&dir)?;
    let name = identity_verifier.name().to_owned();
    let identity = match reader.optional(&name, Kind::Identity, 0)? {
        Some(seed) => Some(SigningKey::ed25519(&name, *seed)?),
        None => None,
    };
    if identity
        .as_ref()
        .is_some_and(|key| *key.verifier() != identity_verifier)
    {
        return Err(corrupt(
            dir.join(IDENTITY_PUBLIC),
            "it is not the public half of the identity key",
        ));
    }
    let notes = read_certificates(&dir)?;
    let certificates = verify_chain(&identity_verifier, &notes)?;
    let mut purpose_keys = Vec::new();
    for certificate in &certificates {
        purpose_keys.extend(reader.purpose_keys(&name, certificate)?);
    }
    let (Some(note), Some(certificate)) = (notes.last(), certificates.last()) else {
        return Err(KeyError::Missing(dir.join(certificate_name(1))));
    };
    let newest = (note.clone(), certificate.clone());
    let current = purpose_keys
        .iter()
        .find(|keys| keys.serial == certificate.serial)
        .cloned();
    let missing = || {
        KeyError::Missing(dir.join(file_name(
            &reader.sealer,
            Kind::Operational,
            newest.1.serial,
        )))
    };
    let current = current.ok_or_else(missing)?;
    let transport = reader.required(&name, Kind::Transport)?;
    let node_secret = reader.required(&name, Kind::NodeSecret)?;
    let revoked = read_revocations(&dir, &identity_verifier, &notes)?;
    let sealer = reader.sealer;
    Ok(NodeKeys {
        dir,
        name,
        sealer,
        identity_verifier,
        identity,
        purpose_keys,
        current,
        transport,
        node_secret,
        notes,
        certificates,
        newest,
        revoked,
    })
}

struct Reader<'a> {
    dir: &'a Path,
    opener: &'a Opener,
    sealer: Sealer,
}

impl Reader<'_> {
    /// The seed in a file; `None` if there is no such file.
    fn optional(&self, name: &str, kind: Kind, serial: u64) -> Result<Option<Seed>, KeyError> {
        let path = self.dir.join(file_name(&self.sealer, kind, serial));
        if !store::exists(&path)? {
            return Ok(None);
        }
        let content = store::read(&path, matches!(self.opener, Opener::Plain))?;
        let Record {
            name: found,
            kind: found_kind,
            serial: found_serial,
            seed,
            ..
        } = self.opener.open(&content, &path)?;
        if (found.as_str(), found_kind, found_serial) != (name, kind, serial) {
            return Err(corrupt(
                path,
                "it holds the key of another name, purpose or serial",
            ));
        }
        Ok(Some(seed))
    }

    fn required(&self, name: &str, kind: Kind) -> Result<Seed, KeyError> {
        let missing = || KeyError::Missing(self.dir.join(file_name(&self.sealer, kind, 0)));
        self.optional(name, kind, 0)?.ok_or_else(missing)
    }

    /// The signing keys of a certificate; `None` if the seed was removed after the overlap.
    fn purpose_keys(
        &self,
        name: &str,
        certificate: &Certificate,
    ) -> Result<Option<PurposeKeys>, KeyError> {
        let serial = certificate.serial;
        let Some(seed) = self.optional(name, Kind::Operational, serial)? else {
            return Ok(None);
        };
        let imported = self.optional(name, Kind::Log, serial)?;
        let keys = purpose_keys(name, serial, &seed, imported.as_ref())?;
        for purpose in Purpose::CERTIFIED {
            let certified = certificate
                .keys()
                .into_iter()
                .find(|(word, _)| *word == purpose.as_str());
            if certified.is_none_or(|(_, key)| key != keys.key(purpose).verifier()) {
                let path = self
                    .dir
                    .join(file_name(&self.sealer, Kind::Operational, serial));
                return Err(corrupt(
                    path,
                    "its keys are not those of the certificate with this serial",
                ));
            }
        }
        Ok(Some(keys))
    }
}

/// Derives the signing keys of a serial; an imported log key replaces the derived one.
pub(crate) fn purpose_keys(
    name: &str,
    serial: u64,
    seed: &Seed,
    imported: Option<&Seed>,
) -> Result<PurposeKeys, KeyError> {
    let derive = |purpose: Purpose| purpose.derive(seed, name, serial);
    let log = match imported {
        Some(seed) => SigningKey::ed25519(name, **seed)?,
        None => derive(Purpose::Log)?,
    };
    let (ack, mirror) = (derive(Purpose::Ack)?, derive(Purpose::Mirror)?);
    Ok(PurposeKeys {
        serial,
        log,
        ack,
        mirror,
        envelope: derive(Purpose::Envelope)?,
        subtree: derive(Purpose::Subtree)?,
    })
}

pub(crate) fn read_identity_public(dir: &Path) -> Result<VerifierKey, KeyError> {
    let path = dir.join(IDENTITY_PUBLIC);
    let content = store::read(&path, false)?;
    let vkey = std::str::from_utf8(&content)
        .ok()
        .and_then(|text| text.strip_suffix('\n'));
    match vkey.map(VerifierKey::parse) {
        Some(Ok(key)) => Ok(key),
        _ => Err(corrupt(path, "it is not one line with a public key")),
    }
}

/// Certificates from serial 1 up to the first that is not there.
pub(crate) fn read_certificates(dir: &Path) -> Result<Vec<SignedNote>, KeyError> {
    let mut notes = Vec::new();
    for serial in (1u64..).take(MAX_CHAIN_CERTIFICATES) {
        let path = dir.join(certificate_name(serial));
        if !store::exists(&path)? {
            break;
        }
        let note = SignedNote::parse(&store::read(&path, false)?);
        notes.push(note.map_err(|_| corrupt(path, "it is not a signed note"))?);
    }
    if notes.is_empty() {
        return Err(KeyError::Missing(dir.join(certificate_name(1))));
    }
    Ok(notes)
}

fn corrupt(path: PathBuf, problem: &'static str) -> KeyError {
    KeyError::Corrupt { path, problem }
}
