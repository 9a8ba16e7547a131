//! The node's own ledger before foreign witnesses (C2SP `tlog-witness`): submits the newest digest to each witness of a
//! policy file, and keeps what they cosigned. May not submit what is not durable, sign anything, or count towards the
//! quorum of the federation.
//!
//! | file | holds |
//! |---|---|
//! | [`policy`] | the policy file of `witness.submit_policy` |
//! | [`source`] | the newest digest that may leave, and proofs between sizes |
//! | [`exchange`] | one submission to one witness |
//! | [`evidence`] | what a refusal shows: a fork proof, if there is one |
//! | [`board`], [`kept`] | where each witness stands; the cosigned checkpoints, also on disk |

mod board;
mod evidence;
mod exchange;
mod kept;
mod policy;
mod source;

pub(crate) use board::Board;
pub(crate) use kept::Kept;

use crate::exit::Failure;
use crate::node::Node;
use crate::web::Web;
use belfry_protocol::policy::Witness;
use exchange::{Exchange, Outcome};
use source::{Digest, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Shortest time between two submissions to one witness, and between two digests that are submitted: public witnesses
/// allow a log few requests.
const PACE: Duration = Duration::from_secs(1);
/// How long a witness may take to answer: those who sync before they answer need more than the usual second.
const TIMEOUT: Duration = Duration::from_secs(5);
/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Pause after a refusal, which repeating does not mend.
const PAUSE_REFUSED: Duration = Duration::from_secs(600);
/// A cosignature older than this is renewed although the ledger did not grow.
const REFRESH: Duration = Duration::from_secs(600);

/// The tasks that submit.
pub(crate) struct Submitter {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Submitter {
    /// Starts submitting, if the configuration names a policy with witnesses that have an address.
    ///
    /// # Errors
    /// When an address is none.
    pub(crate) fn start(node: &Node, board: &Arc<Board>) -> Result<Option<Self>, Failure> {
        let witnesses = board.reachable();
        if witnesses.is_empty() {
            return Ok(None);
        }
        let (stop, stopped) = watch::channel(false);
        let (target, targets) = watch::channel(None);
        let source = Source::of(node);
        let mut tasks = JoinSet::new();
        for (witness, url) in witnesses {
            let exchange = Exchange {
                web: Web::new(&url, TIMEOUT)?,
                url,
                key: witness.key.clone(),
                source: source.clone(),
            };
            let (board, targets) = (Arc::clone(board), targets.clone());
            tasks.spawn(until(
                stopped.clone(),
                serve(witness, exchange, board, targets),
            ));
        }
        tasks.spawn(until(stopped, feed(source, target)));
        Ok(Some(Self { stop, tasks }))
    }

    /// Ends all tasks and waits for them. An answer that is under way is lost, and learnt again by a conflict.
    pub(crate) async fn close(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Runs `work` until a stop is asked for.
async fn until(mut stopped: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        // A sender that is gone means stop, too.
        _ = stopped.wait_for(|stop| *stop) => {}
        () = work => {}
    }
}

/// Hands out the newest digest, one per pace, so that all witnesses cosign the same sizes.
async fn feed(source: Source, target: watch::Sender<Option<Arc<Digest>>>) {
    let mut published = source.published();
    loop {
        match source.newest().await {
            Ok(Some(digest)) => {
                let grew = target
                    .borrow()
                    .as_ref()
                    .is_none_or(|last| last.size < digest.size);
                if grew {
                    let _ = target.send(Some(Arc::new(digest)));
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the newest digest could not be read for the witnesses")
            }
        }
        sleep(PACE).await;
        if published.changed().await.is_err() {
            // The writer ended; the digests stay what they are.
            return std::future::pending().await;
        }
    }
}

/// Submits to one witness, for ever.
async fn serve(
    witness: Witness,
    mut exchange: Exchange,
    board: Arc<Board>,
    mut targets: watch::Receiver<Option<Arc<Digest>>>,
) {
    let mut known = board.last_size(&witness.name);
    let mut done: Option<u64> = None;
    let mut failures = 0;
    loop {
        let digest = loop {
            let newest = targets.borrow_and_update().clone();
            if let Some(digest) = newest.filter(|digest| done != Some(digest.size)) {
                break digest;
            }
            tokio::select! {
                changed = targets.changed() => if changed.is_err() { return },
                () = sleep(REFRESH) => done = None,
            }
        };
        let outcome = exchange.submit(&digest, &mut known).await;
        let pause = match &outcome {
            Outcome::Cosigned { .. } => {
                done = Some(digest.size);
                failures = 0;
                PACE
            }
            // It holds a digest that is not the newest here yet.
            Outcome::Behind { .. } => PACE,
            // What it holds can be compared once the ledger is as large; until then nothing is asked again.
            Outcome::Ahead { .. } => {
                done = Some(digest.size);
                PACE
            }
            Outcome::Refused { .. } => PAUSE_REFUSED,
            Outcome::Busy { .. } | Outcome::Unknown { .. } | Outcome::Failed { .. } => {
                failures += 1;
                backed_off(failures, outcome.retry_after())
            }
        };
        let evidence = match &outcome {
            Outcome::Refused { .. } | Outcome::Ahead { .. } => exchange.evidence(&digest).await,
            _ => None,
        };
        let (noted, name, submitted) = (Arc::clone(&board), witness.name.clone(), digest.clone());
        // It writes to disk.
        let work = move || noted.note(&name, &submitted, outcome, evidence);
        if tokio::task::spawn_blocking(work).await.is_err() {
            tracing::error!(
                witness = witness.name,
                "what a witness answered could not be noted"
            );
        }
        sleep(pause).await;
    }
}

/// Twice as long after each failure, at least as long as asked for, and never in step with other logs.
fn backed_off(failures: u32, asked: Option<u64>) -> Duration {
    let (first, longest) = PAUSES;
    let pause = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let asked = Duration::from_secs(asked.unwrap_or(0));
    let pause = pause.max(asked).min(longest);
    let mut random = [0; 1];
    // Without randomness the pause is only less spread.
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(0.75 + f64::from(random[0]) / 512.0).max(PACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        for failures in 1..40 {
            let pause = backed_off(failures, None);
            assert!(
                pause >= PACE && pause <= PAUSES.1.mul_f64(1.25),
                "{pause:?}"
            );
        }
        assert!(backed_off(9, None) > Duration::from_secs(100));
        assert!(backed_off(1, Some(60)) > Duration::from_secs(40));
        assert!(backed_off(1, Some(1 << 40)) <= PAUSES.1.mul_f64(1.25));
    }
}
