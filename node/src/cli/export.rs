//! `belfry ledger export`: the ledger as others can verify it. Full tiles are hard-linked, the checkpoint comes last, so
//! an interrupted export is never mistaken for a whole one.

mod remote;

use super::args::{ExportArgs, ExportFormat};
use super::context::Context;
use crate::exit::{Code, Failure};
use crate::store::{Layout, Reader};
use belfry_protocol::note::VerifierKey;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, MAX_TILE_LEVEL, TILE_WIDTH, Tile, hashes_at};
use indicatif::ProgressBar;
use serde_json::json;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) fn run(context: &Context, args: &ExportArgs) -> Result<(), Failure> {
    if let Some(from) = &args.from {
        return remote::run(context, args, from);
    }
    let reader = context.reader()?;
    let (size, note) = reader.newest_digest()?.ok_or_else(|| {
        Failure::new(Code::Failed, "there is no signed digest to export")
            .hint("an unfounded node signs nothing")
    })?;
    if context.global.dry_run {
        let text = format!("would export {size} entries to {}", args.to.display());
        return context
            .out
            .result(&text, &json!({ "dry_run": true, "size": size }));
    }
    let bar = context.out.progress(Some(size), "entries");
    let format = match args.format {
        ExportFormat::Tiles => {
            tiles(&reader, size, &args.to, &bar)?;
            write(
                &args.to.join("log.vkey"),
                format!("{}\n", log_key(context, size)?).as_bytes(),
            )?;
            write(&args.to.join("checkpoint"), note.as_bytes())?;
            "tiles"
        }
        ExportFormat::Ndjson => {
            lines(&reader, size, &args.to, &bar)?;
            "ndjson"
        }
    };
    bar.finish_and_clear();
    context.out.result(
        &format!("exported {size} entries to {}", args.to.display()),
        &json!({ "size": size, "to": args.to, "format": format }),
    )?;
    if args.format == ExportFormat::Tiles {
        context.out.say(format!(
            "next: belfry audit verify {} --key log.vkey",
            args.to.display()
        ));
    }
    Ok(())
}

fn tiles(reader: &Reader, size: u64, to: &Path, bar: &ProgressBar) -> Result<(), Failure> {
    let checkpoint = to.join("checkpoint");
    if checkpoint.exists() {
        // A newer export over an older one: no moment at which the old checkpoint stands beside new tiles alone.
        fs::remove_file(&checkpoint)?;
    }
    let layout = reader.layout();
    for index in 0..size.div_ceil(TILE_WIDTH) {
        let Some(wanted) = Bundle::of_tree(index, size) else {
            break;
        };
        if !(wanted.is_full() && link(layout, &layout.bundle(wanted), &wanted.path(), to)?) {
            write(&to.join(wanted.path()), &reader.bundle(wanted)?)?;
        }
        bar.set_position(index * TILE_WIDTH + u64::from(wanted.width));
    }
    for level in 0..=MAX_TILE_LEVEL {
        for index in 0..hashes_at(level, size).div_ceil(TILE_WIDTH) {
            let Some(tile) = Tile::of_tree(level, index, size) else {
                break;
            };
            if !(tile.is_full() && link(layout, &layout.tile(tile), &tile.path(), to)?) {
                let bytes: Vec<u8> = reader.tile(tile)?.iter().flat_map(|hash| hash.0).collect();
                write(&to.join(tile.path()), &bytes)?;
            }
        }
    }
    Ok(())
}

/// Hard-links a full file, or copies it to another file system; `false` if it is not in a file yet. Never writes through
/// a name that is there: it may be a link to the ledger's own tile.
fn link(layout: &Layout, file: &Path, name: &str, to: &Path) -> Result<bool, Failure> {
    debug_assert!(file.starts_with(layout.tiles()));
    let target = to.join(name);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::hard_link(file, &target) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => same_content(file, &target),
        // Another file system, or one without links.
        Err(_) => {
            write(&target, &fs::read(file)?)?;
            Ok(true)
        }
    }
}

/// What an earlier export left must be what this one would write.
fn same_content(file: &Path, target: &Path) -> Result<bool, Failure> {
    let (ours, theirs) = (fs::metadata(file)?, fs::metadata(target)?);
    let linked = (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino());
    if linked || fs::read(file)? == fs::read(target)? {
        return Ok(true);
    }
    Err(Failure::new(
        Code::Failed,
        format!("{} exists and has other content", target.display()),
    )
    .hint("it is damaged, or of another ledger; export to a new directory"))
}

fn lines(reader: &Reader, size: u64, to: &Path, bar: &ProgressBar) -> Result<(), Failure> {
    if to.exists() {
        return Err(
            Failure::new(Code::Failed, format!("{} exists", to.display())).hint("name a new file"),
        );
    }
    let temporary = to.with_extension(format!("tmp-{}", std::process::id()));
    let file = fs::File::create(&temporary).map_err(|error| {
        Failure::new(Code::Io, format!("cannot write {}: {error}", to.display()))
    })?;
    let mut out = std::io::BufWriter::new(file);
    for index in 0..size.div_ceil(TILE_WIDTH) {
        let Some(wanted) = Bundle::of_tree(index, size) else {
            break;
        };
        let bytes = reader.bundle(wanted)?;
        for (at, entry) in (index * TILE_WIDTH..).zip(bundle::entries(&bytes).flatten()) {
            out.write_all(format!("{{\"index\":{at},\"entry\":").as_bytes())?;
            out.write_all(entry)?;
            out.write_all(b"}\n")?;
        }
        bar.set_position(index * TILE_WIDTH + u64::from(wanted.width));
    }
    out.flush()?;
    Ok(fs::rename(&temporary, to)?)
}

/// Writes beside the name and renames, so that the name never shows half a file.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(
            Code::Io,
            format!("cannot write {}: {error}", path.display()),
        )
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(cannot)?;
    }
    let temporary = path.with_extension(format!("tmp-{}", std::process::id()));
    fs::write(&temporary, bytes).map_err(cannot)?;
    fs::rename(&temporary, path).map_err(cannot)
}

/// The key that the digest of `size` entries verifies under.
fn log_key(context: &Context, size: u64) -> Result<VerifierKey, Failure> {
    let keys = context.log_verifiers()?;
    keys.for_size(size).cloned().ok_or_else(|| {
        Failure::new(
            Code::KeyUnavailable,
            format!("no certificate covers a digest of {size} entries"),
        )
    })
}
