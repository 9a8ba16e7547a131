//! What saves time changes nothing: with and without it the same happens, message by message.

use belfry_sim::plan::{Wishes, draw};
use belfry_sim::run::{How, run_as};

fn plan(seed: u64) -> belfry_sim::plan::Plan {
    let wishes = Wishes {
        seconds: Some(40),
        ..Wishes::default()
    };
    draw(seed, &wishes)
}

#[test]
fn a_run_with_all_shortcuts_is_the_plain_run() {
    for seed in [1, 5, 8] {
        let plan = plan(seed);
        let fast = run_as(&plan, How::FAST, |_| {}).unwrap();
        let plain = run_as(&plan, How::PLAIN, |_| {}).unwrap();
        assert!(fast.is_like(&plain), "seed {seed}");
        assert_eq!(fast.trace, plain.trace);
        assert_eq!((fast.violation, plain.rested), (None, 0));
        // Every step is either taken or left out.
        assert_eq!(fast.steps + fast.rested, plain.steps);
        assert!(fast.rested > 0, "of {} steps none", plain.steps);
    }
}

#[test]
fn each_shortcut_alone_is_the_plain_run_too() {
    let plan = plan(3);
    let plain = run_as(&plan, How::PLAIN, |_| {}).unwrap();
    for (memo, rest) in [(true, false), (false, true)] {
        let how = How { memo, rest };
        let one = run_as(&plan, how, |_| {}).unwrap();
        assert!(one.is_like(&plain), "{how:?}");
    }
}
