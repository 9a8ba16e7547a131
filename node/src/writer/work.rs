//! The writer thread: it drains what waits, runs one engine step in one transaction, commits with one sync, and only
//! then releases the promises (group commit). May not decide anything that the engine decides.

use super::{
    Answer, Command, Crowded, Failure, Flush, Flushes, Machine, Published, Reply, Request, refuse,
};
use crate::clock;
use crate::exit::Code;
use crate::store::Store;
use belfry_protocol::engine::federation;
use belfry_protocol::engine::keys::OwnKeys;
use belfry_protocol::engine::ledger::{Free, Head, Input, Promise};
use belfry_protocol::engine::store::{Place, StoreError, Transaction};
use belfry_protocol::engine::{self, RequestId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Commands in one step at most: bounds the time to the first answer.
const INPUTS_PER_STEP: usize = 1_024;
/// Bundle bytes in one step at most: bounds the size of a transaction.
const BYTES_PER_STEP: usize = 8 << 20;
/// Entries above the flushed index from which appends wait for the flusher (R10).
const BACKLOG_LIMIT: u64 = 131_072;
/// How long appends wait for the flusher before they are pushed back.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(120);
/// Appends that wait for towers from which callers wait, too.
const CROWDED: usize = 256;
/// Their bundle bytes.
const CROWDED_BYTES: usize = 32 << 20;
/// Appends that wait for towers at most, with those that were in the queue when callers began to wait.
const PARKED: usize = 4 * super::QUEUE;
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
    store: Store,
    machine: Machine,
    commands: Receiver<Command>,
    publish: watch::Sender<Published>,
    start: Instant,
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
    /// Certificates that the outlet was told of.
    certificates: usize,
}

/// Where commands come from, and what others see.
type Channels = (
    Receiver<Command>,
    watch::Sender<Published>,
    Flushes,
    Crowded,
);

/// What one step takes.
#[derive(Default)]
struct Taken {
    inputs: Vec<Input>,
    /// Mirrored ledgers of which more is in files.
    mirrored: Vec<Flush>,
    replies: BTreeMap<RequestId, Reply>,
    bytes: usize,
    close: bool,
    messages: Vec<federation::Input>,
    statuses: Vec<SyncSender<Option<federation::Status>>>,
    renewed: Option<Box<OwnKeys>>,
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
            Request::Retire { successor } => Input::Retire {
                request: id,
                successor,
            },
            Request::System { kind, body } => Input::System {
                request: id,
                kind,
                body,
            },
        });
    }

    fn is_full(&self) -> bool {
        self.close
            || self.inputs.len() + self.messages.len() >= INPUTS_PER_STEP
            || self.bytes >= BYTES_PER_STEP
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
    flushable: u64,
    acked: u64,
    appends: bool,
    took: Duration,
}

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
            store,
            machine,
            commands,
            publish,
            start: now,
            flushes,
            gather: Duration::ZERO,
            parked: VecDeque::new(),
            parked_bytes: 0,
            crowded,
            full_since: None,
            flush_not_before: now,
            certificates: 0,
        }
    }

    /// Runs until it is closed or nobody can send any more.
    pub(super) fn run(mut self) {
        let mut last_tick = Instant::now();
        loop {
            let mut taken = Taken::default();
            self.unpark(&mut taken);
            match self.commands.recv_timeout(self.pause(&taken)) {
                Ok(command) => self.take(&mut taken, command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.apply_flush();
            self.drain(&mut taken);
            if last_tick.elapsed() >= TICK {
                last_tick = Instant::now();
                taken.inputs.push(Input::Tick);
            }
            if let (Some(keys), Machine::Member(engine, _)) =
                (taken.renewed.take(), &mut self.machine)
            {
                engine.renew(*keys);
            }
            let close = taken.close;
            let statuses = std::mem::take(&mut taken.statuses);
            self.step(taken);
            self.tell(statuses);
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
    fn take(&mut self, taken: &mut Taken, command: Command) {
        match command {
            Command::Wake => {}
            Command::Close => taken.close = true,
            Command::Message(input) => {
                taken.bytes += message_bytes(&input);
                taken.messages.push(*input);
            }
            Command::Status(answer) => taken.statuses.push(answer),
            Command::Renew(keys) => taken.renewed = Some(keys),
            Command::DropPayloads(ids) => {
                if let Err(error) = self.store.drop_payloads(&ids) {
                    tracing::warn!(%error, "payloads without entries could not be dropped; the next start tries again");
                }
            }
            Command::Request(request @ Request::Append(_), reply) if !self.has_room() => {
                self.park(request, reply);
            }
            Command::Request(request, reply) => taken.add(request, reply),
        }
    }

    /// Whether towers keep up with what is appended.
    fn has_room(&self) -> bool {
        match &self.machine {
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
    fn unpark(&mut self, taken: &mut Taken) {
        self.take_parked(taken);
        self.tell_crowd();
    }

    fn take_parked(&mut self, taken: &mut Taken) {
        let Machine::Member(engine, _) = &self.machine else {
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
        let alone = matches!(self.machine, Machine::Alone(_));
        if taken.inputs.is_empty() && taken.mirrored.is_empty() && (alone || taken.close) {
            return true;
        }
        let inputs = std::mem::take(&mut taken.inputs);
        let mirrored = std::mem::take(&mut taken.mirrored);
        let messages = std::mem::take(&mut taken.messages);
        let (callers, bytes) = (taken.replies.len(), taken.bytes as u64);
        let destroy = inputs
            .iter()
            .any(|input| matches!(input, Input::Erase { .. } | Input::Tick));
        let done = match self.commit(inputs, messages, mirrored) {
            Ok(done) => done,
            Err(StoreError::Full(why)) => {
                tracing::error!(%why, "the disk is full; nothing was appended");
                if let Machine::Member(engine, _) = &mut self.machine {
                    engine.forget();
                }
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

    /// One transaction: step, free outputs, commit, and only then the promises (R9).
    fn commit(
        &mut self,
        inputs: Vec<Input>,
        messages: Vec<federation::Input>,
        mirrored: Vec<Flush>,
    ) -> Result<Done, StoreError> {
        let now = clock::now(self.start);
        let mut tx = self.store.begin()?;
        let (mut outbox, head, member) = match &mut self.machine {
            Machine::Alone(ledger) => {
                let (outbox, head) = ledger.step(now, &mut tx, inputs)?;
                for flush in &mirrored {
                    engine::flushed_mirror(&mut tx, &flush.origin, flush.through)?;
                }
                (outbox, head, None)
            }
            Machine::Member(engine, outlet) => {
                let flushed = mirrored
                    .into_iter()
                    .map(|flush| federation::Input::MirrorFlushed {
                        origin: flush.origin,
                        through: flush.through,
                    });
                let own = inputs.into_iter().map(federation::Input::Ledger);
                let all = flushed.chain(own).chain(messages).collect();
                let mut outputs = engine.step(now, seed()?, &mut tx, all)?;
                // Chains only grow, so their number tells whether one did.
                let members = engine.members();
                let known = (0..members.count()).map(|one| members.chain(one).len());
                let known = known.sum();
                if known != self.certificates {
                    self.certificates = known;
                    outlet.members(members);
                }
                // Prepares carry this step's entries: what belongs to them may not be lost once towers hold them (R10).
                tx.commit_payloads()?;
                for output in outputs.federation.take_free() {
                    outlet.free(output);
                }
                let state = (engine.acked(), engine.may_append());
                (
                    outputs.ledger,
                    outputs.head,
                    Some((outputs.federation, state)),
                )
            }
        };
        let refused = outbox.take_free();
        let began = Instant::now();
        let committed = tx.commit()?;
        let mut done = Done {
            answers: Vec::new(),
            erased: Vec::new(),
            took: began.elapsed(),
            flushable: self.store.flushable(&head)?,
            acked: 0,
            appends: true,
            head,
        };
        if let (Some((outbox, state)), Machine::Member(_, outlet)) = (member, &mut self.machine) {
            (done.acked, done.appends) = state;
            for output in outbox.release(&committed) {
                outlet.promise(output);
            }
        }
        for promise in outbox.release(&committed) {
            match promise {
                Promise::Appended { request, places } => {
                    done.answers.push((request, Ok(Answer::Appended(places))))
                }
                Promise::Retired { request, index } => {
                    done.answers.push((request, Ok(Answer::Retired(index))))
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

    /// How long to wait for a command: a member has retries and intervals to keep.
    fn pause(&self, taken: &Taken) -> Duration {
        if !taken.inputs.is_empty() {
            return Duration::ZERO;
        }
        match &self.machine {
            Machine::Alone(_) => TICK,
            Machine::Member(engine, _) if engine.is_preparing() => PREPARING_TICK,
            Machine::Member(..) => MEMBER_TICK,
        }
    }

    fn tell(&mut self, statuses: Vec<SyncSender<Option<federation::Status>>>) {
        if statuses.is_empty() {
            return;
        }
        // Also on a full disk: then more than ever somebody wants to know.
        let status = match (&self.machine, self.store.begin_reading()) {
            (Machine::Member(engine, _), Ok(tx)) => engine.status(&tx).ok(),
            _ => None,
        };
        for answer in statuses {
            let _ = answer.try_send(status.clone());
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
