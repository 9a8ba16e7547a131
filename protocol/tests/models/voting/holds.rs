//! Runs in which R14 as written must hold: one active manifest, with all approvals, no evidence against an honest
//! member, and a vote that can always be ended.

use super::config::{Config, Dropped, Vote};
use super::state::{A, C};
use crate::report::{Bound, holds};

#[test]
fn amendments_of_three_rounds_without_a_liar() {
    holds(
        "D n3 t2, 3 rounds",
        Config::new(3, 2, 0).rounds(3),
        Bound::Exhaust,
    );
}

#[test]
fn amendments_with_a_liar() {
    holds("D n4 t3 f1, 2 rounds", Config::new(4, 3, 1), Bound::Exhaust);
    holds("D n5 t4 f1, 2 rounds", Config::new(5, 4, 1), Bound::Exhaust);
}

#[test]
fn amendments_with_two_liars() {
    holds("D n7 t5 f2, 2 rounds", Config::new(7, 5, 2), Bound::Exhaust);
}

#[test]
fn amendments_with_a_joiner() {
    let vote = Vote::Joiner { next: 4 };
    let config = Config::new(4, 3, 0).on(vote);
    holds("D n4 t3, joiner", config, Bound::Exhaust);
    let config = Config::new(4, 3, 1).on(vote);
    holds("D n4 t3 f1, joiner", config, Bound::Exhaust);
}

#[test]
fn founding_with_an_absentee() {
    let config = Config::new(4, 3, 0).on(Vote::Founding { next: 2 });
    holds("D epoch 0, 4 listed", config, Bound::Exhaust);
    let config = Config::new(5, 4, 1).on(Vote::Founding { next: 3 });
    holds("D epoch 0, 5 listed f1", config, Bound::Exhaust);
}

#[test]
fn a_lost_disk() {
    holds(
        "D n3 t2, 1 loss",
        Config::new(3, 2, 0).losses(1),
        Bound::Exhaust,
    );
    holds(
        "D n4 t3 f1, 1 loss",
        Config::new(4, 3, 1).losses(1),
        Bound::Exhaust,
    );
}

#[test]
fn yields_to_a_recovery_manifest() {
    for hash in [A, C] {
        let config = Config::new(4, 3, 0).recovery(hash);
        holds(
            &format!("D n4 t3, recovery of {hash}"),
            config,
            Bound::Exhaust,
        );
    }
}

/// "or commits another hash" says nothing new: a commit needs a certificate of its round, and no round below the lock's.
#[test]
fn the_lock_need_not_be_looked_at_before_a_commit() {
    let config = Config::new(4, 3, 1).without(Dropped::LockOnCommit);
    holds("D n4 t3 f1, lock on approvals", config, Bound::Exhaust);
    let config = Config::new(3, 2, 0)
        .rounds(3)
        .without(Dropped::LockOnCommit);
    holds("D n3 t2, lock on approvals", config, Bound::Exhaust);
}
