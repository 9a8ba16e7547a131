//! A member's operator rotates its keys (R6): between two steps, once the node knows what it signed, as the product does. May not
//! make keys for a node that would refuse them.

use super::{Running, later};
use crate::world::World;
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::store::Record;

/// Pause between two tries, in microseconds.
const AGAIN_US: u64 = 200_000;
/// Tries: an operator gives up after ten seconds.
pub(super) const TRIES: u32 = 50;

/// Rotates the keys of a node now, or tries again soon.
pub(super) fn rotate(world: &mut World, at: usize, left: u32) {
    let node = &mut world.nodes[at];
    let now = node.clock.now(world.now_us);
    let head = node.record(Record::Head);
    // A tower that never appended has no head.
    let head = head.map_or(Some(Head::default()), |bytes| Head::decode(&bytes));
    let from = match (node.engine(), head) {
        // A step whose sync is under way is not over.
        (Some(engine), Some(head)) if node.is_idle() => {
            engine.next_from_size(now, head.size(), head.signed).ok()
        }
        _ => None,
    };
    let made = from.and_then(|from| node.take_serial(from).ok());
    match made {
        Some(()) => world.watch.reached("a member rotated its keys"),
        None if left > 0 => {
            let again = Running::Rotate {
                node: at,
                left: left - 1,
            };
            later(world, AGAIN_US, again);
        }
        None => {}
    }
}
