//! When an append is answered: durable, signed, acknowledged. May only wait; the entries are durable by then.

use super::problem::Problem;
use super::state::App;
use crate::reach::{Reach, Stage};
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a digest or a quorum.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `wait` asks for. Read before anything is appended: a request that is refused must change nothing.
///
/// # Errors
/// When it is no stage, or one that this node can never reach.
pub(super) fn asked(wait: Option<&str>, app: &App) -> Result<Stage, Problem> {
    let config = &app.node.config;
    let federation = app.node.membership().map(|(federation, _)| federation);
    let reach = Reach::of(federation.as_deref(), &config.name, config.allow_solo);
    let never = |failure| Problem::with(StatusCode::CONFLICT, failure);
    match wait {
        None | Some("durable") => Ok(Stage::Durable),
        Some("signed") => reach.check_signed().map(|()| Stage::Signed).map_err(never),
        Some("acked") => reach.check_acked().map(|()| Stage::Acked).map_err(never),
        Some(_) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "wait must be durable, signed or acked",
        )),
    }
}

/// Waits until everything below `end` is so far.
///
/// # Errors
/// When it takes longer than 10 s, or the ledger stops.
pub(super) async fn reached(stage: Stage, app: &Arc<App>, end: u64) -> Result<(), Problem> {
    if stage == Stage::Durable {
        return Ok(());
    }
    let mut published = app.node.writer().published();
    let covered = published.wait_for(|now| {
        let size = if stage == Stage::Acked {
            now.acked
        } else {
            now.signed
        };
        size >= end || now.stopped.is_some()
    });
    let so = |covered: bool| covered && of(app, end) >= stage;
    if so(tokio::time::timeout(PATIENCE, covered).await.is_ok()) {
        return Ok(());
    }
    let what = match stage {
        Stage::Acked => "acknowledged by a quorum of towers",
        _ => "signed",
    };
    let detail = format!("the entries are durable, below index {end}, and not {what} yet");
    Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
        .hint("do not append them again without the same idempotency key"))
}

/// How far everything below `end` is.
pub(super) fn of(app: &App, end: u64) -> Stage {
    let now = app.node.published();
    Stage::of(end, now.signed, now.acked)
}
