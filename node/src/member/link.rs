//! Between the engine on the writer thread and the network on its own: what the engine says goes out here. Drops what does
//! not fit a queue, because peers ask again; never waits on the writer thread.

use super::alarms::{Alarms, Told};
use super::bans::Bans;
use super::lobby::Lobby;
use super::repeats::Repeats;
use super::roster::Roster;
use super::serving;
use super::verify::{PoolCounts, Snapshot};
use super::way::Way;
use crate::drive::Beside;
use crate::exit::Failure;
use crate::net::{
    self, Counts, InboundId, NetCommand, NetHandle, PeerId, Protocol as NetProtocol,
    Topic as NetTopic, Verdict as NetVerdict,
};
use crate::store::Reader;
use crate::writer::Outlet;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::{Free, Input, Promise, Protocol, Topic, Verdict};
use belfry_protocol::engine::store::Place;
use belfry_protocol::manifest::Federation;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::wire::v1::{Get, GetProof};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::Notify;

/// Answers with entries that are being read at once.
const SERVING: usize = 4;
/// Comparisons of this node's own that are being read at once, whatever others ask for.
const COMPARING: usize = 4;
/// Requests of peers that wait for the engine. The transport lets each peer have 8; more means that the engine lost some
/// with a step that failed, and those are the oldest.
const WAITING: usize = 1_024;
/// Requests of ours that never left and were not reported yet; the engine has fewer on their way.
const UNSENT: usize = 1_024;

/// The engine's outlet before and after the network is there.
#[derive(Clone, Default)]
pub struct Link {
    pub(super) bound: Arc<Mutex<Option<Bound>>>,
    pub(super) members: Snapshot,
    /// The newest epoch in force, once the engine runs.
    federation: Arc<RwLock<Option<Arc<Federation>>>>,
    /// Also of what happened before the network was there.
    alarms: Arc<Alarms>,
    /// To the ceremony beside the engine.
    pub(super) ceremony: Arc<Way>,
}

/// Makes the file of a window durable in the directory of a node.
pub(super) type Keep = dyn Fn(Hash, &[u8]) -> std::io::Result<()> + Send + Sync;

/// The way to a network that runs.
#[derive(Clone)]
pub(super) struct Bound {
    pub(super) net: NetHandle,
    /// Reads, and writes of files.
    pub(super) beside: Beside,
    pub(super) open: Arc<dyn Fn() -> Result<Reader, Failure> + Send + Sync>,
    pub(super) inbound: Arc<Mutex<Inbound>>,
    pub(super) serving: Arc<AtomicUsize>,
    pub(super) comparing: Arc<AtomicUsize>,
    pub(super) unsent: Arc<Unsent>,
    pub(super) bans: Arc<Bans>,
    pub(super) pool: Arc<PoolCounts>,
    pub(super) lobby: Arc<Lobby>,
    /// The other members, as the transport is to know them.
    pub(super) roster: Arc<Roster>,
    /// What the log said of them lately.
    pub(super) repeats: Arc<Repeats>,
    /// To the ceremony beside the engine.
    pub(super) ceremony: Arc<Way>,
    /// Commands that found no room.
    pub(super) dropped: Arc<AtomicU64>,
    /// Hands the engine an input; `false` when there is no room.
    pub(super) tell: Arc<dyn Fn(Input) -> bool + Send + Sync>,
    /// Makes new keys; blocks.
    pub(super) renew: Arc<dyn Fn() + Send + Sync>,
    /// Makes the file of a window durable; blocks.
    pub(super) keep: Arc<Keep>,
}

/// Requests of peers that wait for an answer, by our number.
#[derive(Default)]
pub(super) struct Inbound {
    next: u64,
    waiting: BTreeMap<u64, InboundId>,
}

impl Inbound {
    /// Our number for a request, and the one that was given up for it, if too many wait.
    pub(super) fn number(&mut self, id: InboundId) -> (u64, Option<InboundId>) {
        self.next += 1;
        self.waiting.insert(self.next, id);
        let oldest = (self.waiting.len() > WAITING).then(|| self.waiting.pop_first());
        (self.next, oldest.flatten().map(|(_, id)| id))
    }
}

/// Requests that never left: the engine waits for their answers until it is told.
#[derive(Default)]
pub(super) struct Unsent {
    list: Mutex<Vec<(String, u64)>>,
    pub(super) some: Notify,
}

impl Unsent {
    fn add(&self, peer: &str, id: u64) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < UNSENT {
            list.push((peer.to_owned(), id));
        }
        self.some.notify_one();
    }

    /// Peers and our numbers, each once.
    pub(super) fn take(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Link {
    pub(super) fn bound(&self) -> Option<Bound> {
        self.bound
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Link {
    /// The network, once it runs.
    #[must_use]
    pub fn net(&self) -> Option<NetHandle> {
        self.bound().map(|bound| bound.net)
    }

    /// The way to the ceremony beside the engine.
    #[cfg(feature = "http")]
    pub(crate) fn ceremony(&self) -> Arc<Way> {
        Arc::clone(&self.ceremony)
    }

    /// The bans, once the network runs.
    #[must_use]
    pub fn bans(&self) -> Option<Arc<Bans>> {
        self.bound().map(|bound| bound.bans)
    }

    /// Who is who, as the engine knew it after its last step; `None` before the first.
    #[must_use]
    pub fn members(&self) -> Option<Arc<Members>> {
        self.members.get()
    }

    /// The newest epoch in force; `None` before the engine's first step.
    #[must_use]
    pub fn federation(&self) -> Option<Arc<Federation>> {
        let newest = self.federation.read();
        newest.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest alarms since the start, oldest first.
    #[must_use]
    pub fn alarms(&self) -> Vec<Told> {
        self.alarms.newest()
    }

    /// The alarms themselves, for whoever raises some beside the engine.
    pub(crate) fn alarms_cell(&self) -> Arc<Alarms> {
        Arc::clone(&self.alarms)
    }

    /// What passed between engine and network so far, once the network runs.
    #[must_use]
    pub fn traffic(&self) -> Option<Traffic> {
        let bound = self.bound()?;
        Some(Traffic {
            net: bound.net.counters().read(),
            verifier_dropped: bound.pool.dropped.load(Ordering::Relaxed),
            verifier_waited: bound.pool.waited.load(Ordering::Relaxed),
            commands_dropped: bound.dropped.load(Ordering::Relaxed),
            alarms: self.alarms.counts(),
        })
    }
}

/// What passed between engine and network since the start.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// What the transport counted.
    pub net: Counts,
    /// Gossip that found no room before a verifier.
    pub verifier_dropped: u64,
    /// Other messages that waited for room there.
    pub verifier_waited: u64,
    /// What the engine said and the transport had no room for.
    pub commands_dropped: u64,
    /// Alarms, by kind.
    pub alarms: net::Tally,
}

impl Bound {
    /// What the manifest calls a peer, if it is a member.
    pub(super) fn name_of(&self, peer: &PeerId) -> Option<String> {
        self.roster.name_of(peer)
    }

    /// The same for a transport id as the engine writes it.
    fn name_at(&self, peer: &str) -> Option<String> {
        self.name_of(&peer.parse().ok()?)
    }

    /// How many lines about this peer and reason were left out before this one, if one is to be said now.
    pub(super) fn say_of(&self, peer: Option<&PeerId>, why: &'static str) -> Option<u64> {
        let member = peer.filter(|peer| self.name_of(peer).is_some());
        self.repeats.say(member.copied(), why, Instant::now())
    }

    /// Tells the transport whom to stay connected to, if that changed; without room it is told again.
    pub(super) fn send_roster(&self) {
        self.roster
            .tell(|list| self.net.try_send(NetCommand::Members(list)).is_ok());
    }

    /// Says what was left out of the log and is due.
    pub(super) fn say_owed(&self) {
        for (peer, why, left_out) in self.repeats.owed(Instant::now()) {
            let member = peer.as_ref().and_then(|peer| self.name_of(peer));
            let peer = peer.map(tracing::field::display);
            tracing::warn!(
                peer,
                member,
                reason = why,
                left_out,
                "refused more of the same"
            );
        }
    }

    fn refused(&self, peer: &str, why: &'static str, relayed: bool) {
        let Some(left_out) = self.say_of(peer.parse().ok().as_ref(), why) else {
            return;
        };
        let member = self.name_at(peer);
        if relayed {
            tracing::warn!(%peer, member, reason = why, left_out, "refused gossip that this peer passed on");
        } else {
            tracing::warn!(%peer, member, reason = why, left_out, "refused a message");
        }
    }

    fn hello_failed(&self, peer: &str, why: &str) {
        if let Some(left_out) = self.say_of(peer.parse().ok().as_ref(), "hello failed") {
            let member = self.name_at(peer);
            tracing::warn!(%peer, member, %why, left_out, "hello failed");
        }
    }

    pub(super) fn send(&self, command: NetCommand) {
        if self.net.try_send(command).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::debug!("a message was dropped: the network's queue is full");
        }
    }

    fn take(&self, id: u64) -> Option<InboundId> {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        inbound.waiting.remove(&id)
    }

    fn reply(&self, id: u64, bytes: Vec<u8>) {
        if let Some(id) = self.take(id) {
            self.send(NetCommand::Reply { id, bytes });
        }
    }

    fn no_answer(&self, id: u64) {
        if let Some(id) = self.take(id) {
            self.send(NetCommand::Drop { id });
        }
    }

    /// Every request gets one response, also one that never left: the engine waits for it.
    fn request(&self, peer: &str, id: u64, protocol: NetProtocol, bytes: Vec<u8>) {
        let sent = peer.parse().is_ok_and(|peer| {
            let request = NetCommand::Request {
                peer,
                id,
                protocol,
                bytes,
            };
            self.net.try_send(request).is_ok()
        });
        if !sent {
            tracing::debug!(%peer, "a request was dropped: the network's queue is full");
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.unsent.add(peer, id);
        }
    }

    /// Makes the file of a window durable beside the engine, which asks again if it hears nothing.
    fn keep_window(&self, hash: Hash, bytes: Vec<u8>) {
        let this = self.clone();
        self.beside.spawn(move || {
            if let Err(error) = (this.keep)(hash, &bytes) {
                tracing::error!(%error, window = hash.to_hex(), "the acks of a window could not be kept; trying again in a minute");
            } else if !(this.tell)(Input::WindowKept { hash }) {
                tracing::debug!("a window found no room before the engine");
            }
        });
    }

    /// Makes new keys beside the engine.
    fn renew(&self) {
        let renew = Arc::clone(&self.renew);
        self.beside.spawn(move || renew());
    }

    /// Reads beside the engine, a few at a time; `false` when too many do.
    fn read_beside(
        &self,
        (reading, most): (&Arc<AtomicUsize>, usize),
        work: impl FnOnce(&Self) + Send + 'static,
    ) -> bool {
        if reading.fetch_add(1, Ordering::AcqRel) >= most {
            reading.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        let (this, reading) = (self.clone(), Arc::clone(reading));
        self.beside.spawn(move || {
            work(&this);
            reading.fetch_sub(1, Ordering::AcqRel);
        });
        true
    }

    /// Answers with what is read beside the engine.
    fn answer(
        &self,
        id: u64,
        origin: String,
        read: impl FnOnce(&Reader) -> Result<Vec<u8>, Failure> + Send + 'static,
    ) {
        let began = self.read_beside((&self.serving, SERVING), move |this| {
            match (this.open)().and_then(|reader| read(&reader)) {
                Ok(bytes) => this.reply(id, bytes),
                Err(error) => {
                    tracing::warn!(%error, origin, "what was asked for could not be read");
                    this.no_answer(id);
                }
            }
        });
        if !began {
            self.no_answer(id);
        }
    }

    fn serve(&self, id: u64, place: Place, get: Get) {
        let origin = get.origin.as_str().to_owned();
        self.answer(id, origin, move |reader| {
            serving::answer(reader, place, &get)
        });
    }

    fn prove(&self, id: u64, place: Place, get: GetProof) {
        let origin = get.origin.as_str().to_owned();
        self.answer(id, origin, move |reader| {
            Ok(serving::prove(reader, place, &get))
        });
    }

    /// Without an answer the engine asks again.
    fn compare(&self, question: u64, place: Place, origin: String, sizes: (u64, u64)) {
        let began = self.read_beside((&self.comparing, COMPARING), move |this| {
            let reader = (this.open)();
            let nodes = reader
                .ok()
                .and_then(|reader| serving::nodes(&reader, place, &origin, sizes));
            if !(this.tell)(Input::Compared { question, nodes }) {
                tracing::debug!(origin, "a comparison found no room before the engine");
            }
        });
        if !began {
            tracing::debug!("a comparison waits: too many are being made");
        }
    }
}

impl Outlet for Link {
    fn free(&mut self, output: Free) {
        let Some(bound) = self.bound() else { return };
        match output {
            Free::Request {
                peer,
                id,
                protocol,
                bytes,
            } => {
                let protocol = match protocol {
                    Protocol::Hello => NetProtocol::Hello,
                    Protocol::Sync => NetProtocol::Sync,
                };
                bound.request(&peer, id, protocol, bytes.into_inner());
            }
            Free::Reply { id, bytes } => bound.reply(id, bytes.into_inner()),
            Free::Serve { id, place, get } => bound.serve(id, place, get),
            Free::Prove { id, place, get } => bound.prove(id, place, get),
            Free::Compare {
                question,
                place,
                origin,
                smaller,
                larger,
            } => bound.compare(question, place, origin, (smaller, larger)),
            Free::NoAnswer { id } => bound.no_answer(id),
            Free::Verdict { id, peer, verdict } => {
                let verdict = match verdict {
                    Verdict::Accept => NetVerdict::Accept,
                    Verdict::Ignore => NetVerdict::Ignore,
                    Verdict::Reject => NetVerdict::Reject,
                };
                if let Ok(from) = peer.parse() {
                    let id = net::GossipId(id);
                    bound.send(NetCommand::Verdict { id, from, verdict });
                }
            }
            Free::Admit { peer } => {
                let member = bound.name_at(&peer);
                tracing::info!(%peer, member, "a member said hello");
                if let Ok(peer) = peer.parse() {
                    bound.send(NetCommand::Admit(peer));
                }
            }
            Free::KeepWindow { hash, bytes } => bound.keep_window(hash, bytes),
            Free::MeasureClocks => bound.send(NetCommand::MeasureClocks),
            Free::Refused { peer, why, relayed } => bound.refused(&peer, why, relayed),
            Free::Disconnect { peer, why } => {
                bound.hello_failed(&peer, &why);
                if let Ok(peer) = peer.parse() {
                    bound.send(NetCommand::Disconnect { peer });
                }
            }
        }
    }

    fn promise(&mut self, output: Promise) {
        if let Promise::Alarm(alarm) = &output {
            self.alarms.tell(alarm);
        }
        let Some(bound) = self.bound() else { return };
        match output {
            Promise::Reply { id, bytes } => bound.reply(id, bytes.into_inner()),
            Promise::Request { peer, id, bytes } => {
                bound.request(&peer, id, NetProtocol::Sync, bytes.into_inner());
            }
            Promise::Publish { topic, bytes } => {
                let topic = match topic {
                    Topic::Digests => NetTopic::Digests,
                    Topic::Acks => NetTopic::Acks,
                    Topic::Alarms => NetTopic::Alarms,
                };
                let bytes = bytes.into_inner();
                bound.send(NetCommand::Publish { topic, bytes });
            }
            // The size is read again when they are made: steps may come between.
            Promise::TakeSerial { .. } => bound.renew(),
            Promise::Acked { size } => tracing::debug!(size, "acknowledged by a quorum"),
            // Answered by the writer.
            Promise::Alarm(_) | Promise::Witnessed { .. } => {}
        }
    }

    fn members(&mut self, members: &Members) {
        self.members.publish(members);
        let newest = members.federation();
        if self
            .federation()
            .is_none_or(|known| known.hash() != newest.hash())
        {
            let newest = Some(Arc::new(newest.clone()));
            *self
                .federation
                .write()
                .unwrap_or_else(PoisonError::into_inner) = newest;
        }
        if let Some(bound) = self.bound() {
            bound.roster.enroll(members, bound.net.local_peer());
            bound.send_roster();
        }
    }
}
