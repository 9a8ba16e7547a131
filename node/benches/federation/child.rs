//! A node of the bench as a process of its own: opens its directory on the slow disk, joins its federation, and obeys
//! commands on standard input, one line each, with one line of JSON as the answer. Ends when nobody commands any more.

use crate::SYNC;
use crate::appending;
use belfry_keys::{KeyDir, NodeKeys};
use belfry_node::config;
use belfry_node::disk::FixedSyncDisk;
use belfry_node::export;
use belfry_node::member;
use belfry_node::member::Network;
use belfry_node::net::{NetCommand, Topic};
use belfry_node::node::Node;
use belfry_node::store::Layout;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::tlog::hash::leaf_hash;
use belfry_protocol::wire::v1::Kind;
use belfry_protocol::wire::{Frame, Version};
use serde_json::{Value, json};
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How often a node that waits for its own progress looks: asking costs the writer thread a step.
const LOOK: Duration = Duration::from_millis(2);

/// Entries that a factory owes when it is founded: its certificate and its rules.
const FOUNDING: u64 = 2;

struct Running {
    node: Arc<Node>,
    /// Ends with the process.
    _network: Network,
    keys: NodeKeys,
    runtime: Runtime,
    /// Digests that are signed and not published yet, the last one first.
    signed: Vec<Vec<u8>>,
    /// Ends with the process.
    export: Option<export::Server>,
}

pub(crate) fn run(dir: &Path) {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_writer(std::io::stderr).init();
    let layout = Layout::new(dir);
    let keys = KeyDir::open(dir, || Ok(None)).unwrap();
    let (config, _) =
        config::load(&layout.config(), &Default::default(), &Default::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let node = Arc::new(
        Node::open_on(
            layout,
            config,
            &keys,
            Arc::new(FixedSyncDisk { sync: SYNC }),
        )
        .unwrap(),
    );
    let own = KeyDir::open(dir, || Ok(None)).unwrap();
    let net = runtime.block_on(join(&node, own));
    let mut running = Running {
        node,
        _network: net,
        keys,
        runtime,
        signed: Vec::new(),
        export: None,
    };
    println!("{}", json!({ "ready": true }));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
        println!("{}", running.obey(words[0], &numbers));
    }
}

/// Starts the network, and appends what the node owes once it may, as `belfry run` does.
#[allow(clippy::unused_async, reason = "it must run inside the runtime")]
async fn join(node: &Arc<Node>, keys: NodeKeys) -> Network {
    let (federation, link) = node.membership().unwrap();
    let net = member::connect(node, link, &federation, keys).unwrap();
    let mut published = node.writer().published();
    let node = Arc::clone(node);
    tokio::spawn(async move {
        if published.wait_for(|now| now.appends).await.is_ok()
            && node.config.role.contains("factory")
        {
            let settled = tokio::task::spawn_blocking(move || node.settle());
            settled.await.unwrap().unwrap();
        }
    });
    net
}

impl Running {
    fn obey(&mut self, command: &str, numbers: &[u64]) -> Value {
        match (command, numbers) {
            ("status", []) => self.status(),
            ("latency", [seconds, per_second]) => {
                appending::latency(&self.node, &self.runtime, *seconds, *per_second)
            }
            ("load", [seconds]) => appending::load(&self.node, *seconds),
            ("fill", [bytes, length]) => appending::fill(&self.node, *bytes, *length as usize),
            ("export", []) => self.export(),
            ("sign", [first, count]) => self.sign(*first, *count),
            ("publish", [count]) => self.publish(*count as usize),
            ("seen", [size]) => self.wait_for("seen", *size),
            ("held", [size]) => self.wait_for("held", *size),
            _ => panic!("no such command: {command} {numbers:?}"),
        }
    }

    /// Serves exports to members.
    fn export(&mut self) -> Value {
        let (federation, _) = self.node.membership().unwrap();
        let place = (self.node.layout.clone(), self.node.disk());
        let federation = Some(federation.clone());
        let ledgers = export::Ledgers::new(
            place,
            self.keys.name(),
            Box::new(move || federation.clone()),
            None,
            Arc::default(),
        );
        let _inside = self.runtime.enter();
        let listen = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        let seed = self.keys.transport_seed();
        let server = export::Server::start(listen, seed, ledgers.unwrap()).unwrap();
        let shown = server.shown();
        self.export = Some(server);
        json!({ "address": shown.address.to_string(), "peer": shown.peer.to_string() })
    }

    fn status(&self) -> Value {
        let published = self.node.published();
        let status = self.node.writer().status().unwrap();
        let mirror = status.mirrors.first();
        let refused: serde_json::Map<String, Value> = status
            .refused
            .iter()
            .map(|(why, count)| ((*why).to_owned(), json!(count)))
            .collect();
        json!({
            "phase": status.phase, "size": published.size, "acked": published.acked, "commits": published.commits,
            "held": mirror.map_or(0, |mirror| mirror.held), "seen": mirror.map_or(0, |mirror| mirror.seen),
            "refused": refused,
        })
    }

    /// Waits until the mirrored ledger is as large, and says how long that took.
    fn wait_for(&self, what: &str, size: u64) -> Value {
        let began = Instant::now();
        let mut first = None;
        loop {
            let status = self.status();
            if status[what].as_u64() > Some(FOUNDING) {
                first.get_or_insert(began.elapsed().as_secs_f64());
            }
            if status[what].as_u64() >= Some(size) {
                return json!({ "seconds": began.elapsed().as_secs_f64(), "first": first, "status": status });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Signs digests of this ledger's sizes from `first` on, none of which has entries.
    fn sign(&mut self, first: u64, count: u64) -> Value {
        let frame = |size: u64| {
            let digest = Checkpoint {
                origin: self.keys.name().to_owned(),
                size,
                root: leaf_hash(&size.to_be_bytes()),
            };
            let note = digest.sign(self.keys.log_key()).unwrap().to_string();
            Frame::encode(Version::V1_0, Kind::Digest.number(), note.as_bytes())
        };
        self.signed = (first..first + count).rev().map(frame).collect();
        json!({ "bytes": self.signed[0].len() })
    }

    fn publish(&mut self, count: usize) -> Value {
        for _ in 0..count {
            let bytes = self.signed.pop().unwrap();
            let topic = Topic::Digests;
            let command = NetCommand::Publish { topic, bytes };
            let net = self.node.membership().unwrap().1.net().unwrap();
            self.runtime.block_on(net.send(command)).unwrap();
        }
        json!({ "published": count })
    }
}
