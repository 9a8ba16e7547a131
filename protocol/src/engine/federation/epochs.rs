//! How ledgers come into an epoch (R14): where each activates it, the joint digest that carries the quorums of both epochs on that
//! entry, and what a tower that is new in an epoch waits for before its first ack. May not decide which epochs there are.

use super::io::{Free, Promise, PromiseBytes};
use super::messages::note_frame;
use super::{MemberIx, Turn, What};
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
use crate::wire::v1::{Kind, MAX_NOTE_BYTES};
use std::collections::{BTreeMap, BTreeSet};

/// Rows that are read at a start: all epochs of all members, and of some that left.
const MAX_ROWS: usize = 1 << 17;

/// How a ledger came into an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct JointRow {
    /// Index of its `genesis.active` entry.
    pub index: u64,
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
    let needed = epochs.into_iter();
    Ok(needed.filter(|one| one.manifest().epoch >= from).collect())
}

/// What is known of activations, beside the store.
#[derive(Default)]
pub(super) struct Epochs {
    /// By ledger and epoch.
    rows: BTreeMap<(MemberIx, u64), JointRow>,
    /// Not written yet. An input that is undone does not undo them.
    unwritten: BTreeSet<(MemberIx, u64)>,
    /// Digests with the lines of several epochs whose entries are not held yet: the newest of each ledger.
    shown: BTreeMap<MemberIx, SignedNote>,
    /// Towers that were shown this ledger's newest joint digest on their present connection.
    told: BTreeSet<MemberIx>,
    /// An epoch that the own, adopted history activates and that this node does not know.
    ahead: Option<u64>,
}

impl Epochs {
    /// After a step that did not commit: the store says what is known.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// A tower may not have got what it was shown.
    pub(super) fn disconnected(&mut self, member: MemberIx) {
        self.told.remove(&member);
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// At the first step after a start, or after an amendment: what was kept before.
    pub(super) fn load_epochs(&mut self) -> Result<(), StoreError> {
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
        Ok(())
    }

    /// Writes what was found in this step, outside of any input that may be undone.
    pub(super) fn keep_epochs(&mut self) -> Result<(), StoreError> {
        if self.v.epochs.unwritten.is_empty() {
            return Ok(());
        }
        // A joint digest may be the last thing that somebody who left was needed for.
        self.part();
        for (origin, epoch) in std::mem::take(&mut self.v.epochs.unwritten) {
            if let Some(row) = self.v.epochs.rows.get(&(origin, epoch)) {
                let key = JointRow::key(self.settings.members.name(origin), epoch);
                let row = codec::encode(row);
                self.own.tx.put_row(Table::Joints, &key, &row)?;
            }
        }
        Ok(())
    }

    /// Whether some ledger that concerns this node is on its way into an epoch.
    fn is_changing(&self, origin: MemberIx) -> bool {
        self.settings.members.judges_of(origin).nth(1).is_some()
    }

    /// An entry of a ledger, at this index: whether it activates an epoch there.
    fn activates(&mut self, origin: MemberIx, index: u64, entry: &[u8]) {
        let Some(said) = activation_in(entry) else {
            return;
        };
        let members = &self.settings.members;
        let known = members.manifest_of(said.epoch);
        if origin == self.settings.me && said.epoch > members.epoch() {
            let ahead = self.v.epochs.ahead.unwrap_or(0);
            self.v.epochs.ahead = Some(ahead.max(said.epoch));
        }
        let federation = members.federation().id();
        let right = |hash: Hash| active_body(&federation, said.epoch, &hash) == said.body;
        if known.is_none_or(|hash| !right(hash)) {
            return;
        }
        let place = (origin, said.epoch);
        self.activated(place, index);
    }

    /// A ledger activates an epoch at this index; the first such entry counts.
    fn activated(&mut self, place: (MemberIx, u64), index: u64) {
        self.v.epochs.rows.entry(place).or_insert_with(|| JointRow {
            index,
            welcome: false,
            size: 0,
            note: Bytes::default(),
        });
        self.v.epochs.unwritten.insert(place);
    }

    /// This node's own ledger got an entry of a reserved kind.
    pub(super) fn own_activation(&mut self, index: u64, body: &Json) {
        let Some(said) = said(body) else { return };
        let members = &self.settings.members;
        let federation = members.federation().id();
        let known = members.manifest_of(said.epoch);
        // Of an epoch that is to take effect later it is remembered, too: `amend` brings the manifest.
        if known.is_some_and(|hash| active_body(&federation, said.epoch, &hash) != said.body) {
            return;
        }
        self.activated((self.settings.me, said.epoch), index);
    }

    /// Entries of the own ledger that were taken over from towers, from this index on.
    pub(super) fn adopted_activations(&mut self, first: u64, entries: &[u8]) {
        let me = self.settings.me;
        for (index, entry) in (first..).zip(bundle::entries(entries)) {
            if let Ok(entry) = entry {
                self.activates(me, index, entry);
            }
        }
    }

    /// Whether the own history is in an epoch that this node does not know: then it signs nothing.
    pub(super) fn is_behind_itself(&self) -> bool {
        let ahead = self.v.epochs.ahead;
        ahead.is_some_and(|epoch| epoch > self.settings.members.epoch())
    }

    /// Looks for activations in a part of a mirrored ledger that a digest covers now. Reads nothing unless one is awaited.
    pub(super) fn find_activations_in(
        &mut self,
        origin: MemberIx,
        place: Place,
        part: std::ops::Range<u64>,
    ) -> Result<(), StoreError> {
        if part.is_empty() || !self.awaits_activation(origin) {
            return Ok(());
        }
        let border = part.start - part.start % TILE_WIDTH;
        for run in self.own.tx.tail(place, border, part.end)? {
            for (index, entry) in (run.start..).zip(bundle::entries(&run.bundle)) {
                match entry {
                    Ok(entry) if part.contains(&index) => self.activates(origin, index, entry),
                    _ => {}
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

    fn awaits_activation(&self, origin: MemberIx) -> bool {
        let mut judges = self.settings.members.judges_of(origin).skip(1);
        judges.any(|judge| !self.v.epochs.rows.contains_key(&(origin, judge.epoch())))
    }

    /// At an amendment: what is held of all mirrored ledgers may activate it already.
    pub(super) fn find_activations(&mut self) -> Result<(), StoreError> {
        for (name, mirror) in super::mirror::Mirror::all(self.own.tx)? {
            if let Some(origin) = self.settings.members.by_name(&name) {
                let covered = mirror.flushed..mirror.base.end();
                self.find_activations_in(origin, mirror.place, covered)?;
            }
        }
        Ok(())
    }

    /// A digest of a ledger with towers' lines: whether it carries the quorum of the epoch before an activation that it covers, and
    /// that of the activated one as well.
    pub(super) fn look_for_joint(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
    ) {
        if !self.is_changing(origin) {
            return;
        }
        let members = &self.settings.members;
        let mirrors = |member: MemberIx| {
            let mut keys = members.cosigners(member);
            !self.v.forks.is_liar(member)
                && keys.any(|one| self.checks.signature(&one.mirror, note).is_some())
        };
        let signed: BTreeSet<MemberIx> = members
            .towers_of(origin)
            .filter(|one| mirrors(*one))
            .collect();
        if signed.is_empty() {
            return;
        }
        self.settle_by(origin, digest, note, &signed);
        if self.awaits_activation(origin) {
            self.v.epochs.shown.insert(origin, note.clone());
        } else {
            self.v.epochs.shown.remove(&origin);
        }
    }

    /// Towers whose lines are on a digest, and right: how far that brings the ledger.
    pub(super) fn settle_by(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
        signed: &BTreeSet<MemberIx>,
    ) {
        let judges: Vec<(u64, bool)> = self
            .settings
            .members
            .judges_of(origin)
            .map(|judge| (judge.epoch(), judge.is_quorum(|one| signed.contains(&one))))
            .collect();
        for pair in judges.windows(2) {
            let [(_, before), (epoch, next)] = pair else {
                continue;
            };
            let place = (origin, *epoch);
            let Some(row) = self.v.epochs.rows.get_mut(&place) else {
                return;
            };
            if !*before || row.index >= digest.size {
                return;
            }
            if !row.welcome {
                row.welcome = true;
                self.v.epochs.unwritten.insert(place);
                if origin == self.settings.me {
                    // Who waits to be welcomed is shown it at once.
                    self.v.factory.digests.clear();
                }
            }
            let Some(bytes) = Bytes::new(note.to_string().into_bytes()).filter(|_| *next) else {
                return;
            };
            row.size = digest.size;
            row.note = bytes;
            self.v.epochs.unwritten.insert(place);
            self.v.epochs.told.clear();
            self.settings.members.settle(origin, *epoch);
        }
    }

    /// Whether this tower may acknowledge a ledger at all (R14): as a tower of the epoch that judges it, or after a digest was shown that
    /// activates a later one with the quorum of the epoch before.
    pub(super) fn is_welcome(&self, origin: MemberIx) -> bool {
        let me = self.settings.me;
        let mut judges = self.settings.members.judges_of(origin);
        let first = judges.next();
        if first.is_none_or(|judge| judge.counts(me)) {
            return true;
        }
        let shown = |epoch: u64| {
            let row = self.v.epochs.rows.get(&(origin, epoch));
            row.is_some_and(|row| row.welcome)
        };
        judges.any(|judge| judge.counts(me) && shown(judge.epoch()))
    }

    /// Whether a digest of so many entries of the own ledger is held, or acknowledged, by as many towers as the epochs ask that judge
    /// it: those whose activation it covers, and the one before them.
    pub(super) fn is_enough(&self, size: u64, is: impl Fn(MemberIx) -> bool) -> bool {
        let me = self.settings.me;
        let covers = |epoch: u64| {
            let row = self.v.epochs.rows.get(&(me, epoch));
            row.is_some_and(|row| row.index < size)
        };
        let mut judges = self.settings.members.judges_of(me).peekable();
        if judges.peek().is_none() {
            return false;
        }
        judges
            .enumerate()
            .filter(|(at, judge)| *at == 0 || covers(judge.epoch()))
            .all(|(_, judge)| judge.is_quorum(&is))
    }

    /// What a tower is shown of the own ledger beside its log's line: everything, if it is new in an epoch that the ledger comes into.
    pub(super) fn is_to_be_welcomed(&self, tower: MemberIx) -> bool {
        let mut judges = self.settings.members.judges_of(self.settings.me);
        judges.next().is_some_and(|first| !first.counts(tower))
    }

    /// Shows every tower the newest joint digest, once on each connection: from then on it asks nobody of the epoch before.
    pub(super) fn tell_joint(&mut self) {
        let me = self.settings.me;
        let rows = self.v.epochs.rows.range((me, 0)..=(me, u64::MAX)).rev();
        let mut notes = rows.filter_map(|(_, row)| row.joint());
        let Some(note) = notes.next().map(str::to_owned) else {
            return;
        };
        let towers: Vec<MemberIx> = self.settings.members.towers_of(me).collect();
        for tower in towers {
            if self.v.epochs.told.contains(&tower) {
                continue;
            }
            let Some(peer) = self.connection(tower).map(str::to_owned) else {
                continue;
            };
            self.v.epochs.told.insert(tower);
            let id = self.remember(peer.clone(), What::Joint { member: tower });
            let bytes = PromiseBytes(note_frame(Kind::Digest, &note));
            self.out.promise(Promise::Request { peer, id, bytes });
        }
    }

    /// Whoever left, and is needed by no ledger here any more, is not kept connected.
    pub(super) fn part(&mut self) {
        let (members, me) = (&self.settings.members, self.settings.me);
        let departed = |(_, peer): &(&String, &super::Peer)| {
            peer.admitted && peer.member.is_some_and(|one| members.has_departed(me, one))
        };
        let peers: Vec<String> = self
            .v
            .peers
            .iter()
            .filter(departed)
            .map(|(name, _)| name.clone())
            .collect();
        for peer in peers {
            if let Some(known) = self.v.peers.get_mut(&peer) {
                known.admitted = false;
            }
            self.out.free(Free::Disconnect {
                peer,
                why: format!(
                    "it is no member from epoch {} on",
                    self.settings.members.epoch()
                ),
            });
        }
    }
}

/// Kind of the entry that activates an epoch in a ledger.
pub(super) const ACTIVE_KIND: &str = "genesis.active";

/// What a `genesis.active` entry says.
struct Said {
    epoch: u64,
    body: String,
}

fn said(body: &Json) -> Option<Said> {
    Some(Said {
        epoch: body.get("epoch").and_then(Json::as_u64)?,
        body: String::from_utf8(body.to_canonical()).ok()?,
    })
}

/// The activation in an entry, if it is one. Nearly no entry is, so its bytes are searched before they are parsed.
fn activation_in(entry: &[u8]) -> Option<Said> {
    memchr::memmem::find(entry, b"\"kind\":\"genesis.active\"")?;
    let leaf = Leaf::parse(entry).ok()?;
    match (&leaf.scrub, &leaf.content) {
        (None, Content::Body(body)) if leaf.kind == ACTIVE_KIND => said(body),
        _ => None,
    }
}
