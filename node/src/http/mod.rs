//! HTTP: the ledger in the C2SP tlog-tiles layout, the append API, and what operators' tools expect. The control socket
//! serves the same handlers without tokens, plus a few of its own.
//!
//! | file | paths |
//! |---|---|
//! | [`tiles`] | `/checkpoint`, `/tile/…` |
//! | [`entries`] | `POST /api/v1/entries`, `GET /api/v1/entries/{index}`, `GET /api/v1/receipts/{index}` |
//! | [`forks`] | `/api/v1/forks…` |
//! | [`keys`], [`key_metrics`] | `/api/v1/keys`, `/control/keys/…`, and the part of `/metrics` about keys |
//! | [`witness`], [`subtree`], [`add_entries`], [`mirror`] | `POST /add-checkpoint`, `POST /sign-subtree`, `POST /add-entries`, `/{origin hash}/…`, `/mirror/{origin hash}/…` |
//! | [`quota`] | how often a listed log may ask |
//! | [`operations`] | `/livez`, `/readyz`, `/metrics`, `/api/v1/witnesses`, `/control/…` |
//! | [`peers`] | `/control/peers…` |
//! | [`network_metrics`], [`member_metrics`] | the parts of `/metrics` about a member's network, and where it stands |
//! | [`witness_metrics`] | the part about foreign witnesses |
//! | [`skew`], [`clock_metrics`] | `/api/v1/skew`, and the part of `/metrics` about clocks |
//! | [`windows`] | `/api/v1/windows/{hash}` |
//! | [`stage`] | when an append is answered |
//! | [`auth`], [`problem`], [`state`], [`stream`] | tokens, errors, what handlers share, request bodies |

mod add_entries;
mod auth;
mod clock_metrics;
mod entries;
mod forks;
mod genesis;
mod key_metrics;
mod keys;
mod member_metrics;
mod mirror;
mod network_metrics;
mod operations;
mod peers;
mod problem;
mod quota;
mod skew;
mod stage;
mod state;
pub(crate) mod stream;
mod subtree;
mod tiles;
mod windows;
mod witness;
mod witness_metrics;

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
        .route("/control/clock/confirm", post(skew::confirm))
        .route("/control/retire", post(operations::retire))
        .route("/control/genesis", post(genesis::ask))
        .route("/control/keys/rotate", post(keys::rotate))
        .route("/control/keys/revoke", post(keys::revoke))
        .with_state(auth::Door { app, trusted: true })
}

fn shared(app: &Arc<App>) -> Router<auth::Door> {
    Router::new()
        .route("/checkpoint", get(tiles::checkpoint))
        .route("/tile/{*path}", get(tiles::tile))
        .route("/add-checkpoint", post(witness::add_checkpoint))
        .route("/add-entries", post(add_entries::add_entries))
        .route("/sign-subtree", post(subtree::sign_subtree))
        .route("/{origin}/checkpoint", get(mirror::cosigned))
        .route("/{origin}/tile/{*path}", get(mirror::tile))
        .route("/mirror/{origin}/checkpoint", get(mirror::mirrored))
        .route("/mirror/{origin}/tile/{*path}", get(mirror::tile))
        .route("/api/v1/entries", post(entries::append))
        .route("/api/v1/entries/{index}", get(entries::read))
        .route("/api/v1/receipts/{index}", get(entries::receipt))
        .route("/api/v1/skew", get(skew::skew))
        .route("/api/v1/windows/{hash}", get(windows::file))
        .route("/public/mcp/genesis.json", get(genesis::chain))
        .route("/genesis/{epoch}", get(genesis::epoch))
        .route("/api/v1/forks", get(forks::list))
        .route("/api/v1/forks/{id}", get(forks::file))
        .route("/api/v1/keys", get(keys::keys))
        .route("/api/v1/witnesses", get(operations::witnesses))
        .route("/livez", get(operations::livez))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(app.node.config.http_body_limit))
}
