//! Between the engine on the writer thread and the network on its own: inputs one way, outputs the other. Drops what
//! does not fit a queue, because peers ask again; never waits on the writer thread.

use super::Renewer;
use crate::exit::{Code, Failure};
use crate::net::{
    self, InboundId, Multiaddr, NetCommand, NetConfig, NetEvent, NetHandle, PeerId,
    Protocol as NetProtocol, Topic as NetTopic, Verdict as NetVerdict,
};
use crate::node::Node;
use crate::store::{LedgerView, Placed, Reader};
use crate::writer::{Outlet, Writer};
use belfry_keys::NodeKeys;
use belfry_protocol::engine::federation::checks::Checks;
use belfry_protocol::engine::federation::serve::{self, EntrySource};
use belfry_protocol::engine::federation::{Free, Input, Promise, Protocol, Topic, Verdict};
use belfry_protocol::engine::store::{Place, StoreError};
use belfry_protocol::manifest::Federation;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, Tile};
use belfry_protocol::wire::v1::Get;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Events of the network that wait for the engine.
const EVENTS: usize = 256;
/// Answers with entries that are being read at once.
const SERVING: usize = 4;
/// Pause before a message is offered to a busy engine again.
const FULL_PAUSE: std::time::Duration = std::time::Duration::from_millis(2);
/// Longest frame: a tail with its head, as the engine has it, and room for the frame.
const MAX_FRAME: usize = (9 << 20) + 4_096;

/// The engine's outlet before and after the network is there.
#[derive(Clone, Default)]
pub struct Link {
    bound: Arc<Mutex<Option<Bound>>>,
}

#[derive(Clone)]
struct Bound {
    net: NetHandle,
    runtime: tokio::runtime::Handle,
    open: Arc<dyn Fn() -> Result<Reader, Failure> + Send + Sync>,
    inbound: Arc<Mutex<Inbound>>,
    serving: Arc<AtomicUsize>,
    writer: Writer,
    renewer: Renewer,
}

/// Requests of peers that wait for an answer, by our number.
#[derive(Default)]
struct Inbound {
    next: u64,
    waiting: BTreeMap<u64, InboundId>,
}

impl Link {
    fn bound(&self) -> Option<Bound> {
        self.bound
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Bound {
    fn send(&self, command: NetCommand) {
        if self.net.try_send(command).is_err() {
            tracing::debug!("a message was dropped: the network's queue is full");
        }
    }

    fn take(&self, id: u64) -> Option<InboundId> {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        inbound.waiting.remove(&id)
    }

    fn reply(&self, id: u64, bytes: Vec<u8>) {
        if let Some(id) = self.take(id) {
            self.send(NetCommand::Reply { id, bytes });
        }
    }

    fn no_answer(&self, id: u64) {
        if let Some(id) = self.take(id) {
            self.send(NetCommand::Drop { id });
        }
    }

    /// Every request gets one response, also one that never left: the engine waits for it.
    fn request(&self, peer: &str, id: u64, protocol: NetProtocol, bytes: Vec<u8>) {
        let sent = peer.parse().is_ok_and(|peer| {
            let request = NetCommand::Request {
                peer,
                id,
                protocol,
                bytes,
            };
            self.net.try_send(request).is_ok()
        });
        if !sent {
            tracing::debug!(%peer, "a request was dropped: the network's queue is full");
            // Full, too: then the engine is behind, and asks again after its pause.
            let _ = self.writer.message(Box::new(Input::Response {
                id,
                bytes: None,
                checks: Checks::default(),
            }));
        }
    }

    /// Makes new keys beside the engine.
    fn renew(&self, log_from_size: u64) {
        let renewer = self.renewer.clone();
        self.runtime
            .spawn_blocking(move || match renewer.renew(log_from_size) {
                Ok(serial) => tracing::warn!(
                    serial,
                    "caught up after a restore; from now on keys of a new serial sign"
                ),
                Err(error) => tracing::error!(%error, "no new keys, and so no acks"),
            });
    }

    /// Reads entries beside the engine, a few at a time.
    fn serve(&self, id: u64, place: Place, get: Get) {
        if self.serving.fetch_add(1, Ordering::AcqRel) >= SERVING {
            self.serving.fetch_sub(1, Ordering::AcqRel);
            return self.no_answer(id);
        }
        let this = self.clone();
        self.runtime.spawn_blocking(move || {
            match read(&this, place, &get) {
                Ok(bytes) => this.reply(id, bytes),
                Err(error) => {
                    tracing::warn!(%error, origin = get.origin.as_str(), "entries could not be served");
                    this.no_answer(id);
                }
            }
            this.serving.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

fn read(bound: &Bound, place: Place, get: &Get) -> Result<Vec<u8>, Failure> {
    let reader = (bound.open)()?;
    let origin = if place == Place::OWN {
        ""
    } else {
        get.origin.as_str()
    };
    let placed = Placed {
        place,
        origin: origin.to_owned(),
        flushable: 0,
        flushed: 0,
    };
    let source = Source {
        view: reader.ledger(&placed),
        size: get.tree_size,
    };
    Ok(serve::answer(get, &source)?)
}

/// One ledger up to the size that was asked for.
struct Source<'a> {
    view: LedgerView<'a>,
    size: u64,
}

impl TileSource for Source<'_> {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, StoreError> {
        self.view.tile(tile)
    }
}

impl EntrySource for Source<'_> {
    fn bundle(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        match Bundle::of_tree(index, self.size) {
            Some(wanted) => self.view.bundle(wanted),
            None => Ok(Vec::new()),
        }
    }
}

impl Outlet for Link {
    fn free(&mut self, output: Free) {
        let Some(bound) = self.bound() else { return };
        match output {
            Free::Request {
                peer,
                id,
                protocol,
                bytes,
            } => {
                let protocol = match protocol {
                    Protocol::Hello => NetProtocol::Hello,
                    Protocol::Sync => NetProtocol::Sync,
                };
                bound.request(&peer, id, protocol, bytes.into_inner());
            }
            Free::Reply { id, bytes } => bound.reply(id, bytes.into_inner()),
            Free::Serve { id, place, get } => bound.serve(id, place, get),
            Free::NoAnswer { id } => bound.no_answer(id),
            Free::Verdict { id, peer, verdict } => {
                let verdict = match verdict {
                    Verdict::Accept => NetVerdict::Accept,
                    Verdict::Ignore => NetVerdict::Ignore,
                    Verdict::Reject => NetVerdict::Reject,
                };
                if let Ok(from) = peer.parse() {
                    let id = net::GossipId(id);
                    bound.send(NetCommand::Verdict { id, from, verdict });
                }
            }
            Free::Admit { peer } => {
                tracing::info!(%peer, "a member said hello");
                if let Ok(peer) = peer.parse() {
                    bound.send(NetCommand::Admit(peer));
                }
            }
            Free::Disconnect { peer, why } => {
                tracing::warn!(%peer, %why, "hello failed");
                if let Ok(peer) = peer.parse() {
                    bound.send(NetCommand::Disconnect { peer });
                }
            }
        }
    }

    fn promise(&mut self, output: Promise) {
        if let Promise::Alarm(alarm) = &output {
            tracing::error!(?alarm, "ALARM");
        }
        let Some(bound) = self.bound() else { return };
        match output {
            Promise::Reply { id, bytes } => bound.reply(id, bytes.into_inner()),
            Promise::Request { peer, id, bytes } => {
                bound.request(&peer, id, NetProtocol::Sync, bytes.into_inner());
            }
            Promise::Publish { topic, bytes } => {
                let topic = match topic {
                    Topic::Digests => NetTopic::Digests,
                    Topic::Acks => NetTopic::Acks,
                };
                let bytes = bytes.into_inner();
                bound.send(NetCommand::Publish { topic, bytes });
            }
            Promise::TakeSerial { log_from_size } => bound.renew(log_from_size),
            Promise::Acked { size } => tracing::debug!(size, "acknowledged by a quorum"),
            Promise::Alarm(_) => {}
        }
    }
}

/// Starts the network of a member; it ends when the returned handle is told to close.
///
/// # Errors
/// When it cannot listen.
pub fn connect(
    node: &Node,
    link: &Link,
    federation: &Federation,
    keys: NodeKeys,
) -> Result<NetHandle, Failure> {
    let seed = keys.transport_seed().clone();
    let mut config = NetConfig::new(seed, federation.digest8());
    config.listen = node
        .config
        .net_transport
        .listen_on(node.config.net_listen.ip(), node.config.net_listen.port());
    config.max_frame = MAX_FRAME;
    let (events, mut arriving) = mpsc::channel(EVENTS);
    let (net, _task) = net::start(config, events).map_err(|error| {
        Failure::new(Code::Io, error.to_string())
            .hint("choose another address with net.listen in config.toml")
    })?;
    let (layout, disk) = (node.layout.clone(), node.disk());
    let bound = Bound {
        net: net.clone(),
        runtime: tokio::runtime::Handle::current(),
        open: Arc::new(move || Ok(Reader::open(layout.clone(), Arc::clone(&disk))?)),
        inbound: Arc::default(),
        serving: Arc::default(),
        writer: node.writer().clone(),
        renewer: Renewer::new(
            keys,
            federation.id(),
            node.writer().clone(),
            node.log_keys_cell(),
        ),
    };
    *link.bound.lock().unwrap_or_else(PoisonError::into_inner) = Some(bound.clone());
    let members = federation
        .manifest()
        .members
        .iter()
        .filter_map(|member| {
            let peer: PeerId = member.peer.parse().ok()?;
            let known = |address: &String| address.parse::<Multiaddr>().ok();
            Some((peer, member.addresses.iter().filter_map(known).collect()))
        })
        .filter(|(peer, _)| *peer != net.local_peer())
        .collect();
    bound.send(NetCommand::Members(members));
    let writer = node.writer().clone();
    tokio::spawn(async move {
        while let Some(event) = arriving.recv().await {
            // The engine may not keep up: wait for it, so that the network feels it and nothing is lost here.
            let Some(mut input) = translate(&bound, event).map(Box::new) else {
                continue;
            };
            while let Err(back) = writer.message(input) {
                input = back;
                tokio::time::sleep(FULL_PAUSE).await;
                if !writer.is_running() {
                    return;
                }
            }
        }
    });
    Ok(net)
}

fn translate(bound: &Bound, event: NetEvent) -> Option<Input> {
    let checks = Checks::default();
    match event {
        NetEvent::Up { peer, dialed, .. } => Some(Input::PeerUp {
            peer: peer.to_string(),
            dialed,
        }),
        NetEvent::Down { peer, reason } => {
            tracing::info!(%peer, %reason, "a peer is gone");
            Some(Input::PeerDown {
                peer: peer.to_string(),
            })
        }
        NetEvent::Request {
            peer,
            id,
            protocol,
            bytes,
        } => {
            let protocol = match protocol {
                NetProtocol::Hello => Protocol::Hello,
                NetProtocol::Sync => Protocol::Sync,
                NetProtocol::Join => {
                    bound.send(NetCommand::Drop { id });
                    return None;
                }
            };
            let mut inbound = bound.inbound.lock().unwrap_or_else(PoisonError::into_inner);
            inbound.next += 1;
            let number = inbound.next;
            inbound.waiting.insert(number, id);
            Some(Input::Request {
                peer: peer.to_string(),
                id: number,
                protocol,
                bytes,
                checks,
            })
        }
        NetEvent::Response { id, result, .. } => {
            if let Err(why) = &result {
                tracing::debug!(?why, "a request was not answered");
            }
            Some(Input::Response {
                id,
                bytes: result.ok(),
                checks,
            })
        }
        NetEvent::Gossip {
            from,
            id,
            topic,
            bytes,
        } => {
            let topic = match topic {
                NetTopic::Digests => Topic::Digests,
                NetTopic::Acks => Topic::Acks,
                NetTopic::Alarms | NetTopic::Genesis => {
                    let verdict = NetVerdict::Ignore;
                    bound.send(NetCommand::Verdict { id, from, verdict });
                    return None;
                }
            };
            Some(Input::Gossip {
                peer: from.to_string(),
                id: id.0,
                topic,
                bytes,
                checks,
            })
        }
        NetEvent::Listening(address) => {
            tracing::info!(%address, "listening for peers");
            None
        }
        NetEvent::DialFailed { peer, error } => {
            tracing::debug!(%peer, %error, "dial failed");
            None
        }
        NetEvent::Refused { peer, why } => {
            tracing::warn!(?peer, why, "the network refused");
            None
        }
        NetEvent::Subscribed { .. } => None,
    }
}
