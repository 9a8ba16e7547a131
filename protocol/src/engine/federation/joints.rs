//! Joint digests (R14): when a ledger is in an epoch, whose word counts until then, when a new tower may acknowledge, and telling
//! everybody concerned. May not look into entries: see [`super::epochs`].

use super::io::{Free, Promise, PromiseBytes};
use super::messages::note_frame;
use super::{MemberIx, Turn, What};
use crate::checkpoint::Checkpoint;
use crate::engine::store::Transaction;
use crate::note::SignedNote;
use crate::wire::codec::Bytes;
use crate::wire::v1::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Pause before somebody is shown a digest again, in microseconds; it doubles each time, up to [`RARELY_US`].
const AGAIN_US: u64 = 1_000_000;
/// Longest such pause.
const RARELY_US: u64 = 60_000_000;
/// How long whoever left stays connected after the last ledger came into the new epoch: it may hear of that, too.
const GRACE_US: u64 = 5_000_000;

/// What others were shown of the own ledger.
#[derive(Default)]
pub(super) struct Telling {
    /// By tower.
    told: BTreeMap<MemberIx, Told>,
    /// The newest digest that covers an activation and carries the quorum of the epoch before: what a new tower waits for.
    welcome: Option<String>,
    /// Since when connected peers are not needed any more.
    parting: BTreeMap<String, u64>,
}

/// What a tower was shown on its present connection.
#[derive(Default)]
struct Told {
    times: u32,
    at_us: u64,
    taken: bool,
}

impl Telling {
    /// Nothing is taken for heard: on another connection, or by whoever knows another epoch now.
    pub(super) fn again(&mut self, member: MemberIx) {
        self.told.remove(&member);
    }

    /// A tower acknowledged what it was shown.
    pub(super) fn taken_by(&mut self, member: MemberIx) {
        if let Some(told) = self.told.get_mut(&member) {
            told.taken = true;
        }
    }

    /// Whether somebody is to be told again, or let go.
    pub(super) fn goes_on(&self) -> bool {
        !self.parting.is_empty() || self.told.values().any(|told| !told.taken)
    }

    fn is_due(&self, member: MemberIx, now_us: u64) -> bool {
        self.told.get(&member).is_none_or(|told| {
            let pause = AGAIN_US
                .saturating_mul(1 << told.times.min(16))
                .min(RARELY_US);
            !told.taken && now_us >= told.at_us.saturating_add(pause)
        })
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// A digest of a ledger with towers' lines: whether it carries the quorum of the epoch before an activation that it covers, and
    /// that of the activated one as well.
    pub(super) fn look_for_joint(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
    ) {
        let members = &self.settings.members;
        if members.judges_of(origin).nth(1).is_none() {
            return;
        }
        // Of any serial: it may be of long ago.
        let mirrors = |member: MemberIx| {
            let mut chain = members.chain(member).iter();
            !self.v.forks.is_liar(member)
                && chain.any(|one| {
                    let key = (member, one.serial);
                    self.v.revocations.counts(key, origin, digest.size)
                        && self.checks.signature(&one.mirror, note).is_some()
                })
        };
        let towers = members.towers_of(origin);
        let signed: BTreeSet<MemberIx> = towers.filter(|one| mirrors(*one)).collect();
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

    /// Towers whose lines are on a digest, and right: how far that brings the ledger. The own ledger goes through every epoch, for
    /// verifiers; of another one a later joint digest says all, because honest towers gave theirs after the earlier ones.
    pub(super) fn settle_by(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
        signed: &BTreeSet<MemberIx>,
    ) {
        let own = origin == self.settings.me;
        let judges = self.settings.members.judges_of(origin);
        let judges: Vec<(u64, bool)> = judges
            .map(|judge| (judge.epoch(), judge.is_quorum(|one| signed.contains(&one))))
            .collect();
        for pair in judges.windows(2) {
            let [(_, before), (epoch, next)] = pair else {
                continue;
            };
            let activation = self.activation(origin, *epoch);
            let covers = activation.is_some_and(|row| row.index < digest.size);
            if *before && covers {
                self.carries(origin, *epoch, (digest, note), *next);
            }
            if own && !(*before && covers && *next) {
                break;
            }
        }
        self.keep_lines(origin, digest, note);
    }

    /// A digest covers an activation, and carries the quorum of the epoch before; if it is `joint`, that of the epoch, too.
    fn carries(
        &mut self,
        origin: MemberIx,
        epoch: u64,
        (digest, note): (&Checkpoint, &SignedNote),
        joint: bool,
    ) {
        let place = (origin, epoch);
        let own = origin == self.settings.me;
        let epochs = &mut self.v.epochs;
        let Some(row) = epochs.rows.get_mut(&place) else {
            return;
        };
        if own {
            epochs.telling.welcome = Some(note.to_string());
        }
        if !row.welcome {
            row.welcome = true;
            epochs.unwritten.insert(place);
        }
        let bytes = Bytes::new(note.to_string().into_bytes());
        let Some(bytes) = bytes.filter(|_| joint && row.size == 0) else {
            return;
        };
        row.size = digest.size;
        row.note = bytes;
        epochs.unwritten.insert(place);
        if own {
            // There is something new to show.
            epochs.telling.told.clear();
        }
        self.settings.members.settle(origin, epoch);
    }

    /// Lines that come later stay on a joint digest: more than are needed today may be needed once a key was revoked.
    fn keep_lines(&mut self, origin: MemberIx, digest: &Checkpoint, note: &SignedNote) {
        if origin != self.settings.me {
            return;
        }
        let epochs = &mut self.v.epochs;
        let rows = epochs.rows.range_mut((origin, 0)..=(origin, u64::MAX));
        for (place, row) in rows
            .rev()
            .take_while(|(_, row)| row.size >= digest.size || row.size == 0)
        {
            let more = Bytes::new(note.to_string().into_bytes());
            if let Some(more) = more.filter(|more| {
                row.size == digest.size && more.as_slice().len() > row.note.as_slice().len()
            }) {
                row.note = more;
                epochs.unwritten.insert(*place);
            }
        }
    }

    /// Whether this tower may acknowledge a ledger at all: as a tower of the epoch that judges it, or after a digest was shown that
    /// activates a later one with the quorum of the epoch before.
    pub(super) fn is_welcome(&self, origin: MemberIx) -> bool {
        let me = self.settings.me;
        let mut judges = self.settings.members.judges_of(origin);
        let first = judges.next();
        if first.is_none_or(|judge| judge.counts(me)) {
            return true;
        }
        let shown = |epoch: u64| {
            self.activation(origin, epoch)
                .is_some_and(|row| row.welcome)
        };
        judges.any(|judge| judge.counts(me) && shown(judge.epoch()))
    }

    /// Whether a digest of so many entries of the own ledger is held, or acknowledged, by as many towers as the epochs ask that judge
    /// it: all up to the newest whose activation it covers, and the one before them.
    pub(super) fn is_enough(&self, size: u64, is: impl Fn(MemberIx) -> bool) -> bool {
        let me = self.settings.me;
        let members = &self.settings.members;
        let covers = |epoch: u64| {
            self.activation(me, epoch)
                .is_some_and(|row| row.index < size)
        };
        let newest = members.judges_of(me).map(|judge| judge.epoch());
        let newest = newest.filter(|epoch| covers(*epoch)).max().unwrap_or(0);
        let mut judges = members.judges_of(me).enumerate().peekable();
        judges.peek().is_some()
            && judges
                .filter(|(at, judge)| *at == 0 || judge.epoch() <= newest)
                .all(|(_, judge)| judge.is_quorum(&is))
    }

    /// Shows every tower what it waits for, until it took it: the newest joint digest, so that it asks nobody of the epoch before any
    /// more; or, while the ledger is on its way, the digest that a new tower needs.
    pub(super) fn tell_joint(&mut self) {
        let (me, now) = (self.settings.me, self.now_us());
        let members = &self.settings.members;
        if members.epoch() == 0 || !self.v.factory.is_watched() {
            return;
        }
        let rows = self.v.epochs.rows.range((me, 0)..=(me, u64::MAX)).rev();
        let joint = rows.filter_map(|(_, row)| row.joint()).next();
        let first = members.judges_of(me).next();
        let telling = &self.v.epochs.telling;
        let note_for = |tower: MemberIx| match &first {
            Some(first) if !first.counts(tower) => telling.welcome.as_deref().or(joint),
            _ => joint,
        };
        let ever = (0..members.count()).filter(|one| *one != me && members.was_tower(*one));
        let due: Vec<(MemberIx, String, PromiseBytes)> = ever
            .filter(|one| telling.is_due(*one, now))
            .filter_map(|one| {
                let peer = self.connection(one)?.to_owned();
                let bytes = note_frame(Kind::Digest, note_for(one)?);
                Some((one, peer, PromiseBytes(bytes)))
            })
            .collect();
        for (tower, peer, bytes) in due {
            let told = self.v.epochs.telling.told.entry(tower).or_default();
            told.times += 1;
            told.at_us = now;
            let id = self.remember(peer.clone(), What::Joint { member: tower });
            self.out.promise(Promise::Request { peer, id, bytes });
        }
    }

    /// Whoever left, and is needed by no ledger here any more, is let go after a while.
    pub(super) fn part(&mut self) {
        let (members, me, now) = (&self.settings.members, self.settings.me, self.now_us());
        if members.current() == members.count() {
            return;
        }
        let departed = |(_, peer): &(&String, &super::Peer)| {
            peer.admitted && peer.member.is_some_and(|one| members.has_departed(me, one))
        };
        let peers = self.v.peers.iter().filter(departed);
        let peers: Vec<String> = peers.map(|(name, _)| name.clone()).collect();
        let parting = &mut self.v.epochs.telling.parting;
        parting.retain(|peer, _| peers.contains(peer));
        for peer in peers {
            let since = *parting.entry(peer.clone()).or_insert(now);
            if now < since.saturating_add(GRACE_US) {
                continue;
            }
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
