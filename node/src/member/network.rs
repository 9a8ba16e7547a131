//! Starting and ending the network of a member: the transport, the pool of verifiers, and the task between them.
//! Owns every thread and task it starts.

use super::MAX_FRAME;
use super::arrive;
use super::bans::Bans;
use super::cost;
use super::link::{Bound, Link};
use super::lobby::Lobby;
use super::roster::Roster;
use super::verify::{self, Pool, PoolCounts};
use super::watch;
use super::windows;
use crate::drive::{Beside, Drive};
use crate::exit::{Code, Failure};
use crate::net::{self, NetCommand, NetConfig, NetHandle, Wire};
use crate::node::Node;
use crate::store::Reader;
use belfry_keys::NodeKeys;
use belfry_protocol::engine::federation::Input;
use belfry_protocol::manifest::Federation;
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

    /// Ends the tasks of a node with [`Drive::Tasks`] where they are, as the end of a process does.
    pub fn abort(self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
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
    connect_over(node, link, federation, keys, Wire::Sockets)
}

/// As [`connect`], over another wire.
///
/// # Errors
/// As [`connect`].
pub fn connect_over(
    node: &Node,
    link: &Link,
    federation: &Federation,
    keys: NodeKeys,
    wire: Wire,
) -> Result<Network, Failure> {
    let mut config = NetConfig::new(keys.transport_seed().clone(), federation.digest8());
    config.listen = node
        .config
        .net_transport
        .listen_on(node.config.net_listen.ip(), node.config.net_listen.port());
    config.wire = wire;
    config.max_frame = MAX_FRAME;
    // Amendments are as large as foundings.
    config.founding = true;
    config.entries_asked = cost::entries_asked;
    // Before anybody is dialled or let in.
    let bans = Arc::new(Bans::open(&node.layout)?);
    config.banned = bans.peers();
    config.relays.clone_from(&node.config.net_relay);
    config.circuits = uses_relays(federation);
    config.mdns = node.config.net_mdns;
    config.probe_every = node.config.clock_probe_interval;
    let (events, arriving) = mpsc::channel(EVENTS);
    let (net, task) = net::start(config, events).map_err(|error| {
        Failure::new(Code::Io, error.to_string())
            .hint("choose another address with net.listen in config.toml")
    })?;
    let (layout, disk) = (node.layout.clone(), node.disk());
    let counts = Arc::new(PoolCounts::default());
    node.renewer().hold(keys);
    let renewer = node.renewer().clone();
    let file = node.layout.genesis();
    let lobby = Lobby::new(
        federation,
        move || std::fs::read(&file),
        link.members.clone(),
    )?;
    let bound = Bound {
        net: net.clone(),
        beside: Beside::new(node.drive()),
        open: Arc::new(move || Ok(Reader::open(layout.clone(), Arc::clone(&disk))?)),
        inbound: Arc::default(),
        serving: Arc::default(),
        comparing: Arc::default(),
        unsent: Arc::default(),
        bans,
        lobby: Arc::new(lobby),
        ceremony: Arc::clone(&link.ceremony),
        roster: Arc::new(Roster::of(
            federation.manifest().members.iter(),
            net.local_peer(),
        )),
        repeats: Arc::default(),
        pool: Arc::clone(&counts),
        dropped: Arc::default(),
        tell: teller(node),
        keep: {
            let (layout, disk) = (node.layout.clone(), node.disk());
            let retention = node.config.windows_kept;
            windows::expire(&layout, retention);
            Arc::new(move |hash, bytes| {
                windows::keep(&layout, &*disk, hash, bytes)?;
                windows::expire(&layout, retention);
                Ok(())
            })
        },
        renew: Arc::new(move || renewer.renew_and_say()),
    };
    *link.bound.lock().unwrap_or_else(PoisonError::into_inner) = Some(bound.clone());
    if let Some(members) = link.members() {
        // The engine may know of members that left, and are needed still.
        bound.roster.enroll(&members, bound.net.local_peer());
    }
    bound.send_roster();
    let (pool, verifiers, checking) = verifiers(node, link, &counts)?;
    let delivery = tokio::spawn(arrive::deliver(bound, pool, arriving));
    let watching = tokio::spawn(watch::watch(net.clone(), node.writer().clone()));
    let mut tasks = vec![task, delivery, watching];
    tasks.extend(checking);
    Ok(Network {
        net,
        tasks,
        verifiers,
    })
}

/// Threads that check signatures, or a task.
type Verifiers = (
    Pool,
    Vec<JoinHandle<()>>,
    Option<tokio::task::JoinHandle<()>>,
);

fn verifiers(node: &Node, link: &Link, counts: &Arc<PoolCounts>) -> Result<Verifiers, Failure> {
    let (me, members) = (&node.config.name, &link.members);
    if node.drive() == Drive::Tasks {
        let (pool, task) = Pool::start_as_task(me, members, node.writer(), counts);
        return Ok((pool, Vec::new(), Some(task)));
    }
    let workers = node.config.net_verifiers;
    let workers = workers.unwrap_or_else(verify::workers_by_default);
    let (pool, threads) = Pool::start(workers, me, members, node.writer(), counts)?;
    Ok((pool, threads, None))
}

/// The way for small inputs of the runtime's own.
fn teller(node: &Node) -> Arc<dyn Fn(Input) -> bool + Send + Sync> {
    let writer = node.writer().clone();
    Arc::new(move |input| writer.message(Box::new(input)).is_ok())
}

/// Whether some member is reached through a relay.
fn uses_relays(federation: &Federation) -> bool {
    let mut members = federation.manifest().members.iter();
    members.any(|member| {
        let mut addresses = member.addresses.iter();
        addresses.any(|address| address.contains("/p2p-circuit"))
    })
}
