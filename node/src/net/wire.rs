//! What connections run over: sockets, or streams of bytes that the caller brings, for a simulation. Above it everything is
//! the same: encryption, streams, protocols.

use std::fmt;
use std::sync::Arc;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, timeout::TransportTimeout};
use libp2p::core::upgrade::Version;
use libp2p::futures::{AsyncRead, AsyncWrite};
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport, noise, yamux};

use super::api::NetError;
use super::params;

/// A stream of bytes between two nodes, in order.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Listens and dials, without encryption: that comes on top of it.
pub type Carrier = Boxed<Box<dyn Stream>>;

/// What connections run over.
#[derive(Clone, Default)]
pub enum Wire {
    /// TCP and QUIC, with DNS and relays.
    #[default]
    Sockets,
    /// What this makes, once for each start.
    Given(Arc<dyn Fn() -> Carrier + Send + Sync>),
}

impl Wire {
    pub(super) fn is_sockets(&self) -> bool {
        matches!(self, Self::Sockets)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sockets => "Sockets",
            Self::Given(_) => "Given",
        })
    }
}

/// With encryption, streams and the time limit that TCP has here.
pub(super) fn secured(
    carrier: Carrier,
    key: &Keypair,
    streams: yamux::Config,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let noise = noise::Config::new(key).map_err(|error| NetError::Setup {
        part: "encryption",
        reason: error.to_string(),
    })?;
    let secured = carrier
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(streams);
    Ok(TransportTimeout::new(secured, params::CONNECT_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed())
}
