//! Rows about `sign-subtree`, which is optional: where it is answered 404, all of them are skipped and say so. Each is a good
//! request with one fault, about a checkpoint that the witness has just cosigned.
//!
//! | file | holds |
//! |---|---|
//! | [`table`] | every row |
//! | [`part`] | a request in its parts, and what must be in the answer |

mod part;
mod table;

pub(super) use part::{Part, Reference};
pub(super) use table::rows;

use super::logs::{Log, Logs};
use super::report::Verdict;
use super::suite::{Known, Stop, Suite, told};
use super::tree::print;
use crate::web::Answer;
use belfry_protocol::base64;
use belfry_protocol::note::SignatureLine;
use belfry_protocol::tlog::hash::empty_root;
use part::{is_not_offered, not_offered};
use std::collections::BTreeSet;
use table::CASES;
use tokio::task::JoinSet;

/// Entries that the log has at least: the specification's example, `[8, 13)` of 14.
const LEAST: u64 = 14;
/// The subtree of most rows.
const RANGE: (u64, u64) = (8, 13);
/// Subtrees that are asked for at once, while the log grows.
const AT_ONCE: usize = 4;
/// How often the race is run.
const ROUNDS: u32 = 5;

pub(super) async fn run(suite: &mut Suite<'_>, log: &Log, logs: &Logs) -> Result<(), Stop> {
    let mut known = suite.bring(log, LEAST).await?;
    let reference = cosigned(suite, log, &mut known).await?;
    let size = known.size;
    let good = Part::new(&mut known.tree, &reference, RANGE.0, RANGE.1, size);
    let answer = suite.post_subtree(good.body()).await;
    if is_not_offered(&answer) {
        return Err(Stop::Skip(not_offered(&answer)));
    }
    suite.expect_signed("subtree-200", &answer, &good);
    same_key(suite, &answer, &good);
    for (id, start, end) in [
        ("subtree-200-whole", 0, size),
        ("subtree-200-beginning", 0, 8),
        ("subtree-200-one-entry", size - 1, size),
    ] {
        let part = Part::new(&mut known.tree, &reference, start, end, size);
        let answer = suite.post_subtree(part.body()).await;
        suite.expect_signed(id, &answer, &part);
    }
    let mut crowd = good.clone();
    crowd.lines.splice(0..0, own_lines(log, &mut known));
    let answer = suite.post_subtree(crowd.body()).await;
    suite.expect_signed("subtree-200-log-line", &answer, &crowd);

    for (id, _, spoil) in CASES {
        let mut bad = good.clone();
        spoil(&mut bad, size);
        let answer = suite.post_subtree(bad.body()).await;
        suite.expect_status(id, &answer, &[400]);
    }
    untrusted(suite, log, logs, &mut known, &good).await;
    unproved(suite, &good).await;

    let request = known.tree.request(log, size, size + 1);
    let answer = suite.post(request.body()).await;
    suite
        .cosigned(&answer, &request, true)
        .map_err(|got| Stop::Fail(format!("the log could not grow: {got}")))?;
    known.size += 1;
    let answer = suite.post_subtree(good.body()).await;
    suite.expect_signed("subtree-200-older", &answer, &good);
    race(suite, log, &mut known, &good).await;
    let answer = suite.get_subtree().await;
    match &answer {
        Ok(other) if matches!(other.status, 400 | 404 | 501) => {
            suite.record("subtree-method", Verdict::Note, told(&answer));
        }
        _ => suite.expect_status("subtree-method", &answer, &[405]),
    }
    Ok(())
}

/// Has the log cosigned as it is.
async fn cosigned(suite: &mut Suite<'_>, log: &Log, known: &mut Known) -> Result<Reference, Stop> {
    let request = known.tree.request(log, known.size, known.size);
    let answer = suite.post(request.body()).await;
    suite
        .cosigned(&answer, &request, true)
        .map_err(|got| Stop::Fail(format!("there is no cosigned checkpoint: {got}")))?;
    Ok(Reference::of(&request, &answer))
}

fn own_lines(log: &Log, known: &mut Known) -> Vec<String> {
    known.tree.request(log, known.size, known.size).lines
}

/// `SHOULD be from one or more of the same witness key(s) that signed the checkpoint`.
fn same_key(suite: &mut Suite<'_>, answer: &Result<Answer, String>, part: &Part) {
    let Ok((_, lines)) = suite.signed(answer, part) else {
        return suite.record("subtree-same-key", Verdict::Skipped, "nothing was signed");
    };
    let id = |line: &SignatureLine| (line.name().to_owned(), line.key_id());
    let before: BTreeSet<(String, u32)> = part
        .lines
        .iter()
        .filter_map(|line| SignatureLine::parse(line).ok())
        .map(|line| id(&line))
        .collect();
    match lines.iter().any(|line| before.contains(&id(line))) {
        true => suite.record("subtree-same-key", Verdict::Pass, "yes"),
        // SHOULD: who trusts the one key may know nothing of the other.
        false => suite.record("subtree-same-key", Verdict::Note, "no, another key"),
    }
}

async fn untrusted(suite: &mut Suite<'_>, log: &Log, logs: &Logs, known: &mut Known, good: &Part) {
    let strange = logs.strange();
    let mut tree = strange.tree();
    let unknown = Reference {
        text: tree.text(strange, known.size),
        lines: good.lines.clone(),
    };
    let unknown = Part::new(&mut tree, &unknown, RANGE.0, RANGE.1, known.size);
    let answer = suite.post_subtree(unknown.body()).await;
    let id = "subtree-404-unknown-origin";
    match &answer {
        // Nobody can have a right line on it, and the specification does not say which comes first.
        Ok(other) if other.status == 403 => suite.record(id, Verdict::Note, told(&answer)),
        _ => suite.expect_status(id, &answer, &[404]),
    }
    let lines = |lines: Vec<String>| Part {
        lines,
        ..good.clone()
    };
    let forged: Vec<String> = good.lines.iter().filter_map(|line| flipped(line)).collect();
    let mut other = Reference {
        text: known.tree.text(log, known.size + 1),
        lines: good.lines.clone(),
    };
    other.lines.extend(own_lines(log, known));
    let other = Part::new(&mut known.tree, &other, RANGE.0, RANGE.1, known.size + 1);
    let unsigned = lines(own_lines(log, known));
    for (id, request) in [
        ("subtree-403-no-cosignature", unsigned),
        ("subtree-403-bad-cosignature", lines(forged.clone())),
        ("subtree-403-other-tree", other),
    ] {
        let answer = suite.post_subtree(request.body()).await;
        suite.expect_status(id, &answer, &[403]);
    }
    let beside = lines(good.lines.iter().cloned().chain(forged).collect());
    let answer = suite.post_subtree(beside.body()).await;
    match &answer {
        // `signed-note` says SHOULD: the right line is there.
        Ok(taken) if taken.status == 200 => {
            suite.record("subtree-403-bad-beside-good", Verdict::Note, told(&answer));
        }
        _ => suite.expect_status("subtree-403-bad-beside-good", &answer, &[403]),
    }
}

/// A signature line whose last bit is another one.
fn flipped(line: &str) -> Option<String> {
    let line = SignatureLine::parse(line).ok()?;
    let mut signature = line.signature().to_vec();
    *signature.last_mut()? ^= 1;
    let forged = SignatureLine::new(line.name(), line.key_id(), signature).ok()?;
    Some(forged.to_string())
}

async fn unproved(suite: &mut Suite<'_>, good: &Part) {
    let mut hash = good.clone();
    hash.hash = print(&empty_root());
    let mut wrong = good.clone();
    if let Some(first) = wrong.proof.first_mut()
        && let Some(mut bytes) = base64::decode(first)
    {
        bytes[0] ^= 1;
        *first = base64::encode(&bytes);
    }
    let mut missing = good.clone();
    missing.proof.clear();
    let mut long = good.clone();
    long.proof.push(print(&empty_root()));
    for (id, request) in [
        ("subtree-422-wrong-hash", hash),
        ("subtree-422-wrong-proof", wrong),
        ("subtree-422-missing-proof", missing),
        ("subtree-422-long-proof", long),
    ] {
        let answer = suite.post_subtree(request.body()).await;
        suite.expect_status(id, &answer, &[422]);
    }
}

/// Subtrees of what was cosigned before, while a larger tree is being cosigned.
async fn race(suite: &mut Suite<'_>, log: &Log, known: &mut Known, good: &Part) {
    let id = "subtree-race";
    for round in 1..=ROUNDS {
        let growth = known.tree.request(log, known.size, known.size + 1);
        let mut tasks = JoinSet::new();
        let (sender, body) = (suite.sender(), growth.body());
        tasks.spawn(async move { (true, sender.post(body).await) });
        for _ in 0..AT_ONCE {
            let (sender, body) = (suite.subtree_sender(), good.body());
            tasks.spawn(async move { (false, sender.post(body).await) });
        }
        let mut grown = true;
        while let Some(Ok((grows, answer))) = tasks.join_next().await {
            let pushed_back = matches!(&answer, Ok(answer) if matches!(answer.status, 429 | 503));
            let judged = match grows {
                _ if pushed_back => {
                    grown &= !grows;
                    Ok(())
                }
                true => suite.cosigned(&answer, &growth, false).map(drop),
                false => suite.signed(&answer, good).map(drop),
            };
            if let Err(problem) = judged {
                let what = if grows { "growth" } else { "a subtree" };
                let got = format!("round {round}: {what}: {problem}");
                return suite.record(id, Verdict::Fail, got);
            }
        }
        known.size += u64::from(grown);
    }
    let got = format!("in each of {ROUNDS} rounds");
    suite.record(id, Verdict::Pass, got);
}
