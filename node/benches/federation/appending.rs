//! What the factory's process does when it is told to append: one entry at a time with its latency, all that the writer
//! takes, or ready-made batches that only fill the ledger.

use belfry_node::ingest::pipeline::{self, OnError, Plan};
use belfry_node::node::Node;
use belfry_node::store::payloads::OsSealer;
use belfry_node::writer::{Answer, Request};
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::entry::{Batch, Draft, Visibility};
use belfry_protocol::tlog::proof::TreeReader;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Read;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Bytes of a line, its line feed included.
const LINE_BYTES: usize = 256;
/// Entries in a ready-made batch.
const BATCH: usize = 256;
/// Bytes that a fill keeps ahead of the acks.
const FILL_AHEAD_BYTES: u64 = 16_000_000;
/// How long acks may take after the last append.
const PATIENCE: Duration = Duration::from_secs(60);
/// Entries of the latency figure that wait for their reply to be looked at.
const REPLIES: usize = 65_536;
/// How often progress is looked at under load.
const SAMPLE: Duration = Duration::from_millis(50);

fn template() -> Draft {
    Draft {
        kind: "log.line".to_owned(),
        time: TimeUs::from_micros(1_800_000_000_000_000).unwrap(),
        source: "bench".to_owned(),
        tenant: None,
        body: Json::Null,
        visibility: Some(Visibility::Public),
        idempotency: None,
    }
}

/// A line of exactly `length` bytes that looks like a log; one in ten holds something to scrub.
fn line(number: u64, length: usize) -> Vec<u8> {
    let who = if number.is_multiple_of(10) {
        format!("user{number}@corp.example")
    } else {
        format!("job-{number}")
    };
    let mut line = format!(
        "{{\"level\":\"info\",\"who\":\"{who}\",\"step\":\"compile\",\"msg\":\"unit {number} finished without warnings in {} ms\",\"pad\":\"",
        number % 977
    );
    while line.len() < length - 3 {
        line.push(char::from(
            b'a' + (line.len() as u64 * 7 + number) as u8 % 26,
        ));
    }
    line.push_str("\"}\n");
    line.into_bytes()
}

/// Lines without end until a time.
struct Lines {
    until: Instant,
    number: u64,
    line: Vec<u8>,
    at: usize,
}

impl Read for Lines {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            if self.at == self.line.len() {
                if Instant::now() >= self.until {
                    break;
                }
                self.line = line(self.number, LINE_BYTES);
                (self.number, self.at) = (self.number + 1, 0);
            }
            let length = (self.line.len() - self.at).min(out.len() - filled);
            out[filled..filled + length].copy_from_slice(&self.line[self.at..self.at + length]);
            self.at += length;
            filled += length;
        }
        Ok(filled)
    }
}

/// Appends `per_second` entries, evenly spaced, whatever becomes of the earlier ones; then waits for all acks.
pub(crate) fn latency(node: &Node, runtime: &Runtime, seconds: u64, per_second: u64) -> Value {
    let (told, replies) = sync_channel::<(u64, Instant, Instant)>(REPLIES);
    let count = seconds * per_second;
    let spacing = Duration::from_secs(1) / per_second as u32;
    let (mut durable, mut acked, mut receipts) = std::thread::scope(|scope| {
        let times = scope.spawn(move || collect(node, runtime, &replies, count as usize));
        let mut press = node.press();
        let began = Instant::now();
        for number in 0..count {
            let due = began + spacing * number as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let mut batch = Batch::default();
            let appended = Instant::now();
            press
                .add_raw(
                    &line(number, LINE_BYTES),
                    &template(),
                    &mut OsSealer,
                    &mut batch,
                )
                .unwrap();
            let told = told.clone();
            let reply = Box::new(move |answer| match answer {
                Ok(Answer::Appended(places)) => {
                    told.try_send((places.first, appended, Instant::now()))
                        .unwrap();
                }
                other => panic!("not appended: {other:?}"),
            });
            node.writer().send(Request::Append(batch), reply);
        }
        times.join().unwrap()
    });
    let at = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        let share = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        json!({ "p50": share(50), "p95": share(95), "p99": share(99), "max": times[times.len() - 1] })
    };
    json!({ "entries": count, "durable": at(&mut durable), "acked": at(&mut acked), "receipt": at(&mut receipts) })
}

/// For each entry: seconds from its append until it was durable and until it was acknowledged; and for each step of the
/// acks how long the parts of one receipt take to read.
fn collect(
    node: &Node,
    runtime: &Runtime,
    replies: &Receiver<(u64, Instant, Instant)>,
    count: usize,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut published = node.writer().published();
    let reader = node.reader().unwrap();
    let mut waiting: VecDeque<(u64, Instant)> = VecDeque::new();
    let (mut durable, mut acked, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
    while acked.len() < count {
        let changed = async { tokio::time::timeout(PATIENCE, published.changed()).await };
        runtime.block_on(changed).unwrap().unwrap();
        let (now, size) = (Instant::now(), published.borrow_and_update().acked);
        for (index, appended, replied) in replies.try_iter() {
            durable.push((replied - appended).as_secs_f64());
            waiting.push_back((index, appended));
        }
        let mut newest = None;
        while let Some((index, appended)) = waiting.front().copied()
            && index < size
        {
            waiting.pop_front();
            acked.push((now - appended).as_secs_f64());
            newest = Some(index);
        }
        if let Some(index) = newest {
            let began = Instant::now();
            let (covered, _) = reader.digest_covering(index + 1).unwrap().unwrap();
            TreeReader::new(&reader, covered).inclusion(index).unwrap();
            receipts.push(began.elapsed().as_secs_f64());
        }
    }
    (durable, acked, receipts)
}

/// Appends lines through the real pipeline as fast as the writer takes them, then waits until all are acknowledged.
pub(crate) fn load(node: &Node, seconds: u64) -> Value {
    let before = node.published();
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let plan = Plan {
        template: template(),
        envelope: false,
        on_error: OnError::Stop,
        dedupe: false,
    };
    let lines = Lines {
        until,
        number: 0,
        line: Vec::new(),
        at: 0,
    };
    let (appended, took, samples) = std::thread::scope(|scope| {
        let pipeline = scope.spawn(|| {
            let summary = pipeline::run(node, &plan, lines, |_| {}).unwrap();
            (summary.appended, began.elapsed().as_secs_f64())
        });
        let mut samples = Vec::new();
        loop {
            std::thread::sleep(SAMPLE);
            let now = node.published();
            samples.push((began.elapsed().as_secs_f64(), now.size, now.acked));
            let late = began.elapsed() > Duration::from_secs(seconds) + PATIENCE;
            if pipeline.is_finished() && (now.acked >= now.size || late) {
                break;
            }
        }
        let (appended, took) = pipeline.join().unwrap();
        (appended, took, samples)
    });
    let after = node.published();
    let all_acked = samples.last().map_or(0.0, |(at, ..)| *at);
    let ahead = samples.iter().map(|(_, size, acked)| size - acked).max();
    // Without the first quarter, in which queues fill.
    let steady = |from: f64, to: f64| {
        let first = samples.iter().find(|(at, ..)| *at >= from)?;
        let last = samples.iter().rev().find(|(at, ..)| *at <= to)?;
        Some((last.2 - first.2) as f64 / (last.0 - first.0))
    };
    json!({
        "appended": appended, "append_seconds": took, "acked": after.acked.saturating_sub(before.acked),
        "acked_seconds": all_acked, "ahead": ahead, "steady": steady(took / 4.0, took),
        "commits": after.commits - before.commits,
    })
}

/// Fills the ledger with entries of lines of `length` bytes, a little ahead of the acks, and waits for the last ack.
pub(crate) fn fill(node: &Node, bytes: u64, length: usize) -> Value {
    let mut batch = Batch::default();
    let mut press = node.press();
    for number in 0..BATCH {
        let line = line(number as u64, length);
        press
            .add_raw(&line, &template(), &mut OsSealer, &mut batch)
            .unwrap();
    }
    let per_entry = (batch.bundle_len() / BATCH) as u64;
    let count = bytes / batch.bundle_len() as u64 + 1;
    let ahead = FILL_AHEAD_BYTES / per_entry;
    let began = Instant::now();
    for _ in 0..count {
        while node.published().size - node.published().acked > ahead {
            std::thread::sleep(Duration::from_millis(1));
        }
        let ignored = Box::new(|answer: Result<_, _>| drop(answer.unwrap()));
        node.writer().send(Request::Append(batch.clone()), ignored);
    }
    node.writer().call(Request::Append(batch.clone())).unwrap();
    let size = node.published().size;
    while node.published().acked < size {
        std::thread::sleep(Duration::from_millis(1));
    }
    json!({
        "entries": (count + 1) * BATCH as u64, "bytes": (count + 1) * batch.bundle_len() as u64, "size": size,
        "seconds": began.elapsed().as_secs_f64(),
    })
}
