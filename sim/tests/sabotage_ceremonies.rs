//! Negative controls of founding and amending: whatever is broken on purpose must break the rule that watches over it, with
//! seeds that keep all rules without it.
#![cfg(feature = "sabotage")]
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_sim::ceremonies::{How, Sabotage, play};

/// How many seeds must notice: not one lucky one.
const NOTICE: usize = 3;
/// Seeds that are tried at most.
const SEEDS: u64 = 1_500;

fn broken(seed: u64, sabotage: Option<Sabotage>) -> Option<&'static str> {
    let how = How {
        sabotage,
        ..How::default()
    };
    Some(play(seed, how).unwrap().violation?.invariant)
}

/// Plays seeds until enough of them broke `rule`; each of those keeps all rules without the sabotage.
fn notices(sabotage: Sabotage, rule: &str) {
    let mut noticed = Vec::new();
    for seed in 0..SEEDS {
        let Some(one) = broken(seed, Some(sabotage)) else {
            continue;
        };
        assert_eq!(broken(seed, None), None, "seed {seed}");
        noticed.push(one);
        if noticed.iter().filter(|one| **one == rule).count() == NOTICE {
            println!("{NOTICE} of {} seeds: {noticed:?}", seed + 1);
            return;
        }
    }
    panic!("{noticed:?}");
}

#[test]
fn a_lock_that_does_not_survive_the_process_is_noticed() {
    notices(Sabotage::VolatileLock, "G2");
}

#[test]
fn a_commit_that_does_not_look_at_the_lock_is_noticed() {
    notices(Sabotage::CommitAlways, "G2");
}

#[test]
fn votes_that_leave_before_they_are_acked_are_noticed() {
    notices(Sabotage::ReleaseBeforeAck, "G3");
}

#[test]
fn votes_that_leave_before_they_are_durable_are_noticed() {
    notices(Sabotage::PromisesBeforeCommit, "G3");
}

#[test]
fn a_restored_directory_that_does_not_know_it_is_noticed() {
    notices(Sabotage::ForgottenRestore, "G2");
}

#[test]
fn a_vote_without_its_human_is_noticed() {
    notices(Sabotage::AnyConfirmation, "G6");
}
