//! Odd digests (R5): signed by a member's log key, and of a form that no honest member signs: with extension lines, or of no
//! entries and with another root than the empty tree's. Each is kept as it came and a human is told; its root is compared as
//! any digest's, so that what contradicts is a fork proof. None is ever acknowledged.

use super::super::io::{Alarm, Verdict};
use super::super::messages::MALFORMED_DIGEST;
use super::super::{Bad, MemberIx, Stop, Turn};
use super::Statement;
use crate::checkpoint::Checkpoint;
use crate::engine::federation::checks::verified_lines;
use crate::engine::federation::factory::Phase;
use crate::engine::federation::mirror::Mirror;
use crate::engine::store::{StoreError, Table, Transaction};
use crate::entry::time::TimeUs;
use crate::note::SignedNote;
use crate::tlog::hash::sha256;

/// Notes kept of one ledger: the first says all, and a liar could sign any number.
const MAX_ODD: usize = 4;

/// An odd digest as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OddRow {
    /// When it came here, in microseconds since 1970, by this node's clock.
    pub seen_us: i64,
    /// The note, with the log's own line alone.
    pub note: String,
}

impl OddRow {
    fn encode(&self) -> Vec<u8> {
        [&self.seen_us.to_be_bytes(), self.note.as_bytes()].concat()
    }

    /// Reads a row of [`Table::Odd`]; `None` if it is damaged.
    #[must_use]
    pub fn decode(row: &[u8]) -> Option<Self> {
        let (seen_us, note) = row.split_first_chunk::<8>()?;
        Some(Self {
            seen_us: i64::from_be_bytes(*seen_us),
            note: String::from_utf8(note.to_vec()).ok()?,
        })
    }

    /// When it came here.
    #[must_use]
    pub fn seen(&self) -> Option<TimeUs> {
        TimeUs::from_micros(self.seen_us)
    }

    /// SHA-256 of the note, by which it is named.
    #[must_use]
    pub fn digest(&self) -> crate::tlog::hash::Hash {
        sha256(self.note.as_bytes())
    }

    /// Ledger and size that it speaks of.
    #[must_use]
    pub fn of(&self) -> Option<(String, u64)> {
        let note = SignedNote::parse(self.note.as_bytes()).ok()?;
        let odd = Checkpoint::parse_foreign(note.text()).ok()?;
        Some((odd.origin, odd.size))
    }
}

fn key_of(origin: &str, note: &str) -> Vec<u8> {
    [origin.as_bytes(), &[0], &sha256(note.as_bytes()).0].concat()
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// A note that is no digest by the rules of members. If its log signed it all the same, it is kept and compared.
    ///
    /// # Errors
    /// `malformed digest` unless a member's log key signed it.
    pub(in super::super) fn odd_digest(&mut self, note: &SignedNote) -> Result<Verdict, Stop> {
        let odd = Checkpoint::parse_foreign(note.text()).map_err(|_| MALFORMED_DIGEST)?;
        let members = &self.settings.members;
        let origin = members
            .by_name(&odd.origin)
            .ok_or(Bad("digest of a stranger"))?;
        let key = members
            .log_key(origin, odd.size)
            .ok_or(Bad("unknown key"))?
            .clone();
        // Without the log's signature anybody wrote it, and it is malformed for everybody.
        let only = verified_lines(&self.checks, note, &[&key])
            .filter(|only| !only.signatures().is_empty())
            .ok_or(MALFORMED_DIGEST)?;
        let digest = Checkpoint {
            origin: odd.origin,
            size: odd.size,
            root: odd.root,
        };
        self.v.forks.remember(note);
        let news = self.keep_odd(&digest, &only)?;
        if origin == self.settings.me {
            self.odd_of_ours(digest.size);
        }
        let mirror = Mirror::load(self.own.tx, &digest.origin)?;
        let seen = mirror.and_then(|mirror| mirror.seen);
        let seen = seen.and_then(|(_, note)| Statement::stored(&note));
        let new = self.statement(origin, &digest, note);
        if let Some((seen, new)) = seen.zip(new)
            && seen.size == new.size
            && seen.root != new.root
        {
            self.contradiction(origin, &seen, &new, &[]);
        }
        // What is above what is held waits for it, as any digest does; old ones are compared beside the acks.
        let held = self.held_size(origin)?;
        self.claim(
            origin,
            &digest,
            note,
            digest.size == 0 || digest.size > held,
        )?;
        Ok(if news {
            Verdict::Accept
        } else {
            Verdict::Ignore
        })
    }

    /// Keeps the note and tells a human, if it is news.
    fn keep_odd(&mut self, digest: &Checkpoint, only: &SignedNote) -> Result<bool, StoreError> {
        let first = self.odd_of_ledger(&digest.origin)? == 0;
        let kept = self.keep_evidence(digest, only)?;
        if kept && first {
            self.alarm(Alarm::OddDigest {
                origin: digest.origin.clone(),
                size: digest.size,
            });
        }
        Ok(kept)
    }

    /// How many notes of a ledger are kept, as far as that matters.
    fn odd_of_ledger(&self, origin: &str) -> Result<usize, StoreError> {
        let first = [origin.as_bytes(), &[0]].concat();
        let rows = self.own.tx.rows(Table::Odd, &first, MAX_ODD)?;
        Ok(rows
            .iter()
            .filter(|(key, _)| key.starts_with(&first))
            .count())
    }

    /// Keeps a note that no honest member signs, if it is news and there are few of that ledger.
    pub(in super::super) fn keep_evidence(
        &mut self,
        digest: &Checkpoint,
        only: &SignedNote,
    ) -> Result<bool, StoreError> {
        let row = OddRow {
            seen_us: self.own.now.wall.micros(),
            note: only.to_string(),
        };
        let key = key_of(&digest.origin, &row.note);
        if self.odd_of_ledger(&digest.origin)? >= MAX_ODD
            || self.own.tx.row(Table::Odd, &key)?.is_some()
        {
            return Ok(false);
        }
        self.own.tx.put_row(Table::Odd, &key, &row.encode())?;
        Ok(true)
    }

    /// Somebody else has this node's log key: it signs no such thing (R3).
    fn odd_of_ours(&mut self, size: u64) {
        let signs = matches!(
            self.v.factory.phase,
            Phase::Preparing { .. } | Phase::Active
        );
        if signs {
            self.v.factory.stop(super::super::own::FOREIGN);
            self.alarm(Alarm::ForeignStatement { size });
        }
    }

    fn held_size(&self, origin: MemberIx) -> Result<u64, StoreError> {
        if origin == self.settings.me {
            return Ok(self.own.head.size());
        }
        let mirror = Mirror::load(self.own.tx, self.settings.members.name(origin))?;
        Ok(mirror.map_or(0, |mirror| mirror.base.end()))
    }

    /// A claim of no entries: any other digest of the log shows what it is, because every tree starts empty.
    pub(super) fn settle_empty(
        &mut self,
        origin: MemberIx,
        claim: &Statement,
        held: Option<&Statement>,
    ) -> Result<(), StoreError> {
        let mirror = Mirror::load(self.own.tx, self.settings.members.name(origin))?;
        let seen = mirror.and_then(|mirror| mirror.seen);
        let seen = seen.and_then(|(_, note)| Statement::stored(&note));
        let Some(other) = held.cloned().or(seen) else {
            return Ok(());
        };
        self.contradiction(origin, claim, &other, &[]);
        if !self.v.forks.is_forked(origin) {
            self.not_proven(origin, claim.size, &claim.root);
        }
        Ok(())
    }
}
