//! What a recovery found is taken over (R3): the newest digest with its entries, then the longest tail; the own disk counts
//! only where it extends them. However it is interrupted, a fast-forward is told to a human and in the ledger.

use super::factory::Phase;
use super::fetch::proved;
use super::io::Alarm;
use super::{Bad, MemberIx, Stop, Turn};
use crate::engine::open_end;
use crate::engine::store::{Place, Record, StoreError, Transaction};
use crate::entry::json::Json;
use crate::tlog::hash::Hash;
use crate::wire::v1::Entries;

/// What is being fetched.
pub(super) struct Adopt {
    /// The newest digest, if this disk lacks entries of it.
    digest: Option<(u64, Hash, String)>,
    /// The whole log to adopt.
    target: (u64, Hash),
    /// Who told the digest.
    holders: Vec<MemberIx>,
    /// Who told the target.
    sources: Vec<MemberIx>,
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Compares the own disk with what is to be adopted: it counts only where it extends that.
    pub(super) fn adopt(
        &mut self,
        digest: Option<(u64, Hash, String)>,
        target: (u64, Hash),
        (holders, sources): (Vec<MemberIx>, Vec<MemberIx>),
    ) -> Result<(), StoreError> {
        let base = self.signed_head()?;
        let from = self.own.head.size();
        if from >= target.0 {
            let edge = open_end::edge_at(self.own.tx, Place::OWN, &base.edge, target.0)?;
            if edge.root() == target.1 && digest.is_none() {
                self.begin_preparing(target.0);
                return Ok(());
            }
        }
        // Set aside what no digest of this disk covers; what belongs to the adopted log comes back.
        open_end::truncate(self.own.tx, Place::OWN, base.size())?;
        self.own.tx.drop_idem_from(base.size())?;
        self.drop_activations_from(base.size())?;
        let flushed = self.own.head.flushed;
        self.own.head = base;
        self.own.head.flushed = flushed;
        self.own.head.clock = self.own.head.clock.max(self.own.now.wall);
        // Without a digest it is a tail that reached towers before a crash: nothing was rolled back.
        if digest.is_some() {
            self.forwarding(from, target.0)?;
        }
        self.v.factory.phase = Phase::Adopting(Adopt {
            digest,
            target,
            holders,
            sources,
        });
        self.fetch_own()
    }

    /// Asks for the next piece of the own ledger.
    pub(super) fn fetch_own(&mut self) -> Result<(), StoreError> {
        let Phase::Adopting(adopt) = &self.v.factory.phase else {
            return Ok(());
        };
        let name = self.settings.members.name(self.settings.me).to_owned();
        if self.v.fetches.get(&name).is_some_and(|fetch| fetch.waiting) {
            return Ok(());
        }
        let size = self.own.head.size();
        let (tree, sources) = match &adopt.digest {
            Some((digest, ..)) if size < *digest => (*digest, adopt.holders.clone()),
            _ => (adopt.target.0, adopt.sources.clone()),
        };
        if sources
            .iter()
            .all(|tower| self.connection(*tower).is_none())
        {
            // Whoever held it is gone: ask again, others may know.
            self.recover_again();
            return Ok(());
        }
        if size < tree {
            self.ask_entries(self.settings.me, &name, size, tree, Some(&sources));
        }
        Ok(())
    }

    /// A piece of the own ledger came back from a tower.
    pub(super) fn adopt_entries(&mut self, head: &Entries, entries: &[u8]) -> Result<(), Stop> {
        let Phase::Adopting(adopt) = &self.v.factory.phase else {
            return Ok(());
        };
        let size = self.own.head.size();
        let under = match &adopt.digest {
            Some((digest, root, _)) if size < *digest => (*digest, *root),
            _ => adopt.target,
        };
        if head.from != size || head.to > under.0 {
            return Ok(());
        }
        let (digest, target) = (adopt.digest.clone(), adopt.target);
        self.own.adopt(entries).map_err(|why| match why {
            Some(error) => Stop::Store(error),
            None => Stop::Bad(Bad("malformed entries")),
        })?;
        proved(&self.own.head.edge, head, (under.0, &under.1))?;
        self.adopted_activations(head.from, entries);
        let size = self.own.head.size();
        if let Some((signed, _, note)) = digest
            && signed == size
        {
            self.own.tx.put_digest(signed, &note)?;
            self.own.head.signed = Some(signed);
            let record = self.own.head.encode();
            self.own.write_entries()?;
            self.own.tx.put_record(Record::SignedHead, &record)?;
        }
        if size == target.0 {
            self.begin_preparing(size);
        }
        Ok(())
    }

    /// Notes durably that a fast-forward began: however it is interrupted, the ledger will tell of it.
    fn forwarding(&mut self, from: u64, to: u64) -> Result<(), StoreError> {
        let before = self.forwarded()?;
        let from = before.map_or(from, |(before, _)| before.min(from));
        self.nonce_floor_is_due()?;
        // Votes of the time in between are in the ledger, and not among those that bind here (R14).
        self.own.tx.put_record(Record::VotesMissing, b"1")?;
        let record = [from.to_be_bytes(), to.to_be_bytes()].concat();
        self.own.tx.put_record(Record::Forwarded, &record)
    }

    /// Sizes before and after a fast-forward of which the ledger does not tell yet.
    fn forwarded(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let record = self.own.tx.record(Record::Forwarded)?.unwrap_or_default();
        let ([from, to], []) = record.as_chunks::<8>() else {
            return Ok(None);
        };
        Ok(Some((u64::from_be_bytes(*from), u64::from_be_bytes(*to))))
    }

    /// Tells a human and the ledger what a fast-forward did, if there was one. Before that nothing was appended.
    pub(super) fn note_restore(&mut self) -> Result<(), StoreError> {
        let Some((from, to)) = self.forwarded()? else {
            return Ok(());
        };
        let to = to.max(self.own.head.size());
        self.own.tx.put_record(Record::Forwarded, &[])?;
        self.alarm(Alarm::FastForward { from, to });
        if self.own.is_retired() {
            return Ok(());
        }
        let body = Json::object([
            ("from", Json::whole(from)),
            ("incarnation", Json::whole(self.settings.incarnation.number)),
            (
                "incarnation_before",
                Json::whole(self.settings.incarnation_before),
            ),
            ("to", Json::whole(to)),
        ]);
        self.own
            .append_own(self.ledger, "restore", body)
            .map(|_| ())
    }
}
