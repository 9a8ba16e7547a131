//! `sign-subtree` (C2SP `tlog-witness`): parts of trees that this tower cosigned. The step decides and names the keys; the
//! signatures, which take ML-DSA half a millisecond each, are made behind it, so that nobody's acks wait for them.

use super::foreign::FORKED;
use super::judge::Answer;
use super::member::last_of;
use super::record::Witnessed;
use super::{LATER_SECONDS, Last, NO_KEYS, Turn};
use crate::checkpoint::{Checkpoint, ForeignCheckpoint};
use crate::cosignature::subtree::{self, Subtree};
use crate::engine::federation::io::Promise;
use crate::engine::federation::mirror::Mirror;
use crate::engine::federation::{Alarm, MemberIx};
use crate::engine::keys::Serial;
use crate::engine::store::{StoreError, Transaction};
use crate::note::{NoteError, SignatureLine, SigningKey, VerifierKey};
use crate::tlog::hash::Hash;
use crate::tlog::verify;
use crate::witness::SignSubtree;

/// A subtree that may be signed, and by which keys. Only a step makes one, and it leaves the engine as a promise: what it
/// rests on is durable.
#[derive(Clone, Debug)]
pub struct Grant {
    origin: String,
    start: u64,
    end: u64,
    root: Hash,
    keys: Vec<SigningKey>,
}

impl Grant {
    /// The answer's lines: pure, and slow.
    ///
    /// # Errors
    /// [`NoteError`] if a key cannot sign subtrees, which no step grants.
    pub fn lines(&self) -> Result<Vec<SignatureLine>, NoteError> {
        let tree = Subtree {
            origin: &self.origin,
            start: self.start,
            end: self.end,
            root: self.root,
        };
        self.keys
            .iter()
            .map(|key| subtree::build(&tree, key))
            .collect()
    }
}

impl PartialEq for Grant {
    fn eq(&self, other: &Self) -> bool {
        let keys = |grant: &Self| -> Vec<VerifierKey> {
            let keys = grant.keys.iter();
            keys.map(|key| key.verifier().clone()).collect()
        };
        (&self.origin, self.start, self.end, self.root)
            == (&other.origin, other.start, other.end, other.root)
            && keys(self) == keys(other)
    }
}

impl Eq for Grant {}

impl<T: Transaction> Turn<'_, '_, T> {
    /// A subtree is to be signed, as HTTP asked.
    pub(in crate::engine::federation) fn sign_subtree(
        &mut self,
        id: u64,
        request: &SignSubtree,
    ) -> Result<(), StoreError> {
        let answer = self.grant(request)?;
        if answer == ROLLED_BACK
            && !self.v.forgot_told
            && let Ok(digest) = Checkpoint::parse_foreign(request.checkpoint.text())
        {
            // One disk was rolled back, and whoever asks again and again tells nothing new.
            self.v.forgot_told = true;
            self.alarm(Alarm::TowerRolledBack {
                origin: digest.origin,
            });
        }
        self.out.promise(Promise::Witnessed { id, answer });
        Ok(())
    }

    fn grant(&self, request: &SignSubtree) -> Result<Answer, StoreError> {
        let Ok(digest) = Checkpoint::parse_foreign(request.checkpoint.text()) else {
            return Ok(Answer::Malformed("the note is not a checkpoint"));
        };
        if !verify::is_subtree(request.start, request.end) || request.end > digest.size {
            return Ok(Answer::Malformed(
                "the range is not a subtree of the checkpoint's tree",
            ));
        }
        let members = &self.settings.members;
        let member = members.by_name(&digest.origin);
        let known = match member {
            Some(member) => self.watches(member),
            None => self.v.logs.get(&digest.origin).is_some(),
        };
        if !known || !members.is_tower(self.settings.me) {
            return Ok(Answer::Unknown);
        }
        let lowest = self.settings.disk.lowest_serial;
        let keys = self.settings.keys.cosigners(self.wall_seconds(), lowest);
        let serials: Vec<&Serial> = keys.collect();
        if serials.is_empty() {
            return Ok(NO_KEYS);
        }
        // A subtree [0, size) that was signed is a line on the checkpoint of that size, too: it is as consistent.
        let own = serials
            .iter()
            .flat_map(|serial| [Some(&serial.ack), serial.subtree.as_ref()])
            .flatten();
        let own: Vec<&VerifierKey> = own.map(SigningKey::verifier).collect();
        if self.checks.trusted(&own, &request.checkpoint).is_none() {
            return Ok(Answer::Untrusted);
        }
        if let Some(answer) = self.may_not_sign_of(member, &digest)? {
            return Ok(answer);
        }
        let (root, proof) = (&request.root, &request.proof);
        let proved = verify::subtree(
            request.start,
            request.end,
            digest.size,
            root,
            &digest.root,
            proof,
        );
        if proved.is_err() {
            return Ok(Answer::Refused("the subtree proof does not verify"));
        }
        let keys: Vec<SigningKey> = serials
            .iter()
            .filter_map(|serial| serial.subtree.clone())
            .collect();
        if keys.is_empty() {
            // A build without ML-DSA does not offer it.
            return Ok(Answer::Unknown);
        }
        Ok(Answer::Granted(Box::new(Grant {
            origin: digest.origin,
            start: request.start,
            end: request.end,
            root: request.root,
            keys,
        })))
    }

    /// Why nothing of this log is signed now, if so: whatever keeps its checkpoints from being cosigned (R3, R4, R5), and
    /// a checkpoint of this tower's own that its mark does not cover.
    fn may_not_sign_of(
        &self,
        member: Option<MemberIx>,
        digest: &ForeignCheckpoint,
    ) -> Result<Option<Answer>, StoreError> {
        let known = Witnessed::load(self.own.tx, &digest.origin)?;
        let (last, held_back) = match member {
            Some(origin) => {
                let mirror = Mirror::load_or_new(self.own.tx, &digest.origin)?;
                let last = last_of(&mirror, known.as_ref())?;
                let held_back = self.may_not_cosign(origin, &mirror, &last);
                (last, held_back)
            }
            None => {
                let forked = known.as_ref().is_some_and(|known| known.forked);
                let held_back = self.signs_nothing().or(forked.then_some(FORKED));
                (
                    known.as_ref().map_or_else(Last::default, Last::of),
                    held_back,
                )
            }
        };
        let covered =
            digest.size < last.size || digest.size == last.size && digest.root == last.root;
        Ok(held_back.or_else(|| (!covered).then_some(ROLLED_BACK)))
    }
}

/// The answer when a line of this tower's own is newer than all it remembers.
const ROLLED_BACK: Answer = Answer::NotNow {
    why: "this tower cosigned that checkpoint and does not remember it: its directory is older than its signatures; an operator must look",
    retry_seconds: LATER_SECONDS,
};
