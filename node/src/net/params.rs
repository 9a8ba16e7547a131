//! Every limit and period of the transport with its reason, and the settings of gossip.
//! Nothing here decides anything.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use libp2p::gossipsub::{
    self, ConfigBuilder, IdentTopic, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId,
    PeerScoreParams, PeerScoreThresholds, TopicHash, TopicScoreParams, ValidationMode,
    WhitelistSubscriptionFilter,
};
use sha2::{Digest, Sha256};

use belfry_protocol::wire::found::MAX_FOUND_BYTES;
use belfry_protocol::wire::frame::FRAME_HEAD_BYTES;

use super::api::{NetError, Topic};

/// Largest hello or join frame: a certificate chain and a manifest head fit many times over, and strangers may send it.
pub(super) const OPEN_FRAME_BYTES: usize = 64 * 1024;
/// Largest frame about a founding: proposals are as large as manifests, and few strangers are let in at once.
pub(super) const FOUND_FRAME_BYTES: usize = MAX_FOUND_BYTES + FRAME_HEAD_BYTES;
/// Hello and join are small; whoever needs longer is not there.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a full frame at about 1 MB/s.
pub(super) const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// Two while both ends dial at once: with one, both may refuse each other's and end with none.
pub(super) const CONNECTIONS_PER_PEER: u32 = 2;
/// Unfinished handshakes from outside; they cost a key exchange each.
pub(super) const PENDING_INBOUND: u32 = 64;
/// Of those, how many may come from addresses that no member is known by: the rest is kept for members.
pub(super) const PENDING_STRANGERS: usize = 40;
/// Of those, how many may come from one address.
pub(super) const PENDING_PER_ADDRESS: usize = 10;
/// Addresses that members are known by: a few for each of 64.
pub(super) const MEMBER_ADDRESSES: usize = 256;
/// Unfinished dials; a large federation dials all members when it starts.
pub(super) const PENDING_OUTBOUND: u32 = 256;
/// All connections; far above a federation with its lobby.
pub(super) const CONNECTIONS: u32 = 1024;
/// Dials and handshakes slower than this are given up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one member that are tried; smart dial starts them all.
pub(super) const ADDRESSES_PER_MEMBER: usize = 16;
/// Streams one peer may open that are still agreeing on a protocol.
pub(super) const NEGOTIATING_STREAMS: usize = 32;
/// Streams of one connection. Each may hold back 256 KiB that nobody reads.
pub(super) const STREAMS: u32 = 128;
/// Unread bytes of one QUIC stream and of one connection: enough for 40 MB/s at 100 ms, little enough for a lobby of strangers.
pub(super) const QUIC_STREAM_BYTES: u32 = 4 * 1024 * 1024;
/// See [`QUIC_STREAM_BYTES`].
pub(super) const QUIC_CONNECTION_BYTES: u32 = 6 * 1024 * 1024;
/// Streams for gossip and sync that wait, unread, for a peer's admission: its gossip stream and a few early requests.
pub(super) const HELD_STREAMS: usize = 8;

/// A connection that carries nothing is closed; members keep theirs open.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often connections are probed.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long an answer to a probe may take.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// libp2p reports failed pings but keeps the connection. One lost answer may be a busy peer, two are a dead one.
pub(super) const PINGS_LOST: u8 = 2;

/// Relays that are listened through: one and a few spares.
pub const MAX_RELAYS: usize = 8;

/// Why whoever is not admitted is shown out of the lobby.
pub const OVERSTAYED: &str = "not admitted in time";
/// The first pause before a lost relay is asked again; it doubles up to [`REDIAL_MAX`].
pub(super) const RELAY_AGAIN: Duration = Duration::from_millis(500);
/// Addresses of one member that are taken from the local network.
pub(super) const ADDRESSES_FOUND: usize = 4;
/// Pings on their way because somebody asked: a person or a script, one at a time.
pub(super) const PINGS_AT_ONCE: usize = 16;
/// Letters that are kept of the reason for a failed dial: one per address that was tried.
pub(super) const ERROR_CHARS: usize = 600;
/// Longest name of a peer's program that is kept, in bytes: it is shown on terminals.
pub(super) const AGENT_BYTES: usize = 64;

/// The pause before a member is dialled again: first, and at most. It doubles, and a random part of it is left out.
pub(super) const REDIAL_MIN: Duration = Duration::from_millis(100);
/// The longest pause while a member is missed only since a moment ago: it restarts, and what it holds up is waiting.
pub(super) const REDIAL_SOON: Duration = Duration::from_millis(400);
/// A session that ended sooner was no good one.
pub(super) const SESSION_LASTS: Duration = Duration::from_secs(5);
/// How long that moment is: a restart with a check of the ledger fits, and a dead member costs some sixty dials.
pub(super) const REDIAL_SOON_FOR: Duration = Duration::from_secs(15);
/// See [`REDIAL_MIN`].
pub(super) const REDIAL_MAX: Duration = Duration::from_secs(30);
/// Above this age, a second connection from a peer means that it no longer knows the first one.
pub(super) const SIMULTANEOUS: Duration = Duration::from_secs(3);
/// How long a younger session has to prove that it lives when its peer dials again: some round trips.
pub(super) const DOUBT: Duration = Duration::from_millis(500);
/// Time for answers already given to leave before a session is ended.
pub(super) const DISCONNECT_GRACE: Duration = Duration::from_millis(200);
/// The same while an answer is still being written.
pub(super) const DISCONNECT_GRACE_MAX: Duration = Duration::from_secs(1);
/// How long closing waits for connections to end in good order, and then for the ports.
pub(super) const CLOSE_GRACE: Duration = Duration::from_millis(500);
/// How often closing looks whether the ports are free.
pub(super) const PORT_CHECK: Duration = Duration::from_millis(10);
/// Redials, patience and graces are looked at this often.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// Commands waiting for the loop: what one step of the engine says, with a verdict and a reply for each of its inputs.
pub(super) const COMMAND_QUEUE: usize = 2_048;
/// With this many undelivered events the network is no longer read: TCP and QUIC then slow the peers down.
pub(super) const OUTBOX: usize = 64;
/// With this many, commands wait too. They are read longer than the network, so that a caller that waits for room in
/// the command queue before it reads events gets on.
pub(super) const OUTBOX_WITH_COMMANDS: usize = 1024;

/// Largest gossip message.
pub const MAX_GOSSIP_BYTES: usize = 64 * 1024;
/// libp2p's limit counts the envelope (topic name, lengths) too.
const GOSSIP_ENVELOPE_BYTES: usize = 1024;
/// A message waits this many heartbeats (seconds) for its verdict before it is forgotten.
const GOSSIP_HISTORY: usize = 12;

pub(super) type Gossip = gossipsub::Behaviour<
    gossipsub::IdentityTransform,
    MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>,
>;

/// The topics of one federation, by kind and by hash.
pub(super) struct Topics([(Topic, IdentTopic, TopicHash); Topic::ALL.len()]);

impl Topics {
    pub(super) fn new(federation8: &str) -> Self {
        Self(Topic::ALL.map(|topic| {
            let ident = IdentTopic::new(topic.name(federation8));
            let hash = ident.hash();
            (topic, ident, hash)
        }))
    }

    pub(super) fn of_hash(&self, wanted: &TopicHash) -> Option<Topic> {
        self.0
            .iter()
            .find(|(_, _, hash)| hash == wanted)
            .map(|(topic, ..)| *topic)
    }

    pub(super) fn hash(&self, wanted: Topic) -> Option<TopicHash> {
        self.0
            .iter()
            .find(|(topic, ..)| *topic == wanted)
            .map(|(_, _, hash)| hash.clone())
    }
}

/// Messages carry no author: what is inside is signed already, and signing every frame again costs most of the
/// throughput. Without an own id function, libp2p would take all anonymous messages for one.
pub(super) fn gossip(topics: &Topics) -> Result<Gossip, NetError> {
    let failed = |reason: String| NetError::Setup {
        part: "gossip",
        reason,
    };
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| MessageId::new(&message_id(message.topic.as_str(), &message.data)))
        .validate_messages()
        .flood_publish(true)
        // Small federations: D_out <= D_lo <= D <= D_hi and D_out <= D / 2, which libp2p does not check.
        .mesh_n(4)
        .mesh_n_low(2)
        .mesh_n_high(8)
        .mesh_outbound_min(1)
        .heartbeat_initial_delay(Duration::from_millis(500))
        .heartbeat_interval(Duration::from_secs(1))
        .history_length(GOSSIP_HISTORY)
        .history_gossip(3)
        .max_transmit_size(MAX_GOSSIP_BYTES + GOSSIP_ENVELOPE_BYTES)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let hashes: HashSet<TopicHash> = topics.0.iter().map(|(_, _, hash)| hash.clone()).collect();
    let filter = MaxCountSubscriptionFilter {
        max_subscribed_topics: hashes.len(),
        max_subscriptions_per_request: 2 * hashes.len(),
        filter: WhitelistSubscriptionFilter(hashes),
    };
    let mut gossip =
        Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
            .map_err(|reason| failed(reason.to_owned()))?;
    gossip
        .with_peer_score(score(topics), thresholds())
        .map_err(failed)?;
    for (_, topic, _) in &topics.0 {
        gossip
            .subscribe(topic)
            .map_err(|error| failed(error.to_string()))?;
    }
    Ok(gossip)
}

/// The name of a message, the same at every node: see [`GossipId`](super::GossipId).
fn message_id(topic: &str, data: &[u8]) -> [u8; 20] {
    let mut hash = Sha256::new();
    hash.update((topic.len() as u64).to_le_bytes());
    hash.update(topic.as_bytes());
    hash.update(data);
    let digest = hash.finalize();
    let mut id = [0; 20];
    id.copy_from_slice(&digest[..20]);
    id
}

/// A brake, not a judge: the manifest says who belongs. Only provably bad messages and broken gossip manners count
/// against a peer. Topics are quiet here, so nothing is expected of a peer (P3), nothing is earned by waiting (P1),
/// and many nodes behind one address are normal.
fn score(topics: &Topics) -> PeerScoreParams {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 100.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // Squared: three bad messages cost 900, eleven reach the graylist; an hour forgets them.
        invalid_message_deliveries_weight: -100.0,
        invalid_message_deliveries_decay: gossipsub::score_parameter_decay(Duration::from_secs(
            3600,
        )),
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: topics
            .0
            .iter()
            .map(|(_, _, hash)| (hash.clone(), topic.clone()))
            .collect::<HashMap<_, _>>(),
        topic_score_cap: 50.0,
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: -16.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: gossipsub::score_parameter_decay(Duration::from_secs(600)),
        ..PeerScoreParams::default()
    }
}

fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -4_000.0,
        publish_threshold: -8_000.0,
        graylist_threshold: -12_000.0,
        accept_px_threshold: 100.0,
        opportunistic_graft_threshold: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_accepted_by_libp2p() {
        assert!(gossip(&Topics::new("0123abcd")).is_ok());
    }

    #[test]
    fn message_id_is_frozen() {
        // printf '\x07\0\0\0\0\0\0\0topic/1hello' | sha256sum
        let hex: String = message_id("topic/1", b"hello")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, EXPECTED_ID);
    }

    const EXPECTED_ID: &str = "f0498601e739cbb9b53f657776fdc36619c9a9f1";
}
