//! What disks do wrong: power that fails within a write, syncs that lie, bits that flip. Only nodes whose store is on a
//! simulated disk have any.

use super::{Running, later};
use crate::plan::Fault;
use crate::world::World;

/// Operations within which the power fails: some steps, or a start.
const POWER_OPS: u64 = 80;

/// A fault of a disk begins.
pub(super) fn begin(world: &mut World, fault: &Fault) {
    match fault {
        Fault::TornWrite { node, down_ms } => {
            // As often as not the first thing that is written is what a start writes.
            if world.mischief.happens(500_000) && world.nodes[*node].drive.is_some() {
                world.kill(*node);
                world.after(1_000, crate::world::Event::Start { node: *node });
            }
            if let Some(drive) = &mut world.nodes[*node].drive {
                drive.down_us = Some(down_ms * 1_000);
                drive.lose_power(POWER_OPS);
            }
        }
        Fault::LyingSync {
            node,
            one_in,
            for_ms,
        } => {
            if let Some(drive) = &mut world.nodes[*node].drive {
                drive.lie(*one_in);
            }
            later(world, for_ms * 1_000, Running::PowerFails(*node));
        }
        Fault::BitRot { node } => {
            if let Some(drive) = &mut world.nodes[*node].drive
                && drive.rot()
            {
                world.watch.reached("a bit of a file flipped");
            }
        }
        _ => {}
    }
}

/// Syncs lied, and now the power fails: what they said is there is not.
pub(super) fn power_fails(world: &mut World, node: usize) {
    let Some(drive) = &mut world.nodes[node].drive else {
        return;
    };
    drive.power_fails = true;
    world.kill(node);
    if let Some(drive) = &mut world.nodes[node].drive {
        drive.lie(0);
    }
    world.after(1_000_000, crate::world::Event::Start { node });
}
