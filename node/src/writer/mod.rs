//! The way to the writer thread: requests in, durable answers out. The thread itself is [`work`]; nobody else changes a
//! ledger.

mod work;

use crate::store::Store;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::{self, Engine};
use belfry_protocol::engine::keys::OwnKeys;
use belfry_protocol::engine::ledger::{Head, Ledger, Places, Refusal};
use belfry_protocol::engine::store::Place;
use belfry_protocol::entry::Batch;
use belfry_protocol::entry::json::Json;
use belfry_protocol::tlog::tile::TILE_WIDTH;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use work::Work;

/// Commands that wait at most; senders block beyond it.
const QUEUE: usize = 1_024;

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
    /// From the network.
    Message(Box<federation::Input>),
    /// How far a member is; nobody waits on it for ever.
    Status(SyncSender<Option<federation::Status>>),
    /// Payloads without entries.
    DropPayloads(Vec<[u8; 32]>),
    /// Keys of a new serial.
    Renew(Box<OwnKeys>),
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
    queue: SyncSender<Command>,
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
        let (queue, commands) = sync_channel(QUEUE);
        let first = Published {
            size: head.size(),
            flushable: store.flushable(head).map_err(std::io::Error::other)?,
            flushed: head.flushed,
            signed: head.signed.unwrap_or(0),
            appends: matches!(machine, Machine::Alone(_)),
            ..Published::default()
        };
        let (publish, published) = watch::channel(first);
        let flushes = Flushes::default();
        let crowded = Crowded::default();
        let channels = (commands, publish, flushes.clone(), crowded.clone());
        let work = Work::new(store, machine, channels);
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || work.run())?;
        Ok((
            Self {
                queue,
                flushes,
                crowded,
                published,
            },
            thread,
        ))
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

    /// Drops payloads that belong to no entry, by their commitments.
    pub fn drop_payloads(&self, ids: Vec<[u8; 32]>) {
        // A writer that ended leaves them to the next start.
        let _ = self.queue.send(Command::DropPayloads(ids));
    }

    /// Hands the engine keys of a new serial; blocks while the queue is full.
    pub fn renew(&self, keys: OwnKeys) {
        // A writer that ended needs none.
        let _ = self.queue.send(Command::Renew(Box::new(keys)));
    }

    /// How far a member of a federation is; `None` outside one, or when the writer ended.
    #[must_use]
    pub fn status(&self) -> Option<federation::Status> {
        let (answer, wait) = sync_channel(1);
        self.queue.send(Command::Status(answer)).ok()?;
        wait.recv().ok().flatten()
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

fn refuse(command: Command) {
    if let Command::Request(_, reply) = command {
        reply(Err(Failure::Stopped("the node is stopping".to_owned())));
    }
}
