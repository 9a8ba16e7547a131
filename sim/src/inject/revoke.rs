//! A member's operator rotates its keys and then revokes the older ones (R6), as `belfry key rotate` and `key revoke` do:
//! what was revoked signs nothing more before anybody hears of it. May not revoke what no newer serial follows.

use super::thief::Thief;
use super::{Running, later, rotate};
use crate::world::World;
use belfry_protocol::engine::federation::Input;

/// Between the rotation and the revocation, at least, in microseconds: messages are signed by the older keys for so long.
const PAUSE_US: u64 = 5_000_000;
/// Pause between two tries, in microseconds.
const AGAIN_US: u64 = 500_000;
/// Tries: a rotation takes as long as its node does not know what it signed.
const TRIES: u32 = 60;

/// An operator begins: the newest serial is to be followed by another, and revoked.
pub(super) fn begin(world: &mut World, node: usize, thief_us: u64) {
    let serial = world.nodes[node].from_sizes.len() as u64;
    rotate::rotate(world, node, rotate::TRIES);
    let next = Running::Revoke {
        node,
        serial,
        thief_us,
        left: TRIES,
    };
    later(world, PAUSE_US, next);
}

/// Revokes a serial now, or tries again soon.
pub(super) fn revoke(world: &mut World, at: usize, serial: u64, thief_us: u64, left: u32) {
    let node = &mut world.nodes[at];
    let newest = node.from_sizes.len() as u64;
    if newest <= serial || !node.is_idle() {
        if left > 0 {
            let again = Running::Revoke {
                node: at,
                serial,
                thief_us,
                left: left - 1,
            };
            later(world, AGAIN_US, again);
        }
        return;
    }
    if !node.revoked.insert(serial) {
        return;
    }
    #[cfg(feature = "sabotage")]
    let goes_on = world.plan.sabotage == Some(crate::plan::Sabotage::RevokedKeysSign);
    #[cfg(not(feature = "sabotage"))]
    let goes_on = false;
    if !goes_on && let Err(error) = world.nodes[at].renew() {
        return world
            .watch
            .start_failed(world.now_us, at, &error.to_string());
    }
    crate::watch::revoked(world, at, serial);
    tell(world, at);
    if thief_us > 0 {
        let until_us = world.now_us + thief_us;
        super::thief::begin(world, Thief::new(at, serial, until_us));
    }
}

/// A process is told what its operator revoked: when that happens, and at every start.
pub(crate) fn tell(world: &mut World, at: usize) {
    let node = &world.nodes[at];
    let revoked = node.revoked.iter();
    let notes = revoked.filter_map(|serial| {
        crate::founding::revocation(&node.name, &node.from_sizes, *serial).ok()
    });
    let inputs: Vec<Input> = notes.map(|note| Input::Revoke(Box::new(note))).collect();
    for input in inputs {
        world.tell(at, input);
    }
}
