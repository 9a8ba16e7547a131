//! A small log of somebody else, in memory: it signs whatever it is told to, and asks a witness as any log does. May not
//! use the node's own way of building proofs.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use belfry_protocol::checkpoint::ForeignCheckpoint;
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::memory::MemoryTree;
use belfry_protocol::upload::{Package, UploadHead};
use belfry_protocol::witness::{AddCheckpoint, SignSubtree};

/// A log in memory.
pub struct SmallLog {
    /// Its origin.
    pub origin: String,
    /// Its key.
    pub key: SigningKey,
    /// Its entries.
    pub entries: Vec<Vec<u8>>,
    /// Their leaves.
    pub leaves: Vec<Hash>,
}

/// The root over some leaves (RFC 6962).
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    MemoryTree::new(leaves.to_vec()).root(leaves.len() as u64)
}

impl SmallLog {
    /// A log of so many entries; logs of one name and another salt have nothing in common but the key.
    ///
    /// # Panics
    /// When the name cannot be a key's.
    #[must_use]
    pub fn new(name: &str, salt: &str, size: u64) -> Self {
        let entries: Vec<Vec<u8>> = (0..size)
            .map(|number| format!("{salt} {number}").into_bytes())
            .collect();
        let mut seed = [9; 32];
        for (at, byte) in name.bytes().enumerate() {
            seed[at % 32] ^= byte;
        }
        Self {
            origin: name.to_owned(),
            key: SigningKey::ed25519(name, seed).unwrap(),
            leaves: entries.iter().map(|entry| leaf_hash(entry)).collect(),
            entries,
        }
    }

    /// Its public key.
    #[must_use]
    pub fn vkey(&self) -> String {
        self.key.verifier().to_string()
    }

    /// Its signed checkpoint of so many entries.
    ///
    /// # Panics
    /// When it has not so many.
    #[must_use]
    pub fn checkpoint(&self, size: usize) -> SignedNote {
        let checkpoint = ForeignCheckpoint {
            origin: self.origin.clone(),
            size: size as u64,
            root: root(&self.leaves[..size]),
            extensions: Vec::new(),
        };
        self.key.signed_note(&checkpoint.to_text()).unwrap()
    }

    /// The body that asks for a cosignature.
    ///
    /// # Panics
    /// When it has not so many entries.
    #[must_use]
    pub fn request(&self, old: usize, size: usize) -> String {
        let proof = match old {
            0 => Vec::new(),
            old if old <= size => {
                let tree = MemoryTree::new(self.leaves.clone());
                tree.consistency(old as u64, size as u64).unwrap()
            }
            _ => Vec::new(),
        };
        let checkpoint = self.checkpoint(size);
        AddCheckpoint {
            old_size: old as u64,
            proof,
            checkpoint,
        }
        .to_string()
    }

    /// The body that asks for a signature of the entries `[start, end)`, under a checkpoint of so many entries.
    ///
    /// # Panics
    /// When it has not so many entries, or the range is no subtree.
    #[must_use]
    pub fn part(
        &self,
        start: usize,
        end: usize,
        size: usize,
        checkpoint: &SignedNote,
    ) -> SignSubtree {
        let tree = MemoryTree::new(self.leaves.clone());
        let (from, to) = (start as u64, end as u64);
        SignSubtree {
            start: from,
            end: to,
            root: root(&self.leaves[start..end]),
            proof: tree.subtree_proof(from, to, size as u64).unwrap(),
            checkpoint: checkpoint.clone(),
        }
    }

    /// The body that uploads the entries `[start, end)` to a mirror, as its head and its packages.
    ///
    /// # Panics
    /// When it has not so many entries.
    #[must_use]
    pub fn upload(&self, start: usize, end: usize, ticket: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let head = UploadHead {
            origin: self.origin.clone(),
            start: start as u64,
            end: end as u64,
            ticket: ticket.to_vec(),
        };
        let at = |number: u64| usize::try_from(number).unwrap();
        let mut packages = Vec::new();
        let mut from = head.start;
        while let Some((start, end)) = head.range_from(from) {
            let mut entries = Vec::new();
            for entry in &self.entries[at(start)..at(end)] {
                bundle::push(&mut entries, entry).unwrap();
            }
            let tree = MemoryTree::new(self.leaves.clone());
            let proof = tree
                .subtree_proof(start - start % 256, end, head.end)
                .unwrap();
            let package = Package {
                start,
                end,
                entries,
                proof,
            };
            packages.push(package.to_bytes());
            from = end;
        }
        (head.to_bytes(), packages)
    }
}
