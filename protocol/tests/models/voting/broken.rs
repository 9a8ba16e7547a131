//! Runs that leave one sentence of R14 out, each with the shortest way to what it protects against.

use super::config::{Config, Dropped, Vote};
use super::model::{CLEAN, CONSENT, ENDS, ONE};
use super::state::{A, B, C};
use crate::report::breaks_in;

fn breaks(config: Config, dropped: Dropped, property: &str, steps: usize) {
    let Config { n, t, liars, .. } = config;
    let name = format!("D n{n} t{t} f{liars} without {dropped:?}");
    breaks_in(&name, config.without(dropped), property, steps);
}

fn n3() -> Config {
    Config::new(3, 2, 0)
}

fn n4() -> Config {
    Config::new(4, 3, 1)
}

#[test]
fn locks() {
    breaks(n4(), Dropped::Lock, ONE, 8);
    breaks(n4(), Dropped::LockOnApproval, ONE, 8);
    breaks(n3().rounds(3), Dropped::LaterRound, ONE, 10);
    breaks(n3().rounds(3), Dropped::AnotherHash, ONE, 10);
}

#[test]
fn rounds() {
    breaks(n4(), Dropped::OneApproval, CLEAN, 2);
    breaks(n4(), Dropped::Commit, ONE, 4);
    breaks(n4(), Dropped::ApprovalsOfOneRound, ONE, 8);
    breaks(n3(), Dropped::CommitOrder, ONE, 8);
    breaks(n4(), Dropped::CommitOrder, ONE, 8);
    breaks(n4(), Dropped::RoundsAhead, ENDS, 1);
}

#[test]
#[ignore = "1 minute: it takes four rounds"]
fn commits_of_several_rounds() {
    breaks(n3().rounds(4), Dropped::CommitsOfOneRound, ONE, 12);
}

/// R2: `2t - n > f`.
#[test]
fn thresholds() {
    breaks_in("D n4 t2 f1", Config::new(4, 2, 1), ONE, 4);
    breaks_in("D n5 t3 f1", Config::new(5, 3, 1), ONE, 8);
}

#[test]
fn joiners() {
    let joiner = Config::new(4, 3, 0).on(Vote::Joiner { next: 4 });
    breaks(joiner, Dropped::Standing, ENDS, 6);
    let liar = Config::new(4, 3, 1).on(Vote::Joiner { next: 4 });
    breaks(liar, Dropped::CommitsOfMembersOnly, ENDS, 4);
    breaks(joiner, Dropped::EveryJoiner, CONSENT, 7);
    let all = Config::new(4, 3, 0).on(Vote::Joiner { next: 5 });
    breaks(all, Dropped::NextThreshold, CONSENT, 7);
}

#[test]
fn founding() {
    let four = Config::new(4, 3, 0).on(Vote::Founding { next: 2 });
    breaks(four, Dropped::Standing, ENDS, 5);
    breaks(four, Dropped::EveryJoiner, CONSENT, 4);
    breaks(four, Dropped::CommitOrder, ONE, 12);
    let three = Config::new(3, 2, 0).on(Vote::Founding { next: 2 });
    breaks(three.rounds(3), Dropped::FreshApprovals, ONE, 9);
}

#[test]
fn lost_disks() {
    breaks(n3().losses(1), Dropped::CommitsGated, ONE, 13);
    breaks(n4().losses(1), Dropped::CommitsGated, ONE, 13);
    breaks(n4().losses(1), Dropped::ApprovalsGated, CLEAN, 3);
    breaks(n4().losses(1), Dropped::EveryVoteRebuilt, CLEAN, 5);
    breaks(n4().losses(1), Dropped::Rebuilt, CLEAN, 5);
}

#[test]
fn yields() {
    for hash in [A, B, C] {
        let config = Config::new(4, 3, 0).recovery(hash);
        breaks(config, Dropped::YieldToCommitted, ONE, 8);
        breaks(config, Dropped::YieldBinds, ONE, 8);
        breaks(config, Dropped::OneYield, ONE, 7);
    }
}

/// "It is not proof against a lying yielder", whose yield and commit are evidence.
#[test]
fn a_lying_yielder() {
    let config = n4().recovery(C).lying_yields();
    breaks_in("D n4 t3, a liar yields", config, ONE, 5);
}
