//! Workers between a source of chunks and the writer thread. Every queue is bounded, entries keep their order, and the
//! summary counts what is durable, not what was sent.

use super::lines;
use super::places::Runs;
use crate::node::Node;
use crate::store::payloads::OsSealer;
use crate::writer::{Answer, Failure, Request};
use belfry_protocol::entry::{Batch, Draft, EntryError};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Chunks between two stages: enough to keep both busy, few enough for memory.
const CHUNKS_IN_FLIGHT: usize = 8;
/// How often a waiting thread looks whether it is still needed.
const LOOK: Duration = Duration::from_millis(200);
/// Batches that wait for their commit: the writer takes several in one step.
const BATCHES_AT_WRITER: usize = 16;

/// Some work for a worker.
pub struct Chunk {
    /// Its entries.
    pub items: Vec<Item>,
    /// Text that [`Item::Line`] points into.
    pub text: Vec<u8>,
}

/// One entry to be made.
pub enum Item {
    /// A JSON line, as a range of the chunk's text.
    Line {
        /// Number of the line, from 1.
        number: u64,
        /// Where it is.
        range: Range<usize>,
        /// Idempotency, if asked for.
        idempotency: Option<belfry_protocol::entry::draft::Idempotency>,
    },
    /// Something that could not even be read.
    Unreadable {
        /// What messages call it.
        label: String,
        /// Why.
        why: String,
    },
}

/// What happens to the rest after an item that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Items before it are appended, later ones are not.
    Stop,
    /// Later items are appended too.
    Continue,
}

/// How lines become drafts.
#[derive(Clone)]
pub struct Plan {
    /// Everything but the body, or the defaults of an envelope.
    pub template: Draft,
    /// Whether lines are envelopes with `body`, `kind`, … of their own.
    pub envelope: bool,
    /// What a refused item does to the rest.
    pub on_error: OnError,
    /// Whether every line gets an idempotency id, so that a second run appends nothing twice.
    pub dedupe: bool,
}

/// An item that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Line number or path.
    pub label: String,
    /// Why.
    pub why: String,
}

/// What became of everything.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Entries appended, durable.
    pub appended: u64,
    /// Entries that were there before.
    pub known: u64,
    /// Index of the first new entry.
    pub first: Option<u64>,
    /// Index of the last new entry.
    pub last: Option<u64>,
    /// Where all of them are, new and known ones.
    pub places: Runs,
    /// Refused items; at most [`KEPT_REJECTED`] of them.
    pub rejected: Vec<Rejected>,
    /// Number of refused items.
    pub rejected_count: u64,
    /// Whether the rest was given up after a refused item.
    pub stopped: bool,
}

/// Refused items that are kept word for word; beyond that only their number is known.
pub const KEPT_REJECTED: usize = 100;

struct Made {
    batch: Batch,
    rejected: Vec<Rejected>,
    stop: bool,
}

/// Runs everything to the end. `progress` is told how many entries were handed over.
///
/// # Errors
/// When the ledger stops, the disk is full, or the source fails; what was appended before is durable.
pub fn run(
    node: &Node,
    plan: &Plan,
    source: impl std::io::Read + Send + 'static,
    mut progress: impl FnMut(u64),
) -> Result<Summary, crate::exit::Failure> {
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let (to_workers, work) = sync_channel::<(u64, Chunk)>(CHUNKS_IN_FLIGHT);
    let (to_submitter, made) = sync_channel::<(u64, Made)>(CHUNKS_IN_FLIGHT);
    // Shared by the workers alone: when they are gone, the source cannot send and ends too.
    let given_up = &AtomicBool::new(false);
    let work = Arc::new(Mutex::new(work));
    let mut summary = Summary::default();
    let dedupe = plan.dedupe;
    // Not joined if the rest is given up: it may be blocked on an input that never ends, and ends with it.
    let source = thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            let mut sequence = 0;
            lines::read(source, dedupe, &mut |chunk| {
                sequence += 1;
                to_workers.send((sequence - 1, chunk)).is_ok()
            })
        })?;
    thread::scope(|scope| {
        for _ in 0..workers {
            let (work, to_submitter) = (Arc::clone(&work), to_submitter.clone());
            scope.spawn(move || make_all(node, plan, &work, &to_submitter, given_up));
        }
        drop((work, to_submitter));
        let submitted = submit(node, plan, made, &mut summary, &mut progress);
        given_up.store(true, Ordering::Relaxed);
        submitted.map(|()| summary.stopped)
    })
    .and_then(|stopped| {
        if !stopped {
            source
                .join()
                .unwrap_or_else(|_| Err(std::io::Error::other("the reader panicked")))?;
        }
        Ok(summary)
    })
}

fn make_all(
    node: &Node,
    plan: &Plan,
    work: &Mutex<Receiver<(u64, Chunk)>>,
    out: &SyncSender<(u64, Made)>,
    given_up: &AtomicBool,
) {
    let mut press = node.press();
    let mut template = plan.template.clone();
    loop {
        let next = work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv_timeout(LOOK);
        let (sequence, chunk) = match next {
            Ok(chunk) => chunk,
            // The source may be blocked for ever on an input that nobody wants any more.
            Err(RecvTimeoutError::Timeout) if !given_up.load(Ordering::Relaxed) => continue,
            Err(_) => return,
        };
        let mut made = Made {
            batch: Batch::default(),
            rejected: Vec::new(),
            stop: false,
        };
        for item in chunk.items {
            let (label, outcome) = match item {
                Item::Line {
                    number,
                    range,
                    idempotency,
                } => {
                    template.idempotency = idempotency;
                    let line = chunk.text.get(range).unwrap_or_default();
                    (
                        format!("line {number}"),
                        make_line(&mut press, plan, &template, line, &mut made.batch),
                    )
                }
                Item::Unreadable { label, why } => (label, Err(EntryError::Field(why))),
            };
            if let Err(error) = outcome {
                made.rejected.push(Rejected {
                    label,
                    why: error.to_string(),
                });
                if plan.on_error == OnError::Stop {
                    made.stop = true;
                    break;
                }
            }
        }
        if out.send((sequence, made)).is_err() {
            return;
        }
    }
}

fn make_line(
    press: &mut belfry_protocol::entry::Press,
    plan: &Plan,
    template: &Draft,
    line: &[u8],
    batch: &mut Batch,
) -> Result<(), EntryError> {
    if !plan.envelope {
        return press.add_raw(line, template, &mut OsSealer, batch);
    }
    let value = belfry_protocol::entry::json::Json::parse(line)?;
    press.add(
        &Draft::from_envelope(value, template)?,
        &mut OsSealer,
        batch,
    )
}

/// Hands batches to the writer in order, a few at a time, and counts the answers.
fn submit(
    node: &Node,
    plan: &Plan,
    made: Receiver<(u64, Made)>,
    summary: &mut Summary,
    progress: &mut impl FnMut(u64),
) -> Result<(), crate::exit::Failure> {
    let (answered, answers) = sync_channel::<Result<Answer, Failure>>(BATCHES_AT_WRITER * 2);
    let answered = Arc::new(answered);
    let mut waiting: BTreeMap<u64, Made> = BTreeMap::new();
    let (mut next, mut open, mut handed_over) = (0, 0, 0u64);
    'all: for (sequence, item) in made {
        waiting.insert(sequence, item);
        while let Some(item) = waiting.remove(&next) {
            next += 1;
            summary.rejected_count += item.rejected.len() as u64;
            let room = KEPT_REJECTED.saturating_sub(summary.rejected.len());
            summary
                .rejected
                .extend(item.rejected.into_iter().take(room));
            handed_over += item.batch.len() as u64;
            if !item.batch.is_empty() {
                while open >= BATCHES_AT_WRITER {
                    count(summary, wait(node, &answers))?;
                    open -= 1;
                }
                let answered = Arc::clone(&answered);
                let reply = Box::new(move |answer| drop(answered.send(answer)));
                node.writer().send(Request::Append(item.batch), reply);
                open += 1;
            }
            progress(handed_over);
            if item.stop && plan.on_error == OnError::Stop {
                summary.stopped = true;
                break 'all;
            }
        }
    }
    for _ in 0..open {
        count(summary, wait(node, &answers))?;
    }
    Ok(())
}

/// The next answer; a writer thread that ended gives none.
fn wait(node: &Node, answers: &Receiver<Result<Answer, Failure>>) -> Result<Answer, Failure> {
    loop {
        match answers.recv_timeout(LOOK) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) if node.writer().is_running() => {}
            Err(_) => return Err(Failure::Stopped("the writer thread ended".to_owned())),
        }
    }
}

fn count(
    summary: &mut Summary,
    answer: Result<Answer, Failure>,
) -> Result<(), crate::exit::Failure> {
    if let Answer::Appended(places) = answer? {
        for (index, _) in places.indices() {
            summary.places.add(index..index.saturating_add(1));
        }
        summary.appended += places.new;
        summary.known += places.known.len() as u64;
        if places.new > 0 {
            summary.first.get_or_insert(places.first);
            summary.last = Some(places.first + places.new - 1);
        }
    }
    Ok(())
}
