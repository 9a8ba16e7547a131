//! `add-checkpoint` for a log that is no member: its mark is this tower's alone. Nobody else remembers it, so a directory
//! that was restored cosigns only with keys of a new serial (R3).

use super::judge::{self, Answer};
use super::record::{Witnessed, opened};
use super::{LATER_SECONDS, Last, NO_KEYS, Turn};
use crate::checkpoint::ForeignCheckpoint;
use crate::engine::federation::Alarm;
use crate::engine::store::{StoreError, Transaction};
use crate::fork::{ForkKind, ForkProof};
use crate::note::{SignatureLine, SignedNote, VerifierKey};
use crate::tlog::compact::CompactRange;
use crate::witness::AddCheckpoint;

impl<T: Transaction> Turn<'_, '_, T> {
    pub(super) fn witness_foreign(
        &mut self,
        request: &AddCheckpoint,
        digest: &ForeignCheckpoint,
    ) -> Result<Answer, StoreError> {
        let origin = digest.origin.as_str();
        let note = &request.checkpoint;
        let Some(log) = self.v.logs.get(origin) else {
            return Ok(Answer::Unknown);
        };
        let keys: Vec<&VerifierKey> = log.keys.iter().collect();
        let Some(log_lines) = self.checks.trusted(&keys, note) else {
            return Ok(Answer::Untrusted);
        };
        if let Err(answer) = judge::sizes_in_order(request.old_size, digest.size) {
            return Ok(answer);
        }
        let known = Witnessed::load(self.own.tx, origin)?;
        let forked = known.as_ref().is_some_and(|known| known.forked);
        if let Some(answer) = self.signs_nothing().or(forked.then_some(FORKED)) {
            return Ok(answer);
        }
        let last = known.as_ref().map_or_else(Last::default, Last::of);
        let before_seconds = known.as_ref().map_or(0, |known| known.time_seconds);
        let new = (digest.size, &digest.root);
        if let (true, true, Some(mut known)) =
            (last.size == digest.size, last.root != digest.root, known)
        {
            // Two trees of one size under the log's own signature, whatever old size came with it.
            self.note_fork(&known.note, note, log_lines.clone())?;
            known.forked = true;
            known.store(self.own.tx, origin)?;
            self.alarm(Alarm::Fork {
                origin: origin.to_owned(),
                size: digest.size,
            });
        }
        let tree = (last.size, &last.root);
        if let Err(answer) = judge::extends(tree, request.old_size, new, &request.proof) {
            return Ok(answer);
        }
        self.cosign_foreign(digest, note, log_lines, before_seconds)
    }

    fn cosign_foreign(
        &mut self,
        digest: &ForeignCheckpoint,
        note: &SignedNote,
        log_lines: Vec<SignatureLine>,
        before_seconds: u64,
    ) -> Result<Answer, StoreError> {
        let time_seconds = self.wall_seconds().max(before_seconds);
        let lines = self.cosign(note.text(), time_seconds, false)?;
        if lines.is_empty() {
            return Ok(NO_KEYS);
        }
        let all = log_lines.into_iter().chain(lines.iter().cloned()).collect();
        let kept = SignedNote::new(note.text(), all)
            .map_err(|error| StoreError::Damaged(format!("a checkpoint: {error}")))?;
        let record = Witnessed {
            size: digest.size,
            root: digest.root,
            time_seconds,
            note: kept.to_string(),
            forked: false,
            edge: CompactRange::default(),
        };
        record.store(self.own.tx, &digest.origin)?;
        Ok(Answer::Cosigned(lines))
    }

    /// Keeps the proof that a log signed two trees of one size: the notes with the log's own lines, and nothing else.
    fn note_fork(
        &mut self,
        known: &str,
        other: &SignedNote,
        other_lines: Vec<SignatureLine>,
    ) -> Result<(), StoreError> {
        let (_, known) = opened(known)?;
        let names: Vec<(&str, u32)> = other_lines
            .iter()
            .map(|line| (line.name(), line.key_id()))
            .collect();
        // Of the keys that signed both: a key that was trusted once may not be any more.
        let shared: Vec<SignatureLine> = known
            .signatures()
            .iter()
            .filter(|line| names.contains(&(line.name(), line.key_id())))
            .cloned()
            .collect();
        let one = SignedNote::new(known.text(), shared);
        let other = SignedNote::new(other.text(), other_lines);
        let proof = one.and_then(|one| Ok((one, other?)));
        let Some(proof) = proof.ok().and_then(|(one, other)| {
            ForkProof::build(ForkKind::Origin, one, other, Vec::new(), Vec::new()).ok()
        }) else {
            return Ok(());
        };
        self.keep_stranger(&proof)
    }
}

/// The answer for a log that signed two trees of one size.
pub(super) const FORKED: Answer = Answer::NotNow {
    why: "there is a fork proof against this log; nothing of it is cosigned any more",
    retry_seconds: LATER_SECONDS,
};
