//! Proof that a member broke its word (R14): two approvals, or two commits, of different manifests in one round of one
//! epoch; a yield to one manifest and a commit or yield to another. Anybody can check it offline.
//! May not punish: an amendment does.

use super::fields::{Fields, notes_value, print};
use super::{Check, GenesisError, Saying, Verifier, Vote};
use crate::entry::json::Json;
use crate::note::{SignedNote, VerifierKey};
use crate::tlog::hash::{Hash, sha256};

/// Value of the member `format`.
pub const EVIDENCE_FORMAT: &str = "belfry-genesis-evidence/v1";

/// Most bytes of the file: two votes.
pub const MAX_EVIDENCE_BYTES: usize = 2 * super::MAX_VOTE_BYTES;

const WHAT: &str = "evidence";

/// Two statements that nobody honest makes both. Well-formed, not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    first: Vote,
    second: Vote,
}

/// Whether nobody honest makes both statements.
fn contradict(first: &Vote, second: &Vote) -> bool {
    let (a, b) = (first.statement(), second.statement());
    let (x, y) = (&a.subject, &b.subject);
    let place = (x.federation, x.lineage, x.epoch) == (y.federation, y.lineage, y.epoch);
    let words = match (&a.saying, &b.saying) {
        (Saying::Approve, Saying::Approve) | (Saying::Commit, Saying::Commit) => x.round == y.round,
        (Saying::Yield { .. }, Saying::Yield { .. } | Saying::Commit)
        | (Saying::Commit, Saying::Yield { .. }) => true,
        _ => false,
    };
    place && words && x.manifest != y.manifest
}

impl Evidence {
    /// The evidence in two votes by one member, in any order; `None` if both can be honest.
    #[must_use]
    pub fn of(one: &Vote, other: &Vote) -> Option<Self> {
        if !contradict(one, other) || one.line().name() != other.line().name() {
            return None;
        }
        let swap = one.note().to_string() > other.note().to_string();
        let (first, second) = if swap { (other, one) } else { (one, other) };
        Some(Self {
            first: first.clone(),
            second: second.clone(),
        })
    }

    /// Reads the file; [`Evidence::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut fields = Fields::parse(WHAT, EVIDENCE_FORMAT, MAX_EVIDENCE_BYTES, bytes)?;
        let mut certificates = fields.notes("certificates", 2)?.into_iter();
        let mut vote = |note: SignedNote| {
            let statement = super::Statement::parse(note.text())?;
            let commit = statement.saying == Saying::Commit;
            Vote::new(note, commit.then(|| certificates.next()).flatten())
        };
        let (first, second) = (vote(fields.note("first")?)?, vote(fields.note("second")?)?);
        let read = Self::of(&first, &second)
            .ok_or_else(|| fields.bad("the two statements do not contradict each other"))?;
        fields.end(&read.to_json(), bytes)?;
        Ok(read)
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let votes = [&self.first, &self.second];
        let certificates = votes.iter().filter_map(|vote| vote.certificate());
        print([
            ("certificates", notes_value(certificates)),
            ("first", Json::text(self.first.note().to_string())),
            ("format", Json::text(EVIDENCE_FORMAT)),
            ("second", Json::text(self.second.note().to_string())),
        ])
    }

    /// SHA-256 of the file, by which the same evidence is recognised.
    #[must_use]
    pub fn digest(&self) -> Hash {
        sha256(self.to_json().as_bytes())
    }

    /// Name of the accused.
    #[must_use]
    pub fn accused(&self) -> &str {
        self.first.line().name()
    }

    /// The two votes.
    #[must_use]
    pub fn votes(&self) -> [&Vote; 2] {
        [&self.first, &self.second]
    }

    /// Verifies that both statements are by the member with this identity key.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn verify<C: Check>(
        &self,
        identity: &VerifierKey,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        self.first.verify(identity, verifier)?;
        self.second.verify(identity, verifier)
    }
}
