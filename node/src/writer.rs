//! The writer thread: the one place that changes a ledger. It drains what waits, runs one engine step in one
//! transaction, commits with one sync, and only then releases the promises (group commit).

use crate::clock;
use crate::exit::Code;
use crate::store::Store;
use belfry_protocol::engine::RequestId;
use belfry_protocol::engine::ledger::{Free, Head, Input, Ledger, Places, Promise, Refusal};
use belfry_protocol::engine::store::{StoreError, Transaction};
use belfry_protocol::entry::Batch;
use belfry_protocol::entry::json::Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Commands that wait at most; senders block beyond it.
const QUEUE: usize = 1_024;
/// Commands in one step at most: bounds the time to the first answer.
const INPUTS_PER_STEP: usize = 1_024;
/// Bundle bytes in one step at most: bounds the size of a transaction.
const BYTES_PER_STEP: usize = 8 << 20;
/// Entries above the flushed index from which appends wait for the flusher (R10).
const BACKLOG_LIMIT: u64 = 131_072;
/// How long appends wait for the flusher before they are pushed back.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(120);
/// How often a writer that waits for the flusher looks.
const BACKLOG_LOOK: Duration = Duration::from_millis(1);
/// Longest wait for more callers before a sync, if the last step served several.
const GATHER_LONGEST: Duration = Duration::from_micros(400);
/// Pause after a flush that found the disk full.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);
/// What a step writes to the log beside its entries, in bytes: about five pages.
const STEP_BYTES: u64 = 40 << 10;
/// Housekeeping and the end of the day.
const TICK: Duration = Duration::from_secs(1);

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

enum Command {
    Request(Request, Reply),
    /// The flusher has something to say; see [`Work::apply_flush`].
    Wake,
    Close,
}

/// What everybody may see of the ledger, as of the last commit.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Number of entries.
    pub size: u64,
    /// Entries below this index are in files.
    pub flushed: u64,
    /// Size of the newest signed digest.
    pub signed: u64,
    /// Commits since start.
    pub commits: u64,
    /// Why the writer stopped, if it did.
    pub stopped: Option<String>,
}

/// Sends requests to the writer thread.
#[derive(Clone)]
pub struct Writer {
    queue: SyncSender<Command>,
    flushed: Arc<AtomicU64>,
    published: watch::Receiver<Published>,
}

impl Writer {
    /// Starts the writer thread. `head` is the head that start-up checked.
    pub fn start(
        store: Store,
        ledger: Ledger,
        head: &Head,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, commands) = sync_channel(QUEUE);
        let first = Published {
            size: head.size(),
            flushed: head.flushed,
            signed: head.signed.unwrap_or(0),
            ..Published::default()
        };
        let (publish, published) = watch::channel(first);
        let flushed = Arc::new(AtomicU64::new(head.flushed));
        let work = Work {
            flushed: Arc::clone(&flushed),
            store,
            ledger,
            commands,
            publish,
            start: Instant::now(),
            gather: Duration::ZERO,
            full_since: None,
            flush_not_before: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || work.run())?;
        Ok((
            Self {
                queue,
                flushed,
                published,
            },
            thread,
        ))
    }

    /// Hands over a request; blocks while the queue is full.
    pub fn send(&self, request: Request, reply: Reply) {
        if let Err(refused) = self.queue.send(Command::Request(request, reply)) {
            refuse(refused.0);
        }
    }

    /// Hands over a request unless the queue is full, in which case it comes back as [`Failure::Busy`].
    pub fn try_send(&self, request: Request, reply: Reply) {
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

    /// Tells the writer that tiles below `through` are in files, verified.
    pub fn flushed(&self, through: u64) {
        self.flushed.store(through, Ordering::Release);
        // A full queue needs no waking.
        let _ = self.queue.try_send(Command::Wake);
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

struct Work {
    store: Store,
    ledger: Ledger,
    commands: Receiver<Command>,
    publish: watch::Sender<Published>,
    start: Instant,
    /// Tiles below this index are in files, as the flusher says.
    flushed: Arc<AtomicU64>,
    /// How long to wait for more callers before the next sync.
    gather: Duration,
    /// Since when the backlog is full.
    full_since: Option<Instant>,
    /// After a full disk: when the next flush may be tried.
    flush_not_before: Instant,
}

/// What one step takes.
#[derive(Default)]
struct Taken {
    inputs: Vec<Input>,
    replies: BTreeMap<RequestId, Reply>,
    bytes: usize,
    close: bool,
}

impl Taken {
    fn add(&mut self, request: Request, reply: Reply) {
        let id = RequestId(self.inputs.len() as u64);
        self.replies.insert(id, reply);
        self.inputs.push(match request {
            Request::Append(batch) => {
                self.bytes += batch.bundle_len();
                Input::Append { request: id, batch }
            }
            Request::Erase { index, payload } => Input::Erase {
                request: id,
                index,
                payload,
            },
            Request::System { kind, body } => Input::System {
                request: id,
                kind,
                body,
            },
        });
    }

    fn is_full(&self) -> bool {
        self.close || self.inputs.len() >= INPUTS_PER_STEP || self.bytes >= BYTES_PER_STEP
    }

    fn fail(self, failure: &Failure) {
        for (_, reply) in self.replies {
            reply(Err(failure.clone()));
        }
    }
}

/// What a committed step leaves to be told.
struct Done {
    answers: Vec<(RequestId, Result<Answer, Failure>)>,
    /// Erasures, as (request, index of the `erase` entry): answered when the keys are destroyed.
    erased: Vec<(RequestId, u64)>,
    head: Head,
    took: Duration,
}

impl Work {
    fn run(mut self) {
        let mut last_tick = Instant::now();
        loop {
            let mut taken = Taken::default();
            match self.commands.recv_timeout(TICK) {
                Ok(command) => Self::take(&mut taken, command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.apply_flush();
            self.drain(&mut taken);
            if last_tick.elapsed() >= TICK {
                last_tick = Instant::now();
                taken.inputs.push(Input::Tick);
            }
            let close = taken.close;
            self.step(taken);
            if close {
                break;
            }
        }
        self.refuse_rest();
        if let Err(error) = self.store.close() {
            tracing::warn!(%error, "the write-ahead log could not be copied at shutdown; the next start will do it");
        }
    }

    /// Adds a command to the next step.
    fn take(taken: &mut Taken, command: Command) {
        match command {
            Command::Wake => {}
            Command::Close => taken.close = true,
            Command::Request(request, reply) => taken.add(request, reply),
        }
    }

    /// Lets the engine drop what the flusher wrote; in a step of its own, because appends may be waiting for it.
    fn apply_flush(&mut self) {
        let through = self.flushed.load(Ordering::Acquire);
        if through <= self.publish.borrow().flushed || Instant::now() < self.flush_not_before {
            return;
        }
        let inputs = vec![Input::Flushed { through }];
        if !self.step(Taken {
            inputs,
            ..Taken::default()
        }) {
            self.flush_not_before = Instant::now() + FULL_DISK_PAUSE;
        }
    }

    /// Takes what waits, first until the flusher made room (R10), then for a moment more if the last step served several
    /// callers, so that they share the next sync instead of every second one. While there is no room nothing more is
    /// taken from the queue, so that it fills up and pushes back.
    fn drain(&mut self, taken: &mut Taken) {
        while self.backlog_full() && !taken.replies.is_empty() {
            // One patience for all: when the flusher is stuck, whoever comes later is refused at once.
            let since = *self.full_since.get_or_insert_with(Instant::now);
            if since.elapsed() > BACKLOG_PATIENCE {
                return std::mem::take(taken).fail(&Failure::Busy);
            }
            std::thread::sleep(BACKLOG_LOOK);
            self.apply_flush();
        }
        if !self.backlog_full() {
            self.full_since = None;
        }
        let until = Instant::now() + self.gather;
        while !taken.is_full() {
            match self.commands.try_recv() {
                Ok(command) => Self::take(taken, command),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    if let Ok(command) = self.commands.recv_timeout(left) {
                        Self::take(taken, command);
                    }
                }
            }
        }
    }

    fn backlog_full(&self) -> bool {
        let now = self.publish.borrow();
        now.size - now.flushed >= BACKLOG_LIMIT
    }

    /// Runs one step to its end; `false` if the disk was full and nothing was changed.
    fn step(&mut self, mut taken: Taken) -> bool {
        if taken.inputs.is_empty() {
            return true;
        }
        let inputs = std::mem::take(&mut taken.inputs);
        let (callers, bytes) = (taken.replies.len(), taken.bytes as u64);
        let destroy = inputs
            .iter()
            .any(|input| matches!(input, Input::Erase { .. } | Input::Tick));
        let done = match self.commit(inputs) {
            Ok(done) => done,
            Err(StoreError::Full(why)) => {
                tracing::error!(%why, "the disk is full; nothing was appended");
                taken.fail(&Failure::Full(why));
                return false;
            }
            Err(error) => {
                taken.fail(&Failure::Stopped(error.to_string()));
                self.die(&error)
            }
        };
        self.gather = if callers > 1 {
            (done.took / 8).min(GATHER_LONGEST)
        } else {
            Duration::ZERO
        };
        self.publish.send_modify(|published| {
            published.size = done.head.size();
            published.flushed = done.head.flushed;
            published.signed = done.head.signed.unwrap_or(0);
            published.commits += 1;
        });
        for (request, answer) in done.answers {
            if let Some(reply) = taken.replies.remove(&request) {
                reply(answer);
            }
        }
        // What was answered is durable; whatever fails from here on must not be told as if it were not.
        let destroyed = match self.store.tidy(bytes + STEP_BYTES, destroy) {
            Ok(destroyed) => destroyed,
            Err(StoreError::Full(why)) => {
                tracing::error!(%why, "no room to copy the write-ahead log; trying again later");
                false
            }
            Err(error) => self.die(&error),
        };
        for (request, index) in done.erased {
            let answer = if destroyed {
                Ok(Answer::Erased(index))
            } else {
                Err(Failure::NotDestroyed { index })
            };
            if let Some(reply) = taken.replies.remove(&request) {
                reply(answer);
            }
        }
        debug_assert!(taken.replies.is_empty(), "every request has an answer");
        true
    }

    /// One transaction: step, commit, and only then the promises.
    fn commit(&mut self, inputs: Vec<Input>) -> Result<Done, StoreError> {
        let mut tx = self.store.begin()?;
        let (mut outbox, head) = self.ledger.step(clock::now(self.start), &mut tx, inputs)?;
        let refused = outbox.take_free();
        let began = Instant::now();
        let committed = tx.commit()?;
        let mut done = Done {
            answers: Vec::new(),
            erased: Vec::new(),
            head,
            took: began.elapsed(),
        };
        for promise in outbox.release(&committed) {
            match promise {
                Promise::Appended { request, places } => {
                    done.answers.push((request, Ok(Answer::Appended(places))))
                }
                Promise::Erased { request, index } => done.erased.push((request, index)),
                Promise::Digest { .. } => {}
            }
        }
        for Free::Refused { request, refusal } in refused {
            done.answers.push((request, Err(refusal.into())));
        }
        Ok(done)
    }

    /// After an I/O error nobody knows what is on disk: stop at once, the next start finds out (R9).
    fn die(&self, error: &StoreError) -> ! {
        tracing::error!(%error, "the store failed; stopping at once");
        self.publish
            .send_modify(|published| published.stopped = Some(error.to_string()));
        anstream::eprintln!(
            "error: {error}\nThe node stops at once, so that nothing is promised that is not on disk."
        );
        let code = if matches!(error, StoreError::Damaged(_)) {
            Code::Damaged
        } else {
            Code::Io
        };
        std::process::exit(code.number());
    }

    fn refuse_rest(&self) {
        while let Ok(command) = self.commands.try_recv() {
            refuse(command);
        }
    }
}
