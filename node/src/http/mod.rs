//! HTTP: the ledger in the C2SP tlog-tiles layout, the append API, and what operators' tools expect. The control socket
//! serves the same handlers without tokens, plus a few of its own.
//!
//! | file | paths |
//! |---|---|
//! | [`tiles`] | `/checkpoint`, `/tile/…` |
//! | [`entries`] | `POST /api/v1/entries`, `GET /api/v1/entries/{index}`, `GET /api/v1/receipts/{index}` |
//! | [`operations`] | `/livez`, `/readyz`, `/metrics`, `/control/…` |
//! | [`peers`] | `/control/peers…` |
//! | [`network_metrics`], [`member_metrics`] | the parts of `/metrics` about a member's network, and where it stands |
//! | [`stage`] | when an append is answered |
//! | [`auth`], [`problem`], [`state`], [`stream`] | tokens, errors, what handlers share, request bodies |

mod auth;
mod entries;
mod member_metrics;
mod network_metrics;
mod operations;
mod peers;
mod problem;
mod stage;
mod state;
pub(crate) mod stream;
mod tiles;

pub(crate) use state::App;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use std::sync::Arc;

/// The router of the TCP listener.
pub(crate) fn public(app: Arc<App>) -> Router {
    shared(&app)
        .with_state(auth::Door {
            app: Arc::clone(&app),
            trusted: false,
        })
        .layer(middleware::from_fn_with_state(
            app,
            operations::count_requests,
        ))
}

/// The router of the control socket: whoever can open it owns the node.
pub(crate) fn control(app: Arc<App>) -> Router {
    shared(&app)
        .route("/control/status", get(operations::status))
        .route("/control/peers", get(peers::list))
        .route("/control/peers/show", post(peers::show))
        .route("/control/peers/ping", post(peers::ping))
        .route("/control/peers/ban", post(peers::ban))
        .route("/control/peers/unban", post(peers::unban))
        .route("/control/erase/{index}", post(operations::erase))
        .route("/control/retire", post(operations::retire))
        .with_state(auth::Door { app, trusted: true })
}

fn shared(app: &Arc<App>) -> Router<auth::Door> {
    Router::new()
        .route("/checkpoint", get(tiles::checkpoint))
        .route("/tile/{*path}", get(tiles::tile))
        .route("/api/v1/entries", post(entries::append))
        .route("/api/v1/entries/{index}", get(entries::read))
        .route("/api/v1/receipts/{index}", get(entries::receipt))
        .route("/livez", get(operations::livez))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(app.node.config.http_body_limit))
}
