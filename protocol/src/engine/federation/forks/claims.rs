//! Claims: digests of a ledger, signed by its log, that were not compared with the entries held here yet. They are kept
//! durably, because a liar says each of them once, and nothing of the ledger is acknowledged before those are settled of
//! which the entries came later than they did (R5).

use super::super::mirror::Mirror;
use super::super::{MemberIx, Turn};
use super::questions::Why;
use super::{Statement, withheld};
use crate::checkpoint::Checkpoint;
use crate::engine::federation::factory::Phase;
use crate::engine::store::{StoreError, Table, Transaction};
use crate::note::SignedNote;
use crate::tlog::hash::Hash;
use crate::wire::v1::MAX_MEMBERS;

/// Claims of one ledger. An honest one has one or two for a moment; two that contradict each other are enough. What finds no
/// room is asked for again, see [`super::again`].
pub(in super::super) const MAX_CLAIMS: usize = 16;
/// Digests remembered as right, of one ledger: those that are still on their way by gossip.
const MAX_GOOD: usize = 64;

/// A digest that waits to be compared.
pub(super) struct Claim {
    pub(super) statement: Statement,
    pub(super) since_us: u64,
    /// Whether nothing is acked before it is settled: its entries were not held when it came, so that an ack would be the
    /// first word on them. Old digests of what is held can be replayed without end, and are compared beside the acks.
    pub(super) holds_up: bool,
    /// Whether it contradicts what is known and accuses nobody all the same, because its log's keys were exchanged since.
    pub(super) judged: bool,
}

fn key_of(name: &str, size: u64, root: &Hash) -> Vec<u8> {
    [name.as_bytes(), &[0], &size.to_be_bytes(), root.as_bytes()].concat()
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// At the first step after a start: what was not compared before.
    pub(super) fn load_claims(&mut self) -> Result<(), StoreError> {
        let since_us = self.now_us();
        let most = MAX_MEMBERS * MAX_CLAIMS;
        for (_, row) in self.own.tx.rows(Table::Claims, &[], most)? {
            let note = String::from_utf8_lossy(&row);
            let damaged = || StoreError::Damaged("a digest that waits to be compared".to_owned());
            let statement = Statement::stored(&note).ok_or_else(damaged)?;
            let origin = statement.note.text().lines().next().unwrap_or_default();
            // Of a member that left there is nothing to compare.
            if let Some(member) = self.settings.members.by_name(origin) {
                let list = self.v.forks.claims.entry(member).or_default();
                list.push(Claim {
                    statement,
                    since_us,
                    holds_up: true,
                    judged: false,
                });
            }
        }
        Ok(())
    }

    /// A digest of a ledger whose entries at its size are held, or were passed: it must fit them.
    pub(in super::super) fn claim(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
        holds_up: bool,
    ) -> Result<(), StoreError> {
        let (size, root) = (digest.size, digest.root);
        if self.is_good(origin, size, &root) || self.v.forks.is_forked(origin) {
            return Ok(());
        }
        let Some(statement) = self.statement(origin, digest, note) else {
            return Ok(());
        };
        let since_us = self.now_us();
        let list = self.v.forks.claims.entry(origin).or_default();
        if list.iter().any(|one| one.statement.is(size, &root)) {
            return Ok(());
        }
        let other = list.iter().find(|one| one.statement.size == size);
        if let Some(other) = other.map(|one| one.statement.clone()) {
            self.contradiction(origin, &other, &statement, &[]);
            if self.v.forks.is_forked(origin) {
                return Ok(());
            }
        }
        if !self.has_room(origin, holds_up)? {
            if holds_up {
                self.v.forks.lost_one(origin);
            }
            return Ok(());
        }
        let text = statement.note.to_string();
        let list = self.v.forks.claims.entry(origin).or_default();
        list.push(Claim {
            statement,
            since_us,
            holds_up,
            judged: false,
        });
        let key = key_of(self.settings.members.name(origin), size, &root);
        self.own.tx.put_row(Table::Claims, &key, text.as_bytes())
    }

    /// Whether one more claim is kept: what may be replayed without end gives way to what may not.
    fn has_room(&mut self, origin: MemberIx, holds_up: bool) -> Result<bool, StoreError> {
        let list = self.v.forks.claims.get(&origin);
        let Some(list) = list.filter(|list| list.len() >= MAX_CLAIMS) else {
            return Ok(true);
        };
        let other = list.iter().find(|one| !one.holds_up);
        let Some(other) = other.filter(|_| holds_up) else {
            return Ok(false);
        };
        let (size, root) = (other.statement.size, other.statement.root);
        self.drop_claim(origin, size, &root)?;
        Ok(true)
    }

    /// Whether a digest is known to be that of the entries held here.
    pub(super) fn is_good(&self, origin: MemberIx, size: u64, root: &Hash) -> bool {
        let good = self.v.forks.good.get(&origin);
        good.is_some_and(|list| list.contains(&(size, *root)))
    }

    /// The root at `size` of the entries held here is `root`.
    pub(in super::super) fn good(&mut self, origin: MemberIx, size: u64, root: Hash) {
        if self.is_good(origin, size, &root) {
            return;
        }
        let list = self.v.forks.good.entry(origin).or_default();
        if list.len() == MAX_GOOD {
            list.pop_front();
        }
        list.push_back((size, root));
    }

    /// A claim is settled, and maybe what waited for it is acked.
    pub(super) fn drop_claim(
        &mut self,
        origin: MemberIx,
        size: u64,
        root: &Hash,
    ) -> Result<(), StoreError> {
        let held_up = self.v.forks.is_held_up(origin);
        let Some(list) = self.v.forks.claims.get_mut(&origin) else {
            return Ok(());
        };
        list.retain(|one| !one.statement.is(size, root));
        let name = self.settings.members.name(origin).to_owned();
        let key = key_of(&name, size, root);
        self.own.tx.remove_row(Table::Claims, &key)?;
        self.look_again(origin);
        if held_up && self.watches(origin) {
            self.ack_if_held(origin, &name)?;
        }
        Ok(())
    }

    /// A claim contradicts what is known, and accuses nobody all the same: it stays, nothing is acked any more, and it is
    /// not judged again.
    pub(super) fn not_proven(&mut self, origin: MemberIx, size: u64, root: &Hash) {
        let list = self.v.forks.claims.get_mut(&origin).into_iter().flatten();
        for claim in list.filter(|one| one.statement.is(size, root)) {
            claim.judged = true;
            claim.holds_up = true;
        }
    }

    /// All claims of a ledger are settled: it forked.
    pub(super) fn drop_claims(&mut self, origin: MemberIx) -> Result<(), StoreError> {
        for claim in self.v.forks.claims.remove(&origin).unwrap_or_default() {
            let name = self.settings.members.name(origin);
            let key = key_of(name, claim.statement.size, &claim.statement.root);
            self.own.tx.remove_row(Table::Claims, &key)?;
        }
        Ok(())
    }

    /// The newest digest whose entries are held here: of the own ledger once it is what it was, or of a mirrored one.
    pub(super) fn held_statement(&self, origin: MemberIx) -> Result<Option<Statement>, StoreError> {
        if origin == self.settings.me {
            let knows = matches!(
                self.v.factory.phase,
                Phase::Preparing { .. } | Phase::Active | Phase::Stopped(_)
            );
            let newest = self.own.tx.newest_digest()?.filter(|_| knows);
            return Ok(newest.and_then(|(_, note)| Statement::stored(&note)));
        }
        let mirror = Mirror::load(self.own.tx, self.settings.members.name(origin))?;
        Ok(mirror.and_then(|mirror| Statement::stored(mirror.held_digest()?.1)))
    }

    /// Compares what can be compared by now, and asks for proofs of the rest.
    pub(in super::super) fn settle_claims(&mut self) -> Result<(), StoreError> {
        let waiting = self.v.forks.claims.iter();
        let waiting: Vec<MemberIx> = waiting
            .filter(|(_, list)| !list.is_empty())
            .map(|(origin, _)| *origin)
            .collect();
        for origin in waiting {
            let held = self.held_statement(origin)?;
            let list = self.v.forks.claims.get(&origin).into_iter().flatten();
            let claims: Vec<(Statement, u64)> = list
                .filter(|one| !one.judged)
                .map(|one| (one.statement.clone(), one.since_us))
                .collect();
            for (claim, since_us) in claims {
                self.settle(origin, &claim, since_us, held.as_ref())?;
            }
        }
        Ok(())
    }

    fn settle(
        &mut self,
        origin: MemberIx,
        claim: &Statement,
        since_us: u64,
        held: Option<&Statement>,
    ) -> Result<(), StoreError> {
        if self.is_good(origin, claim.size, &claim.root) {
            return self.drop_claim(origin, claim.size, &claim.root);
        }
        if claim.size == 0 {
            return self.settle_empty(origin, claim, held);
        }
        match held {
            Some(held) if held.size == claim.size && held.root == claim.root => {
                self.drop_claim(origin, claim.size, &claim.root)
            }
            Some(held) if held.size == claim.size => {
                self.contradiction(origin, claim, held, &[]);
                if !self.v.forks.is_forked(origin) {
                    self.not_proven(origin, claim.size, &claim.root);
                }
                Ok(())
            }
            Some(held) if claim.size < held.size => {
                self.ask_about(origin, claim, held, Why::Claim);
                Ok(())
            }
            // Its entries are not here: catching up shows soon whether it fits, if they can be had.
            _ => self.compare_with_seen(origin, claim, since_us),
        }
    }

    /// A claim above what is held, of which the entries do not come, against the newest digest.
    fn compare_with_seen(
        &mut self,
        origin: MemberIx,
        claim: &Statement,
        since_us: u64,
    ) -> Result<(), StoreError> {
        if self.now_us() < since_us.saturating_add(withheld::PATIENCE_US) {
            return Ok(());
        }
        let mirror = Mirror::load(self.own.tx, self.settings.members.name(origin))?;
        let seen = mirror.and_then(|mirror| mirror.seen);
        if let Some(seen) = seen.and_then(|(_, note)| Statement::stored(&note))
            && seen.size > claim.size
        {
            self.ask_about(origin, claim, &seen, Why::Claim);
        }
        Ok(())
    }
}
