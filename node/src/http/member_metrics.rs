//! Metrics of where a member stands: its phase, its quorum, what towers hold, and alarms. Taken over from the engine;
//! labels are members of the manifest or come from fixed sets.

use super::clock_metrics::ClockMetrics;
use crate::net::Tally;
use belfry_protocol::engine::federation::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// All phases, as a status begins with them.
const PHASES: [&str; 10] = [
    "recovering",
    "adopting",
    "preparing",
    "active",
    "retired",
    "stopped",
    "restoring",
    "asking",
    "tower",
    "expired",
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Origin {
    origin: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// A member's part of the registry.
#[derive(Default)]
pub(super) struct MemberMetrics {
    acked: Gauge,
    towers_connected: Gauge,
    epoch: Gauge,
    manifest_expires: Gauge,
    judged_by: Gauge,
    towers_needed: Gauge,
    held: Family<Origin, Gauge>,
    seen: Family<Origin, Gauge>,
    mirror_acked: Family<Origin, Gauge>,
    phase: Family<Phase, Gauge>,
    alarms: Family<Kind, Counter>,
    clock: ClockMetrics,
    forks: Family<Kind, Gauge>,
    withheld: Gauge,
    odd_digests: Gauge,
    key_range: Gauge,
}

impl MemberMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            clock: ClockMetrics::new(registry),
            ..Self::default()
        };
        let mut gauge = |name: &str, help: &str, metric: &Gauge| {
            registry.register(name, help, metric.clone());
        };
        gauge(
            "ledger_acked_entries",
            "Entries covered by the newest digest that a quorum of towers acknowledged",
            &new.acked,
        );
        gauge(
            "epoch",
            "The newest epoch of the federation in force at this node",
            &new.epoch,
        );
        gauge(
            "manifest_expires_seconds",
            "When the manifest in force ends, in seconds since 1970",
            &new.manifest_expires,
        );
        gauge(
            "ledger_epoch",
            "The epoch whose towers judge this node's ledger; below the newest while a joint digest is missing, -1 without towers",
            &new.judged_by,
        );
        gauge(
            "towers_connected",
            "Towers of this node's ledger that are connected",
            &new.towers_connected,
        );
        gauge(
            "towers_needed",
            "Towers that a digest of this node's ledger needs",
            &new.towers_needed,
        );
        let mut by_origin = |name: &str, help: &str, metric: &Family<Origin, Gauge>| {
            registry.register(name, help, metric.clone());
        };
        by_origin(
            "mirror_held_entries",
            "Entries of a mirrored ledger that are held and covered by a digest",
            &new.held,
        );
        by_origin(
            "mirror_seen_entries",
            "Entries of the newest digest that was seen of a mirrored ledger",
            &new.seen,
        );
        by_origin(
            "mirror_acked_entries",
            "Entries of the newest digest of a mirrored ledger that this tower acknowledged",
            &new.mirror_acked,
        );
        registry.register(
            "phase",
            "1 for the phase that this member is in, 0 for the others",
            new.phase.clone(),
        );
        registry.register(
            "forks",
            "Fork proofs that are kept, by whose signatures contradict each other",
            new.forks.clone(),
        );
        registry.register(
            "mirrors_withheld",
            "Mirrored ledgers of which nobody shows what the newest digest covers",
            new.withheld.clone(),
        );
        registry.register(
            "odd_digests",
            "Digests kept that a member's log key signed and that no honest member signs",
            new.odd_digests.clone(),
        );
        registry.register(
            "mirrors_key_range",
            "Mirrored ledgers whose newest certificate denies their newest digest",
            new.key_range.clone(),
        );
        registry.register(
            "alarms",
            "Alarms since the start, by kind",
            new.alarms.clone(),
        );
        new
    }

    /// Takes over where the engine is, if it could be asked, and how often it called for a human.
    pub(super) fn update(&self, engine: Option<&Status>, alarms: &Tally) {
        for (kind, count) in alarms {
            let counter = self.alarms.get_or_create(&Kind { kind });
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        let Some(status) = engine else { return };
        self.clock.update(&status.clock);
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.acked.set(gauge(status.acked));
        self.epoch.set(gauge(status.epoch));
        self.manifest_expires.set(gauge(status.expires_seconds));
        self.judged_by.set(status.judged_by.map_or(-1, gauge));
        self.towers_connected.set(status.towers_connected.into());
        let needed = status.quorum.as_ref().map_or(0, |quorum| quorum.needed);
        self.towers_needed.set(needed.into());
        for mirror in &status.mirrors {
            let of = Origin {
                origin: mirror.origin.clone(),
            };
            self.held.get_or_create(&of).set(gauge(mirror.held));
            self.seen.get_or_create(&of).set(gauge(mirror.seen));
            self.mirror_acked
                .get_or_create(&of)
                .set(gauge(mirror.acked));
        }
        for kind in ["origin", "tower"] {
            let count = status.forks.iter().filter(|fork| fork.kind == kind).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.forks.get_or_create(&Kind { kind }).set(count);
        }
        let mirrors = |state: &str| {
            let mirrors = status.mirrors.iter().filter(|one| one.state == state);
            i64::try_from(mirrors.count()).unwrap_or(i64::MAX)
        };
        self.withheld.set(mirrors("withheld"));
        self.key_range.set(mirrors("key-range"));
        self.odd_digests.set(gauge(status.odd_digests.len() as u64));
        let now = status.phase.split([':', ',']).next();
        for phase in PHASES {
            let is = i64::from(now == Some(phase));
            self.phase.get_or_create(&Phase { phase }).set(is);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belfry_protocol::engine::federation::io::MirrorStatus;
    use belfry_protocol::manifest::Quorum;

    #[test]
    fn a_lost_quorum_and_an_alarm_can_be_seen() {
        let mut registry = Registry::with_prefix("belfry");
        let metrics = MemberMetrics::new(&mut registry);
        let mut engine = crate::member::testing::status("stopped: another copy");
        engine.acked = 7;
        engine.towers_connected = 1;
        engine.quorum = Quorum::smallest(3);
        engine.mirrors = vec![MirrorStatus {
            origin: "shop.example".to_owned(),
            held: 3,
            tail: 5,
            seen: 4,
            acked: 2,
            state: "key-range",
        }];
        for _ in 0..2 {
            metrics.update(Some(&engine), &[("second-copy", 1)].into());
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "belfry_ledger_acked_entries 7",
            "belfry_epoch 0",
            "belfry_ledger_epoch -1",
            "belfry_towers_connected 1",
            "belfry_towers_needed 2",
            "belfry_mirror_held_entries{origin=\"shop.example\"} 3",
            "belfry_mirror_seen_entries{origin=\"shop.example\"} 4",
            "belfry_mirror_acked_entries{origin=\"shop.example\"} 2",
            "belfry_mirrors_key_range 1",
            "belfry_mirrors_withheld 0",
            "belfry_odd_digests 0",
            "belfry_phase{phase=\"stopped\"} 1",
            "belfry_phase{phase=\"active\"} 0",
            "belfry_alarms_total{kind=\"second-copy\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
