//! What must be true of a federation whatever happened to it. Changes nothing; reads stores beside running nodes.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use crate::federation::{FACTORY, Federation};
use belfry_node::audit::receipt;
use belfry_node::store::{LedgerView, Reader};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature::timestamp;
use belfry_protocol::engine::store::Table;
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH};
use std::collections::{BTreeMap, BTreeSet};

/// A tower's line under a digest: name and id of its key, the digest's size and root, and when.
pub type AckLine = (String, u32, u64, String, u64);

impl Federation {
    /// Waits until everything is signed, acknowledged, and held by every one of these towers; returns the size.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn settled(&self, towers: impl IntoIterator<Item = usize>) -> u64 {
        let number = |status: &serde_json::Value, key: &str| status[key].as_u64().unwrap_or(0);
        let status = self.wait(FACTORY, "has everything acknowledged", |status| {
            let size = number(status, "size");
            size > 0
                && size == number(status, "signed_size")
                && size == number(status, "acked_size")
        });
        let size = number(&status, "size");
        for tower in towers {
            let _ = self.wait(tower, "holds and acks everything", |status| {
                let mirror = &status["mirrors"][0];
                number(mirror, "held") >= size && number(mirror, "acked") >= size
            });
        }
        size
    }

    /// Everything that is true of an honest federation: every ledger and mirror checks out, nobody knows of a fork, and
    /// each of these towers holds the factory's very entries.
    ///
    /// # Panics
    /// When something is not.
    pub fn check(&self, size: u64, towers: impl IntoIterator<Item = usize>) {
        let entries = entries(&self.reader(FACTORY).own(), size);
        for number in 0..self.nodes.len() {
            let _ = self.on(number, &["ledger", "fsck"]).expect(0);
            let forks = self.reader(number).rows(Table::Forks, b"", 10).unwrap();
            assert!(forks.is_empty(), "{}: {forks:?}", self.nodes[number].name);
        }
        for tower in towers {
            assert!(
                self.mirrored(tower, size) == entries,
                "{} holds other entries",
                self.nodes[tower].name
            );
        }
        assert_never_backwards(&self.ack_lines());
    }

    /// The factory's entries as a tower holds them.
    ///
    /// # Panics
    /// When it does not hold as many.
    #[must_use]
    pub fn mirrored(&self, tower: usize, size: u64) -> Vec<Vec<u8>> {
        let reader = self.reader(tower);
        let ledgers = reader.ledgers().unwrap();
        let origin = &self.nodes[FACTORY].name;
        let placed = ledgers.iter().find(|one| one.origin == *origin).unwrap();
        entries(&reader.ledger(placed), size)
    }

    /// The factory's own entries.
    ///
    /// # Panics
    /// When there are not as many.
    #[must_use]
    pub fn entries(&self, size: u64) -> Vec<Vec<u8>> {
        entries(&self.reader(FACTORY).own(), size)
    }

    /// All towers' lines that the factory keeps.
    ///
    /// # Panics
    /// When its store cannot be read.
    #[must_use]
    pub fn ack_lines(&self) -> BTreeSet<AckLine> {
        lines_of(&self.reader(FACTORY), &self.nodes[FACTORY].name)
    }

    /// Verifies receipts as a stranger would: offline, by the policy alone.
    ///
    /// # Panics
    /// When one does not verify, or the tool and the library differ.
    pub fn verify(&self, receipts: &[String]) {
        let policy = self.policy();
        for text in receipts {
            receipt::verify(text.as_bytes(), &policy, None).unwrap();
        }
        let (file, rules) = (self.beside("last.tlog-proof"), self.beside("policy.txt"));
        std::fs::write(&file, receipts.last().unwrap()).unwrap();
        std::fs::write(&rules, policy.to_string()).unwrap();
        let (file, rules) = (file.to_string_lossy(), rules.to_string_lossy());
        let _ = crate::run(&["audit", "verify", &file, "--policy", &rules]).expect(0);
    }
}

fn entries(view: &LedgerView<'_>, size: u64) -> Vec<Vec<u8>> {
    let bundles = (0..size.div_ceil(TILE_WIDTH)).filter_map(|at| Bundle::of_tree(at, size));
    bundles
        .flat_map(|wanted| {
            let bytes = view.bundle(wanted).unwrap();
            let all = bundle::entries(&bytes).map(|one| one.unwrap().to_vec());
            all.collect::<Vec<_>>()
        })
        .collect()
}

fn lines_of(reader: &Reader, origin: &str) -> BTreeSet<AckLine> {
    let mut found = BTreeSet::new();
    for (size, note) in reader.digests().unwrap() {
        let note = SignedNote::parse(note.as_bytes()).unwrap();
        let root = Checkpoint::parse(note.text()).unwrap().root.to_hex();
        for line in note
            .signatures()
            .iter()
            .filter(|line| line.name() != origin)
        {
            let time = timestamp(line).unwrap();
            let name = line.name().to_owned();
            found.insert((name, line.key_id(), size, root.clone(), time));
        }
    }
    found
}

/// No tower's key said one size twice with two roots, nor a larger size at an earlier time (R4).
///
/// # Panics
/// When one did.
pub fn assert_never_backwards(lines: &BTreeSet<AckLine>) {
    let mut newest: BTreeMap<(&str, u32), &AckLine> = BTreeMap::new();
    // In the order of the set: by key, then by size.
    for line in lines {
        let (name, key, size, root, time) = line;
        let before = newest.insert((name, *key), line);
        if let Some((_, _, smaller, other, earlier)) = before {
            assert!(
                smaller != size || other == root,
                "two roots: {before:?} {line:?}"
            );
            assert!(
                smaller == size || earlier <= time,
                "backwards: {before:?} {line:?}"
            );
        }
    }
}
