//! S9: an interval that a node shows for a peer's clock holds the true offset, as long as neither clock was touched and
//! none drifts beyond the bound.

use crate::world::World;
use belfry_protocol::clock::Interval;

/// After a clock was set by less than what probes cannot tell, samples from before and after it fit together until the old
/// ones left the window: so many of them, one and a half pauses apart at most.
const SAMPLES: u64 = 64;

/// Looks at all intervals of one node.
pub(super) fn look(world: &mut World, at: usize, offsets: &[(usize, Interval)]) {
    let now_us = world.now_us;
    let settled_us = SAMPLES * world.plan.pace.probe_ms * 1_500;
    let settled = |world: &World, node: usize| {
        let changed_us = world.watch.clock_changed_us[node];
        changed_us == 0 || now_us > changed_us + settled_us
    };
    if !settled(world, at) || world.nodes[at].asleep_us.is_some() {
        return;
    }
    let own_us = world.nodes[at].clock.ahead_us(now_us);
    for (other, offset) in offsets {
        let other = *other;
        if !settled(world, other) || !super::is_honest(world, other) {
            continue;
        }
        let true_us = world.nodes[other].clock.ahead_us(now_us) - own_us;
        let half_us = (offset.hi_us - offset.lo_us).unsigned_abs() / 2;
        world.watch.skews.push((half_us, true_us.unsigned_abs()));
        if true_us < offset.lo_us || true_us > offset.hi_us {
            let what = format!(
                "it shows {}..{} µs for the clock of {}, which is {true_us} µs ahead",
                offset.lo_us, offset.hi_us, world.nodes[other].name
            );
            world.watch.fail("S9", Some(at), what);
        }
    }
}

/// Most intervals that are kept for the report: more than a drawing shows.
const MAX_SHOWN: usize = 100_000;

/// Some of what was seen, evenly: when there is too much, every second one goes, and from then on as many come.
#[derive(Clone, Debug)]
pub(crate) struct Thinned {
    pub(crate) kept: Vec<(u64, u64)>,
    every: u64,
    seen: u64,
}

impl Default for Thinned {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            every: 1,
            seen: 0,
        }
    }
}

impl Thinned {
    fn push(&mut self, one: (u64, u64)) {
        if self.seen.is_multiple_of(self.every) {
            if self.kept.len() >= MAX_SHOWN {
                let mut number = 0_u64;
                self.kept.retain(|_| {
                    number += 1;
                    number % 2 == 1
                });
                self.every *= 2;
            }
            if self.seen.is_multiple_of(self.every) {
                self.kept.push(one);
            }
        }
        self.seen += 1;
    }
}
