//! Which connections come into being: bans, places in the lobby, duplicates. It stands before every protocol, so
//! whatever it refuses is seen by none of them. It closes nothing and knows no protocol.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol as Part;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use thiserror::Error;

/// Why the door stayed shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("banned")]
    Banned,
    #[error("lobby full")]
    LobbyFull,
    #[error("too many strangers from this address")]
    AddressFull,
    #[error("duplicate connection")]
    Duplicate,
}

impl Refusal {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Banned => "banned",
            Self::LobbyFull => "lobby full",
            Self::AddressFull => "too many strangers from this address",
            Self::Duplicate => "duplicate connection",
        }
    }
}

/// A peer that is connected.
struct Guest {
    connections: usize,
    ip: Option<IpAddr>,
    /// It has a session: some connection to it was accepted at both ends.
    settled: bool,
    admitted: bool,
}

pub(super) struct Door {
    local: PeerId,
    slots: usize,
    slots_per_address: usize,
    guests: HashMap<PeerId, Guest>,
    members: HashSet<PeerId>,
    banned: HashSet<PeerId>,
}

impl Door {
    pub(super) fn new(local: PeerId, slots: usize, slots_per_address: usize) -> Self {
        let guests = HashMap::new();
        Self {
            local,
            slots,
            slots_per_address,
            guests,
            members: HashSet::new(),
            banned: HashSet::new(),
        }
    }

    pub(super) fn set_members(&mut self, members: HashSet<PeerId>) {
        self.members = members;
    }

    pub(super) fn ban(&mut self, peer: PeerId) {
        self.banned.insert(peer);
    }

    pub(super) fn unban(&mut self, peer: &PeerId) {
        self.banned.remove(peer);
    }

    pub(super) fn is_banned(&self, peer: &PeerId) -> bool {
        self.banned.contains(peer)
    }

    pub(super) fn settle(&mut self, peer: &PeerId) {
        if let Some(guest) = self.guests.get_mut(peer) {
            guest.settled = true;
        }
    }

    pub(super) fn admit(&mut self, peer: &PeerId) {
        if let Some(guest) = self.guests.get_mut(peer) {
            guest.admitted = true;
        }
    }

    /// The smaller `PeerId` decides: it keeps what came first. The larger one accepts both until it has seen which
    /// one that is; afterwards a second connection can only be a left-over or a sign that the first is stale.
    fn check_duplicate(&self, peer: &PeerId) -> Result<(), Refusal> {
        match self.guests.get(peer) {
            Some(guest) if self.local < *peer || guest.settled => Err(Refusal::Duplicate),
            _ => Ok(()),
        }
    }

    fn check(&self, peer: &PeerId, address: &Multiaddr) -> Result<(), Refusal> {
        if self.banned.contains(peer) {
            return Err(Refusal::Banned);
        }
        self.check_duplicate(peer)?;
        if self.members.contains(peer) {
            return Ok(());
        }
        let ip = ip_of(address);
        let strangers = self.guests.iter().filter(|(other, guest)| {
            *other != peer && !guest.admitted && !self.members.contains(other)
        });
        let (mut all, mut here) = (0, 0);
        for (_, guest) in strangers {
            all += 1;
            here += usize::from(ip.is_some() && guest.ip == ip);
        }
        if all >= self.slots {
            return Err(Refusal::LobbyFull);
        }
        if here >= self.slots_per_address {
            return Err(Refusal::AddressFull);
        }
        Ok(())
    }
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Part::Ip4(ip) => Some(IpAddr::V4(ip)),
        Part::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    })
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer, remote).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer, remote).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(new) => {
                let ip = ip_of(new.endpoint.get_remote_address());
                let fresh = Guest {
                    connections: 0,
                    ip,
                    settled: false,
                    admitted: false,
                };
                self.guests.entry(new.peer_id).or_insert(fresh).connections += 1;
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(guest) = self.guests.get_mut(&closed.peer_id) {
                    guest.connections -= 1;
                    if guest.connections == 0 {
                        self.guests.remove(&closed.peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
