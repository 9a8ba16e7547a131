//! Which answer belongs to which question, in both directions, and how many are open per peer.
//! It sends nothing by itself and holds no connection.

use std::collections::HashMap;

use libp2p::PeerId;
use libp2p::request_response::{OutboundFailure, OutboundRequestId, ResponseChannel};

use super::api::{InboundId, Protocol, RequestFailure};
use super::codec::Frame;

/// A question of ours.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) peer: PeerId,
    pub(super) id: u64,
}

/// A question of ours that waits until a doomed second connection is gone.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) peer: PeerId,
    pub(super) id: u64,
    pub(super) protocol: Protocol,
    pub(super) bytes: Vec<u8>,
}

/// A peer's question; without a channel its answer is being written.
#[derive(Debug)]
struct Inbound {
    peer: PeerId,
    channel: Option<ResponseChannel<Frame>>,
}

#[derive(Debug)]
pub(super) struct Requests {
    per_peer: usize,
    /// These three are bounded by `per_peer` times the connected peers.
    asked: HashMap<(Protocol, OutboundRequestId), Asked>,
    parked: Vec<Parked>,
    inbound: HashMap<InboundId, Inbound>,
}

impl Requests {
    pub(super) fn new(per_peer: usize) -> Self {
        Self {
            per_peer,
            asked: HashMap::new(),
            parked: Vec::new(),
            inbound: HashMap::new(),
        }
    }

    /// Whether this peer owes us as many answers as allowed.
    pub(super) fn is_busy(&self, peer: &PeerId) -> bool {
        let asked = self
            .asked
            .values()
            .filter(|asked| asked.peer == *peer)
            .count();
        let parked = self
            .parked
            .iter()
            .filter(|parked| parked.peer == *peer)
            .count();
        asked + parked >= self.per_peer
    }

    pub(super) fn sent(&mut self, protocol: Protocol, request: OutboundRequestId, asked: Asked) {
        self.asked.insert((protocol, request), asked);
    }

    pub(super) fn answered(
        &mut self,
        protocol: Protocol,
        request: OutboundRequestId,
    ) -> Option<Asked> {
        self.asked.remove(&(protocol, request))
    }

    pub(super) fn park(&mut self, parked: Parked) {
        self.parked.push(parked);
    }

    pub(super) fn unpark(&mut self, peer: &PeerId) -> Vec<Parked> {
        self.parked
            .extract_if(.., |parked| parked.peer == *peer)
            .collect()
    }

    /// False, and the stream is closed: this peer waits for as many answers as allowed.
    pub(super) fn received(
        &mut self,
        id: InboundId,
        peer: PeerId,
        channel: ResponseChannel<Frame>,
    ) -> bool {
        let waiting = self
            .inbound
            .values()
            .filter(|other| other.peer == peer && other.channel.is_some())
            .count();
        let room = waiting < self.per_peer;
        if room {
            self.inbound.insert(
                id,
                Inbound {
                    peer,
                    channel: Some(channel),
                },
            );
        }
        room
    }

    /// Who asked.
    pub(super) fn asker(&self, id: InboundId) -> Option<PeerId> {
        self.inbound.get(&id).map(|inbound| inbound.peer)
    }

    /// The way to answer, once.
    pub(super) fn take(&mut self, id: InboundId) -> Option<ResponseChannel<Frame>> {
        self.inbound.get_mut(&id)?.channel.take()
    }

    /// Answered in full, or failed.
    pub(super) fn finished(&mut self, id: InboundId) {
        self.inbound.remove(&id);
    }

    /// Whether an answer to this peer is still being written.
    pub(super) fn is_writing(&self, peer: &PeerId) -> bool {
        self.inbound
            .values()
            .any(|inbound| inbound.peer == *peer && inbound.channel.is_none())
    }
}

/// libp2p's reason in our words.
pub(super) fn failure(error: OutboundFailure) -> RequestFailure {
    match error {
        OutboundFailure::DialFailure => RequestFailure::NotConnected,
        OutboundFailure::Timeout => RequestFailure::Timeout,
        OutboundFailure::ConnectionClosed => RequestFailure::ConnectionClosed,
        OutboundFailure::UnsupportedProtocols => RequestFailure::Unsupported,
        OutboundFailure::Io(error) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof => RequestFailure::Declined,
            _ => RequestFailure::Io(error.to_string()),
        },
    }
}
