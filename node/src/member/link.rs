//! Between the engine on the writer thread and the network on its own: what the engine says goes out here. Drops what does
//! not fit a queue, because peers ask again; never waits on the writer thread.

use super::alarms::{Alarms, Told};
use super::bans::Bans;
use super::lobby::Lobby;
use super::repeats::Repeats;
use super::serving;
use super::verify::{PoolCounts, Snapshot};
use crate::exit::Failure;
use crate::net::{
    self, Counts, InboundId, NetCommand, NetHandle, PeerId, Protocol as NetProtocol,
    Topic as NetTopic, Verdict as NetVerdict,
};
use crate::store::Reader;
use crate::writer::Outlet;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::{Free, Promise, Protocol, Topic, Verdict};
use belfry_protocol::engine::store::Place;
use belfry_protocol::wire::v1::Get;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// Answers with entries that are being read at once.
const SERVING: usize = 4;
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
    /// Also of what happened before the network was there.
    alarms: Arc<Alarms>,
}

/// The way to a network that runs.
#[derive(Clone)]
pub(super) struct Bound {
    pub(super) net: NetHandle,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) open: Arc<dyn Fn() -> Result<Reader, Failure> + Send + Sync>,
    pub(super) inbound: Arc<Mutex<Inbound>>,
    pub(super) serving: Arc<AtomicUsize>,
    pub(super) unsent: Arc<Unsent>,
    pub(super) bans: Arc<Bans>,
    pub(super) pool: Arc<PoolCounts>,
    pub(super) lobby: Arc<Lobby>,
    /// Names of the other members, by transport id.
    pub(super) others: Arc<BTreeMap<PeerId, String>>,
    /// What the log said of them lately.
    pub(super) repeats: Arc<Repeats>,
    /// Commands that found no room.
    pub(super) dropped: Arc<AtomicU64>,
    /// Makes new keys; blocks.
    pub(super) renew: Arc<dyn Fn(u64) + Send + Sync>,
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

    /// The bans, once the network runs.
    #[must_use]
    pub fn bans(&self) -> Option<Arc<Bans>> {
        self.bound().map(|bound| bound.bans)
    }

    /// The newest alarms since the start, oldest first.
    #[must_use]
    pub fn alarms(&self) -> Vec<Told> {
        self.alarms.newest()
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
    pub(super) fn name_of(&self, peer: &PeerId) -> Option<&str> {
        self.others.get(peer).map(String::as_str)
    }

    /// The same for a transport id as the engine writes it.
    fn name_at(&self, peer: &str) -> Option<&str> {
        self.name_of(&peer.parse().ok()?)
    }

    /// How many lines about this peer and reason were left out before this one, if one is to be said now.
    pub(super) fn say_of(&self, peer: Option<&PeerId>, why: &'static str) -> Option<u64> {
        let member = peer.filter(|peer| self.others.contains_key(*peer));
        self.repeats.say(member.copied(), why, Instant::now())
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

    /// Makes new keys beside the engine.
    fn renew(&self, log_from_size: u64) {
        let renew = Arc::clone(&self.renew);
        self.runtime.spawn_blocking(move || renew(log_from_size));
    }

    /// Reads entries beside the engine, a few at a time.
    fn serve(&self, id: u64, place: Place, get: Get) {
        if self.serving.fetch_add(1, Ordering::AcqRel) >= SERVING {
            self.serving.fetch_sub(1, Ordering::AcqRel);
            return self.no_answer(id);
        }
        let this = self.clone();
        self.runtime.spawn_blocking(move || {
            let read = (this.open)().and_then(|reader| serving::answer(&reader, place, &get));
            match read {
                Ok(bytes) => this.reply(id, bytes),
                Err(error) => {
                    tracing::warn!(%error, origin = get.origin.as_str(), "entries could not be served");
                    this.no_answer(id);
                }
            }
            this.serving.fetch_sub(1, Ordering::AcqRel);
        });
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
                };
                let bytes = bytes.into_inner();
                bound.send(NetCommand::Publish { topic, bytes });
            }
            Promise::TakeSerial { log_from_size } => bound.renew(log_from_size),
            Promise::Acked { size } => tracing::debug!(size, "acknowledged by a quorum"),
            Promise::Alarm(_) => {}
        }
    }

    fn members(&mut self, members: &Members) {
        self.members.publish(members);
    }
}
