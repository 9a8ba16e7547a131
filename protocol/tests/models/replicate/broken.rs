//! Runs that leave one rule out: each must lead to a signed digest that somebody later lacks or contradicts.
//! The bounds are no wider than the counterexample needs, so that the search stays short.

use super::config::{Config, Disks, Dropped};
use super::model::{S1, S3};
use crate::report::breaks;

fn n3_k2(dropped: Dropped) -> Config {
    Config::new(3, 2, 0).max_len(1).without(dropped)
}

#[test]
fn no_incarnation_with_a_copy() {
    let config = n3_k2(Dropped::Incarnation).copies(1);
    breaks("A without incarnation, 1 copy", config, &[S1, S3]);
}

#[test]
fn no_incarnation_without_a_copy() {
    let config = n3_k2(Dropped::Incarnation).lives(3).disks(Disks::Lost);
    breaks("A without incarnation", config, &[S1, S3]);
}

#[test]
fn sign_with_k_minus_1_prepares() {
    let config = n3_k2(Dropped::OnePrepare);
    breaks("A sign with k-1", config, &[S1, S3]);
}

#[test]
fn recover_with_r_minus_1_answers() {
    let config = n3_k2(Dropped::OneAnswer);
    breaks("A r-1 answers, n3 k2", config, &[S1, S3]);
    let config = Config::new(4, 3, 1).max_len(1).without(Dropped::OneAnswer);
    breaks("A r-1 answers, n4 k3 f1", config, &[S1, S3]);
}

#[test]
fn ask_for_digests_only() {
    breaks("A digests only", n3_k2(Dropped::Tails), &[S1, S3]);
}

#[test]
fn longest_tail_regardless_of_incarnation() {
    let config = n3_k2(Dropped::HighestIncarnation)
        .lives(3)
        .max_len(2)
        .disks(Disks::Lost)
        .fresh_numbers();
    breaks("A longest tail", config, &[S1, S3]);
}

#[test]
fn promise_and_state_of_different_rounds() {
    let config = n3_k2(Dropped::SameTransaction).copies(1);
    breaks("A promise after state", config, &[S1, S3]);
}

#[test]
fn prepare_again_in_pieces() {
    let config = n3_k2(Dropped::WholeFirstPrepare)
        .lives(3)
        .max_len(2)
        .disks(Disks::IntactOrLost)
        .fresh_numbers();
    breaks("A prepare in pieces", config, &[S1, S3]);
}

#[test]
fn first_prepare_counts_before_the_log_is_held() {
    let config = n3_k2(Dropped::WholeLogHeld)
        .lives(3)
        .disks(Disks::IntactOrLost)
        .fresh_numbers();
    breaks("A prepare not held", config, &[S1, S3]);
}
