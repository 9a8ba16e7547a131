//! Fork proofs from one to another (R5): by gossip when they are found, and asked of everybody on connect and on a timer, for
//! who was away; and the one entry that each causes in the own ledger (R13). Who tells one does not matter: it is verified.

use super::super::io::{Free, Protocol, Verdict};
use super::super::messages::{To, body, note_frame_of};
use super::super::{Bad, MemberIx, Stop, Turn, What};
use super::kept::{ForkRow, From, accused_name};
use crate::engine::store::{Record, StoreError, Table, Transaction};
use crate::entry::json::Json;
use crate::fork::ForkProof;
use crate::wire::codec::{self, Bytes, List, Text};
use crate::wire::v1::{self, Kind, KnownForks, MAX_FORKS, Signer};
use std::collections::BTreeSet;

/// Bytes of proofs in one answer at most, unless the first is longer: a body holds 1 MiB. The rest is asked for later.
const MAX_ANSWER_BYTES: usize = 512 << 10;
/// Longest proof that an entry holds: with its quoting it fits an entry of 65,535 bytes.
const MAX_INLINE_BYTES: usize = 30_000;

impl<T: Transaction> Turn<'_, '_, T> {
    /// A proof by gossip.
    pub(in super::super) fn fork_gossiped(&mut self, payload: &[u8]) -> Result<Verdict, Stop> {
        let proof = ForkProof::parse(payload).map_err(|_| Bad("malformed fork proof"))?;
        Ok(if self.take_fork(proof, From::Gossip)? {
            Verdict::Accept
        } else {
            Verdict::Ignore
        })
    }

    /// A proof against the own ledger, as a foreign witness showed it. Its certificates are added here, so that every member
    /// can verify it.
    pub(in super::super) fn own_fork(&mut self, shown: &ForkProof) -> Result<(), Bad> {
        let certificates = self.settings.members.notes(self.settings.me).to_vec();
        let (smaller, larger) = (shown.smaller().clone(), shown.larger().clone());
        let nodes = shown.nodes().to_vec();
        let proof = ForkProof::build(shown.kind(), smaller, larger, nodes, certificates)
            .map_err(|_| Bad("malformed fork proof"))?;
        self.take_fork(proof, From::Found).map(drop)
    }

    /// Asks every member against whom it has a proof that is not here.
    pub(in super::super) fn ask_for_forks(&mut self) {
        let now = self.now_us();
        let pause = self.settings.ask_us;
        for (peer, member) in self.v.due(now, pause, |peer| &mut peer.forks_us) {
            let accused = self.v.forks.kept.keys().filter_map(|accused| {
                let name = self.settings.members.name(accused.member).to_owned();
                Some(v1::Accused {
                    signer: accused.signer,
                    name: Text::new(name)?,
                })
            });
            let question = KnownForks {
                accused: List::new(accused.collect()).unwrap_or_default(),
            };
            let to = To::Member(member);
            let bytes = self
                .settings
                .free(self.own.now, Kind::KnownForks, &to, &question, &[]);
            let id = self.remember(peer.clone(), What::Forks);
            self.out.free(Free::Request {
                peer,
                id,
                protocol: Protocol::Sync,
                bytes,
            });
        }
    }

    /// A member asks for proofs that are here.
    pub(in super::super) fn forks_asked(
        &mut self,
        from: MemberIx,
        id: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened =
            self.settings
                .open(&self.checks, payload, Kind::KnownForks, &me, Some(from))?;
        let question: KnownForks = body(&opened.body)?;
        let known: BTreeSet<(Signer, &str)> = question
            .accused
            .as_slice()
            .iter()
            .map(|one| (one.signer, one.name.as_str()))
            .collect();
        let (mut proofs, mut bytes) = (Vec::new(), 0);
        // Only what is sent is read: a question costs its asker little.
        for (accused, digests) in &self.v.forks.kept {
            let name = self.settings.members.name(accused.member);
            let Some(digest) = digests.first() else {
                continue;
            };
            if known.contains(&(accused.signer, name)) {
                continue;
            }
            let row = self.own.tx.row(Table::Forks, digest.as_bytes())?;
            let Some(row) = row.and_then(|row| ForkRow::decode(&row)) else {
                continue;
            };
            bytes += row.file.len();
            if proofs.len() == MAX_FORKS || (bytes > MAX_ANSWER_BYTES && !proofs.is_empty()) {
                break;
            }
            proofs.extend(Bytes::new(row.file.into_bytes()));
        }
        let answer = v1::Forks {
            proofs: List::new(proofs).unwrap_or_default(),
        };
        let bytes = note_frame_of(Kind::Forks, &codec::encode(&answer));
        self.out.free(Free::Reply { id, bytes });
        Ok(())
    }

    /// Proofs came.
    pub(in super::super) fn forks_answered(&mut self, payload: &[u8]) -> Result<(), Stop> {
        let answer: v1::Forks = body(payload)?;
        let mut bad = None;
        for proof in answer.proofs.as_slice() {
            // One that does not hold does not stand in the way of the others.
            let taken = ForkProof::parse(proof.as_slice())
                .map_err(|_| Bad("malformed fork proof"))
                .and_then(|proof| self.take_fork(proof, From::Told));
            bad = taken.err().or(bad);
        }
        bad.map_or(Ok(()), |bad| Err(bad.into()))
    }

    /// One entry for each proof, once the ledger takes entries.
    pub(in super::super) fn note_forks(&mut self) -> Result<(), StoreError> {
        if self.v.forks.owed.is_empty() || !self.may_append() || self.own.is_retired() {
            return Ok(());
        }
        // After a lost disk the proofs come back from members, and the entries that tell of them from towers.
        let told = self.own.tx.record(Record::ForksTold)?.unwrap_or_default();
        for digest in std::mem::take(&mut self.v.forks.owed) {
            if told.as_chunks().0.contains(&digest.0) {
                continue;
            }
            let Some(row) = self.own.tx.row(Table::Forks, digest.as_bytes())? else {
                continue;
            };
            let Some(row) = ForkRow::decode(&row) else {
                continue;
            };
            let body = entry_of(&row, &digest.to_hex())?;
            self.own.append_own(self.ledger, "fork.seen", body)?;
        }
        self.store_owed()
    }
}

/// The body of a `fork.seen` entry: the file itself, unless it is longer than an entry.
fn entry_of(row: &ForkRow, digest: &str) -> Result<Json, StoreError> {
    let proof = row.proof()?;
    let (smaller, larger) = proof.sizes().unwrap_or_default();
    let file = (row.file.len() <= MAX_INLINE_BYTES).then_some(("file", Json::text(&*row.file)));
    let pairs = [
        (
            "accused",
            Json::text(accused_name(&proof).unwrap_or_default()),
        ),
        ("digest", Json::text(digest)),
        ("larger", Json::whole(larger)),
        ("origin", Json::text(proof.origin().unwrap_or_default())),
        ("smaller", Json::whole(smaller)),
        ("type", Json::text(proof.kind().as_str())),
    ];
    Ok(Json::object(pairs.into_iter().chain(file)))
}
