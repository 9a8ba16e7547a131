//! Where ledgers activate epochs (R14): found in the own one and in mirrored ones, also of epochs that this node does not know yet,
//! and kept for ever. May not decide which epochs there are, nor what an activation is worth: see [`super::joints`].

use super::mirror::Mirror;
use super::revocations::IN_A_REVOCATION;
use super::{MemberIx, Turn};
use crate::checkpoint::Checkpoint;
use crate::engine::store::{Place, StoreError, Table, Transaction};
use crate::entry::json::Json;
use crate::entry::leaf::{Content, Leaf};
use crate::genesis::ceremony::active_body;
use crate::manifest::Federation;
use crate::note::SignedNote;
use crate::tlog::bundle;
use crate::tlog::hash::Hash;
use crate::tlog::tile::TILE_WIDTH;
use crate::wire::codec::{self, Bytes, Decode, Encode};
use crate::wire::v1::MAX_NOTE_BYTES;
use std::collections::{BTreeMap, BTreeSet};

/// Rows that are read at a start: all epochs of all members, and of some that left.
const MAX_ROWS: usize = 1 << 17;

/// Epochs beyond the newest known one that are remembered of others' ledgers: a liar could name any number.
const MAX_AHEAD: u64 = 16;

/// Kind of the entry that activates an epoch in a ledger.
pub(super) const ACTIVE_KIND: &str = "genesis.active";

/// How a ledger came into an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct JointRow {
    /// Index of its `genesis.active` entry.
    pub index: u64,
    /// The manifest that the entry names.
    pub manifest: Hash,
    /// Whether a digest that covers the entry was shown with the quorum of the epoch before.
    pub welcome: bool,
    /// Size of the joint digest; 0 without one.
    pub size: u64,
    /// The joint digest with its lines; empty without one.
    pub note: Bytes<MAX_NOTE_BYTES>,
}

impl JointRow {
    /// Key of the row of a ledger and an epoch.
    #[must_use]
    pub fn key(origin: &str, epoch: u64) -> Vec<u8> {
        [origin.as_bytes(), &[0], &epoch.to_be_bytes()].concat()
    }

    /// The ledger and the epoch of a key.
    #[must_use]
    pub fn of_key(key: &[u8]) -> Option<(&str, u64)> {
        let (name, epoch) = key.split_last_chunk::<8>()?;
        let name = std::str::from_utf8(name.strip_suffix(&[0])?).ok()?;
        Some((name, u64::from_be_bytes(*epoch)))
    }

    /// Reads a row; `None` if it is damaged.
    #[must_use]
    pub fn decode(row: &[u8]) -> Option<Self> {
        codec::decode(row).ok()
    }

    /// The joint digest, if there is one.
    #[must_use]
    pub fn joint(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.note.as_slice()).ok()?;
        (self.size > 0).then_some(text)
    }
}

/// The epochs that some ledger still needs, of all that are known here, oldest first: those before every joint digest are history.
///
/// # Errors
/// When the store fails.
pub fn needed(
    tx: &impl Transaction,
    epochs: Vec<Federation>,
    me: &str,
) -> Result<Vec<Federation>, StoreError> {
    let Some(newest) = epochs.last().map(|one| one.manifest().clone()) else {
        return Ok(epochs);
    };
    let mut from = newest.epoch;
    // Of ledgers that it does not watch a node knows no joint digest, and needs none.
    let mut own = epochs.iter().filter_map(|one| one.member(me));
    let is_tower = own.any(|(_, member)| member.tower);
    let concerns = |name: &str| is_tower || name == me;
    let factories = newest.members.iter().filter(|member| member.factory);
    for member in factories.filter(|member| concerns(&member.name)) {
        let mut judged = newest.epoch;
        for epochs in epochs.windows(2).rev() {
            let [before, next] = epochs else { continue };
            let next = next.manifest().epoch;
            let was = before.member(&member.name);
            let row = tx.row(Table::Joints, &JointRow::key(&member.name, next))?;
            let joint = row.and_then(|row| JointRow::decode(&row));
            let is_joint = joint.is_some_and(|row| row.size > 0);
            if is_joint || !was.is_some_and(|(_, was)| was.factory) {
                break;
            }
            judged = next - 1;
        }
        from = from.min(judged);
    }
    // Whoever left starts as what it was last.
    let named = epochs.iter().rev().find(|one| one.member(me).is_some());
    from = from.min(named.map_or(from, |one| one.manifest().epoch));
    let needed = epochs.into_iter();
    Ok(needed.filter(|one| one.manifest().epoch >= from).collect())
}

/// What is known of activations, beside the store.
#[derive(Default)]
pub(super) struct Epochs {
    /// By ledger and epoch.
    pub(super) rows: BTreeMap<(MemberIx, u64), JointRow>,
    /// Not written yet. An input that is undone does not undo them.
    pub(super) unwritten: BTreeSet<(MemberIx, u64)>,
    /// Mirrored ledgers that may activate or revoke something below this index, in entries that no digest covers yet.
    hints: BTreeMap<MemberIx, u64>,
    /// Digests with the lines of several epochs whose entries are not held yet: the newest of each ledger.
    pub(super) shown: BTreeMap<MemberIx, SignedNote>,
    /// What others were shown of the own ledger.
    pub(super) telling: super::joints::Telling,
}

impl Epochs {
    /// After a step that did not commit: the store says what is known.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// At the first step after a start, and after an amendment: what was kept before.
    pub(super) fn load_epochs(&mut self) -> Result<(), StoreError> {
        self.settings.members.unsettle();
        for (key, row) in self.own.tx.rows(Table::Joints, &[], MAX_ROWS)? {
            let damaged = || StoreError::Damaged("the row of a joint digest".to_owned());
            let (name, epoch) = JointRow::of_key(&key).ok_or_else(damaged)?;
            let row = JointRow::decode(&row).ok_or_else(damaged)?;
            let Some(origin) = self.settings.members.by_name(name) else {
                continue;
            };
            if row.size > 0 {
                self.settings.members.settle(origin, epoch);
            }
            self.v.epochs.rows.insert((origin, epoch), row);
        }
        for (name, mirror) in Mirror::all(self.own.tx)? {
            let Some(origin) = self.settings.members.by_name(&name) else {
                continue;
            };
            if mirror.end.end() > mirror.base.end() {
                self.v.epochs.hints.insert(origin, mirror.end.end());
            }
            let covered = mirror.flushed..mirror.base.end();
            self.find_activations_in(origin, mirror.place, covered)?;
        }
        Ok(())
    }

    /// Writes what was found in this step, outside of any input that may be undone.
    pub(super) fn keep_epochs(&mut self) -> Result<(), StoreError> {
        for (origin, epoch) in std::mem::take(&mut self.v.epochs.unwritten) {
            if let Some(row) = self.v.epochs.rows.get(&(origin, epoch)) {
                let key = JointRow::key(self.settings.members.name(origin), epoch);
                let row = codec::encode(row);
                self.own.tx.put_row(Table::Joints, &key, &row)?;
            }
        }
        Ok(())
    }

    /// How a ledger came into an epoch, if it activates the manifest that this node knows.
    pub(super) fn activation(&self, origin: MemberIx, epoch: u64) -> Option<&JointRow> {
        let known = self.settings.members.manifest_of(epoch)?;
        let row = self.v.epochs.rows.get(&(origin, epoch))?;
        (row.manifest == known).then_some(row)
    }

    /// An entry of a ledger activates an epoch; the first one counts.
    fn activated(&mut self, origin: MemberIx, index: u64, said: &Said) {
        let members = &self.settings.members;
        let known = members.manifest_of(said.epoch);
        let too_far = said.epoch > members.epoch().saturating_add(MAX_AHEAD);
        let right = active_body(&members.federation().id(), said.epoch, &said.manifest);
        // The own ledger is believed: what it knows and this node does not stops it from signing.
        if right != said.body
            || known.is_some_and(|hash| hash != said.manifest)
            || (too_far && origin != self.settings.me)
        {
            return;
        }
        let place = (origin, said.epoch);
        let before = self.v.epochs.rows.get(&place);
        if before.is_some_and(|row| row.size > 0 || row.manifest == said.manifest) {
            return;
        }
        let row = JointRow {
            index,
            manifest: said.manifest,
            welcome: false,
            size: 0,
            note: Bytes::default(),
        };
        self.v.epochs.rows.insert(place, row);
        self.v.epochs.unwritten.insert(place);
    }

    /// This node's own ledger got an entry of that kind.
    pub(super) fn own_activation(&mut self, index: u64, body: &Json) {
        if let Some(said) = said(body) {
            self.activated(self.settings.me, index, &said);
        }
    }

    /// The own ledger tells of every epoch that comes into force, in order; where towers watch it, that is how it comes into them.
    pub(super) fn note_activations(&mut self) -> Result<(), StoreError> {
        let (me, members) = (self.settings.me, &self.settings.members);
        if members.epoch() == 0 || !self.may_append() || self.own.is_retired() {
            return Ok(());
        }
        let id = members.federation().id();
        let owed: Vec<u64> = match self.v.factory.is_watched() {
            true => {
                let judges = members.judges_of(me).skip(1);
                judges.map(|judge| judge.epoch()).collect()
            }
            false => members.epochs_of(me).skip(1).collect(),
        };
        let owed = owed
            .into_iter()
            .filter(|epoch| self.activation(me, *epoch).is_none());
        let owed: Vec<(u64, Hash)> = owed
            .filter_map(|epoch| Some((epoch, members.manifest_of(epoch)?)))
            .collect();
        for (epoch, manifest) in owed {
            let text = active_body(&id, epoch, &manifest);
            let damaged = |_| StoreError::Damaged("the activation of an epoch".to_owned());
            let body = Json::parse(text.as_bytes()).map_err(damaged)?;
            let index = self
                .own
                .append_own(self.ledger, ACTIVE_KIND, body.clone())?;
            self.own_activation(index, &body);
        }
        Ok(())
    }

    /// Entries of the own ledger that were taken over from towers, from this index on.
    pub(super) fn adopted_activations(&mut self, first: u64, entries: &[u8]) {
        for (index, entry) in (first..).zip(bundle::entries(entries)) {
            if let Some(said) = entry.ok().and_then(activation_in) {
                self.activated(self.settings.me, index, &said);
            }
        }
    }

    /// Entries of the own ledger from this index on are given up.
    pub(super) fn drop_activations_from(&mut self, index: u64) -> Result<(), StoreError> {
        let me = self.settings.me;
        let rows = self.v.epochs.rows.range((me, 0)..=(me, u64::MAX));
        let gone = rows.filter(|(_, row)| row.size == 0 && row.index >= index);
        let gone: Vec<_> = gone.map(|(place, _)| *place).collect();
        for place in gone {
            self.v.epochs.rows.remove(&place);
            self.v.epochs.unwritten.remove(&place);
            let key = JointRow::key(self.settings.members.name(me), place.1);
            self.own.tx.remove_row(Table::Joints, &key)?;
        }
        Ok(())
    }

    /// Whether the own history is in an epoch that this node does not know: then it signs nothing.
    pub(super) fn is_behind_itself(&self) -> bool {
        let me = self.settings.me;
        let mut rows = self.v.epochs.rows.range((me, 0)..=(me, u64::MAX));
        rows.next_back()
            .is_some_and(|((_, epoch), _)| *epoch > self.settings.members.epoch())
    }

    /// Entries of a mirrored ledger came, up to `end`: they are looked at once a digest covers them, if one may be an activation or a
    /// revocation.
    pub(super) fn look_later(&mut self, origin: MemberIx, entries: &[u8], end: u64) {
        let may_be = |part| memchr::memmem::find(entries, part).is_some();
        if may_be(IN_AN_ENTRY) || may_be(IN_A_REVOCATION) {
            let hint = self.v.epochs.hints.entry(origin).or_default();
            *hint = (*hint).max(end);
        }
    }

    /// Whether what a digest covers now of a mirrored ledger may activate or revoke something.
    pub(super) fn is_hinted(&self, origin: MemberIx) -> bool {
        self.v.epochs.hints.contains_key(&origin)
    }

    /// Everything below `end` was looked at.
    pub(super) fn looked_at(&mut self, origin: MemberIx, end: u64) {
        let hints = &mut self.v.epochs.hints;
        if hints.get(&origin).is_some_and(|hint| *hint <= end) {
            hints.remove(&origin);
        }
    }

    /// Looks for activations in a part of a mirrored ledger that a digest covers now. Reads nothing unless one is awaited, or may be
    /// there.
    pub(super) fn find_activations_in(
        &mut self,
        origin: MemberIx,
        place: Place,
        part: std::ops::Range<u64>,
    ) -> Result<(), StoreError> {
        if part.is_empty() || !(self.is_hinted(origin) || self.awaits_activation(origin)) {
            return Ok(());
        }
        let border = part.start - part.start % TILE_WIDTH;
        for run in self.own.tx.tail(place, border, part.end)? {
            for (index, entry) in (run.start..).zip(bundle::entries(&run.bundle)) {
                if !part.contains(&index) {
                    continue;
                }
                if let Some(said) = entry.ok().and_then(activation_in) {
                    self.activated(origin, index, &said);
                }
            }
        }
        if let Some(note) = self.v.epochs.shown.get(&origin).cloned()
            && let Ok(digest) = Checkpoint::parse(note.text())
        {
            self.look_for_joint(origin, &digest, &note);
        }
        Ok(())
    }

    pub(super) fn awaits_activation(&self, origin: MemberIx) -> bool {
        let mut judges = self.settings.members.judges_of(origin).skip(1);
        judges.any(|judge| self.activation(origin, judge.epoch()).is_none())
    }
}

/// What a `genesis.active` entry says.
struct Said {
    epoch: u64,
    manifest: Hash,
    body: String,
}

fn said(body: &Json) -> Option<Said> {
    Some(Said {
        epoch: body.get("epoch").and_then(Json::as_u64)?,
        manifest: Hash::from_hex(body.get("manifest").and_then(Json::as_str)?)?,
        body: String::from_utf8(body.to_canonical()).ok()?,
    })
}

/// What an entry of that kind has in it.
const IN_AN_ENTRY: &[u8] = b"\"kind\":\"genesis.active\"";

/// The activation in an entry, if it is one. Nearly no entry is, so its bytes are searched before they are parsed.
fn activation_in(entry: &[u8]) -> Option<Said> {
    memchr::memmem::find(entry, IN_AN_ENTRY)?;
    let leaf = Leaf::parse(entry).ok()?;
    match (&leaf.scrub, &leaf.content) {
        (None, Content::Body(body)) if leaf.kind == ACTIVE_KIND => said(body),
        _ => None,
    }
}
