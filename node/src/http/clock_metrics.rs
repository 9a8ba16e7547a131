//! Metrics of clocks: offsets with both ends of their uncertainty, and the verdict on the own one. Taken over from the
//! engine; labels are members of the manifest or come from fixed sets.

use belfry_protocol::clock::{Interval, Verdict};
use belfry_protocol::engine::federation::skew::ClockStatus;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Peer {
    peer: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    verdict: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The clocks' part of the registry.
#[derive(Default)]
pub(super) struct ClockMetrics {
    offset_low: Family<Peer, Seconds>,
    offset_high: Family<Peer, Seconds>,
    own_low: Seconds,
    own_high: Seconds,
    verdict: Family<Of, Gauge>,
    confirmed: Gauge,
    samples: Counter,
    discarded: Family<Reason, Counter>,
    steps: Family<Peer, Counter>,
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a metric in seconds needs no more than 52 bits of microseconds"
)]
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// Both ends; what is not known is no number.
fn ends(interval: Option<Interval>) -> (f64, f64) {
    interval.map_or((f64::NAN, f64::NAN), |one| {
        (seconds(one.lo_us), seconds(one.hi_us))
    })
}

impl ClockMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register(
            "clock_offset_low_seconds",
            "How far a member's clock is ahead of this node's at least",
            new.offset_low.clone(),
        );
        registry.register(
            "clock_offset_high_seconds",
            "How far a member's clock is ahead of this node's at most",
            new.offset_high.clone(),
        );
        registry.register(
            "clock_own_low_seconds",
            "How far this node's clock is ahead of the federation's time at least",
            new.own_low.clone(),
        );
        registry.register(
            "clock_own_high_seconds",
            "How far this node's clock is ahead of the federation's time at most",
            new.own_high.clone(),
        );
        registry.register(
            "clock_verdict",
            "1 for the verdict on this node's clock, 0 for the others",
            new.verdict.clone(),
        );
        registry.register(
            "clock_confirmed",
            "Whether this node's clock is confirmed for single requests",
            new.confirmed.clone(),
        );
        registry.register(
            "clock_samples",
            "Probes of members' clocks that were taken since the start",
            new.samples.clone(),
        );
        registry.register(
            "clock_samples_discarded",
            "Probes of members' clocks that showed nothing, by reason",
            new.discarded.clone(),
        );
        registry.register(
            "clock_peer_steps",
            "Steps of members' clocks that were seen since the start",
            new.steps.clone(),
        );
        new
    }

    /// Takes over what the engine knows.
    pub(super) fn update(&self, clock: &ClockStatus) {
        for peer in &clock.peers {
            let of = Peer {
                peer: peer.name.clone(),
            };
            let (low, high) = ends(peer.offset);
            self.offset_low.get_or_create(&of).set(low);
            self.offset_high.get_or_create(&of).set(high);
            let steps = self.steps.get_or_create(&of);
            steps.inc_by(peer.steps.saturating_sub(steps.get()));
        }
        let (low, high) = ends(clock.own);
        self.own_low.set(low);
        self.own_high.set(high);
        for verdict in Verdict::ALL {
            let of = Of {
                verdict: verdict.name(),
            };
            let is = i64::from(verdict == clock.verdict);
            self.verdict.get_or_create(&of).set(is);
        }
        let confirmed = matches!(clock.confirmed, Some(Ok(_)));
        self.confirmed.set(i64::from(confirmed));
        self.samples
            .inc_by(clock.samples.saturating_sub(self.samples.get()));
        for (reason, count) in &clock.discarded {
            let counter = self.discarded.get_or_create(&Reason { reason });
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belfry_protocol::engine::federation::skew::PeerClock;

    #[test]
    fn offsets_have_two_ends_and_what_is_unknown_is_no_number() {
        let mut registry = Registry::with_prefix("belfry");
        let metrics = ClockMetrics::new(&mut registry);
        let clock = ClockStatus {
            verdict: Verdict::Violated,
            samples: 7,
            discarded: vec![("absurd", 2)],
            peers: vec![PeerClock {
                name: "north.example".to_owned(),
                offset: Some(Interval {
                    lo_us: -250_000,
                    hi_us: 500_000,
                }),
                verdict: Verdict::Undetermined,
                agrees: true,
                min_rtt_us: Some(9),
                samples: 4,
                window_us: 1,
                steps: 3,
            }],
            ..ClockStatus::default()
        };
        metrics.update(&clock);
        metrics.update(&clock);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "belfry_clock_offset_low_seconds{peer=\"north.example\"} -0.25",
            "belfry_clock_offset_high_seconds{peer=\"north.example\"} 0.5",
            "belfry_clock_own_low_seconds NaN",
            "belfry_clock_verdict{verdict=\"violated\"} 1",
            "belfry_clock_verdict{verdict=\"ok\"} 0",
            "belfry_clock_confirmed 0",
            "belfry_clock_samples_total 7",
            "belfry_clock_samples_discarded_total{reason=\"absurd\"} 2",
            "belfry_clock_peer_steps_total{peer=\"north.example\"} 3",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
