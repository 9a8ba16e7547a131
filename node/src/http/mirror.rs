//! What a tower tells monitors of an origin: `GET /{origin hash}/checkpoint` is what it cosigned last, and
//! `GET /mirror/{origin hash}/checkpoint` what it also holds. Its tiles are under both prefixes, in the C2SP layout.

use super::auth::Door;
use super::problem::{Problem, blocking};
use super::state::App;
use super::tiles::{cache_of, read, served, served_checkpoint};
use crate::exit::Failure;
use crate::store::{Placed, Reader};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use belfry_protocol::engine::federation::mirror::Mirror;
use belfry_protocol::engine::federation::witness::{self, Witnessed};
use belfry_protocol::engine::store::{StoreError, Table};
use belfry_protocol::tlog::tile::parse_path;
use std::sync::Arc;

/// The newest checkpoint that this tower cosigned.
pub(super) async fn cosigned(
    State(door): State<Door>,
    Path(hash): Path<String>,
) -> Result<Response, Problem> {
    let app = Arc::clone(&door.app);
    let note = checkpoint(door.app, &hash, |reader, origin, member| {
        let key = origin.as_bytes();
        let known = reader
            .row(Table::Witness, key)?
            .map(|row| Witnessed::decode(&row).ok_or_else(|| damaged(origin)))
            .transpose()?;
        // A mirror of another log has lines of the mirror key alone.
        let mirror = member.then(|| mirror_of(reader, origin)).transpose()?;
        Ok(witness::newest(known, mirror.flatten()))
    })
    .await?;
    let note = app.witness.signing.shown(&app, &hash, note).await?;
    Ok(served_checkpoint(note))
}

/// The newest checkpoint of which this tower holds all entries.
pub(super) async fn mirrored(
    State(door): State<Door>,
    Path(hash): Path<String>,
) -> Result<Response, Problem> {
    let note = checkpoint(door.app, &hash, |reader, origin, _| {
        let mirror = mirror_of(reader, origin)?;
        Ok(mirror.and_then(witness::mirrored).map(|(_, note)| note))
    });
    note.await.map(served_checkpoint)
}

async fn checkpoint(
    app: Arc<App>,
    hash: &str,
    find: impl FnOnce(&Reader, &str, bool) -> Result<Option<String>, Failure> + Send + 'static,
) -> Result<String, Problem> {
    let (origin, member) = app.witness.origin(&app.node, hash).ok_or_else(unknown)?;
    blocking(move || Ok(app.with_reader(|reader| find(reader, &origin, member))?))
        .await?
        .ok_or_else(unknown)
}

/// A tile or bundle of a mirrored ledger, as far as the newest checkpoint with a mirror line goes.
pub(super) async fn tile(
    State(door): State<Door>,
    Path((hash, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let absent = || Problem::new(StatusCode::NOT_FOUND, "there is no such tile");
    let (origin, _) = door
        .app
        .witness
        .origin(&door.app.node, &hash)
        .ok_or_else(unknown)?;
    let resource = parse_path(&format!("tile/{path}")).ok_or_else(absent)?;
    let app = Arc::clone(&door.app);
    let name = origin.clone();
    let placed = blocking(move || Ok(app.with_reader(|reader| place_of(reader, &name))?)).await?;
    let (placed, size) = placed.ok_or_else(absent)?;
    let cache = cache_of(&door, &headers, resource, size)?;
    let app = door.app;
    let bytes =
        blocking(move || Ok(app.with_reader(|reader| read(&reader.ledger(&placed), resource))?))
            .await?;
    Ok(served(cache, bytes))
}

fn mirror_of(reader: &Reader, origin: &str) -> Result<Option<Mirror>, Failure> {
    let row = reader.row(Table::Mirror, origin.as_bytes())?;
    let mirror = row.map(|row| Mirror::decode(&row).ok_or_else(|| damaged(origin)));
    Ok(mirror.transpose()?)
}

/// Where a mirrored ledger is, and the size up to which it is shown.
fn place_of(reader: &Reader, origin: &str) -> Result<Option<(Placed, u64)>, Failure> {
    let Some(row) = reader.row(Table::Mirror, origin.as_bytes())? else {
        return Ok(None);
    };
    let placed = Placed::decode(origin.as_bytes(), &row)?;
    let mirror = Mirror::decode(&row).ok_or_else(|| damaged(origin))?;
    Ok(witness::mirrored(mirror).map(|(size, _)| (placed, size)))
}

fn damaged(origin: &str) -> StoreError {
    StoreError::Damaged(format!("the row of {origin}"))
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "this tower cosigned nothing of a log with this origin hash",
    )
}
