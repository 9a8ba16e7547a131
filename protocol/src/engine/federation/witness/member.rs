//! `add-checkpoint` for the ledger of a member: what comes over HTTP is one more way to hear of a digest, and its mark and
//! that of libp2p acks are one (R4). Before the entries are held the ack line goes out alone, and entries that do not lead
//! to what was cosigned are never acknowledged.

use super::foreign::FORKED;
use super::judge::{self, Answer};
use super::record::{Witnessed, opened};
use super::{Last, NO_KEYS, SOON_SECONDS, Turn};
use crate::checkpoint::{Checkpoint, ForeignCheckpoint};
use crate::engine::federation::checks::verified_lines;
use crate::engine::federation::forks::Statement;
use crate::engine::federation::mirror::{Ack, Mirror, MirrorRestore};
use crate::engine::federation::window::Side;
use crate::engine::federation::{MemberIx, Stop};
use crate::engine::open_end;
use crate::engine::store::{StoreError, Transaction};
use crate::note::SignedNote;
use crate::tlog::hash::empty_root;
use crate::witness::AddCheckpoint;

impl<T: Transaction> Turn<'_, '_, T> {
    pub(super) fn witness_member(
        &mut self,
        origin: MemberIx,
        request: &AddCheckpoint,
        digest: &ForeignCheckpoint,
    ) -> Result<Answer, StoreError> {
        let note = &request.checkpoint;
        if !digest.extensions.is_empty() {
            self.odd_over_http(note)?;
            return Ok(Answer::Malformed("a member's digest has extension lines"));
        }
        let members = &self.settings.members;
        let Some(log) = members.log_key(origin, digest.size).cloned() else {
            return Ok(match members.chain(origin).is_empty() {
                true => UNMET,
                false => Answer::Untrusted,
            });
        };
        if self.checks.trusted(&[&log], note).is_none() {
            return Ok(Answer::Untrusted);
        }
        if let Err(answer) = judge::sizes_in_order(request.old_size, digest.size) {
            return Ok(answer);
        }
        let digest = Checkpoint {
            origin: digest.origin.clone(),
            size: digest.size,
            root: digest.root,
        };
        let before = Mirror::load_or_new(self.own.tx, &digest.origin)?;
        let last = last_of(
            &before,
            Witnessed::load(self.own.tx, &digest.origin)?.as_ref(),
        )?;
        let right = match self.may_not_cosign(origin, &before, &last) {
            Some(answer) => Err(answer),
            None => judge::extends(
                (last.size, &last.root),
                request.old_size,
                (digest.size, &digest.root),
                &request.proof,
            ),
        };
        if right.is_ok() && digest.size > last.size && digest.size >= before.seen_size() {
            // The proof shows that what was cosigned last is a beginning of this one, which becomes the newest and is
            // compared itself: no doubt is left about the older one.
            self.good(origin, last.size, last.root);
        }
        let is_tree = digest.size > 0 || digest.root == empty_root();
        if is_tree
            && (digest.size >= before.seen_size() || self.may_claim(origin, &before, &digest))
        {
            // Whatever the answer is, the log's own signature makes it a digest that was seen.
            self.see(origin, &digest, note)?;
        }
        if is_tree {
            self.v.forks.remember(note);
            self.compare_with_last(origin, &last, &digest, note);
        } else {
            self.odd_over_http(note)?;
        }
        match right {
            Err(answer) => Ok(answer),
            Ok(()) => self.cosign_member(origin, &digest, note, &log),
        }
    }

    /// What its log signed and no honest member signs is kept, whatever the answer is.
    fn odd_over_http(&mut self, note: &SignedNote) -> Result<(), StoreError> {
        match self.odd_digest(note) {
            Err(Stop::Store(error)) => Err(error),
            // Its log did not sign it.
            Err(Stop::Bad(_)) | Ok(_) => Ok(()),
        }
    }

    /// Why nothing of this ledger is acknowledged now, if so. Every other rule that keeps a tower from acking belongs here,
    /// too.
    pub(super) fn may_not_cosign(
        &self,
        origin: MemberIx,
        mirror: &Mirror,
        last: &Last,
    ) -> Option<Answer> {
        let forks = &self.v.forks;
        if mirror.conflict || forks.is_forked(origin) {
            return Some(FORKED);
        }
        if mirror.restore != MirrorRestore::Done {
            return Some(RESTORING);
        }
        if forks.is_held_up_besides(origin, last.size, &last.root) {
            return Some(DOUBTED);
        }
        self.signs_nothing()
            .or_else(|| (!self.may_ack(origin)).then_some(ASKING))
    }

    /// Whether an older digest may become a claim now, which keeps every ack back until it is compared. Old digests are
    /// public, and whoever sends them again and again over HTTP must not keep a ledger from being acknowledged.
    fn may_claim(&mut self, origin: MemberIx, held: &Mirror, digest: &Checkpoint) -> bool {
        if digest.size > held.base.end() {
            // It could not be compared before its entries come.
            return false;
        }
        let now = self.now_us();
        let last = self.v.http_claims.get(&origin);
        let may = last.is_none_or(|at| now >= at.saturating_add(CLAIM_PAUSE_US));
        if may {
            self.v.http_claims.insert(origin, now);
        }
        may
    }

    /// A digest of the size that was cosigned last, with another root: a fork, also where a larger digest is known.
    fn compare_with_last(
        &mut self,
        origin: MemberIx,
        last: &Last,
        digest: &Checkpoint,
        note: &SignedNote,
    ) {
        if last.size != digest.size || last.root == digest.root {
            return;
        }
        let known = last.note.as_deref().and_then(Statement::stored);
        let new = self.statement(origin, digest, note);
        if let (Some(known), Some(new)) = (known, new) {
            self.contradiction(origin, &known, &new, &[]);
        }
    }

    fn cosign_member(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
        log: &crate::note::VerifierKey,
    ) -> Result<Answer, StoreError> {
        let name = digest.origin.as_str();
        let mut mirror = Mirror::load_or_new(self.own.tx, name)?;
        let known = Witnessed::load(self.own.tx, name)?;
        let forks = &self.v.forks;
        if mirror.conflict || forks.is_forked(origin) {
            return Ok(Answer::Refused(
                "the log signed another tree of the same size",
            ));
        }
        if forks.is_held_up_besides(origin, digest.size, &digest.root) {
            return Ok(DOUBTED);
        }
        if digest.size < mirror.seen_size() {
            return Ok(BEHIND);
        }
        let held = mirror.base.end() == digest.size && mirror.base.root() == digest.root;
        // Never decreasing, for both keys (R4).
        let time_seconds = self
            .wall_seconds()
            .max(mirror.acked.as_ref().map_or(0, |ack| ack.time_seconds))
            .max(known.map_or(0, |known| known.time_seconds));
        let lines = self.cosign(note.text(), time_seconds, held)?;
        if lines.is_empty() {
            return Ok(NO_KEYS);
        }
        let damaged = || StoreError::Damaged(format!("the digest of {name}"));
        let mut kept = verified_lines(&self.checks, note, &[log]).ok_or_else(damaged)?;
        for line in &lines {
            kept = kept.with_signature(line.clone()).map_err(|_| damaged())?;
        }
        self.keep_ack(Side::Given, &kept.to_string())?;
        if held {
            mirror.acked = Some(Ack {
                size: digest.size,
                time_seconds,
                note: kept.to_string(),
            });
            self.keep_mirror(name, &mirror)?;
        } else {
            let record = Witnessed {
                size: digest.size,
                root: digest.root,
                time_seconds,
                note: kept.to_string(),
                forked: false,
                edge: mirror.base,
            };
            record.store(self.own.tx, name)?;
        }
        Ok(Answer::Cosigned(lines))
    }

    /// Before an ack of what is held: the earliest time that it may carry, or `None` if what was cosigned over HTTP forbids
    /// it, because it is larger or because the entries do not lead to it. Called whenever the base may have moved.
    pub(in crate::engine::federation) fn witnessed_before(
        &mut self,
        origin: MemberIx,
        mirror: &Mirror,
    ) -> Result<Option<u64>, StoreError> {
        let name = self.settings.members.name(origin).to_owned();
        let Some(mut known) = Witnessed::load(self.own.tx, &name)? else {
            return Ok(Some(0));
        };
        let reached = known.size.min(mirror.base.end());
        if known.edge.end() < reached {
            // The rows are there: nothing above the base of the last call was flushed yet.
            known.edge = open_end::edge_at(self.own.tx, mirror.place, &known.edge, reached)?;
            known.store(self.own.tx, &name)?;
        }
        if known.edge.end() == known.size && known.edge.root() != known.root {
            // A claim now: the comparison with what is held makes the proof (R5).
            let (root, note) = opened(&known.note)?;
            let digest = Checkpoint {
                origin: name,
                size: known.size,
                root,
            };
            self.claim(origin, &digest, &note, true)?;
            return Ok(None);
        }
        let reached = mirror.base.end() >= known.size;
        Ok(reached.then_some(known.time_seconds))
    }
}

/// What was cosigned last, over libp2p or HTTP: the larger one.
pub(super) fn last_of(mirror: &Mirror, witnessed: Option<&Witnessed>) -> Result<Last, StoreError> {
    let acked = mirror.acked.as_ref();
    if let Some(known) = witnessed
        && acked.is_none_or(|ack| ack.size <= known.size)
    {
        return Ok(Last::of(known));
    }
    let Some(ack) = acked else {
        return Ok(Last::default());
    };
    Ok(Last {
        size: ack.size,
        root: opened(&ack.note)?.0,
        note: Some(ack.note.clone()),
    })
}

/// Pause between two older digests of one ledger that HTTP may bring to be compared, in microseconds: comparing takes
/// milliseconds, so that acks go on nearly all of the time.
const CLAIM_PAUSE_US: u64 = 10_000_000;

const DOUBTED: Answer = Answer::NotNow {
    why: "another digest of this ledger is being compared with what is held",
    retry_seconds: SOON_SECONDS,
};
const UNMET: Answer = Answer::NotNow {
    why: "this tower does not know the member's keys yet",
    retry_seconds: SOON_SECONDS,
};
const RESTORING: Answer = Answer::NotNow {
    why: "this tower was restored and has to catch up with this ledger",
    retry_seconds: SOON_SECONDS,
};
const ASKING: Answer = Answer::NotNow {
    why: "since its start, this tower was not told yet by the others what they saw of this ledger",
    retry_seconds: SOON_SECONDS,
};
const BEHIND: Answer = Answer::NotNow {
    why: "this tower saw a larger digest of this ledger and is fetching its entries",
    retry_seconds: SOON_SECONDS,
};
