//! Names of files and directories: what is seen, what is durable, and the changes between the two. A name is durable when
//! its directory was synced, whatever happened to the file.

use super::faults::Unsynced;
use crate::streams::Stream;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Dir,
    File(u64),
}

#[derive(Clone, Debug)]
enum Change {
    Make(PathBuf, Entry),
    Remove(PathBuf),
    /// One change: nobody ever sees both names or none.
    Rename(PathBuf, PathBuf, Entry),
}

impl Change {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Make(path, _) | Self::Remove(path) => path.parent() == Some(dir),
            Self::Rename(from, to, _) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            Self::Make(path, entry) => drop(names.insert(path.clone(), *entry)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to, entry) => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
        }
    }
}

/// The names of a disk, without its root's.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    pending: Vec<Change>,
}

impl Names {
    /// Names that are durable as they are.
    pub(super) fn durable(names: BTreeMap<PathBuf, Entry>) -> Self {
        Self {
            now: names.clone(),
            durable: names,
            pending: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> &BTreeMap<PathBuf, Entry> {
        &self.now
    }

    pub(super) fn get(&self, path: &Path) -> Option<Entry> {
        self.now.get(path).copied()
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    pub(super) fn make(&mut self, path: &Path, entry: Entry) {
        self.change(Change::Make(path.to_owned(), entry));
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.change(Change::Remove(path.to_owned()));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, entry: Entry) {
        self.change(Change::Rename(from.to_owned(), to.to_owned(), entry));
    }

    /// The names in a directory are durable as they are. Says whether one of them went away.
    pub(super) fn sync(&mut self, dir: &Path) -> bool {
        let (durable, mut gone) = (&mut self.durable, false);
        self.pending.retain(|change| {
            let here = change.is_in(dir);
            if here {
                change.apply(durable);
                gone |= !matches!(change, Change::Make(..));
            }
            !here
        });
        gone
    }

    /// Whether some name, seen, durable or on its way, is this file's.
    pub(super) fn hold(&self, file: u64) -> bool {
        let is = |entry: &Entry| *entry == Entry::File(file);
        let changed = |change: &Change| match change {
            Change::Make(_, entry) | Change::Rename(_, _, entry) => is(entry),
            Change::Remove(_) => false,
        };
        self.now.values().any(is)
            || self.durable.values().any(is)
            || self.pending.iter().any(changed)
    }

    /// The power fails. Names whose directory is gone are gone with it.
    pub(super) fn crash(&mut self, root: &Path, mode: Unsynced, rng: &mut Stream) {
        let changes = std::mem::take(&mut self.pending);
        let upto = match mode {
            Unsynced::Lost => 0,
            Unsynced::Kept => changes.len(),
            _ => rng.index(changes.len() + 1),
        };
        for (at, change) in changes.iter().enumerate() {
            let keep = match mode {
                Unsynced::Subset | Unsynced::Reordered => rng.one_in(2),
                _ => at < upto,
            };
            if keep {
                change.apply(&mut self.durable);
            }
        }
        let mut left: BTreeMap<PathBuf, Entry> = BTreeMap::new();
        // Directories sort before what is in them.
        for (path, entry) in std::mem::take(&mut self.durable) {
            let above = path.parent();
            if above == Some(root) || above.is_some_and(|dir| left.get(dir) == Some(&Entry::Dir)) {
                left.insert(path, entry);
            }
        }
        *self = Self::durable(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        Path::new("/d").join(name)
    }

    #[test]
    fn a_name_is_durable_once_every_directory_above_it_was_synced() {
        let mut names = Names::default();
        names.make(&path("a"), Entry::Dir);
        names.make(&path("a/f"), Entry::File(1));
        names.sync(&path("a"));
        let lost = |mut names: Names| {
            names.crash(
                Path::new("/d"),
                Unsynced::Lost,
                &mut Stream::new(1, "test", 0),
            );
            names.now
        };
        assert!(lost(names.clone()).is_empty());
        names.sync(Path::new("/d"));
        assert_eq!(lost(names).len(), 2);
    }

    #[test]
    fn a_rename_leaves_one_of_the_two_names() {
        for mode in Unsynced::ALL {
            for seed in 0..40 {
                let old =
                    BTreeMap::from([(path("new"), Entry::File(1)), (path("old"), Entry::File(2))]);
                let mut names = Names::durable(old);
                names.rename(&path("new"), &path("old"), Entry::File(1));
                names.crash(Path::new("/d"), mode, &mut Stream::new(seed, "test", 0));
                let left = names.get(&path("old"));
                let moved = names.get(&path("new")).is_none();
                assert_eq!(
                    left,
                    Some(Entry::File(if moved { 1 } else { 2 })),
                    "{mode:?}"
                );
            }
        }
    }
}
