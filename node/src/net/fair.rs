//! What a message costs, in both directions, by its protocol; the counting itself is [`quotas`](super::quotas).
//! It sends and closes nothing.

use std::time::Instant;

use libp2p::PeerId;

use super::api::{NetConfig, Protocol};
use super::quotas::{Quotas, Resource};

/// What peers ask of us, and we of them.
pub(super) struct Fair {
    theirs: Quotas,
    ours: Quotas,
    entries_asked: fn(&[u8]) -> u64,
}

impl Fair {
    pub(super) fn new(config: &NetConfig) -> Self {
        Self {
            theirs: Quotas::new(config.limits.clone()),
            ours: Quotas::new(config.limits.for_sender()),
            entries_asked: config.entries_asked,
        }
    }

    /// A peer asks.
    pub(super) fn asked(
        &mut self,
        peer: &PeerId,
        protocol: Protocol,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Resource> {
        let cost = self.cost(protocol, bytes);
        self.theirs.take(peer, &cost, now)
    }

    /// We are about to ask a peer.
    pub(super) fn asking(
        &mut self,
        peer: &PeerId,
        protocol: Protocol,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Resource> {
        let cost = self.cost(protocol, bytes);
        self.ours.take(peer, &cost, now)
    }

    /// We answer a peer.
    pub(super) fn answering(
        &mut self,
        peer: &PeerId,
        protocol: Protocol,
        length: usize,
        now: Instant,
    ) {
        if matches!(protocol, Protocol::Sync | Protocol::Found) {
            self.theirs
                .owe(peer, Resource::AnswerBytes, length as u64, now);
        }
    }

    /// A peer answered us.
    pub(super) fn answered(
        &mut self,
        peer: &PeerId,
        protocol: Protocol,
        length: usize,
        now: Instant,
    ) {
        if matches!(protocol, Protocol::Sync | Protocol::Found) {
            self.ours
                .owe(peer, Resource::AnswerBytes, length as u64, now);
        }
    }

    /// A peer passed on a gossip message.
    pub(super) fn gossiped(
        &mut self,
        peer: &PeerId,
        length: usize,
        now: Instant,
    ) -> Result<(), Resource> {
        let cost = [
            (Resource::Gossip, 1),
            (Resource::GossipBytes, length as u64),
        ];
        self.theirs.take(peer, &cost, now)
    }

    /// A peer probes our clock.
    pub(super) fn probed(&mut self, peer: &PeerId, now: Instant) -> Result<(), Resource> {
        self.theirs.take(peer, &[(Resource::Probes, 1)], now)
    }

    /// After a message over a quota: whether there were so many that the peer must go.
    pub(super) fn is_flooding(&mut self, peer: &PeerId, now: Instant) -> bool {
        self.theirs
            .take(peer, &[(Resource::Strikes, 1)], now)
            .is_err()
    }

    /// A stranger is gone.
    pub(super) fn forget(&mut self, stranger: &PeerId) {
        self.theirs.forget(stranger);
        self.ours.forget(stranger);
    }

    fn cost(&self, protocol: Protocol, bytes: &[u8]) -> Vec<(Resource, u64)> {
        match protocol {
            Protocol::Hello => vec![(Resource::Hellos, 1)],
            Protocol::Join => vec![(Resource::Joins, 1)],
            Protocol::Found => vec![
                (Resource::Joins, 1),
                (Resource::RequestBytes, bytes.len() as u64),
                (Resource::AnswerBytes, 0),
            ],
            Protocol::Sync => {
                let mut cost = vec![
                    (Resource::Requests, 1),
                    (Resource::RequestBytes, bytes.len() as u64),
                    (Resource::AnswerBytes, 0),
                ];
                match (self.entries_asked)(bytes) {
                    0 => {}
                    entries => cost.push((Resource::Entries, entries)),
                }
                cost
            }
        }
    }
}
