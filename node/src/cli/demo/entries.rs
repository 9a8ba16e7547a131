//! What the demo appends, and what it reads of it, as any program could: through the control socket, and beside the
//! running process.

use super::cluster::{Cluster, NAMES};
use crate::audit::receipt;
use crate::cli::context::key_failure;
use crate::cli::control::Control;
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::ingest::files::{self, Options};
use crate::store::Reader;
use belfry_keys::KeyDir;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Files that the demo observes at most.
const FILES: usize = 2_000;

fn options() -> Options {
    Options {
        limit: Some(FILES),
        ..Options::default()
    }
}

/// The files of a directory that the demo is to append: at least one.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(
            Code::Failed,
            format!("cannot read {}: {error}", dir.display()),
        )
    };
    std::fs::metadata(dir).map_err(cannot)?;
    let (list, _) = files::list(dir, &options());
    match list.is_empty() {
        true => Err(no_file(dir)),
        false => Ok(list),
    }
}

fn no_file(dir: &Path) -> Failure {
    Failure::new(
        Code::Failed,
        format!("{} holds no file to append", dir.display()),
    )
    .hint("hidden and ignored files do not count; name another directory: belfry demo DIR")
}

/// Appends files through the running factory; the last entry's index.
pub(super) fn append(cluster: &Cluster, dir: &Path, list: &[PathBuf]) -> Result<u64, Failure> {
    let mut lines = Vec::new();
    files::write_lines(dir, list, &options(), &mut lines)?;
    let answer = post(cluster, "file.observed", lines)?;
    let last = answer.get("last").and_then(Value::as_u64);
    last.ok_or_else(|| no_file(dir))
}

fn post(cluster: &Cluster, kind: &str, lines: Vec<u8>) -> Result<Value, Failure> {
    let control = Control::find(&cluster.nodes[0].layout)
        .ok_or_else(|| Failure::new(Code::Unreachable, "the demo's factory does not answer"))?;
    let path = format!("/api/v1/entries?kind={kind}&source=demo&on_error=continue");
    control.post(&path, std::io::Cursor::new(lines))
}

/// Appends entries one after the other, each when the one before is acknowledged; the milliseconds that took, sorted.
pub(super) fn one_by_one(cluster: &Cluster, count: usize) -> Result<Vec<u64>, Failure> {
    let mut all = Vec::new();
    for position in 0..count {
        let began = Instant::now();
        let line = format!("{{\"msg\":\"heartbeat {position}\"}}\n");
        let answer = post(cluster, "log.line", line.into_bytes())?;
        let last = answer.get("last").and_then(Value::as_u64).unwrap_or(0);
        cluster.wait(0, "has an entry acknowledged", |status| {
            number(status, "acked_size") > last
        })?;
        all.push(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    }
    all.sort_unstable();
    Ok(all)
}

/// The receipt of an entry, read from the factory's directory beside the running process.
pub(super) fn prove(cluster: &Cluster, index: u64) -> Result<String, Failure> {
    let layout = cluster.nodes[0].layout.clone();
    let keys = KeyDir::public_log_keys(layout.dir(), NAMES[0]).map_err(key_failure)?;
    let reader = Reader::open(layout, Arc::new(RealDisk))?;
    Ok(receipt::make(&reader, index, &keys)?.to_string())
}

pub(super) fn text<'v>(status: &'v Value, key: &str) -> &'v str {
    status.get(key).and_then(Value::as_str).unwrap_or("")
}

pub(super) fn number(status: &Value, key: &str) -> u64 {
    status.get(key).and_then(Value::as_u64).unwrap_or(0)
}

/// Entries of the factory's ledger that a tower holds under a digest.
pub(super) fn mirrored(status: &Value) -> u64 {
    let mirrors = status.get("mirrors").and_then(Value::as_array);
    mirrors
        .into_iter()
        .flatten()
        .filter(|mirror| text(mirror, "origin") == NAMES[0])
        .map(|mirror| number(mirror, "held"))
        .max()
        .unwrap_or(0)
}
