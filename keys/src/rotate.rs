//! New serials: a fresh seed, its purpose keys and their certificate. May not reuse a seed for a second serial (R6).

use crate::dir::{file_name, identity_path, new_record, write_record};
use crate::load::{certificate_name, purpose_keys};
use crate::record::{Kind, Record};
use crate::rotation::{DAY_SECONDS, VALIDITY_DAYS};
use crate::seal::Sealer;
use crate::store;
use crate::{KeyError, NodeKeys, PurposeKeys};
use belfry_protocol::cert::{Certificate, Scope, certificate_hash, verify_chain};
use belfry_protocol::note::{Algorithm, SignedNote, SigningKey};
use belfry_protocol::tlog::hash::Hash;
use secrecy::{ExposeSecret as _, SecretString};
use std::path::Path;

/// What [`NodeKeys::rotate`] needs to know.
#[derive(Debug)]
pub struct RotateOptions {
    /// The time, in seconds since 1970: start of the new certificate.
    pub now_seconds: u64,
    /// Where the keys may be used.
    pub scope: Scope,
    /// First size of a digest that the new log key signs.
    pub log_from_size: u64,
    /// The identity key, if it is not in the directory.
    pub identity: Option<SigningKey>,
    /// An existing log key in Go's private form, whose name must be the node's; replaces the derived log key.
    pub import_log_key: Option<SecretString>,
}

impl NodeKeys {
    /// Makes the keys of the next serial and their certificate, durably, and switches to them.
    ///
    /// The keys of the serial before stay, because both sign during the overlap.
    ///
    /// # Errors
    /// [`KeyError::IdentityAbsent`] if the identity key is kept elsewhere and not given, [`KeyError::WrongKey`],
    /// [`KeyError::Cert`] if from-size or time go back, [`KeyError::Io`]; nothing has changed then.
    pub fn rotate(&mut self, options: &RotateOptions) -> Result<(), KeyError> {
        let identity = options.identity.as_ref().or(self.identity.as_ref());
        let identity = identity.ok_or_else(|| KeyError::IdentityAbsent(identity_path(self)))?;
        if *identity.verifier() != self.identity_verifier {
            return Err(KeyError::WrongKey(
                "it is not the identity key of this node",
            ));
        }
        let serial = self.current.serial + 1;
        // Whoever made it meanwhile uses its keys: these here are old, and may not take them away.
        let certificate = self.dir.join(certificate_name(serial));
        if store::exists(&certificate)? {
            return Err(KeyError::Exists(certificate));
        }
        let new = NewSerial {
            name: &self.name,
            serial,
            previous: Some(&self.notes),
            scope: options.scope,
            now_seconds: options.now_seconds,
            log_from_size: options.log_from_size,
            import_log_key: options.import_log_key.as_ref(),
        };
        // Without its certificate nothing ever used them: an earlier rotation was interrupted.
        for kind in [Kind::Operational, Kind::Log] {
            store::remove_if_there(&self.dir.join(file_name(&self.sealer, kind, serial)))?;
        }
        let (note, certificate, keys) = write_serial(&self.dir, &self.sealer, identity, &new)?;
        self.notes.push(note.clone());
        self.certificates.push(certificate.clone());
        self.purpose_keys.push(keys.clone());
        self.current = keys;
        self.newest = (note, certificate);
        Ok(())
    }

    /// Forgets the seed of an older serial after its overlap, so that nobody can steal it later.
    ///
    /// # Errors
    /// [`KeyError::WrongKey`] for the newest serial, [`KeyError::Io`].
    pub fn remove_serial(&mut self, serial: u64) -> Result<(), KeyError> {
        if serial >= self.current.serial {
            return Err(KeyError::WrongKey("the newest serial is in use"));
        }
        for kind in [Kind::Operational, Kind::Log] {
            store::remove_if_there(&self.dir.join(file_name(&self.sealer, kind, serial)))?;
        }
        store::sync_dir(&self.dir)?;
        self.purpose_keys.retain(|keys| keys.serial != serial);
        Ok(())
    }
}

/// A serial that is to be made.
pub(crate) struct NewSerial<'a> {
    pub(crate) name: &'a str,
    pub(crate) serial: u64,
    /// The chain so far; `None` for serial 1.
    pub(crate) previous: Option<&'a [SignedNote]>,
    pub(crate) scope: Scope,
    pub(crate) now_seconds: u64,
    pub(crate) log_from_size: u64,
    pub(crate) import_log_key: Option<&'a SecretString>,
}

/// Makes and writes a serial. The certificate comes last: with it the serial exists.
pub(crate) fn write_serial(
    dir: &Path,
    sealer: &Sealer,
    identity: &SigningKey,
    new: &NewSerial<'_>,
) -> Result<(SignedNote, Certificate, PurposeKeys), KeyError> {
    let operational = new_record(new.name, Kind::Operational, new.serial, new.now_seconds)?;
    let imported = new
        .import_log_key
        .map(|skey| import(skey, new))
        .transpose()?;
    let keys = purpose_keys(
        new.name,
        new.serial,
        &operational.seed,
        imported.as_ref().map(|record| &record.seed),
    )?;
    let chain = new.previous.unwrap_or_default();
    let certificate = certificate(new, chain.last().map(certificate_hash), &keys);
    let note = certificate.sign(identity)?;
    let whole: Vec<SignedNote> = chain.iter().chain([&note]).cloned().collect();
    verify_chain(identity.verifier(), &whole)?;
    write_record(dir, sealer, &operational)?;
    if let Some(record) = &imported {
        write_record(dir, sealer, record)?;
    }
    store::write_new(
        dir,
        &certificate_name(new.serial),
        note.to_string().as_bytes(),
    )?;
    Ok((note, certificate, keys))
}

fn certificate(new: &NewSerial<'_>, previous: Option<Hash>, keys: &PurposeKeys) -> Certificate {
    Certificate {
        scope: new.scope,
        node: new.name.to_owned(),
        serial: new.serial,
        previous,
        not_before_seconds: new.now_seconds,
        not_after_seconds: new.now_seconds.saturating_add(VALIDITY_DAYS * DAY_SECONDS),
        log: keys.log.verifier().clone(),
        log_from_size: new.log_from_size,
        ack: keys.ack.verifier().clone(),
        mirror: keys.mirror.verifier().clone(),
        envelope: keys.envelope.verifier().clone(),
    }
}

/// The record of an imported log key: type 0x01 under the node's own name.
fn import(skey: &SecretString, new: &NewSerial<'_>) -> Result<Record, KeyError> {
    let key = SigningKey::import(skey.expose_secret().trim_end_matches('\n'))?;
    if key.name() != new.name || key.verifier().algorithm() != Algorithm::Ed25519 {
        return Err(KeyError::WrongKey(
            "an imported log key is of type 0x01 and bears the node's name",
        ));
    }
    let (name, serial, created_seconds) = (new.name.to_owned(), new.serial, new.now_seconds);
    Ok(Record {
        name,
        kind: Kind::Log,
        serial,
        created_seconds,
        seed: key.seed(),
    })
}
