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

use super::api::NetConfig;
use super::params;
use super::relays::relay_of;

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
    #[error("too many handshakes from strangers")]
    Crowded,
}

impl Refusal {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Banned => "banned",
            Self::LobbyFull => "lobby full",
            Self::AddressFull => "too many strangers from this address",
            Self::Duplicate => "duplicate connection",
            Self::Crowded => "too many handshakes from strangers",
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
    /// Where members are dialled or were admitted from, at most [`params::MEMBER_ADDRESSES`].
    member_ips: HashSet<IpAddr>,
    /// Handshakes from other addresses; bounded by [`params::PENDING_STRANGERS`].
    pending: HashMap<ConnectionId, Option<IpAddr>>,
    banned: HashSet<PeerId>,
    /// Relays of our own, by configuration.
    own_relays: HashSet<PeerId>,
    /// Relays of members, by their addresses in the manifest.
    their_relays: HashSet<PeerId>,
}

impl Door {
    pub(super) fn new(local: PeerId, config: &NetConfig) -> Self {
        Self {
            local,
            slots: config.lobby_slots,
            slots_per_address: config.lobby_slots_per_address,
            guests: HashMap::new(),
            members: HashSet::new(),
            member_ips: HashSet::new(),
            pending: HashMap::new(),
            banned: config.banned.iter().copied().collect(),
            own_relays: config.relays.iter().filter_map(last_peer).collect(),
            their_relays: HashSet::new(),
        }
    }

    /// Members and their addresses. Where one was admitted from before stays known.
    pub(super) fn set_members<'a>(
        &mut self,
        members: impl Iterator<Item = (PeerId, &'a [Multiaddr])>,
    ) {
        self.members.clear();
        self.their_relays.clear();
        for (peer, addresses) in members {
            self.members.insert(peer);
            self.their_relays
                .extend(addresses.iter().filter_map(relay_of));
            for ip in addresses.iter().filter_map(ip_of) {
                self.know(ip);
            }
        }
    }

    fn know(&mut self, ip: IpAddr) {
        if self.member_ips.len() < params::MEMBER_ADDRESSES {
            self.member_ips.insert(ip);
        }
    }

    /// Who knocks is not known before the handshake, but from where is: other addresses than those of members share only
    /// a part of the handshakes there may be, and one address only a small one.
    fn check_pending(&self, ip: Option<IpAddr>) -> Result<(), Refusal> {
        if ip.is_some_and(|ip| self.member_ips.contains(&ip)) {
            return Ok(());
        }
        let here = self.pending.values().filter(|other| **other == ip).count();
        if self.pending.len() >= params::PENDING_STRANGERS || here >= params::PENDING_PER_ADDRESS {
            return Err(Refusal::Crowded);
        }
        Ok(())
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

    /// A relay is no member, and no guest either: it stays without saying hello.
    pub(super) fn is_relay(&self, peer: &PeerId) -> bool {
        self.own_relays.contains(peer) || self.their_relays.contains(peer)
    }

    pub(super) fn settle(&mut self, peer: &PeerId) {
        if let Some(guest) = self.guests.get_mut(peer) {
            guest.settled = true;
        }
    }

    pub(super) fn admit(&mut self, peer: &PeerId) {
        if let Some(guest) = self.guests.get_mut(peer) {
            guest.admitted = true;
            if let Some(ip) = guest.ip {
                self.know(ip);
            }
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
        if self.members.contains(peer) || self.is_relay(peer) {
            return Ok(());
        }
        let ip = ip_of(address);
        let strangers = self.guests.iter().filter(|(other, guest)| {
            *other != peer
                && !guest.admitted
                && !self.members.contains(other)
                && !self.is_relay(other)
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

fn last_peer(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Part::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// Where a peer is; not where its relay is.
fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    if address.iter().any(|part| part == Part::P2pCircuit) {
        return None;
    }
    address.iter().find_map(|part| match part {
        Part::Ip4(ip) => Some(IpAddr::V4(ip)),
        Part::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    })
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let ip = ip_of(remote);
        self.check_pending(ip).map_err(ConnectionDenied::new)?;
        if !ip.is_some_and(|ip| self.member_ips.contains(&ip)) {
            self.pending.insert(id, ip);
        }
        Ok(())
    }

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
            FromSwarm::ListenFailure(failed) => {
                self.pending.remove(&failed.connection_id);
            }
            FromSwarm::ConnectionEstablished(new) => {
                self.pending.remove(&new.connection_id);
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

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn door() -> Door {
        let config = NetConfig::new(Zeroizing::new([1; 32]), "0123abcd".to_owned());
        Door::new(PeerId::random(), &config)
    }

    fn at(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn strangers_cannot_take_the_handshakes_that_are_kept_for_members() {
        let mut door = door();
        let member = [at("/ip4/192.0.2.1/tcp/9471")];
        door.set_members([(PeerId::random(), &member[..])].into_iter());
        let mut knock = |id: usize, from: String| {
            let id = ConnectionId::new_unchecked(id);
            let here = at("/ip4/127.0.0.1/tcp/1");
            door.handle_pending_inbound_connection(id, &here, &at(&from))
                .is_ok()
        };
        let from_one = (0..100).filter(|id| knock(*id, "/ip4/203.0.113.1/tcp/5".to_owned()));
        assert_eq!(from_one.count(), params::PENDING_PER_ADDRESS);
        let from_many = (100..200).filter(|id| knock(*id, format!("/ip4/198.51.100.{id}/tcp/5")));
        let all = from_many.count() + params::PENDING_PER_ADDRESS;
        assert_eq!(all, params::PENDING_STRANGERS);
        assert!(params::PENDING_STRANGERS < params::PENDING_INBOUND as usize);
        assert!((200..264).all(|id| knock(id, "/ip4/192.0.2.1/tcp/777".to_owned())));
    }
}
