//! From libp2p's events to ours. Each is recorded in the tables first and told to the caller second.
//! It starts nothing that waits.

use std::time::{Duration, Instant};

use belfry_protocol::wire::clock::{PROBE_ANSWER_BYTES, PROBE_BYTES};
use libp2p::core::ConnectedPoint;
use libp2p::gossipsub::{self, MessageAcceptance};
use libp2p::request_response::{self, Message};
use libp2p::swarm::{ConnectionId, ListenError, SwarmEvent};
use libp2p::{
    Multiaddr, PeerId, connection_limits, identify, mdns, memory_connection_limits, ping, relay,
};

use super::api::{GossipId, InboundId, NetEvent, Protocol, RequestFailure};
use super::behaviour::{BehaviourEvent, MembersOnlyEvent};
use super::clocks::{CLOCK, ClockEvent};
use super::codec::{Frame, TooLong};
use super::counters::{GOSSIP, label};
use super::dial_error::{describe, is_duplicate};
use super::door::Refusal;
use super::event_loop::EventLoop;
use super::gate::GateEvent;
use super::peers::Ended;
use super::probe;
use super::quotas::Resource;
use super::requests;

type Channel = request_response::ResponseChannel<Frame>;
type RequestEvent = request_response::Event<Frame, Frame>;

impl EventLoop {
    pub(super) fn translate(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.behaviour_event(event),
            SwarmEvent::NewListenAddr { address, .. } => self.emit(NetEvent::Listening(address)),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                let dialed = matches!(endpoint, ConnectedPoint::Dialer { .. });
                let address = endpoint.get_remote_address().to_string();
                self.peers
                    .established(peer_id, connection_id, dialed, address, Instant::now());
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => {
                let reason = cause.map_or_else(
                    || "closed by this node".to_owned(),
                    |cause| cause.to_string(),
                );
                self.connection_closed(peer_id, connection_id, reason);
            }
            SwarmEvent::IncomingConnectionError {
                peer_id,
                send_back_addr,
                error,
                ..
            } => self.not_let_in(peer_id, &send_back_addr, &error),
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                if is_duplicate(&error) {
                    self.peers.dial_failed(&peer, Instant::now());
                } else {
                    self.dial_failed(peer, describe(&error));
                }
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener had an error")
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } if self.relays.closed(listener_id, Instant::now()) => {
                tracing::warn!(?reason, "lost a relay; asking again");
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                tracing::error!(?addresses, ?reason, "no longer listening");
            }
            _ => {}
        }
    }

    fn behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            // The first thing said on every connection: proof that the other end accepted it.
            BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                connection_id,
                info,
            }) => {
                self.peers.says_it_is(&peer_id, &info.agent_version);
                self.spoke(peer_id, connection_id);
            }
            BehaviourEvent::Relay(relay::client::Event::ReservationReqAccepted {
                relay_peer_id,
                ..
            }) => self.relays.accepted(&relay_peer_id),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                // Whoever is no member is nobody here, wherever it is.
                for (peer, address) in found {
                    self.peers.members.found(&peer, address, Instant::now());
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Expired(gone)) => {
                for (peer, address) in gone {
                    self.peers.members.lost(&peer, &address);
                }
            }
            BehaviourEvent::Probe(event) => self.probed(event),
            BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result,
            }) => {
                let rtt = match result {
                    Ok(rtt) => Some(rtt),
                    Err(ping::Failure::Timeout) => None,
                    Err(_) => return,
                };
                if self.peers.pinged(&peer, connection, rtt) {
                    tracing::info!(%peer, "closing a connection that no longer answers pings");
                    self.swarm.close_connection(connection);
                }
            }
            BehaviourEvent::Hello(event) => self.request_event(Protocol::Hello, event),
            BehaviourEvent::Join(event) => self.request_event(Protocol::Join, event),
            BehaviourEvent::Found(event) => self.request_event(Protocol::Found, event),
            BehaviourEvent::Gate(GateEvent::Inner(MembersOnlyEvent::Sync(event))) => {
                self.request_event(Protocol::Sync, event);
            }
            BehaviourEvent::Gate(GateEvent::Inner(MembersOnlyEvent::Clock(event))) => {
                self.clock_event(event);
            }
            BehaviourEvent::Gate(GateEvent::Inner(MembersOnlyEvent::Gossip(event))) => {
                self.gossip_event(event)
            }
            BehaviourEvent::Gate(GateEvent::Overrun(peer)) => {
                self.refused(Some(peer), "too many streams before hello")
            }
            _ => {}
        }
    }

    fn probed(&mut self, event: request_response::Event<[u8; 32], Duration>) {
        match event {
            request_response::Event::Message {
                message:
                    Message::Response {
                        request_id,
                        response,
                    },
                ..
            } => self.probes.answered(request_id, Ok(response)),
            request_response::Event::OutboundFailure {
                request_id, error, ..
            } => self
                .probes
                .answered(request_id, Err(requests::failure(error))),
            _ => {}
        }
    }

    /// Answers need nobody: the codec holds the probe and reads the time while it writes.
    fn clock_event(&mut self, event: ClockEvent) {
        match event {
            request_response::Event::Message {
                peer,
                message: Message::Request { channel, .. },
                ..
            } => {
                self.counters.received(CLOCK, PROBE_BYTES);
                let now = Instant::now();
                if let Err(what) = self.fair.probed(&peer, now) {
                    self.over_quota(peer, what, now);
                    return;
                }
                self.counters.sent(CLOCK, PROBE_ANSWER_BYTES);
                let clock = &mut self.swarm.behaviour_mut().gate.inner.clock;
                // An error means that the peer no longer waits.
                let _late = clock.send_response(channel, None);
            }
            request_response::Event::Message {
                peer,
                message: Message::Response { response, .. },
                ..
            } => {
                self.counters.received(CLOCK, PROBE_ANSWER_BYTES);
                self.clocks.ended(&peer);
                if let Some(stamps) = response {
                    self.emit_sample(NetEvent::Clock { peer, stamps });
                }
            }
            request_response::Event::OutboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a probe of a clock was not answered");
                self.clocks.ended(&peer);
            }
            _ => {}
        }
    }

    fn spoke(&mut self, peer: PeerId, connection: ConnectionId) {
        let Some(began) = self.peers.spoke(&peer, connection) else {
            return;
        };
        for doomed in began.doomed {
            self.swarm.close_connection(doomed);
        }
        self.swarm.behaviour_mut().door.settle(&peer);
        self.emit(NetEvent::Up {
            peer,
            dialed: began.dialed,
            address: began.address,
        });
    }

    fn connection_closed(&mut self, peer: PeerId, connection: ConnectionId, reason: String) {
        match self.peers.closed(&peer, connection, Instant::now()) {
            Ended::Session(rest) => {
                // What remains, if anything, belongs to no session; the next dial starts a clean one.
                for connection in rest {
                    self.swarm.close_connection(connection);
                }
                self.unpark(&peer);
                self.probes.forget(&peer);
                self.clocks.gone(&peer);
                if !self.peers.members.contains(&peer) {
                    self.fair.forget(&peer);
                }
                self.counters.admitted(self.peers.admitted());
                self.emit(NetEvent::Down { peer, reason });
            }
            Ended::Attempt(true) => {
                let error = format!("connected, then refused: {reason}");
                self.counters.dial_failed();
                self.peers.members.note_error(&peer, &error);
                self.emit(NetEvent::DialFailed { peer, error });
            }
            Ended::Attempt(false) => {}
            Ended::Spare => self.unpark(&peer),
        }
    }

    fn not_let_in(&mut self, peer: Option<PeerId>, from: &Multiaddr, error: &ListenError) {
        let why = match error {
            ListenError::Denied { cause } => {
                if let Some(refusal) = cause.downcast_ref::<Refusal>() {
                    if *refusal == Refusal::Duplicate {
                        self.duplicate(peer);
                        return;
                    }
                    refusal.label()
                } else if cause
                    .downcast_ref::<connection_limits::Exceeded>()
                    .is_some()
                {
                    "connection limit"
                } else if cause
                    .downcast_ref::<memory_connection_limits::MemoryUsageLimitExceeded>()
                    .is_some()
                {
                    "memory limit"
                } else {
                    "denied"
                }
            }
            ListenError::LocalPeerId { .. } => "our own transport key",
            _ => "handshake failed",
        };
        self.refused_at(peer, Some(from.to_string()), why);
    }

    fn duplicate(&mut self, peer: Option<PeerId>) {
        let Some(peer) = peer else { return };
        if self.peers.is_stale(&peer, Instant::now()) {
            tracing::info!(%peer, "ending a session that the peer no longer knows: it dialled again");
            self.disconnect(peer);
        } else if self.peers.has_session(&peer) && !self.probes.is_doubted(&peer) {
            // Both dialled at once, or the peer has just started again: a ping tells.
            let behaviour = &mut self.swarm.behaviour_mut().probe;
            let id = behaviour.send_request(&peer, probe::payload());
            self.probes.doubted(peer, id, Instant::now());
        }
    }

    fn request_event(&mut self, protocol: Protocol, event: RequestEvent) {
        match event {
            request_response::Event::Message {
                peer,
                connection_id,
                message,
            } => {
                self.spoke(peer, connection_id);
                match message {
                    Message::Request {
                        request_id,
                        request,
                        channel,
                    } => {
                        let id = InboundId {
                            protocol,
                            request: request_id,
                        };
                        self.inbound(peer, id, request, channel);
                    }
                    Message::Response {
                        request_id,
                        response,
                    } => {
                        if let Some(asked) = self.requests.answered(protocol, request_id) {
                            let length = response.as_ref().map_or(0, Vec::len);
                            self.counters.received(label(protocol), length);
                            self.fair.answered(&peer, protocol, length, Instant::now());
                            let result =
                                response.map_err(|TooLong| RequestFailure::ResponseTooLarge);
                            self.emit(NetEvent::Response {
                                peer,
                                id: asked.id,
                                protocol,
                                result,
                            });
                        }
                    }
                }
            }
            request_response::Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                if let Some(asked) = self.requests.answered(protocol, request_id) {
                    let result = Err(requests::failure(error));
                    self.emit(NetEvent::Response {
                        peer,
                        id: asked.id,
                        protocol,
                        result,
                    });
                }
            }
            request_response::Event::InboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                self.requests.finished(InboundId {
                    protocol,
                    request: request_id,
                });
                tracing::debug!(%peer, ?protocol, %error, "a request ended without an answer");
            }
            request_response::Event::ResponseSent { request_id, .. } => {
                self.requests.finished(InboundId {
                    protocol,
                    request: request_id,
                });
            }
        }
    }

    /// Letting the channel go closes the stream without an answer.
    fn inbound(&mut self, peer: PeerId, id: InboundId, request: Frame, channel: Channel) {
        let protocol = id.protocol;
        match request {
            Err(TooLong) => {
                // An error means that the peer has given up already.
                let _late = self
                    .swarm
                    .behaviour_mut()
                    .requests(protocol)
                    .send_response(channel, Err(TooLong));
                self.refused(Some(peer), "oversized request");
            }
            Ok(_) if protocol == Protocol::Sync && !self.peers.is_admitted(&peer) => {
                self.refused(Some(peer), "sync before hello");
            }
            Ok(bytes) => {
                self.counters.received(label(protocol), bytes.len());
                let now = Instant::now();
                if let Err(what) = self.fair.asked(&peer, protocol, &bytes, now) {
                    self.over_quota(peer, what, now);
                } else if self.requests.received(id, peer, channel) {
                    self.emit(NetEvent::Request {
                        peer,
                        id,
                        protocol,
                        bytes,
                    });
                } else {
                    self.refused(Some(peer), "too many requests at once");
                }
            }
        }
    }

    /// The request is not answered. Whoever goes on all the same is disconnected, and nothing worse: it may be broken.
    fn over_quota(&mut self, peer: PeerId, what: Resource, now: Instant) {
        self.counters.over_quota(what.labels().0);
        self.refused(Some(peer), "over quota");
        if self.fair.is_flooding(&peer, now) {
            self.refused(Some(peer), "flooding");
            self.disconnect(peer);
        }
    }

    fn gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source: from,
                message_id,
                message,
            } => {
                self.counters.received(GOSSIP, message.data.len());
                let length = message.data.len();
                if let Err(what) = self.fair.gossiped(&from, length, Instant::now()) {
                    // It may only pass on what others wrote, so it is not blamed.
                    self.counters.over_quota(what.labels().0);
                    self.judge(&message_id, &from, MessageAcceptance::Ignore);
                    return;
                }
                let id = <[u8; 20]>::try_from(message_id.0.as_slice()).map(GossipId);
                match (self.topics.of_hash(&message.topic), id) {
                    (Some(topic), Ok(id)) if self.peers.is_admitted(&from) => {
                        self.emit(NetEvent::Gossip {
                            from,
                            id,
                            topic,
                            bytes: message.data,
                        });
                    }
                    // Its session ended while the message was on its way.
                    _ => self.judge(&message_id, &from, MessageAcceptance::Ignore),
                }
            }
            gossipsub::Event::Subscribed {
                peer_id: peer,
                topic,
            } => {
                if let Some(topic) = self.topics.of_hash(&topic) {
                    self.emit(NetEvent::Subscribed { peer, topic });
                }
            }
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                tracing::warn!(peer = %peer_id, "an admitted peer does not speak gossipsub");
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::info!(peer = %peer_id, "gossip to this peer is dropped: it reads too slowly");
            }
            gossipsub::Event::Unsubscribed { .. } => {}
        }
    }
}
