//! Sessions: which connection is a peer's session, who is admitted, who must go.
//! Plain state: it does no I/O, and time is an argument. Every method says what the event loop must do next.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use super::api::PeerStatus;
use super::members::Members;
use super::params;

/// One connection.
#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    dialed: bool,
    address: String,
    since: Instant,
    pings_lost: u8,
}

/// A connected peer.
#[derive(Debug)]
struct Peer {
    /// At most two, see [`params::CONNECTIONS_PER_PEER`].
    connections: Vec<Connection>,
    /// The connection that is known to be accepted at both ends.
    session: Option<ConnectionId>,
    admitted: bool,
    ping_rtt: Option<Duration>,
    agent: Option<String>,
    /// When the caller asked to disconnect.
    leaving: Option<Instant>,
    /// Shown out of the lobby already.
    expelled: bool,
}

/// A session that began.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Began {
    pub(super) dialed: bool,
    pub(super) address: String,
    /// Connections that the other end has refused or will refuse.
    pub(super) doomed: Vec<ConnectionId>,
}

/// What a closed connection was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The session; close the others with it.
    Session(Vec<ConnectionId>),
    /// The last connection to a peer that never had a session. True: we had dialled it.
    Attempt(bool),
    /// One of several.
    Spare,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: HashMap<PeerId, Peer>,
    pub(super) members: Members,
}

impl Peers {
    pub(super) fn set_members(&mut self, list: Vec<(PeerId, Vec<Multiaddr>)>, now: Instant) {
        let peers = &self.peers;
        self.members.set(list, now, |peer| peers.contains_key(peer));
    }

    pub(super) fn established(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        dialed: bool,
        address: String,
        now: Instant,
    ) {
        self.members.connected(&peer);
        let fresh = Peer {
            connections: Vec::new(),
            session: None,
            admitted: false,
            ping_rtt: None,
            agent: None,
            leaving: None,
            expelled: false,
        };
        let connection = Connection {
            id,
            dialed,
            address,
            since: now,
            pings_lost: 0,
        };
        self.peers
            .entry(peer)
            .or_insert(fresh)
            .connections
            .push(connection);
    }

    /// The peer spoke on this connection, so it accepts it. Only the first such connection becomes the session.
    pub(super) fn spoke(&mut self, peer: &PeerId, id: ConnectionId) -> Option<Began> {
        let peer = self.peers.get_mut(peer)?;
        if peer.session.is_some() {
            return None;
        }
        let connection = peer
            .connections
            .iter()
            .find(|connection| connection.id == id)?;
        peer.session = Some(id);
        let doomed = peer
            .connections
            .iter()
            .map(|other| other.id)
            .filter(|other| *other != id)
            .collect();
        Some(Began {
            dialed: connection.dialed,
            address: connection.address.clone(),
            doomed,
        })
    }

    pub(super) fn closed(&mut self, id: &PeerId, connection: ConnectionId, now: Instant) -> Ended {
        let Some(peer) = self.peers.get_mut(id) else {
            return Ended::Spare;
        };
        let Some(at) = peer
            .connections
            .iter()
            .position(|other| other.id == connection)
        else {
            return Ended::Spare;
        };
        let gone = peer.connections.swap_remove(at);
        let was_session = peer.session == Some(connection);
        let rest: Vec<ConnectionId> = peer.connections.iter().map(|other| other.id).collect();
        let settled = peer.session.is_some();
        let admitted = peer.admitted;
        if was_session {
            peer.session = None;
            peer.admitted = false;
            peer.leaving = None;
        }
        if rest.is_empty() {
            self.peers.remove(id);
            // Who shows us out again and again does not want us, whatever we think of it.
            let lasted = now.saturating_duration_since(gone.since) >= params::SESSION_LASTS;
            self.members.plan(id, admitted && lasted, now);
        }
        match (was_session, settled || !rest.is_empty()) {
            (true, _) => Ended::Session(rest),
            (false, true) => Ended::Spare,
            (false, false) => Ended::Attempt(gone.dialed),
        }
    }

    pub(super) fn dial_failed(&mut self, peer: &PeerId, now: Instant) {
        if !self.peers.contains_key(peer) {
            self.members.plan(peer, false, now);
        }
    }

    /// Members to dial now; see [`Members::due`].
    pub(super) fn due_dials(
        &mut self,
        now: Instant,
        barred: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let peers = &self.peers;
        self.members
            .due(now, |peer| peers.contains_key(peer) || barred(peer))
    }

    /// The connection to open the gate for, if there is a session.
    pub(super) fn admit(&mut self, peer: &PeerId) -> Option<ConnectionId> {
        let peer = self.peers.get_mut(peer)?;
        let session = peer.session?;
        peer.admitted = true;
        Some(session)
    }

    pub(super) fn leave(&mut self, peer: &PeerId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.leaving.get_or_insert(now);
        }
    }

    /// Peers whose grace is over. `writing` tells whether an answer to a peer is still on its way.
    pub(super) fn leavers(&self, now: Instant, writing: impl Fn(&PeerId) -> bool) -> Vec<PeerId> {
        let due = |(peer, state): (&PeerId, &Peer)| {
            let waited = now.saturating_duration_since(state.leaving?);
            let grace = if writing(peer) {
                params::DISCONNECT_GRACE_MAX
            } else {
                params::DISCONNECT_GRACE
            };
            (waited >= grace).then_some(*peer)
        };
        self.peers.iter().filter_map(due).collect()
    }

    /// Peers that have had `patience` and were not admitted; each once.
    pub(super) fn overstayers(&mut self, now: Instant, patience: Duration) -> Vec<PeerId> {
        let mut over = Vec::new();
        for (id, peer) in &mut self.peers {
            let late = peer
                .connections
                .iter()
                .any(|c| now.saturating_duration_since(c.since) >= patience);
            if late && !peer.admitted && !peer.expelled {
                peer.expelled = true;
                over.push(*id);
            }
        }
        over
    }

    /// A second connection was refused. An honest peer dials only while it knows of no connection, so an old session
    /// is one that the peer has lost; a young one may just have met the peer's own dial.
    pub(super) fn is_stale(&self, peer: &PeerId, now: Instant) -> bool {
        let old = |connection: &Connection| {
            now.saturating_duration_since(connection.since) >= params::SIMULTANEOUS
        };
        self.peers
            .get(peer)
            .is_some_and(|peer| peer.connections.iter().all(old))
    }

    /// Whether the connection is dead.
    pub(super) fn pinged(
        &mut self,
        peer: &PeerId,
        id: ConnectionId,
        rtt: Option<Duration>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(peer) else {
            return false;
        };
        let Some(connection) = peer
            .connections
            .iter_mut()
            .find(|connection| connection.id == id)
        else {
            return false;
        };
        match rtt {
            Some(_) => connection.pings_lost = 0,
            None => connection.pings_lost = connection.pings_lost.saturating_add(1),
        }
        peer.ping_rtt = rtt.or(peer.ping_rtt);
        connection.pings_lost >= params::PINGS_LOST
    }

    pub(super) fn has_session(&self, peer: &PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|peer| peer.session.is_some())
    }

    /// A session, and no doomed connection beside it that a request could land on.
    pub(super) fn is_alone(&self, peer: &PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|peer| peer.session.is_some() && peer.connections.len() == 1)
    }

    pub(super) fn is_admitted(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.admitted)
    }

    /// How many are admitted.
    pub(super) fn admitted(&self) -> usize {
        self.peers.values().filter(|peer| peer.admitted).count()
    }

    /// What a peer says of its program, made fit to be shown.
    pub(super) fn says_it_is(&mut self, peer: &PeerId, agent: &str) {
        if let Some(peer) = self.peers.get_mut(peer) {
            let plain = agent.chars().filter(|letter| letter.is_ascii_graphic());
            peer.agent = Some(plain.take(params::AGENT_BYTES).collect());
        }
    }

    pub(super) fn status(&self) -> Vec<PeerStatus> {
        let report = |(id, peer): (&PeerId, &Peer)| {
            let session = peer
                .connections
                .iter()
                .find(|connection| Some(connection.id) == peer.session)?;
            Some(PeerStatus {
                peer: *id,
                address: session.address.clone(),
                dialed: session.dialed,
                member: self.members.contains(id),
                admitted: peer.admitted,
                since: session.since,
                ping_rtt: peer.ping_rtt,
                agent: peer.agent.clone(),
            })
        };
        self.peers.iter().filter_map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (PeerId, ConnectionId, ConnectionId) {
        (
            PeerId::random(),
            ConnectionId::new_unchecked(1),
            ConnectionId::new_unchecked(2),
        )
    }

    #[test]
    fn the_connection_that_speaks_first_is_the_session_and_the_other_is_doomed() {
        let (peer, one, two) = ids();
        let (mut peers, now) = (Peers::default(), Instant::now());
        peers.established(peer, one, true, "a".into(), now);
        peers.established(peer, two, false, "b".into(), now);
        assert!(!peers.has_session(&peer));
        let began = peers.spoke(&peer, two);
        assert_eq!(
            began,
            Some(Began {
                dialed: false,
                address: "b".into(),
                doomed: vec![one]
            })
        );
        assert_eq!(peers.spoke(&peer, one), None);
        assert!(!peers.is_alone(&peer));
        assert_eq!(peers.closed(&peer, one, now), Ended::Spare);
        assert!(peers.is_alone(&peer));
        assert_eq!(peers.closed(&peer, two, now), Ended::Session(vec![]));
        assert!(!peers.has_session(&peer));
    }

    #[test]
    fn a_connection_that_never_speaks_is_a_failed_attempt() {
        let (peer, one, _) = ids();
        let (mut peers, now) = (Peers::default(), Instant::now());
        peers.established(peer, one, true, "a".into(), now);
        assert_eq!(peers.closed(&peer, one, now), Ended::Attempt(true));
    }

    #[test]
    fn only_an_old_session_is_stale_and_two_lost_pings_end_one() {
        let (peer, one, _) = ids();
        let (mut peers, now) = (Peers::default(), Instant::now());
        peers.established(peer, one, true, "a".into(), now);
        assert!(!peers.is_stale(&peer, now + params::SIMULTANEOUS / 2));
        assert!(peers.is_stale(&peer, now + params::SIMULTANEOUS));
        assert!(!peers.pinged(&peer, one, None));
        assert!(!peers.pinged(&peer, one, Some(Duration::from_millis(1))));
        assert!(!peers.pinged(&peer, one, None));
        assert!(peers.pinged(&peer, one, None));
    }
}
