//! The ledger as C2SP tlog-tiles. Serves only what the newest signed digest covers; entry bundles by visibility (R10).

use super::auth::Door;
use super::problem::{Problem, blocking};
use crate::exit::Failure;
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
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, CHECKPOINT_CACHE),
    ];
    Ok((headers, note).into_response())
}

pub(super) async fn tile(
    State(door): State<Door>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let absent = || Problem::new(StatusCode::NOT_FOUND, "there is no such tile");
    let resource = parse_path(&format!("tile/{path}")).ok_or_else(absent)?;
    let signed = door.app.node.published().signed;
    let (width, wanted) = match resource {
        Resource::Tile(tile) => (width_of(tile.level, tile.index, signed), tile.width),
        Resource::Entries(bundle) => (width_of(0, bundle.index, signed), bundle.width),
    };
    if width < wanted {
        return Err(absent());
    }
    let mut cache = TILE_CACHE;
    if matches!(resource, Resource::Entries(_)) {
        door.may_read_all(&headers)?;
        if headers.contains_key(header::AUTHORIZATION) {
            cache = PRIVATE_CACHE;
        }
    }
    let app = door.app;
    let bytes = blocking(move || {
        Ok(app.with_reader(|reader| match resource {
            Resource::Tile(tile) => Ok(reader
                .tile(tile)?
                .iter()
                .flat_map(|hash| hash.0)
                .collect::<Vec<u8>>()),
            Resource::Entries(bundle) => reader.bundle(bundle).map_err(Failure::from),
        })?)
    })
    .await?;
    Ok((
        [
            (header::CONTENT_TYPE, "application/octet-stream"),
            (header::CACHE_CONTROL, cache),
        ],
        bytes,
    )
        .into_response())
}
