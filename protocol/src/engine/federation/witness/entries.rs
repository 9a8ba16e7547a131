//! `add-entries` (C2SP `tlog-mirror`): entries of a log that is no member, proved package by package against a checkpoint
//! that this tower cosigned, and kept where libp2p's mirrors are. The mirror key signs what is held and nothing else (R4).

use super::foreign::FORKED;
use super::judge::Answer;
use super::record::{Witnessed, opened};
use super::{NO_KEYS, SOON_SECONDS, Turn};
use crate::checkpoint::Checkpoint;
use crate::engine::federation::io::Promise;
use crate::engine::federation::mirror::{Ack, Mirror};
use crate::engine::open_end::OpenEnd;
use crate::engine::store::{StoreError, Transaction};
use crate::note::{SignatureLine, SignedNote};
use crate::tlog::bundle;
use crate::tlog::compact::CompactRange;
use crate::tlog::hash::{Hash, leaf_hash};
use crate::tlog::tile::TILE_WIDTH;
use crate::tlog::verify;
use crate::upload::{Package, UploadHead};

/// Unflushed entries from which an upload waits for the flusher (R10).
const BACKLOG_ENTRIES: u64 = 131_072;

/// Part of an upload: its head, and some packages in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The head of the body.
    pub head: UploadHead,
    /// Packages that were not handed over before; none asks only how far the mirror is.
    pub packages: Vec<Package>,
    /// Whether nothing more comes.
    pub ends: bool,
}

/// A checkpoint that an upload may lead to.
struct Target {
    size: u64,
    root: Hash,
    note: SignedNote,
}

/// What an upload may rest on.
enum Opened {
    Target(Box<Target>, Box<Mirror>),
    Answer(Answer),
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Entries came over HTTP.
    pub(in crate::engine::federation) fn add_entries(
        &mut self,
        id: u64,
        upload: &Upload,
    ) -> Result<(), StoreError> {
        let answer = self.take_upload(upload)?;
        self.out.promise(Promise::Witnessed { id, answer });
        Ok(())
    }

    fn take_upload(&mut self, upload: &Upload) -> Result<Answer, StoreError> {
        let head = &upload.head;
        let (target, mut mirror) = match self.open_upload(head)? {
            Opened::Target(target, mirror) => (*target, *mirror),
            Opened::Answer(answer) => return Ok(answer),
        };
        if !upload.packages.is_empty() {
            if mirror.base.end().saturating_sub(mirror.flushed) >= BACKLOG_ENTRIES {
                return Ok(FULL);
            }
            if let Err(answer) = self.keep_packages(upload, &target, &mut mirror)? {
                return Ok(answer);
            }
            self.keep_mirror(&head.origin, &mirror)?;
        }
        let next = mirror.base.end();
        if next >= target.size && (upload.ends || head.start == head.end) {
            return self.sign_mirror(&head.origin, &target, mirror);
        }
        Ok(Answer::Progress {
            taken: true,
            size: target.size,
            next,
            ticket: target.note.to_string(),
        })
    }

    /// The table of the specification, before any package.
    fn open_upload(&self, head: &UploadHead) -> Result<Opened, StoreError> {
        let origin = head.origin.as_str();
        let known_log = self.settings.members.is_tower(self.settings.me)
            && self.settings.members.by_name(origin).is_none()
            && self.v.logs.get(origin).is_some_and(|log| log.mirror);
        if !known_log {
            return Ok(Opened::Answer(Answer::Unknown));
        }
        if let Some(answer) = self.is_out() {
            return Ok(Opened::Answer(answer));
        }
        let Some(pending) = Witnessed::load(self.own.tx, origin)? else {
            let why = "no checkpoint of this log was cosigned here yet; send one to add-checkpoint";
            return Ok(Opened::Answer(Answer::Refused(why)));
        };
        if pending.forked {
            return Ok(Opened::Answer(FORKED));
        }
        let mirror = Mirror::load_or_new(self.own.tx, origin)?;
        let (next, shown) = (
            mirror.base.end(),
            mirror.acked.as_ref().map_or(0, |ack| ack.size),
        );
        let behind = |size: u64, ticket: String| {
            Opened::Answer(Answer::Progress {
                taken: false,
                size,
                next,
                ticket,
            })
        };
        let Some(target) = self.target_of(head, &pending, &mirror)? else {
            return Ok(behind(pending.size, pending.note));
        };
        // The last bundle may be sent again, because its beginning is needed to prove its end; more is waste.
        let excess = head.end.min(next).saturating_sub(head.start);
        if head.start > next || target.size < shown || excess >= TILE_WIDTH {
            let current = target.size >= shown;
            return Ok(match current {
                true => behind(target.size, target.note.to_string()),
                false => behind(pending.size, pending.note),
            });
        }
        Ok(Opened::Target(Box::new(target), Box::new(mirror)))
    }

    /// The checkpoint of the upload's size: the pending one, the mirror's own, or one in the ticket, which is a checkpoint
    /// with a line of this tower's ack key, and so was pending once.
    fn target_of(
        &self,
        head: &UploadHead,
        pending: &Witnessed,
        mirror: &Mirror,
    ) -> Result<Option<Target>, StoreError> {
        let stored = |note: &str| -> Result<Option<Target>, StoreError> {
            let (root, note) = opened(note)?;
            Ok(Some(Target {
                size: head.end,
                root,
                note,
            }))
        };
        if head.end == pending.size {
            return stored(&pending.note);
        }
        if let Some(ack) = mirror.acked.as_ref().filter(|ack| ack.size == head.end) {
            return stored(&ack.note);
        }
        let Ok(note) = SignedNote::parse(&head.ticket) else {
            return Ok(None);
        };
        let Ok(digest) = Checkpoint::parse_foreign(note.text()) else {
            return Ok(None);
        };
        let lowest = self.settings.disk.lowest_serial;
        let mut keys = self
            .settings
            .keys
            .cosigners(self.wall_seconds(), lowest)
            .map(|serial| serial.ack.verifier());
        let ours = keys.any(|key| self.checks.signature(key, &note).is_some());
        let fits = digest.origin == head.origin && digest.size == head.end;
        Ok((ours && fits).then_some(Target {
            size: digest.size,
            root: digest.root,
            note,
        }))
    }

    /// Keeps the packages that are proved, each behind the one before.
    fn keep_packages(
        &mut self,
        upload: &Upload,
        target: &Target,
        mirror: &mut Mirror,
    ) -> Result<Result<(), Answer>, StoreError> {
        let mut edge = mirror.base.clone();
        let mut open = OpenEnd::of(mirror.place);
        // Leaves of the bundle that the first package continues.
        let first = upload.packages.first().map_or(0, |package| package.start);
        let mut before = match self.leaves_before(mirror, first)? {
            Some(leaves) => leaves,
            None => return Ok(Err(GONE)),
        };
        for package in &upload.packages {
            let leaves: Vec<Hash> = bundle::entries(&package.entries)
                .flatten()
                .map(leaf_hash)
                .collect();
            let fits = leaves.len() as u64 == package.end.saturating_sub(package.start);
            let mut subtree = CompactRange::default();
            for leaf in before.drain(..).chain(leaves) {
                subtree.push(leaf, |_| {});
            }
            let border = package.start - package.start % TILE_WIDTH;
            let proved = verify::subtree(
                border,
                package.end,
                target.size,
                &subtree.root(),
                &target.root,
                &package.proof,
            );
            if !fits || border + subtree.end() != package.end || proved.is_err() {
                return Ok(Err(Answer::Refused("a package does not prove")));
            }
            // Another upload may have brought some of them meanwhile; both are proved.
            let known = edge.end().saturating_sub(package.start);
            if package.start > edge.end() {
                return Ok(Err(GONE));
            }
            if package.end > edge.end() {
                let skip = usize::try_from(known).unwrap_or(usize::MAX);
                let skipped: usize = bundle::entries(&package.entries)
                    .flatten()
                    .take(skip)
                    .map(|entry| 2 + entry.len())
                    .sum();
                let rest = package.entries.get(skipped..).unwrap_or_default();
                if open.push_bundle(&mut edge, rest).is_err() {
                    return Ok(Err(Answer::Refused("a package does not prove")));
                }
            }
        }
        open.write(self.own.tx)?;
        mirror.base = edge.clone();
        mirror.end = edge;
        Ok(Ok(()))
    }

    /// Leaf hashes from the border of a bundle to `start`; `None` if they are in files already.
    fn leaves_before(&self, mirror: &Mirror, start: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        let border = start - start % TILE_WIDTH;
        if start == border {
            return Ok(Some(Vec::new()));
        }
        let mut leaves = Vec::new();
        for run in self.own.tx.tail(mirror.place, border, start)? {
            for (index, leaf) in (run.start..).zip(&run.leaves) {
                if index == border + leaves.len() as u64 && index < start {
                    leaves.push(*leaf);
                }
            }
        }
        Ok((border + leaves.len() as u64 == start).then_some(leaves))
    }

    /// All entries are held: the mirror key says so.
    fn sign_mirror(
        &mut self,
        origin: &str,
        target: &Target,
        mut mirror: Mirror,
    ) -> Result<Answer, StoreError> {
        if let Some(answer) = self.signs_nothing() {
            return Ok(answer);
        }
        let time_seconds = self
            .wall_seconds()
            .max(mirror.acked.as_ref().map_or(0, |ack| ack.time_seconds));
        let lines = self.mirror_lines(target.note.text(), time_seconds)?;
        if lines.is_empty() {
            return Ok(NO_KEYS);
        }
        // The log's lines, and this tower's own witness line if it is there: nothing unverified was ever stored.
        let mine: Vec<&str> = lines.iter().map(SignatureLine::name).collect();
        let kept = target.note.signatures().iter();
        let kept = kept.filter(|line| !mine.contains(&line.name())).cloned();
        let note = SignedNote::new(
            target.note.text(),
            kept.chain(lines.iter().cloned()).collect(),
        )
        .map_err(|error| StoreError::Damaged(format!("a checkpoint of {origin}: {error}")))?;
        mirror.acked = Some(Ack {
            size: target.size,
            time_seconds,
            note: note.to_string(),
        });
        self.keep_mirror(origin, &mirror)?;
        Ok(Answer::Cosigned(lines))
    }

    fn mirror_lines(
        &self,
        text: &str,
        time_seconds: u64,
    ) -> Result<Vec<SignatureLine>, StoreError> {
        let lowest = self.settings.disk.lowest_serial;
        self.settings
            .keys
            .cosigners(self.wall_seconds(), lowest)
            .map(|serial| {
                serial
                    .mirror
                    .cosign(text, time_seconds)
                    .map_err(|error| StoreError::Damaged(format!("a checkpoint: {error}")))
            })
            .collect()
    }
}

const FULL: Answer = Answer::NotNow {
    why: "this mirror is writing entries to files; go on in a moment",
    retry_seconds: SOON_SECONDS,
};
const GONE: Answer = Answer::NotNow {
    why: "another upload went on meanwhile; ask for the next entry again",
    retry_seconds: SOON_SECONDS,
};
