//! Metrics of foreign witnesses. Labels are names of the policy, or come from fixed sets.

use crate::witnessing::Board;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    witness: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    witness: String,
    outcome: &'static str,
}

/// The part of the registry about foreign witnesses.
#[derive(Default)]
pub(super) struct WitnessMetrics {
    cosigned: Family<Of, Gauge>,
    submissions: Family<Ended, Counter>,
}

impl WitnessMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register(
            "foreign_witness_cosigned_entries",
            "Entries covered by the newest digest that a foreign witness cosigned",
            new.cosigned.clone(),
        );
        registry.register(
            "foreign_witness_submissions",
            "Submissions to foreign witnesses since the start, by how they ended",
            new.submissions.clone(),
        );
        new
    }

    pub(super) fn update(&self, board: &Board) {
        for (witness, size) in board.sizes() {
            let gauge = self.cosigned.get_or_create(&Of { witness });
            gauge.set(i64::try_from(size).unwrap_or(i64::MAX));
        }
        for ((witness, outcome), count) in board.counts() {
            let counter = self.submissions.get_or_create(&Ended { witness, outcome });
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}
