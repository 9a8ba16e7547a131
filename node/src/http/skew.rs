//! `GET /api/v1/skew`: everybody's clocks as this node sees them, with their uncertainty; and the control socket's way to vouch
//! for the own one (R8). Shows what the engine judged.

use super::auth::Door;
use super::problem::{Problem, blocking};
use super::state::App;
use crate::exit::{Code, Failure};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use belfry_protocol::engine::federation::{Input, Status};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn skew(State(door): State<Door>) -> Result<Json<Value>, Problem> {
    Ok(Json(shown(&door.app, &status(&door.app).await?)))
}

/// What `clock confirm` asks.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirm {
    /// Steps of the wall clock when the operator looked at it.
    wall_steps: u64,
}

pub(super) async fn confirm(
    State(door): State<Door>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, Problem> {
    let Confirm { wall_steps } = serde_json::from_slice(&body)
        .map_err(|error| Failure::new(Code::Usage, format!("clock confirm: {error}")))?;
    if status(&door.app).await?.wall_steps != wall_steps {
        let stepped = "the clock stepped since you looked at it; look again";
        return Err(Problem::new(StatusCode::CONFLICT, stepped));
    }
    let sent = door
        .app
        .node
        .writer()
        .message(Box::new(Input::ConfirmClock));
    if sent.is_err() {
        let busy = "the engine is too busy to hear of it; try again";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, busy));
    }
    // Asked after it, so answered after it.
    let status = status(&door.app).await?;
    tracing::warn!("an operator confirmed the wall clock, until it steps or the node restarts");
    Ok(Json(shown(&door.app, &status)))
}

async fn status(app: &Arc<App>) -> Result<Status, Problem> {
    if app.node.membership().is_none() {
        let none = "this node belongs to no federation, so there is no clock to compare with";
        return Err(Problem::new(StatusCode::NOT_FOUND, none));
    }
    let app = Arc::clone(app);
    let status = blocking(move || Ok(app.node.writer().status())).await?;
    status.ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the engine does not answer",
        )
    })
}

fn shown(app: &App, status: &Status) -> Value {
    let mut shown = crate::cli::describe_clocks(status);
    shown["observed_by"] = json!(app.node.config.name);
    shown["at"] = json!(crate::clock::wall().to_string());
    shown
}
