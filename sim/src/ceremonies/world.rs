//! The world of ceremonies: true time, what happens next, and everybody. What happens at one time happens in the order in
//! which it was planned. May not know the rules that members keep.
//!
//! | file | holds |
//! |---|---|
//! | `step` | one step of a member, and what comes of its promises |
//! | `talk` | letters on their way, and the comparing of what each has |
//! | `life` | starts, crashes, lost disks, acks |
//! | `humans` | what people do at their screens |
//! | `liars` | what people do who keep no rule |
//! | `phase`, `agree`, `close` | one vote after the other |

use super::letters::{Letter, Post};
use super::member::Member;
use super::people::{People, Who, person};
use super::phase::Phase;
use super::plan::Plan;
use super::talk::{Digest, Pair};
use super::watch::Watch;
use crate::founding::FoundingError;
use crate::net::Net;
use crate::queue::Queue;
use crate::streams::Stream;
use belfry_protocol::genesis::Statement;
use belfry_protocol::genesis::ceremony::VoteId;
use belfry_protocol::manifest::{Federation, Manifest};
use belfry_protocol::tlog::hash::{Hash, sha256_parts};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub(super) const SECOND_US: u64 = 1_000_000;
pub(super) const MINUTE_US: u64 = 60 * SECOND_US;
pub(super) const HOUR_US: u64 = 60 * MINUTE_US;

/// What happens.
pub(super) enum Event {
    /// Letters reach somebody.
    Arrive {
        to: Who,
        from: Who,
        letters: Vec<Rc<Letter>>,
    },
    /// One of two compares what both have.
    Compare { from: Who, to: Who },
    /// What another one has, in short or in full, reaches somebody.
    Digest { from: Who, to: Who, digest: Digest },
    /// A key signs.
    Sign {
        who: Who,
        boot: u64,
        id: VoteId,
        statement: Statement,
    },
    /// An entry is appended.
    Append {
        who: Who,
        boot: u64,
        vote: Option<VoteId>,
        kind: &'static str,
        body: String,
    },
    /// A digest may be acked.
    Ack { who: Who, boot: u64 },
    /// A restored member asks the towers for its ledger.
    Rebuild { who: Who, boot: u64 },
    /// A process comes up.
    Start { who: Who },
    /// A human looks at the screen.
    Look { who: Who },
    /// A vote begins with a proposal.
    Propose { who: Who, manifest: Hash },
    /// A human confirms what everybody agreed on.
    Approve {
        who: Who,
        manifest: Hash,
        round: u64,
    },
    /// Liars have an idea.
    Mischief,
    /// Something goes wrong with a machine.
    Accident,
    /// The network is cut in two.
    Cut,
    /// And whole again.
    Mend { ways: Vec<(Who, Who)> },
    /// The faults of this vote end.
    Heal { phase: usize },
    /// People talk to each other.
    Talk { phase: usize },
}

/// Everything.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now_us: u64,
    pub(super) members: BTreeMap<Who, Member>,
    pub(super) people: People,
    pub(super) post: Post,
    pub(super) net: Net,
    pub(super) watch: Watch,
    pub(super) phase: Phase,
    /// The links of all epochs so far, as files.
    pub(super) links: Vec<String>,
    /// Everybody who hears what is said: members, joiners and liars.
    pub(super) around: BTreeSet<Who>,
    /// What liars heard.
    pub(super) recording: Vec<Rc<Letter>>,
    pub(super) pairs: BTreeMap<(Who, Who), Pair>,
    /// Every manifest that anybody wrote.
    pub(super) manifests: BTreeMap<Hash, Manifest>,
    /// Draws of accidents, of humans, and of liars.
    pub(super) mischief: Stream,
    pub(super) minds: Stream,
    pub(super) lies: Stream,
    /// Faults of this vote are over.
    pub(super) healed: bool,
    pub(super) steps: u64,
    pub(super) messages: u64,
    /// What happened, line by line, if somebody wants to read it.
    pub(super) lines: Option<Vec<String>>,
    queue: Queue<Event>,
    number: u64,
    trace: Hash,
}

impl World {
    pub(super) fn new(plan: &Plan, tells: bool) -> Result<Self, FoundingError> {
        let mut world = Self {
            now_us: 0,
            members: BTreeMap::new(),
            people: People::default(),
            post: Post::default(),
            net: Net::new(plan.seed, Vec::new(), vec![vec![20_000]]),
            watch: Watch::new(plan.liars.clone()),
            phase: Phase::default(),
            links: Vec::new(),
            around: BTreeSet::new(),
            recording: Vec::new(),
            pairs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            mischief: Stream::new(plan.seed, "ceremony accidents", 0),
            minds: Stream::new(plan.seed, "ceremony humans", 0),
            lies: Stream::new(plan.seed, "ceremony liars", 0),
            healed: false,
            steps: 0,
            messages: 0,
            lines: tells.then(Vec::new),
            queue: Queue::default(),
            number: 0,
            trace: Hash([0; 32]),
            plan: plan.clone(),
        };
        world.net.weather = plan.weather.clone();
        world.begin()?;
        Ok(world)
    }

    /// Somebody comes who may join or found; `founded` is what they are told of the federation.
    pub(super) fn comes(
        &mut self,
        who: Who,
        founded: Option<Federation>,
    ) -> Result<(), FoundingError> {
        if !self.around.insert(who) {
            return Ok(());
        }
        self.people.add(&*person(who)?);
        if !self.plan.is_honest(who) {
            return Ok(());
        }
        let member = Member::new(who, &self.plan, founded)?;
        self.members.insert(who, member);
        let never = self.plan.gone.contains(&who) || self.plan.late.contains(&who);
        if !never {
            self.after(1, Event::Start { who });
        }
        Ok(())
    }

    /// Plans an event.
    pub(super) fn after(&mut self, us: u64, event: Event) {
        self.number += 1;
        let at_us = self.now_us.saturating_add(us);
        self.queue.push(at_us, self.number, event);
    }

    /// Lets time pass until then, or until a rule is broken or the last vote is over.
    pub(super) fn run_until(&mut self, until_us: u64) {
        while self.watch.violation().is_none()
            && !self.phase.is_over
            && let Some((at_us, event)) = self.queue.next_until(until_us)
        {
            self.now_us = at_us;
            self.watch.now_us = at_us;
            self.happen(event);
        }
    }

    /// Adds something that happened to the trace.
    pub(super) fn note(&mut self, who: Who, what: std::fmt::Arguments<'_>) {
        let line = format!("{:>13}  {who:>2}  {what}", self.now_us);
        self.trace = sha256_parts(&[&self.trace.0, line.as_bytes()]);
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// Hash over everything that happened.
    pub(super) fn trace(&self) -> Hash {
        self.trace
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { to, from, letters } => self.arrive(to, from, letters),
            Event::Compare { from, to } => self.compare(from, to),
            Event::Digest { from, to, digest } => self.digest(from, to, digest),
            Event::Sign {
                who,
                boot,
                id,
                statement,
            } => self.sign(who, boot, id, &statement),
            Event::Append {
                who,
                boot,
                vote,
                kind,
                body,
            } => self.append(who, boot, vote, kind, body),
            Event::Ack { who, boot } => self.ack(who, boot),
            Event::Rebuild { who, boot } => self.rebuild(who, boot),
            Event::Start { who } => self.start(who),
            Event::Look { who } => self.look(who),
            Event::Propose { who, manifest } => self.coordinate(who, &manifest),
            Event::Approve {
                who,
                manifest,
                round,
            } => self.confirm(who, &manifest, round),
            Event::Mischief => self.lie(),
            Event::Accident => self.accident(),
            Event::Cut => self.cut(),
            Event::Mend { ways } => self.mend(&ways),
            Event::Heal { phase } => self.heal(phase),
            Event::Talk { phase } => self.talk(phase),
        }
    }
}
