//! A manifest that somebody wants voted on, with the proposer's signature: who it is from, since when, and under what title.
//! The proposer is only a clerk: nothing here has weight in a vote.

use super::fields::{Fields, print};
use super::{Check, Election, GenesisError, Saying, Statement, Verifier, Vote};
use crate::entry::json::Json;
use crate::manifest::{MAX_MANIFEST_BYTES, Manifest};
use crate::note::{SignedNote, VerifierKey};

/// Value of the member `format`.
pub const PROPOSAL_FORMAT: &str = "belfry-genesis-proposal/v1";

/// Most bytes of the file: the manifest and one signature.
pub const MAX_PROPOSAL_BYTES: usize = MAX_MANIFEST_BYTES + super::MAX_VOTE_BYTES;

/// How long a proposal is open: 72 hours. It only tells humans when to start the next round.
pub const OPEN_SECONDS: u64 = 72 * 3_600;

const WHAT: &str = "proposal";

/// A proposal. Well-formed, not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    manifest: Manifest,
    vote: Vote,
}

impl Proposal {
    /// Puts a manifest and the proposer's note together.
    ///
    /// # Errors
    /// [`GenesisError`] if the note does not propose this manifest.
    pub fn new(manifest: Manifest, note: SignedNote) -> Result<Self, GenesisError> {
        let vote = Vote::new(note, None)?;
        let statement = vote.statement();
        let proposes = matches!(statement.saying, Saying::Propose { .. });
        if !proposes || statement.subject.manifest != manifest.hash() {
            return Err(GenesisError::malformed(
                WHAT,
                "its note does not propose this manifest",
            ));
        }
        Ok(Self { manifest, vote })
    }

    /// Reads the file; [`Proposal::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut fields = Fields::parse(WHAT, PROPOSAL_FORMAT, MAX_PROPOSAL_BYTES, bytes)?;
        let read = Self::new(fields.manifest()?, fields.note("note")?)?;
        fields.end(&read.to_json(), bytes)?;
        Ok(read)
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        print([
            ("format", Json::text(PROPOSAL_FORMAT)),
            ("manifest", self.manifest.to_value()),
            ("note", Json::text(self.vote.note().to_string())),
        ])
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The proposer's statement.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        self.vote.statement()
    }

    /// The proposer's note.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        self.vote.note()
    }

    /// Name of the proposer.
    #[must_use]
    pub fn proposer(&self) -> &str {
        self.vote.line().name()
    }

    /// When it was opened, as its proposer says, in seconds since 1970, and its title.
    #[must_use]
    pub fn opened(&self) -> (u64, &str) {
        match &self.statement().saying {
            Saying::Propose {
                opened_seconds,
                title,
            } => (*opened_seconds, title),
            _ => (0, ""), // `new` takes nothing else
        }
    }

    /// Verifies it in `election`: the manifest can follow, and the proposer is a member of N; at epoch 0, a listed one.
    /// Returns the proposer's key.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn verify<C: Check>(
        &self,
        election: &Election<'_>,
        verifier: &mut Verifier<C>,
    ) -> Result<VerifierKey, GenesisError> {
        election.check_subject(&self.statement().subject)?;
        election.follows(&self.manifest)?;
        let line = self.vote.line();
        let member = election.roll(&self.manifest).committer(line.name());
        let key = member.map(|member| member.identity.clone());
        let key = key.ok_or_else(|| GenesisError::stranger(line))?;
        self.vote.verify(&key, verifier)?;
        Ok(key)
    }
}
