//! Keeps the protocols inside it shut for a peer until it is admitted: their streams wait unread, and nothing is
//! sent. It loses nothing: what waits goes on at admission. It knows no protocol and admits nobody by itself.
//!
//! Refusing the streams instead would not do. Two nodes never admit each other in the same instant; gossipsub
//! switches itself off for a connection that once refused it, and a message ignored meanwhile counts as seen.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::params::HELD_STREAMS;

/// A behaviour behind the gate.
pub(super) struct Gate<B> {
    pub(super) inner: B,
    /// Bounded by one order per session: the loop polls after each admission.
    orders: VecDeque<(PeerId, ConnectionId)>,
    /// Bounded by the connections: each reports one at a time, and the loop takes it with the next poll.
    overruns: VecDeque<PeerId>,
}

impl<B> Gate<B> {
    pub(super) fn new(inner: B) -> Self {
        Self {
            inner,
            orders: VecDeque::new(),
            overruns: VecDeque::new(),
        }
    }

    /// Opens the gate for one connection, for as long as it lasts.
    pub(super) fn open(&mut self, peer: PeerId, connection: ConnectionId) {
        self.orders.push_back((peer, connection));
    }
}

/// What comes out of a gated behaviour.
#[derive(Debug)]
pub(super) enum GateEvent<E> {
    Inner(E),
    /// An unadmitted peer opened more streams than may wait; the newest was closed.
    Overrun(PeerId),
}

/// To the handler of one connection.
#[derive(Debug)]
pub(super) enum GateOrder<E> {
    Open,
    Inner(E),
}

/// From the handler of one connection.
#[derive(Debug)]
pub(super) enum GateReport<E> {
    Overrun,
    Inner(E),
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = GateHandler<THandler<B>>;
    type ToSwarm = GateEvent<B::ToSwarm>;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(id, peer, local, remote)
            .map(GateHandler::shut)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner
            .handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_outbound_connection(id, peer, remote, role, port)
            .map(GateHandler::shut)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            GateReport::Inner(event) => self.inner.on_connection_handler_event(peer, id, event),
            GateReport::Overrun => self.overruns.push_back(peer),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer_id, connection)) = self.orders.pop_front() {
            let handler = NotifyHandler::One(connection);
            return Poll::Ready(ToSwarm::NotifyHandler {
                peer_id,
                handler,
                event: GateOrder::Open,
            });
        }
        if let Some(peer) = self.overruns.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(GateEvent::Overrun(peer)));
        }
        self.inner
            .poll(cx)
            .map(|event| event.map_out(GateEvent::Inner).map_in(GateOrder::Inner))
    }
}

/// One connection's share of the gate.
pub(super) struct GateHandler<H: ConnectionHandler> {
    inner: H,
    open: bool,
    held: Vec<FullyNegotiatedInbound<H::InboundProtocol, H::InboundOpenInfo>>,
    overrun: bool,
}

impl<H: ConnectionHandler> GateHandler<H> {
    fn shut(inner: H) -> Self {
        Self {
            inner,
            open: false,
            held: Vec::new(),
            overrun: false,
        }
    }
}

impl<H: ConnectionHandler> ConnectionHandler for GateHandler<H> {
    type FromBehaviour = GateOrder<H::FromBehaviour>;
    type ToBehaviour = GateReport<H::ToBehaviour>;
    type InboundProtocol = H::InboundProtocol;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.inner.listen_protocol()
    }

    /// An admitted peer's connection stays, even while it is quiet and outside the gossip mesh.
    fn connection_keep_alive(&self) -> bool {
        self.open
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<
        ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>,
    > {
        if std::mem::take(&mut self.overrun) {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(GateReport::Overrun));
        }
        if !self.open {
            return Poll::Pending;
        }
        self.inner
            .poll(cx)
            .map(|event| event.map_custom(GateReport::Inner))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner
            .poll_close(cx)
            .map(|event| event.map(GateReport::Inner))
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {
            GateOrder::Inner(event) => self.inner.on_behaviour_event(event),
            GateOrder::Open => {
                self.open = true;
                for stream in self.held.drain(..) {
                    self.inner
                        .on_connection_event(ConnectionEvent::FullyNegotiatedInbound(stream));
                }
            }
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(stream) if !self.open => {
                if self.held.len() < HELD_STREAMS {
                    self.held.push(stream);
                } else {
                    self.overrun = true;
                }
            }
            event => self.inner.on_connection_event(event),
        }
    }
}
