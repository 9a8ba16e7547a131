//! The one task that owns the swarm: commands in, events out, and a tick for everything that depends on time.
//! Nothing here may block: the network of this node stands still meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use libp2p::futures::StreamExt;
use libp2p::gossipsub::{MessageAcceptance, MessageId, PublishError};
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::MissedTickBehavior;

use belfry_protocol::wire::clock::PROBE_BYTES;

use super::api::{NetCommand, NetConfig, NetEvent, Protocol, RequestFailure, Topic, Verdict};
use super::behaviour::{self, Behaviour};
use super::clocks::{self, CLOCK, Clocks};
use super::counters::{Counters, GOSSIP, label};
use super::fair::Fair;
use super::handle::check_free;
use super::params::{self, Topics};
use super::peers::Peers;
use super::probe::{self, Probes, Reply};
use super::relays::Relays;
use super::requests::{Asked, Parked, Requests};

pub(super) struct EventLoop {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) topics: Topics,
    pub(super) peers: Peers,
    pub(super) requests: Requests,
    config: NetConfig,
    commands: mpsc::Receiver<NetCommand>,
    events: mpsc::Sender<NetEvent>,
    /// Events the caller has no room for yet.
    outbox: VecDeque<NetEvent>,
    pub(super) probes: Probes,
    pub(super) clocks: Clocks,
    pub(super) counters: Arc<Counters>,
    pub(super) fair: Fair,
    pub(super) relays: Relays,
}

impl EventLoop {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        topics: Topics,
        config: &NetConfig,
        commands: mpsc::Receiver<NetCommand>,
        events: mpsc::Sender<NetEvent>,
        relays: Relays,
        counters: &Arc<Counters>,
    ) -> Self {
        let requests = Requests::new(config.requests_in_flight_per_peer);
        // The key has moved into the swarm; this copy needs none.
        let config = NetConfig {
            seed: Default::default(),
            ..config.clone()
        };
        let fair = Fair::new(&config);
        let (peers, outbox) = (Peers::default(), VecDeque::new());
        let clocks = Clocks::new(config.probe_every);
        Self {
            swarm,
            topics,
            peers,
            requests,
            config,
            commands,
            events,
            outbox,
            probes: Probes::default(),
            clocks,
            counters: Arc::clone(counters),
            fair,
            relays,
        }
    }

    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(params::TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waiting = self.outbox.len();
            tokio::select! {
                room = async { self.events.reserve().await.is_ok() }, if waiting > 0 => match room {
                    true => self.drain_outbox(),
                    false => break,
                },
                () = self.events.closed() => break,
                command = self.commands.recv(), if waiting < params::OUTBOX_WITH_COMMANDS => match command {
                    Some(NetCommand::Close) | None => break,
                    Some(command) => self.command(command),
                },
                event = self.swarm.select_next_some(), if waiting < params::OUTBOX => self.translate(event),
                _ = tick.tick() => self.tick(Instant::now()),
            }
        }
        Box::pin(self.close()).await;
    }

    /// Events keep their order: nothing overtakes the outbox.
    pub(super) fn emit(&mut self, event: NetEvent) {
        self.outbox.push_back(event);
        self.drain_outbox();
    }

    fn drain_outbox(&mut self) {
        while let Some(event) = self.outbox.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.outbox.push_front(event);
                return;
            }
        }
    }

    /// Whoever knocks cannot fill the caller's queue: while it is full, refusals are only logged.
    pub(super) fn refused(&mut self, peer: Option<PeerId>, why: &'static str) {
        self.refused_at(peer, None, why);
    }

    /// The same for a connection from an address.
    pub(super) fn refused_at(
        &mut self,
        peer: Option<PeerId>,
        address: Option<String>,
        why: &'static str,
    ) {
        tracing::debug!(
            peer = peer.map(tracing::field::display),
            address,
            why,
            "refused"
        );
        let member = peer.filter(|peer| self.peers.members.contains(peer));
        self.counters.refused(member, why);
        if self.outbox.is_empty() {
            self.emit(NetEvent::Refused { peer, address, why });
        } else {
            self.counters.outbox_dropped();
        }
    }

    fn command(&mut self, command: NetCommand) {
        match command {
            NetCommand::Members(list) => self.set_members(list),
            NetCommand::Request {
                peer,
                id,
                protocol,
                bytes,
            } => self.request(Parked {
                peer,
                id,
                protocol,
                bytes,
            }),
            NetCommand::Reply { id, bytes } => {
                let asker = self.requests.asker(id);
                if let (Some(peer), Some(channel)) = (asker, self.requests.take(id)) {
                    let limit = behaviour::frame_limit(id.protocol, &self.config);
                    if bytes.is_empty() || bytes.len() > limit {
                        tracing::error!(
                            ?id,
                            bytes = bytes.len(),
                            limit,
                            "not sending an answer outside its protocol's limits"
                        );
                    } else {
                        self.counters.sent(label(id.protocol), bytes.len());
                        let now = Instant::now();
                        self.fair.answering(&peer, id.protocol, bytes.len(), now);
                        // An error means that the peer no longer waits; libp2p reports that by itself.
                        let _late = self
                            .swarm
                            .behaviour_mut()
                            .requests(id.protocol)
                            .send_response(channel, Ok(bytes));
                    }
                }
            }
            NetCommand::Drop { id } => drop(self.requests.take(id)),
            NetCommand::Publish { topic, bytes } => self.publish(topic, bytes),
            NetCommand::Verdict { id, from, verdict } => {
                let acceptance = match verdict {
                    Verdict::Accept => MessageAcceptance::Accept,
                    Verdict::Ignore => MessageAcceptance::Ignore,
                    Verdict::Reject => MessageAcceptance::Reject,
                };
                self.counters.judged(verdict);
                self.judge(&MessageId::new(&id.0), &from, acceptance);
            }
            NetCommand::Admit(peer) => {
                if let Some(connection) = self.peers.admit(&peer) {
                    let behaviour = self.swarm.behaviour_mut();
                    behaviour.door.admit(&peer);
                    behaviour.gate.open(peer, connection);
                    self.clocks.admitted(peer, Instant::now());
                    self.counters.admitted(self.peers.admitted());
                }
            }
            NetCommand::Disconnect { peer } => self.peers.leave(&peer, Instant::now()),
            NetCommand::Ban(peer) => {
                self.swarm.behaviour_mut().door.ban(peer);
                self.disconnect(peer);
            }
            NetCommand::Unban(peer) => self.swarm.behaviour_mut().door.unban(&peer),
            NetCommand::Status(reply) => {
                // Whoever asked may have gone.
                let _gone = reply.send(self.peers.status());
            }
            NetCommand::Dials(reply) => {
                let _gone = reply.send(self.peers.members.status(Instant::now()));
            }
            NetCommand::Ping { peer, reply } => self.probe(peer, reply),
            NetCommand::MeasureClocks => self.clocks.anew(Instant::now()),
            // Handled where the loop ends.
            NetCommand::Close => {}
        }
    }

    fn set_members(&mut self, mut list: Vec<(PeerId, Vec<Multiaddr>)>) {
        let local = *self.swarm.local_peer_id();
        list.retain(|(peer, _)| *peer != local);
        self.peers.set_members(list, Instant::now());
        let members = self.peers.members.addresses();
        self.swarm.behaviour_mut().door.set_members(members);
        self.dial_due(Instant::now());
    }

    fn request(&mut self, request: Parked) {
        let Parked {
            peer,
            id,
            protocol,
            ref bytes,
        } = request;
        let limit = behaviour::frame_limit(protocol, &self.config);
        let failure = if bytes.is_empty() || bytes.len() > limit {
            Some(RequestFailure::BadSize {
                bytes: bytes.len(),
                limit,
            })
        } else if !self.peers.has_session(&peer) {
            self.peers.members.hurry(&peer, Instant::now());
            Some(RequestFailure::NotConnected)
        } else if protocol == Protocol::Sync && !self.peers.is_admitted(&peer) {
            Some(RequestFailure::NotAdmitted)
        } else if self.requests.is_busy(&peer) {
            Some(RequestFailure::Busy)
        } else if let Err(what) = self.fair.asking(&peer, protocol, bytes, Instant::now()) {
            tracing::debug!(%peer, ?what, "not asking: the peer might refuse this much");
            self.counters.over_quota(what.labels().1);
            Some(RequestFailure::Busy)
        } else {
            None
        };
        match failure {
            Some(failure) => self.emit(NetEvent::Response {
                peer,
                id,
                protocol,
                result: Err(failure),
            }),
            None if self.peers.is_alone(&peer) => self.ask(request),
            None => self.requests.park(request),
        }
    }

    fn probe(&mut self, peer: PeerId, reply: Reply) {
        let failure = if !self.peers.has_session(&peer) {
            self.peers.members.hurry(&peer, Instant::now());
            RequestFailure::NotConnected
        } else if self.probes.is_full() {
            RequestFailure::Busy
        } else {
            let behaviour = &mut self.swarm.behaviour_mut().probe;
            let id = behaviour.send_request(&peer, probe::payload());
            self.probes.sent(id, reply);
            return;
        };
        // Whoever asked may have gone.
        let _gone = reply.send(Err(failure));
    }

    fn ask(&mut self, request: Parked) {
        let Parked {
            peer,
            id,
            protocol,
            bytes,
        } = request;
        self.counters.sent(label(protocol), bytes.len());
        let sent = self
            .swarm
            .behaviour_mut()
            .requests(protocol)
            .send_request(&peer, Ok(bytes));
        self.requests.sent(protocol, sent, Asked { peer, id });
    }

    /// Sends what waited for a doomed connection to go, or fails it if the session went too.
    pub(super) fn unpark(&mut self, peer: &PeerId) {
        let alone = self.peers.is_alone(peer);
        if !alone && self.peers.has_session(peer) {
            return;
        }
        for request in self.requests.unpark(peer) {
            if alone {
                self.ask(request);
            } else {
                let Parked {
                    peer, id, protocol, ..
                } = request;
                self.emit(NetEvent::Response {
                    peer,
                    id,
                    protocol,
                    result: Err(RequestFailure::ConnectionClosed),
                });
            }
        }
    }

    fn publish(&mut self, topic: Topic, bytes: Vec<u8>) {
        let length = bytes.len();
        let Some(hash) = self.topics.hash(topic) else {
            return;
        };
        if length > params::MAX_GOSSIP_BYTES {
            tracing::error!(
                ?topic,
                bytes = length,
                limit = params::MAX_GOSSIP_BYTES,
                "not publishing: too large"
            );
            return;
        }
        match self
            .swarm
            .behaviour_mut()
            .gate
            .inner
            .gossip
            .publish(hash, bytes)
        {
            Ok(_) => self.counters.sent(GOSSIP, length),
            Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {
                tracing::debug!(
                    ?topic,
                    bytes = length,
                    "published to nobody: alone, or said before"
                );
            }
            Err(error) => tracing::warn!(?topic, bytes = length, %error, "publishing failed"),
        }
    }

    pub(super) fn judge(&mut self, id: &MessageId, from: &PeerId, acceptance: MessageAcceptance) {
        let gossip = &mut self.swarm.behaviour_mut().gate.inner.gossip;
        if !gossip.report_message_validation_result(id, from, acceptance) {
            tracing::debug!(message = %id, peer = %from, "a verdict came after the message was forgotten");
        }
    }

    /// Ends all connections of a peer; the swarm reports each.
    pub(super) fn disconnect(&mut self, peer: PeerId) {
        // An error means that it is not connected.
        let _absent = self.swarm.disconnect_peer_id(peer);
    }

    fn tick(&mut self, now: Instant) {
        self.dial_due(now);
        self.listen_through_relays(now);
        self.probe_clocks(now);
        for peer in self.peers.overstayers(now, self.config.lobby_patience) {
            if self.swarm.behaviour().door.is_relay(&peer) {
                continue;
            }
            self.refused(Some(peer), params::OVERSTAYED);
            self.disconnect(peer);
        }
        for peer in self.probes.dead(now) {
            tracing::info!(%peer, "ending a dead session: the peer dialled again and does not answer on the old one");
            self.disconnect(peer);
        }
        let requests = &self.requests;
        for peer in self.peers.leavers(now, |peer| requests.is_writing(peer)) {
            self.disconnect(peer);
        }
    }

    fn probe_clocks(&mut self, now: Instant) {
        for peer in self.clocks.due(now, clocks::draw) {
            if !self.peers.is_alone(&peer) {
                // A doomed second connection is still there.
                self.clocks.ended(&peer);
                continue;
            }
            self.counters.sent(CLOCK, PROBE_BYTES);
            let clock = &mut self.swarm.behaviour_mut().gate.inner.clock;
            let _by_peer = clock.send_request(&peer, ());
        }
    }

    /// A sample is worth little, and the next one comes: while the caller does not read, it is left out.
    pub(super) fn emit_sample(&mut self, event: NetEvent) {
        if self.outbox.is_empty() {
            self.emit(event);
        } else {
            self.counters.outbox_dropped();
        }
    }

    fn listen_through_relays(&mut self, now: Instant) {
        for address in self.relays.due(now) {
            match self.swarm.listen_on(address.clone()) {
                Ok(listener) => self.relays.listens(&address, listener),
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot listen through a relay");
                    self.relays.failed(&address, now);
                }
            }
        }
    }

    fn dial_due(&mut self, now: Instant) {
        let door = &self.swarm.behaviour().door;
        for (peer, addresses) in self.peers.due_dials(now, |peer| door.is_banned(peer)) {
            let options = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                // Two nodes that dial each other from their listening ports would meet in one TCP connection.
                .allocate_new_port()
                .build();
            match self.swarm.dial(options) {
                Ok(()) => {}
                // It connects by itself right now.
                Err(DialError::DialPeerConditionFalse(_)) => self.peers.dial_failed(&peer, now),
                Err(error) => self.dial_failed(peer, error.to_string()),
            }
        }
    }

    pub(super) fn dial_failed(&mut self, peer: PeerId, error: String) {
        self.counters.dial_failed();
        self.peers.members.note_error(&peer, &error);
        self.peers.dial_failed(&peer, Instant::now());
        self.emit(NetEvent::DialFailed { peer, error });
    }

    /// Peers learn of the end at once instead of by a time-out, and the ports are free afterwards.
    async fn close(mut self) {
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            self.disconnect(peer);
        }
        let all_closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        // Whoever does not close in time finds out by itself.
        let _slow = tokio::time::timeout(params::CLOSE_GRACE, all_closed).await;

        let listeners: Vec<Multiaddr> = self.swarm.listeners().cloned().collect();
        let sockets = self.config.wire.is_sockets();
        drop(self);
        if !sockets {
            return;
        }
        // QUIC keeps its socket until its last packets are out.
        let all_free = async {
            while listeners.iter().any(|address| check_free(address).is_err()) {
                tokio::time::sleep(params::PORT_CHECK).await;
            }
        };
        let _busy = tokio::time::timeout(params::CLOSE_GRACE, all_free).await;
    }
}
