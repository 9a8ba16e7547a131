//! The certificate of a vote (R14): the approvals of one round that let members commit, with the manifest they are for.
//! Not a key certificate. May not know who committed.

use super::fields::{Fields, notes_value, print};
use super::{Check, Election, GenesisError, MAX_ROUND, Roll, Saying, Statement, Verifier};
use crate::entry::json::Json;
use crate::manifest::{KeyTexts, MAX_MANIFEST_BYTES, MAX_MEMBERS, Manifest};
use crate::note::{SignatureLine, SignedNote};
use crate::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Value of the member `format`.
pub const CERTIFICATE_FORMAT: &str = "belfry-genesis-certificate/v1";

/// Most bytes of the file: the manifest, and a note for each of 128 keys with a say.
pub const MAX_CERTIFICATE_BYTES: usize = MAX_MANIFEST_BYTES + 131_072;

/// Most notes: one of the round, and one for each other round in which a joiner or founder accepted.
pub(super) const MAX_APPROVAL_NOTES: usize = MAX_MEMBERS + 1;

const WHAT: &str = "certificate of a vote";

/// A manifest with the approvals that make it the one to commit in a round. Well-formed, not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VoteCertificate {
    /// The manifest.
    pub manifest: Manifest,
    /// The round of the approvals that are not standing.
    pub round: u64,
    /// One note for each round, in order: the approvals of `round`, and standing ones of others.
    pub approvals: Vec<SignedNote>,
}

impl VoteCertificate {
    /// Puts approvals together: those of `round`, and of everybody else whose approval is standing the one of the lowest
    /// round. `None` if they are not enough.
    pub(super) fn assemble(
        election: &Election<'_>,
        roll: &Roll<'_>,
        round: u64,
        approvals: &BTreeMap<(u64, usize), SignatureLine>,
    ) -> Option<Self> {
        let mut taken: BTreeMap<u64, Vec<SignatureLine>> = BTreeMap::new();
        let (mut fresh, mut standing) = (BTreeSet::new(), BTreeSet::new());
        for ((at, seat), line) in approvals.iter().filter(|((at, _), _)| *at == round) {
            fresh.insert(*seat);
            taken.entry(*at).or_default().push(line.clone());
        }
        for ((at, seat), line) in approvals {
            if roll.is_standing(*seat) && !fresh.contains(seat) && standing.insert(*seat) {
                taken.entry(*at).or_default().push(line.clone());
            }
        }
        roll.check_approvals(&fresh, &standing).ok()?;
        let hash = roll.manifest().hash();
        let note = |(at, mut lines): (u64, Vec<SignatureLine>)| {
            lines.sort();
            let statement = Statement {
                subject: election.subject(hash, at),
                saying: Saying::Approve,
            };
            SignedNote::new(&statement.to_string(), lines).ok()
        };
        Some(Self {
            manifest: roll.manifest().clone(),
            round,
            approvals: taken.into_iter().map(note).collect::<Option<_>>()?,
        })
    }

    /// Reads the file; [`VoteCertificate::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut fields = Fields::parse(WHAT, CERTIFICATE_FORMAT, MAX_CERTIFICATE_BYTES, bytes)?;
        let read = Self::read(&mut fields, &mut KeyTexts::default())?;
        fields.end(&read.to_json(), bytes)?;
        Ok(read)
    }

    /// The members that a certificate and what contains one have in common.
    pub(super) fn read(fields: &mut Fields, keys: &mut KeyTexts) -> Result<Self, GenesisError> {
        let round = fields.number("round")?;
        if round == 0 || round > MAX_ROUND {
            return Err(fields.bad("rounds begin at 1"));
        }
        let approvals = fields.notes("approvals", MAX_APPROVAL_NOTES)?;
        if approvals.is_empty() {
            return Err(fields.bad("there is no approval"));
        }
        Ok(Self {
            manifest: fields.manifest_with(keys)?,
            round,
            approvals,
        })
    }

    pub(super) fn values(&self) -> [(&'static str, Json); 3] {
        [
            ("approvals", notes_value(&self.approvals)),
            ("manifest", self.manifest.to_value()),
            ("round", Json::whole(self.round)),
        ]
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let format = [("format", Json::text(CERTIFICATE_FORMAT))];
        print(self.values().into_iter().chain(format))
    }

    /// Verifies it in `election`: the manifest follows, every line is an approval of it by somebody with a say, and they are
    /// enough.
    ///
    /// # Errors
    /// [`GenesisError`] for the first thing that is wrong.
    pub fn verify<C: Check>(
        &self,
        election: &Election<'_>,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        self.manifest.check()?; // the fields are public: it may not come from `parse`
        election.follows(&self.manifest)?;
        let roll = election.roll(&self.manifest);
        self.verify_votes(election, &roll, self.manifest.hash(), verifier)
    }

    /// [`VoteCertificate::verify`] without the manifest's own rules and place. `hash` is the manifest's.
    pub(super) fn verify_votes<C: Check>(
        &self,
        election: &Election<'_>,
        roll: &Roll<'_>,
        hash: Hash,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        let (mut fresh, mut standing) = (BTreeSet::new(), BTreeSet::new());
        let (mut before, mut lines) = (0, Vec::new());
        for note in &self.approvals {
            let round = approval_round(election, note, hash)?;
            if round <= before {
                return Err(GenesisError::malformed(
                    WHAT,
                    "its notes are not one for each round, in order",
                ));
            }
            before = round;
            check_order(note)?;
            for line in note.signatures() {
                let seat = roll.seat_of(line);
                let counts = |seat: &usize| roll.is_standing(*seat) || round == self.round;
                let seat = seat
                    .filter(counts)
                    .ok_or_else(|| GenesisError::stranger(line))?;
                lines.push((seat, note, line));
                if round == self.round {
                    fresh.insert(seat);
                }
                standing.insert(seat);
            }
        }
        // Counting costs nothing: signatures are checked of what would be enough.
        roll.check_approvals(&fresh, &standing)?;
        lines
            .into_iter()
            .try_for_each(|(seat, note, line)| verifier.line(roll.key(seat), note.text(), line))
    }

    /// The approvals by the round and seat of who gave them, for whoever wants to count them again.
    pub(super) fn lines<'n>(
        &'n self,
        roll: &'n Roll<'_>,
    ) -> impl Iterator<Item = (u64, usize, &'n SignedNote, &'n SignatureLine)> {
        self.approvals.iter().flat_map(move |note| {
            let round = Statement::parse(note.text()).map_or(0, |s| s.subject.round);
            let lines = note.signatures().iter();
            lines.filter_map(move |line| Some((round, roll.seat_of(line)?, note, line)))
        })
    }
}

/// The round of an approval of exactly this manifest in this election.
pub(super) fn approval_round(
    election: &Election<'_>,
    note: &SignedNote,
    hash: Hash,
) -> Result<u64, GenesisError> {
    let statement = Statement::parse(note.text())?;
    election.check_subject(&statement.subject)?;
    if statement.saying != Saying::Approve || statement.subject.manifest != hash {
        return Err(GenesisError::malformed(
            WHAT,
            "a note approves another manifest, or does not approve",
        ));
    }
    Ok(statement.subject.round)
}

/// Lines sorted by name and key id, one for each: one spelling.
pub(super) fn check_order(note: &SignedNote) -> Result<(), GenesisError> {
    let signer = |line: &SignatureLine| (line.name().to_owned(), line.key_id());
    let sorted = note.signatures().is_sorted_by(|a, b| signer(a) < signer(b));
    if sorted {
        return Ok(());
    }
    Err(GenesisError::malformed(
        WHAT,
        "its signature lines are not sorted by name and key, one for each signer",
    ))
}
