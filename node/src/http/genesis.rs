//! The manifest chain for everybody, and the control socket's way to a founding. May not know how votes go.

use super::auth::Door;
use super::problem::{Problem, blocking};
use super::state::App;
use crate::ceremony::Wish;
use crate::exit::{Code, Failure};
use crate::member::chain;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;

/// What an operator asks of a founding.
pub(super) async fn ask(
    State(door): State<Door>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, Problem> {
    let wish: Wish = serde_json::from_slice(&body)
        .map_err(|_| Failure::new(Code::Usage, "not a request of this version"))?;
    let table = door.app.founding.get().cloned().ok_or_else(|| {
        let founded = door.app.node.membership().is_some();
        match founded {
            true => Failure::new(Code::Failed, "the vote on amendments does not run yet")
                .hint("try again in a moment; `belfry genesis verify` checks the manifests"),
            false => Failure::new(Code::Failed, "this node takes part in no founding").hint(
                "begin one with `belfry genesis draft`, or join one with `belfry join TICKET`",
            ),
        }
    })?;
    Ok(Json(table.ask(wish).await?))
}

/// One line for each epoch, from epoch 0 on.
pub(super) async fn chain(State(door): State<Door>) -> Result<Response, Problem> {
    let file = read(Arc::clone(&door.app)).await?;
    let lines = chain::lines(&file).flat_map(|line| [line, b"\n"]);
    Ok(answer(lines.collect::<Vec<_>>().concat()))
}

/// What made one epoch active.
pub(super) async fn epoch(
    State(door): State<Door>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "this node knows no such epoch");
    let number = name.strip_suffix(".json").ok_or_else(none)?;
    let number: usize = number.parse().map_err(|_| none())?;
    if number.to_string() != name.trim_end_matches(".json") {
        return Err(none());
    }
    let file = read(Arc::clone(&door.app)).await?;
    let link = chain::lines(&file).nth(number).ok_or_else(none)?;
    Ok(answer(link.to_vec()))
}

async fn read(app: Arc<App>) -> Result<Vec<u8>, Problem> {
    if app.node.membership().is_none() {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "this node belongs to no federation",
        ));
    }
    blocking(move || Ok(std::fs::read(app.node.layout.genesis()).map_err(Failure::from)?)).await
}

fn answer(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}
