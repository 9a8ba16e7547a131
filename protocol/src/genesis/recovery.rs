//! A manifest that recovery keys signed because too few members were left to amend (R14): it is active only with signed
//! yields of n - t + 1 members of N. It is not proof against members that lie, and says for ever what it was.
//! May not judge when a member may yield: see `ceremony`.

use super::certificate::{MAX_APPROVAL_NOTES, approval_round, check_order};
use super::fields::{Fields, notes_value, print};
use super::{Check, Election, GenesisError, Roll, Saying, Statement, Verifier};
use crate::entry::json::Json;
use crate::manifest::{MAX_MANIFEST_BYTES, MAX_MEMBERS, MAX_RECOVERY_KEYS, Manifest};
use crate::note::{SignatureLine, SignedNote, SigningKey, VerifierKey};
use crate::tlog::hash::{Hash, sha256};
use std::collections::BTreeSet;

/// Value of the member `format`.
pub const RECOVERY_FORMAT: &str = "belfry-genesis-recovery/v1";

/// Most bytes of the file: the manifest, the recovery keys, and a note for each yield and acceptance.
pub const MAX_RECOVERY_BYTES: usize = MAX_MANIFEST_BYTES + 262_144;

/// How long after it saw a recovery manifest a member may yield to it: 72 hours to object in.
pub const YIELD_AFTER_SECONDS: u64 = 72 * 3_600;

const WHAT: &str = "recovery";

/// A manifest signed by recovery keys, with the yields so far. Well-formed, not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// The manifest.
    pub manifest: Manifest,
    /// The recovery keys that signed, sorted by their text; epoch N lists their hashes.
    pub keys: Vec<VerifierKey>,
    /// Their signatures, one line each.
    pub note: SignedNote,
    /// Acceptances of those who join by it, a note for each round.
    pub acceptances: Vec<SignedNote>,
    /// Yields, sorted by signer, one line each: each has a time of its own.
    pub yields: Vec<SignedNote>,
}

/// The hash by which a manifest lists a recovery key.
#[must_use]
pub fn recovery_key_hash(key: &VerifierKey) -> Hash {
    sha256(key.to_string().as_bytes())
}

impl Recovery {
    /// Reads the file; [`Recovery::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let fields = Fields::parse(WHAT, RECOVERY_FORMAT, MAX_RECOVERY_BYTES, bytes)?;
        Self::read(fields, bytes)
    }

    pub(super) fn read(mut fields: Fields, bytes: &[u8]) -> Result<Self, GenesisError> {
        let keys = fields.texts("keys", MAX_RECOVERY_KEYS)?;
        let keys = keys.iter().map(|key| VerifierKey::parse(key));
        let read = Self {
            keys: keys.collect::<Result<_, _>>()?,
            note: fields.note("note")?,
            acceptances: fields.notes("acceptances", MAX_APPROVAL_NOTES)?,
            yields: fields.notes("yields", MAX_MEMBERS)?,
            manifest: fields.manifest()?,
        };
        fields.end(&read.to_json(), bytes)?;
        Ok(read)
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let keys = self.keys.iter().map(|key| Json::text(key.to_string()));
        print([
            ("acceptances", notes_value(&self.acceptances)),
            ("format", Json::text(RECOVERY_FORMAT)),
            ("keys", Json::Array(keys.collect())),
            ("manifest", self.manifest.to_value()),
            ("note", Json::text(self.note.to_string())),
            ("yields", notes_value(&self.yields)),
        ])
    }

    /// The statement that recovery keys sign.
    #[must_use]
    pub fn statement(election: &Election<'_>, manifest: &Manifest) -> Statement {
        Statement {
            subject: election.subject(manifest.hash(), 0),
            saying: Saying::Recover,
        }
    }

    /// How many recovery keys of an epoch must sign: more than half.
    #[must_use]
    pub fn needed(base: &Manifest) -> usize {
        base.recovery_keys.len() / 2 + 1
    }

    /// How many members of epoch N must give way: n - t + 1, so that no t are left for anything else.
    pub(super) fn yields_needed(roll: &Roll<'_>) -> usize {
        let voters = roll.seats().filter(|seat| roll.votes(*seat)).count();
        voters.saturating_sub(roll.threshold()) + 1
    }

    /// The same with the signature of one more recovery key. `earlier`: what others signed of this manifest. Says nothing
    /// about whether it is enough; [`Recovery::verify_keys`] does.
    ///
    /// # Errors
    /// [`GenesisError`] when the manifest cannot follow, or the key may not sign it.
    pub fn signed_by(
        key: &SigningKey,
        election: &Election<'_>,
        manifest: &Manifest,
        earlier: Option<&Self>,
    ) -> Result<Self, GenesisError> {
        election.check(manifest)?;
        let text = Self::statement(election, manifest).to_string();
        let line = key.sign_note(&text)?;
        let mut signed: Vec<(String, VerifierKey, SignatureLine)> = Vec::new();
        if let Some(earlier) = earlier {
            if earlier.manifest != *manifest || earlier.note.text() != text {
                return Err(GenesisError::malformed(
                    WHAT,
                    "what others signed is another manifest",
                ));
            }
            let lines = earlier.keys.iter().zip(earlier.note.signatures());
            signed.extend(lines.map(|(key, line)| (key.to_string(), key.clone(), line.clone())));
        }
        let verifier = key.verifier();
        if !signed.iter().any(|(_, held, _)| held == verifier) {
            signed.push((verifier.to_string(), verifier.clone(), line));
        }
        signed.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let (keys, lines): (Vec<_>, Vec<_>) =
            signed.into_iter().map(|(_, key, line)| (key, line)).unzip();
        let made = Self {
            manifest: manifest.clone(),
            keys,
            note: SignedNote::new(&text, lines)?,
            acceptances: Vec::new(),
            yields: Vec::new(),
        };
        match made.verify_keys(election, &mut Verifier::new(super::Strict)) {
            Ok(()) | Err(GenesisError::Missing { .. }) => Ok(made),
            Err(error) => Err(error),
        }
    }

    /// Verifies that more than half of the recovery keys of epoch N signed it. That none of them was used before is for the chain to
    /// say: see [`super::chain::Chain::check_unused`].
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn verify_keys<C: Check>(
        &self,
        election: &Election<'_>,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        let bad = |problem| Err(GenesisError::malformed(WHAT, problem));
        let Some((_, base)) = election.base else {
            return bad("nothing can be recovered before epoch 0");
        };
        election.check(&self.manifest)?;
        if self.note.text() != Self::statement(election, &self.manifest).to_string() {
            return bad(
                "what the recovery keys signed is not this manifest, or not in this federation",
            );
        }
        let texts: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        if !texts.is_sorted_by(|a, b| a < b) || self.note.signatures().len() != self.keys.len() {
            return bad("it does not have one line for each key, the keys sorted");
        }
        for (key, line) in self.keys.iter().zip(self.note.signatures()) {
            let hash = recovery_key_hash(key);
            if !base.recovery_keys.contains(&hash) {
                return Err(GenesisError::stranger(line));
            }
            verifier.line(key, self.note.text(), line)?;
        }
        let needed = Self::needed(base);
        if self.keys.len() < needed {
            return Err(GenesisError::Missing {
                what: "recovery keys",
                have: self.keys.len(),
                needed,
                missing: "the keys that are listed by hash".to_owned(),
            });
        }
        Ok(())
    }

    /// Verifies that it is active: its keys, n - t + 1 yields of members of N, and the acceptance of everybody who joins.
    ///
    /// # Errors
    /// [`GenesisError`] for the first thing that is wrong or missing.
    pub fn verify<C: Check>(
        &self,
        election: &Election<'_>,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        self.verify_keys(election, verifier)?;
        let roll = election.roll(&self.manifest);
        let hash = self.manifest.hash();
        let (mut accepted, mut before) = (BTreeSet::new(), 0);
        for note in &self.acceptances {
            let round = approval_round(election, note, hash)?;
            if round <= before {
                return Err(GenesisError::malformed(
                    WHAT,
                    "its acceptances are not one note for each round, in order",
                ));
            }
            before = round;
            check_order(note)?;
            for line in note.signatures() {
                let seat = roll.seat_of(line).filter(|seat| roll.is_standing(*seat));
                let seat = seat.ok_or_else(|| GenesisError::stranger(line))?;
                verifier.line(roll.key(seat), note.text(), line)?;
                accepted.insert(seat);
            }
        }
        let joiners: Vec<usize> = roll.seats().filter(|s| roll.is_standing(*s)).collect();
        if let Some(missing) = joiners.iter().find(|seat| !accepted.contains(seat)) {
            return Err(GenesisError::Missing {
                what: "acceptances by those who join",
                have: accepted.len(),
                needed: joiners.len(),
                missing: roll.name(*missing).to_owned(),
            });
        }
        let mut yielded = BTreeSet::new();
        for note in &self.yields {
            let statement = Statement::parse(note.text())?;
            let [line] = note.signatures() else {
                return Err(GenesisError::malformed(WHAT, "a yield has one signature"));
            };
            let is_yield = matches!(statement.saying, Saying::Yield { .. });
            if !is_yield || statement.subject != election.subject(hash, 0) {
                return Err(GenesisError::malformed(
                    WHAT,
                    "a yield gives way to another manifest",
                ));
            }
            let seat = roll.seat_of(line).filter(|seat| roll.votes(*seat));
            let seat = seat.ok_or_else(|| GenesisError::stranger(line))?;
            verifier.line(roll.key(seat), note.text(), line)?;
            yielded.insert(seat);
        }
        let needed = Self::yields_needed(&roll);
        if yielded.len() < needed {
            let silent = roll
                .seats()
                .filter(|seat| roll.votes(*seat) && !yielded.contains(seat));
            return Err(GenesisError::Missing {
                what: "yields (n - t + 1)",
                have: yielded.len(),
                needed,
                missing: super::error::listed(silent.map(|seat| roll.name(seat))),
            });
        }
        Ok(())
    }
}
