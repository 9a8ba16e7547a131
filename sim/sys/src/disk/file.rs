//! One file: what readers see, what is durable, and the changes between the two.

use super::faults::Unsynced;
use crate::streams::Stream;
use std::collections::BTreeMap;

/// What a disk writes whole or not at all, in bytes.
pub(super) const SECTOR: u64 = 512;

/// A change that no sync made durable yet.
#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Resize(u64),
}

/// One file.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Changes at the beginning of `pending` that a failed sync dropped: readers see them, and no later sync writes them.
    doomed: usize,
    /// Handles.
    pub(super) open: u32,
}

fn place(at: u64) -> usize {
    // A file in memory is never longer than memory.
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn write(image: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (start, end) = (place(at), place(at) + bytes.len());
    if image.len() < end {
        image.resize(end, 0);
    }
    image[start..end].copy_from_slice(bytes);
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes } => write(image, *at, bytes),
        Change::Resize(len) => image.resize(place(*len), 0),
    }
}

impl File {
    /// A file that is durable as it is.
    pub(super) fn durable(content: Vec<u8>) -> Self {
        Self {
            durable: content.clone(),
            content,
            ..Self::default()
        }
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn len(&self) -> u64 {
        self.content.len() as u64
    }

    /// Changes that a crash may take.
    pub(super) fn unsynced(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        write(&mut self.content, at, bytes);
        self.pending.push(Change::Write {
            at,
            bytes: bytes.to_vec(),
        });
    }

    pub(super) fn resize(&mut self, len: u64) {
        let change = Change::Resize(len);
        apply(&mut self.content, &change);
        self.pending.push(change);
    }

    /// Everything written so far is durable, but for what a failed sync dropped.
    pub(super) fn sync(&mut self) {
        for change in &self.pending[self.doomed..] {
            apply(&mut self.durable, change);
        }
        self.pending.clear();
        self.doomed = 0;
    }

    /// A sync that failed: as on Linux, what it should have written counts as clean from now on.
    pub(super) fn fail_sync(&mut self) {
        self.doomed = self.pending.len();
    }

    /// Whether these bytes are in what is seen or in what is durable.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        let holds = |image: &[u8]| image.windows(bytes.len().max(1)).any(|part| part == bytes);
        holds(&self.content) || holds(&self.durable)
    }

    /// Changes one bit where it is stored.
    pub(super) fn flip(&mut self, at: u64, bit: u8) {
        for image in [&mut self.content, &mut self.durable] {
            if let Some(byte) = image.get_mut(place(at)) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// The power fails. Returns how many changes were kept whole.
    pub(super) fn crash(&mut self, mode: Unsynced, rng: &mut Stream) -> usize {
        let changes = self.pending.split_off(self.doomed);
        self.pending.clear();
        self.doomed = 0;
        self.open = 0;
        let kept = keep(&mut self.durable, &changes, mode, rng);
        self.content.clone_from(&self.durable);
        kept
    }
}

fn keep(durable: &mut Vec<u8>, changes: &[Change], mode: Unsynced, rng: &mut Stream) -> usize {
    let mut kept = 0;
    let mut all = |durable: &mut Vec<u8>, changes: &[Change]| {
        for change in changes {
            apply(durable, change);
        }
        kept += changes.len();
    };
    match mode {
        Unsynced::Lost => {}
        Unsynced::Kept => all(durable, changes),
        Unsynced::Prefix => all(durable, &changes[..rng.index(changes.len() + 1)]),
        Unsynced::Subset => {
            for change in changes {
                if rng.one_in(2) {
                    all(durable, std::slice::from_ref(change));
                }
            }
        }
        Unsynced::Torn => {
            let whole = rng.index(changes.len() + 1);
            all(durable, &changes[..whole]);
            if let Some(Change::Write { at, bytes }) = changes.get(whole) {
                for (at, piece) in sectors(*at, bytes) {
                    if rng.one_in(2) {
                        write(durable, at, piece);
                    }
                }
            }
        }
        Unsynced::Reordered => reordered(durable, changes, rng),
    }
    kept
}

/// Every sector as of a moment of its own, and the length as of another: as a cache writes back what it likes when it
/// likes.
fn reordered(durable: &mut Vec<u8>, changes: &[Change], rng: &mut Stream) {
    let moments = changes.len() + 1;
    let mut len = durable.len() as u64;
    for change in &changes[..rng.index(moments)] {
        len = match change {
            Change::Write { at, bytes } => len.max(at + bytes.len() as u64),
            Change::Resize(len) => *len,
        };
    }
    let mut until: BTreeMap<u64, usize> = BTreeMap::new();
    for (moment, change) in changes.iter().enumerate() {
        match change {
            Change::Write { at, bytes } => {
                for (at, piece) in sectors(*at, bytes) {
                    let seen = until
                        .entry(at / SECTOR)
                        .or_insert_with(|| rng.index(moments));
                    if moment < *seen {
                        write(durable, at, piece);
                    }
                }
            }
            // What was cut off reads as zeros when the file grows again.
            Change::Resize(len) => {
                for sector in *len / SECTOR..(durable.len() as u64).div_ceil(SECTOR) {
                    let seen = until.entry(sector).or_insert_with(|| rng.index(moments));
                    if moment < *seen {
                        let start = place((sector * SECTOR).max(*len));
                        let end = place((sector + 1) * SECTOR).min(durable.len());
                        durable[start..end].fill(0);
                    }
                }
            }
        }
    }
    durable.resize(place(len), 0);
}

/// A write in pieces that never cross a sector's border.
fn sectors(at: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let here = at + from as u64;
        let piece = place(SECTOR - here % SECTOR).min(bytes.len() - from);
        let found = &bytes[from..from + piece];
        from += piece;
        (piece > 0).then_some((here, found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old_and_new() -> File {
        let mut file = File::durable(vec![b'o'; 2_048]);
        file.write(0, &[b'n'; 2_048]);
        file
    }

    fn survivors(mode: Unsynced) -> Vec<Vec<u8>> {
        (0..200)
            .map(|seed| {
                let mut file = old_and_new();
                file.crash(mode, &mut Stream::new(seed, "test", 0));
                file.content
            })
            .collect()
    }

    #[test]
    fn what_was_synced_survives_every_crash() {
        for mode in Unsynced::ALL {
            for seed in 0..50 {
                let mut file = old_and_new();
                file.sync();
                assert_eq!(file.crash(mode, &mut Stream::new(seed, "test", 0)), 0);
                assert_eq!(file.content(), [b'n'; 2_048]);
            }
        }
    }

    #[test]
    fn whole_modes_never_tear_and_torn_ones_tear_at_sectors_only() {
        let whole = |image: &Vec<u8>| image.iter().all(|byte| *byte == image[0]);
        for mode in [Unsynced::Lost, Unsynced::Kept, Unsynced::Subset] {
            assert!(survivors(mode).iter().all(whole), "{mode:?}");
        }
        for mode in [Unsynced::Torn, Unsynced::Reordered] {
            let images = survivors(mode);
            assert!(!images.iter().all(whole), "{mode:?}");
            for image in images {
                assert_eq!(image.len(), 2_048);
                assert!(
                    image
                        .chunks(512)
                        .all(|part| part.iter().all(|byte| *byte == part[0]))
                );
            }
        }
    }

    #[test]
    fn a_sector_is_as_it_was_at_some_moment_and_no_mix_of_two() {
        for seed in 0..500 {
            let mut file = File::durable(vec![0; 512]);
            for value in 1..=4 {
                file.write(0, &[value; 512]);
            }
            file.crash(Unsynced::Reordered, &mut Stream::new(seed, "test", 0));
            let first = file.content()[0];
            assert!(file.content().iter().all(|byte| *byte == first) && first <= 4);
        }
    }

    #[test]
    fn what_a_failed_sync_dropped_is_seen_and_never_becomes_durable() {
        let mut file = old_and_new();
        file.fail_sync();
        file.write(2_048, b"later");
        file.sync();
        assert_eq!(file.content()[0], b'n');
        file.crash(Unsynced::Kept, &mut Stream::new(1, "test", 0));
        assert_eq!(file.content()[0], b'o');
        assert_eq!(&file.content()[2_048..], b"later");
    }

    #[test]
    fn a_file_that_was_cut_may_be_long_again_and_holds_old_bytes_or_zeros() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let mut file = File::durable(vec![b'o'; 1_024]);
            file.resize(0);
            file.write(0, &[b'n'; 512]);
            file.crash(Unsynced::Reordered, &mut Stream::new(seed, "test", 0));
            lengths.insert(file.len());
            assert!(
                file.content()
                    .iter()
                    .all(|byte| [b'o', b'n', 0].contains(byte))
            );
        }
        assert_eq!(Vec::from_iter(lengths), [0, 512, 1_024]);
    }
}
