//! What a tower asks before it acks (R3): after every start, r other towers and, where reachable, the factory tell it
//! the newest digest they saw and its own newest ack. It raises its marks to the maximum; until then it acks nothing.

use super::acks_note;
use super::io::{Alarm, Promise};
use super::messages::{To, body, note};
use super::mirror::{Ack, Mirror};
use super::{Bad, MemberIx, Settings, Stop, Turn, Volatile, What};
use crate::engine::nonces::{Counters, StreamKey, accept_stream};
use crate::engine::store::{StoreError, Table, Transaction};
use crate::wire::codec::{Bytes, List};
use crate::wire::v1::{Kind, Mark, Marked, Marks};
use crate::wire::{Guard, MemberId};
use std::collections::{BTreeMap, BTreeSet};

/// Pause before an unanswered question is asked again, in microseconds.
const AGAIN_US: u64 = 1_000_000;

/// What a tower was told since its start.
#[derive(Default)]
pub(super) struct Tower {
    nonce: [u8; 16],
    told: BTreeSet<MemberIx>,
    asked: BTreeMap<MemberIx, u64>,
    counters: Counters,
}

impl Tower {
    pub(super) fn disconnected(&mut self, member: MemberIx) {
        self.asked.remove(&member);
    }
}

/// Whether a tower was told enough to ack a ledger (R3): by r other towers, or all if they are fewer, and by the factory
/// if it is connected.
pub(super) fn told_enough(settings: &Settings, v: &Volatile, origin: MemberIx) -> bool {
    if settings.restored {
        return false;
    }
    let (members, me) = (&settings.members, settings.me);
    let others: Vec<MemberIx> = members.towers_of(origin).filter(|one| *one != me).collect();
    let needed = members
        .quorum_of(origin)
        .map_or(others.len(), |quorum| quorum.recovery as usize)
        .min(others.len());
    let told = |member: &MemberIx| v.tower.told.contains(member);
    let factory = v.connection(origin).is_none() || told(&origin);
    others.iter().filter(|one| told(one)).count() >= needed && factory
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Whether this tower was told enough to ack that ledger.
    pub(super) fn may_ack(&self, origin: MemberIx) -> bool {
        told_enough(self.settings, self.v, origin)
    }

    /// Asks every member that has not told yet.
    pub(super) fn ask_for_marks(&mut self) -> Result<(), StoreError> {
        let me = self.settings.me;
        if !self.settings.members.is_tower(me) {
            return Ok(());
        }
        if self.v.tower.nonce == [0; 16] {
            self.v.tower.nonce = self.seed.draw();
        }
        let now = self.now_us();
        for member in 0..self.settings.members.count() {
            let tower = &self.v.tower;
            let asked = tower.asked.get(&member);
            let Some(peer) = self.connection(member).map(str::to_owned) else {
                continue;
            };
            if member == me
                || tower.told.contains(&member)
                || asked.is_some_and(|at| now < at.saturating_add(AGAIN_US))
            {
                continue;
            }
            let counter = self.v.tower.counters.next(self.own.tx)?;
            let token = self
                .v
                .peers
                .get(&peer)
                .map_or([0; 16], |peer| peer.their_token);
            let marks = Marks {
                nonce: self.v.tower.nonce,
                disk: self.settings.disk,
            };
            let bytes =
                self.settings
                    .guarded(self.own.now, Kind::Marks, member, counter, token, &marks);
            self.v.tower.asked.insert(member, now);
            let id = self.remember(peer.clone(), What::Marks { member });
            self.out.promise(Promise::Request { peer, id, bytes });
        }
        Ok(())
    }

    /// A tower asks what we saw: note its disk, answer from what is durable.
    pub(super) fn marks_asked(
        &mut self,
        from: MemberIx,
        peer: &str,
        id: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened = self
            .settings
            .open(&self.checks, payload, Kind::Marks, &me, Some(from))?;
        let token = self
            .v
            .peers
            .get(peer)
            .map_or([0; 16], |known| known.our_token);
        if opened.header.token != token {
            return Err(Bad("wrong token").into());
        }
        self.accept_counter(&opened.header)?;
        let marks: Marks = body(&opened.body)?;
        self.note_disk(self.settings.members.id(from), marks.disk)?;
        let mut list = Vec::new();
        for (_, mirror) in Mirror::all(self.own.tx)? {
            let known = mirror.acked.map(|ack| ack.note);
            if let Some(note) = known.or(mirror.seen.map(|(_, note)| note)) {
                list.extend(Bytes::new(note.into_bytes()).map(|digest| Mark { digest }));
            }
        }
        if let Some((_, note)) = self.own.tx.newest_digest()? {
            list.extend(Bytes::new(note.into_bytes()).map(|digest| Mark { digest }));
        }
        if self.v.acked > 0
            && let Some(note) = self.own.tx.digest(self.v.acked)?
        {
            list.extend(Bytes::new(note.into_bytes()).map(|digest| Mark { digest }));
        }
        let marked = Marked {
            nonce: marks.nonce,
            restored: self.settings.restored,
            marks: List::new(list).ok_or(Bad("too many ledgers"))?,
        };
        let bytes = self
            .settings
            .promise(self.own.now, Kind::Marked, from, &marked);
        self.out.promise(Promise::Reply { id, bytes });
        Ok(())
    }

    /// A counter counts once (R7), in the same transaction as what it guards.
    fn accept_counter(&mut self, header: &crate::wire::Header) -> Result<(), Stop> {
        let Guard::Stream { stream, counter } = header.guard else {
            return Err(Bad("no counter").into());
        };
        let key = StreamKey {
            sender: header.sender,
            key_serial: header.key_serial,
            incarnation: header.incarnation,
            stream,
        };
        accept_stream(self.own.tx, &key, counter)?.map_err(|_| Bad("replayed").into())
    }

    /// Notes a tower's disk durably: the newest first, the replaced ones behind it.
    fn note_disk(&mut self, member: MemberId, disk: [u8; 16]) -> Result<(), StoreError> {
        let key = member.0.as_bytes().to_vec();
        let known = self.own.tx.row(Table::Disks, &key)?.unwrap_or_default();
        if known.chunks(16).any(|one| one == disk) {
            return Ok(());
        }
        self.own
            .tx
            .put_row(Table::Disks, &key, &[disk.as_slice(), &known].concat())
    }

    /// Another node told what it saw.
    pub(super) fn marks_answered(&mut self, member: MemberIx, payload: &[u8]) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened = self
            .settings
            .open(&self.checks, payload, Kind::Marked, &me, Some(member))?;
        let marked: Marked = body(&opened.body)?;
        if marked.nonce != self.v.tower.nonce {
            return Err(Bad("other nonce").into());
        }
        for mark in marked.marks.as_slice() {
            let note = note(mark.digest.as_slice())?;
            let Ok((origin, digest)) = self.open_digest(&note) else {
                continue;
            };
            if !self.watches(origin) {
                continue;
            }
            self.raise_ack(origin, digest.size, &note)?;
            self.see(origin, &digest, &note)?;
        }
        if !marked.restored {
            self.v.tower.told.insert(member);
        }
        let names: Vec<(MemberIx, String)> = (0..self.settings.members.count())
            .filter(|one| self.watches(*one))
            .map(|one| (one, self.settings.members.name(one).to_owned()))
            .collect();
        for (origin, name) in names {
            self.ack_if_held(origin, &name)?;
        }
        Ok(())
    }

    /// An ack of our own that we do not remember: our disk was rolled back. Its time must not be undercut (R4).
    fn raise_ack(
        &mut self,
        origin: MemberIx,
        size: u64,
        note: &crate::note::SignedNote,
    ) -> Result<(), StoreError> {
        let key = self.settings.ack_key.verifier().clone();
        let Some(line) = self.checks.signature(&key, note) else {
            return Ok(());
        };
        let Some(time_seconds) = crate::cosignature::timestamp(line) else {
            return Ok(());
        };
        let Some(log) = self.settings.members.log_key(origin, size).cloned() else {
            return Ok(());
        };
        let name = self.settings.members.name(origin).to_owned();
        let mut mirror = Mirror::load_or_new(self.own.tx, &name)?;
        let (known, last) = mirror
            .acked
            .as_ref()
            .map_or((0, 0), |ack| (ack.size, ack.time_seconds));
        if size <= known {
            // A repeated ack that we do not remember: its time counts all the same.
            if let Some(ack) = mirror.acked.as_mut().filter(|_| time_seconds > last) {
                ack.time_seconds = time_seconds;
                mirror.store(self.own.tx, &name)?;
                self.alarm(Alarm::TowerRolledBack { origin: name });
            }
        } else {
            self.alarm(Alarm::TowerRolledBack {
                origin: name.clone(),
            });
            mirror.acked = Some(Ack {
                size,
                time_seconds: time_seconds.max(last),
                note: acks_note(note, &log, &[&key, self.settings.mirror_key.verifier()]),
            });
            mirror.store(self.own.tx, &name)?;
        }
        Ok(())
    }
}
