//! The checkpoints that foreign witnesses cosigned, newest sizes first, in one file of the data directory. Losing it costs
//! nothing but a round of submissions: what a witness cosigned last is learnt again by a conflict.

use super::policy;
use super::source::own;
use crate::config::Config;
use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::store::Layout;
use belfry_protocol::cert::LogVerifiers;
use belfry_protocol::cosignature;
use belfry_protocol::note::{SignatureLine, SignedNote};
use belfry_protocol::policy::{Policy, Witness};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Sizes that are kept beside the newest of each witness: slower witnesses may still cosign them.
const RECENT: usize = 8;
/// Largest file that is read: as many notes as a policy has witnesses, each with as many lines, is far below.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Cosigned checkpoints by size, merged: one line for each key.
#[derive(Default)]
pub(crate) struct Kept {
    policy: Policy,
    notes: BTreeMap<u64, SignedNote>,
}

impl Kept {
    /// The policy and what was kept under it, each line verified again; `None` if nothing is submitted.
    ///
    /// # Errors
    /// When the policy is not usable.
    pub(crate) fn load(
        layout: &Layout,
        config: &Config,
        keys: &LogVerifiers,
    ) -> Result<Option<Self>, Failure> {
        let Some(policy) = policy::load(layout, config, keys)? else {
            return Ok(None);
        };
        let mut kept = Self {
            policy,
            notes: BTreeMap::new(),
        };
        for note in read(layout) {
            // What does not verify any more, after a key was changed, is only forgotten.
            let Ok(digest) = own(&note, keys) else {
                continue;
            };
            let Ok(whole) = SignedNote::parse(note.as_bytes()) else {
                continue;
            };
            for witness in kept.policy.witnesses().to_vec() {
                let by = whole
                    .signatures()
                    .iter()
                    .filter(|line| cosignature::verify(whole.text(), line, &witness.key).is_ok());
                let lines = by.cloned().collect::<Vec<_>>();
                if !lines.is_empty() {
                    kept.merge(digest.size, &digest.note, lines);
                }
            }
        }
        Ok(Some(kept))
    }

    /// The policy that the file is about.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Adds verified lines to the checkpoint of this size.
    pub(super) fn merge(&mut self, size: u64, note: &SignedNote, lines: Vec<SignatureLine>) {
        let before = self.notes.remove(&size);
        // Another note of the same size would be a fork of our own, which is not kept but told of.
        let before = before.filter(|before| before.text() == note.text());
        let mut merged: Vec<SignatureLine> = before.map_or_else(
            || note.signatures().to_vec(),
            |note| note.signatures().to_vec(),
        );
        for line in lines {
            merged.retain(|other| (other.name(), other.key_id()) != (line.name(), line.key_id()));
            merged.push(line);
        }
        // The lines are as many as a policy has keys, which a note may hold; if not, the digest alone is forgotten.
        if let Ok(note) = SignedNote::new(note.text(), merged) {
            self.notes.insert(size, note);
        }
        self.prune();
    }

    fn prune(&mut self) {
        let mut keep: BTreeSet<u64> = self.notes.keys().rev().take(RECENT).copied().collect();
        keep.extend(self.witnessed().map(|(size, _)| size));
        let witnesses = self.policy.witnesses().iter();
        keep.extend(witnesses.filter_map(|witness| Some(self.newest_of(witness)?.0)));
        self.notes.retain(|size, _| keep.contains(size));
    }

    /// Newest size that this witness cosigned, and the time of its cosignature in seconds since 1970.
    pub(super) fn newest_of(&self, witness: &Witness) -> Option<(u64, u64)> {
        self.notes.iter().rev().find_map(|(size, note)| {
            let line = note.signatures().iter().find(|line| {
                line.name() == witness.key.name() && line.key_id() == witness.key.key_id()
            })?;
            Some((*size, cosignature::timestamp(line)?))
        })
    }

    /// The newest checkpoint that satisfies the policy's quorum.
    pub(crate) fn witnessed(&self) -> Option<(u64, &SignedNote)> {
        let mut all = self.notes.iter().rev();
        let found = all.find(|(_, note)| self.policy.open(note).is_ok());
        found.map(|(size, note)| (*size, note))
    }

    /// All notes as the file has them.
    pub(super) fn text(&self) -> String {
        let notes = self.notes.values().rev().map(ToString::to_string);
        serde_json::json!({ "notes": notes.collect::<Vec<_>>() }).to_string()
    }
}

fn path(layout: &Layout) -> PathBuf {
    layout.dir().join("witnessed.json")
}

/// The notes of the file; none if it cannot be read.
fn read(layout: &Layout) -> Vec<String> {
    let path = path(layout);
    let small = std::fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_FILE_BYTES);
    let bytes = small.then(|| std::fs::read(&path).unwrap_or_default());
    let value: serde_json::Value =
        serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
    let notes = value.get("notes").and_then(serde_json::Value::as_array);
    let notes = notes.into_iter().flatten();
    notes
        .filter_map(|note| note.as_str().map(str::to_owned))
        .collect()
}

/// Writes the file, whole or not at all.
pub(super) fn write(layout: &Layout, disk: &dyn Disk, text: &str) -> Result<(), Failure> {
    replace(disk, &path(layout), text.as_bytes())
}

/// Puts a file in the place of another, durably.
pub(super) fn replace(
    disk: &dyn Disk,
    path: &std::path::Path,
    bytes: &[u8],
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Code::Io,
            format!("cannot write {}: {error}", path.display()),
        )
    };
    let temporary = path.with_extension("new");
    disk.write(&temporary, bytes).map_err(failed)?;
    disk.sync_files(std::slice::from_ref(&temporary))
        .map_err(failed)?;
    disk.rename(&temporary, path).map_err(failed)?;
    let dirs = path.parent().map(std::path::Path::to_path_buf);
    disk.sync_dirs(&dirs.into_iter().collect()).map_err(failed)
}
