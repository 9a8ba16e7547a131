//! The endpoint: how many may connect and read at once. Members always find room that strangers cannot take.

use super::ledgers::Ledgers;
use super::{serve, tls};
use crate::exit::{Code, Failure};
use libp2p::PeerId;
use quinn::{Connection, Endpoint, Incoming, VarInt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// Connections of members at once: more than fetch at the same time.
const MEMBERS: usize = 32;
/// Connections of keys that are no member's: auditors, and whoever else tries.
const STRANGERS: usize = 16;
/// Connections that have not shown a key yet.
const HANDSHAKES: usize = 16;
/// Exports at once. Each may hold two batches of the longest bundles, 17 MiB each, and what is on its way.
const EXPORTS: usize = 8;
/// Of these, exports to whom no key or token is asked of.
const PUBLIC_EXPORTS: usize = 4;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a closing endpoint waits for its readers to hear of it.
const GOODBYE: Duration = Duration::from_secs(1);
/// What readers are told when the node ends.
const ENDING: VarInt = VarInt::from_u32(0);
/// What is told to whom there is no room for.
const NO_ROOM: VarInt = VarInt::from_u32(2);

/// What the endpoint did since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Exports that run.
    pub running: AtomicU64,
    /// Exports that were sent whole.
    pub done: AtomicU64,
    /// Asks that were refused.
    pub refused: AtomicU64,
    /// Bytes handed to the transport.
    pub sent_bytes: AtomicU64,
}

/// What others see of an endpoint.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who it is to its readers.
    pub peer: PeerId,
    /// What it did.
    pub counts: Arc<Counts>,
}

impl Shown {
    /// As `status` has it.
    #[must_use]
    pub fn json(&self) -> Value {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        json!({
            "listening": format!("quic://{}", self.address), "peer": self.peer.to_string(),
            "running": read(&counts.running), "done": read(&counts.done), "refused": read(&counts.refused),
            "sent_bytes": read(&counts.sent_bytes),
        })
    }
}

/// The places for exports.
pub(super) struct Places {
    all: Semaphore,
    public: Semaphore,
    pub(super) counts: Arc<Counts>,
}

/// One place, free again when dropped.
pub(super) struct Taken<'a> {
    _all: SemaphorePermit<'a>,
    _public: Option<SemaphorePermit<'a>>,
    counts: &'a Counts,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.counts.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    /// A place, if one is free.
    pub(super) fn take(&self, stranger: bool) -> Option<Taken<'_>> {
        let public = match stranger {
            true => Some(self.public.try_acquire().ok()?),
            false => None,
        };
        let all = self.all.try_acquire().ok()?;
        self.counts.running.fetch_add(1, Ordering::Relaxed);
        Some(Taken {
            _all: all,
            _public: public,
            counts: &self.counts,
        })
    }
}

/// A running endpoint.
pub struct Server {
    endpoint: Endpoint,
    task: JoinHandle<()>,
    address: SocketAddr,
    peer: PeerId,
    counts: Arc<Counts>,
}

impl Server {
    /// Listens. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// When it cannot.
    pub fn start(listen: SocketAddr, seed: &[u8; 32], ledgers: Ledgers) -> Result<Self, Failure> {
        let mut seed = zeroize::Zeroizing::new(*seed);
        let key = tls::key(&mut seed)?;
        let bound = Endpoint::server(tls::server(&key)?, listen);
        let cannot = |error: std::io::Error| {
            Failure::new(
                Code::Io,
                format!("cannot listen for exports on {listen} (UDP): {error}"),
            )
            .hint("another program may use the port; choose one with export.listen in config.toml")
        };
        let endpoint = bound.map_err(cannot)?;
        let address = endpoint.local_addr().map_err(cannot)?;
        let counts = Arc::new(Counts::default());
        let places = Arc::new(Places {
            all: Semaphore::new(EXPORTS),
            public: Semaphore::new(PUBLIC_EXPORTS),
            counts: Arc::clone(&counts),
        });
        let task = tokio::spawn(accept(endpoint.clone(), Arc::new(ledgers), places));
        Ok(Self {
            endpoint,
            task,
            address,
            peer: key.public().to_peer_id(),
            counts,
        })
    }

    /// What others see of it.
    #[must_use]
    pub fn shown(&self) -> Shown {
        Shown {
            address: self.address,
            peer: self.peer,
            counts: Arc::clone(&self.counts),
        }
    }

    /// Ends every export and joins what serves them.
    pub async fn close(self) {
        self.endpoint.close(ENDING, b"the node ends");
        if self.task.await.is_err() {
            tracing::error!("the export endpoint panicked");
        }
        let _ = timeout(GOODBYE, self.endpoint.wait_idle()).await;
    }
}

/// Room for connections, by how far they are.
struct Rooms {
    handshakes: Arc<Semaphore>,
    strangers: Semaphore,
    members: Semaphore,
}

/// Takes connections until the endpoint is closed.
async fn accept(endpoint: Endpoint, ledgers: Arc<Ledgers>, places: Arc<Places>) {
    let rooms = Arc::new(Rooms {
        handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        strangers: Semaphore::new(STRANGERS),
        members: Semaphore::new(MEMBERS),
    });
    let mut tasks = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        // What has ended is dropped, so that the set stays as small as the number of connections.
        while tasks.try_join_next().is_some() {}
        // An address proves itself first: nobody makes us answer somebody else, or fills the rooms with false ones.
        if !incoming.remote_address_validated() {
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
            continue;
        }
        match Arc::clone(&rooms.handshakes).try_acquire_owned() {
            Err(_) => incoming.refuse(),
            Ok(room) => {
                let all = (
                    Arc::clone(&rooms),
                    Arc::clone(&ledgers),
                    Arc::clone(&places),
                );
                tasks.spawn(connected(incoming, room, all));
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn connected(
    incoming: Incoming,
    handshake: OwnedSemaphorePermit,
    (rooms, ledgers, places): (Arc<Rooms>, Arc<Ledgers>, Arc<Places>),
) {
    let from = incoming.remote_address();
    let Ok(connecting) = incoming.accept() else {
        return;
    };
    let Ok(Ok(connection)) = timeout(HANDSHAKE, connecting).await else {
        tracing::debug!(%from, "a handshake of the export endpoint failed");
        return;
    };
    let Some(peer) = tls::peer_of(&connection) else {
        return connection.close(NO_ROOM, b"no transport key");
    };
    let asked = Arc::clone(&ledgers);
    let member = tokio::task::spawn_blocking(move || asked.member(peer)).await;
    let rooms = match member {
        Ok(Some(_)) => &rooms.members,
        _ => &rooms.strangers,
    };
    let Ok(_room) = rooms.try_acquire() else {
        return connection.close(
            NO_ROOM,
            b"as many are connected as may; try again in a while",
        );
    };
    drop(handshake);
    streams(&connection, peer, ledgers, places).await;
}

/// Serves the streams of a connection until it is closed; the transport lets it have few at once.
async fn streams(
    connection: &Connection,
    peer: PeerId,
    ledgers: Arc<Ledgers>,
    places: Arc<Places>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let next = timeout(tls::IDLE, connection.accept_bi()).await;
        while tasks.try_join_next().is_some() {}
        match next {
            Ok(Ok(stream)) => {
                let (ledgers, places) = (Arc::clone(&ledgers), Arc::clone(&places));
                tasks.spawn(serve::serve(ledgers, places, peer, stream));
            }
            Ok(Err(_)) => break,
            // Who only keeps a connection alive takes a place from others.
            Err(_) if tasks.is_empty() => {
                connection.close(NO_ROOM, b"nothing was asked for");
                break;
            }
            Err(_) => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}
