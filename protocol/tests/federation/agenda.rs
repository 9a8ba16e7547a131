//! When the engine has something to do by itself: steps before that do nothing, and nothing is slept through.

use super::world::World;
use belfry_protocol::engine::federation::Input;
use belfry_protocol::engine::federation::agenda::LONGEST_REST_US;

fn due_us(world: &World, at: usize) -> Option<u64> {
    world.nodes[at].engine.as_ref().unwrap().next_due_us()
}

#[test]
fn a_calm_member_rests_and_steps_before_its_time_do_nothing() {
    let mut world = World::new(3, 2);
    assert_eq!(due_us(&world, 0), None, "it has not begun");
    world.run_ms(500);
    world.append(0, "word");
    assert_eq!(due_us(&world, 0), None, "it is about to prepare");
    world.run_ms(5_000);
    let mut rested = 0;
    for _ in 0..100 {
        world.run_ms(50);
        for at in 0..4 {
            let Some(due_us) = due_us(&world, at) else {
                continue;
            };
            let now_us = world.clocks_of(at).mono_us;
            assert!(due_us <= now_us + LONGEST_REST_US);
            let arrives = world.on_its_way_us().into_iter().min();
            if now_us + 10_000 >= due_us
                || arrives.is_some_and(|at_us| at_us <= world.now_us + 10_000)
            {
                continue;
            }
            let state = |world: &World| {
                let store = format!("{:?}", world.nodes[at].store);
                (store, world.on_its_way_us())
            };
            let before = state(&world);
            world.now_us += 10_000;
            world.step(at, vec![Input::Tick]);
            assert_eq!(before, state(&world), "node {at}");
            rested += 1;
        }
    }
    assert!(rested > 100, "{rested} steps that do nothing");
    assert_eq!(world.nodes[0].acked, 1);
}

#[test]
fn who_waits_for_somebody_does_not_rest() {
    let mut world = World::new(3, 2);
    world.run_ms(2_000);
    for tower in [1, 2, 3] {
        world.kill(tower);
    }
    world.run_ms(2_000);
    world.append(0, "word");
    world.run_ms(10_000);
    assert_eq!(due_us(&world, 0), None, "{:?}", world.status(0));
    for tower in [1, 2, 3] {
        world.start(tower);
    }
    world.run_ms(5_000);
    assert_eq!(world.nodes[0].acked, 1);
}
