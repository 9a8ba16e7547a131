//! What can be seen of a node of the test world: its durable rows and its status.

use crate::world::World;
use belfry_protocol::engine::federation::Status;
use belfry_protocol::engine::ledger;
use belfry_protocol::engine::store::{Record, Table, Transaction};

impl World {
    /// All that a node durably says of ledgers it mirrors.
    pub(crate) fn rows(&self, at: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut store = self.nodes[at].store.clone();
        let tx = store.begin();
        tx.rows(Table::Mirror, &[], 100).unwrap()
    }

    /// Entries of the factory's ledger that a tower holds under a digest.
    pub(crate) fn held(&self, at: usize) -> u64 {
        let rows = self.rows(at);
        let base = rows.first().and_then(|(_, row)| row.get(4..12));
        base.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
    }

    /// Whether a node runs.
    pub(crate) fn is_up(&self, at: usize) -> bool {
        self.nodes[at].engine.is_some()
    }

    pub(crate) fn status(&self, at: usize) -> Status {
        let node = &self.nodes[at];
        let mut store = node.store.clone();
        let tx = store.begin();
        node.engine.as_ref().unwrap().status(&tx).unwrap()
    }

    pub(crate) fn size(&self, at: usize) -> u64 {
        let mut store = self.nodes[at].store.clone();
        let tx = store.begin();
        let record = tx.record(Record::Head).unwrap();
        record.map_or(0, |bytes| ledger::Head::decode(&bytes).unwrap().size())
    }
}
