//! What a store must hold after a crash, and whether it does.

use super::work::{known, number_of, payload, state};
use super::{Held, STARTS, Trial};
use crate::disk::Faults;
use belfry_node::store::payloads::PayloadReader;
use belfry_node::store::{Reader, Store};
use belfry_protocol::engine::store::Transaction;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Trial<'_> {
    /// Starts the store again, looks at everything, and takes what it finds as held from now on. `false` if nothing can go
    /// on from there.
    pub(super) fn judge(&mut self) -> bool {
        let mut store = match self.start_again() {
            Ok(store) => store,
            Err(error) => {
                self.find(format!("the store cannot be opened after a crash: {error}"));
                return false;
            }
        };
        let found = match store.begin().map_err(|error| error.to_string()) {
            Ok(tx) => state(&tx).map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.find(format!("the store cannot be read after a crash: {error}"));
                return false;
            }
        };
        let in_flight = self.in_flight.take();
        let Some(held) = self.identify(&found, in_flight.as_ref()) else {
            self.find("the store holds what no transaction left");
            return false;
        };
        self.judge_payloads(&mut store, &held);
        self.judge_integrity();
        drop(store);
        self.history = vec![held];
        self.durable_payloads.clear();
        self.outcome.is_sound()
    }

    /// A start may die, too, and then the next one finds what the first one would have.
    fn start_again(&mut self) -> Result<Store, String> {
        // What was still to go wrong does not.
        self.disk.set_faults(Faults::default());
        for _ in 0..STARTS {
            if self.rng.one_in(2) {
                self.disk.set_faults(Faults {
                    die_at_op: Some(self.rng.below(60)),
                    ..Faults::default()
                });
            }
            let opened = self.open();
            let died = self.disk.is_dead();
            self.disk.set_faults(Faults::default());
            if !died {
                return opened;
            }
            drop(opened);
            self.outcome.died_starting += 1;
            self.outcome
                .crashes
                .push(self.disk.crash(self.settings.unsynced));
        }
        self.open()
    }

    /// Which commit left this state.
    fn identify(&mut self, found: &[String], in_flight: Option<&Held>) -> Option<Held> {
        let is_it = |held: &Held| {
            let mut model = held.model.clone();
            state(&model.begin()).is_ok_and(|expected| expected == found)
        };
        if let Some(held) = in_flight {
            if is_it(held) {
                self.outcome.in_flight_kept += 1;
                return Some(held.clone());
            }
            self.outcome.in_flight_lost += 1;
        }
        // The newest: two commits may have left the same.
        let at = self.history.iter().rposition(is_it)?;
        self.outcome.lost += (self.history.len() - 1 - at) as u64;
        Some(self.history[at].clone())
    }

    fn judge_payloads(&mut self, store: &mut Store, held: &Held) {
        let rows = match store.orphans(0) {
            Ok(rows) => rows,
            Err(error) => return self.find(format!("payloads cannot be read: {error}")),
        };
        let numbers = rows.iter().filter_map(|(_, id)| number_of(id));
        let there: BTreeSet<u8> = numbers.collect();
        if self.outcome.lost > 0 {
            // What was lost took its payloads and erasures with it; that is said already.
            return;
        }
        let must: BTreeSet<u8> = held
            .payloads
            .iter()
            .chain(&self.durable_payloads)
            .copied()
            .filter(|one| !self.destroyed.contains(one))
            .collect();
        if let Some(missing) = must.difference(&there).next() {
            self.find(format!("payload {missing} is lost, and its entry is not"));
        }
        let mut model = held.model.clone();
        let model = model.begin();
        let erased = |number: u8| matches!(model.erased(&payload(number).id), Ok(Some(_)));
        let may = |number: u8| {
            must.contains(&number)
                || self.attempted.contains(&number)
                || (erased(number) && !self.destroyed.contains(&number))
        };
        if let Some(stray) = there.iter().copied().find(|number| !may(*number)) {
            self.find(format!(
                "payload {stray} is there, and nothing left it there"
            ));
        }
        for number in self.destroyed.clone() {
            let Some(sealed) = known(number) else {
                continue;
            };
            if self.disk.holds(&sealed.key) {
                self.find(format!(
                    "the key of payload {number} was destroyed, and is on the disk"
                ));
            }
        }
        // As a start does: what has no entry goes.
        let orphans = self
            .attempted
            .drain(..)
            .filter(|one| !held.payloads.contains(one));
        let lost: Vec<[u8; 32]> = orphans.map(|one| payload(one).id).collect();
        if let Err(error) = store.drop_payloads(&lost) {
            self.find(format!(
                "payloads without entries cannot be dropped: {error}"
            ));
        }
    }

    fn judge_integrity(&mut self) {
        let disk = Arc::new(self.disk.clone());
        let ledger = Reader::open(self.layout.clone(), disk.clone())
            .map_err(|error| error.to_string())
            .and_then(|reader| reader.integrity().map_err(|error| error.to_string()));
        let payloads = PayloadReader::open(&self.layout, disk.as_ref())
            .map_err(|error| error.to_string())
            .and_then(|reader| reader.integrity().map_err(|error| error.to_string()));
        for (name, found) in [("ledger.db", ledger), ("payloads.db", payloads)] {
            match found {
                Ok(problems) if problems.is_empty() => {}
                Ok(problems) => self.find(format!("{name} is damaged: {}", problems.join("; "))),
                Err(error) => self.find(format!("{name} cannot be checked: {error}")),
            }
        }
    }
}
