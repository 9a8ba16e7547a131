//! Rows in which the log contradicts itself. Each has a log of its own: a witness may never trust that log again.

use super::logs::Log;
use super::suite::{Stop, Suite};

/// Entries that the log has at least.
const LEAST: u64 = 3;

pub(super) async fn same_size(suite: &mut Suite<'_>, log: &Log) -> Result<(), Stop> {
    let known = suite.bring(log, LEAST).await?;
    let mut other = known.tree.branch(known.size - 1, 1);
    let fork = other.request(log, known.size, known.size);
    let answer = suite.post(fork.body()).await;
    suite.expect_refusal("422-fork-equal-size", &answer);
    Ok(())
}

pub(super) async fn larger(suite: &mut Suite<'_>, log: &Log) -> Result<(), Stop> {
    let known = suite.bring(log, LEAST).await?;
    let mut other = known.tree.branch(known.size - 1, 1);
    // The proof is right within the other tree, whose root at the old size is another one.
    let mut fork = other.request(log, known.size, known.size + 2);
    let answer = suite.post(fork.body()).await;
    suite.expect_status("422-fork-larger", &answer, &[422]);
    fork.proof.clear();
    let answer = suite.post(fork.body()).await;
    suite.expect_status("422-fork-larger-no-proof", &answer, &[422]);
    Ok(())
}
