//! Relays that this node listens through, for members that cannot reach it directly: which are in use, and when to ask
//! again after one was lost. Plain state: it does no I/O, and time is an argument.

use std::time::{Duration, Instant};

use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol as Part;
use libp2p::{Multiaddr, PeerId};

use super::api::NetError;
use super::params;

/// One relay.
#[derive(Debug)]
struct Relay {
    /// Ends with `/p2p-circuit`.
    address: Multiaddr,
    listener: Option<ListenerId>,
    failures: u32,
    next: Instant,
}

/// All relays, at most [`params::MAX_RELAYS`].
#[derive(Debug, Default)]
pub(super) struct Relays(Vec<Relay>);

impl Relays {
    /// From addresses like `/ip4/192.0.2.7/tcp/9471/p2p/12D3KooW…`.
    pub(super) fn new(addresses: &[Multiaddr], now: Instant) -> Result<Self, NetError> {
        let refuse = |reason: String| NetError::Setup {
            part: "relays",
            reason,
        };
        if addresses.len() > params::MAX_RELAYS {
            return Err(refuse(format!(
                "at most {} can be used",
                params::MAX_RELAYS
            )));
        }
        let relay = |address: &Multiaddr| {
            let ends_with_id = matches!(address.iter().last(), Some(Part::P2p(_)));
            if !ends_with_id || relay_of(address).is_some() {
                return Err(refuse(format!(
                    "{address} does not end with /p2p/ and the relay's transport id"
                )));
            }
            Ok(Relay {
                address: address.clone().with(Part::P2pCircuit),
                listener: None,
                failures: 0,
                next: now,
            })
        };
        addresses
            .iter()
            .map(relay)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Addresses to listen on now; each is reported by [`Self::listens`] or [`Self::failed`].
    pub(super) fn due(&self, now: Instant) -> Vec<Multiaddr> {
        let due = self
            .0
            .iter()
            .filter(|relay| relay.listener.is_none() && relay.next <= now);
        due.map(|relay| relay.address.clone()).collect()
    }

    pub(super) fn listens(&mut self, address: &Multiaddr, listener: ListenerId) {
        if let Some(relay) = self.0.iter_mut().find(|relay| relay.address == *address) {
            relay.listener = Some(listener);
        }
    }

    /// The relay gave us a place.
    pub(super) fn accepted(&mut self, peer: &PeerId) {
        for relay in &mut self.0 {
            if relay_of(&relay.address) == Some(*peer) {
                relay.failures = 0;
            }
        }
    }

    pub(super) fn failed(&mut self, address: &Multiaddr, now: Instant) {
        if let Some(relay) = self.0.iter_mut().find(|relay| relay.address == *address) {
            relay.listener = None;
            relay.failures = relay.failures.saturating_add(1);
            relay.next = now + pause(relay.failures);
        }
    }

    /// A listener ended; tells whether it was a relay's.
    pub(super) fn closed(&mut self, listener: ListenerId, now: Instant) -> bool {
        let mut all = self.0.iter();
        let Some(relay) = all.find(|relay| relay.listener == Some(listener)) else {
            return false;
        };
        let address = relay.address.clone();
        self.failed(&address, now);
        true
    }
}

fn pause(failures: u32) -> Duration {
    params::RELAY_AGAIN
        .saturating_mul(1 << failures.min(8))
        .min(params::REDIAL_MAX)
}

/// The relay of an address that goes through one.
pub(super) fn relay_of(address: &Multiaddr) -> Option<PeerId> {
    let parts: Vec<Part<'_>> = address.iter().collect();
    let circuit = parts.iter().position(|part| *part == Part::P2pCircuit)?;
    match parts.get(circuit.checked_sub(1)?) {
        Some(Part::P2p(peer)) => Some(*peer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_relay_is_asked_again_with_growing_pauses() {
        let (peer, mut now) = (PeerId::random(), Instant::now());
        let address: Multiaddr = format!("/ip4/192.0.2.7/tcp/1/p2p/{peer}").parse().unwrap();
        let mut relays = Relays::new(std::slice::from_ref(&address), now).unwrap();
        let circuit = address.with(Part::P2pCircuit);
        assert_eq!(relay_of(&circuit), Some(peer));
        for round in 1..12 {
            assert_eq!(relays.due(now).first(), Some(&circuit), "round {round}");
            let listener = ListenerId::next();
            relays.listens(&circuit, listener);
            assert!(relays.due(now + params::REDIAL_MAX).is_empty());
            assert!(relays.closed(listener, now) && !relays.closed(listener, now));
            assert!(relays.due(now + pause(round) / 2).is_empty());
            now += params::REDIAL_MAX;
        }
        relays.accepted(&peer);
        relays.failed(&circuit, now);
        assert_eq!(relays.due(now + pause(1)), [circuit]);
    }

    #[test]
    fn only_an_address_with_the_relays_id_is_a_relay() {
        let peer = PeerId::random();
        for bad in [
            "/ip4/192.0.2.7/tcp/1".to_owned(),
            format!("/ip4/192.0.2.7/tcp/1/p2p/{peer}/p2p-circuit"),
            format!("/ip4/192.0.2.7/tcp/1/p2p/{peer}/p2p-circuit/p2p/{peer}"),
        ] {
            assert!(
                Relays::new(&[bad.parse().unwrap()], Instant::now()).is_err(),
                "{bad}"
            );
        }
    }
}
