//! The pool that checks signatures between the network and the engine (R9): neither the swarm's loop nor the writer
//! thread waits for them. All messages of one peer go through one worker, so that they arrive in the order they came.

use crate::writer::Writer;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::{Input, ahead};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// Messages that wait for one worker. A peer has at most 8 requests and 8 answers on their way, so this is room for
/// sixteen busy peers; beyond it the network waits.
const QUEUE: usize = 256;
/// Most workers: a check takes 0.1 ms, so this is far more than the engine takes.
const MOST_WORKERS: usize = 16;
/// Pause before a message is offered to a busy engine again.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// Who is who, as the engine knew it after its last step.
#[derive(Clone, Default)]
pub(super) struct Snapshot(Arc<Mutex<Option<Arc<Members>>>>);

impl Snapshot {
    pub(super) fn publish(&self, members: &Members) {
        let new = Arc::new(members.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
    }

    pub(super) fn get(&self) -> Option<Arc<Members>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Where checked messages go.
pub(super) trait Engine: Clone + Send + 'static {
    /// Takes a message, or gives it back while there is no room.
    fn offer(&self, input: Box<Input>) -> Result<(), Box<Input>>;
    /// Whether it will ever take one again.
    fn runs(&self) -> bool;
}

impl Engine for Writer {
    fn offer(&self, input: Box<Input>) -> Result<(), Box<Input>> {
        self.message(input)
    }

    fn runs(&self) -> bool {
        self.is_running()
    }
}

/// What became too much, since the start.
#[derive(Debug, Default)]
pub(crate) struct PoolCounts {
    /// Gossip and samples of clocks that were dropped, because its worker had no room.
    pub(crate) dropped: AtomicU64,
    /// Other messages that waited for room.
    pub(crate) waited: AtomicU64,
}

/// A message and the peer it came from.
struct Job {
    from: String,
    input: Box<Input>,
}

/// The workers. They end when this is dropped and what waited is handed over.
pub(super) struct Pool {
    workers: Vec<mpsc::Sender<Job>>,
    counts: Arc<PoolCounts>,
}

/// The machine's processors but one, which the engine has.
pub(super) fn workers_by_default() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().saturating_sub(1).max(1))
}

impl Pool {
    /// Starts the workers of the node `me`; the threads are the caller's to join.
    pub(super) fn start(
        workers: usize,
        me: &str,
        members: &Snapshot,
        engine: &impl Engine,
        counts: &Arc<PoolCounts>,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for number in 0..workers.clamp(1, MOST_WORKERS) {
            let (queue, jobs) = mpsc::channel(QUEUE);
            let worker = Worker::new(me, members, engine);
            let thread = std::thread::Builder::new()
                .name(format!("verifier-{number}"))
                .spawn(move || worker.work(jobs))?;
            queues.push(queue);
            threads.push(thread);
        }
        let pool = Self {
            workers: queues,
            counts: Arc::clone(counts),
        };
        Ok((pool, threads))
    }

    /// As [`Pool::start`] with one worker, which is a task of the runtime around.
    pub(super) fn start_as_task(
        me: &str,
        members: &Snapshot,
        engine: &(impl Engine + Sync),
        counts: &Arc<PoolCounts>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let worker = Worker::new(me, members, engine);
        let pool = Self {
            workers: vec![queue],
            counts: Arc::clone(counts),
        };
        (pool, tokio::spawn(worker.work_as_task(jobs)))
    }

    /// Hands a message to its peer's worker. While that has no room, gossip and samples of clocks come back, because they
    /// are only hints and must not hold up answers; everything else waits.
    pub(super) async fn push(&self, from: String, input: Box<Input>) -> Option<Box<Input>> {
        let worker = self.worker_of(&from);
        let job = Job { from, input };
        let full = match worker.try_send(job) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => return None,
            Err(mpsc::error::TrySendError::Full(job)) => job,
        };
        if is_a_hint(&full.input) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return Some(full.input);
        }
        self.counts.waited.fetch_add(1, Ordering::Relaxed);
        // An error means that the engine stopped: nobody takes it any more.
        let _ = worker.send(full).await;
        None
    }

    /// The same worker for the same peer, for ever.
    fn worker_of(&self, peer: &str) -> &mpsc::Sender<Job> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(peer);
        let count = self.workers.len() as u64;
        let index = usize::try_from(hash % count).unwrap_or(0);
        &self.workers[index]
    }
}

/// What may be lost: it comes again.
fn is_a_hint(input: &Input) -> bool {
    matches!(input, Input::Gossip { .. } | Input::ClockSample { .. })
}

/// One worker.
struct Worker<E> {
    me: String,
    members: Snapshot,
    engine: E,
}

impl<E: Engine> Worker<E> {
    fn new(me: &str, members: &Snapshot, engine: &E) -> Self {
        Self {
            me: me.to_owned(),
            members: members.clone(),
            engine: engine.clone(),
        }
    }

    fn work(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            let mut waits = self.offer(self.check(job));
            // The engine is behind: this worker waits, its queue fills, and the network feels it.
            while let Some(input) = waits {
                if !self.engine.runs() {
                    return;
                }
                std::thread::sleep(FULL_PAUSE);
                waits = self.offer(input);
            }
        }
    }

    async fn work_as_task(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            let mut waits = self.offer(self.check(job));
            while let Some(input) = waits {
                if !self.engine.runs() {
                    return;
                }
                tokio::time::sleep(FULL_PAUSE).await;
                waits = self.offer(input);
            }
        }
    }

    fn check(&self, Job { from, mut input }: Job) -> Box<Input> {
        // Before the engine's first step nobody is known, and it checks by itself.
        if let Some(members) = self.members.get() {
            ahead::check(&members, &self.me, &from, &mut input);
        }
        input
    }

    /// What is to be offered again, if anything is.
    fn offer(&self, input: Box<Input>) -> Option<Box<Input>> {
        let back = self.engine.offer(input).err()?;
        (!matches!(*back, Input::ClockSample { .. })).then_some(back)
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
