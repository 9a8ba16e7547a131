//! What operators' tools ask for: liveness, readiness, metrics; and the control socket's own paths.

use super::auth::Door;
use super::problem::{Problem, blocking};
use super::state::{App, RequestLabels};
use crate::exit::{Code, Failure};
use crate::writer::Request as WriterRequest;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use belfry_protocol::engine::federation::Status;
use belfry_protocol::engine::ledger::FORKED;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long metrics wait for the engine: it answers within a step, unless the disk or the flusher is stuck.
const ENGINE_PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Ready is what takes entries. A factory without a quorum of towers does, and says that nothing is signed meanwhile.
pub(super) async fn readyz(State(door): State<Door>) -> Result<Response, Problem> {
    let running = door.app.node.writer().is_running();
    let now = door.app.node.published();
    let ended = || "the writer thread ended".to_owned();
    let stopped = now.stopped.or_else(|| (!running).then(ended));
    if let Some(why) = stopped {
        return Ok(not_ready(&format!("the ledger stopped: {why}")));
    }
    if !door.app.ready.load(Ordering::Relaxed) {
        return Ok(not_ready("stopping"));
    }
    let app = Arc::clone(&door.app);
    let successor =
        blocking(move || Ok(app.with_reader(|reader| Ok(reader.successor()?))?)).await?;
    if let Some(successor) = successor {
        return Ok(not_ready(&format!("retired: {successor} goes on instead")));
    }
    let engine = engine_status(&door.app).await;
    if !now.appends {
        let why = match engine {
            None if door.app.node.membership().is_none() => {
                format!("{FORKED}; no entries are taken")
            }
            Some(status) if status.phase != "recovering" => {
                format!("{}; no entries are taken", status.phase)
            }
            _ => "recovering: asking the towers what they know".to_owned(),
        };
        return Ok(not_ready(&why));
    }
    let text = match engine.and_then(|status| Some((status.towers_connected, status.quorum?))) {
        Some((connected, quorum)) if connected < quorum.needed => format!(
            "ready; the quorum is lost: {connected} of {} towers are connected and {} are needed, so entries are taken and \
             not signed\n",
            quorum.towers, quorum.needed
        ),
        _ => "ready\n".to_owned(),
    };
    Ok((StatusCode::OK, text).into_response())
}

fn not_ready(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

pub(super) async fn metrics(State(door): State<Door>) -> Response {
    let engine = engine_status(&door.app).await;
    let app = Arc::clone(&door.app);
    let keys = tokio::task::spawn_blocking(move || super::keys::state(&app)).await;
    let keys = keys.ok().flatten();
    let beside = (&*door.app.witnesses, keys.as_ref());
    let text = door
        .app
        .metrics
        .encode(&door.app.node, beside, engine.as_ref());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// How far the engine is; nothing while it is too busy to say so, because metrics must not wait for it.
async fn engine_status(app: &Arc<App>) -> Option<Status> {
    app.node.membership()?;
    let app = Arc::clone(app);
    let asked = tokio::task::spawn_blocking(move || app.node.writer().status());
    let status = tokio::time::timeout(ENGINE_PATIENCE, asked).await;
    status.ok()?.ok()?
}

pub(super) async fn status(State(door): State<Door>) -> Result<axum::Json<Value>, Problem> {
    let app = Arc::clone(&door.app);
    let (head, incarnation, (successor, forked)) = blocking(move || {
        Ok(app.with_reader(|reader| {
            let end = (reader.successor()?, reader.own_fork()?.is_some());
            Ok((reader.head()?, reader.incarnation()?, end))
        })?)
    })
    .await?;
    let mut shown = crate::cli::describe_status(&door.app.node.config, &head, incarnation, true);
    let app = Arc::clone(&door.app);
    if door.app.node.membership().is_some()
        && let Some(status) = blocking(move || Ok(app.node.writer().status())).await?
    {
        crate::cli::describe_member(&mut shown, &status);
    }
    let app = Arc::clone(&door.app);
    if let Some(keys) = blocking(move || Ok(super::keys::state(&app))).await? {
        shown["keys"] = keys.json();
    }
    crate::cli::describe_end(&mut shown, successor, forked);
    let board = &door.app.witnesses;
    if board.submits() {
        shown["witnesses"] = board.json()["witnesses"].take();
    }
    if door.app.node.membership().is_none() && !board.alarms().newest().is_empty() {
        crate::cli::describe_alarms(&mut shown, &board.alarms().newest());
    }
    if let Some((_, link)) = door.app.node.membership() {
        crate::cli::describe_alarms(&mut shown, &link.alarms());
        if let Some(bans) = link.bans() {
            crate::cli::describe_bans(&mut shown, &bans);
        }
        if let Some(traffic) = link.traffic() {
            crate::cli::describe_network(&mut shown, &traffic);
        }
    }
    if let Some(export) = door.app.export.get() {
        shown["export"] = export.json();
    }
    Ok(axum::Json(shown))
}

/// Foreign witnesses and what they cosigned: as public as the checkpoint.
pub(super) async fn witnesses(State(door): State<Door>) -> axum::Json<Value> {
    axum::Json(door.app.witnesses.json())
}

pub(super) async fn erase(
    State(door): State<Door>,
    Path(index): Path<u64>,
) -> Result<axum::Json<Value>, Problem> {
    let answer = blocking(move || {
        let payload = door
            .app
            .with_reader(|reader| crate::cli::commitment(reader, index))?;
        Ok(door
            .app
            .node
            .writer()
            .call(WriterRequest::Erase { index, payload })?)
    })
    .await?;
    Ok(axum::Json(
        json!({ "index": index, "erase_entry": answer.entry() }),
    ))
}

/// What `ledger retire` asks.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retire {
    successor: String,
}

pub(super) async fn retire(
    State(door): State<Door>,
    body: axum::body::Bytes,
) -> Result<axum::Json<Value>, Problem> {
    let Retire { successor } = serde_json::from_slice(&body)
        .map_err(|error| Failure::new(Code::Usage, format!("retire: {error}")))?;
    let answer = blocking(move || {
        let request = WriterRequest::Retire { successor };
        Ok(door.app.node.writer().call(request)?)
    })
    .await?;
    Ok(axum::Json(json!({ "index": answer.entry() })))
}

/// Counts requests by declared route, so that nobody can make labels without end.
pub(super) async fn count_requests(
    State(app): State<Arc<App>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let route = route.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let labels = RequestLabels {
        route,
        status: response.status().as_u16(),
    };
    app.metrics.requests.get_or_create(&labels).inc();
    response
}
