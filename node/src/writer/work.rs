//! The writer thread: it drains what waits into one step, and answers what became durable (group commit). May not decide
//! anything that the engine decides.

use super::step::{Inputs, Stepper};
use super::taken::Taken;
use super::{
    Answer, Command, Crowded, Failure, Flush, Flushes, Machine, Published, Reply, Request,
    Standing, StatusReply, refuse,
};
use crate::clock;
use crate::exit::Code;
use crate::store::Store;
use belfry_protocol::engine::federation;
use belfry_protocol::engine::federation::witness::Answer as WitnessAnswer;
use belfry_protocol::engine::ledger::Input;
use belfry_protocol::engine::store::{Place, StoreError};
use belfry_protocol::fork::ForkProof;
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Entries above the flushed index from which appends wait for the flusher (R10).
const BACKLOG_LIMIT: u64 = 131_072;
/// How long appends wait for the flusher before they are pushed back.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(120);
/// Appends that wait for towers from which callers wait, too.
const CROWDED: usize = 256;
/// Their bundle bytes.
const CROWDED_BYTES: usize = 32 << 20;
/// Appends that wait for towers at most, with those that were in the queue when callers began to wait.
const PARKED: usize = 4 * super::queue::QUEUE;
/// Their bundle bytes at most.
const PARKED_BYTES: usize = 256 << 20;
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

/// As [`TICK`], for a member of a federation: questions are repeated at this grain. Whatever arrives wakes it at once.
const MEMBER_TICK: Duration = Duration::from_millis(150);
/// As [`MEMBER_TICK`], while a digest is being prepared: the next one is cut at this grain.
const PREPARING_TICK: Duration = Duration::from_millis(50);

/// Fresh randomness for one step.
fn seed() -> Result<[u8; 32], StoreError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| StoreError::Io(error.to_string()))?;
    Ok(seed)
}

fn message_bytes(input: &federation::Input) -> usize {
    match input {
        federation::Input::Request { bytes, .. } | federation::Input::Gossip { bytes, .. } => {
            bytes.len()
        }
        federation::Input::Response { bytes, .. } => bytes.as_ref().map_or(0, Vec::len),
        _ => 0,
    }
}

fn bundle_bytes(request: &Request) -> usize {
    match request {
        Request::Append(batch) => batch.bundle_len(),
        _ => 0,
    }
}

/// The thread's state.
pub(super) struct Work {
    stepper: Stepper,
    pub(super) commands: Receiver<Command>,
    publish: watch::Sender<Published>,
    /// What is in files, as the flusher says.
    flushes: Flushes,
    /// How long to wait for more callers before the next sync.
    gather: Duration,
    /// Appends that wait until towers hold what was appended before, and their bundle bytes.
    parked: VecDeque<(Request, Reply)>,
    parked_bytes: usize,
    crowded: Crowded,
    /// Since when the backlog is full.
    full_since: Option<Instant>,
    /// After a full disk: when the next flush may be tried.
    flush_not_before: Instant,
    /// When the ledger last looked at its housekeeping.
    last_tick: Instant,
    /// A fork proof against the own ledger that no step has taken for good yet: it must survive a full disk.
    own_fork: Option<Box<ForkProof>>,
}

/// Where commands come from, and what others see.
type Channels = (
    Receiver<Command>,
    watch::Sender<Published>,
    Flushes,
    Crowded,
);

/// What the flusher did, as the engine takes it: the own ledger's by an input, the mirrored ledgers' (until they have an
/// input of their own) by [`engine::flushed_mirror`] in the same transaction.
fn flush_inputs(told: &BTreeMap<Place, Flush>) -> (Vec<Input>, Vec<Flush>) {
    let (mut inputs, mut mirrored) = (Vec::new(), Vec::new());
    for (place, flush) in told {
        if *place == Place::OWN {
            let through = flush.through;
            inputs.push(Input::Flushed { through });
        } else {
            mirrored.push(flush.clone());
        }
    }
    (inputs, mirrored)
}

impl Work {
    pub(super) fn new(
        store: Store,
        machine: Machine,
        (commands, publish, flushes, crowded): Channels,
    ) -> Self {
        let now = Instant::now();
        Self {
            stepper: Stepper::new(store, machine),
            commands,
            publish,
            flushes,
            gather: Duration::ZERO,
            parked: VecDeque::new(),
            parked_bytes: 0,
            crowded,
            full_since: None,
            flush_not_before: now,
            last_tick: now,
            own_fork: None,
        }
    }

    /// Runs until it is closed or nobody can send any more.
    pub(super) fn run(mut self) {
        loop {
            let mut taken = Taken::default();
            self.unpark(&mut taken);
            match self.commands.recv_timeout(self.pause(&taken)) {
                Ok(command) => self.take(&mut taken, command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !self.turn(taken) {
                break;
            }
        }
        self.end();
    }

    /// Takes what waits besides, and steps; `false` when it was closed.
    pub(super) fn turn(&mut self, mut taken: Taken) -> bool {
        self.apply_flush();
        self.drain(&mut taken);
        if self.last_tick.elapsed() >= TICK {
            self.last_tick = Instant::now();
            taken.inputs.push(Input::Tick);
        }
        self.renew(&mut taken);
        if let (Some(logs), Some(engine)) = (taken.logs.take(), self.stepper.engine_mut()) {
            engine.watch_logs(*logs);
        }
        self.take_own_fork(&mut taken);
        let close = taken.close;
        let statuses = std::mem::take(&mut taken.statuses);
        if self.step(taken) {
            self.own_fork = None;
        }
        self.tell(statuses);
        !close
    }

    /// Refuses what nobody will do any more, and closes the store.
    pub(super) fn end(mut self) {
        self.refuse_rest();
        if let Err(error) = self.stepper.close() {
            tracing::warn!(%error, "the write-ahead log could not be copied at shutdown; the next start will do it");
        }
    }

    /// Adds a command to the next step.
    pub(super) fn take(&mut self, taken: &mut Taken, command: Command) {
        match command {
            Command::Wake => {}
            Command::Close => taken.close = true,
            Command::Message(input) => {
                taken.bytes += message_bytes(&input);
                taken.messages.push(*input);
            }
            Command::Witness(_, reply) if matches!(self.stepper.machine(), Machine::Alone(_)) => {
                reply(Ok(WitnessAnswer::Unknown));
            }
            Command::Witness(asked, reply) => {
                taken.bytes += asked.bytes();
                taken.witnessing.add(asked, reply);
            }
            Command::OwnFork(proof) => self.own_fork = Some(proof),
            Command::Logs(logs) => taken.logs = Some(logs),
            Command::Status(answer) => taken.statuses.push(answer),
            Command::Between(work) => work(self.stepper.store_mut()),
            Command::Renew(renew) => taken.renewals.push(renew),
            Command::Amend(next, answer) => answer(self.stepper.amend(*next)),
            Command::DropPayloads(ids) => {
                if let Err(error) = self.stepper.store_mut().drop_payloads(&ids) {
                    tracing::warn!(%error, "payloads without entries could not be dropped; the next start tries again");
                }
            }
            Command::Request(request @ Request::Append(_), reply) if !self.has_room() => {
                self.park(request, reply);
            }
            Command::Request(request, reply) => taken.add(request, reply),
        }
    }

    /// Makes the new keys that were asked for. What is taken into the step comes after their certificate's entry.
    fn renew(&mut self, taken: &mut Taken) {
        for renew in std::mem::take(&mut taken.renewals) {
            let (size, signed) = {
                let now = self.publish.borrow();
                (now.size, (now.signed > 0).then_some(now.signed))
            };
            let from_size = self.stepper.next_from_size(clock::now(), size, signed);
            if let Some(keys) = renew(&Standing { size, from_size }) {
                // Before everything else: the range of the new key begins right after this entry.
                taken.inputs.splice(0..0, self.stepper.renew(keys));
            }
        }
    }

    /// Adds the fork proof against the own ledger to every step until one is durable; before appends, which it refuses.
    fn take_own_fork(&self, taken: &mut Taken) {
        let Some(proof) = self.own_fork.clone() else {
            return;
        };
        match self.stepper.machine() {
            Machine::Alone(_) => taken.inputs.insert(0, Input::OwnFork(proof)),
            Machine::Member(..) => taken.messages.push(federation::Input::OwnFork(proof)),
        }
    }

    /// Whether towers keep up with what is appended.
    fn has_room(&self) -> bool {
        match self.stepper.machine() {
            Machine::Alone(_) => true,
            Machine::Member(engine, _) => {
                let now = self.publish.borrow();
                self.parked.is_empty() && engine.has_room(now.size, now.signed)
            }
        }
    }

    /// Keeps an append until there is room. What the queue holds besides must go on: it is what makes room.
    fn park(&mut self, request: Request, reply: Reply) {
        let bytes = bundle_bytes(&request);
        if self.parked.len() >= PARKED || self.parked_bytes + bytes > PARKED_BYTES {
            return reply(Err(Failure::Busy));
        }
        self.parked_bytes += bytes;
        self.parked.push_back((request, reply));
        self.tell_crowd();
    }

    fn tell_crowd(&self) {
        let crowded = self.parked.len() >= CROWDED || self.parked_bytes >= CROWDED_BYTES;
        self.crowded.set(crowded);
    }

    /// Takes what was parked, in its order, as far as there is room.
    pub(super) fn unpark(&mut self, taken: &mut Taken) {
        self.take_parked(taken);
        self.tell_crowd();
    }

    fn take_parked(&mut self, taken: &mut Taken) {
        let Machine::Member(engine, _) = self.stepper.machine() else {
            return;
        };
        let now = self.publish.borrow();
        while !taken.is_full() && engine.has_room(now.size, now.signed) {
            let Some((request, reply)) = self.parked.pop_front() else {
                return;
            };
            self.parked_bytes -= bundle_bytes(&request);
            taken.add(request, reply);
        }
    }

    /// Lets the engine drop what the flusher wrote; in a step of its own, because appends may be waiting for it.
    fn apply_flush(&mut self) {
        let told = self.flushes.lock().clone();
        if told.is_empty() || Instant::now() < self.flush_not_before {
            return;
        }
        let (inputs, mirrored) = flush_inputs(&told);
        let done = self.step(Taken {
            inputs,
            mirrored,
            ..Taken::default()
        });
        if done {
            let mut flushes = self.flushes.lock();
            flushes.retain(|place, flush| told.get(place) != Some(flush));
        } else {
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
                Ok(command) => self.take(taken, command),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    if let Ok(command) = self.commands.recv_timeout(left) {
                        self.take(taken, command);
                    }
                }
            }
        }
    }

    fn backlog_full(&self) -> bool {
        let now = self.publish.borrow();
        // What no digest covers yet may not be flushed, and waiting here would keep it from being signed: that part of the
        // backlog is the engine's to bound.
        now.flushable.saturating_sub(now.flushed) >= BACKLOG_LIMIT
    }

    /// Runs one step to its end; `false` if the disk was full and nothing was changed.
    fn step(&mut self, mut taken: Taken) -> bool {
        let alone = matches!(self.stepper.machine(), Machine::Alone(_));
        if taken.inputs.is_empty() && taken.mirrored.is_empty() && (alone || taken.close) {
            return true;
        }
        let inputs = std::mem::take(&mut taken.inputs);
        let mirrored = std::mem::take(&mut taken.mirrored);
        let mut messages = std::mem::take(&mut taken.messages);
        messages.extend(taken.witnessing.take_inputs());
        let callers = taken.replies.len() + taken.witnessing.len();
        let bytes = taken.bytes as u64;
        let destroy = inputs
            .iter()
            .any(|input| matches!(input, Input::Erase { .. } | Input::Tick));
        let inputs = Inputs {
            inputs,
            messages,
            mirrored,
        };
        let done = match seed().and_then(|seed| self.stepper.commit(clock::now(), seed, inputs)) {
            Ok(done) => done,
            Err(StoreError::Full(why)) => {
                tracing::error!(%why, "the disk is full; nothing was appended");
                self.stepper.forget();
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
            published.flushable = done.flushable;
            published.flushed = done.head.flushed;
            published.signed = done.head.signed.unwrap_or(0);
            published.acked = done.acked.max(published.acked);
            published.appends = done.appends;
            published.commits += 1;
        });
        for (request, answer) in done.answers {
            if let Some(reply) = taken.replies.remove(&request) {
                reply(answer);
            }
        }
        for (id, answer) in done.witnessed {
            taken.witnessing.answer(id, answer);
        }
        // What was answered is durable; whatever fails from here on must not be told as if it were not.
        let destroyed = match self.stepper.store_mut().tidy(bytes + STEP_BYTES, destroy) {
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

    /// How long to wait for a command: a member has retries and intervals to keep.
    pub(super) fn pause(&self, taken: &Taken) -> Duration {
        if !taken.inputs.is_empty() {
            return Duration::ZERO;
        }
        match self.stepper.machine() {
            Machine::Alone(_) => TICK,
            Machine::Member(engine, _) if engine.is_preparing() => PREPARING_TICK,
            Machine::Member(..) => MEMBER_TICK,
        }
    }

    fn tell(&mut self, statuses: Vec<StatusReply>) {
        if statuses.is_empty() {
            return;
        }
        let status = self.stepper.status();
        for answer in statuses {
            answer(status.clone());
        }
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

    fn refuse_rest(&mut self) {
        for (request, reply) in self.parked.drain(..) {
            refuse(Command::Request(request, reply));
        }
        while let Ok(command) = self.commands.try_recv() {
            refuse(command);
        }
    }
}
