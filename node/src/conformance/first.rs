//! Rows that only a log shows which the witness has never cosigned, and the wrong root for size 0.

use super::logs::Log;
use super::report::Verdict;
use super::suite::{Stop, Suite, told};
use super::tree::print;
use belfry_protocol::tlog::hash::empty_root;

pub(super) async fn run(suite: &mut Suite<'_>, log: &Log) -> Result<(), Stop> {
    let mut tree = log.tree();
    let size = suite.size_of(log).await?;
    if size != 0 {
        return Err(Stop::Skip(format!(
            "the witness knows this log with {size} entries already: take a new seed"
        )));
    }
    let answer = suite.post(tree.request(log, 1, 1).body()).await;
    suite.expect_conflict("409-never-cosigned", &answer, 0);

    let answer = suite.monitor(log.origin()).await;
    suite.expect_status("monitoring-never-cosigned", &answer, &[404]);

    let mut with_proof = tree.request(log, 0, 1);
    with_proof.proof = vec![print(&empty_root())];
    let answer = suite.post(with_proof.body()).await;
    suite.expect_status("422-old-zero-with-proof", &answer, &[422]);
    if suite.size_of(log).await? != 0 {
        return Err(Stop::Fail("a refused request left a trace".to_owned()));
    }

    let request = tree.request(log, 0, 0);
    let answer = suite.post(request.body()).await;
    match suite.cosigned(&answer, &request, true) {
        Ok(got) => suite.record("200-empty-tree", Verdict::Pass, got),
        // Nothing is at stake in an empty tree, and ML-DSA cannot cosign it.
        Err(got) if !got.starts_with("200") => suite.record("200-empty-tree", Verdict::Note, got),
        Err(got) => suite.record("200-empty-tree", Verdict::Fail, got),
    }

    let request = tree.request(log, 0, 1);
    let answer = suite.post(request.body()).await;
    if !suite.expect_cosigned("200-first", &answer, &request) {
        return Err(Stop::Fail(format!(
            "its first checkpoint was not cosigned: {}",
            told(&answer)
        )));
    }
    let answer = suite.post(tree.request(log, 0, 2).body()).await;
    suite.expect_conflict("409-old-zero", &answer, 1);
    Ok(())
}

pub(super) async fn zero(suite: &mut Suite<'_>, log: &Log) -> Result<(), Stop> {
    let mut tree = log.tree();
    let size = suite.size_of(log).await?;
    if size != 0 {
        return Err(Stop::Skip(format!(
            "the witness knows this log with {size} entries: take a new seed"
        )));
    }
    let other = print(&tree.root(1));
    let text = format!("{}\n0\n{other}\n", log.origin());
    let request = tree.request(log, 0, 0).with_text(log, text);
    let answer = suite.post(request.body()).await;
    suite.expect_status("422-zero-root", &answer, &[422]);
    Ok(())
}
