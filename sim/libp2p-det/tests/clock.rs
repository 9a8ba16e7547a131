//! Guards against a simulation in which time passes and libp2p does not notice: heartbeats of gossip must have run as often
//! as simulated time says, and real time must not have passed for them.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_libp2p_det::federation::Federation;
use belfry_libp2p_det::time::{elapsed, simulate};
use belfry_libp2p_det::wire::{Net, Weather};
use belfry_sim::plan::Topology;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What libp2p says in every heartbeat of a topic whose mesh has fewer than two peers, as in a federation of two.
const SAID: &str = "HEARTBEAT: Mesh low";
const TOPICS: u64 = 4;

/// Counts heartbeats by what libp2p says in them.
#[derive(Clone, Default)]
struct Heartbeats(Arc<AtomicU64>);

impl Subscriber for Heartbeats {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("libp2p_gossipsub")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Says(&self.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Says<'a>(&'a AtomicU64);

impl Visit for Says<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" && format!("{value:?}").starts_with(SAID) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn two() -> Topology {
    Topology {
        factories: 1,
        both: 0,
        towers: 1,
        quorum: 1,
        named: Vec::new(),
        regions: Vec::new(),
        latency_us: Vec::new(),
    }
}

#[test]
fn heartbeats_run_in_virtual_time_and_no_real_time_passes() {
    let seconds = 900;
    let heartbeats = Heartbeats::default();
    let counted = Arc::clone(&heartbeats.0);
    let real = Instant::now();
    let (mono, wall) = simulate(7, move || async move {
        let _counts = tracing::subscriber::set_default(heartbeats);
        let net = Net::new(7, &two(), Weather::default());
        let mut federation = Federation::found(&two().seats(), net).unwrap();
        // These are the simulation's, as are those of all that runs in this thread.
        let (mono, wall) = (Instant::now(), SystemTime::now());
        for at in 0..federation.count() {
            federation.start(at).unwrap();
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        federation.is_well().await.unwrap();
        (mono.elapsed(), wall.elapsed().unwrap())
    })
    .unwrap();
    let asked_for = Duration::from_secs(seconds);
    assert_eq!((mono, wall), (asked_for, asked_for));
    assert!(real.elapsed() < asked_for / 2, "{:?}", real.elapsed());
    assert_eq!(elapsed(), None, "no other thread is in the simulation");
    // The first comes after a second and a half.
    let each = counted.load(Ordering::Relaxed) / (2 * TOPICS);
    assert!((seconds - 5..=seconds).contains(&each), "{each} heartbeats");
}
