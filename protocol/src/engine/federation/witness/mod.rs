//! A tower as C2SP tlog-witness over HTTP: the decision of `add-checkpoint`, in one step with the mark that it moves. The
//! answer waits for the commit like every promise. Bodies are parsed and signatures checked before (R9).
//!
//! | file | holds |
//! |---|---|
//! | [`logs`] | logs that are no members, as configured |
//! | [`judge`] | the specification's table, without any state |
//! | [`record`] | what was cosigned of an origin, durably |
//! | `entries` | `add-entries`: holding what was cosigned of other logs |
//! | [`subtree`] | `sign-subtree`: parts of trees that this tower cosigned |
//! | `member`, `foreign` | the same table for a member's ledger and for any other log |

mod entries;
mod foreign;
mod judge;
mod logs;
mod member;
mod record;
mod subtree;

pub use entries::Upload;
pub use judge::Answer;
pub use logs::{Log, Logs, LogsError, MAX_KEYS, MAX_LOGS};
pub use record::{Witnessed, mirrored, newest};
pub use subtree::Grant;

use super::disk::Restore;
use super::io::Promise;
use super::{Engine, Turn};
use crate::checkpoint::Checkpoint;
use crate::engine::store::{StoreError, Transaction};
use crate::note::SignatureLine;
use crate::witness::AddCheckpoint;

/// Seconds after which a node that asks its peers, or fetches, may be asked again.
pub(super) const SOON_SECONDS: u64 = 1;
/// Seconds after which a clock that was wrong may be right: it is probed that often.
pub(super) const CLOCK_SECONDS: u64 = 30;
/// Seconds after which something that takes a human may be asked again.
pub(super) const LATER_SECONDS: u64 = 3_600;

/// What a log last had cosigned here, by either way: nothing is cosigned that does not extend it.
pub(super) struct Last {
    pub(super) size: u64,
    pub(super) root: crate::tlog::hash::Hash,
    /// The note; `None` before the first.
    pub(super) note: Option<String>,
}

impl Last {
    /// What was cosigned over HTTP.
    fn of(known: &Witnessed) -> Self {
        Self {
            size: known.size,
            root: known.root,
            note: Some(known.note.clone()),
        }
    }
}

impl Default for Last {
    fn default() -> Self {
        Self {
            size: 0,
            root: crate::tlog::hash::empty_root(),
            note: None,
        }
    }
}

impl Engine {
    /// From now on these logs are cosigned besides the members' ledgers. What was cosigned before stays on record.
    pub fn watch_logs(&mut self, logs: Logs) {
        self.volatile.logs = logs;
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// A checkpoint came over HTTP.
    pub(super) fn add_checkpoint(
        &mut self,
        id: u64,
        request: &AddCheckpoint,
    ) -> Result<(), StoreError> {
        let answer = self.witness(request)?;
        self.out.promise(Promise::Witnessed { id, answer });
        Ok(())
    }

    fn witness(&mut self, request: &AddCheckpoint) -> Result<Answer, StoreError> {
        let Ok(digest) = Checkpoint::parse_foreign(request.checkpoint.text()) else {
            return Ok(Answer::Malformed("the note is not a checkpoint"));
        };
        let members = &self.settings.members;
        if !members.is_tower(self.settings.me) {
            return Ok(Answer::Unknown);
        }
        match members.by_name(&digest.origin) {
            Some(origin) if self.watches(origin) => self.witness_member(origin, request, &digest),
            // A member's name is never another log's, also if that member is no factory.
            Some(_) => Ok(Answer::Unknown),
            None => self.witness_foreign(request, &digest),
        }
    }

    /// Why this tower cosigns nothing at all now, if so (R3, R4).
    pub(super) fn signs_nothing(&self) -> Option<Answer> {
        self.is_out().or_else(|| {
            (!self.clock_may_ack()).then_some(Answer::NotNow {
                why: "clock: this tower's clock is proven wrong, and it cosigns nothing before it is right again",
                retry_seconds: CLOCK_SECONDS,
            })
        })
    }

    /// Why this tower neither cosigns nor takes entries now, if so. One whose clock is wrong goes on mirroring (R4).
    pub(super) fn is_out(&self) -> Option<Answer> {
        if self.v.forks.is_liar(self.settings.me) {
            return Some(LIAR);
        }
        (self.settings.disk.restore != Restore::Done).then_some(Answer::NotNow {
            why: "this tower was restored and has to catch up before it cosigns anything",
            retry_seconds: SOON_SECONDS,
        })
    }

    /// Wall time of this step in seconds since 1970; never 0, which a cosignature may not carry.
    pub(super) fn wall_seconds(&self) -> u64 {
        u64::try_from(self.own.now.wall.seconds())
            .unwrap_or(0)
            .max(1)
    }

    /// Lines of every serial that signs now: the ack key's, and the mirror key's if the entries are held (R4).
    pub(super) fn cosign(
        &self,
        text: &str,
        time_seconds: u64,
        held: bool,
    ) -> Result<Vec<SignatureLine>, StoreError> {
        let lowest = self.settings.disk.lowest_serial;
        let mut lines = Vec::new();
        for serial in self.settings.keys.cosigners(self.wall_seconds(), lowest) {
            let keys = [Some(&serial.ack), held.then_some(&serial.mirror)];
            for key in keys.into_iter().flatten() {
                let line = key
                    .cosign(text, time_seconds)
                    .map_err(|error| StoreError::Damaged(format!("a checkpoint: {error}")))?;
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

/// The answer of a tower whose keys belong to an earlier disk.
pub(super) const NO_KEYS: Answer = Answer::NotNow {
    why: "this tower waits for keys of a new serial",
    retry_seconds: SOON_SECONDS,
};

const LIAR: Answer = Answer::NotNow {
    why: "there is a fork proof against this tower; nothing is cosigned any more",
    retry_seconds: LATER_SECONDS,
};
