//! `/api/v1/forks`: the fork proofs that this node keeps. Public: each proves itself, and everybody may know.

use super::auth::Door;
use super::problem::{Problem, blocking};
use crate::forks;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use belfry_protocol::fork::FORK_MEDIA_TYPE;
use serde_json::{Value, json};

pub(super) async fn list(State(door): State<Door>) -> Result<Json<Value>, Problem> {
    let app = door.app;
    let both = |reader: &crate::store::Reader| Ok((forks::list(reader)?, forks::odd(reader)?));
    let (all, odd) = blocking(move || Ok(app.with_reader(both)?)).await?;
    let forks: Vec<Value> = all.iter().map(forks::KeptFork::to_json).collect();
    let odd: Vec<Value> = odd.iter().map(forks::KeptOdd::to_json).collect();
    Ok(Json(json!({ "forks": forks, "odd_digests": odd })))
}

pub(super) async fn file(
    State(door): State<Door>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let app = door.app;
    let find = move || Ok(app.with_reader(|reader| forks::find(reader, Some(&id)))?);
    let fork = blocking(find).await;
    match fork {
        Ok(fork) => Ok(([(header::CONTENT_TYPE, FORK_MEDIA_TYPE)], fork.file).into_response()),
        Err(problem) if problem.is_failed() => Err(problem.under(StatusCode::NOT_FOUND)),
        Err(problem) => Err(problem),
    }
}
