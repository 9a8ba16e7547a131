//! Transport keys as TLS certificates, as libp2p has them, so that a PeerId says who is at the other end; and the limits of
//! a connection. CUBIC, quinn's default: on a clean link BBR was two to three times slower.

use crate::exit::{Code, Failure};
use belfry_protocol::export::ALPN;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{IdleTimeout, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// A connection on which nothing arrives for so long is closed: a living reader sends keep-alives or acknowledgements.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// How often a reader says that it lives while it is busy with its disk.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Exports on one connection: one that runs, and one that begins while the other ends.
pub(super) const STREAMS: u32 = 2;
/// Bytes on their way to one reader that it did not acknowledge: 100 MB/s at 40 ms. This much a reader can make us hold.
const SEND_WINDOW: u64 = 4 << 20;
/// Bytes that a reader takes before it looked at them: the same, and room to go on while it writes.
const READER_WINDOW: u32 = 8 << 20;
/// All that a reader may say on a stream: an ask is below 2 KiB.
const ASK_WINDOW: u32 = 4 << 10;

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Failed, format!("the keys of the export: {error}"))
}

/// The key with this seed.
pub(super) fn key(seed: &mut [u8; 32]) -> Result<Keypair, Failure> {
    Keypair::ed25519_from_bytes(&mut seed[..]).map_err(|error| failed(&error))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None);
    transport
}

/// The serving end. Callers must show a transport key, any one: who they are is looked at later.
pub(super) fn server(key: &Keypair) -> Result<quinn::ServerConfig, Failure> {
    let mut tls = libp2p_tls::make_server_config(key).map_err(|error| failed(&error))?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // Whatever the environment says: session keys are written nowhere.
    tls.key_log = Arc::new(rustls::NoKeyLog);
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| failed(&error))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = transport();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .stream_receive_window(VarInt::from_u32(ASK_WINDOW))
        .receive_window(VarInt::from_u32(STREAMS * ASK_WINDOW))
        .send_window(SEND_WINDOW);
    config
        .transport_config(Arc::new(transport))
        .migration(false);
    Ok(config)
}

/// The reading end. Who the server is, the caller compares before it says anything.
pub(super) fn client(key: &Keypair) -> Result<quinn::ClientConfig, Failure> {
    let mut tls = libp2p_tls::make_client_config(key, None).map_err(|error| failed(&error))?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.key_log = Arc::new(rustls::NoKeyLog);
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| failed(&error))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    let mut transport = transport();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(READER_WINDOW))
        .receive_window(VarInt::from_u32(READER_WINDOW))
        .keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Whose key is at the other end of a connection; TLS has verified that it is its own.
pub(super) fn peer_of(connection: &quinn::Connection) -> Option<PeerId> {
    let identity = connection.peer_identity()?;
    let chain: Box<Vec<rustls::pki_types::CertificateDer<'static>>> = identity.downcast().ok()?;
    let certificate = libp2p_tls::certificate::parse(chain.first()?).ok()?;
    Some(certificate.peer_id())
}
