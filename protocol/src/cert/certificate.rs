//! One certificate: its lines in their fixed order, and the rules for the keys in it.
//! May not look at other certificates: see `chain`.

use super::CertError;
use super::lines::Lines;
use crate::note::text::decimal;
use crate::note::{
    Algorithm, MIRROR_SUFFIX, SignedNote, SigningKey, VerifierKey, is_member_name, verify_note,
};
use crate::tlog::MAX_SIZE;
use crate::tlog::hash::Hash;
use std::fmt;

/// First line of a certificate.
pub const CERT_HEADER: &str = "belfry-key-cert/v1";

const WHAT: &str = "certificate";

/// What a certificate's keys may be used in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The federation with this id, the hash of its epoch-0 manifest.
    Federation(Hash),
    /// A draft with this random lineage, before epoch 0.
    Lineage([u8; 16]),
    /// A node that belongs to no federation yet.
    Unfounded,
}

/// The keys of one node under one serial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Where the keys may be used.
    pub scope: Scope,
    /// Name of the node.
    pub node: String,
    /// Serial of the keys, from 1 without gaps.
    pub serial: u64,
    /// Hash of the previous certificate note; `None` for serial 1.
    pub previous: Option<Hash>,
    /// First second of validity, since 1970.
    pub not_before_seconds: u64,
    /// First second after validity, since 1970.
    pub not_after_seconds: u64,
    /// Type 0x01 key for the ledger's digests.
    pub log: VerifierKey,
    /// Smallest size of a digest that the log key may sign.
    pub log_from_size: u64,
    /// Type 0x04 key for witness cosignatures.
    pub ack: VerifierKey,
    /// Type 0x04 key for what is durably held, named with the ending `/mirror`.
    pub mirror: VerifierKey,
    /// Type 0x01 key for message envelopes.
    pub envelope: VerifierKey,
}

impl Certificate {
    /// The exact text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let previous = self
            .previous
            .map_or_else(|| "-".to_owned(), |hash| hash.to_hex());
        format!(
            "{CERT_HEADER}\n{}\nnode {}\nserial {}\nprevious {previous}\nnot-before {}\nnot-after {}\n\
             key log {} from-size {}\nkey ack {}\nkey mirror {}\nkey envelope {}\n",
            self.scope,
            self.node,
            self.serial,
            self.not_before_seconds,
            self.not_after_seconds,
            self.log,
            self.log_from_size,
            self.ack,
            self.mirror,
            self.envelope,
        )
    }

    /// Reads a certificate text; [`Certificate::to_text`] gives exactly this text again.
    ///
    /// # Errors
    /// [`CertError`].
    pub fn parse(text: &str) -> Result<Self, CertError> {
        let mut lines = Lines::new(WHAT, CERT_HEADER, text)?;
        let scope = read_scope(&mut lines)?;
        let node = lines.value("node")?.to_owned();
        let serial = lines.number("serial")?;
        let previous = match lines.value("previous")? {
            "-" => None,
            value => Some(lines.hash(value)?),
        };
        let not_before_seconds = lines.number("not-before")?;
        let not_after_seconds = lines.number("not-after")?;
        let (log, from_size) = lines
            .value("key log")?
            .split_once(" from-size ")
            .ok_or_else(|| lines.bad("the log key has no from-size"))?;
        let log_from_size =
            decimal(from_size).ok_or_else(|| lines.bad("from-size is not canonical"))?;
        let log = VerifierKey::parse(log)?;
        let ack = VerifierKey::parse(lines.value("key ack")?)?;
        let mirror = VerifierKey::parse(lines.value("key mirror")?)?;
        let envelope = VerifierKey::parse(lines.value("key envelope")?)?;
        lines.end()?;
        let certificate = Self {
            scope,
            node,
            serial,
            previous,
            not_before_seconds,
            not_after_seconds,
            log,
            log_from_size,
            ack,
            mirror,
            envelope,
        };
        certificate.check()?;
        Ok(certificate)
    }

    /// Signs this certificate with the node's identity key.
    ///
    /// # Errors
    /// [`CertError`] if its fields break a rule or the key is not the identity key's kind.
    pub fn sign(&self, identity: &SigningKey) -> Result<SignedNote, CertError> {
        check_identity(&self.node, identity.verifier())?;
        self.check_not_identity(identity.verifier())?;
        let text = self.to_text();
        if Self::parse(&text)? != *self {
            return Err(CertError::Malformed {
                what: WHAT,
                problem: "its fields do not read back",
            });
        }
        Ok(identity.signed_note(&text)?)
    }

    /// Reads and verifies a certificate note: one signature, by the identity key that bears the node's name.
    ///
    /// # Errors
    /// [`CertError`].
    pub fn open(note: &SignedNote, identity: &VerifierKey) -> Result<Self, CertError> {
        open_note(WHAT, note, identity)?;
        let certificate = Self::parse(note.text())?;
        check_identity(&certificate.node, identity)?;
        certificate.check_not_identity(identity)?;
        Ok(certificate)
    }

    /// Whether `now_seconds` since 1970 lies in the validity.
    #[must_use]
    pub fn is_valid_at(&self, now_seconds: u64) -> bool {
        (self.not_before_seconds..self.not_after_seconds).contains(&now_seconds)
    }

    /// The four purpose keys with their names on the lines.
    #[must_use]
    pub fn keys(&self) -> [(&'static str, &VerifierKey); 4] {
        [
            ("log", &self.log),
            ("ack", &self.ack),
            ("mirror", &self.mirror),
            ("envelope", &self.envelope),
        ]
    }

    fn check(&self) -> Result<(), CertError> {
        let bad = |problem| {
            Err(CertError::Malformed {
                what: WHAT,
                problem,
            })
        };
        if !is_member_name(&self.node) {
            return bad("the node name is not a member name");
        }
        if self.serial == 0 || (self.serial == 1) != self.previous.is_none() {
            return bad("serial 1 has no previous certificate, every later one has");
        }
        if self.not_before_seconds >= self.not_after_seconds || self.not_after_seconds > MAX_SIZE {
            return bad("not-after is not after not-before");
        }
        let mirror_name = format!("{}{MIRROR_SUFFIX}", self.node);
        let expected = [
            (self.node.as_str(), Algorithm::Ed25519),
            (&self.node, Algorithm::CosignatureV1),
            (&mirror_name, Algorithm::CosignatureV1),
            (&self.node, Algorithm::Ed25519),
        ];
        let keys = self.keys();
        for (position, ((purpose, key), (name, algorithm))) in
            keys.into_iter().zip(expected).enumerate()
        {
            if key.name() != name || key.algorithm() != algorithm {
                return Err(CertError::Purpose {
                    purpose,
                    problem: "its name or type is not the purpose's",
                });
            }
            if keys[..position]
                .iter()
                .any(|(_, other)| other.public_key() == key.public_key())
            {
                return Err(CertError::Purpose {
                    purpose,
                    problem: "another purpose has the same public key",
                });
            }
        }
        Ok(())
    }

    fn check_not_identity(&self, identity: &VerifierKey) -> Result<(), CertError> {
        for (purpose, key) in self.keys() {
            if key.public_key() == identity.public_key() {
                return Err(CertError::Purpose {
                    purpose,
                    problem: "it is the identity key",
                });
            }
        }
        Ok(())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Federation(id) => write!(f, "federation {}", id.to_hex()),
            Self::Lineage(lineage) => write!(f, "lineage {}", crate::hex::encode(lineage)),
            Self::Unfounded => f.write_str("unfounded"),
        }
    }
}

fn read_scope(lines: &mut Lines<'_>) -> Result<Scope, CertError> {
    let line = lines.line()?;
    match line.split_once(' ') {
        None if line == "unfounded" => Ok(Scope::Unfounded),
        Some(("federation", id)) => Ok(Scope::Federation(lines.hash(id)?)),
        Some(("lineage", lineage)) => crate::hex::decode(lineage)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Scope::Lineage)
            .ok_or_else(|| lines.bad("a lineage is 32 lower-case hexadecimal digits")),
        _ => Err(lines.bad("the second line is not federation, lineage or unfounded")),
    }
}

/// Verifies that the note has exactly one signature, by the identity key: two notes of one certificate would have two
/// hashes.
pub(super) fn open_note(
    what: &'static str,
    note: &SignedNote,
    identity: &VerifierKey,
) -> Result<(), CertError> {
    if note.signatures().len() != 1 {
        return Err(CertError::Malformed {
            what,
            problem: "it does not have exactly one signature",
        });
    }
    verify_note(note, std::slice::from_ref(identity))?;
    Ok(())
}

/// The identity key bears the node's name and is of type 0x01.
pub(super) fn check_identity(node: &str, identity: &VerifierKey) -> Result<(), CertError> {
    if identity.name() == node && identity.algorithm() == Algorithm::Ed25519 {
        return Ok(());
    }
    Err(CertError::Identity {
        key: identity.name().to_owned(),
        node: node.to_owned(),
    })
}
