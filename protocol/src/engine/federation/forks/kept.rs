//! The fork proofs that are kept, and what follows: quarantine (R5), and silence where the proof is against this node's own
//! ledger (R3). Nothing here takes a proof at anybody's word.

use super::super::io::{Alarm, Promise, PromiseBytes, Topic};
use super::super::own::FORKED;
use super::super::{Bad, Turn};
use super::Accused;
use crate::cert::Certificate;
use crate::engine::federation::mirror::Mirror;
use crate::engine::store::{Record, StoreError, Table, Transaction};
use crate::entry::time::TimeUs;
use crate::fork::{ForkKind, ForkProof};
use crate::tlog::hash::Hash;
use crate::wire::v1::{Kind, Signer};
use crate::wire::{Frame, Version};

/// Proofs kept against one accused: the first says all, and a liar could sign any number.
const MAX_PROOFS: usize = 4;
/// Longest proof that is gossiped: gossip carries 64 KiB; a longer one is told on request.
const MAX_GOSSIP_BYTES: usize = 60 << 10;

/// Where a proof comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum From {
    /// Recomputed here.
    Found,
    /// A member answered with it.
    Told,
    /// Gossip, which passes it on by itself.
    Gossip,
}

/// A proof that holds.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) accused: Accused,
    proof: ForkProof,
    from: From,
}

/// A fork proof as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkRow {
    /// When it came here, in microseconds since 1970, by this node's clock.
    pub seen_us: i64,
    /// The file.
    pub file: String,
}

impl ForkRow {
    fn encode(&self) -> Vec<u8> {
        [&self.seen_us.to_be_bytes(), self.file.as_bytes()].concat()
    }

    /// Reads a row of [`Table::Forks`]; `None` if it is damaged.
    #[must_use]
    pub fn decode(row: &[u8]) -> Option<Self> {
        let (seen_us, file) = row.split_first_chunk::<8>()?;
        Some(Self {
            seen_us: i64::from_be_bytes(*seen_us),
            file: String::from_utf8(file.to_vec()).ok()?,
        })
    }

    /// The proof itself.
    ///
    /// # Errors
    /// When the row does not hold one.
    pub fn proof(&self) -> Result<ForkProof, StoreError> {
        ForkProof::parse(self.file.as_bytes())
            .map_err(|error| StoreError::Damaged(format!("a fork proof: {error}")))
    }

    /// When it came here.
    #[must_use]
    pub fn seen(&self) -> Option<TimeUs> {
        TimeUs::from_micros(self.seen_us)
    }
}

/// Who is accused by `proof`, by name: its log, or the tower whose certificates it carries.
///
/// # Errors
/// When it is against a tower and carries no certificate.
pub fn accused_name(proof: &ForkProof) -> Result<String, &'static str> {
    match proof.kind() {
        ForkKind::Origin => proof.origin().map_err(|_| "no origin"),
        ForkKind::Tower => proof
            .certificates()
            .first()
            .and_then(|first| Certificate::parse(first.text()).ok())
            .map(|certificate| certificate.node)
            .ok_or("no certificate of the tower"),
    }
}

pub(super) fn signer_of(kind: ForkKind) -> Signer {
    match kind {
        ForkKind::Origin => Signer::Origin,
        ForkKind::Tower => Signer::Tower,
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// At the first step after a start: what was kept before.
    pub(in super::super) fn load_forks(&mut self) -> Result<(), StoreError> {
        // Those against logs that are no members' are among them, and must not take the place of the others.
        let most = usize::from(u16::MAX);
        for (_, row) in self.own.tx.rows(Table::Forks, &[], most)? {
            let damaged = || StoreError::Damaged("the row of a fork proof".to_owned());
            let proof = ForkRow::decode(&row).ok_or_else(damaged)?.proof()?;
            // One against a log that is no member's, or of a member that left, quarantines nobody here.
            if let Ok(accused) = self.accused(&proof) {
                let kept = self.v.forks.kept.entry(accused).or_default();
                kept.push(proof.digest());
            }
        }
        let owed = self.own.tx.record(Record::ForksOwed)?.unwrap_or_default();
        let (digests, _) = owed.as_chunks::<32>();
        self.v.forks.owed = digests.iter().map(|digest| Hash(*digest)).collect();
        self.load_claims()
    }

    pub(super) fn accused(&self, proof: &ForkProof) -> Result<Accused, Bad> {
        let name = accused_name(proof).map_err(|_| Bad("malformed fork proof"))?;
        let member = self.settings.members.by_name(&name);
        Ok(Accused {
            signer: signer_of(proof.kind()),
            member: member.ok_or(Bad("fork proof against a stranger"))?,
        })
    }

    /// Takes a proof if it is news and holds. Returns whether it is.
    pub(in super::super) fn take_fork(
        &mut self,
        proof: ForkProof,
        from: From,
    ) -> Result<bool, Bad> {
        let accused = self.accused(&proof)?;
        let digest = proof.digest();
        let forks = &self.v.forks;
        let known = forks.kept.get(&accused).map_or(0, Vec::len) >= MAX_PROOFS
            || forks.found.iter().any(|one| one.proof == proof);
        if known
            || matches!(
                self.own.tx.row(Table::Forks, digest.as_bytes()),
                Ok(Some(_))
            )
        {
            return Ok(false);
        }
        let stolen = match accused.signer {
            Signer::Origin => self.shows_stolen_log_key(accused.member, &proof),
            Signer::Tower => self.shows_stolen_ack_key(accused.member, &proof),
        };
        if stolen {
            // Whoever saw it before the revocation keeps it; here it shows that the key was stolen (R6).
            return Err(Bad("fork proof under a revoked key"));
        }
        // Every proof carries the chain up to the identity key, which the manifest names.
        let identity = self.settings.members.identity(accused.member).clone();
        proof
            .verify(std::slice::from_ref(&identity))
            .map_err(|_| Bad("fork proof does not hold"))?;
        if accused.signer == Signer::Origin && accused.member == self.settings.me {
            self.v.factory.fork_proof = Some(proof.to_json());
            self.v.factory.stop(FORKED);
        }
        self.v.forks.found.push(Found {
            accused,
            proof,
            from,
        });
        Ok(true)
    }

    /// Writes what was found in this step, outside of any input that may be undone, and tells everybody.
    pub(in super::super) fn keep_forks(&mut self) -> Result<(), StoreError> {
        for found in std::mem::take(&mut self.v.forks.found) {
            self.keep_fork(&found)?;
            self.v.forks.written.push(found);
        }
        Ok(())
    }

    /// What the step before wrote is durable.
    pub(in super::super) fn forks_are_kept(&mut self) {
        self.v.forks.written.clear();
    }

    fn keep_fork(&mut self, found: &Found) -> Result<(), StoreError> {
        let Found {
            accused,
            proof,
            from,
        } = found;
        let (digest, file) = (proof.digest(), proof.to_json());
        let kept = self.v.forks.kept.entry(*accused).or_default();
        let first = kept.is_empty();
        // One that was written may come again after a step that failed early.
        if kept.len() >= MAX_PROOFS || kept.contains(&digest) {
            return Ok(());
        }
        kept.push(digest);
        let row = ForkRow {
            seen_us: self.own.now.wall.micros(),
            file: file.clone(),
        };
        self.own
            .tx
            .put_row(Table::Forks, digest.as_bytes(), &row.encode())?;
        self.v.forks.owed.push(digest);
        self.store_owed()?;
        if accused.signer == Signer::Origin {
            self.quarantine(accused.member, &file)?;
        }
        if first {
            self.alarm(self.alarm_of(accused, proof));
        }
        if *from != From::Gossip && file.len() <= MAX_GOSSIP_BYTES {
            let bytes = Frame::encode(Version::V1_0, Kind::Fork.number(), file.as_bytes());
            self.out.promise(Promise::Publish {
                topic: Topic::Alarms,
                bytes: PromiseBytes(bytes),
            });
        }
        Ok(())
    }

    /// Keeps a proof against a log that is no member's: who watches it, knows; nobody else can verify it.
    pub(in super::super) fn keep_stranger(&mut self, proof: &ForkProof) -> Result<(), StoreError> {
        let row = ForkRow {
            seen_us: self.own.now.wall.micros(),
            file: proof.to_json(),
        };
        let digest = proof.digest();
        self.own
            .tx
            .put_row(Table::Forks, digest.as_bytes(), &row.encode())?;
        self.v.forks.owed.push(digest);
        self.store_owed()
    }

    fn alarm_of(&self, accused: &Accused, proof: &ForkProof) -> Alarm {
        let origin = proof.origin().unwrap_or_default();
        let (_, size) = proof.sizes().unwrap_or_default();
        match accused.signer {
            Signer::Origin => Alarm::Fork { origin, size },
            Signer::Tower => Alarm::TowerFork {
                origin,
                tower: self.settings.members.name(accused.member).to_owned(),
            },
        }
    }

    /// Nothing of this ledger is acknowledged any more, nor signed if it is this node's own.
    fn quarantine(&mut self, origin: super::MemberIx, file: &str) -> Result<(), StoreError> {
        self.drop_claims(origin)?;
        self.v.forks.behind.remove(&origin);
        if origin == self.settings.me {
            self.own.tx.put_record(Record::Forked, file.as_bytes())?;
            return Ok(());
        }
        if !self.watches(origin) {
            return Ok(());
        }
        let name = self.settings.members.name(origin).to_owned();
        let mut mirror = Mirror::load_or_new(self.own.tx, &name)?;
        mirror.conflict = true;
        self.keep_mirror(&name, &mirror)
    }

    pub(super) fn store_owed(&mut self) -> Result<(), StoreError> {
        let owed: Vec<u8> = self.v.forks.owed.iter().flat_map(|one| one.0).collect();
        self.own.tx.put_record(Record::ForksOwed, &owed)
    }
}
