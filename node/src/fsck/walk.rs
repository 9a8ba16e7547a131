//! The walk over all entries: hashes, tiles, head, digests. One bundle in memory at a time.

use super::Report;
use super::day::DayWalk;
use super::levels::Levels;
use super::promises::Promised;
use crate::disk::Disk;
use crate::store::{Reader, TileRoot};
use belfry_protocol::cert::LogVerifiers;
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::store::StoreError;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::compact::Node;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH, Tile};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads and verifies all kept digests; returns their roots by size.
pub(super) fn digests(
    reader: &Reader,
    log_keys: &LogVerifiers,
    report: &mut Report,
) -> BTreeMap<u64, Hash> {
    let mut roots = BTreeMap::new();
    let rows = match reader.digests() {
        Ok(rows) => rows,
        Err(error) => {
            report.problem("ledger.db, digest", error.to_string());
            return roots;
        }
    };
    for (size, note) in rows {
        let checked = SignedNote::parse(note.as_bytes())
            .map_err(|error| error.to_string())
            .and_then(|note| log_keys.open(&note).map_err(|error| error.to_string()));
        match checked {
            Ok(checkpoint) if checkpoint.size == size => {
                report.digests += 1;
                roots.insert(size, checkpoint.root);
            }
            Ok(checkpoint) => {
                report.problem(
                    format!("digest {size}"),
                    format!("it is for size {}", checkpoint.size),
                );
            }
            Err(error) => report.problem(format!("digest {size}"), error),
        }
    }
    roots
}

struct Walk<'a> {
    reader: &'a Reader,
    levels: Levels<'a>,
    day: DayWalk,
}

/// Hashes every entry and compares everything that follows from it.
pub(super) fn entries(
    reader: &Reader,
    head: &Head,
    digests: &BTreeMap<u64, Hash>,
    promised: &mut Promised<'_>,
    report: &mut Report,
    mut progress: impl FnMut(u64),
) -> Result<(), StoreError> {
    let mut walk = Walk {
        reader,
        levels: Levels::new(reader.own(), String::new()),
        day: DayWalk::default(),
    };
    let size = head.size();
    for index in 0..size.div_ceil(TILE_WIDTH) {
        let (Some(wanted), Some(tile)) =
            (Bundle::of_tree(index, size), Tile::of_tree(0, index, size))
        else {
            break;
        };
        let stored = match reader.tile(tile) {
            Ok(stored) => Some(stored),
            Err(error) => {
                report.problem(tile.path(), error.to_string());
                None
            }
        };
        let bytes = match reader.bundle(wanted) {
            Ok(bytes) => bytes,
            Err(error) => {
                report.problem(wanted.path(), error.to_string());
                // Go on with the stored hashes, so that later damage is found too.
                for leaf in stored.unwrap_or_default() {
                    walk.push(leaf, digests, report);
                }
                continue;
            }
        };
        for (position, entry) in bundle::entries(&bytes).flatten().enumerate() {
            let at = index * TILE_WIDTH + position as u64;
            let leaf = leaf_hash(entry);
            if let Some(expected) = stored.as_ref().and_then(|stored| stored.get(position))
                && *expected != leaf
            {
                report.problem(
                    format!("entry {at}"),
                    format!("it does not match its hash in {}", tile.path()),
                );
            }
            match Leaf::parse(entry) {
                Ok(parsed) => {
                    if let (Content::Body(body), "day.digest", None) =
                        (&parsed.content, parsed.kind.as_str(), &parsed.scrub)
                    {
                        walk.day.close(at, body, report);
                    }
                    promised.leaf(reader, at, &parsed, report);
                }
                Err(error) => report.problem(format!("entry {at}"), error.to_string()),
            }
            walk.push(leaf, digests, report);
            report.entries += 1;
        }
        progress(walk.levels.edge.end());
    }
    walk.finish(head, report);
    Ok(())
}

impl Walk<'_> {
    fn push(&mut self, leaf: Hash, digests: &BTreeMap<u64, Hash>, report: &mut Report) {
        let day_start = self.day.range.start();
        let mut of_today = Node {
            height: 0,
            index: self.levels.edge.end(),
            hash: leaf,
        };
        self.levels.push(leaf, report, |node| {
            if node.start() >= day_start {
                of_today = *node;
            }
        });
        self.day.range.absorb(of_today);
        let size = self.levels.edge.end();
        if let Some(root) = digests.get(&size)
            && *root != self.levels.edge.root()
        {
            report.problem(
                format!("digest {size}"),
                format!("the entries have root {}", self.levels.edge.root()),
            );
        }
    }

    fn finish(&self, head: &Head, report: &mut Report) {
        let size = self.levels.edge.end();
        self.levels.finish(report);
        if let Some(newest) = head.signed.filter(|signed| *signed > size) {
            report.problem(
                "ledger.db, head",
                format!("a digest of size {newest} was signed and there are {size} entries"),
            );
        }
        if self.levels.edge != head.edge {
            report.problem(
                "ledger.db, head",
                "the right edge is not what the entries hash to",
            );
        }
        if self.day.range != head.today {
            report.problem(
                "ledger.db, head",
                "today's range is not what the entries hash to",
            );
        }
        match self.reader.newest_digest() {
            Ok(newest) if newest.as_ref().map(|(size, _)| *size) != head.signed => {
                report.problem(
                    "ledger.db, head",
                    "the newest digest is not the one the head names",
                );
            }
            _ => {}
        }
    }
}

/// Files of a ledger of `size` entries that it does not account for: a rolled-back database, or somebody else's files.
pub(super) fn stray_files(disk: &dyn Disk, root: &TileRoot, size: u64, report: &mut Report) {
    let mut open = vec![root.dir().to_path_buf()];
    while let Some(dir) = open.pop() {
        // A file is nothing that can be listed.
        let Ok(items) = disk.list(&dir) else {
            continue;
        };
        for path in items {
            if disk.list(&path).is_ok() {
                if path != root.tmp() {
                    open.push(path);
                }
                continue;
            }
            if !is_accounted_for(root.dir(), &path, size) {
                report.problem(
                    path.display().to_string(),
                    "no entry of the ledger belongs to this file",
                );
            }
        }
    }
}

fn is_accounted_for(root: &Path, path: &Path, size: u64) -> bool {
    use belfry_protocol::tlog::tile::{Resource, parse_path, width_of};
    let name = path.strip_prefix(root).ok().and_then(Path::to_str);
    match name.and_then(parse_path) {
        Some(Resource::Tile(tile)) => width_of(tile.level, tile.index, size) >= tile.width,
        Some(Resource::Entries(bundle)) => width_of(0, bundle.index, size) >= bundle.width,
        None => false,
    }
}
