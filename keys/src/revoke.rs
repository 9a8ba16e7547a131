//! Withdrawing a serial (R6): a revocation note beside the certificates. The seed stays, because digests that it signed are still
//! checked at every start; nothing signs with it any more. May not withdraw the newest serial: who would speak then?

use crate::dir::identity_path;
use crate::load::{read_certificates, read_identity_public};
use crate::store;
use crate::{KeyDir, KeyError, NodeKeys};
use belfry_protocol::cert::{MAX_CHAIN_CERTIFICATES, Reason, Revocation, certificate_hash};
use belfry_protocol::note::{SignedNote, VerifierKey};
use std::path::Path;

pub(crate) fn revocation_name(serial: u64) -> String {
    format!("revoked-{serial}.note")
}

impl NodeKeys {
    /// Writes the revocation of an older serial, durably, and returns it. Once more gives the first one again.
    ///
    /// # Errors
    /// [`KeyError::IdentityAbsent`] if the identity key is kept elsewhere, [`KeyError::WrongKey`] for the newest serial or one
    /// that there is not, [`KeyError::Io`]; nothing has changed then.
    pub fn revoke(
        &mut self,
        serial: u64,
        reason: Reason,
        now_seconds: u64,
    ) -> Result<SignedNote, KeyError> {
        if serial >= self.current.serial {
            return Err(KeyError::WrongKey(
                "the newest serial is in use: rotate first, then revoke the one before",
            ));
        }
        if let Some((_, note)) = self.revoked.iter().find(|(one, _)| *one == serial) {
            return Ok(note.clone());
        }
        let identity = self
            .identity
            .as_ref()
            .ok_or_else(|| KeyError::IdentityAbsent(identity_path(self)))?;
        let at = usize::try_from(serial.saturating_sub(1)).ok();
        let certificate = at.filter(|_| serial > 0).and_then(|at| self.notes.get(at));
        let certificate =
            certificate.ok_or(KeyError::WrongKey("there is no certificate of this serial"))?;
        let note = Revocation {
            node: self.name.clone(),
            serial,
            certificate: certificate_hash(certificate),
            reason,
            time_seconds: now_seconds,
        }
        .sign(identity)?;
        store::write_new(
            &self.dir,
            &revocation_name(serial),
            note.to_string().as_bytes(),
        )?;
        self.revoked.push((serial, note.clone()));
        Ok(note)
    }

    /// Serials that were revoked, with the notes that say so.
    #[must_use]
    pub fn revoked(&self) -> &[(u64, SignedNote)] {
        &self.revoked
    }

    /// Whether a serial was revoked.
    #[must_use]
    pub fn is_revoked(&self, serial: u64) -> bool {
        self.revoked.iter().any(|(one, _)| *one == serial)
    }
}

impl KeyDir {
    /// The revocations in a directory, verified under the identity key beside them: serials with the notes.
    ///
    /// # Errors
    /// [`KeyError::Missing`] or [`KeyError::Corrupt`] for the files in clear, [`KeyError::Cert`] for a note that does not hold.
    pub fn public_revocations(data_dir: &Path) -> Result<Vec<(u64, SignedNote)>, KeyError> {
        let keys = data_dir.join("keys");
        let identity = read_identity_public(&keys)?;
        read_revocations(&keys, &identity, &read_certificates(&keys)?)
    }
}

/// Revocations of the certificates of a chain.
pub(crate) fn read_revocations(
    dir: &Path,
    identity: &VerifierKey,
    chain: &[SignedNote],
) -> Result<Vec<(u64, SignedNote)>, KeyError> {
    let mut revoked = Vec::new();
    for (serial, certificate) in (1u64..).zip(chain).take(MAX_CHAIN_CERTIFICATES) {
        let path = dir.join(revocation_name(serial));
        if !store::exists(&path)? {
            continue;
        }
        let note = SignedNote::parse(&store::read(&path, false)?);
        let note = note.map_err(|_| KeyError::Corrupt {
            path: path.clone(),
            problem: "it is not a signed note",
        })?;
        let said = Revocation::open(&note, identity)?;
        if said.serial != serial || said.certificate != certificate_hash(certificate) {
            return Err(KeyError::Corrupt {
                path,
                problem: "it revokes another certificate",
            });
        }
        revoked.push((serial, note));
    }
    Ok(revoked)
}
