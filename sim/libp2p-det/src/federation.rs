//! A federation of whole nodes in one simulation: founded with real keys in a directory, started and killed one by one. May
//! not decide what is right: it says what nodes say of themselves.

use crate::wire::{FIRST_PORT, Net};
use belfry_keys::KeyDir;
use belfry_node::disk::{Disk, RealDisk};
use belfry_node::drive::Drive;
use belfry_node::exit::Failure;
use belfry_node::member::{self, Network};
use belfry_node::net::Transport;
use belfry_node::node::Node;
use belfry_node::store::Layout;
use belfry_node::writer::{Answer, Request};
use belfry_node::{config, founding, writer};
use belfry_protocol::engine::federation::Status;
use belfry_protocol::entry::json::Json;
use belfry_sim::heads::{Head, contents};
use belfry_sim::plan::Seat;
use belfry_sim::work;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Why a federation cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// A node says why.
    #[error("{name}: {why}")]
    Node {
        /// Which.
        name: String,
        /// Its words.
        why: String,
    },
    /// The directory.
    #[error("a directory for the simulated nodes: {0}")]
    Directory(#[from] std::io::Error),
}

fn failed(name: &str, why: &impl ToString) -> FederationError {
    FederationError::Node {
        name: name.to_owned(),
        why: why.to_string(),
    }
}

/// A machine.
struct Host {
    seat: Seat,
    layout: Layout,
    /// The process, while it runs.
    process: Option<(Node, Network)>,
}

/// All of them.
pub struct Federation {
    net: Net,
    hosts: Vec<Host>,
    _home: TempDir,
}

/// The answer to an append, when it is durable.
pub type Appended = oneshot::Receiver<Result<Answer, writer::Failure>>;

/// Where nothing is written to a real disk, if there is such a place: syncs cost real time and no simulated time.
const IN_MEMORY: &str = "/dev/shm";

fn home() -> std::io::Result<TempDir> {
    let place = tempfile::Builder::new();
    let memory = Path::new(IN_MEMORY);
    if memory.is_dir()
        && let Ok(home) = tempfile::Builder::new().tempdir_in(memory)
    {
        return Ok(home);
    }
    place.tempdir()
}

fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

impl Federation {
    /// Founds one; nobody runs yet. Must be called within a simulation.
    ///
    /// # Errors
    /// [`FederationError`].
    pub fn found(seats: &[Seat], net: Net) -> Result<Self, FederationError> {
        let home = home()?;
        let (mut hosts, mut members, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (seat, port) in seats.iter().zip(FIRST_PORT..) {
            let name = &seat.name;
            let layout = Layout::new(home.path().join(port.to_string()));
            let made = founding::make(&layout, name, seat.factory, port, Transport::Tcp);
            let made = made.map_err(|error| failed(name, &error))?;
            let mut member = founding::describe(&made, seat.factory, port, Transport::Tcp);
            member.tower = seat.tower;
            members.push(member);
            keys.push(made);
            hosts.push(Host {
                seat: seat.clone(),
                layout,
                process: None,
            });
        }
        let signed = founding::sign("Simulated", members, &keys);
        let manifest = signed
            .map_err(|error| failed("the manifest", &error))?
            .to_json();
        for host in &hosts {
            member::install(&host.layout, real(), manifest.as_bytes())
                .map_err(|error| failed(&host.seat.name, &error))?;
        }
        Ok(Self {
            net,
            hosts,
            _home: home,
        })
    }

    /// The network between them.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// How many nodes there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.hosts.len()
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// [`FederationError::Node`].
    pub fn start(&mut self, at: usize) -> Result<(), FederationError> {
        let net = self.net.clone();
        let host = &mut self.hosts[at];
        if host.process.is_some() {
            return Ok(());
        }
        let started = start(&host.layout, &net, at);
        host.process = Some(started.map_err(|error| failed(&host.seat.name, &error))?);
        Ok(())
    }

    /// Ends a process as `kill -9` does: nothing more leaves it, and what is not durable is lost.
    pub fn kill(&mut self, at: usize) {
        if let Some((node, network)) = self.hosts[at].process.take() {
            network.abort();
            node.abort();
        }
    }

    fn node(&self, at: usize) -> Option<&Node> {
        self.hosts[at].process.as_ref().map(|(node, _)| node)
    }

    /// Gives a factory an entry; `None` while it does not run.
    #[must_use]
    pub fn append(&self, at: usize, body: Json) -> Option<Appended> {
        let (answer, appended) = oneshot::channel();
        let request = Request::System {
            kind: work::KIND,
            body,
        };
        let reply = Box::new(move |result| drop(answer.send(result)));
        self.node(at)?.writer().try_send(request, reply);
        Some(appended)
    }

    /// How far a node is; `None` while it does not run.
    pub async fn status(&self, at: usize) -> Option<Status> {
        self.node(at)?.writer().status_soon().await
    }

    /// The ledgers of all factories that run.
    ///
    /// # Errors
    /// [`FederationError::Node`] when one cannot be read.
    pub fn heads(&self) -> Result<Vec<Head>, FederationError> {
        let factories = (0..self.count()).filter(|at| self.hosts[*at].seat.factory);
        let heads = factories.filter_map(|at| {
            let name = &self.hosts[at].seat.name;
            let head = head(self.node(at)?);
            Some(head.map_err(|error| failed(name, &error)))
        });
        heads.collect()
    }

    /// Whether everybody runs, is connected to everybody, and holds and acknowledged the same; if not, what is missing.
    ///
    /// # Errors
    /// What is missing.
    pub async fn is_well(&self) -> Result<(), String> {
        let mut statuses = Vec::new();
        for (at, host) in self.hosts.iter().enumerate() {
            let name = &host.seat.name;
            let status = self.status(at).await;
            let status = status.ok_or_else(|| format!("{name} does not run"))?;
            let missing = status
                .peers
                .iter()
                .find(|peer| !peer.connected && peer.name != *name);
            if let Some(peer) = missing {
                return Err(format!("{name} is not connected to {}", peer.name));
            }
            statuses.push(status);
        }
        let factories = self.hosts.iter().enumerate();
        for (at, host) in factories.filter(|(_, host)| host.seat.factory) {
            let (name, status) = (&host.seat.name, &statuses[at]);
            let size = self.node(at).map_or(0, |node| node.published().size);
            if status.phase != "active" || status.acked < size {
                let (phase, acked) = (&status.phase, status.acked);
                return Err(format!("{name} is {phase}, {acked} of {size} are acked"));
            }
            let others = self.hosts.iter().zip(&statuses).enumerate();
            for (_, (tower, status)) in
                others.filter(|(other, (tower, _))| tower.seat.tower && *other != at)
            {
                let mirror = status.mirrors.iter().find(|mirror| mirror.origin == *name);
                let (held, acked) = mirror.map_or((0, 0), |mirror| (mirror.held, mirror.acked));
                if size > 0 && (held < size || acked < size) {
                    let tower = &tower.seat.name;
                    return Err(format!(
                        "{name} has {size} entries; {tower} holds {held} and acked {acked}"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn start(layout: &Layout, net: &Net, at: usize) -> Result<(Node, Network), Failure> {
    let (config, _) = config::load(&layout.config(), &BTreeMap::new(), &BTreeMap::new())?;
    let keys = || {
        KeyDir::open(layout.dir(), || Ok(None)).map_err(|error| {
            Failure::new(belfry_node::exit::Code::KeyUnavailable, error.to_string())
        })
    };
    let node = Node::open_driven(layout.clone(), config, &keys()?, real(), Drive::Tasks)?;
    let Some((federation, link)) = node.membership() else {
        let code = belfry_node::exit::Code::ConfigInvalid;
        return Err(Failure::new(code, "it belongs to no federation"));
    };
    let network = member::connect_over(&node, link, &federation, keys()?, net.wire(at))?;
    Ok((node, network))
}

fn head(node: &Node) -> Result<Head, Failure> {
    let reader = node.reader()?;
    let head = reader.head()?;
    let size = head.size();
    let entries = (0..size).map(|index| reader.entry(index, size));
    let entries: Vec<Vec<u8>> = entries.collect::<Result<_, _>>()?;
    let contents = contents(&entries).map_or_else(|error| error.to_string(), |hash| hash.to_hex());
    Ok(Head {
        origin: node.config.name.clone(),
        size,
        root: head.root().to_hex(),
        signed: head.signed.unwrap_or(0),
        acked: node.published().acked,
        contents,
    })
}
