//! Crash trials of the store, and their negative controls. Everything runs one after the other: SQLite's generator is one
//! per process, and equal seeds are to give equal disks.

#![allow(clippy::unwrap_used, reason = "a trial that cannot run fails the test")]

use belfry_sim_sys::trials::{Settings, Summary, Trials};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Unoptimized builds are slow and do a twentieth. `BELFRY_SIM_TRIALS` asks for another number.
fn count(usual: u64) -> u64 {
    let asked = std::env::var("BELFRY_SIM_TRIALS").ok();
    let usual = if cfg!(debug_assertions) {
        usual / 20
    } else {
        usual
    };
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn run(name: &str, settings: Settings, count: u64) -> Summary {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let trials = Trials::new(Path::new("/belfry-trials"), settings).unwrap();
    let began = Instant::now();
    let summary = trials.run_all(0..count).unwrap();
    println!("{name}: {summary:?} in {:.1?}", began.elapsed());
    summary
}

fn is_sound(summary: &Summary) {
    assert_eq!(summary.findings, []);
    assert_eq!(summary.lost, 0);
}

#[test]
fn whatever_was_committed_survives_every_crash() {
    let summary = run("full", Settings::default(), count(1_000));
    is_sound(&summary);
    // Not for want of trying.
    assert_eq!(summary.modes.len(), 6);
    assert!(summary.acknowledged > 5 * summary.trials, "{summary:?}");
    // A commit that is there although it never returned is seen about three times in a hundred trials.
    assert!(summary.in_flight_lost > 0 && (summary.in_flight_kept > 0 || summary.trials < 500));
    assert!(summary.died_starting > 0 && summary.restarts > 0 && summary.destroyed > 0);
}

#[test]
fn a_disk_that_fails_or_is_full_takes_nothing_that_was_committed() {
    let settings = Settings {
        failing_syncs: true,
        failing_reads: true,
        full_disks: true,
        ..Settings::default()
    };
    let summary = run("failing", settings, count(1_000));
    is_sound(&summary);
    assert!(summary.full > 0 && summary.restarts > 0);
}

/// Nothing on the machine can prevent it, so the trials must see it: towers tell the node.
#[test]
fn a_disk_that_lies_is_found_out() {
    let settings = Settings {
        lying_syncs_one_in: 20,
        ..Settings::default()
    };
    let summary = run("lying", settings, count(1_000));
    assert!(summary.with_loss > 0, "{summary:?}");
}

#[test]
fn equal_seeds_give_equal_disks() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let trials = || Trials::new(Path::new("/belfry-trials"), Settings::default()).unwrap();
    let first = trials();
    for seed in 0..count(60) {
        let once = first.run(seed).unwrap();
        assert_eq!(first.run(seed).unwrap(), once);
        assert_ne!(first.run(seed + 1).unwrap().fingerprint, once.fingerprint);
    }
    // Also over a data directory that was made anew.
    assert_eq!(trials().run(7).unwrap(), first.run(7).unwrap());
}

/// The negative control: with commits that return before their sync, the same trials find losses.
#[cfg(feature = "sabotage")]
#[test]
fn commits_that_do_not_wait_for_the_disk_are_found_out() {
    use belfry_node::sabotage::Sabotage;
    Sabotage::SynchronousNormal.turn(true);
    let summary = run("normal", Settings::default(), count(1_000));
    Sabotage::SynchronousNormal.turn(false);
    assert!(summary.with_loss > summary.trials / 10, "{summary:?}");
}
