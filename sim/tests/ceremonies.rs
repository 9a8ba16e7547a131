//! Ceremonies: one seed is one run, and every seed that ever failed is played again.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_sim::ceremonies::{How, play};

/// Seeds that broke a rule once, and a few of each sort.
const SEEDS: [u64; 6] = [0, 1, 2, 3, 7, 17];

#[test]
fn one_seed_is_one_run_byte_for_byte() {
    let how = How::telling(true);
    // The third one is on simulated disks.
    for seed in [1, 7, 3] {
        let first = play(seed, how).unwrap();
        let again = play(seed, how).unwrap();
        assert!(first.lines.len() > 100, "{} lines", first.lines.len());
        assert_eq!(first.lines, again.lines);
        assert_eq!(first, again);
    }
    let traces = [1, 2].map(|seed| play(seed, How::default()).unwrap().trace);
    assert_ne!(traces[0], traces[1]);
}

#[test]
fn what_is_told_changes_nothing() {
    let quiet = play(4, How::default()).unwrap();
    let how = How::telling(true);
    assert_eq!(quiet.trace, play(4, how).unwrap().trace);
}

#[test]
fn seeds_keep_all_rules() {
    for seed in SEEDS {
        let outcome = play(seed, How::default()).unwrap();
        assert_eq!(outcome.violation, None, "seed {seed}: {}", outcome.about);
    }
}
