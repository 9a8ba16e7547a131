//! The demo's thief: a member that got hold of the factory's log key. It rewrites an entry, signs a longer tree, shows it to
//! one tower over the ordinary protocol, and serves it: everything that a liar can do, and nothing that others cannot see.
//! Runs as a process of its own; exists for the demo alone.

use crate::cli::args::ThiefArgs;
use crate::cli::context::{Context, key_failure};
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::member;
use crate::net::{self, NetCommand, NetConfig, NetEvent, NetHandle, PeerId, Protocol, Verdict};
use crate::store::{Layout, Reader};
use belfry_keys::{KeyDir, NodeKeys};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::serve;
use belfry_protocol::manifest::Federation;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::leaf_hash;
use belfry_protocol::tlog::memory::MemoryTree;
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH};
use belfry_protocol::wire::codec::{self, Text};
use belfry_protocol::wire::v1::{GetProof, Kind};
use belfry_protocol::wire::{Envelope, Frame, Hello, Range, Times, Version};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events that wait: it talks to one peer.
const EVENTS: usize = 64;
/// Entries that it reads at most: the demo has few.
const MOST_ENTRIES: u64 = 1 << 16;
/// Its two requests.
const HELLO: u64 = 1;
const DIGEST: u64 = 2;

/// What it stole, and what it made of it.
struct Loot {
    tree: MemoryTree,
    digest: String,
}

impl Loot {
    /// Reads the factory's entries, changes the one in the middle, adds one, and signs that.
    fn take(factory: &Layout, name: &str) -> Result<Self, Failure> {
        let keys = KeyDir::open(factory.dir(), || Ok(None)).map_err(key_failure)?;
        let reader = Reader::open(factory.clone(), Arc::new(RealDisk))?;
        let (size, _) = reader.newest_digest()?.unwrap_or_default();
        if size == 0 || size > MOST_ENTRIES {
            return Err(Failure::new(Code::Failed, "there is nothing to forge"));
        }
        let mut leaves = Vec::new();
        for index in 0..size.div_ceil(TILE_WIDTH) {
            let wanted = Bundle::of_tree(index, size);
            let wanted = wanted.ok_or_else(|| Failure::new(Code::Failed, "no such bundle"))?;
            let bytes = reader.bundle(wanted)?;
            leaves.extend(bundle::entries(&bytes).flatten().map(leaf_hash));
        }
        let middle = leaves.len() / 2;
        leaves[middle] = leaf_hash(b"{\"body\":{\"msg\":\"this never happened\"}}");
        leaves.push(leaf_hash(b"{\"body\":{\"msg\":\"nothing to see here\"}}"));
        let tree = MemoryTree::new(leaves);
        let checkpoint = Checkpoint {
            origin: name.to_owned(),
            size: tree.size(),
            root: tree.root(tree.size()),
        };
        let key = keys.log_key_for_size(tree.size());
        let key = key.ok_or_else(|| Failure::new(Code::KeyUnavailable, "no log key to steal"))?;
        let note = checkpoint
            .sign(key)
            .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
        anstream::eprintln!(
            "entry {middle} of {name} is another one now, and {} entries are signed",
            tree.size()
        );
        Ok(Self {
            tree,
            digest: note.to_string(),
        })
    }

    /// The proof that its own tree gives; whoever asks will find out.
    fn prove(&self, request: &[u8]) -> Option<Vec<u8>> {
        let frame = Frame::parse(request, 1 << 16).ok()?;
        if frame.kind != Kind::GetProof.number() {
            return None;
        }
        let (envelope, _) = Envelope::split(frame.payload).ok()?;
        let get: GetProof = codec::decode(&envelope.body).ok()?;
        (get.larger <= self.tree.size()).then(|| serve::prove(&get, &self.tree))
    }
}

/// The thief among the others.
struct Thief {
    net: NetHandle,
    keys: NodeKeys,
    federation: Federation,
    victim: PeerId,
    loot: Loot,
}

pub(in crate::cli) fn run(context: &Context, args: &ThiefArgs) -> Result<(), Failure> {
    let keys = KeyDir::open(context.layout.dir(), || Ok(None)).map_err(key_failure)?;
    let federation = member::federation(&context.layout)?
        .ok_or_else(|| Failure::new(Code::NotInitialised, "the thief is in no federation"))?;
    let loot = Loot::take(&Layout::new(&args.factory_dir), &args.factory)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(steal(keys, federation, loot, &args.victim))
}

async fn steal(
    keys: NodeKeys,
    federation: Federation,
    loot: Loot,
    victim: &str,
) -> Result<(), Failure> {
    let member = federation.member(victim).map(|(_, member)| member.clone());
    let member = member.ok_or_else(|| Failure::new(Code::Usage, "no such member"))?;
    let bad = |what: &str| Failure::new(Code::Failed, format!("{}: {what}", member.name));
    let peer: PeerId = member.peer.parse().map_err(|_| bad("no transport id"))?;
    let addresses = member.addresses.iter();
    let addresses = addresses.filter_map(|one| one.parse().ok()).collect();
    let config = NetConfig::new(keys.transport_seed().clone(), federation.digest8());
    let (events, mut arriving) = mpsc::channel(EVENTS);
    let (net, task) =
        net::start(config, events).map_err(|error| Failure::new(Code::Io, error.to_string()))?;
    let thief = Thief {
        net,
        keys,
        federation,
        victim: peer,
        loot,
    };
    thief
        .send(NetCommand::Members(vec![(peer, addresses)]))
        .await;
    let mut input = Box::pin(ended_input());
    loop {
        tokio::select! {
            event = arriving.recv() => match event {
                Some(event) => thief.take(event).await?,
                None => break,
            },
            () = &mut input => break,
        }
    }
    thief.send(NetCommand::Close).await;
    drop(task.await);
    Ok(())
}

/// Whoever started this process holds the other end of its standard input.
async fn ended_input() {
    let ended =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    drop(ended.await);
}

impl Thief {
    async fn send(&self, command: NetCommand) {
        // A network that ended is seen by its events.
        drop(self.net.send(command).await);
    }

    async fn ask(&self, id: u64, protocol: Protocol, bytes: Vec<u8>) {
        let peer = self.victim;
        self.send(NetCommand::Request {
            peer,
            id,
            protocol,
            bytes,
        })
        .await;
    }

    async fn take(&self, event: NetEvent) -> Result<(), Failure> {
        match event {
            NetEvent::Up { peer, .. } if peer == self.victim => {
                self.ask(HELLO, Protocol::Hello, self.hello(peer)?).await;
            }
            NetEvent::Response { id, result, .. } => {
                let answer =
                    result.map_err(|error| Failure::new(Code::Unreachable, error.to_string()));
                match (id, answer) {
                    (HELLO, Ok(answer)) => self.greeted(&answer).await?,
                    (HELLO, Err(failure)) => return Err(failure),
                    // Refused, as it should be.
                    _ => {}
                }
            }
            NetEvent::Request {
                peer,
                id,
                protocol,
                bytes,
            } => {
                let answer = match protocol {
                    Protocol::Hello => Some(self.hello(peer)?),
                    Protocol::Sync => self.loot.prove(&bytes),
                    Protocol::Join | Protocol::Found => None,
                };
                self.send(match answer {
                    Some(bytes) => NetCommand::Reply { id, bytes },
                    None => NetCommand::Drop { id },
                })
                .await;
            }
            NetEvent::Gossip { from, id, .. } => {
                let verdict = Verdict::Ignore;
                self.send(NetCommand::Verdict { id, from, verdict }).await;
            }
            _ => {}
        }
        Ok(())
    }

    async fn greeted(&self, answer: &[u8]) -> Result<(), Failure> {
        if let Some((goodbye, reason)) = Hello::read_goodbye(answer) {
            return Err(Failure::new(
                Code::Unreachable,
                format!("refused: {goodbye} ({reason})"),
            ));
        }
        self.send(NetCommand::Admit(self.victim)).await;
        let kind = Kind::Digest.number();
        let frame = Frame::encode(Version::V1_0, kind, self.loot.digest.as_bytes());
        self.ask(DIGEST, Protocol::Sync, frame).await;
        Ok(())
    }

    fn hello(&self, to: PeerId) -> Result<Vec<u8>, Failure> {
        let text = |text: String| Text::new(text).unwrap_or_default();
        let v1 = Version::V1_0;
        let hello = Hello {
            goodbye: None,
            reason: Text::default(),
            federation: self.federation.id(),
            epoch: self.federation.manifest().epoch,
            manifest_head: self.federation.hash(),
            versions: vec![Range { min: v1, max: v1 }],
            peer: text(self.net.local_peer().to_string()),
            to: text(to.to_string()),
            token: [0; 16],
            disk: [0; 16],
            roles: belfry_protocol::wire::hello::ROLE_FACTORY,
            times: Times::default(),
            chain: self.keys.certificates().to_vec(),
            digest: None,
            agent: Text::new("belfry-demo-thief").unwrap_or_default(),
            extensions: Vec::new(),
        };
        hello
            .encode(self.keys.envelope_key())
            .map_err(|error| Failure::new(Code::Failed, error.to_string()))
    }
}
