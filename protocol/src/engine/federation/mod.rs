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
//! | `clock`, [`skew`] | steps of the wall clock (R8), everybody's clocks, and the stop of acks (R4) |
//! | `window` | the hourly entry of what was seen (R13) |
//! | [`forks`] | contradictions, proofs of them, quarantine (R5) |
//! | `heads` | what a tower tells everybody once a second |
//! | [`certificates`] | chains of members that are away (R6) |
//! | [`revocations`] | serials that were withdrawn, and when that acts (R6) |
//! | `fetch`, [`serve`] | catching up on entries, verified piece by piece |
//! | `turn` | one step: what begins it, each input, what is due after them |
//! | [`agenda`] | when something is due by itself |
//! | `dispatch` | from frames to the rule that answers them |
//! | [`witness`] | checkpoints that come over HTTP, of members and of other logs (R4) |
//! | `status`, `alarms`, `refusals` | how far the node is, what went wrong and what was refused, for people |
//! | `councils`, [`epochs`], `joints` | whose word counts for a ledger while epochs change (R14) |
//! | [`ahead`], [`checks`], [`members`], `messages`, [`io`] | signatures, who is who, envelopes, inputs and outputs |

mod acks;
mod adopting;
pub mod agenda;
pub mod ahead;
mod alarms;
mod backlog;
pub mod bounds;
pub mod certificates;
pub mod checks;
mod clock;
mod councils;
mod cuts;
mod digests;
pub mod disk;
mod dispatch;
pub mod epochs;
mod factory;
mod fetch;
pub mod forks;
mod heads;
mod hello;
pub mod io;
mod joints;
mod marks;
pub mod members;
mod messages;
pub mod mirror;
mod own;
mod recovery;
mod refusals;
mod resting;
pub mod restored;
pub mod revocations;
mod seed;
pub mod serve;
pub mod skew;
mod status;
mod tower;
mod turn;
mod window;
pub mod witness;

pub use io::{Alarm, Free, Input, LogStatus, Promise, Protocol, Status, Topic, Verdict};

use super::Now;
use super::keys::OwnKeys;
use super::ledger::start::Incarnation;
use super::ledger::{self, Head, Ledger};
use super::nonces::Counts;
use super::outbox::Outbox;
use super::store::{StoreError, Transaction};
use crate::clock::Interval;
use crate::manifest::Federation;
use crate::wire::Range;
use checks::Checks;
use disk::OwnDisk;
use factory::Factory;
use members::{MemberIx, Members};
use seed::Seed;
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
    /// How often a `window` entry is appended (R13), in microseconds; `None`: never.
    pub window_us: Option<u64>,
    /// How often an acknowledged digest of a ledger that rests is acknowledged again, in microseconds: [`REACK_US`] unless an
    /// operator wants it otherwise. Receipts then say so much later that the ledger was seen whole.
    pub reack_us: u64,
    /// How often each member is asked for certificates, revocations and fork proofs that gossip did not bring, in microseconds:
    /// [`ASK_US`] unless an operator wants it otherwise.
    pub ask_us: u64,
}

/// How often an acknowledged digest is acknowledged again, if nobody says otherwise, in microseconds.
pub const REACK_US: u64 = 45_000_000;

/// How often members are asked for what gossip did not bring, if nobody says otherwise, in microseconds.
pub const ASK_US: u64 = 60_000_000;

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
    /// A mirror's record was written since it was last found that no ledger lacks entries here.
    may_lack: bool,
    /// Rows of the ledgers that lack nothing here, as they were when that was found: read again, they say the same. Bounded by
    /// the manifest's members.
    complete: BTreeMap<MemberIx, Vec<u8>>,
    forks: forks::Forks,
    /// Logs that are no members: configured, so they outlive a step that failed.
    logs: witness::Logs,
    /// When HTTP brought an older digest of a member last.
    http_claims: BTreeMap<MemberIx, u64>,
    /// A human was told since the start that HTTP brought a line of this tower's that it does not remember.
    forgot_told: bool,
    /// What was passed on of each ledger: the newest digest, and the newest ack of each tower, as size and time. Bounded by
    /// the manifest's members.
    passed_on: BTreeMap<(MemberIx, MemberIx), (u64, u64)>,
    goodbyes: BTreeMap<MemberIx, String>,
    refused: refusals::Refusals,
    nonces: Counts,
    clock: clock::Clock,
    windows: window::Windows,
    revocations: revocations::Known,
    epochs: epochs::Epochs,
    /// The keys changed: every peer is to hear of the new certificate.
    say_hello: bool,
    /// Whether a hello may not have left: with the step that said it.
    hello_again: bool,
    /// Certificates of this node may lack their entry.
    certificates_owed: bool,
    acked: u64,
    steps: u64,
    /// What the store says is to be read again, as at a start.
    reload: bool,
    /// The last step did not commit.
    failed: bool,
    /// Until when nothing is asked, by the clock that never steps, because a step did not commit.
    quiet_until_us: u64,
}

impl Volatile {
    /// The open, admitted connection of a member: only under its own transport id is it let in.
    fn connection(&self, members: &Members, member: MemberIx) -> Option<&str> {
        self.peers
            .get_key_value(members.peer(member))
            .filter(|(_, peer)| peer.admitted && peer.member == Some(member))
            .map(|(name, _)| name.as_str())
    }

    /// The admitted members that were asked something longer ago than `pause_us`, or never. They count as asked now.
    fn due(
        &mut self,
        now_us: u64,
        pause_us: u64,
        asked: fn(&mut Peer) -> &mut Option<u64>,
    ) -> Vec<(String, MemberIx)> {
        let admitted = self.peers.iter_mut().filter(|(_, peer)| peer.admitted);
        let due = admitted.filter_map(|(name, peer)| {
            let member = peer.member?;
            let asked = asked(peer);
            if asked.is_some_and(|at| now_us < at.saturating_add(pause_us)) {
                return None;
            }
            *asked = Some(now_us);
            Some((name.clone(), member))
        });
        due.collect()
    }
}

/// A connected peer.
#[derive(Default)]
struct Peer {
    member: Option<MemberIx>,
    admitted: bool,
    /// Whether this node dialled, and so says hello first.
    dialed: bool,
    /// What it must put into guarded messages to us.
    our_token: [u8; 16],
    /// What we must put into guarded messages to it.
    their_token: [u8; 16],
    /// When it was asked for certificates last.
    certificates_us: Option<u64>,
    /// When it was asked for fork proofs last.
    forks_us: Option<u64>,
}

/// A request on its way.
struct Asked {
    peer: String,
    what: What,
    at_us: u64,
}

/// What was asked.
enum What {
    Hello,
    Prepare {
        member: MemberIx,
    },
    Digest {
        member: MemberIx,
    },
    /// A joint digest was shown; whatever is answered is no news.
    Joint {
        member: MemberIx,
    },
    Recover {
        member: MemberIx,
    },
    Marks {
        member: MemberIx,
    },
    Entries {
        origin: String,
    },
    Certificates,
    Revocations,
    Forks,
    Proof {
        question: u64,
    },
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
                may_lack: true,
                complete: BTreeMap::new(),
                forks: forks::Forks::default(),
                logs: witness::Logs::default(),
                http_claims: BTreeMap::new(),
                forgot_told: false,
                passed_on: BTreeMap::new(),
                goodbyes: BTreeMap::new(),
                refused: refusals::Refusals::default(),
                nonces: Counts::default(),
                clock: clock::Clock::default(),
                windows: window::Windows::default(),
                revocations: revocations::Known::default(),
                epochs: epochs::Epochs::default(),
                say_hello: false,
                hello_again: false,
                certificates_owed: true,
                acked: 0,
                steps: 0,
                reload: false,
                failed: false,
                quiet_until_us: 0,
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
        self.volatile.certificates_owed = true;
        self.volatile.forks.ranges_are_due();
    }

    /// The next epoch is in force: its manifest was verified along the chain. Says whether it follows the newest; if not, nothing changes.
    pub fn amend(&mut self, next: Federation) -> bool {
        if !self.settings.members.amend(next) {
            return false;
        }
        self.volatile.factory.amended(&self.settings);
        self.volatile.complete.clear();
        self.volatile.may_lack = true;
        self.volatile.say_hello = true;
        if self.volatile.factory.is_on_its_way() {
            // It asked and adopted by the epochs that it knew: those of this one are asked, too.
            let number = &mut self.settings.incarnation.number;
            *number = number.saturating_add(1);
            self.volatile.factory.forget(&self.settings);
        }
        // What the store says of members is read again: some are new.
        self.volatile.reload = true;
        true
    }

    /// First size that a log key signs which is made now and handed over with [`Engine::renew`] before the next step, for a
    /// ledger of `size` entries of which `signed` are covered by a digest.
    ///
    /// # Errors
    /// The phase, where this node does not know yet what it signed, or signs nothing any more.
    pub fn next_from_size(&self, now: Now, size: u64, signed: Option<u64>) -> Result<u64, String> {
        match self.volatile.factory.knows_itself() {
            true => Ok(self
                .ledger
                .log_keys()
                .next_from_size(size, signed, now.wall_seconds())),
            false => Err(self.volatile.factory.phase_name()),
        }
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
            seed: Seed::new(seed),
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

    /// Whether this node's clock lets it acknowledge (R4); if not, a witness answers `503 clock`.
    #[must_use]
    pub fn may_ack(&self) -> bool {
        self.volatile.clock.may_ack()
    }

    /// How far the clocks of measured members are ahead of the own one at that time, which the own clocks show now.
    #[must_use]
    pub fn clock_offsets(&self, now: Now) -> Vec<(MemberIx, Interval)> {
        let windows = self.volatile.clock.windows();
        let offsets = windows.filter_map(|(member, window)| Some((member, window.offset(now)?)));
        offsets.collect()
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
        // A hello is said once per connection. One of that step may have left, and its answer still admits; or it has not.
        let hello = |asked: &Asked| matches!(asked.what, What::Hello);
        self.volatile.asked.retain(|_, asked| hello(asked));
        self.volatile.hello_again = true;
        self.volatile.fetches.clear();
        self.volatile.may_lack = true;
        self.volatile.forks.forget();
        // Marks that were raised, the acked size and a raised incarnation may not have become durable.
        self.volatile.tower = marks::Tower::default();
        self.volatile.windows = window::Windows::default();
        self.volatile.revocations.forget();
        self.volatile.epochs.forget();
        self.volatile.clock.untold();
        self.volatile.certificates_owed = true;
        self.volatile.steps = 0;
        self.volatile.failed = true;
        // A prepare of that step may have left: what follows is another incarnation.
        let number = &mut self.settings.incarnation.number;
        *number = number.saturating_add(1);
        self.volatile.factory.forget(&self.settings);
    }
}
