//! Metrics of this node's keys: serial, age, end, and how urgent a rotation is (R6). Read from the public files at every look.

use crate::key_state::{KeyState, LEVELS};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// The part of the registry about keys.
#[derive(Default)]
pub(super) struct KeyMetrics {
    serial: Gauge,
    age: Gauge,
    expires: Gauge,
    state: Family<State, Gauge>,
}

impl KeyMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self::default();
        let mut gauge = |name: &str, help: &str, metric: &Gauge| {
            registry.register(name, help, metric.clone());
        };
        gauge(
            "key_serial",
            "Serial of the newest operational keys",
            &new.serial,
        );
        gauge(
            "key_age_seconds",
            "Age of the newest operational keys",
            &new.age,
        );
        gauge(
            "key_expiry_timestamp_seconds",
            "When their certificate ends, in seconds since 1970",
            &new.expires,
        );
        registry.register(
            "key_state",
            "1 for how urgent a rotation of the keys is, 0 for the others",
            new.state.clone(),
        );
        new
    }

    /// Takes over what the files say; what cannot be read stays as it was.
    pub(super) fn update(&self, keys: Option<&KeyState>) {
        let Some((keys, newest)) = keys.and_then(|keys| Some((keys, keys.newest()?))) else {
            return;
        };
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.serial.set(gauge(newest.serial));
        self.age.set(gauge(keys.age_seconds()));
        self.expires.set(gauge(newest.not_after_seconds));
        let now = keys.rotation().level;
        for (level, state) in LEVELS {
            let is = i64::from(level == now);
            self.state.get_or_create(&State { state }).set(is);
        }
    }
}
