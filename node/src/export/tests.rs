//! What a stranger may say to the endpoint: nothing but an ask, soon, and short. A raw QUIC client, so that it can say what
//! the reader of this crate never would.

use super::{Ledgers, Server, Shown, tls};
use crate::disk::RealDisk;
use crate::store::Layout;
use belfry_protocol::export::message::Answer;
use belfry_protocol::export::{Ask, Kind, MAX_ASK_BYTES, Why};
use belfry_protocol::wire::codec::Text;
use belfry_protocol::wire::{Frame, Version};
use quinn::{Connection, Endpoint};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::TempDir;

struct Serving {
    _home: TempDir,
    server: Server,
    shown: Shown,
    client: Endpoint,
}

/// An endpoint over a directory without a node.
fn serve() -> Serving {
    let home = TempDir::new().unwrap();
    let ledgers = Ledgers::new(
        (Layout::new(home.path()), Arc::new(RealDisk)),
        "a.example",
        Box::new(|| None),
        None,
        Arc::new(AtomicBool::new(false)),
    );
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let server = Server::start(listen, &[1; 32], ledgers.unwrap()).unwrap();
    Serving {
        shown: server.shown(),
        server,
        _home: home,
        client: Endpoint::client(listen).unwrap(),
    }
}

impl Serving {
    async fn connect(&self, alpn: Option<&[u8]>) -> Result<Connection, String> {
        let key = tls::key(&mut [2; 32]).unwrap();
        let config = match alpn {
            None => tls::client(&key).unwrap(),
            Some(other) => {
                let mut tls = libp2p_tls::make_client_config(&key, None).unwrap();
                tls.alpn_protocols = vec![other.to_vec()];
                let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
                quinn::ClientConfig::new(Arc::new(crypto))
            }
        };
        let connecting = self.client.connect_with(config, self.shown.address, "x");
        connecting.unwrap().await.map_err(|error| error.to_string())
    }

    /// The answer to whatever is said.
    async fn say(&self, bytes: &[u8]) -> Answer {
        let connection = self.connect(None).await.unwrap();
        assert_eq!(tls::peer_of(&connection), Some(self.shown.peer));
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // The server may stop listening before all is said.
        let _ = send.write_all(bytes).await;
        let _ = send.finish();
        let answer = receive.read_to_end(1 << 20).await.unwrap();
        connection.close(0u32.into(), b"");
        Answer::parse(&answer).unwrap()
    }

    async fn refused(&self, bytes: &[u8]) -> Option<Why> {
        match self.say(bytes).await {
            Answer::Refused(refused) => refused.why(),
            Answer::Accepted(_) => panic!("it was accepted"),
        }
    }
}

fn ask() -> Vec<u8> {
    Ask {
        origin: Text::new("a.example").unwrap(),
        from: 0,
        token: Text::default(),
    }
    .to_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_no_ask_is_refused_as_such() {
    let serving = serve();
    assert_eq!(serving.refused(&ask()).await, Some(Why::NotAllowed));
    let newer = Version { major: 2, minor: 0 };
    let garbage: [Vec<u8>; 6] = [
        Vec::new(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ask()[..20].to_vec(),
        [ask(), ask()].concat(),
        Frame::encode(newer, Kind::Ask.number(), &[]),
        Kind::Accepted.frame(&[]),
    ];
    for bytes in &garbage {
        assert_eq!(
            serving.refused(bytes).await,
            Some(Why::Malformed),
            "{bytes:?}"
        );
    }
    let long = vec![b'B'; 2 * MAX_ASK_BYTES];
    assert_eq!(serving.refused(&long).await, Some(Why::Malformed));
    serving.server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_refused_and_others_are_not_kept() {
    let serving = serve();
    let silent = serving.connect(None).await.unwrap();
    let (mut send, mut receive) = silent.open_bi().await.unwrap();
    send.write_all(b"BLFR").await.unwrap();
    assert_eq!(serving.refused(&ask()).await, Some(Why::NotAllowed));
    let answer = tokio::time::timeout(Duration::from_secs(60), receive.read_to_end(1 << 10));
    let Ok(Answer::Refused(refused)) = Answer::parse(&answer.await.unwrap().unwrap()) else {
        panic!("it was accepted");
    };
    assert_eq!(refused.why(), Some(Why::Malformed));
    serving.server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_get_no_connection() {
    let serving = serve();
    assert!(serving.connect(Some(b"libp2p")).await.is_err());
    assert!(serving.connect(Some(b"h3")).await.is_err());
    serving.server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_fill_their_own_room_only() {
    let serving = serve();
    let mut open = Vec::new();
    // One more than there is room for, and as many as wait at the door.
    for _ in 0..20 {
        if let Ok(connection) = serving.connect(None).await {
            open.push(connection);
        }
    }
    let mut closed = 0;
    for connection in &open {
        let waiting = Duration::from_millis(300);
        let reason = tokio::time::timeout(waiting, connection.closed()).await;
        closed += usize::from(reason.is_ok());
    }
    assert_eq!(open.len() - closed, 16);
    for connection in open {
        connection.close(0u32.into(), b"");
    }
    serving.server.close().await;
}
