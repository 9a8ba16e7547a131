//! What a tower asks before it acks (R3): after every start, r other towers and, where reachable, the factory tell it
//! the newest digest they saw and its own newest ack. It raises its marks to the maximum; until then it acks nothing.
//! A restored tower asks for more: see [`super::restored`].

use super::checks::verified_lines;
use super::disk::Restore;
use super::io::{Alarm, Promise};
use super::messages::{To, body, note};
use super::mirror::{Ack, Mirror, MirrorRestore};
use super::restored::Heard;
use super::tower::Refusal;
use super::{Bad, MemberIx, Settings, Stop, Turn, Volatile, What};
use crate::engine::nonces::{Counters, Replay, StreamKey, accept_stream};
use crate::engine::store::{Record, StoreError, Transaction};
use crate::note::{SignedNote, VerifierKey};
use crate::wire::codec::{Bytes, List, Text};
use crate::wire::v1::{
    Kind, MAX_EVIDENCE_BYTES, MAX_NOTE_BYTES, Mark, Marked, Marks, Reason, Refused,
};
use crate::wire::{Guard, Header};
use std::collections::{BTreeMap, BTreeSet};

/// Pause before an unanswered question is asked again, in microseconds.
const AGAIN_US: u64 = 1_000_000;

/// Who told what it saw of which ledgers.
#[derive(Default)]
struct Told(BTreeMap<MemberIx, BTreeSet<MemberIx>>);

impl Told {
    fn add(&mut self, who: MemberIx, of: MemberIx) {
        self.0.entry(who).or_default().insert(of);
    }

    fn has(&self, who: MemberIx, of: MemberIx) -> bool {
        self.0.get(&who).is_some_and(|told| told.contains(&of))
    }

    /// Of how many ledgers; only of those that are watched here.
    fn count(&self, who: MemberIx) -> usize {
        self.0.get(&who).map_or(0, BTreeSet::len)
    }

    fn forget(&mut self, of: MemberIx) {
        for told in self.0.values_mut() {
            told.remove(&of);
        }
    }
}

/// What a tower was told since its start.
#[derive(Default)]
pub(super) struct Tower {
    nonce: [u8; 16],
    /// Who told what it saw of which ledger.
    told: Told,
    /// Ledgers of which enough others told since the start: a new epoch with more of them does not ask again.
    enough: BTreeSet<MemberIx>,
    asked: BTreeMap<MemberIx, u64>,
    counters: Counters,
    /// What others told a restored tower of a ledger: by ledger, then by who told it.
    pub(super) heard: BTreeMap<MemberIx, BTreeMap<MemberIx, Heard>>,
    /// Other towers that have themselves to catch up with a ledger, as they said last: by ledger.
    pub(super) restored_too: BTreeMap<MemberIx, BTreeSet<MemberIx>>,
    /// Whether a restore goes on.
    pub(super) restoring: bool,
    /// Tails that a restored tower fetches, by ledger.
    pub(super) tails: BTreeMap<MemberIx, super::restored::Tail>,
    /// Whether some ledger waits for others' acks, so that everybody is asked again and again.
    pub(super) first_ack: bool,
    /// Roots at the last digests that were verified here, for the first ack: by ledger.
    pub(super) verified: BTreeMap<MemberIx, Vec<(u64, crate::tlog::hash::Hash)>>,
    /// When new keys were asked for last.
    pub(super) serial_asked_us: Option<u64>,
    /// When heads were told last, and what they said.
    pub(super) heads_us: u64,
    /// Nothing was acked since that was not told.
    pub(super) heads_told: bool,
    pub(super) heads: BTreeMap<String, (u64, u64)>,
}

impl Tower {
    pub(super) fn disconnected(&mut self, member: MemberIx) {
        self.asked.remove(&member);
    }

    /// Whether nobody who is connected is to be asked, now or again.
    pub(super) fn was_asked_for_all(&self, settings: &Settings, v: &Volatile) -> bool {
        let (members, me) = (&settings.members, settings.me);
        let watched = (0..members.count()).filter(|one| settings.watches(*one));
        let watched = watched.count();
        self.nonce != [0; 16]
            && !self.first_ack
            && (0..members.count())
                .filter(|one| *one != me && v.connection(members, *one).is_some())
                .all(|one| self.told_all(one, watched))
    }

    /// Whether a member told what it saw of all ledgers that are watched here, which are so many.
    fn told_all(&self, member: MemberIx, watched: usize) -> bool {
        self.told.count(member) == watched
    }

    /// Another tower says whether it has itself to catch up with a ledger.
    fn restored(&mut self, origin: MemberIx, tower: MemberIx, still: bool) {
        let of_origin = self.restored_too.entry(origin).or_default();
        if still {
            of_origin.insert(tower);
        } else {
            of_origin.remove(&tower);
        }
    }

    /// Asks everybody again who told something of this ledger.
    pub(super) fn ask_again(&mut self, origin: MemberIx) {
        self.heard.remove(&origin);
        self.told.forget(origin);
        self.enough.remove(&origin);
    }
}

/// Whether a tower was told enough to ack a ledger (R3): by r other towers, or all if they are fewer, and by the factory
/// if it is connected.
pub(super) fn told_enough(settings: &Settings, v: &Volatile, origin: MemberIx) -> bool {
    if settings.disk.restore != Restore::Done {
        return false;
    }
    let members = &settings.members;
    let others = members.towers_of(origin).filter(|one| *one != settings.me);
    // Whoever is gone for good cannot tell, and a human said so; whoever is here must.
    let accepted = settings.disk.accepted
        && others
            .filter(|one| v.connection(members, *one).is_some())
            .all(|one| v.tower.told.has(one, origin));
    let factory = v.connection(members, origin).is_none() || v.tower.told.has(origin, origin);
    let enough = v.tower.enough.contains(&origin);
    factory && (enough || accepted || others_told(settings, v, origin))
}

/// Whether r other towers told what they saw of a ledger, or all if they are fewer.
fn others_told(settings: &Settings, v: &Volatile, origin: MemberIx) -> bool {
    let told = |one: MemberIx| v.tower.told.has(one, origin);
    settings.members.judges_of(origin).all(|judge| {
        let others = judge.number(|one| one != settings.me);
        let needed = (judge.quorum().recovery as usize).min(others);
        judge.number(|one| one != settings.me && told(one)) >= needed
    })
}

/// Whom a tower waits for before it acks some ledger; nobody once it was told enough.
pub(super) fn waits_for(settings: &Settings, v: &Volatile) -> BTreeSet<MemberIx> {
    let (members, me) = (&settings.members, settings.me);
    let mut missing = BTreeSet::new();
    if !members.is_tower(me) {
        return missing;
    }
    for origin in (0..members.count()).filter(|one| settings.watches(*one)) {
        if told_enough(settings, v, origin) {
            continue;
        }
        let others = members.towers_of(origin).filter(|one| *one != me);
        let connected = v.connection(members, origin).map(|_| origin);
        let silent = |one: &MemberIx| !v.tower.told.has(*one, origin);
        missing.extend(others.chain(connected).filter(silent));
    }
    missing
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
        let watched = (0..self.settings.members.count())
            .filter(|one| self.watches(*one))
            .count();
        for member in 0..self.settings.members.count() {
            let tower = &self.v.tower;
            let asked = tower.asked.get(&member);
            if member == me
                || (tower.told_all(member, watched) && !tower.first_ack)
                || asked.is_some_and(|at| now < at.saturating_add(AGAIN_US))
            {
                continue;
            }
            let Some(peer) = self.connection(member).map(str::to_owned) else {
                continue;
            };
            let counter = self.v.tower.counters.next(self.own.tx)?;
            let token = self
                .v
                .peers
                .get(&peer)
                .map_or([0; 16], |peer| peer.their_token);
            let marks = Marks {
                nonce: self.v.tower.nonce,
                disk: self.settings.disk.id,
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
        let tower = self.settings.members.id(from);
        if let Err(replay) = self.accept_counter(&opened.header)? {
            return self.refuse_old_start(from, id, replay);
        }
        let marks: Marks = body(&opened.body)?;
        self.note_disk(
            tower,
            marks.disk,
            opened.header.incarnation,
            &opened.envelope,
        )?;
        self.rest_on_current_disks()?;
        let mut list = Vec::new();
        for (name, mirror) in Mirror::all(self.own.tx)? {
            let member = self.settings.members.by_name(&name).is_some();
            if member || !mirror.is_foreign() {
                list.extend(mark_of(&name, mirror));
            }
        }
        list.extend(self.own_mark()?);
        let marked = Marked {
            nonce: marks.nonce,
            signs: self.v.factory.signs(),
            marks: List::new(list).ok_or(Bad("too many ledgers"))?,
        };
        let bytes = self
            .settings
            .promise(self.own.now, Kind::Marked, from, &marked);
        self.out.promise(Promise::Reply { id, bytes });
        Ok(())
    }

    /// What a factory says of its own ledger: its newest digest, and the newest that a quorum acked.
    fn own_mark(&self) -> Result<Option<Mark>, StoreError> {
        let digest = self.own.tx.newest_digest()?.map(|(_, note)| note);
        let acked = match self.v.acked {
            0 => None,
            size => self.own.tx.digest(size)?,
        };
        let name = self.settings.members.name(self.settings.me).to_owned();
        Ok(digest.and_then(|digest| {
            Some(Mark {
                origin: Text::new(name)?,
                restored: false,
                digest: Bytes::new(digest.into_bytes())?,
                acked: Bytes::new(acked.unwrap_or_default().into_bytes())?,
                tail: None,
                promised_by: Bytes::default(),
            })
        }))
    }

    /// A counter counts once (R7), in the same transaction as what it guards.
    fn accept_counter(&mut self, header: &Header) -> Result<Result<(), Replay>, Stop> {
        let Guard::Stream { stream, counter } = header.guard else {
            return Err(Bad("no counter").into());
        };
        let key = StreamKey {
            sender: header.sender,
            key_serial: header.key_serial,
            incarnation: header.incarnation,
            stream,
        };
        let outcome = accept_stream(self.own.tx, &key, counter)?;
        self.v.nonces.stream(&outcome);
        Ok(outcome)
    }

    /// A start with a lower number than one before is shown its own message of that one: a directory that was lost while
    /// its clock was ahead could not know.
    fn refuse_old_start(&mut self, from: MemberIx, id: u64, replay: Replay) -> Result<(), Stop> {
        let shown = self.shown_disk(self.settings.members.id(from))?;
        if replay != Replay::OldIncarnation || shown.is_empty() {
            return Err(Bad("replayed").into());
        }
        let peer = self.settings.members.peer(from).to_owned();
        self.given_up(Some((peer, false)), "replayed");
        let refusal = Refusal {
            reason: Reason::HigherIncarnation,
            held: 0,
            evidence: shown,
        };
        let name = self.settings.members.name(from).to_owned();
        self.refuse(from, id, &name, refusal);
        Ok(())
    }

    /// Our own message of an earlier start with a higher number: this start takes a number above it.
    pub(super) fn marks_refused(&mut self, member: MemberIx, payload: &[u8]) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened = self
            .settings
            .open(&self.checks, payload, Kind::Refused, &me, Some(member))?;
        let refused: Refused = body(&opened.body)?;
        if refused.reason == Reason::Unknown {
            return Ok(());
        }
        let shown = To::Member(member);
        let sender = Some(self.settings.me);
        let evidence = refused.evidence.as_slice();
        let shown =
            self.settings
                .open_shown(&self.checks, evidence, Kind::Marks, &shown, sender)?;
        let before = shown.header.incarnation;
        if before < self.settings.incarnation.number {
            return Ok(());
        }
        let number = before.checked_add(1).ok_or(Bad("no higher incarnation"))?;
        self.settings.incarnation.number = number;
        let instance = self.settings.incarnation.instance;
        self.own.tx.put_record(
            Record::Incarnation,
            &[number.to_be_bytes().as_slice(), &instance].concat(),
        )?;
        self.v.tower.asked.clear();
        self.recover_again();
        Ok(())
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
        // What cannot be verified, for want of a certificate or because it is a lie, does not count as told; nor what a
        // tower says that has itself to catch up. One ledger does not stand in the way of another.
        let mut wrong = BTreeSet::new();
        for mark in marked.marks.as_slice() {
            let origin = self.settings.members.by_name(mark.origin.as_str());
            if !self.take_mark(member, mark)? || mark.restored {
                wrong.extend(origin);
            }
            if let Some(origin) = origin {
                self.v.tower.restored(origin, member, mark.restored);
            }
        }
        let names: Vec<(MemberIx, String)> = (0..self.settings.members.count())
            .filter(|one| self.watches(*one) && !wrong.contains(one))
            .map(|one| (one, self.settings.members.name(one).to_owned()))
            .collect();
        for (origin, name) in names {
            self.heard_of(member, origin, marked.signs);
            self.v.tower.told.add(member, origin);
            if others_told(self.settings, self.v, origin) {
                self.v.tower.enough.insert(origin);
            }
            self.ack_if_held(origin, &name)?;
        }
        Ok(self.end_acceptance()?)
    }

    /// Once enough others answer for every ledger, nobody has to be taken at a human's word any more.
    fn end_acceptance(&mut self) -> Result<(), StoreError> {
        if !self.settings.disk.accepted {
            return Ok(());
        }
        let mut watched = (0..self.settings.members.count()).filter(|one| self.watches(*one));
        if watched.all(|origin| others_told(self.settings, self.v, origin)) {
            self.settings.disk.accepted = false;
            self.settings.disk.store(self.own.tx)?;
        }
        Ok(())
    }

    /// What one node says of one ledger, and whether all of it verifies.
    fn take_mark(&mut self, from: MemberIx, mark: &Mark) -> Result<bool, Stop> {
        let Some(origin) = self.settings.members.by_name(mark.origin.as_str()) else {
            // Of a member that left.
            return Ok(true);
        };
        let mut right = true;
        for bytes in [&mark.acked, &mark.digest] {
            if bytes.as_slice().is_empty() {
                continue;
            }
            let opened = note(bytes.as_slice()).and_then(|note| {
                let (of, digest) = self.open_digest(&note)?;
                Ok((note, of, digest))
            });
            let Ok((note, of, digest)) = opened else {
                right = false;
                continue;
            };
            if of == self.settings.me {
                self.own_statement(&digest, &note)?;
            }
            if of != origin || !self.watches(origin) {
                continue;
            }
            self.raise_ack(origin, digest.size, &note)?;
            self.see(origin, &digest, &note)?;
            self.others_acked(origin, &digest, &note)?;
            self.hear_acks(origin, &digest, &note)?;
        }
        if self.watches(origin) && !mark.restored {
            right &= self.hear(from, origin, mark);
        }
        Ok(right)
    }

    /// An ack of our own that we do not remember: our disk was rolled back. Its time must not be undercut (R4).
    fn raise_ack(
        &mut self,
        origin: MemberIx,
        size: u64,
        note: &SignedNote,
    ) -> Result<(), StoreError> {
        let keys: Vec<(VerifierKey, VerifierKey)> = self
            .settings
            .keys
            .cosigners(0, self.settings.disk.lowest_serial)
            .map(|one| (one.ack.verifier().clone(), one.mirror.verifier().clone()))
            .collect();
        let found = keys.iter().find_map(|(ack, mirror)| {
            let line = self.checks.signature(ack, note)?;
            Some((crate::cosignature::timestamp(line)?, ack, mirror))
        });
        let Some((time_seconds, ack, mirror_key)) = found else {
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
                self.keep_mirror(&name, &mirror)?;
                self.alarm(Alarm::TowerRolledBack { origin: name });
            }
        } else {
            self.alarm(Alarm::TowerRolledBack {
                origin: name.clone(),
            });
            let Some(only) = verified_lines(&self.checks, note, &[&log, ack, mirror_key]) else {
                return Ok(());
            };
            mirror.acked = Some(Ack {
                size,
                time_seconds: time_seconds.max(last),
                note: only.to_string(),
            });
            self.keep_mirror(&name, &mirror)?;
        }
        Ok(())
    }
}

/// What a tower says of a ledger it mirrors.
fn mark_of(name: &str, mirror: Mirror) -> Option<Mark> {
    let bytes = |note: String| Bytes::<MAX_NOTE_BYTES>::new(note.into_bytes());
    let tail = mirror.unsigned_tail();
    Some(Mark {
        origin: Text::new(name.to_owned())?,
        restored: mirror.restore == MirrorRestore::CatchingUp,
        digest: bytes(mirror.seen.map_or(String::new(), |(_, note)| note))?,
        acked: bytes(mirror.acked.map_or(String::new(), |ack| ack.note))?,
        tail,
        promised_by: Bytes::<MAX_EVIDENCE_BYTES>::new(mirror.promised_by)?,
    })
}
