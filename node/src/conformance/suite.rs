//! What rows share: sending, learning what the witness knows of a log, judging what it answers, and the list of results.
//! May not decide what a row is about.

use super::logs::{Group, Log};
use super::report::{Report, Row, Verdict};
use super::table::{self, Definition};
use super::tree::{MAX_TREE, Request, Tree};
use crate::exit::Failure;
use crate::web::{Answer, Web};
use belfry_protocol::cosignature;
use belfry_protocol::note::{SignatureLine, VerifierKey};
use belfry_protocol::tlog::hash::sha256;
use belfry_protocol::witness::{SIZE_CONTENT_TYPE, parse_conflict, parse_cosignatures};
use reqwest::Method;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Pushed back so often, a request is given up.
const PUSH_BACKS: u32 = 5;

/// Why a group of rows ended early.
pub(super) enum Stop {
    /// Its rows cannot be tried on this log, and the witness is not to blame.
    Skip(String),
    /// The witness did what makes the rest impossible.
    Fail(String),
}

/// What the witness knows of a log, which is the suite's own tree.
pub(super) struct Known {
    pub(super) tree: Tree,
    pub(super) size: u64,
}

/// A run.
pub(super) struct Suite<'a> {
    web: Web,
    url: String,
    subtree_url: String,
    monitoring: String,
    keys: Vec<VerifierKey>,
    table: Vec<Definition>,
    rows: BTreeMap<&'static str, Row>,
    seen: &'a mut (dyn FnMut(&Row) + Send + Sync),
    /// Newest time of each key for each origin.
    times: BTreeMap<(String, String, u32), u64>,
    pub(super) time_problems: Vec<String>,
    pub(super) slowest: Duration,
}

impl<'a> Suite<'a> {
    pub(super) fn new(
        url: &str,
        monitoring: &str,
        keys: Vec<VerifierKey>,
        timeout: Duration,
        seen: &'a mut (dyn FnMut(&Row) + Send + Sync),
    ) -> Result<Self, Failure> {
        let prefix = url.trim_end_matches('/');
        Ok(Self {
            web: Web::new(url, timeout)?,
            url: format!("{prefix}/add-checkpoint"),
            subtree_url: format!("{prefix}/sign-subtree"),
            monitoring: monitoring.trim_end_matches('/').to_owned(),
            keys,
            table: table::rows(),
            rows: BTreeMap::new(),
            seen,
            times: BTreeMap::new(),
            time_problems: Vec::new(),
            slowest: Duration::ZERO,
        })
    }

    /// Whether anything answers at the address.
    pub(super) async fn reach(&self) -> Result<(), String> {
        let asked = self.web.send(Method::GET, &self.url, None).await;
        asked.map(drop)
    }

    /// A way to send requests beside this one.
    pub(super) fn sender(&self) -> Sender {
        Sender {
            web: self.web.clone(),
            url: self.url.clone(),
        }
    }

    /// As [`Suite::sender`], for `sign-subtree`.
    pub(super) fn subtree_sender(&self) -> Sender {
        Sender {
            web: self.web.clone(),
            url: self.subtree_url.clone(),
        }
    }

    /// Sends a body; waits and sends again while the witness pushes back.
    pub(super) async fn post(&mut self, body: Vec<u8>) -> Result<Answer, String> {
        let sender = self.sender();
        self.post_by(sender, body).await
    }

    /// As [`Suite::post`], to `sign-subtree`.
    pub(super) async fn post_subtree(&mut self, body: Vec<u8>) -> Result<Answer, String> {
        let sender = self.subtree_sender();
        self.post_by(sender, body).await
    }

    async fn post_by(&mut self, sender: Sender, body: Vec<u8>) -> Result<Answer, String> {
        let begun = Instant::now();
        let mut answer = sender.post(body.clone()).await?;
        self.slowest = self.slowest.max(begun.elapsed());
        for _ in 0..PUSH_BACKS {
            if !matches!(answer.status, 429 | 503) {
                break;
            }
            let pause = answer.retry_after_seconds.unwrap_or(1).clamp(1, 10);
            tokio::time::sleep(Duration::from_secs(pause)).await;
            answer = sender.post(body.clone()).await?;
        }
        Ok(answer)
    }

    /// Asks `add-checkpoint` by another method.
    pub(super) async fn get_submission(&self) -> Result<Answer, String> {
        self.web.send(Method::GET, &self.url, None).await
    }

    /// Asks `sign-subtree` by another method.
    pub(super) async fn get_subtree(&self) -> Result<Answer, String> {
        self.web.send(Method::GET, &self.subtree_url, None).await
    }

    /// The monitoring answer about an origin.
    pub(super) async fn monitor(&self, origin: &str) -> Result<Answer, String> {
        let hash = sha256(origin.as_bytes()).to_hex();
        let url = format!("{}/{hash}/checkpoint", self.monitoring);
        self.web.send(Method::GET, &url, None).await
    }

    /// Keys of the witness.
    pub(super) fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Writes a row down; the first result of a row is the one that counts.
    pub(super) fn record(&mut self, id: &'static str, verdict: Verdict, got: impl Into<String>) {
        let Some(row) = self.table.iter().find(|row| row.id == id) else {
            debug_assert!(false, "{id} is not in the table");
            return;
        };
        if self.rows.contains_key(id) {
            return;
        }
        let row = Row {
            id,
            about: row.about,
            expected: row.expected,
            got: got.into(),
            verdict,
        };
        (self.seen)(&row);
        self.rows.insert(id, row);
    }

    /// Writes a row down that passes if the answer has one of these statuses.
    pub(super) fn expect_status(
        &mut self,
        id: &'static str,
        answer: &Result<Answer, String>,
        wanted: &[u16],
    ) {
        let good = matches!(answer, Ok(answer) if wanted.contains(&answer.status));
        let verdict = if good { Verdict::Pass } else { Verdict::Fail };
        self.record(id, verdict, told(answer));
    }

    /// Writes a row down that passes if the answer names the size that the witness cosigned last.
    pub(super) fn expect_conflict(
        &mut self,
        id: &'static str,
        answer: &Result<Answer, String>,
        size: u64,
    ) {
        let problem = match answer {
            Ok(answer) => conflict_problem(answer, size),
            Err(_) => Some("no answer".to_owned()),
        };
        match problem {
            None => self.record(id, Verdict::Pass, told(answer)),
            Some(problem) => self.record(id, Verdict::Fail, format!("{}: {problem}", told(answer))),
        }
    }

    /// Writes a row down for another root of equal size, which must be refused with 422.
    pub(super) fn expect_refusal(&mut self, id: &'static str, answer: &Result<Answer, String>) {
        let (verdict, more) = match answer {
            Ok(answer) if answer.status == 422 => (Verdict::Pass, ""),
            // v1.0.0 and witnesses before it: as safe, but clients cannot tell it from a stale size by status.
            Ok(answer) if answer.status == 409 && !answer.is_exactly(SIZE_CONTENT_TYPE) => {
                (Verdict::Note, ": the answer of v1.0.0")
            }
            _ => (Verdict::Fail, ""),
        };
        self.record(id, verdict, format!("{}{more}", told(answer)));
    }

    /// Writes a row down for a request that must be cosigned. Returns whether it was.
    pub(super) fn expect_cosigned(
        &mut self,
        id: &'static str,
        answer: &Result<Answer, String>,
        request: &Request,
    ) -> bool {
        match self.cosigned(answer, request, true) {
            Ok(got) => self.record(id, Verdict::Pass, got),
            Err(problem) => self.record(id, Verdict::Fail, problem),
        }
        matches!(answer, Ok(answer) if answer.status == 200)
    }

    /// Judges an answer with cosignatures. `ordered`: it was asked for after all earlier ones were answered.
    pub(super) fn cosigned(
        &mut self,
        answer: &Result<Answer, String>,
        request: &Request,
        ordered: bool,
    ) -> Result<String, String> {
        let good = match answer {
            Ok(good) if good.status == 200 => good,
            _ => return Err(told(answer)),
        };
        let lines = parse_cosignatures(&good.body).map_err(|error| format!("200: {error}"))?;
        let mut verified = 0;
        for line in &lines {
            let known = self
                .keys
                .iter()
                .find(|key| key.name() == line.name() && key.key_id() == line.key_id());
            match known {
                Some(key) => {
                    cosignature::verify(&request.text, line, key)
                        .map_err(|error| format!("200: {error}"))?;
                    verified += 1;
                }
                None if self.keys.is_empty() => {}
                None => continue,
            }
            self.note_time(line, request, ordered);
        }
        match (self.keys.is_empty(), verified) {
            (true, _) => Ok(format!("200, {} lines, not verified", lines.len())),
            (false, 0) => Err("200: no line is by a key of the witness".to_owned()),
            (false, _) => Ok(format!("200, {verified} of {} lines verified", lines.len())),
        }
    }

    fn note_time(&mut self, line: &SignatureLine, request: &Request, ordered: bool) {
        let origin = request.text.lines().next().unwrap_or_default().to_owned();
        let time = cosignature::timestamp(line).unwrap_or(0);
        if time == 0 {
            self.time_problems
                .push(format!("a cosignature of {} has the time 0", line.name()));
        }
        let newest = self
            .times
            .entry((origin, line.name().to_owned(), line.key_id()))
            .or_default();
        if ordered && time < *newest {
            self.time_problems
                .push(format!("{} went from {newest} to {time}", line.name()));
        }
        *newest = time.max(*newest);
    }

    /// The newest time of a cosignature for an origin.
    pub(super) fn newest_time(&self, origin: &str) -> u64 {
        let all = self.times.iter().filter(|((of, _, _), _)| of == origin);
        all.map(|(_, time)| *time).max().unwrap_or(0)
    }

    /// Asks which size the witness cosigned last, without changing it: old 1 and size 1 conflicts with every other size.
    pub(super) async fn size_of(&mut self, log: &Log) -> Result<u64, Stop> {
        let request = log.tree().request(log, 1, 1);
        let answer = self.post(request.body()).await;
        match &answer {
            Ok(good) if good.status == 200 => Ok(1),
            // Without the right type too: rows about conflicts judge that, the others need the size.
            Ok(good) if good.status == 409 => parse_conflict(&good.body)
                .map_err(|_| Stop::Fail(format!("a conflict names no size: {}", told(&answer)))),
            Ok(good) if good.status == 404 => Err(Stop::Skip(format!(
                "the witness does not know {}: give it the vkeys of `belfry conformance logs`",
                log.origin()
            ))),
            _ => Err(Stop::Fail(format!(
                "its size cannot be learnt: {}",
                told(&answer)
            ))),
        }
    }

    /// Learns the size and brings the log to at least `least` entries.
    pub(super) async fn bring(&mut self, log: &Log, least: u64) -> Result<Known, Stop> {
        let mut tree = log.tree();
        let size = self.size_of(log).await?;
        if size > MAX_TREE / 2 {
            return Err(Stop::Skip(format!(
                "this log has grown to {size} entries: take a new seed"
            )));
        }
        let target = size.max(least);
        let request = tree.request(log, size, target);
        let answer = self.post(request.body()).await;
        let foreign = match &answer {
            Ok(answer) => {
                answer.status == 422
                    || answer.status == 409 && !answer.is_exactly(SIZE_CONTENT_TYPE)
            }
            Err(_) => false,
        };
        match self.cosigned(&answer, &request, true) {
            Ok(_) => Ok(Known { tree, size: target }),
            // Somebody else's tree, or one that was forked in an earlier run.
            Err(got) if size > 0 && foreign => Err(Stop::Skip(format!(
                "the witness knows this log with {size} entries and does not go on from there ({got}): take a new seed"
            ))),
            Err(got) => Err(Stop::Fail(format!(
                "it named the size {size}, and did not go on from there: {got}"
            ))),
        }
    }

    /// Marks what is left of a group.
    pub(super) fn stop(&mut self, group: Group, stop: &Stop) {
        match stop {
            Stop::Skip(why) => self.skip_rest(group, why),
            Stop::Fail(why) => self.rest(group, Verdict::Fail, why),
        }
    }

    /// Skips what is left of a group.
    pub(super) fn skip_rest(&mut self, group: Group, why: &str) {
        self.rest(group, Verdict::Skipped, why);
    }

    fn rest(&mut self, group: Group, verdict: Verdict, why: &str) {
        let of_group = self.table.iter().filter(|row| row.group == group);
        let ids: Vec<&'static str> = of_group.map(|row| row.id).collect();
        for id in ids {
            self.record(id, verdict, why);
        }
    }

    /// The rows in the order of the table; what was not reached is skipped.
    pub(super) fn finish(mut self) -> Report {
        for group in Group::ALL {
            self.skip_rest(group, "not reached");
        }
        let mut rows = self.rows;
        let table = self.table.iter();
        Report {
            rows: table.filter_map(|row| rows.remove(row.id)).collect(),
        }
    }
}

/// Sends requests on its own, for rows that send several at once.
#[derive(Clone)]
pub(super) struct Sender {
    web: Web,
    url: String,
}

impl Sender {
    pub(super) async fn post(&self, body: Vec<u8>) -> Result<Answer, String> {
        self.web.send(Method::POST, &self.url, Some(body)).await
    }
}

/// What is wrong with a conflict answer.
fn conflict_problem(answer: &Answer, size: u64) -> Option<String> {
    if answer.status != 409 {
        return Some("expected 409".to_owned());
    }
    if !answer.is_exactly(SIZE_CONTENT_TYPE) {
        return Some(format!(
            "Content-Type is {}",
            answer.content_type.as_deref().unwrap_or("missing")
        ));
    }
    match parse_conflict(&answer.body) {
        Ok(told) if told == size => None,
        Ok(told) => Some(format!("it names {told} and cosigned {size} last")),
        Err(error) => Some(error.to_string()),
    }
}

/// An answer in a few words.
pub(super) fn told(answer: &Result<Answer, String>) -> String {
    match answer {
        Err(why) => format!("no answer: {why}"),
        Ok(answer) if answer.status == 200 => "200".to_owned(),
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            let line: String = text.lines().next().unwrap_or("").chars().take(60).collect();
            match line.trim() {
                "" => answer.status.to_string(),
                line => format!("{} ({line})", answer.status),
            }
        }
    }
}
