//! What crosses the border between the transport and the rest of the node: configuration, commands, events.
//! No libp2p type appears here except `PeerId` and `Multiaddr`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use belfry_protocol::clock::Stamps;
use libp2p::multiaddr::Protocol as Part;
use libp2p::request_response::InboundRequestId;
use libp2p::{Multiaddr, PeerId};
use thiserror::Error;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::quotas::Limits;
use super::wire::Wire;

/// What a node listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP with Noise and Yamux.
    Tcp,
    /// QUIC, which brings its own encryption.
    Quic,
    /// Both on the same port number: peers prefer QUIC and fall back to TCP where UDP is blocked.
    Both,
}

impl Transport {
    /// The addresses to listen on for one IP address and port; port 0 lets the system choose.
    #[must_use]
    pub fn listen_on(self, ip: IpAddr, port: u16) -> Vec<Multiaddr> {
        let tcp = Multiaddr::from(ip).with(Part::Tcp(port));
        let quic = Multiaddr::from(ip).with(Part::Udp(port)).with(Part::QuicV1);
        match self {
            Self::Tcp => vec![tcp],
            Self::Quic => vec![quic],
            Self::Both => vec![tcp, quic],
        }
    }
}

/// How to start the transport.
#[derive(Clone)]
pub struct NetConfig {
    /// Seed of the Ed25519 transport key, from which the `PeerId` follows.
    pub seed: Zeroizing<[u8; 32]>,
    /// Where to listen, for example `/ip4/127.0.0.1/tcp/0`. Empty: dial only.
    pub listen: Vec<Multiaddr>,
    /// What connections run over.
    pub wire: Wire,
    /// First eight hex digits of the federation id. Part of topic and sync names, so federations do not mix.
    pub federation8: String,
    /// Whether a federation is founded or amended here: then whoever does so with us may send large frames.
    pub founding: bool,
    /// Largest sync request or response in bytes.
    pub max_frame: usize,
    /// No new connections while the process holds more physical memory than this many bytes.
    pub memory_limit: Option<usize>,
    /// How many strangers (not members, not admitted) may be connected at once.
    pub lobby_slots: usize,
    /// How many of those may come from one IP address.
    pub lobby_slots_per_address: usize,
    /// A peer that is not admitted this long after connecting is disconnected.
    pub lobby_patience: Duration,
    /// Unanswered requests per peer, counted separately in each direction. The excess fails at once.
    pub requests_in_flight_per_peer: usize,
    /// What one peer may ask for.
    pub limits: Limits,
    /// How many entries of a ledger a sync request asks for: the transport cannot read it.
    pub entries_asked: fn(&[u8]) -> u64,
    /// Relays to listen through, each with its transport id: `/ip4/…/tcp/…/p2p/12D3KooW…`.
    pub relays: Vec<Multiaddr>,
    /// Whether members may be dialled through relays that their addresses name; so it is when `relays` has any.
    pub circuits: bool,
    /// Whether members are looked for on the local network, and this node says there where it is.
    pub mdns: bool,
    /// Who is banned from the first moment on.
    pub banned: Vec<PeerId>,
    /// How often the clock of an admitted peer is probed, give or take a half.
    pub probe_every: Duration,
}

impl NetConfig {
    /// The usual limits for a federation, listening nowhere yet.
    #[must_use]
    pub fn new(seed: Zeroizing<[u8; 32]>, federation8: String) -> Self {
        Self {
            seed,
            listen: Vec::new(),
            wire: Wire::Sockets,
            federation8,
            founding: false,
            max_frame: 9 * 1024 * 1024 + 64 * 1024,
            memory_limit: None,
            lobby_slots: 16,
            lobby_slots_per_address: 4,
            lobby_patience: Duration::from_secs(5),
            requests_in_flight_per_peer: 8,
            limits: Limits::default(),
            entries_asked: |_| 0,
            relays: Vec::new(),
            circuits: false,
            mdns: false,
            banned: Vec::new(),
            probe_every: Duration::from_secs(16),
        }
    }
}

/// The request protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// `/belfry/hello/1`: open to everyone, frozen for ever.
    Hello,
    /// `/belfry/join/1`: open to everyone.
    Join,
    /// `/belfry/found/1`: open to everyone, for whoever founds a federation.
    Found,
    /// `/belfry/<federation8>/sync/1`: admitted peers only.
    Sync,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hello, Self::Join, Self::Found, Self::Sync];

    /// The name on the wire.
    #[must_use]
    pub fn name(self, federation8: &str) -> String {
        match self {
            Self::Hello => "/belfry/hello/1".to_owned(),
            Self::Join => "/belfry/join/1".to_owned(),
            Self::Found => "/belfry/found/1".to_owned(),
            Self::Sync => format!("/belfry/{federation8}/sync/1"),
        }
    }
}

/// The gossip topics. Subscriptions, the allow-list and scoring all follow [`Topic::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Signed ledger digests.
    Digests,
    /// Acknowledgements of digests.
    Acks,
    /// Forks and revocations.
    Alarms,
    /// Manifests and votes.
    Genesis,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Digests, Self::Acks, Self::Alarms, Self::Genesis];

    /// The name on the wire.
    #[must_use]
    pub fn name(self, federation8: &str) -> String {
        let kind = match self {
            Self::Digests => "digests",
            Self::Acks => "acks",
            Self::Alarms => "alarms",
            Self::Genesis => "genesis",
        };
        format!("belfry/{federation8}/{kind}/1")
    }
}

/// Names a request that a peer made and that waits for [`NetCommand::Reply`] or [`NetCommand::Drop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InboundId {
    pub(super) protocol: Protocol,
    pub(super) request: InboundRequestId,
}

/// Names a gossip message: the first 20 bytes of SHA-256(len(topic) as u64 little-endian ‖ topic ‖ data).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GossipId(pub [u8; 20]);

/// The caller's judgement of a gossip message. Only accepted messages travel on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Good: pass it on.
    Accept,
    /// Stale, known or not yet understood: do not pass it on, blame nobody.
    Ignore,
    /// Provably bad: do not pass it on, and lower the sender's score.
    Reject,
}

/// Why a request got no response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestFailure {
    /// There is no session with this peer.
    #[error("not connected to this peer")]
    NotConnected,
    /// Sync with a peer that we have not admitted.
    #[error("this peer has not passed hello")]
    NotAdmitted,
    /// As many requests to this peer as allowed are unanswered already, or it has been asked for as much as it allows.
    #[error("too many unanswered requests to this peer, or too much asked of it in a short time")]
    Busy,
    /// The request exceeds what the protocol allows, or is empty.
    #[error("a request of {bytes} bytes is outside the protocol's limits (1 to {limit})")]
    BadSize {
        /// Its size.
        bytes: usize,
        /// The protocol's limit.
        limit: usize,
    },
    /// No answer in time. The peer may have acted on the request.
    #[error("no answer in time")]
    Timeout,
    /// The connection ended first. The peer may have acted on the request.
    #[error("the connection ended before the answer")]
    ConnectionClosed,
    /// The peer does not speak this protocol.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The peer closed the stream without an answer.
    #[error("the peer declined to answer")]
    Declined,
    /// The response exceeds the protocol's limit.
    #[error("the response is larger than the protocol allows")]
    ResponseTooLarge,
    /// The stream failed. The peer may have acted on the request.
    #[error("stream error: {0}")]
    Io(String),
}

/// What happened. Events about one peer come in order: `Up`, then everything of that session, then `Down`.
#[derive(Debug)]
pub enum NetEvent {
    /// We listen on this address; with a wildcard, once per interface.
    Listening(Multiaddr),
    /// A session with this peer began. It starts unadmitted.
    Up {
        /// Who.
        peer: PeerId,
        /// Whether we dialled.
        dialed: bool,
        /// The remote address.
        address: String,
    },
    /// The session ended; every request of it is answered or fails.
    Down {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: String,
    },
    /// An attempt to reach a member failed; the next one is scheduled.
    DialFailed {
        /// Who.
        peer: PeerId,
        /// Why.
        error: String,
    },
    /// A peer asks.
    Request {
        /// Who.
        peer: PeerId,
        /// Give it back with the answer.
        id: InboundId,
        /// Which protocol.
        protocol: Protocol,
        /// The question, never empty.
        bytes: Vec<u8>,
    },
    /// The one answer to one [`NetCommand::Request`].
    Response {
        /// Who was asked.
        peer: PeerId,
        /// The id the caller gave.
        id: u64,
        /// Which protocol.
        protocol: Protocol,
        /// The answer, never empty.
        result: Result<Vec<u8>, RequestFailure>,
    },
    /// A gossip message, seen for the first time, which waits for a [`NetCommand::Verdict`]. Judge it within
    /// seconds: libp2p forgets unjudged messages, and then an `Accept` no longer passes them on.
    Gossip {
        /// Who passed it to us; not necessarily its author.
        from: PeerId,
        /// Give it back with the verdict.
        id: GossipId,
        /// On which topic.
        topic: Topic,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A probe of an admitted peer's clock came back. While the caller does not read, samples are left out.
    Clock {
        /// Who.
        peer: PeerId,
        /// What was read at the sockets.
        stamps: Stamps,
    },
    /// This admitted peer now receives what we publish on this topic.
    Subscribed {
        /// Who.
        peer: PeerId,
        /// Which topic.
        topic: Topic,
    },
    /// Something was turned away. For logs and metrics: under a flood some of these are left out.
    Refused {
        /// Who, where known.
        peer: Option<PeerId>,
        /// From where, if it was a connection.
        address: Option<String>,
        /// Why; a fixed set of texts, fit for a metric's label.
        why: &'static str,
    },
}

/// What to do.
#[derive(Debug)]
pub enum NetCommand {
    /// Whom to stay connected to, in place of the former list: dialled for ever, with growing pauses. Those no longer
    /// listed stay connected until [`NetCommand::Disconnect`]. Ourselves in the list is harmless.
    Members(Vec<(PeerId, Vec<Multiaddr>)>),
    /// Ask a peer. Exactly one [`NetEvent::Response`] with this id follows, whatever happens; only when the
    /// transport itself stops do unanswered requests end with the event channel.
    Request {
        /// Whom.
        peer: PeerId,
        /// The caller's name for it.
        id: u64,
        /// Which protocol.
        protocol: Protocol,
        /// The question, not empty.
        bytes: Vec<u8>,
    },
    /// Answer a peer. Too late, too large or empty: the stream is closed without an answer.
    Reply {
        /// From the event.
        id: InboundId,
        /// The answer, not empty.
        bytes: Vec<u8>,
    },
    /// Close the stream of a request without an answer.
    Drop {
        /// From the event.
        id: InboundId,
    },
    /// Send to every admitted subscriber. Nobody there is not an error; nothing is queued for later.
    Publish {
        /// On which topic.
        topic: Topic,
        /// At most [`MAX_GOSSIP_BYTES`](super::MAX_GOSSIP_BYTES).
        bytes: Vec<u8>,
    },
    /// Judge a gossip message, once.
    Verdict {
        /// From the event.
        id: GossipId,
        /// From the event.
        from: PeerId,
        /// The judgement.
        verdict: Verdict,
    },
    /// This peer passed hello. Lasts until the session ends.
    Admit(PeerId),
    /// End the session once answers already given are on their way. A member is dialled again later.
    Disconnect {
        /// Whom.
        peer: PeerId,
    },
    /// End the session, and neither dial this peer nor let it in.
    Ban(PeerId),
    /// Lift a ban.
    Unban(PeerId),
    /// Report all sessions.
    Status(oneshot::Sender<Vec<PeerStatus>>),
    /// Report how the dialling of members goes.
    Dials(oneshot::Sender<Vec<DialStatus>>),
    /// Measure a round trip to a peer with a session.
    Ping {
        /// Whom.
        peer: PeerId,
        /// Where the result goes.
        reply: oneshot::Sender<Result<Duration, RequestFailure>>,
    },
    /// Probe the clocks of all admitted peers now, some times.
    MeasureClocks,
    /// Close all connections and stop.
    Close,
}

/// One session, as [`NetCommand::Status`] reports it.
#[derive(Debug, Clone)]
pub struct PeerStatus {
    /// Who.
    pub peer: PeerId,
    /// The remote address.
    pub address: String,
    /// Whether we dialled.
    pub dialed: bool,
    /// Whether it is in the list given with [`NetCommand::Members`].
    pub member: bool,
    /// Whether it passed hello.
    pub admitted: bool,
    /// When the connection was made.
    pub since: Instant,
    /// The latest round trip of a ping.
    pub ping_rtt: Option<Duration>,
    /// The peer's program and version, as it says itself.
    pub agent: Option<String>,
}

/// How reaching one member goes, as [`NetCommand::Dials`] reports it.
#[derive(Debug, Clone)]
pub struct DialStatus {
    /// Who.
    pub peer: PeerId,
    /// Where it is dialled.
    pub addresses: Vec<Multiaddr>,
    /// Failures since the last good session.
    pub failures: u32,
    /// Until the next dial; `None` while connected or being dialled.
    pub next: Option<Duration>,
    /// Why the last dial failed, if it did since the last good session.
    pub error: Option<String>,
}

/// Why the transport did not start.
#[derive(Debug, Error)]
pub enum NetError {
    /// A listening address is malformed, not ours or taken.
    #[error(
        "cannot listen on {address}: {reason}; change the listening address or stop the program that uses it"
    )]
    Listen {
        /// Which.
        address: Multiaddr,
        /// The system's words.
        reason: String,
    },
    /// libp2p refuses our settings: a bug, or a system without the needed facilities.
    #[error("cannot set up {part} of the peer-to-peer transport: {reason}")]
    Setup {
        /// Which part.
        part: &'static str,
        /// Its words.
        reason: String,
    },
}
