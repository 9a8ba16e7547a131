//! Rows on a log that the witness knows, each a request with one fault: malformed, unknown, unsigned, stale, unproven.

use super::logs::{Log, Logs};
use super::malformed::CASES;
use super::report::Verdict;
use super::suite::{Known, Stop, Suite, told};
use super::tree::{Request, line, print, sign};
use belfry_protocol::note::SigningKey;
use belfry_protocol::tlog::hash::{empty_root, sha256};

/// A key that nobody trusts.
fn stranger(name: &str, number: u8) -> Result<SigningKey, Stop> {
    let seed = sha256(&[b'x', number]).0;
    SigningKey::ed25519(name, seed).map_err(|error| Stop::Skip(error.to_string()))
}

/// A signature line of the log's name and key id that does not verify.
fn forged(log: &Log, number: u8) -> String {
    line(log.origin(), log.key().verifier().key_id(), &[number; 64])
}

/// After a spoilt request was accepted, the log may have grown.
async fn settle(
    suite: &mut Suite<'_>,
    log: &Log,
    known: &mut Known,
    taken: bool,
) -> Result<(), Stop> {
    if taken {
        known.size = suite.size_of(log).await?;
    }
    Ok(())
}

pub(super) async fn malformed(
    suite: &mut Suite<'_>,
    log: &Log,
    known: &mut Known,
) -> Result<(), Stop> {
    for case in CASES {
        let good = known.tree.request(log, known.size, known.size + 1);
        let answer = suite.post(case.body(good, log)).await;
        suite.expect_status(case.id, &answer, &[400]);
        let taken = matches!(&answer, Ok(answer) if answer.status == 200);
        settle(suite, log, known, taken).await?;
    }
    let good = known.tree.request(log, known.size, known.size + 1);
    let root = good.text.lines().nth(2).unwrap_or_default();
    let text = format!("{}\n{}\n{root}\n", log.origin(), 1_u64 << 63);
    let answer = suite.post(good.clone().with_text(log, text).body()).await;
    match &answer {
        Ok(other) if !matches!(other.status, 200 | 400 | 500..) => {
            // Refused in the end; only readers of signed 64-bit numbers are at risk.
            suite.record("400-size-too-large", Verdict::Note, told(&answer));
        }
        _ => suite.expect_status("400-size-too-large", &answer, &[400]),
    }
    Ok(())
}

pub(super) async fn signatures(
    suite: &mut Suite<'_>,
    log: &Log,
    known: &mut Known,
    logs: &Logs,
) -> Result<(), Stop> {
    let strange = logs.strange();
    let unknown = strange.tree().request(strange, 0, 1);
    let answer = suite.post(unknown.body()).await;
    suite.expect_status("404-unknown-origin", &answer, &[404]);
    let mut borrowed = unknown;
    borrowed.lines = vec![sign(log.key(), &borrowed.text)];
    let answer = suite.post(borrowed.body()).await;
    suite.expect_status("404-unknown-origin-known-key", &answer, &[404]);

    let good = known.tree.request(log, known.size, known.size + 1);
    let signed = |key: &SigningKey| Request {
        lines: vec![sign(key, &good.text)],
        ..good.clone()
    };
    let nobody = signed(&stranger("stranger.example", 0)?);
    let namesake = signed(&stranger(log.origin(), 1)?);
    let wrong = Request {
        lines: vec![forged(log, 7)],
        ..good.clone()
    };
    let above = Request {
        old: (known.size + 2).to_string(),
        proof: Vec::new(),
        ..wrong.clone()
    };
    for (id, request) in [
        ("403-no-trusted-signature", nobody),
        ("403-other-key", namesake),
        ("403-bad-signature", wrong),
        ("403-before-400", above),
    ] {
        let answer = suite.post(request.body()).await;
        suite.expect_status(id, &answer, &[403]);
        let taken = matches!(&answer, Ok(answer) if answer.status == 200);
        settle(suite, log, known, taken).await?;
    }
    let mut beside = known.tree.request(log, known.size, known.size + 1);
    beside.lines.push(forged(log, 9));
    let answer = suite.post(beside.body()).await;
    if matches!(&answer, Ok(answer) if answer.status == 200) {
        // `signed-note` says SHOULD: the right line is there.
        suite.record("403-bad-beside-good", Verdict::Note, told(&answer));
        known.size += 1;
    } else {
        suite.expect_status("403-bad-beside-good", &answer, &[403]);
    }
    Ok(())
}

pub(super) async fn states(
    suite: &mut Suite<'_>,
    log: &Log,
    known: &mut Known,
) -> Result<(), Stop> {
    let size = known.size;
    let mut above = known.tree.request(log, size, size + 1);
    above.old = (size + 2).to_string();
    above.proof = Vec::new();
    let answer = suite.post(above.body()).await;
    suite.expect_status("400-old-above-size", &answer, &[400]);

    let stale = known.tree.request(log, size - 1, size + 1);
    let answer = suite.post(stale.body()).await;
    suite.expect_conflict("409-stale", &answer, size);
    let ahead = known.tree.request(log, size + 1, size + 2);
    let answer = suite.post(ahead.body()).await;
    suite.expect_conflict("409-ahead", &answer, size);
    let mut both = stale;
    spoil_first(&mut both);
    let answer = suite.post(both.body()).await;
    suite.expect_conflict("409-before-422", &answer, size);
    // A witness that does not compare sizes may have gone on.
    known.size = suite.size_of(log).await?;
    proofs(suite, log, known).await
}

async fn proofs(suite: &mut Suite<'_>, log: &Log, known: &mut Known) -> Result<(), Stop> {
    let good = known.tree.request(log, known.size, known.size + 1);
    let mut wrong = good.clone();
    spoil_first(&mut wrong);
    let missing = Request {
        proof: Vec::new(),
        ..good.clone()
    };
    let mut long = good;
    long.proof.push(print(&empty_root()));
    let mut equal = known.tree.request(log, known.size, known.size);
    equal.proof = vec![print(&empty_root())];
    for (id, request) in [
        ("422-wrong-proof", wrong),
        ("422-missing-proof", missing),
        ("422-long-proof", long),
        ("422-proof-for-equal-size", equal),
    ] {
        let answer = suite.post(request.body()).await;
        suite.expect_status(id, &answer, &[422]);
        let taken = matches!(&answer, Ok(answer) if answer.status == 200);
        settle(suite, log, known, taken).await?;
    }
    let again = known.tree.request(log, known.size, known.size);
    let answer = suite.post(again.body()).await;
    if !suite.expect_cosigned("200-after-refusals", &answer, &again) {
        return Err(Stop::Fail(format!(
            "the witness stopped cosigning this log: {}",
            told(&answer)
        )));
    }
    Ok(())
}

/// Another hash instead of the first proof line.
fn spoil_first(request: &mut Request) {
    if let Some(first) = request.proof.first_mut() {
        *first = print(&sha256(first.as_bytes()));
    }
}
