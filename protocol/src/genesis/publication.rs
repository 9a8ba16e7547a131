//! A manifest that is active by vote: its certificate, and commits of t members in the same round (R14).
//! May not know whether its chain is: see `chain`.

use super::certificate::{MAX_CERTIFICATE_BYTES, check_order};
use super::fields::{Fields, notes_value, print};
use super::{Check, Election, GenesisError, Roll, Saying, Statement, Verifier, VoteCertificate};
use crate::entry::json::Json;
use crate::manifest::{KeyTexts, MAX_MEMBERS};
use crate::note::{SignatureLine, SignedNote};
use crate::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Value of the member `format`.
pub const ACTIVE_FORMAT: &str = "belfry-genesis-active/v1";

/// Most bytes of the file: the certificate, and for each member a commit and a key certificate.
pub const MAX_PUBLICATION_BYTES: usize = MAX_CERTIFICATE_BYTES + 393_216;

const WHAT: &str = "publication";

/// An active manifest with what made it active. Well-formed, not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// The approvals.
    pub certificate: VoteCertificate,
    /// The commits: one text, a line by the envelope key of each member.
    pub commits: SignedNote,
    /// The key certificates of those envelope keys, in the order of the lines.
    pub key_certificates: Vec<SignedNote>,
}

impl Publication {
    /// Puts commits to a certificate: a line and its key certificate by the member's name. `None` if they are not enough.
    pub(super) fn assemble(
        election: &Election<'_>,
        roll: &Roll<'_>,
        certificate: VoteCertificate,
        commits: BTreeMap<&str, (SignatureLine, SignedNote)>,
    ) -> Option<Self> {
        let names = commits.keys().copied().collect();
        roll.check_commits(&names).ok()?;
        let subject = election.subject(roll.manifest().hash(), certificate.round);
        let statement = Statement {
            subject,
            saying: Saying::Commit,
        };
        let (lines, key_certificates) = commits.into_values().unzip();
        let commits = SignedNote::new(&statement.to_string(), lines).ok()?;
        Some(Self {
            certificate,
            commits,
            key_certificates,
        })
    }

    /// Reads the file; [`Publication::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let fields = Fields::parse(WHAT, ACTIVE_FORMAT, MAX_PUBLICATION_BYTES, bytes)?;
        Self::read(fields, bytes, &mut KeyTexts::default())
    }

    pub(super) fn read(
        mut fields: Fields,
        bytes: &[u8],
        keys: &mut KeyTexts,
    ) -> Result<Self, GenesisError> {
        let read = Self {
            certificate: VoteCertificate::read(&mut fields, keys)?,
            commits: fields.note("commits")?,
            key_certificates: fields.notes("certificates", MAX_MEMBERS)?,
        };
        fields.end(&read.to_json(), bytes)?;
        Ok(read)
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let own = [
            ("certificates", notes_value(&self.key_certificates)),
            ("commits", Json::text(self.commits.to_string())),
            ("format", Json::text(ACTIVE_FORMAT)),
        ];
        print(self.certificate.values().into_iter().chain(own))
    }

    /// Verifies it in `election`: the certificate, and commits of the same round and manifest by enough members that vote.
    ///
    /// # Errors
    /// [`GenesisError`] for the first thing that is wrong.
    pub fn verify<C: Check>(
        &self,
        election: &Election<'_>,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        self.certificate.manifest.check()?; // the fields are public: it may not come from `parse`
        let hash = self.certificate.manifest.hash();
        self.verify_read(election, hash, verifier)
    }

    /// [`Publication::verify`] of what was parsed; `hash` is the manifest's.
    pub(super) fn verify_read<C: Check>(
        &self,
        election: &Election<'_>,
        hash: Hash,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        let manifest = &self.certificate.manifest;
        election.follows(manifest)?;
        let roll = election.roll(manifest);
        self.certificate
            .verify_votes(election, &roll, hash, verifier)?;
        let expected = Statement {
            subject: election.subject(hash, self.certificate.round),
            saying: Saying::Commit,
        };
        if Statement::parse(self.commits.text())? != expected {
            return Err(GenesisError::malformed(
                WHAT,
                "its commits are of another manifest or round than its certificate",
            ));
        }
        check_order(&self.commits)?;
        let lines = self.commits.signatures();
        if lines.len() != self.key_certificates.len() {
            return Err(GenesisError::malformed(
                WHAT,
                "it does not have one key certificate for each commit",
            ));
        }
        let committers = lines.iter().map(|line| {
            let member = roll.committer(line.name());
            member.ok_or_else(|| GenesisError::stranger(line))
        });
        let committers: Vec<_> = committers.collect::<Result<_, _>>()?;
        // Members, not keys, count: one could hold several. Signatures are checked of what would be enough.
        let names: BTreeSet<&str> = lines.iter().map(|line| line.name()).collect();
        roll.check_commits(&names)?;
        for ((line, certificate), member) in
            lines.iter().zip(&self.key_certificates).zip(committers)
        {
            let key = verifier.envelope_key(certificate, &member.identity, &expected.subject)?;
            verifier.line(&key, self.commits.text(), line)?;
        }
        Ok(())
    }
}
