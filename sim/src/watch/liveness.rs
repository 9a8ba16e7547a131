//! What must be well some time after the last fault (L1-L6): everybody runs, is connected, and holds and acknowledged the
//! same; what was proven is known to all.

use super::{audit, bounds, clocks, is_honest, revoked};
use crate::world::World;
use belfry_protocol::engine::federation::Status;
use belfry_protocol::engine::store::Record;

/// Looks at all nodes while the run goes on.
pub(crate) fn look(world: &mut World) {
    world.watch.time(world.now_us);
    let mut appending = 0;
    for at in 0..world.nodes.len() {
        let node = &world.nodes[at];
        let Some(engine) = node.engine() else {
            continue;
        };
        if !engine.may_append() {
            appending += 1;
        }
        let offsets = engine.clock_offsets(node.clock.now(world.now_us));
        clocks::look(world, at, &offsets);
        bounds::lists(world, at);
        revoked::look(world, at);
    }
    bounds::waits(world);
    audit::ask(world);
    let down = world.nodes.iter().filter(|node| !node.is_up()).count();
    if down > 0 && appending > 0 {
        world.watch.reached("a fault overlapped another");
    }
}

/// Whether the federation is well; if not, what is missing.
pub(crate) fn is_well(world: &mut World) -> Result<(), String> {
    let statuses: Vec<Option<Status>> = (0..world.nodes.len()).map(|at| world.status(at)).collect();
    let name = |world: &World, at: usize| world.nodes[at].name.clone();
    for (at, status) in statuses.iter().enumerate() {
        if !is_honest(world, at) {
            continue;
        }
        let Some(status) = status else {
            return Err(format!("{} does not run", name(world, at)));
        };
        let missing = status
            .peers
            .iter()
            .find(|peer| !peer.connected && world.are_linked(at, peer.member));
        if let Some(peer) = missing {
            return Err(format!(
                "{} is not connected to {}",
                name(world, at),
                peer.name
            ));
        }
    }
    for (at, status) in statuses.iter().enumerate() {
        let Some(status) = status.as_ref().filter(|_| is_honest(world, at)) else {
            continue;
        };
        revoked::is_told(world, at, status)?;
        if is_withdrawn(world, at) {
            // Whoever saw it before keeps its proof, and the others accuse nobody: both are right.
        } else if world.watch.stolen.contains_key(&at) {
            proven(world, &statuses, at)?;
        } else if world.watch.hidden.contains_key(&at) {
            told_apart(world, &statuses, at)?;
        } else if world.founded.member(at).factory {
            acknowledged(world, &statuses, at, status)?;
        }
    }
    Ok(())
}

/// Whether all keys were revoked by which thieves signed other trees of a ledger.
fn is_withdrawn(world: &World, at: usize) -> bool {
    let revoked = |serial: u64| world.watch.revocations.is_revoked((at, serial));
    let serials = world.watch.serials_of_thieves(at);
    !serials.is_empty() && serials.into_iter().all(revoked)
}

/// S4: whoever is honest holds the proof that a key was used for two trees.
fn proven(world: &World, statuses: &[Option<Status>], origin: usize) -> Result<(), String> {
    let name = &world.nodes[origin].name;
    for (at, status) in statuses.iter().enumerate() {
        let Some(status) = status.as_ref().filter(|_| is_honest(world, at)) else {
            continue;
        };
        if !status.forks.iter().any(|fork| fork.accused == *name) {
            return Err(format!(
                "{} holds no proof of the fork of {name}",
                world.nodes[at].name
            ));
        }
    }
    Ok(())
}

/// R5: a digest whose entries nobody shows is withheld at every honest tower. It is called a fork only where the ledger grew
/// over it, and then everybody holds the proof.
fn told_apart(world: &World, statuses: &[Option<Status>], origin: usize) -> Result<(), String> {
    let name = &world.nodes[origin].name;
    let accuses = |status: &Status| status.forks.iter().any(|fork| fork.accused == *name);
    let smallest = world.watch.hidden[&origin].keys().next().copied();
    let newest = world.watch.newest_digest(origin).map(|(size, _)| size);
    // Of two serials of one log no proof speaks.
    let grown = newest >= smallest && world.nodes[origin].from_sizes.len() == 1;
    if grown || statuses.iter().flatten().any(accuses) {
        return proven(world, statuses, origin);
    }
    for (at, status) in statuses.iter().enumerate() {
        let watches = world.founded.member(at).tower && at != origin && is_honest(world, at);
        let Some(status) = status.as_ref().filter(|_| watches) else {
            continue;
        };
        let mirror = status.mirrors.iter().find(|mirror| mirror.origin == *name);
        let state = mirror.map_or("not there", |mirror| mirror.state);
        // Of keys that were exchanged meanwhile that says as much: nobody acks it, and a human knows.
        if !matches!(state, "withheld" | "key-range") {
            return Err(format!(
                "{} was shown a digest of {name} whose entries nobody shows, and its mirror is {state}",
                world.nodes[at].name
            ));
        }
    }
    Ok(())
}

/// L1-L3: everything that a factory appended is held and acknowledged by all honest towers.
fn acknowledged(
    world: &mut World,
    statuses: &[Option<Status>],
    origin: usize,
    status: &Status,
) -> Result<(), String> {
    let name = world.nodes[origin].name.clone();
    let size = size(world, origin);
    if status.phase != "active" {
        return Err(format!("{name} is {}", status.phase));
    }
    if status.acked < size {
        return Err(format!(
            "{name} has {size} entries, and {} are acked",
            status.acked
        ));
    }
    for (at, other) in statuses.iter().enumerate() {
        let is_tower = world.founded.member(at).tower && at != origin;
        let counts = is_tower && is_honest(world, at) && !world.watch.exposed.contains(&at);
        let Some(other) = other.as_ref().filter(|_| counts) else {
            continue;
        };
        let mirror = other.mirrors.iter().find(|mirror| mirror.origin == name);
        let (held, acked) = mirror.map_or((0, 0), |mirror| (mirror.held, mirror.acked));
        if size > 0 && (held < size || acked < size) {
            return Err(format!(
                "{name} has {size} entries; {} holds {held} and acked {acked}",
                world.nodes[at].name
            ));
        }
    }
    Ok(())
}

/// Entries of a node's own ledger.
fn size(world: &mut World, at: usize) -> u64 {
    let record = world.nodes[at].record(Record::Head);
    let head = record.and_then(|bytes| belfry_protocol::engine::ledger::Head::decode(&bytes));
    head.map_or(0, |head| head.size())
}
