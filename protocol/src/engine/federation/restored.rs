//! A restored tower (R3): a directory that came out of a backup, or is empty although the manifest names its node. It takes
//! no prepare and promises nothing for a ledger until every other tower of it told what it knows and that is held here;
//! then it takes a new key serial, and its first ack is of a digest that enough other towers acked.

use super::disk::{OwnDisk, Restore};
use super::io::Promise;
use super::messages::{To, body, note};
use super::mirror::{Mirror, MirrorRestore};
use super::tower::raise_promise;
use super::{Bad, MemberIx, Stop, Turn};
use crate::checkpoint::Checkpoint;
use crate::engine::ledger::start::Incarnation;
use crate::engine::nonces::floor_is_due;
use crate::engine::open_end::{self, OpenEnd};
use crate::engine::store::{Record, StoreError, Transaction};
use crate::note::SignedNote;
use crate::tlog::hash::Hash;
use crate::wire::Envelope;
use crate::wire::v1::{
    Entries, Kind, Mark, PREPARE_TOPIC, Prepare, RECOVER_TOPIC, Recover, Tail as Told,
};
use std::collections::BTreeSet;

/// Pause before new keys are asked for again, in microseconds.
const SERIAL_AGAIN_US: u64 = 10_000_000;
/// Verified digests of one ledger that may be matched with others' acks.
const VERIFIED: usize = 64;

/// What one tower told of one ledger; all of it verified.
#[derive(Clone, Default)]
pub(super) struct Heard {
    digest: u64,
    tail: Option<Tail>,
    promised: Option<(Incarnation, Vec<u8>)>,
}

/// An unsigned tail, with the factory's own prepare for it.
#[derive(Clone)]
pub(super) struct Tail {
    pub(super) incarnation: Incarnation,
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) prepare: Vec<u8>,
}

/// Makes a restored directory's mirrors count as caught up, because a human who knows that no other tower can tell says
/// so: neither their answers nor their acks are waited for.
///
/// # Errors
/// When the store fails.
pub fn accept_restored(tx: &mut impl Transaction, watched: &[String]) -> Result<(), StoreError> {
    for name in watched {
        let mut mirror = Mirror::load_or_new(tx, name)?;
        mirror.restore = MirrorRestore::Done;
        mirror.store(tx, name)?;
    }
    if let Some(mut disk) = OwnDisk::load(tx)? {
        disk.accepted = true;
        disk.restore = Restore::Begun;
        disk.store(tx)?;
    }
    Ok(())
}

impl<T: Transaction> Turn<'_, '_, T> {
    fn watched(&self) -> Vec<(MemberIx, String)> {
        let members = &self.settings.members;
        (0..members.count())
            .filter(|one| self.watches(*one))
            .map(|one| (one, members.name(one).to_owned()))
            .collect()
    }

    /// The other towers of a ledger.
    fn others(&self, origin: MemberIx) -> Vec<MemberIx> {
        let me = self.settings.me;
        let towers = self.settings.members.towers_of(origin);
        towers.filter(|one| *one != me).collect()
    }

    /// At the first step after a start: what was found is noted ledger by ledger.
    pub(super) fn begin_restore(&mut self) -> Result<(), StoreError> {
        if let Some(disk) = OwnDisk::load(self.own.tx)? {
            self.settings.disk = disk;
        }
        let watched = self.watched();
        if self.settings.disk.restore == Restore::Found {
            for (_, name) in &watched {
                let mut mirror = Mirror::load_or_new(self.own.tx, name)?;
                mirror.restore = MirrorRestore::CatchingUp;
                self.keep_mirror(name, &mirror)?;
            }
            self.nonce_floor_is_due()?;
            self.settings.disk.restore = Restore::Begun;
            self.settings.disk.store(self.own.tx)?;
        }
        let mut restoring = self.settings.disk.restore != Restore::Done;
        for (_, name) in &watched {
            restoring |= Mirror::load(self.own.tx, name)?
                .is_some_and(|mirror| mirror.restore != MirrorRestore::Done);
        }
        self.v.tower.restoring = restoring;
        for (origin, name) in &watched {
            if let Some(mirror) = Mirror::load(self.own.tx, name)?
                && mirror.base.end() == mirror.seen_size()
            {
                self.verified(*origin, mirror.base.end(), mirror.base.root());
            }
        }
        Ok(())
    }

    /// After a restore or a fast-forward, requests that an earlier disk accepted must not be accepted again (R8).
    pub(super) fn nonce_floor_is_due(&mut self) -> Result<(), StoreError> {
        let limits = self.settings.members.federation().manifest().limits;
        let bound_us = u64::from(limits.clock_bound_ms).saturating_mul(1_000);
        floor_is_due(self.own.tx, bound_us)
    }

    /// Takes what a tower told of a ledger, if all of it verifies.
    pub(super) fn hear(&mut self, from: MemberIx, origin: MemberIx, mark: &Mark) -> bool {
        if !self.v.tower.restoring || from == origin {
            return true;
        }
        let Ok(heard) = self.heard(origin, mark) else {
            return false;
        };
        let of_origin = self.v.tower.heard.entry(origin).or_default();
        of_origin.insert(from, heard);
        true
    }

    fn heard(&self, origin: MemberIx, mark: &Mark) -> Result<Heard, Bad> {
        let digest = match mark.digest.as_slice() {
            [] => 0,
            bytes => self.open_digest(&note(bytes)?)?.1.size,
        };
        let tail = mark
            .tail
            .as_ref()
            .map(|told| self.told_tail(origin, told))
            .transpose()?;
        let promised = match mark.promised_by.as_slice() {
            [] => None,
            bytes => Some((self.raised_by(origin, bytes)?, bytes.to_vec())),
        };
        Ok(Heard {
            digest,
            tail,
            promised,
        })
    }

    /// A tail counts only with the factory's own prepare for exactly it.
    pub(super) fn told_tail(&self, origin: MemberIx, told: &Told) -> Result<Tail, Bad> {
        let prepare = told.prepare.as_slice();
        let to = To::Topic(PREPARE_TOPIC);
        let opened =
            self.settings
                .open_shown(&self.checks, prepare, Kind::Prepare, &to, Some(origin))?;
        let content: Prepare = body(&opened.body)?;
        let number = opened.header.incarnation;
        if content.to != told.size || content.root != told.root || number != told.incarnation {
            return Err(Bad("tail without its prepare"));
        }
        Ok(Tail {
            incarnation: Incarnation {
                number,
                instance: content.instance,
            },
            size: content.to,
            root: content.root,
            prepare: opened.envelope,
        })
    }

    /// The incarnation in a factory's own message that raises a promise: a prepare or a recovery query.
    pub(super) fn raised_by(&self, origin: MemberIx, bytes: &[u8]) -> Result<Incarnation, Bad> {
        let (envelope, _) = Envelope::split(bytes).map_err(|_| Bad("malformed envelope"))?;
        let (kind, topic) = if envelope.header.kind == Kind::Prepare.number() {
            (Kind::Prepare, PREPARE_TOPIC)
        } else {
            (Kind::Recover, RECOVER_TOPIC)
        };
        let to = To::Topic(topic);
        let opened = self
            .settings
            .open_shown(&self.checks, bytes, kind, &to, Some(origin))?;
        let instance = match kind {
            Kind::Prepare => body::<Prepare>(&opened.body)?.instance,
            _ => body::<Recover>(&opened.body)?.instance,
        };
        Ok(Incarnation {
            number: opened.header.incarnation,
            instance,
        })
    }

    /// A node told all it knows of a ledger; if it did not speak of it, that is nothing. A factory that signs knows its
    /// own newest digest, which counts where there is no other tower.
    pub(super) fn heard_of(&mut self, from: MemberIx, origin: MemberIx, signs: bool) {
        if !self.v.tower.restoring {
            return;
        }
        let counts = if from == origin {
            signs
        } else {
            self.others(origin).contains(&from)
        };
        if counts {
            let heard = self.v.tower.heard.entry(origin).or_default();
            heard.entry(from).or_default();
        }
    }

    /// Goes on with what a restore still needs.
    pub(super) fn catch_up(&mut self) -> Result<(), StoreError> {
        if !self.v.tower.restoring {
            return Ok(());
        }
        let (mut catching_up, mut first_ack) = (false, false);
        let watched = self.watched();
        // A ledger that cannot be caught up with, because it forked or its factory lies, stays behind alone.
        let mut some = watched.is_empty();
        for (origin, name) in watched {
            let mirror = Mirror::load_or_new(self.own.tx, &name)?;
            let restore = match mirror.restore {
                MirrorRestore::CatchingUp => self.catch_up_with(origin, &name, mirror)?,
                other => other,
            };
            catching_up |= restore == MirrorRestore::CatchingUp;
            first_ack |= restore == MirrorRestore::FirstAck;
            some |= restore != MirrorRestore::CatchingUp;
        }
        self.v.tower.first_ack = first_ack;
        if some && self.settings.disk.restore != Restore::Done {
            self.renew_keys()?;
        }
        self.v.tower.restoring =
            catching_up || first_ack || self.settings.disk.restore != Restore::Done;
        Ok(())
    }

    /// Once something is caught up: new keys. What is left is noted ledger by ledger.
    fn renew_keys(&mut self) -> Result<(), StoreError> {
        let disk = &mut self.settings.disk;
        let is_tower = self.settings.members.is_tower(self.settings.me);
        if !is_tower || self.settings.keys.newest.number >= disk.lowest_serial {
            disk.restore = Restore::Done;
            return disk.store(self.own.tx);
        }
        let now = self.now_us();
        let asked = self.v.tower.serial_asked_us;
        // A factory's own log key changes with it: only once its ledger is what it was, or is silent for ever.
        let silent = self.own.is_retired() || self.own.tx.record(Record::Forked)?.is_some();
        let factory = &self.v.factory;
        let settled = !factory.is_watched() || factory.signs() || (silent && factory.is_stopped());
        if settled && asked.is_none_or(|at| now >= at.saturating_add(SERIAL_AGAIN_US)) {
            self.v.tower.serial_asked_us = Some(now);
            self.out.promise(Promise::TakeSerial {
                log_from_size: self.ledger.log_keys().next_from_size(
                    self.own.head.size(),
                    self.own.head.signed,
                    self.own.now.wall_seconds(),
                ),
            });
        }
        Ok(())
    }

    fn catch_up_with(
        &mut self,
        origin: MemberIx,
        name: &str,
        mut mirror: Mirror,
    ) -> Result<MirrorRestore, StoreError> {
        let still = Ok(MirrorRestore::CatchingUp);
        let others = self.others(origin);
        let Some(heard) = self.v.tower.heard.get(&origin) else {
            return still;
        };
        let excused = self.excused(origin);
        let all = if others.is_empty() {
            heard.contains_key(&origin)
        } else {
            others
                .iter()
                .all(|one| heard.contains_key(one) || excused.contains(one))
        };
        let newest = heard.values().map(|one| one.digest).max().unwrap_or(0);
        if !all || mirror.base.end() < newest.max(mirror.seen_size()) || mirror.conflict {
            return still;
        }
        let beyond = |tail: &&Tail| tail.size > mirror.base.end();
        let tail = heard
            .values()
            .filter_map(|one| one.tail.as_ref())
            .filter(beyond)
            .max_by_key(|tail| (tail.incarnation.number, tail.size))
            .cloned();
        if let Some(tail) = tail
            && (tail.incarnation.number, tail.size) > (mirror.tail.number, mirror.end.end())
        {
            self.fetch_tail(origin, name, mirror, tail)?;
            return still;
        }
        let heard = self.v.tower.heard.remove(&origin).unwrap_or_default();
        for (incarnation, by) in heard.values().filter_map(|one| one.promised.as_ref()) {
            raise_promise(&mut mirror, *incarnation, by);
        }
        mirror.restore = if others.is_empty() {
            MirrorRestore::Done
        } else {
            MirrorRestore::FirstAck
        };
        self.keep_mirror(name, &mirror)?;
        if mirror.base.end() == mirror.seen_size() {
            self.verified(origin, mirror.base.end(), mirror.base.root());
        }
        Ok(mirror.restore)
    }

    /// Towers that need not tell, because they have themselves to catch up, and would wait for this one as this one for
    /// them. Each of them counts as one of the f, as this one does; all others tell, so of every quorum that holds
    /// something an honest tower that remembers it is heard. With more than f of them nobody is excused, and a human
    /// decides (R3).
    fn excused(&self, origin: MemberIx) -> BTreeSet<MemberIx> {
        let others = self.others(origin);
        let restored = self.v.tower.restored_too.get(&origin);
        let towers: BTreeSet<MemberIx> = restored
            .into_iter()
            .flatten()
            .filter(|one| others.contains(one))
            .copied()
            .collect();
        let judges = self.settings.members.judges_of(origin);
        let faulty = judges.map(|judge| judge.quorum().faulty as usize);
        let faulty = faulty.min().unwrap_or(0);
        if towers.len() < faulty {
            towers
        } else {
            BTreeSet::new()
        }
    }

    fn fetch_tail(
        &mut self,
        origin: MemberIx,
        name: &str,
        mut mirror: Mirror,
        tail: Tail,
    ) -> Result<(), StoreError> {
        let same = |known: &Tail| (known.size, known.root) == (tail.size, tail.root);
        if !self.v.tower.tails.get(&origin).is_some_and(same) {
            open_end::truncate(self.own.tx, mirror.place, mirror.base.end())?;
            mirror.end = mirror.base.clone();
            mirror.prepared_by.clear();
            mirror.tail = Incarnation {
                number: 0,
                instance: [0; 16],
            };
            self.keep_mirror(name, &mirror)?;
            self.v.tower.tails.insert(origin, tail.clone());
        }
        if self.v.fetches.get(name).is_some_and(|fetch| fetch.waiting) {
            return Ok(());
        }
        let holds = |one: &Heard| {
            let held = one.tail.as_ref();
            held.is_some_and(|held| (held.size, held.root) == (tail.size, tail.root))
        };
        let heard = self.v.tower.heard.get(&origin);
        let sources: Vec<MemberIx> = heard
            .into_iter()
            .flatten()
            .filter(|(_, one)| holds(one))
            .map(|(from, _)| *from)
            .collect();
        self.ask_entries(origin, name, mirror.end.end(), tail.size, Some(&sources));
        Ok(())
    }

    /// A piece of a tail came; `None` if none is being fetched for this ledger.
    pub(super) fn take_tail(
        &mut self,
        origin: MemberIx,
        name: &str,
        mirror: &mut Mirror,
        head: &Entries,
        entries: &[u8],
    ) -> Result<Option<()>, Stop> {
        let fetching =
            mirror.restore == MirrorRestore::CatchingUp && mirror.base.end() >= mirror.seen_size();
        let Some(tail) = self.v.tower.tails.get(&origin).filter(|_| fetching) else {
            return Ok(None);
        };
        let tail = tail.clone();
        if head.from != mirror.end.end() || head.to > tail.size {
            return Ok(Some(()));
        }
        let mut edge = mirror.end.clone();
        let mut open = OpenEnd::of(mirror.place);
        open.push_bundle(&mut edge, entries)
            .map_err(|_| Bad("malformed bundle"))?;
        super::fetch::proved(&edge, head, (tail.size, &tail.root))?;
        open.write(self.own.tx)?;
        self.look_later(origin, entries, edge.end());
        mirror.end = edge;
        if mirror.end.end() == tail.size {
            mirror.tail = tail.incarnation;
            mirror.prepared_by = tail.prepare;
            self.v.tower.tails.remove(&origin);
        }
        self.keep_mirror(name, mirror)?;
        Ok(Some(()))
    }

    /// A fetch failed: what was told may not be true any more.
    pub(super) fn tail_failed(&mut self, name: &str) {
        let origin = self.settings.members.by_name(name);
        if let Some(origin) = origin
            && self.v.tower.tails.remove(&origin).is_some()
        {
            self.v.tower.ask_again(origin);
        }
    }

    /// Remembers a digest whose root is that of the entries held here.
    pub(super) fn verified(&mut self, origin: MemberIx, size: u64, root: Hash) {
        if !self.v.tower.restoring {
            return;
        }
        let list = self.v.tower.verified.entry(origin).or_default();
        if list.len() >= VERIFIED {
            list.remove(0);
        }
        list.push((size, root));
    }

    /// A digest with others' lines: the first ack of a restored tower waits for min(k, n - 1) of them.
    pub(super) fn others_acked(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
    ) -> Result<(), StoreError> {
        if !self.v.tower.first_ack {
            return Ok(());
        }
        let others = self.others(origin);
        let members = &self.settings.members;
        let acked: BTreeSet<MemberIx> = others
            .iter()
            .filter(|one| !self.v.forks.is_liar(**one))
            .filter(|one| {
                let certificates = members.cosigners(**one);
                certificates.into_iter().any(|one| {
                    let ends_seconds = one.not_after_seconds;
                    let line = self.checks.cosignature(&one.ack, ends_seconds, note);
                    line.is_some()
                })
            })
            .copied()
            .collect();
        let verified = self.v.tower.verified.get(&origin);
        let known = verified.is_some_and(|list| list.contains(&(digest.size, digest.root)));
        let enough = members.judges_of(origin).all(|judge| {
            let others = judge.number(|one| others.contains(&one));
            let needed = (judge.quorum().needed as usize).min(others);
            judge.number(|one| acked.contains(&one)) >= needed
        });
        if !known || !enough {
            return Ok(());
        }
        let mut mirror = Mirror::load_or_new(self.own.tx, &digest.origin)?;
        if mirror.restore == MirrorRestore::FirstAck {
            mirror.restore = MirrorRestore::Done;
            self.keep_mirror(&digest.origin, &mirror)?;
            self.v.tower.verified.remove(&origin);
        }
        Ok(())
    }
}
