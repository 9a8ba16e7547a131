//! Single requests against part (d) of the models: the set of everything that was ever accepted.
//! Time is in ticks of 10 s: the window is 30 back and 3 ahead, the clock bound is 1, so that edges are hit often.

use super::*;
use crate::engine::Now;
use crate::engine::mem::{MemStore, MemTransaction};
use crate::engine::store::Transaction;
use crate::entry::time::TimeUs;
use crate::tlog::hash::Hash;
use crate::wire::MemberId;
use proptest::prelude::*;
use std::collections::BTreeSet;

const TICK: i64 = 10_000_000;
const BOUND: u64 = 10_000_000;
const A: MemberId = MemberId(Hash([1; 32]));

fn in_tx<T>(
    store: &mut MemStore,
    act: impl FnOnce(&mut MemTransaction<'_>) -> Result<T, StoreError>,
) -> T {
    let mut tx = store.begin();
    let result = act(&mut tx).unwrap();
    tx.commit().unwrap();
    result
}

/// What may happen to a node with single requests.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes, in ticks.
    Pass(i64),
    /// The wall clock steps, in ticks; whether the runtime notices.
    Step(i64, bool),
    /// A step to so many ticks from true time.
    Correct(i64),
    /// A request with this nonce, stamped so many ticks from true time.
    Request(u8, i64),
    /// Everything that was ever sent is sent again.
    Replay,
    Prune,
    Backup,
    Restore,
    Reboot,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0i64..12).prop_map(Event::Pass),
        1 => (-31i64..32, any::<bool>()).prop_map(|(by, seen)| Event::Step(by, seen)),
        4 => (-1i64..=1).prop_map(Event::Correct),
        8 => (0u8..40, prop_oneof![-32i64..6, 2i64..5]).prop_map(|(n, at)| Event::Request(n, at)),
        4 => Just(Event::Replay),
        2 => Just(Event::Prune),
        2 => Just(Event::Backup),
        3 => Just(Event::Restore),
        1 => Just(Event::Reboot),
    ];
    prop::collection::vec(event, 1..60)
}

/// A node whose clock is off by `off` ticks, as far as a probe can tell exactly.
struct Node {
    store: MemStore,
    state: ClockState,
    /// True time since the boot, and true time, in ticks.
    mono: u64,
    time: i64,
    off: i64,
    restored: bool,
    accepted: BTreeSet<(i64, u8)>,
}

impl Node {
    /// Probes, as a node does all the time; ends a restore as soon as it may.
    fn clock(&mut self) -> Option<ConfirmedClock> {
        let now = Now {
            mono_us: self.mono * BOUND,
            wall: TimeUs::from_micros((self.time + self.off) * TICK).unwrap(),
        };
        let offset = Interval {
            lo_us: self.off * TICK,
            hi_us: self.off * TICK,
        };
        // What is confirmed already must be right before the probe, too: a step must not go unseen.
        if let Ok(clock) = self.state.now(now) {
            assert!(self.off.abs() <= 1, "{clock:?}");
        }
        self.state.confirm(now, offset, BOUND);
        let clock = self.state.now(now).ok()?;
        if std::mem::take(&mut self.restored) {
            in_tx(&mut self.store, |tx| after_restore(tx, clock, BOUND));
        }
        Some(clock)
    }

    fn request(&mut self, stamp: i64, n: u8) {
        let Some(clock) = self.clock() else { return };
        let outcome = in_tx(&mut self.store, |tx| {
            accept_once(tx, A, [n; 16], stamp * TICK, clock)
        });
        if outcome.is_ok() {
            assert!(self.accepted.insert((stamp, n)), "twice: {stamp} {n}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Part (d) of the models: restores, steps both ways, reboots; a signed request never takes effect twice.
    #[test]
    fn no_request_is_accepted_twice(events in events()) {
        let mut node = Node {
            store: MemStore::default(),
            state: ClockState::default(),
            mono: 0,
            time: 1_000,
            off: 0,
            restored: false,
            accepted: BTreeSet::new(),
        };
        let (mut backup, mut sent) = (node.store.clone(), BTreeSet::new());
        let mut floor_before = None;
        for event in events {
            match event {
                Event::Pass(ticks) => {
                    node.time += ticks;
                    node.mono += ticks.unsigned_abs();
                }
                Event::Step(by, seen) => {
                    node.off += by;
                    if seen { node.state.on_wall_step(); }
                }
                Event::Correct(to) => node.off = to,
                Event::Request(n, at) => {
                    sent.insert((node.time + at, n));
                    node.request(node.time + at, n);
                }
                Event::Replay => for (stamp, n) in sent.clone() { node.request(stamp, n); },
                Event::Prune => if let Some(clock) = node.clock() {
                    in_tx(&mut node.store, |tx| prune(tx, clock));
                },
                Event::Backup => backup = node.store.clone(),
                Event::Restore => {
                    node.store = backup.clone();
                    node.restored = true;
                    node.state = ClockState::default();
                    floor_before = None;
                }
                Event::Reboot => {
                    node.state = ClockState::default();
                    node.mono = 0;
                }
            }
            let floor = in_tx(&mut node.store, |tx| single::floor(tx));
            prop_assert!(floor >= floor_before);
            floor_before = floor;
        }
    }
}
