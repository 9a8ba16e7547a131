//! One life of a store in a trial: from its start until something fails, or it has done enough.

use super::work::{self, Part, mark, payload, run, state};
use super::{Held, Trial};
use crate::disk::Faults;
use belfry_node::store::{Reader, Store};
use belfry_protocol::engine::store::{StoreError, Table, Transaction};
use std::sync::Arc;

/// Transactions of one life at most.
const TRANSACTIONS: u64 = 40;
/// Before which operation the power fails, at the latest: most lives end before they did everything.
const OPERATIONS: u64 = 900;
/// Pages in the log from which it is copied: few, so that it often is.
const CHECKPOINT_PAGES: i64 = 24;
/// Bytes that let the store look at the length of its log.
const WRITTEN: u64 = 1 << 20;

type Result<T> = std::result::Result<T, StoreError>;

impl Trial<'_> {
    pub(super) fn open(&self) -> std::result::Result<Store, String> {
        let disk = Arc::new(self.disk.clone());
        let mut store =
            Store::open(self.layout.clone(), disk).map_err(|error| error.to_string())?;
        store.set_checkpoint_pages(CHECKPOINT_PAGES);
        Ok(store)
    }

    fn draw_faults(&mut self) -> Faults {
        let settings = self.settings;
        let rng = &mut self.rng;
        let sometimes = |rng: &mut crate::streams::Stream, on: bool, most: u64| {
            (on && rng.one_in(2)).then(|| rng.below(most))
        };
        Faults {
            die_at_op: Some(rng.below(OPERATIONS)),
            lying_syncs_one_in: settings.lying_syncs_one_in,
            fail_sync: sometimes(rng, settings.failing_syncs, 40),
            fail_read: sometimes(rng, settings.failing_reads, 200),
            full_at_write: sometimes(rng, settings.full_disks, 200),
            short_read: None,
        }
    }

    /// Runs until an error ends the process, or enough is done.
    pub(super) fn live(&mut self) {
        let faults = self.draw_faults();
        self.disk.set_faults(faults);
        // Nothing is in flight before the store is there.
        let Ok(mut store) = self.open() else {
            return self.explain("a store could not be opened", "");
        };
        match self.transactions(&mut store, TRANSACTIONS) {
            Ok(()) if self.rng.one_in(2) => {
                if let Err(error) = store.close() {
                    self.explain("a store could not be closed", &error.to_string());
                }
                return;
            }
            Ok(()) => {}
            Err(error) => self.explain("a transaction failed", &error.to_string()),
        }
        if !self.disk.is_dead() {
            // The process ends as `kill -9` ends it: nothing is closed.
            self.disk.restart();
            self.outcome.restarts += 1;
        }
    }

    /// An error is what a fault leads to; without one it is a finding.
    fn explain(&mut self, what: &str, error: &str) {
        let innocent = self.disk.counts().failed == 0 && !self.disk.is_dead();
        if innocent && self.outcome.lost == 0 {
            self.find(format!(
                "{what} although the disk did nothing wrong: {error}"
            ));
        }
    }

    fn transactions(&mut self, store: &mut Store, count: u64) -> Result<()> {
        for _ in 0..count {
            match self.rng.below(16) {
                0 => self.beside_a_reader(store)?,
                1..=3 => self.tidy(store)?,
                _ => {}
            }
            match self.transaction(store) {
                Err(StoreError::Full(_)) => self.make_room(store)?,
                other => other?,
            }
        }
        Ok(())
    }

    fn now(&self) -> Held {
        self.history.last().cloned().unwrap_or_default()
    }

    /// One transaction on both stores, part by part, with the same answers.
    fn transaction(&mut self, store: &mut Store) -> Result<()> {
        let mut next = self.now();
        let parts: Vec<Part> = (0..1 + self.rng.below(4))
            .map(|_| Part::draw(&mut self.rng))
            .collect();
        let (ahead, drops) = (self.rng.one_in(4), self.rng.one_in(8));
        let before = next.payloads.clone();
        let mut model = next.model.begin();
        let (mut expected_payloads, mut payloads) = (next.payloads.clone(), next.payloads.clone());
        self.durable_payloads.clear();
        self.attempted = parts.iter().flat_map(Part::payloads).collect();
        let mut tx = store.begin()?;
        self.number += 1;
        mark(&mut model, self.number)?;
        mark(&mut tx, self.number)?;
        for part in &parts {
            let expected = run(&mut model, part, &mut expected_payloads)?;
            if run(&mut tx, part, &mut payloads)? != expected {
                self.find(format!("the stores answer {part:?} differently"));
            }
        }
        if ahead {
            tx.commit_payloads()?;
            let there = self
                .attempted
                .iter()
                .filter(|one| payloads.contains(one) && !before.contains(one));
            self.durable_payloads = there.copied().collect();
        }
        if drops {
            drop(tx);
            // What was durable ahead has no entry now; the engine's next start would drop it.
            self.durable_payloads.clear();
            let new = self.attempted.iter().filter(|one| !before.contains(one));
            let orphans: Vec<[u8; 32]> = new.map(|one| payload(*one).id).collect();
            return store.drop_payloads(&orphans);
        }
        let _kept = model.commit()?;
        next.payloads = payloads;
        self.in_flight = Some(next);
        let _durable = tx.commit()?;
        self.durable_payloads.clear();
        if let Some(held) = self.in_flight.take() {
            self.history.push(held);
            self.outcome.acknowledged += 1;
        }
        Ok(())
    }

    /// Between two steps: keys are destroyed, and the log is copied when it is long.
    fn tidy(&mut self, store: &mut Store) -> Result<()> {
        if !store.tidy(WRITTEN, true)? {
            return Ok(());
        }
        let now = self.now();
        let tx = store.begin()?;
        for number in 0..u8::MAX {
            let Some(sealed) = work::known(number) else {
                break;
            };
            if tx.erased(&sealed.id)?.is_some() {
                debug_assert!(
                    !now.payloads.contains(&number),
                    "erased payloads are not held"
                );
                self.destroyed.insert(number);
            }
        }
        Ok(())
    }

    /// A reader that began before some transactions sees nothing of them, and afterwards all of them.
    fn beside_a_reader(&mut self, store: &mut Store) -> Result<()> {
        let disk = Arc::new(self.disk.clone());
        let Ok(reader) = Reader::open(self.layout.clone(), disk) else {
            return Err(StoreError::Io("a reader could not be opened".to_owned()));
        };
        let rows = |reader: &Reader| -> Result<Vec<_>> {
            let tables = Table::ALL.into_iter();
            tables
                .map(|table| reader.rows(table, b"", usize::MAX))
                .collect()
        };
        reader.at_one_moment(|reader| {
            let before = rows(reader)?;
            for _ in 0..2 {
                match self.transaction(store) {
                    Err(StoreError::Full(_)) => self.make_room(store)?,
                    other => other?,
                }
            }
            if rows(reader)? != before {
                self.find("a reader saw what was written after it began");
            }
            Ok(())
        })?;
        let mut now = self.now();
        let model = now.model.begin();
        let expected: Result<Vec<_>> = Table::ALL
            .into_iter()
            .map(|table| model.rows(table, b"", usize::MAX))
            .collect();
        if rows(&reader)? != expected? {
            self.find("a reader does not see what was committed");
        }
        Ok(())
    }

    /// The step that found no room left no trace, reads go on, and with room again so does everything.
    fn make_room(&mut self, store: &mut Store) -> Result<()> {
        self.outcome.full += 1;
        // It never began to be made durable.
        self.in_flight = None;
        let found = state(&store.begin_reading()?)?;
        let mut now = self.now();
        if found != state(&now.model.begin())? {
            self.find("a step that found the disk full left a trace");
        }
        let faults = self.draw_faults();
        self.disk.set_faults(Faults {
            full_at_write: None,
            ..faults
        });
        // Payloads may have been durable ahead of it.
        let new = self.attempted.iter();
        let new = new.filter(|one| !now.payloads.contains(one));
        let orphans: Vec<[u8; 32]> = new.map(|one| payload(*one).id).collect();
        store.drop_payloads(&orphans)
    }
}
