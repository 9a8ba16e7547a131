//! Gossip: how fast two bare transports echo, how fast digests are verified where they arrive, and how fast a whole
//! tower takes them. Messages are published a window at a time, so that gossipsub's queues never drop any.

use crate::cluster::Cluster;
use crate::process::Watch;
use crate::references::{MESSAGE_BYTES, References};
use belfry_node::net::{
    self, NetCommand, NetConfig, NetEvent, NetHandle, Quota, Resource, Topic, Transport, Verdict,
};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::leaf_hash;
use belfry_protocol::wire::v1::Kind;
use belfry_protocol::wire::{Frame, Version};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

const ECHOES: u64 = 20_000;
const DIGESTS: u64 = 20_000;
/// Messages on their way at once.
const WINDOW: u64 = 512;
/// The same at a tower, whose verifiers drop gossip that is more than 256 messages behind; two windows are on their way.
const TOWER_WINDOW: u64 = 120;
/// Events that wait, as in a node.
const EVENTS: usize = 256;
/// Pause between two looks whether both sides speak.
const LOOK: Duration = Duration::from_millis(100);
const UNLIMITED: Quota = Quota {
    per_second: 1e12,
    burst: 1e12,
};
const ORIGIN: &str = "bench.example/digests";

struct Bare {
    handle: NetHandle,
    events: mpsc::Receiver<NetEvent>,
}

impl Bare {
    fn new(seed: u8) -> Self {
        let mut config = NetConfig::new(Zeroizing::new([seed; 32]), "0123abcd".to_owned());
        // What the stack can carry, not what a peer may send.
        for resource in [Resource::Gossip, Resource::GossipBytes] {
            config.limits = config.limits.with(resource, UNLIMITED);
        }
        config.listen = Transport::Tcp.listen_on(Ipv4Addr::LOCALHOST.into(), 0);
        let (sender, events) = mpsc::channel(EVENTS);
        let (handle, _task) = net::start(config, sender).unwrap();
        Self { handle, events }
    }

    async fn send(&self, command: NetCommand) {
        self.handle.send(command).await.unwrap();
    }

    async fn until<T>(&mut self, pick: impl Fn(NetEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(self.events.recv().await.unwrap()) {
                return found;
            }
        }
    }

    /// The next gossip message, accepted if `judge` says so.
    async fn gossip(&mut self, judge: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let (from, id, bytes) = self
            .until(|event| match event {
                NetEvent::Gossip {
                    from, id, bytes, ..
                } => Some((from, id, bytes)),
                _ => None,
            })
            .await;
        let verdict = if judge(&bytes) {
            Verdict::Accept
        } else {
            Verdict::Reject
        };
        self.send(NetCommand::Verdict { id, from, verdict }).await;
        bytes
    }

    async fn publish(&self, bytes: Vec<u8>) {
        let topic = Topic::Digests;
        self.send(NetCommand::Publish { topic, bytes }).await;
    }

    async fn admit(&mut self, other: &NetHandle) {
        let wanted = other.local_peer();
        self.until(|event| {
            matches!(event, NetEvent::Up { peer, .. } if peer == wanted).then_some(())
        })
        .await;
        self.send(NetCommand::Admit(wanted)).await;
    }

    async fn subscribed(&mut self) {
        let digests = |event| match event {
            NetEvent::Subscribed { topic, .. } => (topic == Topic::Digests).then_some(()),
            _ => None,
        };
        self.until(digests).await;
    }
}

async fn pair() -> (Bare, Bare) {
    let (mut a, mut b) = (Bare::new(1), Bare::new(2));
    let address = b
        .until(|event| match event {
            NetEvent::Listening(address) => Some(address),
            _ => None,
        })
        .await;
    a.send(NetCommand::Members(vec![(
        b.handle.local_peer(),
        vec![address],
    )]))
    .await;
    let (handle_a, handle_b) = (a.handle.clone(), b.handle.clone());
    tokio::join!(a.admit(&handle_b), b.admit(&handle_a));
    tokio::join!(a.subscribed(), b.subscribed());
    (a, b)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Round trips per second: one side publishes, the other publishes it back with another first byte.
pub(crate) fn echo_rate() -> f64 {
    runtime().block_on(async {
        let (mut a, mut b) = pair().await;
        let echoing = tokio::spawn(async move {
            for _ in 0..ECHOES {
                let mut bytes = b.gossip(|_| true).await;
                bytes[0] = b'e';
                b.publish(bytes).await;
            }
            b
        });
        let began = Instant::now();
        let mut returned = 0;
        for number in 0..ECHOES {
            let mut bytes = vec![b'q'; MESSAGE_BYTES];
            bytes[1..9].copy_from_slice(&number.to_be_bytes());
            a.publish(bytes).await;
            if number >= WINDOW {
                a.gossip(|_| true).await;
                returned += 1;
            }
        }
        for _ in returned..ECHOES {
            a.gossip(|_| true).await;
        }
        let rate = ECHOES as f64 / began.elapsed().as_secs_f64();
        drop(echoing.await);
        rate
    })
}

fn frame(key: &SigningKey, size: u64) -> Vec<u8> {
    let digest = Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root: leaf_hash(&size.to_be_bytes()),
    };
    let note = digest.sign(key).unwrap().to_string();
    Frame::encode(Version::V1_0, Kind::Digest.number(), note.as_bytes())
}

pub(crate) fn digests(references: &References) {
    let rate = where_they_arrive();
    println!(
        "digests, transport and verification alone (one task: frame, note, checkpoint, strict signature check): {rate:.0}/s [>= 5,000]; {}",
        references.rate(rate)
    );
    by_a_tower(references);
}

/// One side publishes signed digests of different sizes; the other parses and verifies each on the task that receives
/// it, and judges it. No engine and no store.
fn where_they_arrive() -> f64 {
    let key = SigningKey::ed25519(ORIGIN, [9; 32]).unwrap();
    let frames: Vec<Vec<u8>> = (1..=DIGESTS).map(|size| frame(&key, size)).collect();
    let verifier = key.verifier().clone();
    let verified = move |bytes: &[u8]| {
        let frame = Frame::parse(bytes, net::MAX_GOSSIP_BYTES).unwrap();
        let note = SignedNote::parse(frame.payload).unwrap();
        Checkpoint::open(&note, &verifier).is_ok()
    };
    runtime().block_on(async {
        let (a, mut b) = pair().await;
        let (told, mut credit) = mpsc::channel::<()>(WINDOW as usize);
        let verifying = tokio::spawn(async move {
            for _ in 0..DIGESTS {
                b.gossip(&verified).await;
                let _ = told.send(()).await;
            }
        });
        let began = Instant::now();
        for (number, frame) in frames.into_iter().enumerate() {
            if number as u64 >= WINDOW {
                credit.recv().await;
            }
            a.publish(frame).await;
        }
        while credit.recv().await.is_some() {}
        let rate = DIGESTS as f64 / began.elapsed().as_secs_f64();
        verifying.await.unwrap();
        rate
    })
}

/// A factory's process publishes digests that it signed before; one tower's process takes them through its engine and
/// its store. Their sizes have no entries, so the tower marks each as seen and acks none.
fn by_a_tower(references: &References) {
    let mut cluster = Cluster::found();
    cluster.start(0);
    cluster.start(1);
    // So large that the ledger itself never gets there. The first ones show that both speak.
    let mut first = 1_000_000;
    loop {
        cluster.node(0).ask(&format!("sign {first} 1"));
        cluster.node(0).ask("publish 1");
        std::thread::sleep(LOOK);
        first += 1;
        if cluster.node(1).ask("status")["seen"].as_u64() >= Some(1_000_000) {
            break;
        }
    }
    let bytes = cluster.node(0).ask(&format!("sign {first} {DIGESTS}"))["bytes"].clone();
    let commits = |cluster: &mut Cluster| cluster.node(1).ask("status")["commits"].as_u64();
    let before = commits(&mut cluster).unwrap();
    let watch = Watch::new(&cluster.processes());
    let began = Instant::now();
    let mut published = 0;
    while published < DIGESTS {
        let window = TOWER_WINDOW.min(DIGESTS - published);
        cluster.node(0).ask(&format!("publish {window}"));
        // One window is on its way while the next is published.
        cluster
            .node(1)
            .ask(&format!("seen {}", first + published - 1));
        published += window;
    }
    cluster
        .node(1)
        .ask(&format!("seen {}", first + DIGESTS - 1));
    let rate = DIGESTS as f64 / began.elapsed().as_secs_f64();
    let shares = watch.shares();
    let steps = commits(&mut cluster).unwrap() - before;
    println!(
        "digests, by a whole tower (engine and store, {steps} commits): {rate:.0}/s of {bytes} bytes [>= 5,000]; {}",
        references.rate(rate)
    );
    println!("  factory {}\n  tower   {}", shares[0], shares[1]);
}
