//! What faults do: how each begins, goes on and ends. Everything that lasts is an event of its own, so that two faults of
//! one sort can overlap. May not touch what a node believes: only its machine, its links, and what others send.

mod actors;
mod disks;
mod revoke;
mod rotate;
mod thief;

pub(crate) use actors::show_again;
pub(crate) use revoke::tell as tell_revoked;
pub(crate) use thief::{Thief, instead};

use crate::directory::Backup;
use crate::net::Way;
use crate::plan::{Fault, Part};
use crate::world::{Event, World};
use belfry_protocol::wire::{Range, Version};

/// What a fault does later.
#[derive(Clone)]
pub(crate) enum Running {
    /// A copy of a directory is taken for the fault at this position of the plan.
    Backup { node: usize, number: usize },
    /// These directions open again.
    Open(Vec<Way>),
    /// This direction dies.
    Shut(Way),
    /// A link's state changes again.
    Flap {
        ways: [Way; 2],
        period_us: u64,
        until_us: u64,
        dead: bool,
    },
    /// The weather gets better again.
    Weather(Fault),
    /// There is room on a disk again.
    Room(usize),
    /// A node answers again.
    Speak(usize),
    /// A process is killed while it starts.
    KillAgain {
        node: usize,
        left: u32,
        every_us: u64,
    },
    /// A process is killed in the middle of a sync, unless that is over.
    KillInSync {
        node: usize,
        boot: u64,
        down_us: u64,
    },
    /// The power of a machine fails whose disk lied.
    PowerFails(usize),
    /// A node's second copy ends, and the first one goes on.
    CopyEnds(usize),
    /// Somebody sends what no honest node does, again and again.
    Send {
        what: Fault,
        every_us: u64,
        until_us: u64,
    },
    /// A thief signs another tree.
    Steal(usize),
    /// A thief signs a tree that nobody is shown.
    Hide(usize),
    /// An operator tries to rotate the keys of a node.
    Rotate { node: usize, left: u32 },
    /// An operator tries to revoke this serial of a node, which a newer one has to follow.
    Revoke {
        node: usize,
        serial: u64,
        thief_us: u64,
        left: u32,
    },
    /// A thief of revoked keys does something again.
    Thieve(Thief),
    /// A lying tower forgets again.
    Forget(usize),
}

/// A directory that a fault brings back: whose, and from how many milliseconds before.
pub(crate) fn backup_of(fault: &Fault) -> Option<(usize, u64)> {
    match fault {
        Fault::RollBack { node, back_ms, .. } | Fault::Restore { node, back_ms } => {
            Some((*node, *back_ms))
        }
        _ => None,
    }
}

/// A fault begins.
pub(crate) fn begin(world: &mut World, number: usize) {
    let Some(timed) = world.plan.faults.get(number).filter(|_| !world.healed) else {
        return;
    };
    let fault = timed.fault.clone();
    world.note(fault.name(), number, &[]);
    let for_us = |ms: u64| ms.saturating_mul(1_000);
    match &fault {
        Fault::Partition { nodes, for_ms } => {
            let ways = ways_between(world, nodes);
            shut(world, &ways);
            later(world, for_us(*for_ms), Running::Open(ways));
        }
        Fault::OneWay { from, to, for_ms } => {
            shut(world, &[(*from, *to)]);
            later(world, for_us(*for_ms), Running::Open(vec![(*from, *to)]));
        }
        Fault::Eclipse { node, by, for_ms } => {
            let all = 0..world.nodes.len();
            let ways: Vec<Way> = all
                .filter(|other| other != node && other != by)
                .flat_map(|other| [(*node, other), (other, *node)])
                .collect();
            shut(world, &ways);
            later(world, for_us(*for_ms), Running::Open(ways));
        }
        Fault::Flapping {
            a,
            b,
            period_ms,
            for_ms,
        } => {
            let flap = Running::Flap {
                ways: [(*a, *b), (*b, *a)],
                period_us: for_us(*period_ms).max(1_000),
                until_us: world.now_us + for_us(*for_ms),
                dead: false,
            };
            go_on(world, flap);
        }
        Fault::SwizzleClog { nodes, for_ms } => swizzle(world, nodes, for_us(*for_ms)),
        Fault::Loss { odds, for_ms } => {
            world.net.weather.loss += odds;
            later(world, for_us(*for_ms), Running::Weather(fault.clone()));
        }
        Fault::Duplication { odds, for_ms } => {
            world.watch.mischief = true;
            world.net.weather.duplication += odds;
            later(world, for_us(*for_ms), Running::Weather(fault.clone()));
        }
        Fault::Reordering { odds, for_ms } => {
            world.net.weather.reordering += odds;
            later(world, for_us(*for_ms), Running::Weather(fault.clone()));
        }
        Fault::Corruption { odds, for_ms } => {
            world.watch.mischief = true;
            world.net.weather.corruption += odds;
            later(world, for_us(*for_ms), Running::Weather(fault.clone()));
        }
        Fault::Latency {
            odds,
            extra_ms,
            for_ms,
        } => {
            world.net.weather.slow += odds;
            world.net.weather.slow_extra_us += for_us(*extra_ms);
            later(world, for_us(*for_ms), Running::Weather(fault.clone()));
        }
        Fault::ClockDrift { .. } | Fault::ClockStep { .. } | Fault::Pause { .. } => {
            clocks(world, &fault);
        }
        _ => machines(world, number, &fault),
    }
}

/// Faults of clocks.
fn clocks(world: &mut World, fault: &Fault) {
    let now_us = world.now_us;
    match fault {
        Fault::ClockDrift { node, ppm } => {
            world.watch.clock_changed_us[*node] = now_us;
            world.nodes[*node].clock.drift(now_us, *ppm);
        }
        Fault::ClockStep { node, by_ms } => {
            world.watch.clock_changed_us[*node] = now_us;
            world.nodes[*node].clock.step(by_ms.saturating_mul(1_000));
        }
        Fault::Pause { node, for_ms } => {
            let changed_us = &mut world.watch.clock_changed_us[*node];
            *changed_us = (*changed_us).max(now_us + for_ms * 1_000);
            world.sleep(*node, for_ms * 1_000);
        }
        _ => {}
    }
}

/// Faults of processes and disks, and liars.
fn machines(world: &mut World, number: usize, fault: &Fault) {
    match fault {
        Fault::Crash {
            node,
            down_ms,
            in_sync: true,
        }
        | Fault::SyncError { node, down_ms } => {
            // After a sync that failed it is not known what is on disk: the process stops at once (R9).
            world.nodes[*node].doomed_us = Some(down_ms * 1_000);
        }
        Fault::Crash { node, down_ms, .. } => {
            world.kill(*node);
            world.after(down_ms * 1_000, Event::Start { node: *node });
        }
        Fault::CrashLoop {
            node,
            times,
            every_ms,
        } => {
            let again = Running::KillAgain {
                node: *node,
                left: *times,
                every_us: every_ms * 1_000,
            };
            go_on(world, again);
        }
        Fault::Blackout { down_ms } => {
            for node in 0..world.nodes.len() {
                world.kill(node);
                let jitter_us = world.mischief.below(500_000);
                world.after(down_ms * 1_000 + jitter_us, Event::Start { node });
            }
        }
        Fault::DiskFull { node, for_ms } => {
            world.nodes[*node].fill();
            later(world, for_ms * 1_000, Running::Room(*node));
        }
        Fault::Mute { node, for_ms } => {
            world.nodes[*node].mute += 1;
            later(world, for_ms * 1_000, Running::Speak(*node));
        }
        Fault::RollBack { node, part, .. } => roll_back(world, number, *node, *part),
        Fault::Restore { node, .. } => {
            if let Some(backup) = world.nodes[*node].backups.remove(&number) {
                world.replace(*node, backup, true, 2_000_000);
            }
        }
        Fault::LostDisk { node } => {
            world.replace(*node, Backup::Empty, true, 2_000_000);
        }
        Fault::Rotate { node } => rotate::rotate(world, *node, rotate::TRIES),
        Fault::Revoke { node, thief_ms } => revoke::begin(world, *node, thief_ms * 1_000),
        Fault::SecondCopy { node, for_ms } => second_copy(world, *node, for_ms * 1_000),
        Fault::VersionSkew { node } => {
            let max = Version { major: 1, minor: 1 };
            let both = world.mischief.happens(500_000);
            let (min, max) = if both {
                (Version::V1_0, max)
            } else {
                let two = Version { major: 2, minor: 0 };
                (two, two)
            };
            world.nodes[*node].versions = vec![Range { min, max }];
            world.kill(*node);
            world.after(1_000_000, Event::Start { node: *node });
        }
        Fault::TornWrite { .. } | Fault::LyingSync { .. } | Fault::BitRot { .. } => {
            disks::begin(world, fault);
        }
        other => actors::begin(world, other),
    }
}

/// An old directory comes back, and nothing says so.
fn roll_back(world: &mut World, number: usize, node: usize, part: Part) {
    let Some(backup) = world.nodes[node].backups.remove(&number) else {
        return;
    };
    let now = &world.nodes[node].store;
    let with = match (part, backup) {
        (Part::Ledger, Backup::Memory(old)) => Backup::Memory(old.with_nonces_of(now)),
        (Part::Nonces, Backup::Memory(old)) => Backup::Memory(now.clone().with_nonces_of(&old)),
        // On a disk both are in one file.
        (_, backup) => backup,
    };
    world.replace(node, with, false, 1_000_000);
}

/// A copy of a node's directory runs in its place while the first process lives on unheard.
fn second_copy(world: &mut World, node: usize, for_us: u64) {
    if !world.nodes[node].is_up() || world.aside.contains_key(&node) {
        return;
    }
    for other in 0..world.nodes.len() {
        world.break_link(node, other);
    }
    let Ok(copy) = world.nodes[node].copied() else {
        return;
    };
    let first = std::mem::replace(&mut world.nodes[node], copy);
    world.aside.insert(node, first);
    world.watch.reached("two copies of a node ran at once");
    crate::watch::replaced(world, node);
    world.start(node);
    later(world, for_us, Running::CopyEnds(node));
}

fn copy_ends(world: &mut World, node: usize) {
    let Some(mut first) = world.aside.remove(&node) else {
        return;
    };
    world.kill(node);
    let now_us = world.now_us;
    let second = &world.nodes[node];
    let boot = first.boot;
    let renewed = first.from_sizes.len() != second.from_sizes.len()
        || first.revoked.len() != second.revoked.len();
    first.go_on_after(second);
    first.clock = second.clock.clone();
    world.nodes[node] = first;
    crate::watch::replaced(world, node);
    world.was_unheard(node, boot);
    world.go_on(node);
    if renewed {
        // Its process has not read the keys that were made beside it.
        world.kill(node);
        world.after(1_000_000, Event::Start { node });
    }
    for other in 0..world.nodes.len() {
        if other != node && world.nodes[other].is_up() {
            world.dial_later(node, other);
        }
    }
    world.note("copy ends", node, &now_us.to_be_bytes());
}

/// Links of a group stop one by one, and go on in another order.
fn swizzle(world: &mut World, nodes: &[usize], for_us: u64) {
    let mut ways = ways_between(world, nodes);
    let step_us = for_us / (2 * ways.len().max(1) as u64).max(1);
    let mut order: Vec<Way> = Vec::new();
    while !ways.is_empty() {
        order.push(ways.swap_remove(world.mischief.index(ways.len())));
    }
    for (number, way) in order.iter().enumerate() {
        later(world, step_us * number as u64, Running::Shut(*way));
    }
    let mut left = order;
    let mut at_us = for_us / 2;
    while !left.is_empty() {
        let way = left.swap_remove(world.mischief.index(left.len()));
        at_us += step_us;
        later(world, at_us.max(for_us / 2 + 1), Running::Open(vec![way]));
    }
}

/// Something that a fault does later happens now.
pub(crate) fn go_on(world: &mut World, running: Running) {
    if world.healed {
        return;
    }
    match running {
        Running::Backup { node, number } => {
            let copy = world.nodes[node].backup();
            world.nodes[node].backups.insert(number, copy);
        }
        Running::Open(ways) => {
            for (from, to) in ways {
                world.unblock(from, to);
            }
        }
        Running::Shut(way) => shut(world, &[way]),
        Running::Flap {
            ways,
            period_us,
            until_us,
            dead,
        } => flap(world, ways, period_us, until_us, dead),
        Running::Weather(fault) => clear_up(world, &fault),
        Running::Room(node) => {
            world.nodes[node].make_room();
        }
        Running::Speak(node) => {
            world.nodes[node].mute = world.nodes[node].mute.saturating_sub(1);
        }
        Running::KillAgain {
            node,
            left,
            every_us,
        } => kill_again(world, node, left, every_us),
        Running::KillInSync {
            node,
            boot,
            down_us,
        } => {
            if world.nodes[node].boot == boot && world.nodes[node].syncing.is_some() {
                world.kill(node);
                world.after(down_us, Event::Start { node });
            }
        }
        Running::PowerFails(node) => disks::power_fails(world, node),
        Running::CopyEnds(node) => copy_ends(world, node),
        Running::Rotate { node, left } => rotate::rotate(world, node, left),
        Running::Revoke {
            node,
            serial,
            thief_us,
            left,
        } => revoke::revoke(world, node, serial, thief_us, left),
        Running::Thieve(thief) => thief::go_on(world, thief),
        other => actors::go_on(world, other),
    }
}

fn kill_again(world: &mut World, node: usize, left: u32, every_us: u64) {
    let recovering = world
        .status(node)
        .is_some_and(|status| status.phase == "recovering" || status.phase == "adopting");
    if recovering {
        world
            .watch
            .reached("a process was killed while it recovered");
    }
    world.kill(node);
    let Some(left) = left.checked_sub(1) else {
        return world.after(1_000_000, Event::Start { node });
    };
    world.after(every_us / 2, Event::Start { node });
    let again = Running::KillAgain {
        node,
        left,
        every_us,
    };
    later(world, every_us, again);
}

fn flap(world: &mut World, ways: [Way; 2], period_us: u64, until_us: u64, dead: bool) {
    for (from, to) in ways {
        if dead {
            world.unblock(from, to);
        } else {
            world.block(from, to);
        }
    }
    if !dead {
        world.break_link(ways[0].0, ways[0].1);
    }
    if dead && world.now_us >= until_us {
        return;
    }
    let flap = Running::Flap {
        ways,
        period_us,
        until_us,
        dead: !dead,
    };
    later(world, period_us / 2, flap);
}

fn clear_up(world: &mut World, fault: &Fault) {
    let weather = &mut world.net.weather;
    match fault {
        Fault::Loss { odds, .. } => weather.loss -= odds,
        Fault::Duplication { odds, .. } => weather.duplication -= odds,
        Fault::Reordering { odds, .. } => weather.reordering -= odds,
        Fault::Corruption { odds, .. } => weather.corruption -= odds,
        Fault::Latency { odds, extra_ms, .. } => {
            weather.slow -= odds;
            weather.slow_extra_us -= extra_ms * 1_000;
        }
        _ => {}
    }
}

/// All faults end now; what they planned for later does not happen.
pub(crate) fn end_all(world: &mut World) {
    world.thieves.clear();
    let asides: Vec<usize> = world.aside.keys().copied().collect();
    for node in asides {
        copy_ends(world, node);
    }
    let speaks = Range {
        min: Version::V1_0,
        max: Version::V1_0,
    };
    for node in 0..world.nodes.len() {
        if world.nodes[node].versions != [speaks] {
            world.nodes[node].versions = vec![speaks];
            world.kill(node);
        }
        // A liar is honest from here on, on a disk that it lost.
        if world.watch.liars.remove(&node) {
            world.replace(node, Backup::Empty, true, 1_000_000);
        }
    }
}

/// Both directions between a group and all others.
fn ways_between(world: &World, group: &[usize]) -> Vec<Way> {
    let others = (0..world.nodes.len()).filter(|node| !group.contains(node));
    others
        .flat_map(|other| {
            group
                .iter()
                .flat_map(move |node| [(*node, other), (other, *node)])
        })
        .collect()
}

fn shut(world: &mut World, ways: &[Way]) {
    for (from, to) in ways {
        world.block(*from, *to);
    }
}

fn later(world: &mut World, us: u64, running: Running) {
    world.after(us, Event::Injected(running));
}
