//! The way to the writer thread: requests in, durable answers out. The thread itself is [`work`]; nobody else changes a
//! ledger.

mod queue;
pub mod step;
mod taken;
mod task;
mod witness;
mod work;

use crate::store::Store;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::witness::Logs;
use belfry_protocol::engine::federation::{self, Engine};
use belfry_protocol::engine::keys::OwnKeys;
use belfry_protocol::engine::ledger::{Head, Ledger, Places, Refusal};
use belfry_protocol::engine::store::{Place, Record, Transaction};
use belfry_protocol::entry::Batch;
use belfry_protocol::entry::json::Json;
use belfry_protocol::fork::ForkProof;
use belfry_protocol::manifest::Federation;
use belfry_protocol::tlog::tile::TILE_WIDTH;
use queue::{Queue, queue};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use work::Work;

/// What a caller wants.
pub enum Request {
    /// Append finished entries.
    Append(Batch),
    /// Destroy a private payload.
    Erase {
        /// Index of the private entry.
        index: u64,
        /// Its commitment.
        payload: [u8; 32],
    },
    /// End the ledger; another goes on in its place.
    Retire {
        /// Origin of that ledger.
        successor: String,
    },
    /// An entry of the node's own.
    System {
        /// A reserved kind.
        kind: &'static str,
        /// Its body.
        body: Json,
    },
}

/// A durable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Where the entries are.
    Appended(Places),
    /// Index of the `erase` entry.
    Erased(u64),
    /// Index of the `retire` entry; `None` if the ledger took no entry any more.
    Retired(Option<u64>),
}

impl Answer {
    /// The first entry that came of it, if one did.
    #[must_use]
    pub fn entry(&self) -> Option<u64> {
        match self {
            Self::Appended(places) => Some(places.first),
            Self::Erased(index) => Some(*index),
            Self::Retired(index) => *index,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The engine refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No room on the disk; nothing was appended.
    #[error("{0}")]
    Full(String),
    /// The flusher cannot keep up; nothing was appended.
    #[error("the ledger cannot write its tiles fast enough; try again later")]
    Busy,
    /// The erasure is recorded, and the key is not destroyed yet.
    #[error(
        "entry {index} records the erasure, and the key is not destroyed yet because the payloads are being read; it is tried again every second"
    )]
    NotDestroyed {
        /// Index of the `erase` entry.
        index: u64,
    },
    /// The store failed, or the node is stopping; whether the entry was appended is not known.
    #[error("the ledger stopped: {0}")]
    Stopped(String),
}

/// Called once, on the writer thread: it must not block.
pub type Reply = Box<dyn FnOnce(Result<Answer, Failure>) + Send>;

/// Makes keys on the writer thread, for a ledger that stands like this; `None` if it does not. It writes and syncs a few small
/// files, as a commit does.
pub type Renew = Box<dyn FnOnce(&Standing) -> Option<OwnKeys> + Send>;

/// Works on the store between two steps; it may block no longer than a commit does.
pub type Between = Box<dyn FnOnce(&mut Store) + Send>;

/// Where a ledger stands between two steps.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Number of entries.
    pub size: u64,
    /// First size of a digest that a log key made now signs (R6); the phase, where none may be made.
    pub from_size: Result<u64, String>,
}

/// Called once with how far a member is, on the writer thread: it must not block.
type StatusReply = Box<dyn FnOnce(Option<federation::Status>) + Send>;

/// Called once with whether the epoch follows the newest, on the writer thread: it must not block.
type Amended = Box<dyn FnOnce(bool) + Send>;

pub use witness::{WitnessReply, WitnessRequest};

/// Where a member's messages go. Called on the writer thread: it must not block.
pub trait Outlet: Send {
    /// Something that may leave at once.
    fn free(&mut self, output: federation::Free);
    /// Something that is durable now.
    fn promise(&mut self, output: federation::Promise);
    /// The engine learned keys of a member; said before anything that follows from it.
    fn members(&mut self, members: &Members);
}

/// The state machine that the writer drives.
pub enum Machine {
    /// A ledger on its own, or an unfounded one.
    Alone(Box<Ledger>),
    /// A member of a federation.
    Member(Box<Engine>, Box<dyn Outlet>),
}

enum Command {
    Request(Request, Reply),
    /// A checkpoint that came over HTTP.
    Witness(WitnessRequest, WitnessReply),
    /// The logs to cosign besides members' ledgers.
    Logs(Box<Logs>),
    /// From the network.
    Message(Box<federation::Input>),
    /// How far a member is; nobody waits on it for ever.
    Status(StatusReply),
    /// A fork proof against the own ledger.
    OwnFork(Box<ForkProof>),
    /// Payloads without entries.
    DropPayloads(Vec<[u8; 32]>),
    /// Makes keys of a new serial; see [`Writer::renew`].
    Renew(Renew),
    /// Something of the runtime's own on the same store; see [`Writer::between`].
    Between(Between),
    /// An epoch is in force; see [`Writer::amend`].
    Amend(Box<Federation>, Amended),
    /// The flusher has something to say; see [`Work::apply_flush`].
    Wake,
    Close,
}

/// What everybody may see of the ledger, as of the last commit.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Number of entries.
    pub size: u64,
    /// Entries below this index may be in files: on its own all of them, in a federation what a digest covers.
    pub flushable: u64,
    /// Entries below this index are in files.
    pub flushed: u64,
    /// Size of the newest signed digest.
    pub signed: u64,
    /// Size of the newest digest that a quorum of towers acknowledged; 0 outside a federation.
    pub acked: u64,
    /// Whether entries are taken: not while a member recovers.
    pub appends: bool,
    /// Commits since start.
    pub commits: u64,
    /// Why the writer stopped, if it did.
    pub stopped: Option<String>,
}

impl Published {
    /// Whether full tiles wait for the flusher.
    #[must_use]
    pub fn tiles_wait(&self) -> bool {
        self.flushable / TILE_WIDTH > self.flushed / TILE_WIDTH
    }
}

/// What the flusher did: the entries of a ledger below `through` are in files, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flush {
    /// The ledger's place among the rows.
    pub place: Place,
    /// Its origin; empty for the node's own ledger.
    pub origin: String,
    /// One past the last entry in files.
    pub through: u64,
}

/// What the flusher did and the writer has not made durable yet.
#[derive(Clone, Default)]
struct Flushes(Arc<Mutex<BTreeMap<Place, Flush>>>);

impl Flushes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Flush>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether so many appends wait for towers that callers are to wait, too.
#[derive(Clone, Default)]
struct Crowded(Arc<AtomicBool>);

impl Crowded {
    fn set(&self, crowded: bool) {
        self.0.store(crowded, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often a caller that waits for towers looks.
const CROWDED_LOOK: Duration = Duration::from_millis(1);

/// Sends requests to the writer thread.
#[derive(Clone)]
pub struct Writer {
    queue: Queue,
    flushes: Flushes,
    crowded: Crowded,
    published: watch::Receiver<Published>,
}

impl Writer {
    /// Starts the writer thread. `head` is the head that start-up checked.
    pub fn start(
        store: Store,
        machine: Machine,
        head: &Head,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (writer, work) = Self::prepare(store, machine, head, queue(None))?;
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || work.run())?;
        Ok((writer, thread))
    }

    /// As [`Writer::start`], as a task of the runtime around; see [`Drive::Tasks`](crate::drive::Drive::Tasks).
    pub fn start_as_task(
        store: Store,
        machine: Machine,
        head: &Head,
    ) -> std::io::Result<(Self, tokio::task::JoinHandle<()>)> {
        let bell = Arc::new(Notify::new());
        let queue = queue(Some(Arc::clone(&bell)));
        let (writer, work) = Self::prepare(store, machine, head, queue)?;
        Ok((writer, tokio::spawn(Box::pin(work.run_as_task(bell)))))
    }

    fn prepare(
        mut store: Store,
        machine: Machine,
        head: &Head,
        (queue, commands): (Queue, Receiver<Command>),
    ) -> std::io::Result<(Self, Work)> {
        let alone = matches!(machine, Machine::Alone(_));
        let forked = is_forked(&mut store)?;
        let first = Published {
            size: head.size(),
            flushable: store.flushable(head).map_err(std::io::Error::other)?,
            flushed: head.flushed,
            signed: head.signed.unwrap_or(0),
            appends: alone && !forked,
            ..Published::default()
        };
        let (publish, published) = watch::channel(first);
        let flushes = Flushes::default();
        let crowded = Crowded::default();
        let channels = (commands, publish, flushes.clone(), crowded.clone());
        let work = Work::new(store, machine, channels);
        let writer = Self {
            queue,
            flushes,
            crowded,
            published,
        };
        Ok((writer, work))
    }

    /// Hands over a request; blocks while the queue is full, or towers do not keep up.
    pub fn send(&self, request: Request, reply: Reply) {
        while self.crowded.is_set() && self.is_running() {
            std::thread::sleep(CROWDED_LOOK);
        }
        if let Err(refused) = self.queue.send(Command::Request(request, reply)) {
            refuse(refused.0);
        }
    }

    /// Hands over a request unless the queue is full or towers do not keep up, in which case it comes back as
    /// [`Failure::Busy`].
    pub fn try_send(&self, request: Request, reply: Reply) {
        if self.crowded.is_set() {
            return reply(Err(Failure::Busy));
        }
        match self.queue.try_send(Command::Request(request, reply)) {
            Ok(()) => {}
            Err(std::sync::mpsc::TrySendError::Full(Command::Request(_, reply))) => {
                reply(Err(Failure::Busy))
            }
            Err(std::sync::mpsc::TrySendError::Full(_)) => {}
            Err(std::sync::mpsc::TrySendError::Disconnected(command)) => refuse(command),
        }
    }

    /// Hands over a request and waits for the answer.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub fn call(&self, request: Request) -> Result<Answer, Failure> {
        let (answer, wait) = sync_channel(1);
        self.send(request, Box::new(move |result| drop(answer.send(result))));
        wait.recv()
            .unwrap_or_else(|_| Err(Failure::Stopped("the writer thread ended".to_owned())))
    }

    /// Tells the writer what is in files, verified.
    pub fn flushed(&self, flushed: Vec<Flush>) {
        let by_place = flushed.into_iter().map(|flush| (flush.place, flush));
        self.flushes.lock().extend(by_place);
        // A full queue needs no waking.
        let _ = self.queue.try_send(Command::Wake);
    }

    /// Whether the writer has yet to take what [`Writer::flushed`] told it; never once it ended.
    #[must_use]
    pub fn is_flushing(&self) -> bool {
        self.is_running() && !self.flushes.lock().is_empty()
    }

    /// Hands over a message from the network unless the queue is full.
    ///
    /// # Errors
    /// The message, when the queue is full or the writer ended.
    pub fn message(&self, input: Box<federation::Input>) -> Result<(), Box<federation::Input>> {
        let sent = self.queue.try_send(Command::Message(input));
        match sent {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(command) | TrySendError::Disconnected(command)) => match command
            {
                Command::Message(input) => Err(input),
                // What comes back is what was handed over.
                _ => Ok(()),
            },
        }
    }

    /// Hands over a checkpoint that came over HTTP, unless the queue is full: then it is answered with
    /// [`Failure::Busy`]. If the writer ends meanwhile, `reply` is dropped.
    pub fn witness(&self, request: WitnessRequest, reply: WitnessReply) {
        match self.queue.try_send(Command::Witness(request, reply)) {
            Ok(()) => {}
            Err(TrySendError::Full(Command::Witness(_, reply))) => reply(Err(Failure::Busy)),
            Err(_) => {}
        }
    }

    /// Hands the engine the logs to cosign; blocks while the queue is full.
    pub fn watch_logs(&self, logs: Logs) {
        // A writer that ended cosigns nothing.
        let _ = self.queue.send(Command::Logs(Box::new(logs)));
    }

    /// Hands the engine a fork proof against the own ledger, which it judges again; blocks while the queue is full.
    pub fn own_fork(&self, proof: ForkProof) {
        // A writer that ended signs nothing.
        let _ = self.queue.send(Command::OwnFork(Box::new(proof)));
    }

    /// Drops payloads that belong to no entry, by their commitments.
    pub fn drop_payloads(&self, ids: Vec<[u8; 32]>) {
        // A writer that ended leaves them to the next start.
        let _ = self.queue.send(Command::DropPayloads(ids));
    }

    /// Has keys of a new serial made between two steps, where nothing is appended and nothing signed; blocks while the queue is
    /// full. If the writer ends meanwhile, `renew` is dropped.
    pub fn renew(&self, renew: Renew) {
        // A writer that ended needs none.
        let _ = self.queue.send(Command::Renew(renew));
    }

    /// Runs `work` on the store between two steps and waits for it; blocks while the queue is full.
    ///
    /// # Errors
    /// [`Failure::Stopped`], when the writer ended first: then `work` did not run.
    pub fn between<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let (done, wait) = sync_channel(1);
        let run: Between = Box::new(move |store| drop(done.send(work(store))));
        // A writer that ended drops it, and with it the sender.
        let _ = self.queue.send(Command::Between(run));
        wait.recv()
            .map_err(|_| Failure::Stopped("the writer thread ended".to_owned()))
    }

    /// From now on this epoch is in force, too: its manifest was verified along the chain. Nothing is interrupted; until the ledgers
    /// have their joint digests, the towers of both epochs count. Says whether it follows the newest: if not, nothing changed.
    /// Blocks while the queue is full.
    ///
    /// # Errors
    /// [`Failure::Stopped`], when the writer ended.
    pub fn amend(&self, next: Federation) -> Result<bool, Failure> {
        let (answer, wait) = sync_channel(1);
        let reply: Amended = Box::new(move |follows| {
            // Whoever asked may have gone.
            let _gone = answer.send(follows);
        });
        // A writer that ended drops it, and with it the sender.
        let _ = self.queue.send(Command::Amend(Box::new(next), reply));
        wait.recv()
            .map_err(|_| Failure::Stopped("the writer thread ended".to_owned()))
    }

    /// How far a member of a federation is; `None` outside one, or when the writer ended.
    #[must_use]
    pub fn status(&self) -> Option<federation::Status> {
        let (answer, wait) = sync_channel(1);
        let reply: StatusReply = Box::new(move |status| drop(answer.send(status)));
        self.queue.send(Command::Status(reply)).ok()?;
        wait.recv().ok().flatten()
    }

    /// As [`Writer::status`], for a task; `None` also while the queue is full.
    pub async fn status_soon(&self) -> Option<federation::Status> {
        let (answer, wait) = oneshot::channel();
        let reply: StatusReply = Box::new(move |status| drop(answer.send(status)));
        self.queue.try_send(Command::Status(reply)).ok()?;
        wait.await.ok().flatten()
    }

    /// Asks the writer to finish what waits and stop.
    pub fn close(&self) {
        let _ = self.queue.send(Command::Close);
    }

    /// Whether the writer thread runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.published.has_changed().is_ok()
    }

    /// What the ledger shows, as of the last commit.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }
}

/// Whether there is a fork proof against the own ledger.
fn is_forked(store: &mut Store) -> std::io::Result<bool> {
    let tx = store.begin_reading().map_err(std::io::Error::other)?;
    let record = tx.record(Record::Forked).map_err(std::io::Error::other)?;
    Ok(record.is_some())
}

fn refuse(command: Command) {
    if let Command::Request(_, reply) = command {
        reply(Err(Failure::Stopped("the node is stopping".to_owned())));
    }
}
