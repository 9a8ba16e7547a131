//! Rows around a restart of the witness: what it cosigned before must bind it after.

use super::Restart;
use super::logs::Log;
use super::subtree::{Part, Reference};
use super::suite::{Stop, Suite};
use std::time::{Duration, Instant};

/// Entries that the log has at least.
const LEAST: u64 = 3;
/// How long a witness may take to come back.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn run(
    suite: &mut Suite<'_>,
    log: &Log,
    restart: Option<&mut Restart>,
) -> Result<(), Stop> {
    let Some(restart) = restart else {
        return Err(Stop::Skip(
            "no --restart-command and no --pause-for-restart".to_owned(),
        ));
    };
    let mut known = suite.bring(log, LEAST).await?;
    // One entry that was just cosigned is the one that a witness forgets.
    let request = known.tree.request(log, known.size, known.size + 1);
    let answer = suite.post(request.body()).await;
    suite
        .cosigned(&answer, &request, true)
        .map_err(|got| Stop::Fail(format!("it was not cosigned before the restart: {got}")))?;
    let cosigned = Reference::of(&request, &answer);
    known.size += 1;
    restart().map_err(|why| Stop::Skip(format!("the restart failed: {why}")))?;
    let until = Instant::now() + PATIENCE;
    while let Err(why) = suite.reach().await {
        if Instant::now() > until {
            return Err(Stop::Fail(format!(
                "it did not come back within 60 s: {why}"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
    // First, because whatever is cosigned now could stand for what was cosigned before.
    let part = Part::new(&mut known.tree, &cosigned, 0, known.size - 1, known.size);
    let answer = suite.post_subtree(part.body()).await;
    suite.expect_signed("restart-subtree", &answer, &part);
    let answer = suite
        .post(known.tree.request(log, 0, known.size + 1).body())
        .await;
    suite.expect_conflict("restart-size", &answer, known.size);
    let request = known.tree.request(log, known.size, known.size);
    let answer = suite.post(request.body()).await;
    suite.expect_cosigned("restart-equal", &answer, &request);
    let mut other = known.tree.branch(known.size - 1, 1);
    let fork = other.request(log, known.size, known.size);
    let answer = suite.post(fork.body()).await;
    suite.expect_refusal("restart-fork", &answer);
    Ok(())
}
