//! Rows that send several requests at once: check and mark must be one step, or a witness signs what it should not.

use super::logs::Log;
use super::report::Verdict;
use super::suite::{Known, Stop, Suite, told};
use super::tree::Request;
use crate::web::Answer;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// Entries that a log has at least before it is raced.
const LEAST: u64 = 4;
/// Requests that are sent at once.
const AT_ONCE: u64 = 4;
/// How often a race is run.
const ROUNDS: u32 = 10;

/// Sends all at once; the answers in the order of the requests.
async fn at_once(suite: &Suite<'_>, requests: &[Request]) -> Vec<Result<Answer, String>> {
    let mut tasks = JoinSet::new();
    for (at, request) in requests.iter().enumerate() {
        let (sender, body) = (suite.sender(), request.body());
        tasks.spawn(async move { (at, sender.post(body).await) });
    }
    let mut answers: Vec<_> = requests
        .iter()
        .map(|_| Err("it was lost".to_owned()))
        .collect();
    while let Some(Ok((at, answer))) = tasks.join_next().await {
        answers[at] = answer;
    }
    answers
}

fn is(answer: &Result<Answer, String>, status: u16) -> bool {
    matches!(answer, Ok(answer) if answer.status == status)
}

/// Which of the answers are cosignatures, or what is wrong with them.
fn winners(
    suite: &mut Suite<'_>,
    requests: &[Request],
    answers: &[Result<Answer, String>],
) -> Result<Vec<usize>, String> {
    let mut won = Vec::new();
    for (at, (request, answer)) in requests.iter().zip(answers).enumerate() {
        if is(answer, 200) {
            suite.cosigned(answer, request, false)?;
            won.push(at);
        } else if !is(answer, 409) && !is(answer, 429) && !is(answer, 503) {
            return Err(format!("one was answered {}", told(answer)));
        }
    }
    Ok(won)
}

pub(super) async fn sizes(suite: &mut Suite<'_>, log: &Log) -> Result<(), Stop> {
    let mut known = suite.bring(log, LEAST).await?;
    for round in 1..=ROUNDS {
        let new = |more| known.size + more;
        let sizes: Vec<u64> = (1..=AT_ONCE).map(new).collect();
        let tree = &mut known.tree;
        let requests: Vec<Request> = sizes
            .iter()
            .map(|size| tree.request(log, known.size, *size))
            .collect();
        let answers = at_once(suite, &requests).await;
        match winners(suite, &requests, &answers) {
            Ok(won) if won.len() == 1 => known.size = sizes[won[0]],
            Ok(won) => {
                let got = format!("round {round}: {} of {AT_ONCE} were cosigned", won.len());
                suite.record("race-sizes", Verdict::Fail, got);
                return Ok(());
            }
            Err(problem) => {
                suite.record(
                    "race-sizes",
                    Verdict::Fail,
                    format!("round {round}: {problem}"),
                );
                return Ok(());
            }
        }
    }
    let got = format!("one 200 in each of {ROUNDS} rounds");
    suite.record("race-sizes", Verdict::Pass, got);
    Ok(())
}

pub(super) async fn same(suite: &mut Suite<'_>, log: &Log) -> Result<(), Stop> {
    let mut known = suite.bring(log, LEAST).await?;
    let mut most = 1;
    for round in 1..=ROUNDS {
        let request = known.tree.request(log, known.size, known.size + 1);
        let requests: Vec<Request> = (0..AT_ONCE).map(|_| request.clone()).collect();
        let answers = at_once(suite, &requests).await;
        match winners(suite, &requests, &answers) {
            Ok(won) if won.is_empty() => {
                let got = format!("round {round}: none was cosigned");
                suite.record("race-same", Verdict::Fail, got);
                break;
            }
            Ok(won) => most = most.max(won.len()),
            Err(problem) => {
                suite.record(
                    "race-same",
                    Verdict::Fail,
                    format!("round {round}: {problem}"),
                );
                break;
            }
        }
        known.size += 1;
    }
    match most {
        1 => suite.record(
            "race-same",
            Verdict::Pass,
            format!("one 200 in each of {ROUNDS} rounds"),
        ),
        // The same statement twice harms nobody.
        _ => suite.record(
            "race-same",
            Verdict::Note,
            format!("up to {most} of {AT_ONCE} were cosigned"),
        ),
    }
    equal(suite, log, &mut known).await
}

async fn equal(suite: &mut Suite<'_>, log: &Log, known: &mut Known) -> Result<(), Stop> {
    known.size = suite.size_of(log).await?;
    let request = known.tree.request(log, known.size, known.size);
    let requests: Vec<Request> = (0..AT_ONCE).map(|_| request.clone()).collect();
    let answers = at_once(suite, &requests).await;
    match winners(suite, &requests, &answers) {
        Ok(won) if won.len() == requests.len() => {
            suite.record(
                "race-equal",
                Verdict::Pass,
                format!("{} times 200", won.len()),
            );
        }
        Ok(won) => {
            let got = format!("{} of {} were cosigned", won.len(), requests.len());
            suite.record("race-equal", Verdict::Fail, got);
        }
        Err(problem) => suite.record("race-equal", Verdict::Fail, problem),
    }
    Ok(())
}

pub(super) async fn contradiction(suite: &mut Suite<'_>, log: &Log) -> Result<(), Stop> {
    if suite.size_of(log).await? > LEAST {
        return Err(Stop::Skip(
            "this log was raced before, and nobody knows which tree won: take a new seed"
                .to_owned(),
        ));
    }
    let known = suite.bring(log, LEAST).await?;
    let mut trees = [1, 2].map(|name| known.tree.branch(known.size, name));
    // In turn, so that neither tree is first by design.
    let requests: Vec<Request> = (0..AT_ONCE)
        .flat_map(|more| [0, 1].map(|tree| (tree, known.size + 1 + more)))
        .map(|(tree, size): (usize, u64)| trees[tree].request(log, known.size, size))
        .collect();
    let answers = at_once(suite, &requests).await;
    let mut cosigned = BTreeSet::new();
    for (at, (request, answer)) in requests.iter().zip(&answers).enumerate() {
        // Whatever else it says about a contradiction: what matters is what it signed.
        if suite.cosigned(answer, request, false).is_ok() || is(answer, 200) {
            cosigned.insert(at % 2);
        }
    }
    match cosigned.len() {
        0 => suite.record("race-contradiction", Verdict::Note, "none was cosigned"),
        1 => suite.record("race-contradiction", Verdict::Pass, "one tree was cosigned"),
        _ => suite.record(
            "race-contradiction",
            Verdict::Fail,
            "both trees were cosigned",
        ),
    }
    Ok(())
}
