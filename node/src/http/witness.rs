//! A tower as C2SP tlog-witness: `POST /add-checkpoint`. Bodies are bounded, parsed and their signatures checked here, so
//! that only what a known log signed reaches the engine; the engine decides, and its answer is durable.

use super::auth::Door;
use super::problem::Problem;
use super::quota::{Asked, Ended, Quotas, TooMany};
use super::state::App;
use super::subtree::Signing;
use crate::node::Node;
use crate::writer::{Failure, WitnessRequest};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::checks::Checks;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::witness::{Answer, Logs};
use belfry_protocol::note::VerifierKey;
use belfry_protocol::tlog::hash::sha256;
use belfry_protocol::upload::{INFO_CONTENT_TYPE, print_info};
use belfry_protocol::witness::{
    AddCheckpoint, MAX_REQUEST_BYTES, SIZE_CONTENT_TYPE, print_conflict, print_cosignatures,
};
use http_body_util::BodyExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

/// Requests that are read or decided at once: their bodies take 32 MiB at most, and the writer takes twice as many in a step.
const AT_ONCE: usize = 256;
/// Uploads of entries that are read at once: each may hold a package of 17 MB, and their steps share one writer.
const UPLOADS: usize = 4;
/// How long a body may take: an honest one is one packet.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// Logs wait one second for a witness, so it answers before.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_millis(900);
/// When to ask a busy tower again, in seconds.
const BUSY_SECONDS: u64 = 1;
/// Bytes of a refused body that are still read, so that its sender gets the answer and not a broken pipe.
const MOST_DRAINED: usize = 8 << 20;

/// What `add-checkpoint` needs beside the engine.
pub(crate) struct Witnessing {
    slots: Arc<Semaphore>,
    quotas: Quotas,
    pub(super) uploads: Arc<Semaphore>,
    pub(super) signing: Signing,
    known: RwLock<Arc<Known>>,
}

/// Logs that are no members, and the origins behind hashes in paths.
struct Known {
    logs: Logs,
    /// The epoch that the members are of.
    epoch: Option<u64>,
    members: BTreeSet<String>,
    by_hash: BTreeMap<String, String>,
}

impl Known {
    fn new(node: &Node, logs: Logs) -> Self {
        let federation = node.membership().map(|(federation, _)| federation);
        let manifest = federation.as_ref().map(|one| one.manifest());
        let epoch = manifest.map(|one| one.epoch);
        let members = manifest.into_iter().flat_map(|one| &one.members);
        let members: BTreeSet<String> = members.map(|member| member.name.clone()).collect();
        let by_hash = members
            .iter()
            .map(String::as_str)
            .chain(logs.iter().map(|(origin, _)| origin))
            .map(|origin| (sha256(origin.as_bytes()).to_hex(), origin.to_owned()))
            .collect();
        Self {
            logs,
            epoch,
            members,
            by_hash,
        }
    }
}

impl Witnessing {
    /// For the logs of this node's configuration.
    pub(super) fn new(node: &Node) -> Self {
        let known = Known::new(node, node.config.witness_logs.clone());
        Self {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            quotas: Quotas::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            signing: Signing::default(),
            known: RwLock::new(Arc::new(known)),
        }
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a log that is no member is known by this origin.
    pub(super) fn is_log(&self, origin: &str) -> bool {
        self.known().logs.get(origin).is_some()
    }

    /// The origin with this hash, if it is known here, and whether it is a member's.
    pub(super) fn origin(&self, node: &Node, hash: &str) -> Option<(String, bool)> {
        let mut known = self.known();
        let epoch = node.membership().map(|(newest, _)| newest.manifest().epoch);
        if known.epoch != epoch {
            known = Arc::new(Known::new(node, known.logs.clone()));
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&known);
        }
        let origin = known.by_hash.get(hash)?;
        Some((origin.clone(), known.members.contains(origin)))
    }

    /// A request that its log signed: within what a list allows it? `None`: no list limits it.
    fn asked(&self, logs: &Logs, request: &AddCheckpoint) -> Result<Option<Asked>, TooMany> {
        let Ok(digest) = Checkpoint::parse_foreign(request.checkpoint.text()) else {
            return Ok(None);
        };
        let log = logs.get(&digest.origin);
        let Some(queries) = log.and_then(|log| log.queries_per_day) else {
            return Ok(None);
        };
        let grows = request.old_size < digest.size;
        self.quotas.ask(&digest.origin, queries, grows).map(Some)
    }

    fn ended(&self, asked: Option<&Asked>, answer: &Result<Answer, Problem>) {
        let ended = match answer {
            Ok(Answer::Cosigned(_)) => Ended::Cosigned,
            Ok(Answer::NotNow { .. }) | Err(_) => Ended::NotNow,
            Ok(_) => Ended::Refused,
        };
        if let Some(asked) = asked {
            self.quotas.ended(asked, ended);
        }
    }

    /// Cosigns the logs of a new configuration. What was configured before stays: a list only adds, and what is not wanted
    /// any more ends with a restart.
    pub(crate) fn reload(&self, node: &Node, mut logs: Logs) {
        let before = self.known();
        logs.add_list(before.logs.clone());
        if logs == before.logs {
            return;
        }
        node.writer().watch_logs(logs.clone());
        tracing::info!(logs = logs.len(), "logs that this tower cosigns");
        *self.known.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Known::new(node, logs));
    }
}

pub(super) async fn add_checkpoint(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let app = door.app;
    let Some((_, link)) = app.node.membership() else {
        return Err(no_tower());
    };
    let _slot = app.witness.slots.try_acquire().map_err(|_| busy())?;
    let body = read(&headers, body).await?;
    let request = AddCheckpoint::parse(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut checks = Checks::default();
    let members = link.members();
    let known = app.witness.known();
    if let Some(refused) = check(
        &mut checks,
        members
            .as_deref()
            .map(|members| (members, app.node.config.name.as_str())),
        &known.logs,
        &request,
    ) {
        return respond(refused);
    }
    let asked = match app.witness.asked(&known.logs, &request) {
        Ok(asked) => asked,
        Err(too_many) => return Ok(too_many.response()),
    };
    let text = app
        .node
        .config
        .witness_ml_dsa
        .then(|| request.checkpoint.text().to_owned());
    let until = Instant::now() + ANSWER_PATIENCE;
    let request = WitnessRequest::Checkpoint(Box::new(request), checks);
    let answer = decided(&app, request, until).await;
    app.witness.ended(asked.as_ref(), &answer);
    let mut answer = answer?;
    if let (Some(text), Answer::Cosigned(lines)) = (text, &mut answer) {
        let signing = &app.witness.signing;
        signing.add_second_lines(&app, text, lines, until).await;
    }
    respond(answer)
}

/// What the engine says, once it is durable.
pub(super) async fn decided(
    app: &App,
    request: WitnessRequest,
    until: Instant,
) -> Result<Answer, Problem> {
    let (send, answer) = oneshot::channel();
    app.node.writer().witness(
        request,
        // Whoever asked may be gone.
        Box::new(move |answer| drop(send.send(answer))),
    );
    match tokio::time::timeout_at(until, answer).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(failure))) => Err(not_now(&failure)),
        Ok(Err(_)) => Err(
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the tower is stopping")
                .retry_after(BUSY_SECONDS),
        ),
        Err(_) => Err(busy()),
    }
}

/// Whatever keeps the writer from an answer passes, and a log must not take it for a verdict.
pub(super) fn not_now(failure: &Failure) -> Problem {
    let seconds = match failure {
        Failure::Full(_) => 60,
        _ => BUSY_SECONDS,
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()).retry_after(seconds)
}

/// For a node called so among these members: refuses what no known log signed, and remembers the signatures that are right. What only the engine can tell is left to
/// it: nobody waits for it whom it would not serve.
fn check(
    checks: &mut Checks,
    members: Option<(&Members, &str)>,
    logs: &Logs,
    request: &AddCheckpoint,
) -> Option<Answer> {
    let Ok(digest) = Checkpoint::parse_foreign(request.checkpoint.text()) else {
        return Some(Answer::Malformed("the note is not a checkpoint"));
    };
    // Before the engine's first step nobody is known.
    let (members, me) = members?;
    if !members.by_name(me).is_some_and(|me| members.is_tower(me)) {
        return Some(Answer::Unknown);
    }
    let keys: Vec<&VerifierKey> = match members.by_name(&digest.origin) {
        Some(member) if !members.is_factory(member) || digest.origin == me => {
            return Some(Answer::Unknown);
        }
        Some(member) if members.chain(member).is_empty() => return None,
        Some(member) => members.log_key(member, digest.size).into_iter().collect(),
        None => match logs.get(&digest.origin) {
            Some(log) => log.keys.iter().collect(),
            None => return Some(Answer::Unknown),
        },
    };
    (!checks.note_by(&keys, &request.checkpoint)).then_some(Answer::Untrusted)
}

/// The whole body, if it is not too long.
pub(super) async fn read(headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, Problem> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut bytes = Vec::with_capacity(declared.unwrap_or(0).min(MAX_REQUEST_BYTES));
    let whole = async {
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body was cut off"))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > MAX_REQUEST_BYTES {
                return Ok(false);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(true)
    };
    match tokio::time::timeout(BODY_PATIENCE, whole).await {
        Ok(Ok(true)) => Ok(bytes),
        Ok(Ok(false)) => {
            // Beside the answer: a client that sends to the end reads it then.
            tokio::spawn(tokio::time::timeout(BODY_PATIENCE, drain(body)));
            Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than {MAX_REQUEST_BYTES} bytes"),
            )
            .hint("send the log's own signature only"))
        }
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come within 10 s",
        )),
    }
}

async fn drain(mut body: Body) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, |data| data.len());
        if read > MOST_DRAINED {
            return;
        }
    }
}

/// The answer as it leaves. That of a granted subtree is signed here, which is slow: on a thread that may block.
pub(super) fn respond(answer: Answer) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let problem = |detail: &str| Err(Problem::new(status, detail));
    match answer {
        Answer::Cosigned(lines) => Ok(print_cosignatures(&lines).into_response()),
        Answer::Granted(grant) => grant
            .lines()
            .map(|lines| print_cosignatures(&lines).into_response())
            .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        // Set by hand: clients compare it exactly, and no charset may follow.
        Answer::Conflict { size } => Ok((
            status,
            [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)],
            print_conflict(size),
        )
            .into_response()),
        Answer::Progress {
            size, next, ticket, ..
        } => Ok((
            status,
            [(header::CONTENT_TYPE, INFO_CONTENT_TYPE)],
            print_info(size, next, ticket.as_bytes()),
        )
            .into_response()),
        Answer::Malformed(why) | Answer::Refused(why) => problem(why),
        Answer::Unknown => problem("no log of this origin is known here"),
        Answer::Untrusted => {
            problem("no signature of a key that is trusted for this origin, or a wrong one")
        }
        Answer::NotNow { why, retry_seconds } => {
            Err(Problem::new(status, why).retry_after(retry_seconds))
        }
    }
}

pub(super) fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too much waits here; try again",
    )
    .retry_after(BUSY_SECONDS)
}

pub(super) fn no_tower() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "this node is no tower of a federation and cosigns nothing",
    )
}
