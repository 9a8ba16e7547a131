//! A conformance suite for witnesses (C2SP `tlog-witness`): drives any of them through every row of the status table, and
//! through races and a restart. May not know which program it talks to, and needs nothing from it but its address.
//!
//! | file | holds |
//! |---|---|
//! | [`table`], [`malformed`] | every row: what is done and what must come of it |
//! | [`logs`], [`tree`] | the logs that it plays, made from a seed, in memory |
//! | [`suite`] | what rows share: sending, learning a log's size, judging cosignatures |
//! | [`first`], [`answers`], [`grow`], [`forks`], [`races`], [`restart`], [`subtree`] | the rows, by the log that they run on |
//! | [`report`] | what came of it |

mod answers;
mod first;
mod forks;
mod grow;
pub mod logs;
pub mod malformed;
mod races;
pub mod report;
mod restart;
mod subtree;
mod suite;
pub mod table;
mod tree;

use crate::exit::{Code, Failure};
use belfry_protocol::note::VerifierKey;
use logs::{Group, Logs};
use report::{Report, Row};
use std::time::Duration;
use suite::Suite;

/// Restarts the witness and returns when it was told to start again.
pub type Restart = Box<dyn FnMut() -> Result<(), String> + Send>;

/// What to run the suite with.
pub struct Options {
    /// Submission prefix: `add-checkpoint` is below it.
    pub url: String,
    /// Monitoring prefix: `<origin hash>/checkpoint` is below it.
    pub monitoring_url: String,
    /// Logs that the witness knows, by their keys.
    pub logs: Logs,
    /// Keys of the witness; without any, cosignatures are read and not verified.
    pub witness_keys: Vec<VerifierKey>,
    /// How to restart the witness.
    pub restart: Option<Restart>,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// Runs every row that can be run, and tells `seen` of each.
///
/// # Errors
/// When the witness cannot be reached at all, or its address is none.
pub async fn run(
    options: Options,
    seen: &mut (dyn FnMut(&Row) + Send + Sync),
) -> Result<Report, Failure> {
    let Options {
        url,
        monitoring_url,
        logs,
        witness_keys,
        mut restart,
        timeout,
    } = options;
    let mut suite = Suite::new(&url, &monitoring_url, witness_keys, timeout, seen)?;
    suite.reach().await.map_err(|why| {
        Failure::new(Code::Unreachable, format!("{url}: {why}"))
            .hint("is the witness running, and is this its submission prefix?")
    })?;
    for group in Group::ALL {
        let Some(log) = logs.get(group) else {
            suite.skip_rest(
                group,
                "no log for this group: more are made by `belfry conformance logs`",
            );
            continue;
        };
        let ended = match group {
            Group::First => first::run(&mut suite, log).await,
            Group::Zero => first::zero(&mut suite, log).await,
            Group::Main => grow::run(&mut suite, log, &logs).await,
            Group::ForkSame => forks::same_size(&mut suite, log).await,
            Group::ForkLarger => forks::larger(&mut suite, log).await,
            Group::RaceSizes => races::sizes(&mut suite, log).await,
            Group::RaceSame => races::same(&mut suite, log).await,
            Group::RaceFork => races::contradiction(&mut suite, log).await,
            Group::Restart => restart::run(&mut suite, log, restart.as_mut()).await,
            Group::Subtree => subtree::run(&mut suite, log, &logs).await,
        };
        if let Err(stop) = ended {
            suite.stop(group, &stop);
        }
    }
    Ok(suite.finish())
}
