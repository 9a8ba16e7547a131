//! A disk behind its lock: names, files, and the one place where operations are counted and faults happen.

use super::faults::{Counts, Faults, Unsynced};
use super::file::File;
use super::names::{Entry, Names};
use crate::streams::Stream;
use crate::vfs::{Locks, SharedMemory};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Weak;

/// Bytes that fit if nobody said otherwise: more than any simulation writes.
const CAPACITY: u64 = 1 << 40;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskError {
    /// The power failed, or it is a handle from before.
    Dead,
    /// There is no such name.
    NotFound,
    /// It is a directory where a file is wanted, or the other way round.
    WrongKind,
    /// No room.
    Full,
    /// It could not be read.
    Read,
    /// It could not be made durable.
    Sync,
}

type Result<T> = std::result::Result<T, DiskError>;

/// What a disk holds.
#[derive(Clone)]
pub(super) struct Image(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Image {
    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        let files = self.0.iter();
        files
            .filter_map(|(path, content)| Some((path.clone(), content.as_ref()?.len() as u64)))
            .collect()
    }

    /// The same below another root.
    pub(super) fn moved(&self, from: &Path, to: &Path) -> Self {
        let files = self.0.iter();
        let moved = files.map(|(path, content)| {
            let name = path.strip_prefix(from).unwrap_or(path);
            (to.join(name), content.clone())
        });
        Self(moved.collect())
    }

    pub(super) fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for (path, content) in &self.0 {
            take(path.as_os_str().as_encoded_bytes());
            take(&[0, u8::from(content.is_some())]);
            let content = content.as_deref().unwrap_or_default();
            take(&(content.len() as u64).to_le_bytes());
            take(content);
        }
        hash
    }
}

/// See the module.
pub(crate) struct State {
    root: PathBuf,
    names: Names,
    files: BTreeMap<u64, File>,
    next: u64,
    used: u64,
    /// Goes up whenever all handles become worthless.
    epoch: u64,
    faults: Faults,
    /// The counts when the faults were set.
    since: Counts,
    lies: Stream,
    crashes: Stream,
    flips: Stream,
    pub(crate) dead: bool,
    /// Whoever looks is no process: see [`super::SimDisk::calmly`].
    pub(super) calm: bool,
    pub(crate) capacity: u64,
    pub(crate) counts: Counts,
    /// Locks of SQLite's, by file.
    pub(crate) locks: BTreeMap<u64, Locks>,
    /// Memory that SQLite's handles of one file share.
    pub(crate) memory: BTreeMap<u64, Weak<SharedMemory>>,
}

impl State {
    pub(super) fn new(root: &Path, seed: u64) -> Self {
        Self {
            root: root.to_owned(),
            names: Names::default(),
            files: BTreeMap::new(),
            next: 0,
            used: 0,
            epoch: 0,
            faults: Faults::default(),
            since: Counts::default(),
            lies: Stream::new(seed, "lying syncs", 0),
            crashes: Stream::new(seed, "crashes", 0),
            flips: Stream::new(seed, "flipped bits", 0),
            dead: false,
            calm: false,
            capacity: CAPACITY,
            counts: Counts::default(),
            locks: BTreeMap::new(),
            memory: BTreeMap::new(),
        }
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
        self.since = self.counts;
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A number that no other file and no other handle has.
    pub(crate) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Whether a handle of that epoch is worth anything.
    pub(crate) fn alive(&self, epoch: u64) -> Result<()> {
        if self.dead || epoch != self.epoch {
            return Err(DiskError::Dead);
        }
        Ok(())
    }

    /// Before every operation: the power may fail here.
    fn op(&mut self) -> Result<()> {
        if self.dead {
            return Err(DiskError::Dead);
        }
        if self.calm {
            return Ok(());
        }
        if self.faults.die_at_op == Some(self.counts.ops - self.since.ops) {
            self.dead = true;
            return Err(DiskError::Dead);
        }
        self.counts.ops += 1;
        Ok(())
    }

    fn failed<T>(&mut self, error: DiskError) -> Result<T> {
        self.counts.failed += 1;
        Err(error)
    }

    pub(crate) fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }

    fn file(&mut self, id: u64) -> Result<&mut File> {
        self.files.get_mut(&id).ok_or(DiskError::NotFound)
    }

    pub(crate) fn find(&self, path: &Path) -> Result<u64> {
        match self.names.get(path) {
            Some(Entry::File(id)) => Ok(id),
            Some(Entry::Dir) => Err(DiskError::WrongKind),
            None => Err(DiskError::NotFound),
        }
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        !self.dead && (path == self.root || self.names.get(path).is_some())
    }

    /// A file's number; made if it is not there and `create` says so. Its directory must be there.
    pub(crate) fn open(&mut self, path: &Path, create: bool) -> Result<u64> {
        self.op()?;
        match self.find(path) {
            Err(DiskError::NotFound) if create => {}
            other => return other,
        }
        let above = path.parent().ok_or(DiskError::NotFound)?;
        if above != self.root && self.names.get(above) != Some(Entry::Dir) {
            return Err(DiskError::NotFound);
        }
        let id = self.anonymous();
        self.names.make(path, Entry::File(id));
        Ok(id)
    }

    /// A file without a name.
    pub(crate) fn anonymous(&mut self) -> u64 {
        let id = self.fresh();
        self.files.insert(id, File::default());
        id
    }

    /// Counts a handle of a file.
    pub(crate) fn hold(&mut self, id: u64) {
        if let Ok(file) = self.file(id) {
            file.open += 1;
        }
    }

    /// A handle is gone; a file without names goes with its last one.
    pub(crate) fn release(&mut self, id: u64) {
        if let Ok(file) = self.file(id) {
            file.open = file.open.saturating_sub(1);
        }
        self.collect(id);
    }

    fn collect(&mut self, id: u64) {
        if self.files.get(&id).is_some_and(|file| file.open == 0) && !self.names.hold(id) {
            self.used -= self.files.remove(&id).map_or(0, |file| file.len());
        }
    }

    pub(crate) fn len(&self, id: u64) -> Result<u64> {
        self.files
            .get(&id)
            .map(File::len)
            .ok_or(DiskError::NotFound)
    }

    /// Up to `most` bytes from `at` on.
    pub(crate) fn read(&mut self, id: u64, at: u64, most: usize) -> Result<&[u8]> {
        self.op()?;
        if !self.calm {
            let number = self.counts.reads - self.since.reads;
            self.counts.reads += 1;
            if self.faults.fail_read == Some(number) {
                return self.failed(DiskError::Read);
            }
        }
        let content = self.files.get(&id).ok_or(DiskError::NotFound)?.content();
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        let to = content.len().min(from.saturating_add(most));
        Ok(&content[from..to])
    }

    /// A whole file. It may come short, which SQLite's own reading never does: it reads on.
    pub(super) fn read_whole(&mut self, id: u64) -> Result<Vec<u8>> {
        let number = self.counts.reads - self.since.reads;
        let mut content = self.read(id, 0, usize::MAX)?.to_vec();
        if self.faults.short_read == Some(number) {
            self.counts.failed += 1;
            content.truncate(content.len() / 2);
        }
        Ok(content)
    }

    /// Whether these bytes are stored somewhere, durable or not, named or not.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        self.files.values().any(|file| file.holds(bytes))
    }

    /// Counts a write that makes a file `grow` bytes longer.
    fn before_write(&mut self, grow: u64) -> Result<()> {
        self.op()?;
        if self.calm {
            self.used += grow;
            return Ok(());
        }
        let number = self.counts.writes - self.since.writes;
        self.counts.writes += 1;
        let full = self.faults.full_at_write.is_some_and(|from| number >= from);
        if full || grow > self.free() {
            return self.failed(DiskError::Full);
        }
        self.used += grow;
        Ok(())
    }

    pub(crate) fn write(&mut self, id: u64, at: u64, bytes: &[u8]) -> Result<()> {
        let end = at.saturating_add(bytes.len() as u64);
        let grow = end.saturating_sub(self.len(id)?);
        self.before_write(grow)?;
        self.file(id)?.write(at, bytes);
        Ok(())
    }

    pub(crate) fn resize(&mut self, id: u64, len: u64) -> Result<()> {
        let before = self.len(id)?;
        self.before_write(len.saturating_sub(before))?;
        self.used -= before.saturating_sub(len);
        self.file(id)?.resize(len);
        Ok(())
    }

    /// Whether a sync does something, lies, or fails.
    fn before_sync(&mut self) -> Result<bool> {
        self.op()?;
        if self.calm {
            return Ok(true);
        }
        let number = self.counts.syncs - self.since.syncs;
        self.counts.syncs += 1;
        if self.faults.fail_sync == Some(number) {
            return self.failed(DiskError::Sync);
        }
        let lies = self.lies.one_in(self.faults.lying_syncs_one_in);
        self.counts.lied += u64::from(lies);
        Ok(!lies)
    }

    pub(crate) fn sync(&mut self, id: u64) -> Result<()> {
        match self.before_sync() {
            Ok(true) => self.file(id)?.sync(),
            Ok(false) => {}
            Err(error) => {
                if error == DiskError::Sync {
                    self.file(id)?.fail_sync();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) fn sync_dir(&mut self, dir: &Path) -> Result<()> {
        if dir != self.root && self.names.get(dir) != Some(Entry::Dir) {
            return Err(DiskError::NotFound);
        }
        if self.before_sync()? && self.names.sync(dir) {
            let ids: Vec<u64> = self.files.keys().copied().collect();
            for id in ids {
                self.collect(id);
            }
        }
        Ok(())
    }

    /// Makes a directory and those above it.
    pub(crate) fn make_dirs(&mut self, dir: &Path) -> Result<()> {
        if dir == self.root {
            return Ok(());
        }
        match self.names.get(dir) {
            Some(Entry::Dir) => return Ok(()),
            Some(Entry::File(_)) => return Err(DiskError::WrongKind),
            None => {}
        }
        self.make_dirs(dir.parent().ok_or(DiskError::NotFound)?)?;
        self.op()?;
        self.names.make(dir, Entry::Dir);
        Ok(())
    }

    pub(crate) fn remove(&mut self, path: &Path) -> Result<()> {
        let id = self.find(path)?;
        self.op()?;
        self.names.remove(path);
        self.collect(id);
        Ok(())
    }

    /// Files alone: nobody here renames directories.
    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> Result<()> {
        let id = self.find(from)?;
        let replaced = match self.find(to) {
            Err(DiskError::NotFound) => None,
            other => Some(other?),
        };
        let above = to.parent().ok_or(DiskError::NotFound)?;
        if above != self.root && self.names.get(above) != Some(Entry::Dir) {
            return Err(DiskError::NotFound);
        }
        self.op()?;
        self.names.rename(from, to, Entry::File(id));
        replaced.into_iter().for_each(|id| self.collect(id));
        Ok(())
    }

    /// What is in a directory.
    pub(crate) fn list(&mut self, dir: &Path) -> Result<Vec<PathBuf>> {
        if dir != self.root {
            match self.names.get(dir) {
                Some(Entry::Dir) => {}
                Some(Entry::File(_)) => return Err(DiskError::WrongKind),
                None => return Err(DiskError::NotFound),
            }
        }
        self.op()?;
        let inside = self.names.now().keys();
        Ok(inside
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect())
    }

    pub(super) fn remove_dir(&mut self, dir: &Path) -> Result<()> {
        if self.names.get(dir) != Some(Entry::Dir) {
            return Err(DiskError::NotFound);
        }
        self.op()?;
        let inside = self.names.now().iter();
        let gone: Vec<(PathBuf, Entry)> = inside
            .filter(|(path, _)| path.starts_with(dir))
            .map(|(path, entry)| (path.clone(), *entry))
            .collect();
        // What is in a directory goes before it.
        for (path, entry) in gone.into_iter().rev() {
            self.names.remove(&path);
            if let Entry::File(id) = entry {
                self.collect(id);
            }
        }
        Ok(())
    }

    pub(super) fn unsynced(&self) -> usize {
        self.files.values().map(File::unsynced).sum()
    }

    /// All handles are worthless from now on.
    fn end_epoch(&mut self) {
        self.epoch += 1;
        self.dead = false;
        self.faults = Faults::default();
        self.locks.clear();
        self.memory.clear();
        for file in self.files.values_mut() {
            file.open = 0;
        }
        let named = &self.names;
        self.files.retain(|id, _| named.hold(*id));
        self.used = self.files.values().map(File::len).sum();
    }

    pub(super) fn crash(&mut self, mode: Option<Unsynced>) -> Unsynced {
        let drawn = Unsynced::ALL[self.crashes.index(Unsynced::ALL.len())];
        let mode = mode.unwrap_or(drawn);
        self.counts.crashes += 1;
        self.names.crash(&self.root, mode, &mut self.crashes);
        for file in self.files.values_mut() {
            let changes = file.unsynced();
            let kept = file.crash(mode, &mut self.crashes);
            self.counts.lost += (changes - kept) as u64;
        }
        self.end_epoch();
        mode
    }

    pub(super) fn restart(&mut self) {
        self.end_epoch();
    }

    pub(super) fn image(&self) -> Image {
        let names = self.names.now().iter();
        let content = |entry: &Entry| match entry {
            Entry::Dir => None,
            Entry::File(id) => self.files.get(id).map(|file| file.content().to_vec()),
        };
        Image(
            names
                .map(|(path, entry)| (path.clone(), content(entry)))
                .collect(),
        )
    }

    pub(super) fn restore(&mut self, image: &Image, chosen: impl Fn(&Path) -> bool) {
        let mut whole = self.image();
        whole.0.retain(|path, _| !chosen(path));
        let back = image.0.iter().filter(|(path, _)| chosen(path));
        whole
            .0
            .extend(back.map(|(path, content)| (path.clone(), content.clone())));
        let (mut names, mut files) = (BTreeMap::new(), BTreeMap::new());
        for (path, content) in whole.0 {
            let entry = match content {
                None => Entry::Dir,
                Some(content) => {
                    let id = self.fresh();
                    files.insert(id, File::durable(content));
                    Entry::File(id)
                }
            };
            names.insert(path, entry);
        }
        self.names = Names::durable(names);
        self.files = files;
        self.end_epoch();
    }

    pub(super) fn flip(&mut self, path: &Path, byte: u64, bit: u8) -> bool {
        let Ok(file) = self.find(path).and_then(|id| self.file(id)) else {
            return false;
        };
        file.flip(byte, bit);
        byte < file.len()
    }

    pub(super) fn flip_somewhere(&mut self, path: &Path) -> Option<(u64, u8)> {
        let id = self.find(path).ok()?;
        let len = self.len(id).ok().filter(|len| *len > 0)?;
        let byte = self.flips.below(len);
        let bit = u8::try_from(self.flips.below(8)).unwrap_or(0);
        self.flip(path, byte, bit).then_some((byte, bit))
    }
}
