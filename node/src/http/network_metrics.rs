//! Metrics of a member's network, taken over from what transport, verifiers and engine count themselves.
//! Counts nothing by itself, and labels come from fixed sets only.

use crate::member::Traffic;
use belfry_protocol::engine::federation::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The one label of these metrics.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Resource {
    resource: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verdict {
    verdict: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Protocol {
    protocol: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    kind: &'static str,
    outcome: &'static str,
}

/// The network's part of the registry.
#[derive(Default)]
pub(super) struct NetworkMetrics {
    connected: Gauge,
    dial_failures: Counter,
    refused: Family<Reason, Counter>,
    engine_refused: Family<Reason, Counter>,
    over_quota: Family<Resource, Counter>,
    gossip: Family<Verdict, Counter>,
    received: Family<Protocol, Counter>,
    sent: Family<Protocol, Counter>,
    reports_dropped: Counter,
    commands_dropped: Counter,
    verifier_dropped: Counter,
    verifier_waited: Counter,
    nonces: Family<Outcome, Counter>,
    wall_steps: Counter,
}

impl NetworkMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self::default();
        let mut counter = |name: &str, help: &str, metric: &Counter| {
            registry.register(name, help, metric.clone());
        };
        counter(
            "net_dial_failures",
            "Dials of members that failed",
            &new.dial_failures,
        );
        counter(
            "net_reports_dropped",
            "Reports of the transport that were left out because nobody read them",
            &new.reports_dropped,
        );
        counter(
            "net_commands_dropped",
            "Messages of the engine that the transport had no room for",
            &new.commands_dropped,
        );
        counter(
            "net_verifier_dropped",
            "Gossip dropped because the signature checks were behind",
            &new.verifier_dropped,
        );
        counter(
            "net_verifier_waited",
            "Messages that waited because the signature checks were behind",
            &new.verifier_waited,
        );
        counter(
            "wall_clock_steps",
            "Steps of the wall clock",
            &new.wall_steps,
        );
        registry.register(
            "nonces",
            "Messages that anti-replay accepted or refused, by outcome",
            new.nonces.clone(),
        );
        registry.register(
            "net_connected_members",
            "Members that are connected and admitted",
            new.connected.clone(),
        );
        registry.register(
            "net_refused",
            "What the transport turned away, by reason",
            new.refused.clone(),
        );
        registry.register(
            "engine_refused",
            "Messages that the engine gave up, by reason",
            new.engine_refused.clone(),
        );
        registry.register(
            "net_over_quota",
            "Messages over a quota, by resource; own_: requests of this node that it did not send",
            new.over_quota.clone(),
        );
        registry.register(
            "net_gossip",
            "Gossip that was judged, by verdict",
            new.gossip.clone(),
        );
        registry.register(
            "net_received_bytes",
            "Payload bytes received, by protocol",
            new.received.clone(),
        );
        registry.register(
            "net_sent_bytes",
            "Payload bytes sent, by protocol",
            new.sent.clone(),
        );
        new
    }

    /// Takes over the numbers; `engine` is how far the engine is, if it could be asked.
    pub(super) fn update(&self, traffic: &Traffic, engine: Option<&Status>) {
        let net = &traffic.net;
        let connected = i64::try_from(net.admitted).unwrap_or(i64::MAX);
        self.connected.set(connected);
        raise(&self.dial_failures, net.dial_failures);
        raise(&self.reports_dropped, net.outbox_drops);
        raise(&self.commands_dropped, traffic.commands_dropped);
        raise(&self.verifier_dropped, traffic.verifier_dropped);
        raise(&self.verifier_waited, traffic.verifier_waited);
        for (reason, count) in &net.refused {
            raise(&self.refused.get_or_create(&Reason { reason }), *count);
        }
        for (reason, count) in engine.into_iter().flat_map(|status| &status.refused) {
            let family = &self.engine_refused;
            raise(&family.get_or_create(&Reason { reason }), *count);
        }
        if let Some(status) = engine {
            raise(&self.wall_steps, status.wall_steps);
            for (kind, outcome, count) in status.nonces.by_outcome() {
                let of = Outcome { kind, outcome };
                raise(&self.nonces.get_or_create(&of), count);
            }
        }
        for (resource, count) in &net.quota {
            let family = &self.over_quota;
            raise(&family.get_or_create(&Resource { resource }), *count);
        }
        for (verdict, count) in &net.verdicts {
            raise(&self.gossip.get_or_create(&Verdict { verdict }), *count);
        }
        for (protocol, count) in &net.received {
            raise(&self.received.get_or_create(&Protocol { protocol }), *count);
        }
        for (protocol, count) in &net.sent {
            raise(&self.sent.get_or_create(&Protocol { protocol }), *count);
        }
    }
}

/// Sets a counter to a number that only grows. Two scrapes at once may both add: the one with the older number adds 0.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_over_and_not_added_up() {
        let mut registry = Registry::with_prefix("belfry");
        let metrics = NetworkMetrics::new(&mut registry);
        let mut traffic = Traffic::default();
        traffic.net.admitted = 3;
        traffic.net.refused.insert("lobby full", 5);
        traffic.net.quota.insert("entries", 2);
        traffic.verifier_dropped = 7;
        let mut engine = crate::member::testing::status("active");
        engine.refused = vec![("hello", 1)];
        engine.wall_steps = 2;
        engine.nonces.stream_replayed = 4;
        for _ in 0..2 {
            metrics.update(&traffic, Some(&engine));
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "belfry_net_connected_members 3",
            "belfry_net_refused_total{reason=\"lobby full\"} 5",
            "belfry_engine_refused_total{reason=\"hello\"} 1",
            "belfry_net_over_quota_total{resource=\"entries\"} 2",
            "belfry_net_verifier_dropped_total 7",
            "belfry_wall_clock_steps_total 2",
            "belfry_nonces_total{kind=\"stream\",outcome=\"replayed\"} 4",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
