//! The conformance suite judges a witness that is right, and finds every fault in ones that are not: a suite that cannot
//! fail proves nothing.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod subtree;
mod witness;

use belfry_node::conformance::logs::{Group, Logs};
use belfry_node::conformance::report::{Report, Verdict};
use belfry_node::conformance::{self, Options};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use witness::{Fault, Witness};

/// Runs the whole suite against a witness with this fault.
async fn judge(fault: Fault) -> (Fault, Report) {
    let logs = Logs::from_seed(&[5; 32]).unwrap();
    let keys = logs.all().map(|(_, log)| log.key().verifier().clone());
    let witness = Witness::new(fault, keys.collect::<Vec<_>>().into_iter());
    (fault, judge_again(&witness, logs).await)
}

async fn judge_again(witness: &Arc<Witness>, logs: Logs) -> Report {
    let url = witness.serve().await;
    let restarted = Arc::clone(witness);
    let options = Options {
        monitoring_url: url.clone(),
        url,
        logs,
        witness_keys: witness.keys(),
        restart: Some(Box::new(move || {
            restarted.restart();
            Ok(())
        })),
        // A busy machine is no fault of the witness.
        timeout: Duration::from_secs(120),
    };
    conformance::run(options, &mut |_| {}).await.unwrap()
}

/// Rows that say what the machine makes of it, not the witness.
const BY_LUCK: [&str; 2] = ["speed", "http-body-limit"];

fn without_luck(ids: Vec<&'static str>) -> Vec<&'static str> {
    ids.into_iter().filter(|id| !BY_LUCK.contains(id)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_witness_passes_every_row_and_the_run_can_be_repeated() {
    let logs = Logs::from_seed(&[6; 32]).unwrap();
    let keys = logs.all().map(|(_, log)| log.key().verifier().clone());
    let witness = Witness::new(Fault::None, keys.collect::<Vec<_>>().into_iter());
    let report = judge_again(&witness, logs.clone()).await;
    for verdict in [Verdict::Fail, Verdict::Note, Verdict::Skipped] {
        assert_eq!(
            without_luck(report.ids(verdict)),
            [""; 0],
            "{verdict:?} {report:#?}"
        );
    }
    assert_eq!(report.rows.len(), conformance::table::rows().len());

    // It knows the logs now: what takes a log that was never seen is skipped and says so, the rest passes again.
    let again = judge_again(&witness, logs).await;
    assert_eq!(
        without_luck(again.ids(Verdict::Fail)),
        [""; 0],
        "{again:#?}"
    );
    let skipped: Vec<Group> = again
        .ids(Verdict::Skipped)
        .iter()
        .map(|id| {
            conformance::table::rows()
                .iter()
                .find(|row| row.id == *id)
                .unwrap()
                .group
        })
        .collect();
    let once = [Group::First, Group::RaceFork];
    assert!(
        skipped.iter().all(|group| once.contains(group)),
        "{again:#?}"
    );
    assert!(
        again
            .row("race-contradiction")
            .unwrap()
            .got
            .contains("new seed")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_log_is_enough_for_most_rows_and_an_unknown_one_is_skipped() {
    let seeded = Logs::from_seed(&[8; 32]).unwrap();
    let key = seeded.get(Group::Main).unwrap().key().clone();
    let witness = Witness::new(Fault::None, [key.verifier().clone()].into_iter());
    let report = judge_again(&witness, Logs::from_keys(vec![key]).unwrap()).await;
    assert_eq!(
        without_luck(report.ids(Verdict::Fail)),
        [""; 0],
        "{report:#?}"
    );
    assert!(report.count(Verdict::Pass) > 60, "{report:#?}");
    assert!(report.row("race-sizes").unwrap().got.contains("no log"));
    let report = judge_again(&witness, Logs::from_seed(&[10; 32]).unwrap()).await;
    assert_eq!(
        report.count(Verdict::Skipped),
        report.rows.len(),
        "{report:#?}"
    );
    assert!(
        report
            .row("race-sizes")
            .unwrap()
            .got
            .contains("does not know")
    );
}

/// Each fault, and rows that must show it.
const FOUND: &[(Fault, Verdict, &[&str])] = &[
    (
        Fault::MalformedIs500,
        Verdict::Fail,
        &[
            "400-empty",
            "400-size-word",
            "400-hyphen",
            "400-size-too-large",
            "subtree-400-no-range",
            "subtree-400-one-number",
            "subtree-400-leading-zero",
            "subtree-400-two-spaces",
            "subtree-400-empty-range",
            "subtree-400-reversed",
            "subtree-400-not-aligned",
            "subtree-400-end-above-size",
            "subtree-400-hash-31-bytes",
            "subtree-400-64-proof-lines",
            "subtree-400-no-empty-line",
            "subtree-400-no-note",
        ],
    ),
    (
        Fault::LooseOldSize,
        Verdict::Fail,
        &["400-old-leading-zero"],
    ),
    (
        Fault::LooseProof,
        Verdict::Fail,
        &["400-proof-not-canonical", "400-proof-no-padding"],
    ),
    (Fault::LooseLines, Verdict::Fail, &["400-carriage-returns"]),
    (
        Fault::LooseEnd,
        Verdict::Fail,
        &["400-trailing-line", "400-no-last-line-feed"],
    ),
    (
        Fault::ManyProofLines,
        Verdict::Fail,
        &["400-64-proof-lines"],
    ),
    (
        Fault::UnknownIs403,
        Verdict::Fail,
        &["404-unknown-origin", "404-unknown-origin-known-key"],
    ),
    (
        Fault::Unsigned,
        Verdict::Fail,
        &[
            "403-no-trusted-signature",
            "403-other-key",
            "403-bad-signature",
        ],
    ),
    (
        Fault::BadSignatureIs500,
        Verdict::Fail,
        &["403-bad-signature", "403-before-400"],
    ),
    (
        Fault::StrangersRefused,
        Verdict::Fail,
        &["200-unknown-keys", "200-16-kib"],
    ),
    (Fault::AnyGoodLine, Verdict::Note, &["403-bad-beside-good"]),
    (
        Fault::SizeBeforeSignature,
        Verdict::Fail,
        &["403-before-400"],
    ),
    (
        Fault::OldAboveSizeIs409,
        Verdict::Fail,
        &["400-old-above-size"],
    ),
    (
        Fault::ConflictCharset,
        Verdict::Fail,
        &["409-stale", "409-never-cosigned", "restart-size"],
    ),
    (
        Fault::ConflictWithoutLineFeed,
        Verdict::Fail,
        &["409-stale", "200-first"],
    ),
    (
        Fault::ConflictOtherSize,
        Verdict::Fail,
        &["409-stale", "race-sizes"],
    ),
    (
        Fault::OldIgnored,
        Verdict::Fail,
        &["409-stale", "422-fork-equal-size", "race-sizes"],
    ),
    (Fault::ProofBeforeOld, Verdict::Fail, &["409-before-422"]),
    (Fault::ZeroRootTaken, Verdict::Fail, &["422-zero-root"]),
    (
        Fault::ProofIgnored,
        Verdict::Fail,
        &[
            "422-wrong-proof",
            "422-missing-proof",
            "422-long-proof",
            "422-fork-larger",
            "422-fork-equal-size",
            "422-old-zero-with-proof",
        ],
    ),
    (Fault::PowersOfTwo, Verdict::Fail, &["200-below-power"]),
    (
        Fault::SameSizeForkTaken,
        Verdict::Fail,
        &[
            "422-fork-equal-size",
            "restart-fork",
            "422-proof-for-equal-size",
        ],
    ),
    (
        Fault::ForkIs409,
        Verdict::Note,
        &["422-fork-equal-size", "restart-fork"],
    ),
    (
        Fault::ForkIsTyped409,
        Verdict::Fail,
        &["422-fork-equal-size"],
    ),
    (Fault::TimeZero, Verdict::Fail, &["200-first", "400-empty"]),
    (Fault::TimeBackwards, Verdict::Fail, &["times"]),
    (Fault::TimeStands, Verdict::Note, &["200-equal-size"]),
    (Fault::WrongSignature, Verdict::Fail, &["200-first"]),
    (Fault::OtherKey, Verdict::Fail, &["200-first"]),
    (Fault::WholeNote, Verdict::Fail, &["200-first"]),
    (Fault::EqualRefused, Verdict::Fail, &["200-after-refusals"]),
    (Fault::EmptyTreeRefused, Verdict::Note, &["200-empty-tree"]),
    (
        Fault::NotAtomic,
        Verdict::Fail,
        &["race-sizes", "race-contradiction"],
    ),
    (
        Fault::Forgets,
        Verdict::Fail,
        &[
            "restart-size",
            "restart-equal",
            "restart-fork",
            "restart-subtree",
        ],
    ),
    (Fault::MonitorsNothing, Verdict::Note, &["monitoring"]),
    (
        Fault::MonitorsStrangers,
        Verdict::Note,
        &["monitoring-unverified"],
    ),
    (Fault::MonitorsWithoutLog, Verdict::Fail, &["monitoring"]),
    (
        Fault::MonitorsEverything,
        Verdict::Fail,
        &[
            "monitoring",
            "monitoring-unknown",
            "monitoring-never-cosigned",
        ],
    ),
    (
        Fault::GetIs200,
        Verdict::Fail,
        &["http-method", "subtree-method"],
    ),
    (Fault::SmallBodies, Verdict::Fail, &["200-16-kib"]),
    (
        Fault::SubtreeNotOffered,
        Verdict::Skipped,
        &["subtree-200", "subtree-422-wrong-proof", "restart-subtree"],
    ),
    (
        Fault::SubtreeLooseRange,
        Verdict::Fail,
        &["subtree-400-leading-zero", "subtree-400-two-spaces"],
    ),
    (
        Fault::SubtreeRangeIs422,
        Verdict::Fail,
        &[
            "subtree-400-empty-range",
            "subtree-400-reversed",
            "subtree-400-not-aligned",
            "subtree-400-end-above-size",
        ],
    ),
    (
        Fault::SubtreeManyProofLines,
        Verdict::Fail,
        &["subtree-400-64-proof-lines"],
    ),
    (
        Fault::SubtreeUnknownIs403,
        Verdict::Note,
        &["subtree-404-unknown-origin"],
    ),
    (
        Fault::SubtreeUnknownIs500,
        Verdict::Fail,
        &["subtree-404-unknown-origin"],
    ),
    (
        Fault::SubtreeUnsigned,
        Verdict::Fail,
        &[
            "subtree-403-no-cosignature",
            "subtree-403-bad-cosignature",
            "subtree-403-other-tree",
        ],
    ),
    (
        Fault::SubtreeAnyGoodLine,
        Verdict::Note,
        &["subtree-403-bad-beside-good"],
    ),
    (
        Fault::SubtreeProofIgnored,
        Verdict::Fail,
        &[
            "subtree-422-wrong-hash",
            "subtree-422-wrong-proof",
            "subtree-422-missing-proof",
            "subtree-422-long-proof",
        ],
    ),
    (
        Fault::SubtreeNarrow,
        Verdict::Fail,
        &[
            "subtree-200-whole",
            "subtree-200-beginning",
            "subtree-200-one-entry",
        ],
    ),
    (
        Fault::SubtreeTimed,
        Verdict::Fail,
        &["subtree-200", "restart-subtree"],
    ),
    (
        Fault::SubtreeWrongSignature,
        Verdict::Fail,
        &["subtree-200", "subtree-race"],
    ),
    (Fault::SubtreeOtherKey, Verdict::Fail, &["subtree-200"]),
    (
        Fault::SubtreeSecondKey,
        Verdict::Note,
        &["subtree-same-key"],
    ),
    (
        Fault::SubtreeNewestOnly,
        Verdict::Fail,
        &["subtree-200-older"],
    ),
    (
        Fault::SubtreeOnlyOwnLines,
        Verdict::Fail,
        &["subtree-200-log-line"],
    ),
    (Fault::SubtreeBesideGrowth, Verdict::Fail, &["subtree-race"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_found() {
    let (mut tasks, mut missed) = (JoinSet::new(), Vec::new());
    for (fault, _, _) in FOUND {
        tasks.spawn(judge(*fault));
    }
    while let Some(judged) = tasks.join_next().await {
        let (fault, report) = judged.unwrap();
        let (_, verdict, rows) = FOUND.iter().find(|(of, _, _)| *of == fault).unwrap();
        for row in *rows {
            let found = report.row(row).unwrap();
            if found.verdict != *verdict {
                missed.push(format!("{fault:?}: {found:?}"));
            }
        }
        // A note is not a failure.
        let failed = without_luck(report.ids(Verdict::Fail));
        if *verdict != Verdict::Fail && !failed.is_empty() {
            missed.push(format!("{fault:?}: failed {failed:?}"));
        }
    }
    assert_eq!(missed, [""; 0], "{missed:#?}");
}

#[tokio::test]
async fn nobody_at_the_address_is_said_at_once() {
    let url = "http://127.0.0.1:9".to_owned();
    let options = Options {
        monitoring_url: url.clone(),
        url,
        logs: Logs::from_seed(&[1; 32]).unwrap(),
        witness_keys: Vec::new(),
        restart: None,
        timeout: Duration::from_secs(10),
    };
    let failure = conformance::run(options, &mut |_| {}).await.unwrap_err();
    assert_eq!(failure.code.number(), 30, "{failure}");
}
