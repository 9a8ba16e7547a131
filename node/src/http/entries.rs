//! Appending and reading entries over HTTP. A TCP request is all or nothing; the control socket streams any amount
//! through the pipeline.

use super::auth::{Caller, Door};
use super::problem::{Problem, blocking};
use super::stage;
use super::state::App;
use super::stream::body_reader;
use crate::audit::receipt;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::ingest::pipeline::{self, OnError, Plan};
use crate::reach::Stage;
use crate::store::payloads::OsSealer;
use crate::store::tokens::Scope;
use crate::writer::{Answer, Request as WriterRequest};
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use belfry_protocol::engine::ledger::Places;
use belfry_protocol::entry::draft::Idempotency;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::{Batch, Draft, EntryError, Visibility};
use belfry_protocol::tower_receipt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Entries in one request: they are one transaction.
const MOST_ENTRIES: usize = 10_000;
/// Places listed one by one in an answer; beyond it first and count must do.
const LISTED_PLACES: usize = 1_000;

/// Query parameters of an append.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Parameters {
    kind: Option<String>,
    source: Option<String>,
    tenant: Option<String>,
    visibility: Option<String>,
    envelope: Option<bool>,
    dedupe: bool,
    on_error: Option<String>,
    wait: Option<String>,
}

pub(super) async fn append(
    State(door): State<Door>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Query(parameters) =
        parameters.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let caller = door.caller(&headers, &[Scope::Append])?;
    let wait = stage::asked(parameters.wait.as_deref(), &door.app)?;
    let template = template(&parameters, &caller)?;
    if matches!(caller, Caller::Owner) {
        return stream(door.app, parameters, wait, template, body).await;
    }
    if parameters.dedupe || parameters.on_error.is_some() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "dedupe and on_error are for the control socket",
        ));
    }
    let limit = door.app.node.config.http_body_limit;
    let bytes = axum::body::to_bytes(body, limit).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes"),
        )
        .hint("send several smaller requests, or append large content by its SHA-256")
    })?;
    let lines = match headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    {
        Some(kind) if kind.starts_with("application/json") => false,
        Some(kind) if kind.starts_with("application/x-ndjson") => true,
        _ => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the content type must be application/json or application/x-ndjson",
            ));
        }
    };
    let key = headers
        .get("idempotency-key")
        .map(|value| value.to_str().map(str::to_owned));
    let key = key
        .transpose()
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the idempotency key is not ASCII"))?;
    let envelope = parameters.envelope.unwrap_or(true);
    let app = Arc::clone(&door.app);
    let tenant = caller.tenant().map(str::to_owned);
    let batch = blocking(move || {
        make(
            &app,
            &bytes,
            lines,
            envelope,
            &template,
            key.as_deref(),
            tenant.as_deref(),
        )
    })
    .await?;
    if batch.is_empty() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the body holds no entry",
        ));
    }
    let places = hand_over(&door.app, batch).await?;
    answer(&door.app, wait, &places).await
}

fn template(parameters: &Parameters, caller: &Caller) -> Result<Draft, Problem> {
    let tenant = match (caller.tenant(), &parameters.tenant) {
        (Some(own), Some(other)) if own != other => {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!("this token is for tenant {own:?}"),
            ));
        }
        (Some(own), _) => Some(own.to_owned()),
        (None, asked) => asked.clone(),
    };
    let visibility = match parameters.visibility.as_deref() {
        None => None,
        Some("public") => Some(Visibility::Public),
        Some("private") => Some(Visibility::Private),
        Some(_) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "visibility must be public or private",
            ));
        }
    };
    let source = match caller {
        Caller::Owner => "control".to_owned(),
        Caller::Token(token) => format!("api/{}", token.id),
    };
    Ok(Draft {
        kind: parameters
            .kind
            .clone()
            .unwrap_or_else(|| "audit.event".to_owned()),
        time: clock::wall(),
        source: parameters.source.clone().unwrap_or(source),
        tenant,
        body: Json::Null,
        visibility,
        idempotency: None,
    })
}

/// Makes all entries of a request, or none; errors name the line.
fn make(
    app: &App,
    bytes: &[u8],
    lines: bool,
    envelope: bool,
    template: &Draft,
    key: Option<&str>,
    tenant: Option<&str>,
) -> Result<Batch, Problem> {
    let mut batch = Batch::default();
    app.with_press(|press| {
        for (number, item) in (1u64..).zip(bytes.split(|byte| lines && *byte == b'\n')) {
            let item = item.strip_suffix(b"\r").unwrap_or(item);
            if lines && item.trim_ascii().is_empty() {
                continue;
            }
            if batch.len() >= MOST_ENTRIES {
                let detail = format!(
                    "more than {MOST_ENTRIES} entries in one request; nothing was appended"
                );
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
            }
            let mut draft = template.clone();
            draft.idempotency = key.map(|key| {
                Idempotency::ClientKey(if lines {
                    format!("{key}#{number}")
                } else {
                    key.to_owned()
                })
            });
            let made = if envelope {
                Json::parse(item)
                    .map_err(EntryError::from)
                    .and_then(|value| Draft::from_envelope(value, &draft))
                    .and_then(|draft| match (tenant, &draft.tenant) {
                        (Some(own), Some(other)) if own != other => Err(EntryError::Field(
                            format!("this token is for tenant {own:?}"),
                        )),
                        _ => press.add(&draft, &mut OsSealer, &mut batch),
                    })
            } else {
                press.add_raw(item, &draft, &mut OsSealer, &mut batch)
            };
            made.map_err(|error| {
                let place = if lines {
                    format!("line {number}: ")
                } else {
                    String::new()
                };
                let nothing = if lines { "; nothing was appended" } else { "" };
                let status = match error {
                    EntryError::TooLong { .. } | EntryError::PayloadTooLong { .. } => {
                        StatusCode::PAYLOAD_TOO_LARGE
                    }
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                Problem::new(status, format!("{place}{error}{nothing}"))
            })?;
        }
        Ok(batch)
    })
}

async fn hand_over(app: &Arc<App>, batch: Batch) -> Result<Places, Problem> {
    let (send, receive) = tokio::sync::oneshot::channel();
    app.node.writer().try_send(
        WriterRequest::Append(batch),
        Box::new(move |result| drop(send.send(result))),
    );
    let stopped = || crate::writer::Failure::Stopped("the writer thread ended".to_owned());
    match receive.await.unwrap_or_else(|_| Err(stopped()))? {
        Answer::Appended(places) => Ok(places),
        other => Ok(Places {
            first: other.entry().unwrap_or(0),
            new: 1,
            known: Vec::new(),
        }),
    }
}

async fn answer(app: &Arc<App>, wait: Stage, places: &Places) -> Result<Response, Problem> {
    let end = places.indices().map(|(index, _)| index + 1).max();
    let end = end.unwrap_or(0);
    stage::reached(wait, app, end).await?;
    let listed: Vec<Value> = places
        .indices()
        .take(LISTED_PLACES)
        .map(|(index, new)| json!({ "index": index, "new": new }))
        .collect();
    let body = json!({
        "first": places.indices().next().map(|(index, _)| index),
        "appended": places.new,
        "known": places.known.len(),
        "entries": listed,
        "stage": stage::of(app, end).name(),
        "signed_size": app.node.published().signed,
    });
    let status = if places.new > 0 {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, axum::Json(body)).into_response())
}

/// Streams a body of any length through the pipeline.
async fn stream(
    app: Arc<App>,
    parameters: Parameters,
    wait: Stage,
    template: Draft,
    body: Body,
) -> Result<Response, Problem> {
    let on_error = match parameters.on_error.as_deref() {
        None | Some("stop") => OnError::Stop,
        Some("continue") => OnError::Continue,
        Some(_) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "on_error must be stop or continue",
            ));
        }
    };
    let envelope = parameters.envelope.unwrap_or(false);
    let plan = Plan {
        template,
        envelope,
        on_error,
        dedupe: parameters.dedupe,
    };
    let (reader, feed) = body_reader(body);
    // Goes on after the answer, for as long as the caller sends.
    tokio::spawn(feed);
    let node = Arc::clone(&app);
    let summary = blocking(move || Ok(pipeline::run(&node.node, &plan, reader, |_| {})?)).await;
    let summary = summary?;
    stage::reached(wait, &app, summary.places.end()).await?;
    let rejected: Vec<Value> = summary
        .rejected
        .iter()
        .map(|item| json!({ "item": item.label, "why": item.why }))
        .collect();
    let places = summary.places.all().map(|runs| {
        let runs = runs.iter().map(|run| [run.start, run.end]);
        runs.collect::<Vec<_>>()
    });
    Ok(axum::Json(json!({
        "appended": summary.appended, "known": summary.known, "first": summary.first, "last": summary.last,
        "places": places, "end": summary.places.end(),
        "rejected": rejected, "rejected_count": summary.rejected_count, "stopped": summary.stopped,
        "signed_size": app.node.published().signed,
    }))
    .into_response())
}

/// The index in a path.
fn entry_index(index: Result<Path<u64>, PathRejection>) -> Result<u64, Problem> {
    let refused = |error: PathRejection| Problem::new(StatusCode::NOT_FOUND, error.body_text());
    index.map(|Path(index)| index).map_err(refused)
}

pub(super) async fn read(
    State(door): State<Door>,
    index: Result<Path<u64>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let index = entry_index(index)?;
    door.may_read_all(&headers)?;
    let app = door.app;
    let entry = blocking(move || {
        Ok(app.with_reader(|reader| {
            let size = reader.head()?.size();
            if index < size {
                Ok(Some(reader.entry(index, size)?))
            } else {
                Ok(None)
            }
        })?)
    })
    .await?;
    let entry = entry
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no entry {index}")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], entry).into_response())
}

pub(super) async fn receipt(
    State(door): State<Door>,
    index: Result<Path<u64>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let index = entry_index(index)?;
    door.may_read_all(&headers)?;
    if index >= door.app.node.published().size {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no entry {index}"),
        ));
    }
    let app = door.app;
    let proof = blocking(move || {
        Ok(app.with_reader(|reader| receipt::make(reader, index, &app.node.log_keys()))?)
    })
    .await?;
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("application/json"));
    if wants_json {
        let json = tower_receipt::to_json(&proof)
            .map_err(|error| Failure::new(Code::Damaged, error.to_string()))?;
        return Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response());
    }
    Ok((
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        proof.to_string(),
    )
        .into_response())
}
