//! Files and directory trees: one `file.observed` entry per file, with path, size, SHA-256, modification time and media
//! type; its text only on request. Follows no symbolic link.

use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::hex;
use ignore::WalkBuilder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Largest text that `--inline` puts into an entry, in bytes.
pub const INLINE_LIMIT: u64 = 32 * 1_024;

/// How files are observed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Hidden files, ignored files too.
    pub all: bool,
    /// Put the text of small UTF-8 files into the entry.
    pub inline: bool,
    /// Stop after this many files.
    pub limit: Option<usize>,
}

/// A file that could not be observed.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its path as it would be recorded.
    pub path: String,
    /// Why.
    pub why: String,
}

/// The files below `root` (or `root` itself), in a stable order, and what could not be looked into.
pub fn list(root: &Path, options: &Options) -> (Vec<PathBuf>, Vec<Unreadable>) {
    if root.is_file() {
        return (vec![root.to_owned()], Vec::new());
    }
    let mut walk = WalkBuilder::new(root);
    walk.follow_links(false)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .require_git(false);
    if options.all {
        walk.standard_filters(false);
    }
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for item in walk.build() {
        match item {
            Ok(item) if item.file_type().is_some_and(|kind| kind.is_file()) => {
                files.push(item.into_path())
            }
            Ok(_) => {}
            // The library's message names the place.
            Err(error) => unreadable.push(Unreadable {
                path: "directory".to_owned(),
                why: error.to_string(),
            }),
        }
        if options.limit.is_some_and(|limit| files.len() >= limit) {
            break;
        }
    }
    (files, unreadable)
}

/// Observes files and writes one line of canonical JSON for each; returns those that could not be read.
///
/// # Errors
/// When `out` cannot be written: whoever reads it gave up.
pub fn write_lines(
    root: &Path,
    files: &[PathBuf],
    options: &Options,
    out: &mut impl Write,
) -> io::Result<Vec<Unreadable>> {
    let mut unreadable = Vec::new();
    for path in files {
        let label = shown(root, path);
        match observe(path, &label, options) {
            Ok(body) => {
                let mut line = body.to_canonical();
                line.push(b'\n');
                out.write_all(&line)?;
            }
            Err(error) => unreadable.push(Unreadable {
                path: label,
                why: error.to_string(),
            }),
        }
    }
    Ok(unreadable)
}

/// The path as it is recorded: relative to the root, with `/`.
fn shown(root: &Path, path: &Path) -> String {
    let relative = path
        .strip_prefix(root)
        .ok()
        .filter(|rest| !rest.as_os_str().is_empty());
    let name = relative
        .or_else(|| path.file_name().map(Path::new))
        .unwrap_or(path);
    name.to_string_lossy().into_owned()
}

fn observe(path: &Path, label: &str, options: &Options) -> io::Result<Json> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let inline = options.inline && metadata.len() < INLINE_LIMIT;
    let (mut hasher, mut size, mut text) = (Sha256::new(), 0u64, Vec::new());
    let mut block = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        size += read as u64;
        hasher.update(&block[..read]);
        if inline {
            text.extend_from_slice(&block[..read]);
        }
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mtime = metadata
        .modified()
        .ok()
        .and_then(|time| i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok())
        .and_then(TimeUs::from_micros);
    let mut members = vec![
        ("path", Json::text(label)),
        ("size", Json::whole(size)),
        ("sha256", Json::text(hex::encode(&digest))),
        ("media_type", Json::text(media_type(path))),
    ];
    members.extend(mtime.map(|time| ("mtime", Json::text(time.to_string()))));
    if inline && let Ok(text) = String::from_utf8(text) {
        members.push(("text", Json::text(text)));
    }
    Ok(Json::object(members))
}

/// Media type by file extension; a guess, recorded as such by its name.
fn media_type(path: &Path) -> &'static str {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or("");
    match extension.to_ascii_lowercase().as_str() {
        "css" => "text/css",
        "csv" => "text/csv",
        "gz" | "tgz" => "application/gzip",
        "htm" | "html" => "text/html",
        "jpeg" | "jpg" => "image/jpeg",
        "js" | "mjs" => "text/javascript",
        "json" => "application/json",
        "md" => "text/markdown",
        "ndjson" => "application/x-ndjson",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "tar" => "application/x-tar",
        "toml" => "application/toml",
        "c" | "h" | "lock" | "log" | "py" | "rs" | "sh" | "sql" | "txt" | "" => "text/plain",
        "wasm" => "application/wasm",
        "xml" => "application/xml",
        "yaml" | "yml" => "application/yaml",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}
