//! A member of a federation as one state machine (R1-R4): factory, tower, or both. Each step runs in one transaction,
//! each input in a savepoint of its own; bytes from peers are decoded inside. No socket, clock or randomness.
//!
//! | file | rule |
//! |---|---|
//! | `hello` | who may speak (R7) |
//! | `factory`, `cuts`, `digests` | prepare, then sign (R1); collecting acks (R2) |
//! | `recovery`, `adopting`, `resting` | what a factory asks before it signs, takes over, and rests on (R1, R3) |
//! | `tower`, [`mirror`] | holding unsigned tails, promising incarnations (R1) |
//! | `acks` | digests, marks and acks (R4) |
//! | `marks` | what a tower asks before it acks (R3) |
//! | [`restored`], [`disk`] | a tower whose directory came out of a backup, or was lost (R1, R3) |
//! | `own` | statements of this node's own that it did not make (R3) |
//! | `clock` | steps of the wall clock (R8) |
//! | `heads` | what a tower tells everybody once a second |
//! | [`certificates`] | chains of members that are away (R6) |
//! | `fetch`, [`serve`] | catching up on entries, verified piece by piece |
//! | `dispatch` | from frames to the rule that answers them |
//! | `status`, `alarms`, `refusals` | how far the node is, what went wrong and what was refused, for people |
//! | [`checks`], [`members`], `messages`, [`io`] | signatures, who is who, envelopes, inputs and outputs |

mod acks;
mod adopting;
mod alarms;
mod backlog;
pub mod certificates;
pub mod checks;
mod clock;
mod cuts;
mod digests;
pub mod disk;
mod dispatch;
mod factory;
mod fetch;
mod heads;
mod hello;
pub mod io;
mod marks;
pub mod members;
mod messages;
pub mod mirror;
mod own;
mod recovery;
mod refusals;
mod resting;
pub mod restored;
pub mod serve;
mod status;
mod tower;

pub use io::{Alarm, Free, Input, Promise, Protocol, Status, Topic, Verdict};

use super::Now;
use super::keys::OwnKeys;
use super::ledger::start::Incarnation;
use super::ledger::{self, Head, Ledger};
use super::nonces::Counts;
use super::outbox::Outbox;
use super::store::{Record, StoreError, Transaction};
use crate::tlog::hash::{Hash, sha256_parts};
use crate::wire::Range;
use checks::Checks;
use disk::OwnDisk;
use factory::Factory;
use members::{MemberIx, Members};
use std::collections::BTreeMap;

/// What is fixed for one start.
pub struct Settings {
    /// The members.
    pub members: Members,
    /// This node among them.
    pub me: MemberIx,
    /// This start.
    pub incarnation: Incarnation,
    /// The incarnation before this start: what is on this disk was appended under it.
    pub incarnation_before: u64,
    /// This node's keys and certificates.
    pub keys: OwnKeys,
    /// Protocol versions spoken.
    pub versions: Vec<Range>,
    /// This directory as a tower's disk.
    pub disk: OwnDisk,
    /// Name and version of this program.
    pub agent: String,
}

/// The state machine. What it keeps between steps is what is on its way: everything else is in the store.
pub struct Engine {
    ledger: Ledger,
    settings: Settings,
    volatile: Volatile,
}

/// Caches and what is on its way; lost at every start.
struct Volatile {
    peers: BTreeMap<String, Peer>,
    asked: BTreeMap<u64, Asked>,
    next_request: u64,
    factory: Factory,
    tower: marks::Tower,
    fetches: BTreeMap<String, fetch::Fetch>,
    goodbyes: BTreeMap<MemberIx, String>,
    refused: refusals::Refusals,
    nonces: Counts,
    clock: clock::Clock,
    /// The keys changed: every peer is to hear of the new certificate.
    say_hello: bool,
    acked: u64,
    steps: u64,
}

impl Volatile {
    /// The open, admitted connection of a member.
    fn connection(&self, member: MemberIx) -> Option<&str> {
        self.peers
            .iter()
            .find(|(_, peer)| peer.admitted && peer.member == Some(member))
            .map(|(name, _)| name.as_str())
    }
}

/// A connected peer.
#[derive(Default)]
struct Peer {
    member: Option<MemberIx>,
    admitted: bool,
    /// What it must put into guarded messages to us.
    our_token: [u8; 16],
    /// What we must put into guarded messages to it.
    their_token: [u8; 16],
    /// When it was asked for certificates last.
    certificates_us: Option<u64>,
}

/// A request on its way.
struct Asked {
    peer: String,
    what: What,
    at_us: u64,
}

/// Answers are not awaited for longer, in microseconds: the transport gives up long before.
const ASKED_US: u64 = 120_000_000;

/// What was asked.
enum What {
    Hello,
    Prepare { member: MemberIx },
    Digest { member: MemberIx },
    Recover { member: MemberIx },
    Marks { member: MemberIx },
    Entries { origin: String },
    Certificates,
}

/// One step in progress.
struct Turn<'e, 'a, T> {
    own: ledger::Step<'a, T>,
    ledger: &'e Ledger,
    settings: &'e mut Settings,
    v: &'e mut Volatile,
    out: Outbox<Promise, Free>,
    checks: Checks,
    seed: Seed,
}

/// Randomness for one step, from a value that the runtime drew.
struct Seed {
    seed: [u8; 32],
    drawn: u64,
}

impl Seed {
    fn draw(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let Hash(bytes) = sha256_parts(&[
            b"belfry/step-seed/v1\0",
            &self.seed,
            &self.drawn.to_be_bytes(),
        ]);
        let mut out = [0; 16];
        out.copy_from_slice(&bytes[..16]);
        out
    }
}

/// Why a message was given up; counted by this word and answered only where a rule says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bad(&'static str);

/// Why an input ended early.
enum Stop {
    Bad(Bad),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Bad> for Stop {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

/// Outputs of a step: the ledger's and the federation's.
pub struct Outputs {
    /// The own ledger's.
    pub ledger: Outbox<ledger::Promise, ledger::Free>,
    /// The federation's.
    pub federation: Outbox<Promise, Free>,
    /// The own ledger after the step.
    pub head: Head,
}

impl Engine {
    /// A node that has taken its incarnation (durably) and checked its right edge.
    #[must_use]
    pub fn new(ledger: Ledger, mut settings: Settings) -> Self {
        let certificates = settings.keys.certificates.clone();
        settings.members.learn(settings.me, &certificates);
        let factory = Factory::new(&settings);
        Self {
            ledger,
            settings,
            volatile: Volatile {
                peers: BTreeMap::new(),
                asked: BTreeMap::new(),
                next_request: 0,
                factory,
                tower: marks::Tower::default(),
                fetches: BTreeMap::new(),
                goodbyes: BTreeMap::new(),
                refused: refusals::Refusals::default(),
                nonces: Counts::default(),
                clock: clock::Clock::default(),
                say_hello: false,
                acked: 0,
                steps: 0,
            },
        }
    }

    /// The members, for checking signatures ahead of a step.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.settings.members
    }

    /// From now on these keys sign; every peer hears of the new certificate.
    pub fn renew(&mut self, keys: OwnKeys) {
        self.settings
            .members
            .learn(self.settings.me, &keys.certificates);
        self.ledger.set_log_keys(keys.log.clone());
        self.settings.keys = keys;
        self.volatile.say_hello = true;
    }

    /// Takes `inputs` in order, then does what is due.
    ///
    /// # Errors
    /// When the store fails: nothing may be released, the transaction must be dropped, and [`Engine::forget`] called.
    pub fn step<T: Transaction>(
        &mut self,
        now: Now,
        seed: [u8; 32],
        tx: &mut T,
        inputs: Vec<Input>,
    ) -> Result<Outputs, StoreError> {
        let mut turn = Turn {
            own: self.ledger.begin(now, tx)?,
            ledger: &self.ledger,
            settings: &mut self.settings,
            v: &mut self.volatile,
            out: Outbox::default(),
            checks: Checks::default(),
            seed: Seed { seed, drawn: 0 },
        };
        turn.begin()?;
        for input in inputs {
            turn.take(input)?;
        }
        turn.due()?;
        let (ledger, head) = turn.own.finish(&self.ledger)?;
        let federation = turn.out;
        Ok(Outputs {
            ledger,
            federation,
            head,
        })
    }

    /// Size of the newest digest that a quorum acknowledged.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.volatile.acked
    }

    /// Whether the ledger takes entries (R3: not while recovering).
    #[must_use]
    pub fn may_append(&self) -> bool {
        self.volatile.factory.may_append()
    }

    /// Whether a prefix is being prepared, so that the next one is due soon.
    #[must_use]
    pub fn is_preparing(&self) -> bool {
        self.volatile.factory.has_cuts()
    }

    /// Whether callers may append more to a ledger of `size` entries of which `signed` are covered by a digest; if not,
    /// they wait until towers hold what is there.
    #[must_use]
    pub fn has_room(&self, size: u64, signed: u64) -> bool {
        !self.may_append()
            || !self.volatile.factory.is_watched()
            || self.volatile.factory.backlog.has_room(size, signed)
    }

    /// After a step whose transaction did not commit: what is on its way is forgotten and asked for again.
    pub fn forget(&mut self) {
        self.volatile.asked.clear();
        self.volatile.fetches.clear();
        // Marks that were raised, the acked size and a raised incarnation may not have become durable.
        self.volatile.tower = marks::Tower::default();
        self.volatile.steps = 0;
        // A prepare of that step may have left: what follows is another incarnation.
        let number = &mut self.settings.incarnation.number;
        *number = number.saturating_add(1);
        self.volatile.factory.forget(&self.settings);
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    fn begin(&mut self) -> Result<(), StoreError> {
        self.look_at_clocks();
        if self.v.steps == 0 {
            let acked = self.own.tx.record(Record::Acked)?;
            self.v.acked = acked
                .and_then(|bytes| bytes.try_into().ok().map(u64::from_be_bytes))
                .unwrap_or(0);
            self.load_chains()?;
            self.join()?;
            self.stay_silent()?;
            self.begin_restore()?;
        }
        self.v.steps += 1;
        if self.may_append() {
            self.own.close_ended_days(self.ledger)?;
        }
        Ok(())
    }

    /// The first start of this ledger in a federation: nothing above the newest digest may go to files from now on.
    fn join(&mut self) -> Result<(), StoreError> {
        let head = &self.own.head;
        if !self.v.factory.is_watched() || self.own.tx.record(Record::SignedHead)?.is_some() {
            return Ok(());
        }
        let base = if head.signed == Some(head.size()) {
            head.clone()
        } else {
            Head::default()
        };
        if base.size() < head.flushed {
            self.v
                .factory
                .stop("entries that no digest covers are in files already; found a new ledger");
            return Ok(());
        }
        self.own.tx.put_record(Record::SignedHead, &base.encode())
    }

    fn take(&mut self, input: Input) -> Result<(), StoreError> {
        let input = match input {
            Input::Ledger(input) => return self.take_own(input),
            other => other,
        };
        self.own.write_entries()?;
        let mark = self.own.mark()?;
        let out = self.out.mark();
        let answer_to = match &input {
            Input::Request { id, .. } => Some(*id),
            _ => None,
        };
        let sender = refusals::sender(self.v, &input);
        match self.take_message(input) {
            Ok(()) => self.own.tx.keep_savepoint(),
            Err(Stop::Bad(Bad(why))) => {
                self.own.undo(mark)?;
                self.out.roll_back(out);
                self.given_up(sender, why);
                if let Some(id) = answer_to {
                    self.out.free(Free::NoAnswer { id });
                }
                Ok(())
            }
            Err(Stop::Store(error)) => Err(error),
        }
    }

    fn is_full(&self) -> bool {
        let head = &self.own.head;
        let signed = head.signed.unwrap_or(0);
        self.v.factory.is_watched() && self.v.factory.backlog.is_full(head.size(), signed)
    }

    /// Whether the own ledger may grow (R3: while recovering, appends are refused).
    fn may_append(&self) -> bool {
        self.v.factory.may_append()
    }

    fn take_own(&mut self, input: ledger::Input) -> Result<(), StoreError> {
        use ledger::{Input as Own, Refusal};
        let request = match &input {
            Own::Append { request, .. }
            | Own::Erase { request, .. }
            | Own::System { request, .. }
            | Own::Retire { request, .. } => Some(*request),
            Own::Flushed { .. } | Own::Tick => None,
        };
        let refusal = match &input {
            // A ledger that cannot go on can still say who goes on in its place.
            Own::Retire { .. } => None,
            _ if !self.may_append() => Some(Refusal::NotReady {
                phase: self.v.factory.phase_name(),
            }),
            Own::Append { .. } if self.is_full() => Some(Refusal::Backlog),
            _ => None,
        };
        if let (Some(request), Some(refusal)) = (request, refusal) {
            self.own
                .out
                .free(ledger::Free::Refused { request, refusal });
            return Ok(());
        }
        let bytes = match &input {
            Own::Append { batch, .. } => batch.bundle_len() as u64,
            _ => 0,
        };
        let silent = !self.may_append();
        let before = self.own.head.size();
        if let Own::Retire { successor, .. } = &input
            && silent
        {
            let why = format!("retired; its successor is {successor}");
            self.v.factory.stop(&why);
        }
        self.own.take_alone(self.ledger, input, silent)?;
        if self.own.head.size() > before && self.v.factory.is_watched() {
            let size = self.own.head.size();
            self.v.factory.backlog.appended(size, bytes);
        }
        Ok(())
    }

    fn take_message(&mut self, input: Input) -> Result<(), Stop> {
        match input {
            Input::Ledger(_) | Input::Tick => Ok(()),
            Input::PeerUp { peer, dialed } => {
                self.peer_up(peer, dialed);
                Ok(())
            }
            Input::PeerDown { peer } => {
                self.peer_down(&peer);
                Ok(())
            }
            Input::Request {
                peer,
                id,
                protocol,
                bytes,
                checks,
            } => {
                self.checks = checks;
                match protocol {
                    Protocol::Hello => self.hello_asked(&peer, id, &bytes),
                    Protocol::Sync => self.asked(&peer, id, &bytes),
                }
            }
            Input::Response { id, bytes, checks } => {
                self.checks = checks;
                self.answered(id, bytes)
            }
            Input::Gossip {
                peer,
                id,
                topic,
                bytes,
                checks,
            } => {
                self.checks = checks;
                let (verdict, bad) = self.gossiped(topic, &bytes)?;
                if let Some(Bad(why)) = bad {
                    self.given_up(Some((peer.clone(), true)), why);
                }
                self.out.free(Free::Verdict { id, peer, verdict });
                Ok(())
            }
            Input::MirrorFlushed { origin, through } => Ok(self.mirror_flushed(&origin, through)?),
        }
    }

    /// What is due after all inputs: retries, cuts, prepares, queries.
    fn due(&mut self) -> Result<(), StoreError> {
        self.own.write_entries()?;
        let old = self.now_us().saturating_sub(ASKED_US);
        self.v.asked.retain(|_, asked| asked.at_us >= old);
        self.say_hello();
        self.ask_for_certificates();
        self.catch_up()?;
        self.ask_for_marks()?;
        self.tell_heads()?;
        self.recover()?;
        self.replicate()?;
        self.fetch_more()
    }

    fn now_us(&self) -> u64 {
        self.own.now.mono_us
    }

    /// The open, admitted connection of a member.
    fn connection(&self, member: MemberIx) -> Option<&str> {
        self.v.connection(member)
    }

    fn member_of(&self, peer: &str) -> Result<MemberIx, Bad> {
        self.v
            .peers
            .get(peer)
            .filter(|known| known.admitted)
            .and_then(|known| known.member)
            .ok_or(Bad("not admitted"))
    }

    fn remember(&mut self, peer: String, what: What) -> u64 {
        self.v.next_request += 1;
        let id = self.v.next_request;
        let at_us = self.now_us();
        self.v.asked.insert(id, Asked { peer, what, at_us });
        id
    }
}
