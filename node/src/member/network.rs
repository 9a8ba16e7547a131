//! Starting and ending the network of a member: the transport, the pool of verifiers, and the task between them.
//! Owns every thread and task it starts.

use super::arrive;
use super::bans::Bans;
use super::cost;
use super::link::{Bound, Link};
use super::lobby::Lobby;
use super::verify::{self, Pool, PoolCounts};
use super::watch;
use super::{MAX_FRAME, Renewer, peers_of};
use crate::exit::{Code, Failure};
use crate::net::{self, NetCommand, NetConfig, NetHandle, PeerId};
use crate::node::Node;
use crate::store::Reader;
use belfry_keys::NodeKeys;
use belfry_protocol::manifest::Federation;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Events of the network that wait for the engine.
const EVENTS: usize = 256;

/// The running network of a member.
pub struct Network {
    net: NetHandle,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    verifiers: Vec<JoinHandle<()>>,
}

impl Network {
    /// Closes all connections, hands over what has arrived, and ends every task and thread. The writer must still run.
    pub async fn close(self) {
        let _stopped = self.net.send(NetCommand::Close).await;
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("a task of the network panicked");
            }
        }
        let verifiers = self.verifiers;
        let joined = tokio::task::spawn_blocking(move || {
            let ended = verifiers.into_iter().map(JoinHandle::join);
            ended.filter(Result::is_err).count()
        });
        if !matches!(joined.await, Ok(0)) {
            tracing::error!("a verifier panicked");
        }
    }
}

/// Starts the network of a member.
///
/// # Errors
/// When it cannot listen.
pub fn connect(
    node: &Node,
    link: &Link,
    federation: &Federation,
    keys: NodeKeys,
) -> Result<Network, Failure> {
    let mut config = NetConfig::new(keys.transport_seed().clone(), federation.digest8());
    config.listen = node
        .config
        .net_transport
        .listen_on(node.config.net_listen.ip(), node.config.net_listen.port());
    config.max_frame = MAX_FRAME;
    config.entries_asked = cost::entries_asked;
    let manifest = std::fs::read(node.layout.genesis())?;
    // Before anybody is dialled or let in.
    let bans = Arc::new(Bans::open(&node.layout)?);
    config.banned = bans.peers();
    config.relays.clone_from(&node.config.net_relay);
    config.circuits = uses_relays(federation);
    config.mdns = node.config.net_mdns;
    let (events, arriving) = mpsc::channel(EVENTS);
    let (net, task) = net::start(config, events).map_err(|error| {
        Failure::new(Code::Io, error.to_string())
            .hint("choose another address with net.listen in config.toml")
    })?;
    let (layout, disk) = (node.layout.clone(), node.disk());
    let counts = Arc::new(PoolCounts::default());
    let members = peers_of(federation, net.local_peer());
    let cell = node.log_keys_cell();
    let renewer = Renewer::new(keys, federation.id(), node.writer().clone(), cell);
    let lobby = Lobby::new(federation, manifest, link.members.clone());
    let bound = Bound {
        net: net.clone(),
        runtime: tokio::runtime::Handle::current(),
        open: Arc::new(move || Ok(Reader::open(layout.clone(), Arc::clone(&disk))?)),
        inbound: Arc::default(),
        serving: Arc::default(),
        unsent: Arc::default(),
        bans,
        lobby: Arc::new(lobby),
        others: Arc::new(names_of(federation, net.local_peer())),
        repeats: Arc::default(),
        pool: Arc::clone(&counts),
        dropped: Arc::default(),
        renew: Arc::new(move |log_from_size| renewer.renew_and_say(log_from_size)),
    };
    *link.bound.lock().unwrap_or_else(PoisonError::into_inner) = Some(bound.clone());
    bound.send(NetCommand::Members(members));
    let workers = node.config.net_verifiers;
    let workers = workers.unwrap_or_else(verify::workers_by_default);
    let (pool, verifiers) = Pool::start(
        workers,
        &node.config.name,
        &link.members,
        node.writer(),
        &counts,
    )?;
    let delivery = tokio::spawn(arrive::deliver(bound, pool, arriving));
    let watching = tokio::spawn(watch::watch(net.clone(), node.writer().clone()));
    Ok(Network {
        net,
        tasks: vec![task, delivery, watching],
        verifiers,
    })
}

/// Names of the members by transport id, without this node's own.
pub(super) fn names_of(federation: &Federation, local: PeerId) -> BTreeMap<PeerId, String> {
    let members = federation.manifest().members.iter();
    members
        .filter_map(|member| Some((member.peer.parse().ok()?, member.name.clone())))
        .filter(|(peer, _)| *peer != local)
        .collect()
}

/// Whether some member is reached through a relay.
fn uses_relays(federation: &Federation) -> bool {
    let mut members = federation.manifest().members.iter();
    members.any(|member| {
        let mut addresses = member.addresses.iter();
        addresses.any(|address| address.contains("/p2p-circuit"))
    })
}
