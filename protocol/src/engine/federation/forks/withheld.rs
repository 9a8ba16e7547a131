//! Withheld (R5): a digest of which nobody hands out entries, or a proof that they extend what is held. It is not
//! acknowledged and a human is told, but it is never called a fork: who lies and who is only away cannot be told apart.

use super::super::io::Alarm;
use super::super::mirror::Mirror;
use super::super::{MemberIx, Turn};
use super::Statement;
use super::questions::Why;
use crate::engine::store::{StoreError, Transaction};
use crate::tlog::hash::Hash;

/// Entries under a digest come within this time in almost every case; then a proof is asked for, in microseconds.
pub(super) const PATIENCE_US: u64 = 2_000_000;
/// When a human is told (R5), in microseconds.
const WITHHELD_US: u64 = 60_000_000;

/// A ledger that is behind its newest digest.
pub(super) struct Behind {
    held: u64,
    /// Since when nothing came although somebody was connected.
    since_us: u64,
    told: bool,
    /// The newest digest that was shown to fit what is held, or not to, though its entries do not come.
    answered: Option<(u64, Hash)>,
}

impl super::Forks {
    /// Whether a ledger's newest digest is withheld, and a human knows.
    pub(in super::super) fn is_withheld(&self, origin: MemberIx) -> bool {
        self.behind.get(&origin).is_some_and(|one| one.told)
    }

    /// Whether no ledger was found to be behind its newest digest.
    pub(in super::super) fn lacks_nothing(&self) -> bool {
        self.behind.is_empty()
    }

    /// Nodes came that show how a digest relates to what is held: there is no need to ask for them again.
    pub(super) fn answered(&mut self, origin: MemberIx, size: u64, root: Hash) {
        if let Some(behind) = self.behind.get_mut(&origin) {
            behind.answered = Some((size, root));
        }
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// A ledger whose entries are all here, or which forked.
    pub(in super::super) fn not_behind(&mut self, origin: MemberIx) {
        self.v.forks.behind.remove(&origin);
    }

    /// A ledger of which fewer entries are held than its newest digest covers.
    pub(in super::super) fn behind(
        &mut self,
        origin: MemberIx,
        mirror: &Mirror,
    ) -> Result<(), StoreError> {
        let now = self.now_us();
        let me = self.settings.me;
        let members = &self.settings.members;
        let reachable = std::iter::once(origin)
            .chain(members.towers_of(origin))
            .any(|one| one != me && self.connection(one).is_some());
        let held = mirror.base.end();
        let fresh = Behind {
            held,
            since_us: now,
            told: false,
            answered: None,
        };
        let behind = self.v.forks.behind.entry(origin).or_insert(fresh);
        if behind.held != held {
            behind.held = held;
            behind.since_us = now;
            behind.told = false;
            behind.answered = None;
        }
        if !reachable && !behind.told {
            behind.since_us = now;
        }
        let answered = behind.answered;
        let waited_us = now.saturating_sub(behind.since_us);
        let tell = waited_us >= WITHHELD_US && !behind.told;
        behind.told |= tell;
        if tell {
            self.alarm(Alarm::Withheld {
                origin: self.settings.members.name(origin).to_owned(),
                size: mirror.seen_size(),
            });
        }
        if waited_us >= PATIENCE_US
            && let Some(held) = self.held_statement(origin)?
            && let Some((_, note)) = &mirror.seen
            && let Some(seen) = Statement::stored(note)
            && answered != Some((seen.size, seen.root))
        {
            self.ask_about(origin, &held, &seen, Why::Behind);
        }
        Ok(())
    }
}
