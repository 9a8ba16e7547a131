//! One ping at a caller's wish, or because a session may be dead, by the standard `/ipfs/ping/1.0.0` that every libp2p node answers by itself: it measures
//! the connection, not the peer's engine. The regular probes of connections are libp2p's own.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::request_response::{self, OutboundRequestId, ProtocolSupport};
use libp2p::{PeerId, StreamProtocol, ping};
use tokio::sync::oneshot;

use super::api::RequestFailure;
use super::params;

/// What a ping carries and gets back.
type Payload = [u8; 32];
/// Where the answer to a ping goes.
pub(super) type Reply = oneshot::Sender<Result<Duration, RequestFailure>>;

pub(super) type Probe = request_response::Behaviour<PingCodec>;

/// Our pings only: those of others are answered by [`ping::Behaviour`].
pub(super) fn behaviour() -> Probe {
    let settings = request_response::Config::default().with_request_timeout(params::OPEN_TIMEOUT);
    Probe::with_codec(
        PingCodec::default(),
        [(ping::PROTOCOL_NAME, ProtocolSupport::Outbound)],
        settings,
    )
}

/// Bytes that no earlier answer can hold. A machine without randomness sends the same every time.
pub(super) fn payload() -> Payload {
    let mut bytes = [0; 32];
    let _same = getrandom::fill(&mut bytes);
    bytes
}

/// The pings on their way.
#[derive(Default)]
pub(super) struct Probes {
    /// For callers, at most [`params::PINGS_AT_ONCE`].
    asked: HashMap<OutboundRequestId, Reply>,
    /// Of sessions that may be dead, one for each; by when they have to answer.
    doubts: HashMap<PeerId, (OutboundRequestId, Instant)>,
}

impl Probes {
    pub(super) fn is_full(&self) -> bool {
        self.asked.len() >= params::PINGS_AT_ONCE
    }

    pub(super) fn sent(&mut self, id: OutboundRequestId, reply: Reply) {
        self.asked.insert(id, reply);
    }

    pub(super) fn is_doubted(&self, peer: &PeerId) -> bool {
        self.doubts.contains_key(peer)
    }

    /// A session has to prove that it lives.
    pub(super) fn doubted(&mut self, peer: PeerId, id: OutboundRequestId, now: Instant) {
        self.doubts.insert(peer, (id, now + params::DOUBT));
    }

    /// The session is over, whatever it was.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.doubts.remove(peer);
    }

    /// Sessions that did not answer in time, each once.
    pub(super) fn dead(&mut self, now: Instant) -> Vec<PeerId> {
        let late = self.doubts.extract_if(|_, (_, until)| *until <= now);
        late.map(|(peer, _)| peer).collect()
    }

    pub(super) fn answered(
        &mut self,
        id: OutboundRequestId,
        result: Result<Duration, RequestFailure>,
    ) {
        if result.is_ok() {
            self.doubts.retain(|_, (doubt, _)| *doubt != id);
        }
        if let Some(reply) = self.asked.remove(&id) {
            // Whoever asked may have gone.
            let _gone = reply.send(result);
        }
    }
}

/// One per stream. It takes the time itself, so that opening the stream does not count.
#[derive(Debug, Clone, Default)]
pub(super) struct PingCodec {
    sent: Option<(Instant, Payload)>,
}

impl request_response::Codec for PingCodec {
    type Protocol = StreamProtocol;
    type Request = Payload;
    type Response = Duration;

    async fn read_request<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Payload>
    where
        T: AsyncRead + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Duration>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut answer = Payload::default();
        io.read_exact(&mut answer).await?;
        match self.sent.take() {
            Some((at, payload)) if payload == answer => Ok(at.elapsed()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the ping came back changed",
            )),
        }
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        payload: Payload,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        // The answer to the name of the protocol may still be on its way: flushing waits for it, and it does not count.
        io.flush().await?;
        self.sent = Some((Instant::now(), payload));
        io.write_all(&payload).await?;
        io.flush().await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
        _: Duration,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }
}
