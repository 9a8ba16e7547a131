//! What a process on a disk shows: the product's own readers, and looks that no fault hits and that change nothing. One
//! exception, because it needs the same: a transaction of somebody else's between two steps.

use super::Drive;
use crate::directory::proof;
use belfry_node::disk::Disk;
use belfry_node::fsck;
use belfry_node::member::serving;
use belfry_node::store::{Placed, Reader, SqliteTransaction};
use belfry_protocol::cert::LogVerifiers;
use belfry_protocol::engine::federation::Status;
use belfry_protocol::engine::store::{Place, StoreError, Transaction};
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::proof::TreeReader;
use belfry_protocol::wire::v1::{Get, GetProof};
use std::sync::Arc;

impl Drive {
    /// What the product says of itself.
    pub(crate) fn status(&mut self) -> Option<Status> {
        let disk = self.disk.clone();
        let process = self.process.as_mut()?;
        disk.calmly(|| process.stepper.status())
    }

    /// Looks into the databases as the process sees them.
    pub(crate) fn look<R>(
        &mut self,
        look: impl FnOnce(&SqliteTransaction<'_>) -> Result<R, StoreError>,
    ) -> Option<R> {
        let disk = self.disk.clone();
        let process = self.process.as_mut()?;
        disk.calmly(|| look(&process.stepper.store_mut().begin_reading().ok()?).ok())
    }

    /// A transaction of the process's own between two steps.
    pub(crate) fn write<R>(
        &mut self,
        change: impl FnOnce(&mut SqliteTransaction<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let none = || StoreError::Io("no process runs".to_owned());
        let process = self.process.as_mut().ok_or_else(none)?;
        let mut tx = process.stepper.store_mut().begin()?;
        let done = change(&mut tx)?;
        tx.commit()?;
        Ok(done)
    }

    /// The root of the own first `size` entries, as they are stored.
    pub(crate) fn root(&self, size: u64) -> Option<Hash> {
        let process = self.process.as_ref()?;
        let root = || TreeReader::new(&process.reader.own(), size).root().ok();
        self.disk.calmly(root)
    }

    /// One of its own entries.
    pub(crate) fn entry(&self, index: u64, size: u64) -> Option<Vec<u8>> {
        let process = self.process.as_ref()?;
        self.disk.calmly(|| process.reader.entry(index, size).ok())
    }

    /// The own first `size` entries.
    pub(crate) fn entries(&self, size: u64) -> Option<Vec<Vec<u8>>> {
        (0..size).map(|index| self.entry(index, size)).collect()
    }

    /// An entry's leaf hash and its proof of inclusion in a ledger.
    pub(crate) fn proof(
        &self,
        place: Place,
        origin: &str,
        size: u64,
        index: u64,
    ) -> Option<(Hash, Vec<Hash>)> {
        let process = self.process.as_ref()?;
        let own = place == Place::OWN;
        let placed = Placed {
            place,
            origin: if own {
                String::new()
            } else {
                origin.to_owned()
            },
            flushable: 0,
            flushed: 0,
        };
        let view = process.reader.ledger(&placed);
        self.disk.calmly(|| proof(&view, size, index))
    }

    /// Answers with entries, as the product does beside its writer.
    pub(crate) fn serve(&self, place: Place, get: &Get) -> Option<Vec<u8>> {
        serving::answer(&self.process.as_ref()?.reader, place, get).ok()
    }

    /// Answers with a proof.
    pub(crate) fn prove(&self, place: Place, get: &GetProof) -> Option<Vec<u8>> {
        let process = self.process.as_ref()?;
        Some(serving::prove(&process.reader, place, get))
    }

    /// How two trees relate.
    pub(crate) fn nodes(&self, place: Place, origin: &str, sizes: (u64, u64)) -> Option<Vec<Hash>> {
        serving::nodes(&self.process.as_ref()?.reader, place, origin, sizes)
    }

    /// What the product's own check of a whole directory finds.
    pub(crate) fn fsck(&self, keys: &LogVerifiers) -> Vec<String> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let checked = self.disk.calmly(|| {
            let reader = Reader::open(self.layout.clone(), disk)?;
            fsck::run(&reader, keys, |_| {})
        });
        match checked {
            Ok(report) => report.problems.iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
        }
    }
}
