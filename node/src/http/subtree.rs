//! ML-DSA-44 at the door: `POST /sign-subtree`, and lines beside the ack's in what `add-checkpoint` and monitors get. The
//! engine decides, and what it decided is durable first; here only the signatures are made, which take half a millisecond
//! each, on few threads, so that a flood of them slows nothing else.

use super::auth::Door;
use super::problem::{Problem, blocking};
use super::state::App;
use super::witness::{ANSWER_PATIENCE, busy, decided, no_tower, read, respond};
use crate::writer::WitnessRequest;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature;
use belfry_protocol::engine::federation::checks::Checks;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::witness::Answer;
use belfry_protocol::engine::keys::Serial;
use belfry_protocol::note::{SignatureLine, SignedNote, SigningKey, VerifierKey};
use belfry_protocol::witness::SignSubtree;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Subtrees that are asked for at once: apart from the room of `add-checkpoint`, and so few that the last of them waits
/// for 20 ms of signing.
const ASKED: usize = 32;
/// Checkpoints whose second lines are kept for monitors, of 4 KB each.
const SHOWN: usize = 1_024;

/// What makes ML-DSA signatures.
pub(super) struct Signing {
    asked: Semaphore,
    /// Half of the processors at most: the others go on reading, checking and writing.
    signers: Arc<Semaphore>,
    /// By origin hash: the note as it is stored, and as it is shown.
    shown: Mutex<BTreeMap<String, (String, String)>>,
}

impl Default for Signing {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            asked: Semaphore::new(ASKED),
            signers: Arc::new(Semaphore::new((processors / 2).max(1))),
            shown: Mutex::default(),
        }
    }
}

impl Signing {
    /// Runs what signs, when it is its turn.
    async fn sign<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, Problem> + Send + 'static,
    ) -> Result<R, Problem> {
        let turn = Arc::clone(&self.signers).acquire_owned().await;
        let turn = turn.map_err(|_| busy())?;
        blocking(move || {
            let _turn = turn;
            work()
        })
        .await
    }

    /// Says what the engine's lines on a checkpoint text say by ML-DSA-44 keys, too. Without the time for it the answer is
    /// whole all the same.
    pub(super) async fn add_second_lines(
        &self,
        app: &App,
        text: String,
        lines: &mut Vec<SignatureLine>,
        until: Instant,
    ) {
        let (serials, first) = (app.node.cosigners().now(), lines.clone());
        let made = self.sign(move || Ok(second_lines(&serials, &text, &first)));
        if let Ok(Ok(more)) = tokio::time::timeout_at(until, made).await {
            lines.extend(more);
        }
    }

    /// A cosigned note as monitors see it: with every line that `add-checkpoint` answered with. Signing is deterministic,
    /// so these are the same lines, and need not be stored.
    pub(super) async fn shown(
        &self,
        app: &App,
        hash: &str,
        note: String,
    ) -> Result<String, Problem> {
        if !app.node.config.witness_ml_dsa {
            return Ok(note);
        }
        let kept = || self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stored, shown)) = kept().get(hash)
            && *stored == note
        {
            return Ok(shown.clone());
        }
        let (serials, stored) = (app.node.cosigners().now(), note.clone());
        let shown = self.sign(move || Ok(with_second_lines(&serials, note)));
        let shown = shown.await?;
        let mut kept = kept();
        if kept.len() >= SHOWN && !kept.contains_key(hash) {
            kept.pop_first();
        }
        kept.insert(hash.to_owned(), (stored, shown.clone()));
        Ok(shown)
    }
}

/// For each ack line of this node's, the same by the ML-DSA-44 key of its serial.
fn second_lines(serials: &[Serial], text: &str, lines: &[SignatureLine]) -> Vec<SignatureLine> {
    let second = |line: &SignatureLine| {
        let is_its = |serial: &&Serial| {
            let ack = serial.ack.verifier();
            (ack.name(), ack.key_id()) == (line.name(), line.key_id())
        };
        let key = serials.iter().find(is_its)?.subtree.as_ref()?;
        cosignature::second(text, line, key).ok()
    };
    lines.iter().filter_map(second).collect()
}

fn with_second_lines(serials: &[Serial], note: String) -> String {
    let Ok(parsed) = SignedNote::parse(note.as_bytes()) else {
        return note;
    };
    let more = second_lines(serials, parsed.text(), parsed.signatures());
    let whole = more
        .into_iter()
        .try_fold(parsed, |note, line| note.with_signature(line));
    whole.map_or(note, |whole| whole.to_string())
}

pub(super) async fn sign_subtree(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let app = door.app;
    let Some((_, link)) = app.node.membership() else {
        return Err(no_tower());
    };
    let signing = &app.witness.signing;
    let _slot = signing.asked.try_acquire().map_err(|_| busy())?;
    let body = read(&headers, body).await?;
    let request = SignSubtree::parse(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut checks = Checks::default();
    let members = link.members();
    let members = members
        .as_deref()
        .map(|members| (members, app.node.config.name.as_str()));
    let serials = app.node.cosigners().now();
    let is_log = |origin: &str| app.witness.is_log(origin);
    if let Some(refused) = check(&mut checks, members, is_log, &serials, &request) {
        return respond(refused);
    }
    let until = Instant::now() + ANSWER_PATIENCE;
    let request = WitnessRequest::Subtree(Box::new(request), checks);
    let answer = decided(&app, request, until).await?;
    match tokio::time::timeout_at(until, signing.sign(move || respond(answer))).await {
        Ok(response) => response,
        Err(_) => Err(busy()),
    }
}

/// Refuses what none of this node's keys signed, and remembers the signatures that are right; the engine decides.
fn check(
    checks: &mut Checks,
    members: Option<(&Members, &str)>,
    is_log: impl Fn(&str) -> bool,
    serials: &[Serial],
    request: &SignSubtree,
) -> Option<Answer> {
    let Ok(digest) = Checkpoint::parse_foreign(request.checkpoint.text()) else {
        return Some(Answer::Malformed("the note is not a checkpoint"));
    };
    // Before the engine's first step nobody is known.
    let (members, me) = members?;
    let is_tower = members.by_name(me).is_some_and(|me| members.is_tower(me));
    let is_known = match members.by_name(&digest.origin) {
        Some(member) => members.is_factory(member) && digest.origin != me,
        None => is_log(&digest.origin),
    };
    if !is_tower || !is_known {
        return Some(Answer::Unknown);
    }
    let keys = serials
        .iter()
        .flat_map(|serial| [Some(&serial.ack), serial.subtree.as_ref()])
        .flatten();
    let keys: Vec<&VerifierKey> = keys.map(SigningKey::verifier).collect();
    (!checks.note_by(&keys, &request.checkpoint)).then_some(Answer::Untrusted)
}
