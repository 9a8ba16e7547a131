//! What the ledgers of a federation are in the end, in a form in which two tiers of the simulator can be compared. Times of
//! entries are left out: each tier has its own latencies, and so its own moments in which a factory takes an entry.

use crate::world::World;
use belfry_protocol::engine::ledger;
use belfry_protocol::engine::store::{Record, Transaction};
use belfry_protocol::entry::leaf::{Leaf, LeafError};
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::tlog::hash::{Hash, sha256_parts};
use serde::Serialize;

/// One factory's ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Whose it is.
    pub origin: String,
    /// Entries in it.
    pub size: u64,
    /// The root of its tree, in hex: of this tier alone.
    pub root: String,
    /// Size of the newest digest.
    pub signed: u64,
    /// Size of the newest digest that a quorum acknowledged.
    pub acked: u64,
    /// Hash over all entries in their order without their times, in hex.
    pub contents: String,
}

impl Head {
    /// What must be the same in every tier.
    #[must_use]
    pub fn comparable(&self) -> (&str, u64, u64, u64, &str) {
        (
            &self.origin,
            self.size,
            self.signed,
            self.acked,
            &self.contents,
        )
    }
}

/// Hash over entries in their order without their times.
///
/// # Errors
/// When one is no entry.
pub fn contents(entries: &[Vec<u8>]) -> Result<Hash, LeafError> {
    let mut hash = Hash([0; 32]);
    for entry in entries {
        let leaf = Leaf {
            time: TimeUs::default(),
            ..Leaf::parse(entry)?
        };
        hash = sha256_parts(&[&hash.0, &leaf.to_bytes()]);
    }
    Ok(hash)
}

impl World {
    /// The ledgers of all factories that run.
    pub(crate) fn heads(&mut self) -> Vec<Head> {
        let all = 0..self.nodes.len();
        let factories: Vec<usize> = all.filter(|at| self.founded.member(*at).factory).collect();
        let heads = factories.into_iter().map(|at| self.head(at));
        heads.collect()
    }

    fn head(&mut self, at: usize) -> Head {
        let acked = self.status(at).map_or(0, |status| status.acked);
        let node = &mut self.nodes[at];
        let entries = node.store.entries().unwrap_or_default();
        let record = node.store.begin().record(Record::Head).ok().flatten();
        let head = record.and_then(|bytes| ledger::Head::decode(&bytes));
        Head {
            origin: node.name.clone(),
            size: head.as_ref().map_or(0, ledger::Head::size),
            root: head
                .as_ref()
                .map_or_else(String::new, |head| head.root().to_hex()),
            signed: head.and_then(|head| head.signed).unwrap_or(0),
            acked,
            contents: contents(&entries)
                .map_or_else(|error| error.to_string(), |hash| hash.to_hex()),
        }
    }
}
