//! S8: nothing that others send makes a node keep more than it may. L6: a flood does not keep an honest member's entries
//! from being acknowledged.

use super::is_honest;
use crate::plan::Fault;
use crate::world::World;

/// Longest wait for an ack while nothing but floods goes wrong, in microseconds: many times what a loaded federation needs.
const FLOODED_US: u64 = 30_000_000;

/// Looks at one node's lists.
pub(super) fn lists(world: &mut World, at: usize) {
    if !is_honest(world, at) {
        return;
    }
    let Some(engine) = world.nodes[at].engine() else {
        return;
    };
    let over = engine
        .kept()
        .into_iter()
        .find(|one| one.count > one.at_most);
    if let Some(one) = over {
        let what = format!(
            "it keeps {} {}, at most {}",
            one.count, one.what, one.at_most
        );
        world.watch.fail("S8", Some(at), what);
    }
}

/// Looks how long entries wait, if the plan has floods and nothing else.
pub(super) fn waits(world: &mut World) {
    let faults = &world.plan.faults;
    let only_floods = !faults.is_empty()
        && faults.iter().all(|one| {
            matches!(
                one.fault,
                Fault::Flood { .. }
                    | Fault::HugeQueries { .. }
                    | Fault::Garbage { .. }
                    | Fault::Replay { .. }
            )
        });
    if !only_floods {
        return;
    }
    if !world.watch.latencies.is_empty() {
        world
            .watch
            .reached("entries were acknowledged in the middle of floods");
    }
    let now_us = world.now_us;
    for at in 0..world.nodes.len() {
        let oldest_us = world.watch.oldest_wait_us(at);
        if oldest_us.is_some_and(|since_us| now_us > since_us + FLOODED_US) {
            let what = "an entry waits for its ack, and nothing goes wrong but floods".to_owned();
            world.watch.fail("L6", Some(at), what);
        }
    }
}
