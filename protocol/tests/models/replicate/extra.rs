//! Weaker wordings of R1 that this project considered: what the model says about each.
//! They are no part of the rules; a run here that holds is a licence to simplify, not a promise.

use super::config::{Config, Disks, Dropped, FirstPrepare, OwnDisk};
use crate::report::{Bound, holds};

fn what_answers_showed(n: u8, k: u8, f: u8) -> Config {
    Config::new(n, k, f).first_prepare(FirstPrepare::WhatAnswersShowed)
}

#[test]
fn first_prepare_covers_what_answers_showed_n2_k2() {
    let config = what_answers_showed(2, 2, 0).copies(1);
    holds("X n2 k2, 2 lives, 1 copy", config, Bound::Exhaust);
    let config = what_answers_showed(2, 2, 0).lives(3);
    holds("X n2 k2, 3 lives", config, Bound::Exhaust);
    let config = what_answers_showed(2, 2, 0).copies(1).max_len(3);
    holds("X n2 k2, 2 lives, 1 copy, len 3", config, Bound::Exhaust);
}

#[test]
fn first_prepare_covers_what_answers_showed_with_a_lost_tower_disk() {
    let config = what_answers_showed(2, 2, 0).losses(1);
    holds("X n2 k2, 1 loss, 2 lives", config, Bound::Exhaust);
    let config = what_answers_showed(2, 2, 0).losses(1).copies(1);
    holds("X n2 k2, 1 loss, 2 lives, 1 copy", config, Bound::Exhaust);
    let config = what_answers_showed(3, 2, 0).losses(1).max_len(1);
    holds("X n3 k2, 1 loss, 2 lives, len 1", config, Bound::Exhaust);
}

#[test]
#[ignore = "2 minutes"]
fn first_prepare_covers_what_answers_showed_with_a_lost_tower_disk_n3_k2() {
    let config = what_answers_showed(3, 2, 0).losses(1);
    holds("X n3 k2, 1 loss, 2 lives", config, Bound::Exhaust);
}

/// While towers keep their disks the own disk may also rank as one more tail (see `restored` for when it may not).
#[test]
fn own_disk_as_one_more_tail_without_a_loss() {
    let config = Config::new(2, 2, 0).lives(3).own_disk(OwnDisk::OneMoreTail);
    holds(
        "X n2 k2, own disk is a tail, 3 lives",
        config,
        Bound::Exhaust,
    );
    let config = what_answers_showed(2, 2, 0)
        .lives(3)
        .own_disk(OwnDisk::OneMoreTail);
    holds(
        "X n2 k2, own disk is a tail, both weaker, 3 lives",
        config,
        Bound::Exhaust,
    );
}

#[test]
fn first_prepare_covers_what_answers_showed_n3_k2() {
    let config = what_answers_showed(3, 2, 0).copies(1);
    holds("X n3 k2, 2 lives, 1 copy", config, Bound::Exhaust);
}

#[test]
fn first_prepare_covers_what_answers_showed_three_lives_n3_k2_cut() {
    let config = what_answers_showed(3, 2, 0)
        .lives(3)
        .disks(Disks::IntactOrLost)
        .fresh_numbers();
    holds(
        "X n3 k2, 3 lives, intact/lost",
        config,
        Bound::Cut(1_000_000),
    );
}

#[test]
#[ignore = "3 minutes"]
fn first_prepare_covers_what_answers_showed_three_lives_n3_k2() {
    let config = what_answers_showed(3, 2, 0).lives(3);
    holds("X n3 k2, 3 lives", config, Bound::Exhaust);
}

#[test]
#[ignore = "3 minutes"]
fn first_prepare_covers_what_answers_showed_with_a_liar_n4_k3() {
    let config = what_answers_showed(4, 3, 1)
        .lives(3)
        .disks(Disks::IntactOrLost);
    holds("X n4 k3 f1, 3 lives, intact/lost", config, Bound::Exhaust);
}

/// Whether accepting a prepare must promise its incarnation was left open; R1 says it must, and it is cheap.
#[test]
fn accepting_without_promising() {
    for (n, k) in [(2, 2), (3, 2)] {
        let config = Config::new(n, k, 0)
            .copies(1)
            .without(Dropped::AcceptPromises);
        holds(
            &format!("X n{n} k{k}, accept without promise, 2 lives, 1 copy"),
            config,
            Bound::Exhaust,
        );
    }
}

#[test]
#[ignore = "3 minutes"]
fn accepting_without_promising_three_lives() {
    let config = Config::new(2, 2, 0)
        .lives(3)
        .copies(1)
        .without(Dropped::AcceptPromises);
    holds(
        "X n2 k2, accept without promise, 3 lives, 1 copy",
        config,
        Bound::Exhaust,
    );
    let config = Config::new(3, 2, 0)
        .lives(3)
        .without(Dropped::AcceptPromises);
    holds(
        "X n3 k2, accept without promise, 3 lives",
        config,
        Bound::Exhaust,
    );
}
