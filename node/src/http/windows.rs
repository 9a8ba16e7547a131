//! `GET /api/v1/windows/{hash}`: the acks of one window, verbatim, by the hash that its `window` entry has (R13). Public, as
//! digests and acks are.

use super::auth::Door;
use super::problem::{Problem, blocking};
use crate::exit::Failure;
use crate::member::read_window;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use belfry_protocol::hex;
use belfry_protocol::tlog::hash::Hash;

/// What never changes may be kept for a year.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(super) async fn file(
    State(door): State<Door>,
    Path(hash): Path<String>,
) -> Result<Response, Problem> {
    let none = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "there is no window with this hash, or its file is older than this node keeps them",
        )
    };
    let bytes = hex::decode(&hash).filter(|_| hash.len() == 64);
    let hash = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let hash = Hash(hash.ok_or_else(none)?);
    let node = door.app;
    let read = move || {
        let node = &node.node;
        Ok(read_window(&node.layout, &*node.disk(), hash).map_err(Failure::from)?)
    };
    let bytes = blocking(read).await?.ok_or_else(none)?;
    let kind = (header::CONTENT_TYPE, "application/x-ndjson");
    Ok(([kind, (header::CACHE_CONTROL, FOR_EVER)], bytes).into_response())
}
