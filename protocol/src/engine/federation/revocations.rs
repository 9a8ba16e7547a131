//! Revocations (R6): a member's identity key withdraws a serial. Each is kept, told to everybody and in the own ledger. For a ledger
//! it acts once a digest that covers its entry there is acknowledged by a quorum without the revoked key, never earlier: what had
//! a quorum before stands. A line by the revoked key on a digest that covers the entry is no member's: its owner stopped
//! before it said so. May not judge what was acknowledged before.

use super::io::{Alarm, Free, Promise, PromiseBytes, Protocol, Topic, Verdict};
use super::messages::{To, body, note_frame_of};
use super::mirror::Mirror;
use super::{Bad, MemberIx, Stop, Turn, What};
use crate::cert::{Revocation, certificate_hash};
use crate::checkpoint::Checkpoint;
use crate::engine::federation::checks::verified_lines;
use crate::engine::store::{Place, StoreError, Table, Transaction};
use crate::entry::json::Json;
use crate::entry::leaf::{Content, Leaf};
use crate::note::{SignedNote, VerifierKey};
use crate::tlog::tile::TILE_WIDTH;
use crate::wire::codec::{self, Bytes, Decode, Encode, List, Text};
use crate::wire::v1::{
    Kind, KnownRevocations, MAX_CERTIFICATE_BYTES, MAX_REVOCATIONS, Revocations, RevokedKey,
};
use std::collections::{BTreeMap, BTreeSet};

/// Revocations that are kept: more than all members of a federation make in a year of one a month each. Beyond, one is not
/// taken, and its owner's newest serials are the only ones that speak anyway.
const MAX_KEPT: usize = 1_024;

/// Entries of one ledger that tell of revocations nobody here can check yet, because the certificate is not known: one for each
/// member that a manifest may name.
const MAX_UNSETTLED: usize = 64;

/// A revocation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RevocationRow {
    /// The note.
    note: Bytes<MAX_CERTIFICATE_BYTES>,
    /// Ledgers that have its entry, and where.
    entries: List<(Text<200>, u64), 64>,
    /// Ledgers for which it acts.
    acting: List<Text<200>, 64>,
}

impl RevocationRow {
    /// Reads a row of [`Table::Revocations`]; `None` if it is damaged.
    #[must_use]
    pub fn decode(row: &[u8]) -> Option<Self> {
        codec::decode(row).ok()
    }

    /// The note, which was verified before it was kept.
    #[must_use]
    pub fn note(&self) -> Option<SignedNote> {
        SignedNote::parse(self.note.as_slice()).ok()
    }

    /// What it says.
    #[must_use]
    pub fn revocation(&self) -> Option<Revocation> {
        Revocation::parse(self.note()?.text()).ok()
    }

    /// Whether it acts for a ledger: receipts of that ledger are judged without the revoked key.
    #[must_use]
    pub fn acts_for(&self, origin: &str) -> bool {
        self.acting
            .as_slice()
            .iter()
            .any(|one| one.as_str() == origin)
    }

    /// Ledgers for which it acts.
    pub fn acting(&self) -> impl Iterator<Item = &str> {
        self.acting.as_slice().iter().map(Text::as_str)
    }
}

/// What is known of one revoked serial.
#[derive(Clone, Debug)]
pub(super) struct Revoked {
    note: String,
    /// Index of its entry, by ledger.
    entries: BTreeMap<MemberIx, u64>,
    /// Ledgers for which it acts.
    acting: BTreeSet<MemberIx>,
}

/// What is known of revocations, beside the store.
#[derive(Default)]
pub(super) struct Known {
    all: BTreeMap<(MemberIx, u64), Revoked>,
    /// Verified and not written yet. An input that is undone does not undo them.
    found: Vec<((MemberIx, u64), String, bool)>,
    /// Whether some may lack their entry in the own ledger.
    owed: bool,
    /// Entries that were passed before what they tell of could be checked, by ledger: once they are in files nobody looks
    /// there again.
    unsettled: BTreeMap<MemberIx, Vec<(u64, String)>>,
}

impl Known {
    /// Whether a line of this member's serial counts under a digest of `size` entries of a ledger.
    pub(super) fn counts(&self, key: (MemberIx, u64), origin: MemberIx, size: u64) -> bool {
        self.all
            .get(&key)
            .is_none_or(|one| !one.acting.contains(&origin) && !one.is_covered(origin, size))
    }

    /// Whether a revocation acts for a ledger.
    pub(super) fn acts(&self, key: (MemberIx, u64), origin: MemberIx) -> bool {
        let known = self.all.get(&key);
        known.is_some_and(|one| one.acting.contains(&origin))
    }

    /// After a step that did not commit: what is in the store is read again, and what was found is written again.
    pub(super) fn forget(&mut self) {
        let all = std::mem::take(&mut self.all).into_iter();
        let again = all.map(|(key, one)| (key, one.note, false));
        self.found.extend(again);
    }

    /// For people.
    pub(super) fn shown(&self) -> impl Iterator<Item = ((MemberIx, u64), &str, Vec<MemberIx>)> {
        self.all.iter().map(|(key, one)| {
            (
                *key,
                one.note.as_str(),
                one.acting.iter().copied().collect(),
            )
        })
    }
}

impl Revoked {
    /// Whether a digest of `size` entries covers the entry.
    fn is_covered(&self, origin: MemberIx, size: u64) -> bool {
        self.entries.get(&origin).is_some_and(|at| size > *at)
    }
}

fn row_key(name: &str, serial: u64) -> Vec<u8> {
    [name.as_bytes(), &[0], &serial.to_be_bytes()].concat()
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// At the first step after a start: what was kept before.
    pub(super) fn load_revocations(&mut self) -> Result<(), StoreError> {
        for (_, row) in self.own.tx.rows(Table::Revocations, &[], MAX_KEPT)? {
            let damaged = || StoreError::Damaged("the row of a revocation".to_owned());
            let row = RevocationRow::decode(&row).ok_or_else(damaged)?;
            let note = row.note().ok_or_else(damaged)?;
            let said = row.revocation().ok_or_else(damaged)?;
            let members = &self.settings.members;
            // Of a member that left it revokes nothing here.
            let Some(member) = members.by_name(&said.node) else {
                continue;
            };
            let entries = row.entries.as_slice().iter();
            let entries =
                entries.filter_map(|(name, at)| Some((members.by_name(name.as_str())?, *at)));
            let revoked = Revoked {
                note: note.to_string(),
                entries: entries.collect(),
                acting: row
                    .acting()
                    .filter_map(|one| members.by_name(one))
                    .collect(),
            };
            self.v
                .revocations
                .all
                .insert((member, said.serial), revoked);
            self.settings.members.revoke(member, said.serial);
        }
        self.v.revocations.owed = true;
        Ok(())
    }

    /// Takes a revocation if it is news and holds. Returns whether it is.
    pub(super) fn take_revocation(&mut self, note: &SignedNote, own: bool) -> Result<bool, Bad> {
        let said = Revocation::parse(note.text()).map_err(|_| Bad("malformed revocation"))?;
        let members = &self.settings.members;
        let member = members
            .by_name(&said.node)
            .ok_or(Bad("revocation of a stranger"))?;
        let known = &self.v.revocations;
        let key = (member, said.serial);
        if known.all.contains_key(&key)
            || known.found.iter().any(|(one, ..)| *one == key)
            || known.all.len() + known.found.len() >= MAX_KEPT
        {
            return Ok(false);
        }
        Revocation::open(note, members.identity(member))
            .map_err(|_| Bad("revocation does not hold"))?;
        let at = usize::try_from(said.serial.saturating_sub(1)).unwrap_or(usize::MAX);
        // Who does not know that certificate yet hears of both again.
        let named = members.notes(member).get(at).map(certificate_hash);
        if named != Some(said.certificate) {
            return Err(Bad("revocation of an unknown certificate"));
        }
        self.v.revocations.found.push((key, note.to_string(), own));
        Ok(true)
    }

    /// Writes what was found in this step, outside of any input that may be undone.
    pub(super) fn keep_revocations(&mut self) -> Result<(), StoreError> {
        for (key, note, own) in std::mem::take(&mut self.v.revocations.found) {
            let revoked = Revoked {
                note,
                entries: BTreeMap::new(),
                acting: BTreeSet::new(),
            };
            self.v.revocations.all.insert(key, revoked);
            self.v.revocations.owed = true;
            self.settings.members.revoke(key.0, key.1);
            self.store_revocation(key)?;
            self.settle_entries(key)?;
            self.find_entries()?;
            if own && let Some(bytes) = self.revocations_of([key]) {
                let bytes = PromiseBytes(note_frame_of(Kind::Revocations, &bytes).into_inner());
                let topic = Topic::Digests;
                self.out.promise(Promise::Publish { topic, bytes });
            }
        }
        self.settle_revocations()
    }

    fn store_revocation(&mut self, key: (MemberIx, u64)) -> Result<(), StoreError> {
        let Some(revoked) = self.v.revocations.all.get(&key) else {
            return Ok(());
        };
        let members = &self.settings.members;
        let name = |one: &MemberIx| Text::new(members.name(*one).to_owned());
        let entries = revoked.entries.iter();
        let entries = entries.filter_map(|(origin, at)| Some((name(origin)?, *at)));
        let (Some(note), Some(entries), Some(acting)) = (
            Bytes::new(revoked.note.clone()),
            List::new(entries.collect()),
            List::new(revoked.acting.iter().filter_map(name).collect()),
        ) else {
            return Ok(());
        };
        let row = codec::encode(&RevocationRow {
            note,
            entries,
            acting,
        });
        let place = row_key(members.name(key.0), key.1);
        self.own.tx.put_row(Table::Revocations, &place, &row)
    }

    /// One entry for each in the own ledger, once it takes entries.
    pub(super) fn note_revocations(&mut self) -> Result<(), StoreError> {
        if !self.v.revocations.owed || !self.may_append() || self.own.is_retired() {
            return Ok(());
        }
        let me = self.settings.me;
        let lacking = self.v.revocations.all.iter();
        let lacking = lacking.filter(|(_, one)| !one.entries.contains_key(&me));
        let lacking: Vec<_> = lacking.map(|(key, one)| (*key, one.note.clone())).collect();
        for (key, note) in lacking {
            let at = match self.own.tells_of_key(&note)? {
                // Adopted after a lost disk: it is somewhere, and the newest entry is not before it.
                true => self.own.head.size().saturating_sub(1),
                false => {
                    let body = Json::object([("note", Json::text(note))]);
                    self.own.append_own(self.ledger, "key.revocation", body)?
                }
            };
            self.entry_found(key, me, at)?;
        }
        self.v.revocations.owed = false;
        Ok(())
    }

    fn entry_found(
        &mut self,
        key: (MemberIx, u64),
        origin: MemberIx,
        at: u64,
    ) -> Result<(), StoreError> {
        if let Some(one) = self.v.revocations.all.get_mut(&key) {
            one.entries.entry(origin).or_insert(at);
        }
        self.store_revocation(key)
    }

    /// Looks for entries of revocations in what is held of all mirrored ledgers and not in files yet.
    fn find_entries(&mut self) -> Result<(), StoreError> {
        for (name, mirror) in Mirror::all(self.own.tx)? {
            if let Some(origin) = self.settings.members.by_name(&name) {
                let covered = mirror.flushed..mirror.base.end();
                self.find_entries_in(origin, mirror.place, covered)?;
            }
        }
        Ok(())
    }

    /// The same in a part of one that a digest covers now. What it tells of is learned from it, too: a member that heard of the
    /// revocation only after the part went to files would never know its place.
    pub(super) fn find_entries_in(
        &mut self,
        origin: MemberIx,
        place: Place,
        part: std::ops::Range<u64>,
    ) -> Result<(), StoreError> {
        self.find_activations_in(origin, place, part.clone())?;
        let lacking = self.v.revocations.all.iter();
        let lacking = lacking.filter(|(_, one)| !one.entries.contains_key(&origin));
        let mut lacking: Vec<_> = lacking.map(|(key, one)| (*key, one.note.clone())).collect();
        if part.is_empty() || (lacking.is_empty() && !self.is_hinted(origin)) {
            return Ok(());
        }
        let border = part.start - part.start % TILE_WIDTH;
        for run in self.own.tx.tail(place, border, part.end)? {
            let entries = crate::tlog::bundle::entries(&run.bundle);
            for (index, entry) in (run.start..).zip(entries) {
                let Some(told) = entry.ok().and_then(revocation_in) else {
                    continue;
                };
                if !part.contains(&index) {
                    continue;
                }
                match lacking.iter().position(|(_, note)| *note == told) {
                    Some(at) => {
                        let (key, _) = lacking.swap_remove(at);
                        self.entry_found(key, origin, index)?;
                    }
                    None => self.told_by_entry(origin, index, told),
                }
            }
        }
        self.looked_at(origin, part.end);
        Ok(())
    }

    /// An entry of a ledger tells of a revocation: it is taken like one that a member sends, and found again when it is kept.
    fn told_by_entry(&mut self, origin: MemberIx, index: u64, told: String) {
        let Ok(note) = SignedNote::parse(told.as_bytes()) else {
            return;
        };
        if self.take_revocation(&note, false).is_err() {
            let unsettled = self.v.revocations.unsettled.entry(origin).or_default();
            if unsettled.len() < MAX_UNSETTLED && !unsettled.contains(&(index, told.clone())) {
                unsettled.push((index, told));
            }
        }
    }

    /// Looks for the entries of one in what was passed before it could be checked.
    fn settle_entries(&mut self, key: (MemberIx, u64)) -> Result<(), StoreError> {
        let known = &self.v.revocations;
        let Some(one) = known.all.get(&key) else {
            return Ok(());
        };
        let passed = known.unsettled.iter().filter_map(|(origin, told)| {
            let first = told.iter().filter(|(_, note)| *note == one.note);
            Some((*origin, first.map(|(index, _)| *index).min()?))
        });
        for (origin, index) in passed.collect::<Vec<_>>() {
            self.entry_found(key, origin, index)?;
        }
        Ok(())
    }

    /// Which revocations act now: a quorum acknowledged a digest that covers the entry, without the revoked key.
    pub(super) fn settle_revocations(&mut self) -> Result<(), StoreError> {
        let all = self.v.revocations.all.iter();
        let waiting: Vec<_> = all
            .flat_map(|(key, one)| {
                let open = one.entries.iter();
                let open = open.filter(|(origin, _)| !one.acting.contains(origin));
                open.map(|(origin, at)| (*key, *origin, *at))
            })
            .collect();
        for (key, origin, at) in waiting {
            let acts = match origin == self.settings.me {
                // What is counted there leaves the revoked key out.
                true => self.v.acked > at,
                false => self.is_acked_beyond(origin, at)?,
            };
            if acts {
                if let Some(one) = self.v.revocations.all.get_mut(&key) {
                    one.acting.insert(origin);
                }
                self.store_revocation(key)?;
            }
        }
        Ok(())
    }

    /// Whether this tower and enough others acknowledged more than `at` entries of a ledger, by keys that are not revoked.
    fn is_acked_beyond(&self, origin: MemberIx, at: u64) -> Result<bool, StoreError> {
        let members = &self.settings.members;
        let mut acked = BTreeSet::new();
        for tower in members.towers_of(origin) {
            let beyond = match tower == self.settings.me {
                true => Mirror::load(self.own.tx, members.name(origin))?
                    .and_then(|mirror| mirror.acked)
                    .is_some_and(|ack| ack.size > at),
                false => self.has_acked_beyond(origin, tower, at)?,
            };
            if beyond {
                acked.insert(tower);
            }
        }
        let all = |one: MemberIx| acked.contains(&one);
        Ok(members.every_judge(origin, |judge| judge.is_quorum(all)))
    }

    /// Lines by revoked keys on a digest that covers their revocation: somebody else has those keys. Kept, and a human is told.
    /// Says whether there is one.
    pub(super) fn look_for_stolen(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
    ) -> Result<bool, StoreError> {
        let members = &self.settings.members;
        let mut stolen: Vec<((MemberIx, u64), Vec<VerifierKey>)> = Vec::new();
        for (key, one) in &self.v.revocations.all {
            if !one.is_covered(origin, digest.size) {
                continue;
            }
            let mut chain = members.chain(key.0).iter();
            let certificate = chain.find(|one| one.serial == key.1).into_iter();
            let keys = certificate.flat_map(|one| [&one.ack, &one.mirror]);
            let by = keys.filter(|one| self.checks.signature(one, note).is_some());
            let by: Vec<VerifierKey> = by.cloned().collect();
            if !by.is_empty() {
                stolen.push((*key, by));
            }
        }
        for (key, by) in &stolen {
            self.compromised(*key, origin, digest, note, by)?;
        }
        Ok(!stolen.is_empty())
    }

    /// A note by a revoked key, first seen after its revocation: evidence that somebody else has that key, not that its owner
    /// lied.
    pub(super) fn compromised(
        &mut self,
        (member, serial): (MemberIx, u64),
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
        by: &[VerifierKey],
    ) -> Result<(), StoreError> {
        let members = &self.settings.members;
        let log = members.log_key(origin, digest.size);
        let keys: Vec<&VerifierKey> = log.into_iter().chain(by).collect();
        let Some(only) = verified_lines(&self.checks, note, &keys) else {
            return Ok(());
        };
        let alarm = Alarm::StolenKey {
            member: members.name(member).to_owned(),
            serial,
            origin: digest.origin.clone(),
            size: digest.size,
        };
        if self.keep_evidence(digest, &only)? {
            self.alarm(alarm);
        }
        Ok(())
    }

    /// A body with the notes of these, as many as one message holds.
    fn revocations_of(&self, keys: impl IntoIterator<Item = (MemberIx, u64)>) -> Option<Vec<u8>> {
        let notes = keys.into_iter().filter_map(|key| {
            let known = self.v.revocations.all.get(&key)?;
            Bytes::new(known.note.clone())
        });
        let notes: Vec<_> = notes.take(MAX_REVOCATIONS).collect();
        let notes = List::new(notes)?;
        (!notes.as_slice().is_empty()).then(|| codec::encode(&Revocations { notes }))
    }

    /// Asks a member for revocations that are not known here.
    pub(super) fn ask_for_revocations(&mut self, peer: &str, member: MemberIx) {
        let known = self.v.revocations.all.keys().rev().take(MAX_REVOCATIONS);
        let keys = known.filter_map(|(one, serial)| {
            Some(RevokedKey {
                name: Text::new(self.settings.members.name(*one).to_owned())?,
                serial: *serial,
            })
        });
        let question = KnownRevocations {
            keys: List::new(keys.collect()).unwrap_or_default(),
        };
        let to = To::Member(member);
        let bytes = self
            .settings
            .free(self.own.now, Kind::KnownRevocations, &to, &question, &[]);
        let id = self.remember(peer.to_owned(), What::Revocations);
        self.out.free(Free::Request {
            peer: peer.to_owned(),
            id,
            protocol: Protocol::Sync,
            bytes,
        });
    }

    /// A member asks for revocations.
    pub(super) fn revocations_asked(
        &mut self,
        from: MemberIx,
        id: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let kind = Kind::KnownRevocations;
        let opened = self
            .settings
            .open(&self.checks, payload, kind, &me, Some(from))?;
        let question: KnownRevocations = body(&opened.body)?;
        let members = &self.settings.members;
        let known: BTreeSet<(MemberIx, u64)> = question
            .keys
            .as_slice()
            .iter()
            .filter_map(|one| Some((members.by_name(one.name.as_str())?, one.serial)))
            .collect();
        let news = self.v.revocations.all.keys().copied();
        let news: Vec<_> = news.filter(|key| !known.contains(key)).collect();
        let answer = self.revocations_of(news).unwrap_or_else(|| {
            let notes = List::default();
            codec::encode(&Revocations { notes })
        });
        let bytes = note_frame_of(Kind::Revocations, &answer);
        self.out.free(Free::Reply { id, bytes });
        Ok(())
    }

    /// Revocations came, as an answer or by gossip.
    pub(super) fn revocations_came(&mut self, payload: &[u8]) -> Result<Verdict, Stop> {
        let told: Revocations = body(payload)?;
        let (mut bad, mut news) = (None, false);
        for note in told.notes.as_slice() {
            // One that does not hold does not stand in the way of the others.
            let taken = super::messages::note(note.as_slice());
            match taken.and_then(|note| self.take_revocation(&note, false)) {
                Ok(new) => news |= new,
                Err(why) => bad = bad.or(Some(why)),
            }
        }
        match (news, bad) {
            (true, _) => Ok(Verdict::Accept),
            (false, Some(bad)) => Err(bad.into()),
            (false, None) => Ok(Verdict::Ignore),
        }
    }
}

/// What an entry of that kind has in it.
pub(super) const IN_A_REVOCATION: &[u8] = b"\"kind\":\"key.revocation\"";

/// The note of a `key.revocation` entry of a node's own; most entries are none, and that is seen from their bytes.
fn revocation_in(entry: &[u8]) -> Option<String> {
    memchr::memmem::find(entry, IN_A_REVOCATION)?;
    let leaf = Leaf::parse(entry).ok()?;
    let (None, Content::Body(body)) = (&leaf.scrub, &leaf.content) else {
        return None;
    };
    let note = body.get("note").and_then(Json::as_str);
    note.filter(|_| leaf.kind == "key.revocation")
        .map(str::to_owned)
}
