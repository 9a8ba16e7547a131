//! Requests, answers and gossip on their way: what becomes of each is the network's to say. May not change a message, but
//! flip its bits where the weather says so.

use super::{Event, World};
use crate::net::Fate;
use belfry_protocol::engine::federation::checks::Checks;
use belfry_protocol::engine::federation::{Input, Protocol, Topic, ahead};
use belfry_protocol::tlog::hash::{Hash, sha256_parts};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

/// A request on its way, or waiting for its answer.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) asker: usize,
    pub(crate) asker_boot: u64,
    /// The asker's number for it.
    pub(crate) id: u64,
    pub(crate) protocol: Protocol,
    pub(crate) bytes: Vec<u8>,
    /// The connection that it and its answer use.
    pub(crate) connection: u64,
}

/// An answer is waited for so long, in microseconds: as the product's transport does.
const ANSWER_US: u64 = 10_000_000;
/// Peers that a node passes gossip on to.
const MESH: usize = 6;
/// Messages that are kept for whoever replays them.
const RECORDED: usize = 4_096;
/// Gossip that a node remembers to have seen: that of the last minutes.
const SEEN: usize = 4_096;

/// Checked gossip that is remembered.
const CHECKED: usize = 4_096;

/// Gossip on its way, the same for all who hear it.
pub(crate) struct Word {
    topic: Topic,
    bytes: Vec<u8>,
    id: Hash,
}

/// Gossip that a tower told whoever listens from outside.
pub(crate) struct Told {
    pub(crate) at_us: u64,
    pub(crate) word: Rc<Word>,
}

impl Word {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn new(topic: Topic, bytes: Vec<u8>) -> Rc<Self> {
        let id = gossip_id(topic, &bytes);
        Rc::new(Self { topic, bytes, id })
    }
}

/// What a node saw lately: two halves, of which the older one is forgotten when the newer one is full.
#[derive(Clone, Default)]
pub(super) struct Seen {
    newer: BTreeSet<Hash>,
    older: BTreeSet<Hash>,
}

impl Seen {
    fn contains(&self, id: &Hash) -> bool {
        self.newer.contains(id) || self.older.contains(id)
    }

    /// Says whether it is news.
    fn insert(&mut self, id: Hash) -> bool {
        if self.contains(&id) {
            return false;
        }
        if self.newer.len() >= SEEN / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(id)
    }

    fn remove(&mut self, id: &Hash) {
        self.newer.remove(id);
        self.older.remove(id);
    }
}

/// A message of the past.
#[derive(Clone)]
pub(crate) enum Recorded {
    /// Asked over a connection.
    Request { bytes: Vec<u8> },
    /// Gossip.
    Gossip { topic: Topic, bytes: Vec<u8> },
}

/// The newest messages, and some old ones.
#[derive(Default)]
pub(crate) struct Recording {
    pub(crate) kept: VecDeque<Recorded>,
    /// Whether anybody will want them.
    pub(crate) on: bool,
}

impl Recording {
    fn keep(&mut self, message: impl FnOnce() -> Recorded) {
        if !self.on {
            return;
        }
        if self.kept.len() >= RECORDED {
            self.kept.pop_front();
        }
        self.kept.push_back(message());
    }
}

impl World {
    fn count_sent(&mut self, from: usize, len: usize) {
        self.counted.messages += 1;
        self.counted.bytes += len as u64;
        let sent = &mut self.counted.sent[from];
        sent.0 += 1;
        sent.1 += len as u64;
    }

    /// Sends an event over a connection, or lets it be lost.
    fn send(
        &mut self,
        from: usize,
        to: usize,
        connection: u64,
        len: usize,
        make: impl Fn(bool) -> Event,
    ) -> bool {
        self.count_sent(from, len);
        match self.net.fate(self.now_us, from, to) {
            Fate::Arrives {
                at_us,
                again_us,
                corrupt,
            } => {
                if let Some(again_us) = again_us {
                    self.watch.reached("a message arrived twice");
                    self.at(again_us, make(false));
                }
                self.at(at_us, make(corrupt));
                true
            }
            Fate::Stalls => {
                self.stall((from, to), connection, make(false));
                true
            }
            Fate::Lost => false,
        }
    }

    /// A node asks a peer.
    pub(super) fn ask(
        &mut self,
        at: usize,
        peer: &str,
        id: u64,
        protocol: Protocol,
        bytes: Vec<u8>,
    ) {
        let boot = self.nodes[at].boot;
        let Some(to) = self.founded.by_peer(peer) else {
            return;
        };
        self.note("ask", at, &bytes);
        let Some(connection) = self.net.connection(at, to) else {
            self.waiting.insert((at, boot, id));
            return self.after(
                100,
                Event::NoAnswer {
                    asker: at,
                    boot,
                    id,
                },
            );
        };
        self.recording.keep(|| Recorded::Request {
            bytes: bytes.clone(),
        });
        let question = Question {
            asker: at,
            asker_boot: boot,
            id,
            protocol,
            bytes,
            connection,
        };
        self.waiting.insert((at, boot, id));
        self.after(
            ANSWER_US,
            Event::NoAnswer {
                asker: at,
                boot,
                id,
            },
        );
        let len = question.bytes.len();
        let flipped = self.flipped(&question.bytes);
        let arrived = self.send(at, to, connection, len, |corrupt| {
            let mut question = question.clone();
            if corrupt {
                question.bytes.clone_from(&flipped);
            }
            Event::Asked { to, question }
        });
        if !arrived {
            // A stream that loses something is broken.
            self.watch
                .reached("a connection broke with a request on it");
            self.break_link(at, to);
        }
    }

    /// A copy with a flipped bit, where the weather is such.
    fn flipped(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.net.weather.corruption == 0 {
            return Vec::new();
        }
        let mut copy = bytes.to_vec();
        self.net.corrupt(&mut copy);
        copy
    }

    /// A request arrives.
    pub(super) fn asked(&mut self, to: usize, question: Question) {
        let from = question.asker;
        if !self.nodes[to].is_up() || self.net.connection(from, to) != Some(question.connection) {
            return;
        }
        self.number += 1;
        let id = self.number;
        let (protocol, bytes) = (question.protocol, question.bytes.clone());
        self.questions.insert(id, question);
        let input = Input::Request {
            peer: self.nodes[from].peer.clone(),
            id,
            protocol,
            bytes,
            checks: Checks::default(),
        };
        let boot = self.nodes[to].boot;
        self.arrives(to, boot, input);
    }

    /// A node answers a request; without bytes it says that it will not.
    pub(super) fn answer(&mut self, at: usize, id: u64, bytes: Option<Vec<u8>>) {
        let Some(question) = self.questions.remove(&id) else {
            return;
        };
        let asker = question.asker;
        crate::watch::answered(self, at, &question.bytes, bytes.is_some());
        let bytes = bytes.map(|bytes| crate::inject::instead(self, at, bytes));
        if self.nodes[at].mute > 0 {
            return self.watch.reached("a request was taken and never answered");
        }
        if self.net.connection(at, asker) != Some(question.connection) || question.id == u64::MAX {
            return;
        }
        let len = bytes.as_ref().map_or(0, Vec::len);
        self.note("answer", at, bytes.as_deref().unwrap_or_default());
        let flipped = bytes.as_ref().map(|bytes| self.flipped(bytes));
        let (boot, id) = (question.asker_boot, question.id);
        let arrived = self.send(at, asker, question.connection, len, |corrupt| {
            Event::Input {
                to: asker,
                boot,
                input: Input::Response {
                    id,
                    bytes: if corrupt {
                        flipped.clone()
                    } else {
                        bytes.clone()
                    },
                    checks: Checks::default(),
                },
            }
        });
        if !arrived {
            self.break_link(at, asker);
        }
    }

    /// A request was not answered in time, if it was not.
    pub(super) fn unanswered(&mut self, asker: usize, boot: u64, id: u64) {
        if !self.waiting.remove(&(asker, boot, id)) {
            return;
        }
        let input = Input::Response {
            id,
            bytes: None,
            checks: Checks::default(),
        };
        self.arrives(asker, boot, input);
    }

    /// A node publishes.
    pub(super) fn publish(&mut self, at: usize, topic: Topic, bytes: &[u8]) {
        self.note("publish", at, bytes);
        self.recording.keep(|| Recorded::Gossip {
            topic,
            bytes: bytes.to_vec(),
        });
        let word = Word::new(topic, bytes.to_vec());
        self.seen[at].insert(word.id);
        if let Some(told) = self.told.as_mut().filter(|_| topic == Topic::Acks) {
            let at_us = self.now_us;
            told.push(Told {
                at_us,
                word: Rc::clone(&word),
            });
        }
        let peers: Vec<usize> = self.net.peers(at).into_iter().collect();
        for to in peers {
            self.carry(at, to, &word);
        }
    }

    /// From now on what towers tell is kept for whoever listens from outside.
    pub(crate) fn listen(&mut self) {
        self.told = Some(Vec::new());
    }

    /// What was told since the last time.
    pub(crate) fn take_told(&mut self) -> Vec<Told> {
        self.told.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Sends gossip to one peer, whoever it is from.
    pub(crate) fn pass_on(&mut self, at: usize, to: usize, topic: Topic, bytes: &[u8]) {
        self.carry(at, to, &Word::new(topic, bytes.to_vec()));
    }

    fn carry(&mut self, at: usize, to: usize, word: &Rc<Word>) {
        let Some(connection) = self.net.connection(at, to) else {
            return;
        };
        if self.seen[to].contains(&word.id) {
            // It costs the sender its bytes, and the receiver drops it.
            return self.count_sent(at, word.bytes.len());
        }
        let damaged = match self.flipped(&word.bytes) {
            bytes if bytes.is_empty() => Rc::clone(word),
            bytes => Word::new(word.topic, bytes),
        };
        // What is lost stays lost: gossip is a hint.
        self.send(at, to, connection, word.bytes.len(), |corrupt| {
            let word = if corrupt { &damaged } else { word };
            Event::Gossip {
                to,
                from: at,
                connection,
                word: Rc::clone(word),
            }
        });
    }

    /// A node that heard this gossip forgets that it did.
    pub(crate) fn forget_seen(&mut self, at: usize, topic: Topic, bytes: &[u8]) {
        self.seen[at].remove(&gossip_id(topic, bytes));
    }

    pub(super) fn gossip_arrives(
        &mut self,
        to: usize,
        from: usize,
        connection: u64,
        word: Rc<Word>,
    ) {
        if !self.nodes[to].is_up() || self.net.connection(from, to) != Some(connection) {
            return;
        }
        let id = word.id;
        if !self.seen[to].insert(id) {
            return;
        }
        let mut short = [0; 20];
        short.copy_from_slice(&id.0[..20]);
        let (topic, bytes) = (word.topic, word.bytes.clone());
        self.judged.insert((to, short), word);
        let mut input = Input::Gossip {
            peer: self.nodes[from].peer.clone(),
            id: short,
            topic,
            bytes,
            checks: Checks::default(),
        };
        self.check_ahead(to, from, id, &mut input);
        let boot = self.nodes[to].boot;
        self.arrives(to, boot, input);
    }

    /// As the product's verifier pool does before the step (R9). What everybody hears is checked once for all who know the
    /// same certificates: a signature is right for each of them, or for none.
    fn check_ahead(&mut self, to: usize, from: usize, id: Hash, input: &mut Input) {
        let node = &self.nodes[to];
        let Some(engine) = node.engine() else { return };
        let members = engine.members();
        let key = (id, members.generation());
        let known = self.checked.get(&key).cloned();
        if known.is_none() {
            ahead::check(members, &node.name, &self.nodes[from].peer, input);
        }
        if let Input::Gossip { checks, .. } = input {
            match known {
                Some(known) => *checks = known,
                None => {
                    if self.checked.len() >= CHECKED {
                        self.checked.clear();
                    }
                    self.checked.insert(key, checks.clone());
                }
            }
        }
    }

    /// What a node found worth passing on goes to some of its peers.
    pub(super) fn relay(&mut self, at: usize, from: &str, id: [u8; 20], accept: bool) {
        let Some(word) = self.judged.remove(&(at, id)) else {
            return;
        };
        if !accept {
            return;
        }
        let from = self.founded.by_peer(from);
        let others: Vec<usize> = self
            .net
            .peers(at)
            .into_iter()
            .filter(|peer| Some(*peer) != from)
            .collect();
        // Which ones follows from the message, as a mesh's edges do from its past.
        let start = usize::from(id[0]) % others.len().max(1);
        for step in 0..others.len().min(MESH) {
            let to = others[(start + step) % others.len()];
            self.carry(at, to, &word);
        }
    }

    /// The process that runs is told something by its own machine.
    pub(crate) fn tell(&mut self, at: usize, input: Input) {
        let boot = self.nodes[at].boot;
        self.arrives(at, boot, input);
    }

    /// A process is told something, if it is still the one that was meant.
    pub(super) fn arrives(&mut self, to: usize, boot: u64, input: Input) {
        let node = &mut self.nodes[to];
        if !node.is_up() || node.boot != boot {
            return;
        }
        #[cfg(feature = "sabotage")]
        if crate::sabotage::is_unheard(node, &input, self.plan.sabotage) {
            return;
        }
        node.inbox.push(input);
        self.step_if_idle(to);
    }
}

fn gossip_id(topic: Topic, bytes: &[u8]) -> Hash {
    sha256_parts(&[&[topic as u8], bytes])
}
