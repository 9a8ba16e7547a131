//! Several engines over memory stores on a virtual clock: messages take a millisecond, arrive in order, and are lost
//! when a link is cut or a node is down.

use super::founding::{START, found, own_keys, peer_id};
use belfry_protocol::engine::RequestId;
use belfry_protocol::engine::federation::disk::OwnDisk;
use belfry_protocol::engine::federation::epochs;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::{
    ASK_US, Alarm, Engine, Free, Input, Promise, REACK_US, Settings, serve,
};
use belfry_protocol::engine::ledger::{self, Ledger, start};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::nonces::self_test;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::manifest::Federation;
use belfry_protocol::tlog::hash::sha256;
use belfry_protocol::wire::v1::Kind;
use belfry_protocol::wire::{Range, Version};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const HOP_US: u64 = 1_000;

/// What arrives at a node.
pub(crate) enum Parcel {
    Input(Input),
    Question {
        from: usize,
        asked: u64,
        protocol: belfry_protocol::engine::federation::Protocol,
        bytes: Vec<u8>,
        /// Disconnections of all links when it was sent: nothing of an old connection arrives on a new one.
        link: u64,
    },
}

#[derive(Default)]
pub(crate) struct Node {
    pub(crate) store: MemStore,
    pub(crate) engine: Option<Engine>,
    pub(crate) starts: u64,
    pub(crate) alarms: Vec<Alarm>,
    /// Answers to checkpoints.
    pub(crate) witnessed: Vec<belfry_protocol::engine::federation::witness::Answer>,
    pub(crate) acked: u64,
    pub(crate) digests: BTreeSet<(u64, String)>,
    pub(crate) refusals: Vec<String>,
    /// The directory is empty or from a backup at the next start, and it is known to be.
    pub(crate) restored: bool,
    /// First sizes of its log keys, by serial.
    pub(crate) from_sizes: Vec<u64>,
    /// Whether it may make new keys.
    pub(crate) no_new_keys: bool,
    /// How many epochs it knows.
    pub(crate) epochs: usize,
}

pub(crate) fn wall(now_us: u64) -> TimeUs {
    let micros = i64::try_from(START * 1_000_000 + now_us).unwrap();
    TimeUs::from_micros(micros).unwrap()
}

pub(crate) struct World {
    pub(crate) now_us: u64,
    /// All epochs so far, oldest first.
    pub(crate) epochs: Vec<Federation>,
    /// By node.
    pub(crate) names: Vec<String>,
    pub(crate) nodes: Vec<Node>,
    queue: BTreeMap<(u64, u64), (usize, Parcel)>,
    sequence: u64,
    /// Questions waiting for an answer at a node: number there to (asker, number there).
    questions: BTreeMap<u64, (usize, u64, u64)>,
    /// How often each pair was disconnected.
    breaks: BTreeMap<(usize, usize), u64>,
    links: BTreeSet<(usize, usize)>,
    cut: BTreeSet<(usize, usize)>,
    pub(crate) requests: u64,
    pub(crate) versions: BTreeMap<usize, Vec<Range>>,
    pub(crate) lost: VecDeque<String>,
    /// How far the clock of whoever starts is ahead.
    pub(crate) ahead_us: u64,
    /// How far the wall clock of a node is ahead of true time; 0 if it is not here.
    pub(crate) skew_us: BTreeMap<usize, i64>,
    /// How often nodes asked for all clocks to be measured anew.
    pub(crate) measures: u64,
    pub(crate) windows: super::windows::Files,
    /// Every sync question ever asked: receiver, asker, bytes.
    pub(crate) sent: Vec<(usize, usize, Vec<u8>)>,
    /// Every lines-bearing answer ever given: who answered, bytes.
    pub(crate) answers: Vec<(usize, Vec<u8>)>,
    /// What a node says instead of an answer.
    pub(crate) instead: Option<Instead>,
    /// A node whose steps do not commit, and whether what promises nothing leaves all the same.
    pub(crate) full: Option<(usize, bool)>,
    /// A node that does not hear messages of these kinds.
    pub(crate) deaf: Option<(usize, &'static [Kind])>,
    /// How long a node takes to compare two digests with what it holds.
    pub(crate) compare_us: u64,
    /// The entries of another tree, which a liar serves.
    pub(crate) other_tree: Vec<Vec<u8>>,
}

/// By who answers and what: another answer, if any.
pub(crate) type Instead = fn(&World, usize, &[u8]) -> Option<Vec<u8>>;

impl World {
    pub(crate) fn new(towers: usize, k: u32) -> Self {
        Self::with_both(towers, k, 0)
    }

    /// The same; the first `both` towers are factories too.
    pub(crate) fn with_both(towers: usize, k: u32, both: usize) -> Self {
        let federation = Federation::from(found(towers, k, both));
        let nodes = (0..=towers).map(|_| Node::new(1)).collect();
        let names = federation.manifest().members.iter();
        let names = names.map(|member| member.name.clone()).collect();
        let mut world = Self {
            now_us: 0,
            epochs: vec![federation],
            names,
            nodes,
            queue: BTreeMap::new(),
            sequence: 0,
            questions: BTreeMap::new(),
            breaks: BTreeMap::new(),
            links: BTreeSet::new(),
            cut: BTreeSet::new(),
            requests: 0,
            versions: BTreeMap::new(),
            lost: VecDeque::new(),
            ahead_us: 0,
            skew_us: BTreeMap::new(),
            measures: 0,
            windows: Default::default(),
            sent: Vec::new(),
            answers: Vec::new(),
            instead: None,
            full: None,
            deaf: None,
            compare_us: HOP_US,
            other_tree: Vec::new(),
        };
        for node in 0..=towers {
            world.start(node);
        }
        world
    }

    pub(crate) fn name(&self, node: usize) -> &str {
        &self.names[node]
    }

    /// Starts a node on its store and connects it.
    pub(crate) fn start(&mut self, at: usize) {
        let name = self.name(at).to_owned();
        let node = &mut self.nodes[at];
        node.starts += 1;
        let mut instance = [0; 16];
        instance[0] = u8::try_from(at).unwrap();
        instance[1..9].copy_from_slice(&node.starts.to_be_bytes());
        // Every start of a member tests its store, whatever an earlier life left in it.
        let mut tx = node.store.begin();
        assert_eq!(self_test(&mut tx).unwrap(), Ok(()));
        drop(tx);
        let mut tx = node.store.begin();
        let before = start::incarnation(&tx).unwrap().map_or(0, |one| one.number);
        let wall = wall(self.now_us + self.ahead_us);
        let incarnation = start::take_incarnation(&mut tx, instance, wall).unwrap();
        let mut id = instance;
        id[15] = 1;
        let serials = node.from_sizes.len() as u64;
        let disk = match OwnDisk::load(&tx).unwrap() {
            Some(known) if !node.restored => known,
            None if !node.restored => OwnDisk::new(id),
            _ => OwnDisk::restored(id, serials + 1),
        };
        node.restored = false;
        disk.store(&mut tx).unwrap();
        tx.commit().unwrap();
        let keys = own_keys(&name, &node.from_sizes);
        let config = ledger::Config {
            origin: name.clone(),
            solo: false,
            backup_retention_us: 0,
        };
        let known = self.epochs[..node.epochs.max(1)].to_vec();
        let tx = node.store.begin();
        let members = Members::through(epochs::needed(&tx, known, &name).unwrap()).unwrap();
        tx.commit().unwrap();
        let settings = Settings {
            me: members.by_name(&name).unwrap(),
            members,
            incarnation,
            incarnation_before: before,
            keys: keys.clone(),
            versions: self.versions.get(&at).cloned().unwrap_or_else(|| {
                vec![Range {
                    min: Version::V1_0,
                    max: Version::V1_0,
                }]
            }),
            disk,
            agent: "test".to_owned(),
            window_us: self.windows.every_us,
            reack_us: REACK_US,
            ask_us: ASK_US,
        };
        node.engine = Some(Engine::new(Ledger::new(config, keys.log), settings));
        for other in 0..self.nodes.len() {
            self.connect(at, other);
        }
    }

    /// Stops a node as `kill -9` does.
    pub(crate) fn kill(&mut self, at: usize) {
        self.nodes[at].engine = None;
        for other in 0..self.nodes.len() {
            self.disconnect(at, other);
        }
        self.queue.retain(|_, (to, _)| *to != at);
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert((a.min(b), a.max(b)));
        self.disconnect(a, b);
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                self.connect(a, b);
            }
        }
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        let (low, high) = (a.min(b), a.max(b));
        let up = |node: usize| self.nodes[node].engine.is_some();
        if a == b
            || !up(a)
            || !up(b)
            || self.cut.contains(&(low, high))
            || !self.links.insert((low, high))
        {
            return;
        }
        for (at, other, dialed) in [(low, high, true), (high, low, false)] {
            let peer = peer_id(self.name(other));
            self.post(at, 0, Parcel::Input(Input::PeerUp { peer, dialed }));
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        if !self.links.remove(&pair) {
            return;
        }
        *self.breaks.entry(pair).or_default() += 1;
        for (at, other) in [(a, b), (b, a)] {
            let peer = peer_id(self.name(other));
            if self.nodes[at].engine.is_some() {
                self.post(at, 0, Parcel::Input(Input::PeerDown { peer }));
            }
        }
    }

    pub(crate) fn post(&mut self, to: usize, delay_us: u64, parcel: Parcel) {
        self.sequence += 1;
        self.queue
            .insert((self.now_us + delay_us, self.sequence), (to, parcel));
    }

    fn index(&self, peer: &str) -> usize {
        let mut names = self.names.iter();
        names.position(|name| peer_id(name) == peer).unwrap()
    }

    pub(crate) fn linked(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a.min(b), a.max(b)))
    }

    /// Appends an entry of the node's own and returns whether it was taken.
    pub(crate) fn append(&mut self, at: usize, word: &str) {
        self.requests += 1;
        let input = ledger::Input::System {
            request: RequestId(self.requests),
            kind: "window",
            body: Json::object([("word", Json::text(word))]),
        };
        self.step(at, vec![Input::Ledger(input)]);
    }

    /// Ends a node's ledger.
    pub(crate) fn retire(&mut self, at: usize, successor: &str) {
        self.requests += 1;
        let input = ledger::Input::Retire {
            request: RequestId(self.requests),
            successor: successor.to_owned(),
        };
        self.step(at, vec![Input::Ledger(input)]);
    }

    /// When what is on its way arrives.
    pub(crate) fn on_its_way_us(&self) -> Vec<u64> {
        self.queue.keys().map(|(at_us, _)| *at_us).collect()
    }

    pub(crate) fn run_ms(&mut self, milliseconds: u64) {
        let until = self.now_us + milliseconds * 1_000;
        let mut tick = self.now_us;
        while self.now_us < until {
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            match next {
                Some(at) if at <= tick.min(until) => {
                    self.now_us = self.now_us.max(at);
                    let Some((_, (to, parcel))) = self.queue.pop_first() else {
                        break;
                    };
                    self.deliver(to, parcel);
                }
                _ => {
                    self.now_us = tick.min(until).max(self.now_us);
                    if tick >= until {
                        break;
                    }
                    for node in 0..self.nodes.len() {
                        self.step(node, vec![Input::Tick]);
                    }
                    tick += 50_000;
                }
            }
        }
    }

    fn deliver(&mut self, to: usize, parcel: Parcel) {
        match parcel {
            Parcel::Input(input) if self.is_deaf(to, &input) => {}
            Parcel::Input(input) => self.step(to, vec![input]),
            Parcel::Question {
                from,
                asked,
                protocol,
                bytes,
                link,
            } => {
                if !self.linked(from, to) || link != self.breaks_of(from, to) {
                    return;
                }
                self.sequence += 1;
                let id = self.sequence;
                self.questions.insert(id, (from, asked, link));
                let peer = peer_id(self.name(from));
                let checks = Default::default();
                self.step(
                    to,
                    vec![Input::Request {
                        peer,
                        id,
                        protocol,
                        bytes,
                        checks,
                    }],
                );
            }
        }
    }

    fn is_deaf(&self, at: usize, input: &Input) -> bool {
        let (Input::Gossip { bytes, .. }
        | Input::Response {
            bytes: Some(bytes), ..
        }) = input
        else {
            return false;
        };
        let is = |kind: &Kind| bytes.get(6..8) == Some(kind.number().to_le_bytes().as_slice());
        let deaf = self.deaf.filter(|(who, _)| *who == at);
        deaf.is_some_and(|(_, kinds)| kinds.iter().any(is))
    }

    fn no_answer(&mut self, to: usize, id: u64) {
        let checks = Default::default();
        self.post(
            to,
            HOP_US,
            Parcel::Input(Input::Response {
                id,
                bytes: None,
                checks,
            }),
        );
    }

    pub(crate) fn step(&mut self, at: usize, inputs: Vec<Input>) {
        let Some(mut engine) = self.nodes[at].engine.take() else {
            return;
        };
        let now = self.clocks_of(at);
        self.sequence += 1;
        let seed = sha256(&[self.sequence.to_be_bytes(), (at as u64).to_be_bytes()].concat()).0;
        let mut tx = self.nodes[at].store.begin();
        let mut outputs = engine.step(now, seed, &mut tx, inputs).unwrap();
        let free = outputs.federation.take_free();
        let refused = outputs.ledger.take_free();
        if let Some((_, leaves)) = self.full.filter(|(who, _)| *who == at) {
            drop(tx);
            engine.forget();
            self.nodes[at].engine = Some(engine);
            for output in free.into_iter().filter(|_| leaves) {
                self.free(at, output);
            }
            return;
        }
        let committed = tx.commit().unwrap();
        self.nodes[at].engine = Some(engine);
        for ledger::Free::Refused { refusal, .. } in refused {
            self.nodes[at].refusals.push(refusal.to_string());
        }
        for output in free {
            self.free(at, output);
        }
        for output in outputs.federation.release(&committed) {
            self.promise(at, output);
        }
    }

    pub(crate) fn free(&mut self, at: usize, output: Free) {
        match output {
            Free::Request {
                peer,
                id,
                protocol,
                bytes,
            } => self.ask(at, &peer, id, protocol, bytes.into_inner()),
            Free::Reply { id, bytes } => self.reply(at, id, bytes.into_inner()),
            Free::Serve { id, place, get } => {
                let bytes = serve::answer(&get, &self.nodes[at].store.ledger(place));
                match bytes {
                    Ok(bytes) => self.reply(at, id, bytes),
                    Err(error) => {
                        self.lost.push_back(error.to_string());
                        if let Some((asker, asked, _)) = self.questions.remove(&id) {
                            self.no_answer(asker, asked);
                        }
                    }
                }
            }
            Free::Prove { id, place, get } => {
                let bytes = serve::prove(&get, &self.nodes[at].store.ledger(place));
                self.reply(at, id, bytes);
            }
            Free::Compare {
                question,
                place,
                smaller,
                larger,
                ..
            } => {
                let ledger = self.nodes[at].store.ledger(place);
                let nodes = serve::nodes(&ledger, smaller, larger);
                let compared = Parcel::Input(Input::Compared { question, nodes });
                self.post(at, self.compare_us, compared);
            }
            Free::NoAnswer { id } => {
                if let Some((asker, asked, _)) = self.questions.remove(&id) {
                    self.no_answer(asker, asked);
                }
            }
            Free::Disconnect { peer, .. } => {
                // Pending answers go out first.
                let other = self.index(&peer);
                if self.links.remove(&(at.min(other), at.max(other))) {
                    for (one, far) in [(at, other), (other, at)] {
                        let peer = peer_id(self.name(far));
                        self.post(one, 2 * HOP_US, Parcel::Input(Input::PeerDown { peer }));
                    }
                }
            }
            Free::MeasureClocks => self.measures += 1,
            Free::KeepWindow { hash, bytes } => self.keep_window(at, hash, bytes),
            Free::Verdict { .. } | Free::Admit { .. } | Free::Refused { .. } => {}
        }
    }

    fn promise(&mut self, at: usize, output: Promise) {
        match output {
            Promise::Reply { id, bytes } => self.reply(at, id, bytes.into_inner()),
            Promise::Request { peer, id, bytes } => {
                let protocol = belfry_protocol::engine::federation::Protocol::Sync;
                self.ask(at, &peer, id, protocol, bytes.into_inner());
            }
            Promise::Publish { topic, bytes } => {
                let bytes = bytes.into_inner();
                let digests = topic == belfry_protocol::engine::federation::Topic::Digests;
                if let Some(note) = bytes.get(12..).filter(|_| digests) {
                    let text = String::from_utf8_lossy(note).into_owned();
                    let size = text
                        .lines()
                        .nth(1)
                        .and_then(|line| line.parse().ok())
                        .unwrap_or(0);
                    let root = text.lines().nth(2).unwrap_or_default().to_owned();
                    self.nodes[at].digests.insert((size, root));
                }
                for to in 0..self.nodes.len() {
                    if to != at && self.linked(at, to) {
                        let input = Input::Gossip {
                            peer: peer_id(self.name(at)),
                            id: [0; 20],
                            topic,
                            bytes: bytes.clone(),
                            checks: Default::default(),
                        };
                        self.post(to, HOP_US, Parcel::Input(input));
                    }
                }
            }
            Promise::TakeSerial { log_from_size } => {
                if !self.nodes[at].no_new_keys {
                    self.nodes[at].from_sizes.push(log_from_size);
                    let keys = own_keys(self.name(at), &self.nodes[at].from_sizes);
                    if let Some(engine) = &mut self.nodes[at].engine {
                        engine.renew(keys);
                    }
                }
            }
            Promise::Acked { size } => self.nodes[at].acked = self.nodes[at].acked.max(size),
            Promise::Witnessed { answer, .. } => self.nodes[at].witnessed.push(answer),
            Promise::Alarm(alarm) => self.nodes[at].alarms.push(alarm),
        }
    }

    fn ask(
        &mut self,
        at: usize,
        peer: &str,
        id: u64,
        protocol: belfry_protocol::engine::federation::Protocol,
        bytes: Vec<u8>,
    ) {
        let to = self.index(peer);
        if protocol == belfry_protocol::engine::federation::Protocol::Sync {
            self.sent.push((to, at, bytes.clone()));
        }
        if !self.linked(at, to) {
            return self.no_answer(at, id);
        }
        self.post(
            to,
            HOP_US,
            Parcel::Question {
                from: at,
                asked: id,
                protocol,
                bytes,
                link: self.breaks_of(at, to),
            },
        );
    }

    fn breaks_of(&self, a: usize, b: usize) -> u64 {
        let pair = (a.min(b), a.max(b));
        self.breaks.get(&pair).copied().unwrap_or(0)
    }

    fn reply(&mut self, at: usize, id: u64, bytes: Vec<u8>) {
        let lie = self.instead.and_then(|instead| instead(self, at, &bytes));
        let bytes = lie.unwrap_or(bytes);
        self.answers.push((at, bytes.clone()));
        let Some((asker, asked, link)) = self.questions.remove(&id) else {
            return;
        };
        if self.nodes[asker].engine.is_none()
            || !self.linked(at, asker)
            || link != self.breaks_of(at, asker)
        {
            return;
        }
        let input = Input::Response {
            id: asked,
            bytes: Some(bytes),
            checks: Default::default(),
        };
        self.post(asker, HOP_US, Parcel::Input(input));
    }

    /// Puts another copy of a node in its place, connected to nobody yet.
    pub(crate) fn swap(&mut self, at: usize, other: &mut Node) {
        for peer in 0..self.nodes.len() {
            self.cut(at, peer);
        }
        self.run_ms(20);
        self.queue.retain(|_, (to, _)| *to != at);
        std::mem::swap(&mut self.nodes[at], other);
    }
}
