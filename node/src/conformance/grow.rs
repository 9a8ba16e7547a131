//! Rows on the main log, in their order, and what a witness must cosign: growth of every shape, equal size again, notes with
//! strangers' lines; and what it shows to monitors.

use super::answers;
use super::logs::{Log, Logs};
use super::report::Verdict;
use super::suite::{Known, Stop, Suite, told};
use super::tree::{Request, line};
use crate::web::Answer;
use belfry_protocol::note::{SignedNote, VerifierKey, verify_note};
use std::time::Duration;

/// Entries that the log has at least before rows are tried: every proof then has a line.
const LEAST: u64 = 5;
/// Longer than the resolution of cosignature times.
const A_SECOND: Duration = Duration::from_millis(1_100);
/// A well-formed body of nearly 16 KiB, which every public witness reads.
const LARGE_BODY: usize = 16_000;
/// More bytes than any witness needs to read, and few enough to be sent before it hangs up.
const TOO_LARGE_BODY: usize = 1 << 20;
/// Answers above it are lost to clients with the usual time limit.
const SLOW: Duration = Duration::from_secs(1);

pub(super) async fn run(suite: &mut Suite<'_>, log: &Log, logs: &Logs) -> Result<(), Stop> {
    let mut known = suite.bring(log, LEAST).await?;
    answers::malformed(suite, log, &mut known).await?;
    answers::signatures(suite, log, &mut known, logs).await?;
    answers::states(suite, log, &mut known).await?;
    equal(suite, log, &mut known).await;
    strangers(suite, log, &mut known).await;
    monitoring(suite, log, &mut known, logs).await;
    growth(suite, log, &mut known).await?;
    extension(suite, log, &mut known).await;
    http(suite, log, &mut known).await;
    times(suite);
    Ok(())
}

/// Sends what must be cosigned and follows the log's size.
async fn grow(
    suite: &mut Suite<'_>,
    id: &'static str,
    request: &Request,
    known: &mut Known,
) -> bool {
    let answer = suite.post(request.body()).await;
    let cosigned = suite.expect_cosigned(id, &answer, request);
    if cosigned {
        let size = request
            .text
            .lines()
            .nth(1)
            .and_then(|size| size.parse().ok());
        known.size = size.unwrap_or(known.size);
    }
    cosigned
}

async fn equal(suite: &mut Suite<'_>, log: &Log, known: &mut Known) {
    let request = known.tree.request(log, known.size, known.size);
    let before = suite.newest_time(log.origin());
    tokio::time::sleep(A_SECOND).await;
    let answer = suite.post(request.body()).await;
    match suite.cosigned(&answer, &request, true) {
        Ok(got) if suite.newest_time(log.origin()) > before => {
            suite.record(
                "200-equal-size",
                Verdict::Pass,
                format!("{got}, a newer time"),
            );
        }
        Ok(got) => suite.record(
            "200-equal-size",
            Verdict::Note,
            format!("{got}, the same time"),
        ),
        Err(problem) => suite.record("200-equal-size", Verdict::Fail, problem),
    }
}

async fn strangers(suite: &mut Suite<'_>, log: &Log, known: &mut Known) {
    let lines = |bytes: usize| -> Vec<String> {
        let names = (0_u8..15).map(|number| (number, format!("stranger-{number}.example")));
        names
            .map(|(number, name)| line(&name, u32::from(number), &vec![number; bytes]))
            .collect()
    };
    let mut request = known.tree.request(log, known.size, known.size + 1);
    request.lines.splice(0..0, lines(64));
    grow(suite, "200-unknown-keys", &request, known).await;
    let mut request = known.tree.request(log, known.size, known.size + 1);
    let room = LARGE_BODY.saturating_sub(request.body().len()) / 15;
    request.lines.splice(0..0, lines((room - 40) / 4 * 3));
    grow(suite, "200-16-kib", &request, known).await;
}

async fn growth(suite: &mut Suite<'_>, log: &Log, known: &mut Known) -> Result<(), Stop> {
    let from = known.size + 1;
    let power = (from + 3).next_power_of_two();
    for (id, to) in [
        ("200-grow-by-one", from),
        ("200-below-power", power - 1),
        ("200-to-power", power),
        ("200-from-power", power + 1),
        ("200-across-power", 2 * power + 3),
    ] {
        let request = known.tree.request(log, known.size, to);
        if !grow(suite, id, &request, known).await {
            known.size = suite.size_of(log).await?;
        }
    }
    Ok(())
}

async fn extension(suite: &mut Suite<'_>, log: &Log, known: &mut Known) {
    let good = known.tree.request(log, known.size, known.size + 1);
    let text = format!("{}an extension line\n", good.text);
    let request = good.with_text(log, text);
    let answer = suite.post(request.body()).await;
    match (&answer, suite.cosigned(&answer, &request, true)) {
        (_, Ok(got)) => {
            suite.record("extension-lines", Verdict::Pass, got);
            known.size += 1;
        }
        (Ok(good), Err(problem)) if good.status == 200 => {
            suite.record("extension-lines", Verdict::Fail, problem);
            known.size += 1;
        }
        _ => suite.expect_status("extension-lines", &answer, &[400]),
    }
}

async fn monitoring(suite: &mut Suite<'_>, log: &Log, known: &mut Known, logs: &Logs) {
    let answer = suite.monitor(log.origin()).await;
    match &answer {
        Ok(good) if good.status == 200 => monitored(suite, log, known, good),
        Ok(good) if good.status == 404 => {
            let why = "404: not offered at this prefix, or it lags";
            suite.record("monitoring", Verdict::Note, why);
            suite.record(
                "monitoring-unverified",
                Verdict::Skipped,
                "nothing to look at",
            );
        }
        _ => {
            suite.record("monitoring", Verdict::Fail, told(&answer));
            suite.record(
                "monitoring-unverified",
                Verdict::Skipped,
                "nothing to look at",
            );
        }
    }
    let answer = suite.monitor(logs.strange().origin()).await;
    suite.expect_status("monitoring-unknown", &answer, &[404]);
}

/// Judges the note that monitors see.
fn monitored(suite: &mut Suite<'_>, log: &Log, known: &mut Known, answer: &Answer) {
    let mut keys: Vec<VerifierKey> = vec![log.key().verifier().clone()];
    keys.extend(suite.keys().iter().cloned());
    let mut judge = || -> Result<(String, Vec<String>), String> {
        let note = SignedNote::parse(&answer.body).map_err(|error| error.to_string())?;
        let verified = verify_note(&note, &keys).map_err(|error| error.to_string())?;
        let by = |key: &VerifierKey| verified.iter().any(|one| one.key == key);
        if !by(log.key().verifier()) {
            return Err("the log's signature is missing".to_owned());
        }
        if keys.len() > 1 && !keys[1..].iter().any(by) {
            return Err("no cosignature of the witness".to_owned());
        }
        let size: u64 = note
            .text()
            .lines()
            .nth(1)
            .and_then(|size| size.parse().ok())
            .unwrap_or(u64::MAX);
        if size > known.size || note.text() != known.tree.text(log, size) {
            return Err(format!("size {size} is not what was cosigned"));
        }
        let strange = note.signatures().iter();
        let strange = strange.filter(|line| line.name().starts_with("stranger-"));
        let strange = strange.map(|line| line.name().to_owned()).collect();
        let lag = known.size - size;
        let got = match lag {
            0 => format!("200, size {size}"),
            _ => format!("200, size {size}, {lag} behind"),
        };
        Ok((got, strange))
    };
    match judge() {
        Ok((got, strange)) => {
            suite.record("monitoring", Verdict::Pass, got);
            match strange.first() {
                None => suite.record("monitoring-unverified", Verdict::Pass, "none"),
                Some(name) => {
                    let got = format!("{} of them, as {name}", strange.len());
                    suite.record("monitoring-unverified", Verdict::Note, got);
                }
            }
        }
        Err(problem) => {
            suite.record("monitoring", Verdict::Fail, format!("200: {problem}"));
            suite.record(
                "monitoring-unverified",
                Verdict::Skipped,
                "nothing to look at",
            );
        }
    }
}

async fn http(suite: &mut Suite<'_>, log: &Log, known: &mut Known) {
    let answer = suite.get_submission().await;
    match &answer {
        Ok(other) if matches!(other.status, 400 | 404 | 501) => {
            suite.record("http-method", Verdict::Note, told(&answer));
        }
        _ => suite.expect_status("http-method", &answer, &[405]),
    }
    let answer = suite.sender().post(vec![b'a'; TOO_LARGE_BODY]).await;
    let alive = known.tree.request(log, known.size, known.size);
    let still = suite.post(alive.body()).await;
    let still = suite.cosigned(&still, &alive, true);
    match (&answer, still) {
        (_, Err(problem)) => {
            let got = format!("{}, and then {problem}", told(&answer));
            suite.record("http-body-limit", Verdict::Fail, got);
        }
        // It hung up before it read everything, and its answer was lost.
        (Err(why), Ok(_)) => {
            suite.record("http-body-limit", Verdict::Note, format!("hung up: {why}"))
        }
        (Ok(_), Ok(_)) => suite.expect_status("http-body-limit", &answer, &[400, 413]),
    }
}

fn times(suite: &mut Suite<'_>) {
    match suite.time_problems.first().cloned() {
        None => suite.record("times", Verdict::Pass, "not 0, never decreasing"),
        Some(problem) => suite.record("times", Verdict::Fail, problem),
    }
    let verdict = if suite.slowest < SLOW {
        Verdict::Pass
    } else {
        Verdict::Note
    };
    let slowest = format!("{} ms", suite.slowest.as_millis());
    suite.record("speed", verdict, slowest);
}
