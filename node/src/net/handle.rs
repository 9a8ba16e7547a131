//! Starting the transport, and the handle that reaches it. The handle only queues: it decides nothing.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use libp2p::multiaddr::Protocol as Part;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;

use super::api::{NetCommand, NetConfig, NetError, NetEvent};
use super::behaviour;
use super::counters::Counters;
use super::event_loop::EventLoop;
use super::params::{self, Topics};
use super::relays::Relays;

/// Sends commands to the transport. When the last handle is gone, the transport closes.
#[derive(Debug, Clone)]
pub struct NetHandle {
    commands: mpsc::Sender<NetCommand>,
    local: PeerId,
    counters: Arc<Counters>,
}

impl NetHandle {
    /// Queues a command, or gives it back if the queue is full or the transport has stopped.
    pub fn try_send(&self, command: NetCommand) -> Result<(), NetCommand> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(command) | TrySendError::Closed(command) => command,
            })
    }

    /// Queues a command, waiting for room, or gives it back if the transport has stopped.
    ///
    /// Whoever waits here must not be the only one who reads the events.
    pub async fn send(&self, command: NetCommand) -> Result<(), NetCommand> {
        self.commands.send(command).await.map_err(|error| error.0)
    }

    /// Waits until the transport has stopped.
    pub async fn closed(&self) {
        self.commands.closed().await;
    }

    /// What happened so far, in numbers.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Our own name on the network.
    #[must_use]
    pub fn local_peer(&self) -> PeerId {
        self.local
    }
}

/// Starts listening and returns at once; the task ends after [`NetCommand::Close`], or when the receiver of `events`
/// is dropped. Must be called within a tokio runtime.
pub fn start(
    config: NetConfig,
    events: mpsc::Sender<NetEvent>,
) -> Result<(NetHandle, JoinHandle<()>), NetError> {
    let relays = Relays::new(&config.relays, Instant::now())?;
    let topics = Topics::new(&config.federation8);
    let mut swarm = behaviour::swarm(&config, &topics)?;
    for address in &config.listen {
        let failed = |reason: String| NetError::Listen {
            address: address.clone(),
            reason,
        };
        if config.wire.is_sockets() {
            check_free(address).map_err(|error| failed(error.to_string()))?;
        }
        swarm
            .listen_on(address.clone())
            .map_err(|error| failed(error.to_string()))?;
    }
    let local = *swarm.local_peer_id();
    let (sender, commands) = mpsc::channel(params::COMMAND_QUEUE);
    let counters = Arc::new(Counters::default());
    let task = tokio::spawn(Box::pin(
        EventLoop::new(swarm, topics, &config, commands, events, relays, &counters).run(),
    ));
    Ok((
        NetHandle {
            commands: sender,
            local,
            counters,
        },
        task,
    ))
}

/// Whether nobody listens there. libp2p binds TCP listeners with SO_REUSEPORT: two nodes on one port would both start
/// and share the callers between them at random. A plain bind finds the other one.
pub(super) fn check_free(address: &Multiaddr) -> std::io::Result<()> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Part::Ip4(ip)) => IpAddr::V4(ip),
        Some(Part::Ip6(ip)) => IpAddr::V6(ip),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Part::Tcp(port)) => TcpListener::bind((ip, port)).map(drop),
        Some(Part::Udp(port)) => UdpSocket::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

/// The `PeerId` that belongs to an Ed25519 transport key.
#[must_use]
pub fn peer_id_of(transport_public_key: &[u8; 32]) -> PeerId {
    // Identity multihash (code 0, 36 bytes) of the key's protobuf form (type 1: Ed25519; 32 bytes of data).
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&[0x00, 36, 0x08, 0x01, 0x12, 32]);
    bytes[6..].copy_from_slice(transport_public_key);
    #[allow(
        clippy::expect_used,
        reason = "the code and the length above are constants that from_bytes accepts"
    )]
    PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes")
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn peer_ids_agree_with_libp2p() {
        for seed in 0..8 {
            let key = Keypair::ed25519_from_bytes([seed; 32]).expect("any 32 bytes are a seed");
            let public = key
                .public()
                .try_into_ed25519()
                .expect("an Ed25519 key")
                .to_bytes();
            assert_eq!(peer_id_of(&public), key.public().to_peer_id());
        }
    }
}
