//! What saves time changes nothing: with and without it the same happens, message by message.

use belfry_sim::heads::Head;
use belfry_sim::plan::{Fault, Timed, Wishes, draw};
use belfry_sim::run::{How, run_as, run_to_heads};

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

/// Simulated time starts at ten in the morning, UTC.
const UNTIL_MIDNIGHT_MS: i64 = 50_400_000;

#[test]
fn a_day_ends_at_one_moment_whether_nodes_rest_or_not() {
    let mut day = plan(1);
    day.seconds = 60;
    day.workload.entries_per_1000_seconds = 500;
    // Every clock is set to half a minute before the day ends, or to an hour before that.
    let steps_to = |left_ms: i64| -> Vec<Timed> {
        let set = |node| Timed {
            at_ms: 20_000,
            fault: Fault::ClockStep {
                node,
                by_ms: UNTIL_MIDNIGHT_MS - 20_000 - left_ms,
            },
        };
        (0..day.nodes()).map(set).collect()
    };
    let (ends, goes_on) = (steps_to(30_000), steps_to(3_630_000));
    day.faults = ends;
    let (fast, heads) = run_to_heads(&day).unwrap();
    let plain = run_as(&day, How::PLAIN, |_| {}).unwrap();
    assert!(
        fast.is_like(&plain),
        "{:?}",
        (fast.violation, plain.violation)
    );
    assert!(fast.rested > 0);
    day.faults = goes_on;
    let (_, before) = run_to_heads(&day).unwrap();
    let size = |heads: &[Head]| heads.iter().map(|head| head.size).sum::<u64>();
    // Each ledger tells of the day that ended.
    assert!(size(&heads) > size(&before), "{heads:?} {before:?}");
}
