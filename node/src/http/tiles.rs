//! The ledger as C2SP tlog-tiles. Serves only what the newest signed digest covers; entry bundles by visibility (R10).

use super::auth::Door;
use super::problem::{Problem, blocking};
use crate::exit::Failure;
use crate::store::LedgerView;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Resource, parse_path, width_of};

/// A checkpoint may be cached for a moment only.
const CHECKPOINT_CACHE: &str = "public, max-age=1";
/// Tiles never change, partial ones neither.
const TILE_CACHE: &str = "public, max-age=31536000, immutable";
/// Bundles that need a token must not end in a shared cache.
const PRIVATE_CACHE: &str = "private, max-age=31536000, immutable";

pub(super) async fn checkpoint(State(door): State<Door>) -> Result<Response, Problem> {
    let app = door.app;
    let newest =
        blocking(move || Ok(app.with_reader(|reader| Ok(reader.newest_digest()?))?)).await?;
    let Some((_, note)) = newest else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "this ledger has no signed digest yet",
        ));
    };
    Ok(served_checkpoint(note))
}

/// The answer with a checkpoint.
pub(super) fn served_checkpoint(note: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, CHECKPOINT_CACHE),
    ];
    (headers, note).into_response()
}

pub(super) async fn tile(
    State(door): State<Door>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let resource = parse_path(&format!("tile/{path}")).ok_or_else(absent)?;
    let signed = door.app.node.published().signed;
    let cache = cache_of(&door, &headers, resource, signed)?;
    let app = door.app;
    let bytes =
        blocking(move || Ok(app.with_reader(|reader| read(&reader.own(), resource))?)).await?;
    Ok(served(cache, bytes))
}

fn absent() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such tile")
}

/// How long a tile of a ledger of `signed` entries may be cached, if it is there and the caller may see it (R10).
pub(super) fn cache_of(
    door: &Door,
    headers: &HeaderMap,
    resource: Resource,
    signed: u64,
) -> Result<&'static str, Problem> {
    let (width, wanted) = match resource {
        Resource::Tile(tile) => (width_of(tile.level, tile.index, signed), tile.width),
        Resource::Entries(bundle) => (width_of(0, bundle.index, signed), bundle.width),
    };
    if width < wanted {
        return Err(absent());
    }
    if !matches!(resource, Resource::Entries(_)) {
        return Ok(TILE_CACHE);
    }
    door.may_read_all(headers)?;
    Ok(if headers.contains_key(header::AUTHORIZATION) {
        PRIVATE_CACHE
    } else {
        TILE_CACHE
    })
}

/// The bytes of a tile.
pub(super) fn read(ledger: &LedgerView<'_>, resource: Resource) -> Result<Vec<u8>, Failure> {
    Ok(match resource {
        Resource::Tile(tile) => ledger
            .tile(tile)?
            .iter()
            .flat_map(|hash| hash.0)
            .collect::<Vec<u8>>(),
        Resource::Entries(bundle) => ledger.bundle(bundle)?,
    })
}

pub(super) fn served(cache: &'static str, bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, cache),
    ];
    (headers, bytes).into_response()
}
