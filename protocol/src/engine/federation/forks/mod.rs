//! Fork proofs (R5): found here or told by others, each counts only if it verifies against the manifest. It is then kept for
//! good, told to everybody and in the own ledger, and whoever it accuses is quarantined. May not call anything a fork that
//! was not recomputed here.
//!
//! | file | what |
//! |---|---|
//! | [`kept`] | the proofs that are kept, and what follows from them |
//! | `tell` | proofs by gossip and on request, and the `fork.seen` entry |
//! | `claims` | digests that cannot be compared with what is held yet |
//! | `questions` | two statements and the proof that shows whether both can be true |
//! | `heard` | what other towers acked: two acks of one tower may contradict each other |
//! | `withheld` | a ledger of which nobody hands out entries or a proof |
//! | [`odd`] | digests that no honest member signs |
//! | `ranges` | certificates that deny what was signed (R6) |
//! | `stolen` | notes by keys that were revoked (R6) |
//! | `again` | what must be heard again, because it found no room |

mod again;
mod claims;
mod heard;
pub mod kept;
pub mod odd;
mod questions;
mod ranges;
mod stolen;
pub(super) mod tell;
mod withheld;

pub(super) use claims::MAX_CLAIMS;
pub use kept::ForkRow;
pub use odd::OddRow;
pub(super) use questions::MAX_QUESTIONS;
pub(super) use ranges::denied;

use super::checks::verified_lines;
use super::{MemberIx, Turn};
use crate::checkpoint::Checkpoint;
use crate::engine::store::Transaction;
use crate::fork::{ForkKind, ForkProof};
use crate::note::SignedNote;
use crate::tlog::hash::Hash;
use crate::wire::v1::Signer;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Whom a proof accuses, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Accused {
    signer: Signer,
    member: MemberIx,
}

/// What is known of forks, beside the store.
#[derive(Default)]
pub(super) struct Forks {
    /// Digests of the proofs that are kept, by whom they accuse.
    kept: BTreeMap<Accused, Vec<Hash>>,
    /// Proofs that hold and are not written yet. An input that is undone does not undo them.
    found: Vec<kept::Found>,
    /// Written in the newest step, which may not have committed.
    written: Vec<kept::Found>,
    /// Digests of the proofs that the own ledger does not tell of yet.
    owed: Vec<Hash>,
    claims: BTreeMap<MemberIx, Vec<claims::Claim>>,
    /// Digests whose root is that of the entries held here, newest last.
    good: BTreeMap<MemberIx, VecDeque<(u64, Hash)>>,
    questions: BTreeMap<u64, questions::Question>,
    next_question: u64,
    behind: BTreeMap<MemberIx, withheld::Behind>,
    /// Notes of the newest step, and those of earlier ones that did not commit.
    heard: again::Heard,
    again: BTreeSet<String>,
    /// Ledgers of which a digest found no room among the claims.
    lost: BTreeSet<MemberIx>,
    /// Members of which a human was told that a certificate denies what they signed.
    denied: BTreeSet<MemberIx>,
    /// Whether longer chains are to be compared with what was signed.
    ranges_due: bool,
}

impl Forks {
    /// After a step that did not commit: what is in the store is read again, and what was found is written again.
    pub(super) fn forget(&mut self) {
        let mut found = std::mem::take(&mut self.written);
        found.append(&mut self.found);
        let again = self.unheard();
        *self = Self {
            found,
            again,
            ..Self::default()
        };
    }

    /// Whether nothing waits to be written, compared or fetched.
    pub(super) fn rest(&self) -> bool {
        let mut claims = self.claims.values().flatten();
        let written = self.found.is_empty() && self.written.is_empty() && self.owed.is_empty();
        written
            && self.questions.is_empty()
            && self.behind.is_empty()
            && self.again.is_empty()
            && !self.ranges_due
            && claims.all(|claim| claim.judged)
    }

    /// How much is kept: claims, questions, and ledgers that are behind.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let claims = self.claims.values().map(Vec::len).sum();
        (claims, self.questions.len(), self.behind.len())
    }

    fn accuses(&self, accused: Accused) -> bool {
        self.kept.contains_key(&accused) || self.found.iter().any(|one| one.accused == accused)
    }

    /// Whether a log is proven to have forked: nothing of it is acknowledged any more.
    pub(super) fn is_forked(&self, origin: MemberIx) -> bool {
        let signer = Signer::Origin;
        self.accuses(Accused {
            signer,
            member: origin,
        })
    }

    /// Whether a tower is proven to have acked what cannot both be true: its acks do not count any more.
    pub(super) fn is_liar(&self, tower: MemberIx) -> bool {
        let signer = Signer::Tower;
        self.accuses(Accused {
            signer,
            member: tower,
        })
    }

    /// The same for all digests of a ledger but one.
    pub(super) fn is_held_up_besides(&self, origin: MemberIx, size: u64, root: &Hash) -> bool {
        let mut claims = self.claims.get(&origin).into_iter().flatten();
        claims.any(|one| one.holds_up && !one.statement.is(size, root))
    }

    /// Whether some digest of a ledger must be compared with what is held before anything is acked.
    pub(super) fn is_held_up(&self, origin: MemberIx) -> bool {
        let mut claims = self.claims.get(&origin).into_iter().flatten();
        claims.any(|one| one.holds_up)
    }
}

/// A digest with its log's verified signature, and the verified acks on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    size: u64,
    root: Hash,
    note: SignedNote,
}

impl Statement {
    /// One that is stored: its lines were verified.
    pub(super) fn stored(note: &str) -> Option<Self> {
        let note = SignedNote::parse(note.as_bytes()).ok()?;
        // As a liar may have written it: odd digests are compared, too.
        let digest = Checkpoint::parse_foreign(note.text()).ok()?;
        Some(Self {
            size: digest.size,
            root: digest.root,
            note,
        })
    }

    fn is(&self, size: u64, root: &Hash) -> bool {
        self.size == size && self.root == *root
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// A digest that was opened, with nothing but lines that are right.
    pub(super) fn statement(
        &self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
    ) -> Option<Statement> {
        let members = &self.settings.members;
        let acks = members
            .towers_of(origin)
            .flat_map(|tower| members.cosigners(tower))
            .map(|one| &one.ack);
        let keys: Vec<_> = members
            .log_key(origin, digest.size)
            .into_iter()
            .chain(acks)
            .collect();
        Some(Statement {
            size: digest.size,
            root: digest.root,
            note: verified_lines(&self.checks, note, &keys)?,
        })
    }

    /// Two statements of one log that cannot both be true: `nodes` recompute the larger root and lead to another smaller
    /// one. Whoever signed both is accused.
    pub(super) fn contradiction(
        &mut self,
        origin: MemberIx,
        one: &Statement,
        other: &Statement,
        nodes: &[Hash],
    ) {
        // Whose owner withdrew the key before this came is not accused (R6).
        let stolen = self.is_by_stolen_log_key(origin, [one, other]);
        let members = &self.settings.members;
        let logs = members
            .log_key(origin, one.size)
            .zip(members.log_key(origin, other.size));
        let mut accused = Vec::new();
        if let Some((first, second)) = logs.filter(|_| !stolen) {
            let lines = (
                verified_lines(&self.checks, &one.note, &[first]),
                verified_lines(&self.checks, &other.note, &[second]),
            );
            accused.push((ForkKind::Origin, origin, lines));
        }
        for tower in members.towers_of(origin) {
            for certificate in members.chain(tower) {
                let revoked = (tower, certificate.serial);
                if self.v.revocations.acts(revoked, origin) {
                    continue;
                }
                let key = [&certificate.ack];
                let signed = |note| verified_lines(&self.checks, note, &key);
                let lines = (signed(&one.note), signed(&other.note));
                let both = |note: &Option<SignedNote>| {
                    note.as_ref()
                        .is_some_and(|note| !note.signatures().is_empty())
                };
                if both(&lines.0) && both(&lines.1) {
                    accused.push((ForkKind::Tower, tower, lines));
                    break;
                }
            }
        }
        let proofs: Vec<ForkProof> = accused
            .into_iter()
            .filter_map(|(kind, member, lines)| {
                let (one, other) = (lines.0?, lines.1?);
                let certificates = members.notes(member).to_vec();
                ForkProof::build(kind, one, other, nodes.to_vec(), certificates).ok()
            })
            .collect();
        for proof in proofs {
            // What does not hold accuses nobody; it was recomputed just now, so that it does.
            let _ = self.take_fork(proof, kept::From::Found);
        }
    }
}
