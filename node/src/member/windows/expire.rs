//! Which files of windows go, and when: the entry keeps the hash for ever, the acks themselves only for a while, so that the
//! disk does not fill up. The oldest go first, whatever is in them. May not touch a ledger.

use crate::store::Layout;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// No file goes before this age because others take too much room: its entry may be on its way, and auditors fetch the last
/// hours. In this time no more than 24 files of 160 MiB can come with the default interval.
const SAFE: Duration = Duration::from_secs(86_400);

/// How long files of windows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age above which a file goes.
    pub age: Duration,
    /// Bytes of all files above which the oldest go.
    pub bytes: u64,
}

struct Kept {
    path: PathBuf,
    age: Duration,
    bytes: u64,
}

/// Removes what is too old or too much, and returns how many files that were.
pub(super) fn expire(layout: &Layout, retention: Retention, now: SystemTime) -> io::Result<u64> {
    let mut kept = Vec::new();
    for item in std::fs::read_dir(layout.windows())?.flatten() {
        let Ok(file) = item.metadata() else { continue };
        // A clock that was set back makes no file old.
        let age = file
            .modified()
            .ok()
            .and_then(|at| now.duration_since(at).ok());
        kept.push(Kept {
            path: item.path(),
            age: age.unwrap_or_default(),
            bytes: file.len(),
        });
    }
    kept.sort_by(|one, other| (other.age, &other.path).cmp(&(one.age, &one.path)));
    let mut all: u64 = kept.iter().map(|one| one.bytes).sum();
    let mut gone = 0;
    for one in kept {
        let too_much = all > retention.bytes && one.age > SAFE;
        if one.age <= retention.age && !too_much {
            break;
        }
        std::fs::remove_file(&one.path)?;
        all -= one.bytes;
        gone += 1;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const DAY: Duration = Duration::from_secs(86_400);

    fn left(layout: &Layout) -> Vec<String> {
        let items = std::fs::read_dir(layout.windows()).unwrap().flatten();
        let mut names: Vec<String> = items
            .map(|item| item.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_go_first_and_nothing_of_today() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        std::fs::create_dir_all(layout.windows()).unwrap();
        let now = SystemTime::now();
        for (name, days) in [("a", 100), ("b", 50), ("c", 10), ("d", 0)] {
            let path = layout.windows().join(name);
            std::fs::write(&path, [0; 100]).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(now - DAY * days).unwrap();
        }
        let keep = |days: u32, bytes| Retention {
            age: DAY * days,
            bytes,
        };
        assert_eq!(expire(&layout, keep(400, 400), now).unwrap(), 0);
        assert_eq!(expire(&layout, keep(90, 400), now).unwrap(), 1);
        assert_eq!(left(&layout), ["b", "c", "d"]);
        assert_eq!(expire(&layout, keep(90, 299), now).unwrap(), 1);
        assert_eq!(left(&layout), ["c", "d"]);
        // What is of today stays, whatever it takes; and a clock that was wrong makes nothing old.
        assert_eq!(expire(&layout, keep(90, 0), now - DAY * 20).unwrap(), 0);
        assert_eq!(expire(&layout, keep(90, 0), now).unwrap(), 1);
        assert_eq!(left(&layout), ["d"]);
    }
}
