//! Random schedules of whole ceremonies on the real state machine: never two manifests active in one epoch, nobody honest
//! accused, and an end whenever enough honest members are connected. `BELFRY_CEREMONIES=5000` tries more seeds.

use crate::fixture::{amendment, federation, founding, name};
use crate::world::{Crash, Rng, World};
use belfry_protocol::genesis::ceremony::{Document, Input};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::tlog::hash::Hash;
use std::collections::BTreeSet;

/// Schedules of each sort in every run.
const SEEDS: u64 = 3;

#[allow(clippy::disallowed_methods)] // how many seeds is the caller's choice; nothing else is read
fn seeds() -> u64 {
    let wanted = std::env::var("BELFRY_CEREMONIES").ok();
    wanted.and_then(|n| n.parse().ok()).unwrap_or(SEEDS)
}

/// What a sort of schedules has in it.
struct Plan {
    honest: Vec<usize>,
    liars: Vec<usize>,
    /// Honest ones that are never heard of again when the chaos ends.
    absent: Vec<usize>,
    losses: bool,
}

fn crash(rng: &mut Rng) -> Crash {
    match rng.below(8) {
        0 => Crash::BeforeCommit,
        1 => Crash::BeforeRelease,
        _ => Crash::Never,
    }
}

/// One thing happens.
fn act(world: &mut World, plan: &Plan, rng: &mut Rng) {
    // People lean to the first one, or nothing would ever come about.
    let which = rng
        .below(world.manifests.len())
        .min(rng.below(world.manifests.len()));
    let at = plan.honest[rng.below(plan.honest.len())];
    let voted = world
        .node(at)
        .ceremony()
        .status(0)
        .map_or(0, |s| s.voted_round);
    let mut pool = std::mem::take(&mut world.pool);
    match rng.below(26) {
        0 | 1 => {
            world.pool = pool;
            if rng.one_in(4) {
                return world.propose(at, which, voted + 1);
            }
            // Or nothing but messages.
            for _ in 0..2 * world.nodes.len() {
                world.deliver_one(rng);
            }
            return;
        }
        2..=5 => {
            // Humans talk: most vote in the round that others are in.
            let others = world.nodes.iter().map(|node| node.ceremony().voted_round());
            let newest = others.max().unwrap_or(0);
            let round = match rng.below(6) {
                0 => newest + 1,
                1 => voted,
                _ => newest,
            };
            let round = round.clamp(1, 12);
            // Each round has its favourite, so that rounds disagree.
            let favourite = usize::try_from(round).unwrap_or(0) % world.manifests.len();
            let which = if rng.one_in(5) { which } else { favourite };
            let (manifest, crash) = (world.manifests[which].clone(), crash(rng));
            world.node(at).approve(&manifest, round, crash, &mut pool);
        }
        6 | 7 | 16..=18 => {
            let crash = crash(rng);
            world.node(at).ack(crash, &mut pool);
        }
        8 if plan.losses && rng.one_in(4) => world.node(at).lose_disk(),
        9 => world.node(at).rebuild(&mut pool),
        10 => world.node(at).start(),
        11 if rng.one_in(3) => {
            let all = plan.honest.iter().chain(&plan.liars);
            world.side = all.map(|at| (*at, rng.one_in(2))).collect();
        }
        12 => world.side.clear(),
        13..=15 if !plan.liars.is_empty() => {
            world.pool = pool;
            let liar = plan.liars[rng.below(plan.liars.len())];
            let round = rng.below(6) as u64 + 1;
            if rng.one_in(3) {
                return world.propose(liar, which, round);
            }
            // It helps everybody, everywhere.
            for which in 0..world.manifests.len() {
                world.lie(liar, which, round, rng.one_in(3));
            }
            return;
        }
        _ => {
            world.pool = pool;
            for _ in 0..world.nodes.len() {
                world.deliver_one(rng);
            }
            return;
        }
    }
    world.pool = pool;
}

fn check(world: &mut World, seed: u64) -> BTreeSet<Hash> {
    let active = world.could_be_active().clone();
    assert!(active.len() < 2, "seed {seed}: two manifests of one epoch");
    for node in &world.nodes {
        let epoch = world.election().epoch();
        if let Some(hash) = node.active.get(&epoch) {
            assert!(active.contains(hash), "seed {seed}: active without votes");
        }
        for accused in &node.accused {
            let liar = world.liars.iter().any(|liar| name(*liar) == *accused);
            assert!(liar, "seed {seed}: {accused} is honest and accused");
        }
    }
    active
}

/// The chaos is over: those who are there agree, by the book.
fn finish(world: &mut World, plan: &Plan, seed: u64) {
    world.side.clear();
    let there: Vec<usize> = plan
        .honest
        .iter()
        .copied()
        .filter(|at| !plan.absent.contains(at))
        .collect();
    for at in &there {
        let mut pool = std::mem::take(&mut world.pool);
        let node = world.node(*at);
        node.rebuild(&mut pool);
        node.start();
        node.take(vec![Input::Resume], Crash::Never, &mut pool);
        world.pool = pool;
    }
    let epoch = world.election().epoch();
    // The first few rounds for what the newest certificate or lock is for, then for each manifest in turn.
    for attempt in 0..3 * world.manifests.len() {
        world.settle(&there);
        let done = |at: &usize| {
            let mut nodes = world.nodes.iter();
            nodes.any(|node| node.at == *at && node.active.contains_key(&epoch))
        };
        if there.iter().all(done) {
            let active = check(world, seed);
            assert_eq!(active.len(), 1, "seed {seed}");
            return;
        }
        let status = |at: &usize| {
            let node = world.nodes.iter().find(|node| node.at == *at).unwrap();
            node.ceremony().status(0).unwrap()
        };
        let suggested = there.iter().filter_map(|at| status(at).suggested);
        let (hash, _) = suggested
            .max_by_key(|(_, round)| *round)
            .unwrap_or_default();
        let voted = |at: &usize| status(at).voted_round;
        let round = there.iter().map(voted).max().unwrap() + 1;
        let found = world.hashes.iter().position(|one| *one == hash);
        let which = match (attempt, found) {
            (0, Some(which)) => which,
            _ => attempt % world.manifests.len(),
        };
        world.propose(there[0], which, round);
        world.settle(&there);
        let manifest = world.manifests[which].clone();
        for at in &there {
            let mut pool = std::mem::take(&mut world.pool);
            let node = world.node(*at);
            node.approve(&manifest, round, Crash::Never, &mut pool);
            world.pool = pool;
        }
    }
    let said: Vec<String> = world
        .nodes
        .iter()
        .flat_map(|node| node.refused.iter().rev().take(3).map(ToString::to_string))
        .collect();
    panic!("seed {seed}: no end, although enough are connected: {said:#?}");
}

/// The manifests for which some honest member ever made or saw a certificate.
fn certificates(world: &World) -> BTreeSet<Hash> {
    let made = world
        .pool
        .iter()
        .filter_map(|(_, document)| match document {
            Document::Certificate(certificate) => Some(certificate.manifest.hash()),
            _ => None,
        });
    made.collect()
}

fn run(plan: &Plan, world: impl Fn() -> World, actions: usize) {
    let (mut ended, mut certified, mut rivals) = (0, 0, 0);
    for seed in 0..seeds() {
        let mut world = world();
        let mut rng = Rng::new(seed);
        for which in 0..world.manifests.len() {
            world.propose(plan.honest[0], which, 1);
        }
        for _ in 0..20 * world.nodes.len() {
            world.deliver_one(&mut rng);
        }
        for _ in 0..actions {
            act(&mut world, plan, &mut rng);
            check(&mut world, seed);
        }
        ended += usize::from(!check(&mut world, seed).is_empty());
        let hashes = certificates(&world);
        certified += usize::from(!hashes.is_empty());
        rivals += usize::from(hashes.len() > 1);
        finish(&mut world, plan, seed);
    }
    println!(
        "{} schedules: {ended} ended in the chaos, {certified} had a certificate, {rivals} had rival ones",
        seeds()
    );
}

/// Two manifests of the same members, and one that adds a joiner.
fn amendments(members: &[usize], joiner: Option<usize>) -> Vec<Manifest> {
    let base = founding(members, 0);
    let mut all = vec![amendment(&base, members, 1), amendment(&base, members, 2)];
    if let Some(joiner) = joiner {
        let with = [members, &[joiner]].concat();
        all.push(amendment(&base, &with, 3));
    }
    all
}

#[test]
fn four_members_one_of_them_a_liar() {
    let members = [0, 1, 2, 3];
    let plan = Plan {
        honest: vec![0, 1, 2],
        liars: vec![3],
        absent: vec![],
        losses: true,
    };
    let world = || {
        let base = federation(&members);
        World::new(
            &plan.honest,
            &plan.liars,
            Some(base),
            amendments(&members, None),
        )
    };
    run(&plan, world, 150);
}

#[test]
fn five_members_and_a_joiner() {
    let members = [0, 1, 2, 3, 4];
    let plan = Plan {
        honest: vec![0, 1, 2, 3, 5],
        liars: vec![4],
        absent: vec![],
        losses: true,
    };
    let world = || {
        let base = federation(&members);
        let manifests = amendments(&members, Some(5));
        World::new(&plan.honest, &plan.liars, Some(base), manifests)
    };
    run(&plan, world, 200);
}

/// "The case of seven members with two absent and one Byzantine amends safely": with f = 2, two may be silent for good, and
/// the third of them must come back for an end.
#[test]
fn seven_members_with_two_absent_and_a_liar() {
    let members = [0, 1, 2, 3, 4, 5, 6];
    let plan = Plan {
        honest: vec![0, 1, 2, 3, 4, 5],
        liars: vec![6],
        absent: vec![5],
        losses: false,
    };
    let world = || {
        let base = federation(&members);
        let manifests = amendments(&members, None);
        World::new(&plan.honest, &plan.liars, Some(base), manifests)
    };
    run(&plan, world, 250);
}

#[test]
fn a_founding_with_an_absentee() {
    let full = [0, 1, 2, 3];
    let plan = Plan {
        honest: vec![0, 1, 2, 3],
        liars: vec![],
        absent: vec![3],
        losses: false,
    };
    let manifests = vec![founding(&full, 0), founding(&[0, 1, 2], 1)];
    let world = || World::new(&plan.honest, &plan.liars, None, manifests.clone());
    run(&plan, world, 150);
}

#[test]
fn a_founding_of_five_with_a_liar() {
    let full = [0, 1, 2, 3, 4];
    let plan = Plan {
        honest: vec![0, 1, 2, 3],
        liars: vec![4],
        absent: vec![],
        losses: false,
    };
    let manifests = vec![founding(&full, 0), founding(&[0, 1, 2, 3], 1)];
    let world = || World::new(&plan.honest, &plan.liars, None, manifests.clone());
    run(&plan, world, 200);
}
