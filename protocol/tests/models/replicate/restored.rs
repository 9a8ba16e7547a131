//! Runs in which one tower loses its disk: RESTORED, catching up and disk ids (R1, R3, amendments B, C and C2).
//! S3 is asked of a life that signs where a second copy runs, of a life that finished recovery elsewhere.

use super::config::{Config, Disks, Dropped, OwnDisk};
use super::model::{S1, S3};
use crate::report::{Bound, breaks, holds};

fn one_loss(n: u8, k: u8) -> Config {
    Config::new(n, k, 0).max_len(1).losses(1)
}

#[test]
fn disk_ids_n2_k2() {
    let config = one_loss(2, 2).max_len(2);
    holds("A n2 k2, 1 loss, 2 lives", config, Bound::Exhaust);
    let config = one_loss(2, 2).lives(3);
    holds("A n2 k2, 1 loss, 3 lives, len 1", config, Bound::Exhaust);
}

#[test]
fn disk_ids_and_a_copy_n2_k2() {
    let config = one_loss(2, 2).copies(1);
    holds(
        "A n2 k2, 1 loss, 2 lives, 1 copy, len 1",
        config,
        Bound::Exhaust,
    );
}

#[test]
fn disk_ids_n3_k2() {
    let config = one_loss(3, 2);
    holds("A n3 k2, 1 loss, 2 lives, len 1", config, Bound::Exhaust);
}

#[test]
fn disk_ids_n3_k3() {
    let config = one_loss(3, 3);
    holds("A n3 k3, 1 loss, 2 lives, len 1", config, Bound::Exhaust);
}

#[test]
fn disk_ids_three_lives_and_a_copy_n2_k2() {
    let config = one_loss(2, 2).lives(3).copies(1);
    holds(
        "A n2 k2, 1 loss, 3 lives, 1 copy, len 1",
        config,
        Bound::Exhaust,
    );
}

#[test]
fn disk_ids_and_a_copy_n3_k2() {
    let config = one_loss(3, 2).copies(1);
    holds(
        "A n3 k2, 1 loss, 2 lives, 1 copy, len 1",
        config,
        Bound::Exhaust,
    );
}

#[test]
fn disk_ids_and_a_copy_n3_k3() {
    let config = one_loss(3, 3).copies(1);
    holds(
        "A n3 k3, 1 loss, 2 lives, 1 copy, len 1",
        config,
        Bound::Exhaust,
    );
}

#[test]
#[ignore = "5 minutes"]
fn disk_ids_three_lives_and_a_copy_n3_k2() {
    let config = one_loss(3, 2).lives(3).copies(1);
    holds(
        "A n3 k2, 1 loss, 3 lives, 1 copy, len 1",
        config,
        Bound::Exhaust,
    );
}

#[test]
#[ignore = "5 minutes"]
fn disk_ids_three_lives_and_a_copy_n3_k3() {
    let config = one_loss(3, 3).lives(3).copies(1);
    holds(
        "A n3 k3, 1 loss, 3 lives, 1 copy, len 1",
        config,
        Bound::Exhaust,
    );
}

#[test]
fn silent_loss_of_a_tower_disk() {
    let config = one_loss(3, 2).without(Dropped::RestoredMark);
    breaks("A silent loss", config, &[S1, S3]);
}

#[test]
fn restored_tower_catches_up_on_digests_only() {
    for (n, k) in [(2, 2), (3, 2), (3, 3)] {
        let config = one_loss(n, k).without(Dropped::CatchUpTails);
        breaks(
            &format!("A catch-up without tails, n{n} k{k}"),
            config,
            &[S1, S3],
        );
    }
}

#[test]
fn no_disk_ids() {
    for (n, k) in [(2, 2), (3, 2), (3, 3)] {
        let config = one_loss(n, k).without(Dropped::DiskIds);
        breaks(&format!("A no disk ids, n{n} k{k}"), config, &[S1, S3]);
    }
}

#[test]
fn towers_do_not_check_disk_ids() {
    let config = one_loss(2, 2)
        .lives(3)
        .copies(1)
        .disks(Disks::Lost)
        .without(Dropped::TowerChecksDiskIds);
    breaks("A towers ignore disk ids, n2 k2", config, &[S1, S3]);
}

/// Disk ids stand in answers, acks and prepares, not on the factory's own disk: what a life wrote there while it
/// rested on a replaced disk must not outrank what towers show to the next life.
#[test]
fn own_disk_outranks_the_answers() {
    let config = one_loss(2, 2)
        .lives(3)
        .copies(1)
        .disks(Disks::IntactOrLost)
        .own_disk(OwnDisk::OneMoreTail);
    breaks(
        "A own disk is one more tail, 1 loss, n2 k2",
        config,
        &[S1, S3],
    );
}

#[test]
#[ignore = "2 minutes"]
fn restored_tower_asks_r_others_instead_of_all() {
    let config = one_loss(3, 3)
        .lives(3)
        .copies(1)
        .disks(Disks::Lost)
        .without(Dropped::CatchUpFromAll);
    breaks("A catch-up from r = 1 of 2, n3 k3", config, &[S1, S3]);
}
