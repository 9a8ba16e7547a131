//! Revocations: by which an identity key withdraws one certificate. It acts from the digest that covers its entry on.
//! May not take effect backwards, so its time is a claim and nothing more.

use super::CertError;
use super::certificate::{check_identity, open_note};
use super::lines::Lines;
use crate::note::{SignedNote, SigningKey, VerifierKey, is_member_name};
use crate::tlog::hash::Hash;
use std::fmt;

/// First line of a revocation.
pub const REVOCATION_HEADER: &str = "belfry-key-revocation/v1";

const WHAT: &str = "revocation";

/// Why a certificate was withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Somebody else may hold the keys.
    Compromised,
    /// The keys are gone.
    Lost,
    /// Newer keys took over before the validity ended.
    Superseded,
    /// The node stops.
    Retired,
}

impl Reason {
    const ALL: [Self; 4] = [
        Self::Compromised,
        Self::Lost,
        Self::Superseded,
        Self::Retired,
    ];

    /// The word on the line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compromised => "compromised",
            Self::Lost => "lost",
            Self::Superseded => "superseded",
            Self::Retired => "retired",
        }
    }

    /// Reads the word on the line.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The withdrawal of one certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// Name of the node.
    pub node: String,
    /// Serial of the withdrawn certificate.
    pub serial: u64,
    /// Hash of the withdrawn certificate note.
    pub certificate: Hash,
    /// Why.
    pub reason: Reason,
    /// When it was written, in seconds since 1970, as claimed.
    pub time_seconds: u64,
}

impl Revocation {
    /// The exact text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{REVOCATION_HEADER}\nnode {}\nserial {}\ncertificate {}\nreason {}\ntime {}\n",
            self.node,
            self.serial,
            self.certificate.to_hex(),
            self.reason,
            self.time_seconds
        )
    }

    /// Reads a revocation text; [`Revocation::to_text`] gives exactly this text again.
    ///
    /// # Errors
    /// [`CertError`].
    pub fn parse(text: &str) -> Result<Self, CertError> {
        let mut lines = Lines::new(WHAT, REVOCATION_HEADER, text)?;
        let node = lines.value("node")?.to_owned();
        let serial = lines.number("serial")?;
        let certificate = lines.value("certificate")?;
        let certificate = lines.hash(certificate)?;
        let reason = Reason::parse(lines.value("reason")?);
        let reason = reason.ok_or_else(|| lines.bad("the reason is not a known word"))?;
        let time_seconds = lines.number("time")?;
        if !is_member_name(&node) || serial == 0 {
            return Err(lines.bad("the node name is not a member name, or the serial is 0"));
        }
        lines.end()?;
        Ok(Self {
            node,
            serial,
            certificate,
            reason,
            time_seconds,
        })
    }

    /// Signs this revocation with the node's identity key.
    ///
    /// # Errors
    /// [`CertError`].
    pub fn sign(&self, identity: &SigningKey) -> Result<SignedNote, CertError> {
        check_identity(&self.node, identity.verifier())?;
        let text = self.to_text();
        if Self::parse(&text)? != *self {
            return Err(CertError::Malformed {
                what: WHAT,
                problem: "its fields do not read back",
            });
        }
        Ok(identity.signed_note(&text)?)
    }

    /// Reads and verifies a revocation note by the node's identity key.
    ///
    /// # Errors
    /// [`CertError`].
    pub fn open(note: &SignedNote, identity: &VerifierKey) -> Result<Self, CertError> {
        open_note(WHAT, note, identity)?;
        let revocation = Self::parse(note.text())?;
        check_identity(&revocation.node, identity)?;
        Ok(revocation)
    }
}
