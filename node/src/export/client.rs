//! The reading end of an export: connects, asks, and hands out piece by piece. Believes nothing: what comes is for
//! [`super::fetch`] to prove. Blocks; the transport runs beside it and fills one bounded window.

use super::tls;
use crate::exit::{Code, Failure};
use belfry_protocol::export::message::{Answer, MAX_TOKEN_BYTES};
use belfry_protocol::export::{
    Accepted, Ask, Kind, MAX_ANSWER_BYTES, Piece, Refused, VERSION, Why,
};
use belfry_protocol::wire::codec::Text;
use belfry_protocol::wire::frame::{FRAME_HEAD_BYTES, FrameHead};
use libp2p::PeerId;
use quinn::{Connection, Endpoint, RecvStream, VarInt};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// How long a server may take to let us in.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a closing connection waits until the other end heard of it.
const GOODBYE: Duration = Duration::from_millis(200);

/// Where to read, as whom, and from whom.
pub struct Server {
    /// `HOST:PORT`.
    pub place: String,
    /// The reader's transport key; `None`: a fresh one, which is nobody's.
    pub key: Option<Zeroizing<[u8; 32]>>,
    /// Who may be at the other end; empty: anybody, since what comes proves itself.
    pub peers: Vec<PeerId>,
    /// A token with read-all scope.
    pub token: Option<Zeroizing<String>>,
}

/// An export on its way.
pub struct Incoming {
    runtime: Runtime,
    endpoint: Endpoint,
    connection: Connection,
    stream: RecvStream,
    place: String,
    /// Bytes received.
    pub received_bytes: u64,
}

/// Asks for a ledger.
///
/// # Errors
/// When the server cannot be reached, is another one, or refuses.
pub fn open(server: &Server, origin: &str, from: u64) -> Result<(Accepted, Incoming), Failure> {
    let usage = |what: &str| Failure::new(Code::Usage, what.to_owned());
    let token = server.token.as_ref().map_or("", |token| token.as_str());
    if !token.is_empty() && server.peers.is_empty() {
        // Whoever answers there would have it.
        return Err(usage("a token is shown to a known server only").hint(
            "name its transport id with --peer (its operator reads it in `belfry status`), or give --manifest",
        ));
    }
    let ask = Ask {
        origin: Text::new(origin).ok_or_else(|| usage("the origin is no name of a ledger"))?,
        from,
        token: Text::new(token).ok_or_else(|| {
            usage(&format!(
                "the token is longer than {MAX_TOKEN_BYTES} bytes, or no text"
            ))
        })?,
    };
    // One thread drives the transport while this one hashes and writes.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("export-transport")
        .enable_all()
        .build()?;
    let (endpoint, connection) = runtime.block_on(connect(server))?;
    let asked = runtime.block_on(async { timeout(PATIENCE, send(&connection, &ask)).await });
    let stream = match asked {
        Ok(Ok(stream)) => stream,
        Ok(Err(reason)) => return Err(unreachable(&server.place, &reason)),
        Err(_) => return Err(silent(&server.place)),
    };
    let mut incoming = Incoming {
        runtime,
        endpoint,
        connection,
        stream,
        place: server.place.clone(),
        received_bytes: 0,
    };
    let (kind, bytes) = incoming.frame(MAX_ANSWER_BYTES)?;
    let whole = belfry_protocol::wire::Frame::encode(VERSION, kind, &bytes);
    match Answer::parse(&whole) {
        Ok(Answer::Accepted(accepted)) => Ok((accepted, incoming)),
        Ok(Answer::Refused(refused)) => Err(refusal(&server.place, &refused)),
        Err(error) => Err(nonsense(&server.place, &error)),
    }
}

async fn connect(server: &Server) -> Result<(Endpoint, Connection), Failure> {
    let mut seed = match &server.key {
        Some(seed) => seed.clone(),
        None => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(&mut seed[..])
                .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
            seed
        }
    };
    let key = tls::key(&mut seed)?;
    let place = &server.place;
    let (config, address) = (tls::client(&key)?, resolve(place)?);
    let local: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = Endpoint::client(local)?;
    let connecting = endpoint
        .connect_with(config, address, "export")
        .map_err(|error| unreachable(place, &error))?;
    let connection = match timeout(CONNECT_PATIENCE, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(unreachable(place, &error)),
        Err(_) => return Err(unreachable(place, &"nobody answered within 10 s")),
    };
    match tls::peer_of(&connection) {
        Some(peer) if server.peers.is_empty() || server.peers.contains(&peer) => {
            Ok((endpoint, connection))
        }
        other => {
            connection.close(VarInt::from_u32(0), b"");
            let _ = timeout(GOODBYE, endpoint.wait_idle()).await;
            let who = other.map_or("nobody".to_owned(), |peer| peer.to_string());
            Err(Failure::new(
                Code::VerificationFailed,
                format!("{place} is {who}, which is not the server that was named"),
            )
            .hint("nothing was said to it; compare --peer with `belfry status` on the server"))
        }
    }
}

/// The address of `HOST:PORT`.
fn resolve(place: &str) -> Result<SocketAddr, Failure> {
    let mut found = place
        .to_socket_addrs()
        .map_err(|error| unreachable(place, &error))?;
    found
        .next()
        .ok_or_else(|| unreachable(place, &"the name has no address"))
}

async fn send(connection: &Connection, ask: &Ask) -> Result<RecvStream, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let (mut send, receive) = connection.open_bi().await.map_err(|e| told(&e))?;
    send.write_all(&ask.to_bytes())
        .await
        .map_err(|e| told(&e))?;
    send.finish().map_err(|e| told(&e))?;
    Ok(receive)
}

impl Incoming {
    /// The bytes of the next piece, which the caller expects to be `wanted`.
    ///
    /// # Errors
    /// When the transfer breaks, the server gives up, or sends what cannot be that piece.
    pub fn piece(&mut self, wanted: Piece) -> Result<Vec<u8>, Failure> {
        let (kind, bytes) = self.frame(wanted.max_bytes().max(1 << 10))?;
        if kind == Kind::Piece.number() {
            return Ok(bytes);
        }
        let whole = belfry_protocol::wire::Frame::encode(VERSION, kind, &bytes);
        match Answer::parse(&whole) {
            Ok(Answer::Refused(refused)) => Err(refusal(&self.place, &refused)),
            Ok(Answer::Accepted(_)) => Err(nonsense(&self.place, &"a second answer")),
            Err(error) => Err(nonsense(&self.place, &error)),
        }
    }

    /// Kind and payload of the next frame; its length is looked at before there is room for it.
    fn frame(&mut self, max_bytes: usize) -> Result<(u16, Vec<u8>), Failure> {
        let mut head = [0; FRAME_HEAD_BYTES];
        self.fill(&mut head)?;
        let head =
            FrameHead::parse(&head, max_bytes).map_err(|error| nonsense(&self.place, &error))?;
        if head.version != VERSION {
            let version = format!("version {} of the export protocol", head.version);
            return Err(nonsense(&self.place, &version));
        }
        let mut payload = vec![0; head.length];
        self.fill(&mut payload)?;
        Ok((head.kind, payload))
    }

    fn fill(&mut self, room: &mut [u8]) -> Result<(), Failure> {
        let (stream, place) = (&mut self.stream, &self.place);
        self.runtime.block_on(async {
            let mut filled = 0;
            while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match timeout(PATIENCE, stream.read(rest)).await {
                    Ok(Ok(Some(count))) => filled += count,
                    Ok(Ok(None)) => return Err(broken(place, &"the server ended it")),
                    Ok(Err(error)) => return Err(broken(place, &error)),
                    Err(_) => return Err(silent(place)),
                }
            }
            Ok(())
        })?;
        self.received_bytes += room.len() as u64;
        Ok(())
    }
}

impl Drop for Incoming {
    /// Tells the server, so that it gives the place to another at once.
    fn drop(&mut self) {
        self.runtime.block_on(async {
            self.connection.close(VarInt::from_u32(0), b"");
            let _ = timeout(GOODBYE, self.endpoint.wait_idle()).await;
        });
    }
}

fn unreachable(place: &str, reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Code::Unreachable,
        format!("cannot read from {place}: {reason}"),
    )
    .hint("the server needs export.listen in its config.toml, and its UDP port open")
}

fn broken(place: &str, reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Code::Unreachable,
        format!("the transfer from {place} broke off: {reason}"),
    )
    .hint("what came is kept; run the command again to go on from there")
}

fn silent(place: &str) -> Failure {
    Failure::new(Code::TimedOut, format!("{place} sent nothing for 30 s"))
        .hint("what came is kept; run the command again to go on from there")
}

fn nonsense(place: &str, reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Code::Failed,
        format!("{place} says what is no answer: {reason}"),
    )
    .hint("it may be another service, or a release that speaks another version")
}

fn refusal(place: &str, refused: &Refused) -> Failure {
    let (code, hint) = match refused.why() {
        Some(Why::NotAllowed) => (
            Code::KeyUnavailable,
            "run it on a member's data directory, or with --token-file; an operator makes a token with `belfry token create --scope read-all`",
        ),
        Some(Why::Token) => (
            Code::KeyUnavailable,
            "ask the operator for a new one: `belfry token create --scope read-all`",
        ),
        Some(Why::Busy) => (Code::TimedOut, "run the command again in a while"),
        Some(Why::Behind) => (
            Code::Failed,
            "ask another member, or wait until this one caught up",
        ),
        _ => (
            Code::Failed,
            "ask another member, or the operator of this one",
        ),
    };
    let reason = match refused.reason.as_str() {
        "" => format!("reason {}", refused.why),
        text => text.to_owned(),
    };
    Failure::new(code, format!("{place} refused: {reason}")).hint(hint)
}
