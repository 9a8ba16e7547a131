//! Runs in which the rules as written must hold while towers keep their disks: S1, S3 and L.
//! A name that ends in `_cut` searched only a part: it found nothing, it proves nothing beyond that.

use super::config::{Config, Disks};
use crate::report::{Bound, holds};

#[test]
fn two_lives_and_a_copy_n2_k2() {
    let config = Config::new(2, 2, 0).copies(1);
    holds("A n2 k2, 2 lives, 1 copy", config, Bound::Exhaust);
}

#[test]
fn three_lives_n2_k2() {
    let config = Config::new(2, 2, 0).lives(3);
    holds("A n2 k2, 3 lives", config, Bound::Exhaust);
}

#[test]
fn two_lives_n3_k2() {
    holds("A n3 k2, 2 lives", Config::new(3, 2, 0), Bound::Exhaust);
}

#[test]
fn two_lives_and_a_copy_n3_k2() {
    let config = Config::new(3, 2, 0).copies(1);
    holds("A n3 k2, 2 lives, 1 copy", config, Bound::Exhaust);
}

#[test]
fn two_lives_and_a_copy_n3_k3() {
    let config = Config::new(3, 3, 0).copies(1);
    holds("A n3 k3, 2 lives, 1 copy", config, Bound::Exhaust);
}

#[test]
fn two_lives_and_a_copy_with_a_liar_n4_k3() {
    let config = Config::new(4, 3, 1).copies(1);
    holds("A n4 k3 f1, 2 lives, 1 copy", config, Bound::Exhaust);
}

#[test]
fn three_lives_intact_or_lost_n3_k2_cut() {
    let config = Config::new(3, 2, 0).lives(3).disks(Disks::IntactOrLost);
    holds(
        "A n3 k2, 3 lives, intact/lost",
        config,
        Bound::Cut(1_000_000),
    );
}

#[test]
#[ignore = "2 minutes"]
fn three_lives_n3_k2() {
    let config = Config::new(3, 2, 0).lives(3);
    holds("A n3 k2, 3 lives", config, Bound::Exhaust);
}

#[test]
#[ignore = "2 minutes"]
fn three_lives_n3_k3() {
    let config = Config::new(3, 3, 0).lives(3);
    holds("A n3 k3, 3 lives", config, Bound::Exhaust);
}

#[test]
fn three_lives_and_a_copy_n2_k2() {
    let config = Config::new(2, 2, 0).lives(3).copies(1);
    holds("A n2 k2, 3 lives, 1 copy", config, Bound::Exhaust);
}

#[test]
#[ignore = "2 minutes"]
fn three_lives_with_a_liar_n4_k3() {
    let config = Config::new(4, 3, 1).lives(3).disks(Disks::IntactOrLost);
    holds("A n4 k3 f1, 3 lives, intact/lost", config, Bound::Exhaust);
}
