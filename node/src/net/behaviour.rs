//! How the libp2p protocols are put together, and the swarm that drives them. Construction only: no decisions.

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder, identify, mdns, memory_connection_limits, noise, ping,
    relay, tcp, yamux,
};

use super::api::{NetConfig, NetError, Protocol};
use super::clocks::{self, ClockProbe};
use super::codec::Codec;
use super::door::Door;
use super::gate::Gate;
use super::params::{self, Gossip, Topics};
use super::probe::{self, Probe};
use super::wire::{self, Wire};

pub(super) type Requests = request_response::Behaviour<Codec>;

/// What may refuse a connection comes first: a later refusal would leave the earlier protocols with a peer that
/// never was.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: Toggle<memory_connection_limits::Behaviour>,
    pub(super) door: Door,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) probe: Probe,
    relay: Toggle<relay::client::Behaviour>,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) hello: Requests,
    pub(super) join: Requests,
    pub(super) found: Requests,
    pub(super) gate: Gate<MembersOnly>,
}

/// What only admitted peers may speak.
#[derive(NetworkBehaviour)]
pub(super) struct MembersOnly {
    pub(super) gossip: Gossip,
    pub(super) sync: Requests,
    pub(super) clock: ClockProbe,
}

impl Behaviour {
    pub(super) fn requests(&mut self, protocol: Protocol) -> &mut Requests {
        match protocol {
            Protocol::Hello => &mut self.hello,
            Protocol::Join => &mut self.join,
            Protocol::Found => &mut self.found,
            Protocol::Sync => &mut self.gate.inner.sync,
        }
    }

    fn new(key: &Keypair, config: &NetConfig, gossip: Gossip) -> Result<Self, NetError> {
        let limits = ConnectionLimits::default()
            .with_max_established_per_peer(Some(params::CONNECTIONS_PER_PEER))
            .with_max_pending_incoming(Some(params::PENDING_INBOUND))
            .with_max_pending_outgoing(Some(params::PENDING_OUTBOUND))
            .with_max_established(Some(params::CONNECTIONS));
        // No cache of addresses: a peer must not tell us where to dial.
        let identify = identify::Config::new("/belfry/1".to_owned(), key.public())
            .with_agent_version(concat!("belfry/", env!("CARGO_PKG_VERSION")).to_owned())
            .with_cache_size(0)
            .with_hide_listen_addrs(true);
        let ping = ping::Config::new()
            .with_interval(params::PING_INTERVAL)
            .with_timeout(params::PING_TIMEOUT);
        let local = key.public().to_peer_id();
        let mdns = config
            .mdns
            .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), local))
            .transpose()
            .map_err(|error| NetError::Setup {
                part: "mDNS (switch it off with net.mdns = false)",
                reason: error.to_string(),
            })?;
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits),
            memory: config
                .memory_limit
                .map(memory_connection_limits::Behaviour::with_max_bytes)
                .into(),
            door: Door::new(local, config),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            probe: probe::behaviour(),
            // Comes with the transport, see `swarm`.
            relay: None.into(),
            mdns: mdns.into(),
            hello: requests(Protocol::Hello, config)?,
            join: requests(Protocol::Join, config)?,
            found: requests(Protocol::Found, config)?,
            gate: Gate::new(MembersOnly {
                gossip,
                sync: requests(Protocol::Sync, config)?,
                clock: clocks::behaviour(&config.federation8)?,
            }),
        })
    }
}

/// The largest frame of a protocol.
pub(super) fn frame_limit(protocol: Protocol, config: &NetConfig) -> usize {
    match protocol {
        Protocol::Hello | Protocol::Join => params::OPEN_FRAME_BYTES,
        Protocol::Found => params::FOUND_FRAME_BYTES,
        Protocol::Sync => config.max_frame,
    }
}

fn requests(protocol: Protocol, config: &NetConfig) -> Result<Requests, NetError> {
    let timeout = match protocol {
        Protocol::Hello | Protocol::Join | Protocol::Found => params::OPEN_TIMEOUT,
        Protocol::Sync => params::SYNC_TIMEOUT,
    };
    let name =
        StreamProtocol::try_from_owned(protocol.name(&config.federation8)).map_err(|error| {
            NetError::Setup {
                part: "protocol names",
                reason: error.to_string(),
            }
        })?;
    // libp2p counts both directions in one number, answers being written included.
    let streams = config.requests_in_flight_per_peer.saturating_mul(3);
    let settings = request_response::Config::default()
        .with_request_timeout(timeout)
        .with_max_concurrent_streams(streams);
    let limit = match protocol {
        // Only the question of whoever missed the end comes to a member: a list of digests.
        Protocol::Found if !config.founding => params::OPEN_FRAME_BYTES,
        other => frame_limit(other, config),
    };
    let codec = Codec { limit };
    Ok(Requests::with_codec(
        codec,
        [(name, ProtocolSupport::Full)],
        settings,
    ))
}

/// The swarm, not listening yet. Needs a tokio runtime around it.
pub(super) fn swarm(config: &NetConfig, topics: &Topics) -> Result<Swarm<Behaviour>, NetError> {
    let mut seed = config.seed.clone();
    let key = Keypair::ed25519_from_bytes(&mut seed[..]).map_err(|error| NetError::Setup {
        part: "the transport key",
        reason: error.to_string(),
    })?;
    let mut behaviour = Behaviour::new(&key, config, params::gossip(topics)?)?;
    if let Wire::Given(carrier) = &config.wire {
        let carrier = wire::secured(carrier(), &key, yamux_config())?;
        let executor = swarm_config(libp2p::swarm::Config::with_tokio_executor());
        let local = key.public().to_peer_id();
        return Ok(Swarm::new(carrier, behaviour, local, executor));
    }
    let builder = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(
            tcp::Config::new().nodelay(true),
            noise::Config::new,
            yamux_config,
        )
        .map_err(|error| NetError::Setup {
            part: "TCP",
            reason: error.to_string(),
        })?
        .with_quic_config(|mut quic| {
            quic.max_concurrent_stream_limit = params::STREAMS;
            quic.max_stream_data = params::QUIC_STREAM_BYTES;
            quic.max_connection_data = params::QUIC_CONNECTION_BYTES;
            quic
        })
        .with_dns()
        .map_err(|error| NetError::Setup {
            part: "DNS (see /etc/resolv.conf)",
            reason: error.to_string(),
        })?
        .with_relay_client(noise::Config::new, yamux_config)
        .map_err(|error| NetError::Setup {
            part: "relays",
            reason: error.to_string(),
        })?;
    // Without its behaviour the transport refuses every address that goes through a relay.
    let relayed = config.circuits || !config.relays.is_empty();
    let swarm = builder
        .with_behaviour(|_, relay| {
            behaviour.relay = relayed.then_some(relay).into();
            behaviour
        })
        .map_err(|error| NetError::Setup {
            part: "protocols",
            reason: error.to_string(),
        })?
        .with_swarm_config(swarm_config)
        .with_connection_timeout(params::CONNECT_TIMEOUT)
        .build();
    Ok(swarm)
}

fn swarm_config(swarm: libp2p::swarm::Config) -> libp2p::swarm::Config {
    swarm
        .with_idle_connection_timeout(params::IDLE_TIMEOUT)
        .with_max_negotiating_inbound_streams(params::NEGOTIATING_STREAMS)
        .with_smart_dial()
}

fn yamux_config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(params::STREAMS as usize);
    config
}
