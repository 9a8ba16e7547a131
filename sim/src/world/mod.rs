//! The world: true time, the queue of what happens next, and all nodes. Everything that happens is an [`Event`] at a time,
//! and what happens at one time happens in the order it was planned. May not know the rules that nodes keep: those are the
//! engine's, and whether they are kept is [`crate::watch`]'s.
//!
//! | file | holds |
//! |---|---|
//! | `step` | one step of a node's engine, its sync, and where its outputs go |
//! | `links` | connections that open, break and are dialled again |
//! | `talk` | requests, answers and gossip on the way |
//! | `life` | starts, kills, backups |
//! | `singles` | callers' single requests |
//! | `on_disk` | the same of nodes whose store is the product's, on a simulated disk |

mod life;
mod links;
mod on_disk;
mod singles;
mod step;
mod talk;

pub(crate) use talk::{Question, Recorded, Told};

use crate::clock::true_us;
use crate::founding::{Founded, FoundingError};
use crate::inject::Running;
use crate::net::Net;
use crate::node::Node;
use crate::plan::{Fault, Plan};
use crate::queue::Queue;
use crate::run::How;
use crate::streams::Stream;
use crate::watch::Watch;
use crate::work::Callers;
use belfry_protocol::engine::federation::checks::Checks;
use belfry_protocol::engine::federation::{Input, Protocol, Status};
use belfry_protocol::tlog::hash::{Hash, sha256_parts};
use belfry_protocol::wire::{Range, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use talk::{Seen, Word};

/// What happens.
pub(crate) enum Event {
    /// A node's process is told something.
    Input { to: usize, boot: u64, input: Input },
    /// A request arrives.
    Asked { to: usize, question: Question },
    /// Gossip arrives.
    Gossip {
        to: usize,
        from: usize,
        connection: u64,
        word: Rc<Word>,
    },
    /// A request was not answered in time.
    NoAnswer { asker: usize, boot: u64, id: u64 },
    /// The runtime's pause is over.
    Tick { node: usize, boot: u64 },
    /// A sync came back.
    Synced { node: usize, boot: u64 },
    /// Two nodes that are not connected may try again.
    Dial {
        from: usize,
        to: usize,
        pause_us: u64,
    },
    /// A direction was dead for as long as pings are waited for.
    Silent {
        way: (usize, usize),
        connection: u64,
    },
    /// A connection is as old as two nodes may be without having admitted each other.
    Lobby { a: usize, b: usize, connection: u64 },
    /// A node measures a peer's clock.
    Probe {
        from: usize,
        to: usize,
        connection: u64,
        /// Whether the next one follows it.
        again: bool,
    },
    /// A process is to run again.
    Start { node: usize },
    /// A machine wakes up.
    Wake { node: usize },
    /// A caller appends.
    Append,
    /// A caller sends a single request.
    Single,
    /// A fault of the plan begins.
    Fault(usize),
    /// Something that a fault does later.
    Injected(Running),
    /// The state of all nodes is looked at.
    Look,
}

/// What was counted of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) events: u64,
    pub(crate) steps: u64,
    /// Steps that were left out, because the engine said that they do nothing.
    pub(crate) rested: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Messages and bytes sent, by node.
    pub(crate) sent: Vec<(u64, u64)>,
    /// Entries that callers were told of.
    pub(crate) appended: u64,
    /// Appends that were refused.
    pub(crate) refused: u64,
}

/// Everything.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) how: How,
    pub(crate) founded: Founded,
    pub(crate) now_us: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) net: Net,
    pub(crate) watch: Watch,
    pub(crate) counted: Counted,
    /// Factories are connected to each other, and not to towers alone.
    pub(crate) full_mesh: bool,
    /// What towers told, for whoever listens from outside.
    told: Option<Vec<Told>>,
    /// Faults are over: nothing more may go wrong.
    pub(crate) healed: bool,
    queue: Queue<Event>,
    number: u64,
    /// Requests that arrived, by the number that the receiver knows them by.
    pub(crate) questions: BTreeMap<u64, Question>,
    /// What waits for a direction to open.
    stalled: BTreeMap<(usize, usize), Vec<Event>>,
    /// Gossip that a node saw before.
    seen: Vec<Seen>,
    /// Gossip whose signatures were checked, by its hash and the certificates known.
    checked: BTreeMap<(Hash, usize), Checks>,
    /// Whom a node let speak, and over which connection.
    admitted: BTreeMap<(usize, usize), u64>,
    /// Pauses before two nodes dial again whose last connection was not a good one, by the lower and the higher number.
    pauses: BTreeMap<(usize, usize), u64>,
    /// Gossip that waits for its verdict.
    judged: BTreeMap<(usize, [u8; 20]), Rc<Word>>,
    /// Requests whose asker waits: who, its start, and its number for it.
    waiting: BTreeSet<(usize, u64, u64)>,
    /// Every message that was sent lately, for whoever replays it.
    pub(crate) recording: talk::Recording,
    /// Processes whose second copy runs in their place.
    pub(crate) aside: BTreeMap<usize, Node>,
    work: Callers,
    singles: singles::Singles,
    /// The simulated second, and the events in it so far.
    second: (u64, u64),
    /// Who uses the revoked keys of a node.
    pub(crate) thieves: BTreeMap<usize, crate::inject::Thief>,
    /// Draws of faults while they last.
    pub(crate) mischief: Stream,
    trace: Hash,
}

/// Events of one node within a second that are a storm: a hundred times what a busy second has.
const STORM: u64 = 20_000;
/// Pause between two looks at everything, in microseconds.
const LOOK_US: u64 = 1_000_000;

impl World {
    /// A federation that is about to start.
    pub(crate) fn new(plan: &Plan, how: How) -> Result<Self, FoundingError> {
        #[cfg(feature = "sabotage")]
        crate::sabotage::turn(plan);
        let topology = &plan.topology;
        let seats = topology.seats();
        let founded = Founded::new(&seats, topology.quorum)?;
        let speaks = Range {
            min: Version::V1_0,
            max: Version::V1_0,
        };
        let mut nodes: Vec<Node> = (0..founded.count())
            .map(|at| Node::new(at, &founded, plan, vec![speaks]))
            .collect();
        on_disk::mount(plan, &mut nodes)?;
        let count = nodes.len();
        let mut world = Self {
            plan: plan.clone(),
            how,
            watch: Watch::new(&founded, plan.seed),
            founded,
            now_us: 0,
            nodes,
            net: Net::new(
                plan.seed,
                topology.regions.clone(),
                topology.latency_us.clone(),
            ),
            counted: Counted {
                sent: vec![(0, 0); count],
                ..Counted::default()
            },
            full_mesh: true,
            told: None,
            healed: false,
            queue: Queue::default(),
            number: 0,
            questions: BTreeMap::new(),
            stalled: BTreeMap::new(),
            seen: vec![Seen::default(); count],
            checked: BTreeMap::new(),
            admitted: BTreeMap::new(),
            pauses: BTreeMap::new(),
            judged: BTreeMap::new(),
            waiting: BTreeSet::new(),
            recording: talk::Recording {
                on: plan
                    .faults
                    .iter()
                    .any(|one| matches!(one.fault, Fault::Replay { .. })),
                ..talk::Recording::default()
            },
            aside: BTreeMap::new(),
            work: Callers::new(plan),
            singles: singles::Singles::new(plan.seed, plan.workload.singles_per_1000_seconds),
            second: (0, 0),
            thieves: BTreeMap::new(),
            mischief: Stream::new(plan.seed, "mischief", 0),
            trace: Hash([0; 32]),
        };
        for node in 0..count {
            let after_us = world.work.start_us();
            world.after(after_us, Event::Start { node });
        }
        let faults: Vec<u64> = plan.faults.iter().map(|one| one.at_ms * 1_000).collect();
        for (number, at_us) in faults.into_iter().enumerate() {
            world.at(at_us, Event::Fault(number));
        }
        world.plan_backups();
        world.after(LOOK_US, Event::Look);
        world.next_append();
        world.next_single();
        Ok(world)
    }

    /// Plans an event.
    pub(crate) fn at(&mut self, at_us: u64, event: Event) {
        self.number += 1;
        self.queue.push(at_us.max(self.now_us), self.number, event);
    }

    /// Plans an event some time from now.
    pub(crate) fn after(&mut self, us: u64, event: Event) {
        self.at(self.now_us.saturating_add(us), event);
    }

    /// Lets time pass until then.
    pub(crate) fn run_until(&mut self, until_us: u64) {
        while !self.watch.has_failed()
            && let Some((at_us, event)) = self.queue.next_until(until_us)
        {
            self.now_us = at_us;
            self.counted.events += 1;
            self.no_storm();
            self.happen(event);
        }
        if !self.watch.has_failed() {
            self.now_us = self.now_us.max(until_us);
        }
    }

    /// L5: however much goes wrong, nobody talks itself into a storm.
    fn no_storm(&mut self) {
        let second = self.now_us / 1_000_000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        if self.second.1 > STORM * self.nodes.len() as u64 {
            self.watch.time(self.now_us);
            let what = format!("{} events within a second", self.second.1);
            self.watch.fail("L5", None, what);
        }
    }

    /// Adds something that happened to the trace.
    pub(crate) fn note(&mut self, what: &str, node: usize, bytes: &[u8]) {
        self.trace = sha256_parts(&[
            &self.trace.0,
            &self.now_us.to_be_bytes(),
            &(node as u64).to_be_bytes(),
            what.as_bytes(),
            b"\0",
            bytes,
        ]);
    }

    /// Hash over everything that happened.
    pub(crate) fn trace(&self) -> Hash {
        self.trace
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input { to, boot, input } => {
                if let Input::Response { id, .. } = &input {
                    self.waiting.remove(&(to, boot, *id));
                }
                self.arrives(to, boot, input);
            }
            Event::Asked { to, question } => self.asked(to, question),
            Event::Gossip {
                to,
                from,
                connection,
                word,
            } => self.gossip_arrives(to, from, connection, word),
            Event::NoAnswer { asker, boot, id } => self.unanswered(asker, boot, id),
            Event::Tick { node, boot } => self.tick(node, boot),
            Event::Synced { node, boot } => self.synced(node, boot),
            Event::Dial { from, to, pause_us } => self.dial(from, to, pause_us),
            Event::Silent { way, connection } => self.silent(way, connection),
            Event::Lobby { a, b, connection } => self.overstayed(a, b, connection),
            Event::Probe {
                from,
                to,
                connection,
                again,
            } => self.probe(from, to, connection, again),
            Event::Start { node } => self.start(node),
            Event::Wake { node } => self.wake(node),
            Event::Append => self.append_one(),
            Event::Single => self.single(),
            Event::Fault(number) => crate::inject::begin(self, number),
            Event::Injected(running) => crate::inject::go_on(self, running),
            Event::Look => {
                crate::watch::look(self);
                self.after(LOOK_US, Event::Look);
            }
        }
    }

    /// What a node says of itself; `None` while it does not run.
    pub(crate) fn status(&mut self, at: usize) -> Option<Status> {
        self.nodes[at].status()
    }

    /// Whether two nodes keep a connection.
    pub(crate) fn are_linked(&self, a: usize, b: usize) -> bool {
        let is_tower = |at: usize| self.founded.member(at).tower;
        a != b && (self.full_mesh || is_tower(a) || is_tower(b))
    }

    /// The newest digest that a ledger's own node let out.
    pub(crate) fn newest_digest(&self, name: &str) -> Option<(u64, Hash)> {
        self.watch.newest_digest(self.founded.by_name(name)?)
    }

    /// True time as microseconds since 1970.
    pub(crate) fn true_us(&self) -> i64 {
        true_us(self.now_us)
    }

    /// Ends all faults and starts whatever does not run.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        crate::inject::end_all(self);
        for way in self.net.heal() {
            self.unstall(way);
        }
        for at in 0..self.nodes.len() {
            self.make_well(at);
        }
    }

    /// Gives a node a request as if `from` had sent it over their connection.
    pub(crate) fn inject_request(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let question = Question {
            asker: from,
            asker_boot: self.nodes[from].boot,
            // Nobody waits for the answer.
            id: u64::MAX,
            protocol: Protocol::Sync,
            bytes,
            connection: self.net.connection(from, to).unwrap_or(0),
        };
        let delay_us = self.net.latency_us(from, to);
        self.after(delay_us, Event::Asked { to, question });
    }

    /// The next append of the workload.
    fn next_append(&mut self) {
        if let Some(pause_us) = self.work.pause_us() {
            self.after(pause_us, Event::Append);
        }
    }

    fn append_one(&mut self) {
        if self.healed {
            return;
        }
        self.next_append();
        let (factory, filler) = self.work.entry();
        self.append(factory, filler);
    }
}
