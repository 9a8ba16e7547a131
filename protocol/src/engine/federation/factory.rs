//! The factory's side of R1 and R2: prepare, and sign only when k towers hold exactly that prefix under this incarnation;
//! then collect acks until a quorum of mirror lines is there. Entries and prepares are free, digests are promises.

use super::adopting::Adopt;
use super::backlog::Backlog;
use super::cuts::Cut;
use super::io::{Alarm, Free, Protocol};
use super::messages::{To, body};
use super::recovery::Round;
use super::{Bad, MemberIx, Settings, Stop, Turn, What};
use crate::engine::ledger::Head;
use crate::engine::store::{StoreError, Transaction};
use crate::wire::v1::{DiskRef, Kind, Prepared, Reason, Refused};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Pause before an unanswered message is sent again, in microseconds.
const AGAIN_US: u64 = 1_000_000;

/// Where a factory stands.
pub(super) enum Phase {
    /// Not a factory, or one without towers: nothing is prepared, and no digest leaves the node.
    Idle,
    /// Asking towers what they know (R3).
    Recovering(Round),
    /// Fetching what they know and this disk does not.
    Adopting(Adopt),
    /// The first prepare of this incarnation covers at least the adopted log.
    Preparing { cover: u64 },
    /// Appending, preparing, signing.
    Active,
    /// Never signs again in this process.
    Stopped(String),
}

/// What is on its way.
pub(super) struct Factory {
    pub(super) phase: Phase,
    pub(super) cuts: VecDeque<Cut>,
    /// The head as of the newest cut, or of the newest digest: cuts are made by moving it over the rows.
    pub(super) follower: Option<Head>,
    /// Entries that a tower holds durably under this incarnation.
    pub(super) prepared: BTreeMap<MemberIx, u64>,
    /// Entries that were sent to a tower, and when.
    pub(super) sent: BTreeMap<MemberIx, (u64, u64)>,
    /// Size of the newest digest, as of the last look at who lacks it.
    pub(super) newest: Option<u64>,
    /// Newest digest sent to a tower, and when.
    pub(super) digests: BTreeMap<MemberIx, (u64, u64)>,
    /// Entries that a tower said it holds.
    held: BTreeMap<MemberIx, u64>,
    /// The proof against this ledger, if one was found: kept until it is durable.
    pub(super) fork_proof: Option<String>,
    /// Why a tower refused last.
    refused: BTreeMap<MemberIx, Reason>,
    /// What is appended and not signed.
    pub(super) backlog: Backlog,
    /// The towers whose answers and promises this incarnation rests on, and their disks then: no others count.
    pub(super) rests_on: BTreeMap<MemberIx, [u8; 16]>,
    /// How often a tower's disk changed while this node rested on it.
    pub(super) unsteady: BTreeMap<MemberIx, u32>,
    /// Towers whose disk was replaced as others say, by who says it, although this node knows no newer one.
    pub(super) disowned: BTreeMap<MemberIx, BTreeSet<MemberIx>>,
    /// How often fetching the own ledger from a tower failed, and since when that is counted.
    pub(super) failed: BTreeMap<MemberIx, u32>,
    pub(super) failed_since_us: u64,
}

impl Factory {
    pub(super) fn new(settings: &Settings) -> Self {
        let members = &settings.members;
        let watched = members.is_factory(settings.me) && members.quorum_of(settings.me).is_some();
        let phase = if watched {
            Phase::Recovering(Round::default())
        } else {
            Phase::Idle
        };
        Self {
            phase,
            cuts: VecDeque::new(),
            follower: None,
            prepared: BTreeMap::new(),
            sent: BTreeMap::new(),
            newest: None,
            digests: BTreeMap::new(),
            held: BTreeMap::new(),
            fork_proof: None,
            refused: BTreeMap::new(),
            backlog: Backlog::default(),
            rests_on: BTreeMap::new(),
            unsteady: BTreeMap::new(),
            disowned: BTreeMap::new(),
            failed: BTreeMap::new(),
            failed_since_us: 0,
        }
    }

    /// The members are others now: its ledger may be watched from now on, or not any more.
    pub(super) fn amended(&mut self, settings: &Settings) {
        let members = &settings.members;
        let watched = members.is_factory(settings.me) && members.quorum_of(settings.me).is_some();
        match &self.phase {
            Phase::Stopped(_) => {}
            Phase::Idle if watched => self.phase = Self::new(settings).phase,
            Phase::Idle => {}
            _ if !members.is_current(settings.me) => {
                let epoch = members.epoch();
                self.stop(&format!(
                    "this node is no member from epoch {epoch} on, and its ledger ends; `belfry ledger retire` names a successor"
                ));
            }
            _ if !watched => self.phase = Phase::Idle,
            // Who is new is told everything, and what is asked of whom has changed.
            _ => self.digests.clear(),
        }
    }

    /// Forgets what is on its way; towers say again what they hold.
    pub(super) fn forget(&mut self, settings: &Settings) {
        self.cuts.clear();
        self.follower = None;
        self.sent.clear();
        self.digests.clear();
        self.prepared.clear();
        self.backlog = Backlog::default();
        if !matches!(self.phase, Phase::Idle | Phase::Stopped(_)) {
            let rest = Self::new(settings);
            self.phase = rest.phase;
        }
    }

    pub(super) fn disconnected(&mut self, member: MemberIx) {
        self.sent.remove(&member);
        self.digests.remove(&member);
        self.refused.remove(&member);
    }

    /// Whether towers watch this node's ledger.
    pub(super) fn is_watched(&self) -> bool {
        !matches!(self.phase, Phase::Idle)
    }

    pub(super) fn stop(&mut self, why: &str) {
        if !matches!(self.phase, Phase::Stopped(_)) {
            self.phase = Phase::Stopped(why.to_owned());
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped(_))
    }

    /// Whether a prefix is being prepared.
    pub(super) fn has_cuts(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// Entries that a tower holds durably, as it said since this start: in a promise of this incarnation, or by its
    /// mirror line. For people; only the first counts for signing.
    pub(super) fn held_by(&self, member: MemberIx) -> u64 {
        self.held.get(&member).copied().unwrap_or(0)
    }

    /// Why a tower refused the last prepare or digest, for people.
    pub(super) fn refused_by(&self, member: MemberIx) -> Option<&'static str> {
        self.refused.get(&member).map(|reason| reason.text())
    }

    /// A tower says that it holds so many entries.
    pub(super) fn taken_by(&mut self, member: MemberIx, size: u64) {
        self.refused.remove(&member);
        let held = self.held.entry(member).or_default();
        *held = (*held).max(size);
    }

    /// Whether digests are signed, so that this node knows its own newest one.
    pub(super) fn signs(&self) -> bool {
        matches!(self.phase, Phase::Active)
    }

    /// Whether this node knows what it signed before this start.
    pub(super) fn knows_itself(&self) -> bool {
        matches!(
            self.phase,
            Phase::Idle | Phase::Preparing { .. } | Phase::Active
        )
    }

    pub(super) fn may_append(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Active)
    }

    pub(super) fn phase_name(&self) -> String {
        match &self.phase {
            Phase::Idle => "tower".to_owned(),
            Phase::Recovering(_) => "recovering".to_owned(),
            Phase::Adopting(_) => "adopting".to_owned(),
            Phase::Preparing { .. } => "preparing".to_owned(),
            Phase::Active => "active".to_owned(),
            Phase::Stopped(why) => format!("stopped: {why}"),
        }
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Cuts, prepares, signs and pushes digests, as far as is due.
    pub(super) fn replicate(&mut self) -> Result<(), StoreError> {
        // A tower that did not see the adopted digest may hold a tail that contradicts it, and gives that up now.
        if matches!(self.v.factory.phase, Phase::Adopting(_)) {
            return self.push_digests();
        }
        if !matches!(
            self.v.factory.phase,
            Phase::Preparing { .. } | Phase::Active
        ) {
            return Ok(());
        }
        self.cut()?;
        self.send_prepares()?;
        self.push_digests()
    }

    /// Sends every tower what it lacks of the newest cut.
    fn send_prepares(&mut self) -> Result<(), StoreError> {
        let Some(cut) = self.v.factory.cuts.back() else {
            return Ok(());
        };
        let (size, root) = (cut.head.size(), cut.head.root());
        let now = self.now_us();
        let me = self.settings.me;
        let signed = self.own.head.signed.unwrap_or(0);
        let mut made: Option<(u64, super::io::FreeBytes)> = None;
        let towers: Vec<MemberIx> = self.settings.members.towers_of(me).collect();
        for tower in towers {
            let Some(peer) = self.connection(tower).map(str::to_owned) else {
                continue;
            };
            let prepared = self.v.factory.prepared.get(&tower).copied();
            if prepared.is_some_and(|to| to >= size) {
                continue;
            }
            let sent = self.v.factory.sent.get(&tower).copied();
            if sent.is_some_and(|(to, at)| to >= size && now < at.saturating_add(AGAIN_US)) {
                continue;
            }
            // What was sent and not refused is on its way in order; after a pause begin where a digest is.
            let fresh = sent.filter(|(_, at)| now < at.saturating_add(AGAIN_US));
            let from = fresh
                .map(|(to, _)| to)
                .or(prepared)
                .unwrap_or(signed)
                .max(signed)
                .min(size);
            // Addressed to all towers: the same bytes for each that lacks the same entries.
            let bytes = match made.take() {
                Some((begin, bytes)) if begin == from => bytes,
                _ => self.prepare_from(from, size, root)?,
            };
            made = Some((from, bytes.clone()));
            self.v.factory.sent.insert(tower, (size, now));
            let id = self.remember(peer.clone(), What::Prepare { member: tower });
            self.out.free(Free::Request {
                peer,
                id,
                protocol: Protocol::Sync,
                bytes,
            });
        }
        Ok(())
    }

    /// A tower holds a prefix under this incarnation.
    pub(super) fn prepared_answered(
        &mut self,
        tower: MemberIx,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened = self
            .settings
            .open(&self.checks, payload, Kind::Prepared, &me, Some(tower))?;
        let prepared: Prepared = body(&opened.body)?;
        let incarnation = self.settings.incarnation;
        let ours = prepared.origin.as_str() == self.settings.members.name(self.settings.me);
        if !ours
            || prepared.incarnation != incarnation.number
            || prepared.instance != incarnation.instance
        {
            return Err(Bad("other incarnation").into());
        }
        let disk = DiskRef {
            member: self.settings.members.id(tower),
            disk: prepared.disk,
        };
        if self.rests_on_replaced(&[disk])?.is_some() || !self.v.factory.is_steady(tower) {
            return Err(Bad("replaced disk").into());
        }
        match self.v.factory.rests_on.get(&tower) {
            Some(known) if *known == prepared.disk => {}
            Some(_) => {
                self.disk_changed(tower);
                return Ok(());
            }
            None => {
                // It counts from the next prepare on, which names it: then whoever learns that its disk is gone refuses.
                self.note_disk(disk.member, disk.disk, opened.header.incarnation, &[])?;
                self.v.factory.rests_on.insert(tower, prepared.disk);
                self.v.factory.prepared.clear();
                self.v.factory.sent.clear();
                return Ok(());
            }
        }
        let factory = &self.v.factory;
        let signed = self.signed_head()?;
        let known = factory
            .cuts
            .iter()
            .map(|cut| &cut.head)
            .chain([&signed])
            .find(|head| head.size() == prepared.to);
        let Some(head) = known else {
            return Ok(());
        };
        if head.root() != prepared.root {
            return Err(Bad("other root").into());
        }
        self.v.factory.taken_by(tower, prepared.to);
        let to = self.v.factory.prepared.entry(tower).or_default();
        *to = (*to).max(prepared.to);
        Ok(self.sign_ready()?)
    }

    /// Signs the largest cut that k towers hold.
    fn sign_ready(&mut self) -> Result<(), StoreError> {
        // What is ready stays ready, and is signed under the keys that come next (R6).
        if self.keys_ended() || self.is_behind_itself() {
            return Ok(());
        }
        let prepared = &self.v.factory.prepared;
        let held = |tower: MemberIx, size: u64| prepared.get(&tower).is_some_and(|to| *to >= size);
        let Some(ready) = self.v.factory.cuts.iter().rposition(|cut| {
            let size = cut.head.size();
            self.is_enough(size, |tower| held(tower, size))
        }) else {
            return Ok(());
        };
        let factory = &mut self.v.factory;
        let mut head = None;
        for _ in 0..=ready {
            head = factory.cuts.pop_front().map(|cut| cut.head);
        }
        let Some(head) = head else { return Ok(()) };
        let became_active = matches!(factory.phase, Phase::Preparing { .. });
        if became_active {
            factory.phase = Phase::Active;
        }
        self.sign(head)?;
        if became_active {
            self.note_restore()?;
        }
        Ok(())
    }

    /// A tower refused a prepare or a digest.
    pub(super) fn refused(&mut self, tower: MemberIx, payload: &[u8]) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened = self
            .settings
            .open(&self.checks, payload, Kind::Refused, &me, Some(tower))?;
        let refused: Refused = body(&opened.body)?;
        if refused.reason == Reason::Unknown {
            self.v.factory.refused.insert(tower, refused.reason);
            return Ok(());
        }
        if refused.origin.as_str() != self.settings.members.name(self.settings.me) {
            return Err(Bad("not our ledger").into());
        }
        self.v.factory.refused.insert(tower, refused.reason);
        // What was sent did not arrive as a promise: begin again, at its pace.
        let now = self.now_us();
        match refused.reason {
            Reason::HigherIncarnation => self.superseded(refused.evidence.as_slice()),
            Reason::BelowDigest => self.own_shown(refused.evidence.as_slice()),
            // Its own disk is another one: it says which when it asks for marks, and nothing needs showing.
            Reason::ReplacedDisk if refused.evidence.as_slice().is_empty() => Ok(()),
            Reason::ReplacedDisk
                if matches!(
                    self.v.factory.phase,
                    Phase::Preparing { .. } | Phase::Active
                ) =>
            {
                // Without the other tower's own word a liar could keep us recovering for ever.
                let other = self.disk_shown(refused.evidence.as_slice())?;
                self.rest_on_current_disks()?;
                if let Some(other) = other {
                    self.disowned(other, tower);
                }
                Ok(())
            }
            Reason::Gap if refused.held >= self.own.head.signed.unwrap_or(0) => {
                self.v.factory.prepared.remove(&tower);
                self.v.factory.sent.remove(&tower);
                Ok(())
            }
            _ => {
                // It catches up by itself, or it needs a human: ask again after a pause.
                if let Some((_, at)) = self.v.factory.sent.get_mut(&tower) {
                    *at = now;
                }
                Ok(())
            }
        }
    }

    pub(super) fn second_copy(&mut self, incarnation: u64) {
        self.v
            .factory
            .stop("another live copy of this node took over; stop one of the two for good");
        self.alarm(Alarm::SecondCopy { incarnation });
    }

    /// Begins to prepare what was adopted: as one, under this incarnation.
    pub(super) fn begin_preparing(&mut self, cover: u64) {
        let factory = &mut self.v.factory;
        factory.cuts.clear();
        factory.follower = None;
        factory.prepared.clear();
        factory.sent.clear();
        factory.digests.clear();
        factory.phase = Phase::Preparing { cover };
    }
}
