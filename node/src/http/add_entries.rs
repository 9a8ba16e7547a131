//! A tower as C2SP tlog-mirror: `POST /add-entries`. The body is read package by package and handed to the engine in batches;
//! what was taken before it ends or breaks off stays taken, and the answer says where to go on.

use super::auth::Door;
use super::problem::Problem;
use super::state::App;
use super::stream::body_reader;
use super::witness::{busy, no_tower, not_now, respond};
use crate::writer::{Failure, WitnessRequest};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use belfry_protocol::engine::federation::witness::{Answer, Upload};
use belfry_protocol::upload::{
    MAX_HEAD_BYTES, MAX_PACKAGE_BYTES, Package, UPLOAD_CONTENT_TYPE, UploadError, UploadHead,
};
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// How long a body may take: 32 packages, which is what clients send at most, over a slow line.
const BODY_PATIENCE: Duration = Duration::from_secs(120);
/// How long one batch may wait for the engine: far longer than a step takes.
const STEP_PATIENCE: Duration = Duration::from_secs(30);
/// Packages of one batch at most; all of them are one transaction.
const BATCH_PACKAGES: usize = 32;
/// Bytes of a batch from which it is handed over.
const BATCH_BYTES: usize = 2 << 20;
/// Packages of one request at most: twice what clients should send. The answer says where to go on.
const MOST_PACKAGES: usize = 64;
/// Bytes read from the body at once.
const BLOCK: usize = 64 << 10;

pub(super) async fn add_entries(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let app = door.app;
    if app.node.membership().is_none() {
        return Err(no_tower());
    }
    let kind = headers.get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != UPLOAD_CONTENT_TYPE) {
        let detail = format!("the content type must be {UPLOAD_CONTENT_TYPE}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let encoding = headers.get(header::CONTENT_ENCODING);
    let gzip = match encoding.map(HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the content encoding must be gzip or none",
            ));
        }
    };
    let slot = app.witness.uploads.clone();
    let slot = slot.try_acquire_owned().map_err(|_| busy())?;
    let (reader, feed) = body_reader(body);
    // Cut off when it takes too long: the reader then finds that the body ended early.
    tokio::spawn(tokio::time::timeout(BODY_PATIENCE, feed));
    let work = move || {
        let _slot = slot;
        let source: Box<dyn Read> = match gzip {
            true => Box::new(MultiGzDecoder::new(reader)),
            false => Box::new(reader),
        };
        take(&app, source)
    };
    let mut response = super::problem::blocking(work)
        .await
        .unwrap_or_else(IntoResponse::into_response);
    response
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(response)
}

/// Bytes of a body that were read and not used yet.
struct Source {
    reader: Box<dyn Read>,
    bytes: Vec<u8>,
    used: usize,
    ended: bool,
}

impl Source {
    /// The next piece that `parse` can read, if the body has one. It never holds more than `most` bytes.
    fn next<P>(
        &mut self,
        most: usize,
        parse: impl Fn(&[u8]) -> Result<Option<(P, usize)>, UploadError>,
    ) -> Result<Option<P>, UploadError> {
        loop {
            if let Some((piece, length)) = parse(&self.bytes[self.used..])? {
                self.used += length;
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            if self.bytes.len() - self.used > most {
                return Err(UploadError("a piece is longer than it can be"));
            }
            self.fill();
        }
    }

    /// Reads more. A body that breaks off ends there: what was taken before stays taken.
    fn fill(&mut self) {
        self.bytes.drain(..self.used);
        self.used = 0;
        // Twice as much each time, because a piece is looked at from its start again.
        let wanted = BLOCK.max(self.bytes.len());
        let before = self.bytes.len();
        let read = self
            .reader
            .by_ref()
            .take(wanted as u64)
            .read_to_end(&mut self.bytes);
        self.ended = read.is_err() || self.bytes.len() == before;
    }

    /// Whether there is nothing behind what was used.
    fn is_empty(&mut self) -> bool {
        while self.used == self.bytes.len() && !self.ended {
            self.fill();
        }
        self.used == self.bytes.len()
    }
}

fn take(app: &Arc<App>, reader: Box<dyn Read>) -> Result<Response, Problem> {
    let bad = |error: UploadError| Problem::new(StatusCode::BAD_REQUEST, error.to_string());
    let mut source = Source {
        reader,
        bytes: Vec::new(),
        used: 0,
        ended: false,
    };
    let head = source
        .next(MAX_HEAD_BYTES, UploadHead::parse)
        .map_err(bad)?
        .ok_or_else(|| bad(UploadError("the head is cut off")))?;
    // Before anything of the body is read that nobody wants.
    let nothing = head.start == head.end;
    let mut last = ask(app, &head, Vec::new(), nothing)?;
    let may_go_on = |answer: &Answer| matches!(answer, Answer::Progress { taken: true, .. });
    if !may_go_on(&last) {
        return respond(last);
    }
    let (mut from, mut taken) = (head.start, 0);
    while let Some(first) = head.range_from(from) {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        let mut broken = None;
        while let Some(range) = next.filter(|_| {
            batch.len() < BATCH_PACKAGES
                && bytes < BATCH_BYTES
                && taken + batch.len() < MOST_PACKAGES
        }) {
            match source.next(MAX_PACKAGE_BYTES, |bytes| Package::parse(bytes, range)) {
                Ok(Some(package)) => {
                    bytes += package.entries.len();
                    batch.push(package);
                    next = head.range_from(range.1);
                }
                Ok(None) => break,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        if batch.is_empty() {
            return match (taken, broken) {
                (0, Some(error)) => Err(bad(error)),
                (0, None) => Err(bad(UploadError("no package is whole"))),
                _ => respond(last),
            };
        }
        taken += batch.len();
        from = batch.last().map_or(from, |package| package.end);
        let ends = head.range_from(from).is_none();
        if ends && !source.is_empty() {
            return Err(bad(UploadError("there is more behind the last package")));
        }
        let answer = ask(app, &head, batch, ends)?;
        if !may_go_on(&answer) {
            return respond(answer);
        }
        last = answer;
    }
    respond(last)
}

/// Hands a batch to the engine and waits until it is durable.
fn ask(
    app: &Arc<App>,
    head: &UploadHead,
    packages: Vec<Package>,
    ends: bool,
) -> Result<Answer, Problem> {
    let (send, answer) = sync_channel(1);
    let upload = Upload {
        head: head.clone(),
        packages,
        ends,
    };
    app.node.writer().witness(
        WitnessRequest::Entries(Box::new(upload)),
        // Whoever asked may be gone.
        Box::new(move |answer| drop(send.try_send(answer))),
    );
    match answer.recv_timeout(STEP_PATIENCE) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(failure)) => Err(not_now(&failure)),
        Err(_) => Err(not_now(&Failure::Busy)),
    }
}
