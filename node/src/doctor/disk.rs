//! Room on the disk, and how long a sync takes: every append waits for one.

use super::{Check, Patient};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Below this many free bytes nothing is appended.
const NO_ROOM_BYTES: u64 = 48 << 20;
/// Below this many somebody should make room.
const LITTLE_ROOM_BYTES: u64 = 1 << 30;
/// Syncs that are timed; their median counts.
const SYNCS: usize = 5;
/// A sync that takes longer makes every append slow.
const SLOW: Duration = Duration::from_millis(50);
/// Bytes that each of them writes: as a small commit does.
const PROBE_BYTES: usize = 4_096;

pub(super) fn checks(patient: &Patient<'_>, may_write: bool) -> Vec<Check> {
    vec![room(patient), sync(patient.layout.dir(), may_write)]
}

fn room(patient: &Patient<'_>) -> Check {
    const NAME: &str = "disk.room";
    let dir = patient.layout.dir();
    match patient.disk.free_bytes(dir) {
        Err(error) => Check::fail(NAME, format!("{}: {error}", dir.display()))
            .remedy("the data directory must be on a disk that can be read and written"),
        Ok(free) => {
            let seen = format!("{} MiB are free", free >> 20);
            let remedy = "make room, or move the data directory to a larger disk; nothing is appended below 48 MiB";
            match free {
                0..NO_ROOM_BYTES => Check::fail(NAME, seen).remedy(remedy),
                NO_ROOM_BYTES..LITTLE_ROOM_BYTES => Check::warn(NAME, seen).remedy(remedy),
                _ => Check::pass(NAME, seen),
            }
        }
    }
}

fn sync(dir: &Path, may_write: bool) -> Check {
    const NAME: &str = "disk.sync";
    if !may_write {
        return Check::unknown(NAME, "timing a sync writes a file, which --dry-run forbids");
    }
    let file = dir.join(format!("doctor-{}.tmp", std::process::id()));
    let timed = times(&file);
    let removed = fs::remove_file(&file);
    match timed.and_then(|times| removed.map(|()| times)) {
        Err(error) => Check::fail(NAME, format!("cannot write in {}: {error}", dir.display()))
            .remedy("the data directory must be writable by this user, on a disk that is neither full nor read-only"),
        Ok(mut times) => {
            times.sort();
            let median = times.get(SYNCS / 2).copied().unwrap_or_default();
            let seen = format!("a sync takes {}.{:02} ms", median.as_millis(), median.as_micros() % 1_000 / 10);
            match median > SLOW {
                false => Check::pass(NAME, seen),
                true => Check::warn(NAME, seen)
                    .remedy("every append waits for one or two of them: look for what else uses this disk, or take a faster one"),
            }
        }
    }
}

fn times(path: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = File::create_new(path)?;
    (0..SYNCS)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[0; PROBE_BYTES])?;
            file.sync_data()?;
            Ok(began.elapsed())
        })
        .collect()
}
