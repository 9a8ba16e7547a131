//! How far what was appended is: durable, signed, acknowledged. What can never be is refused before anything is appended;
//! afterwards it may only wait: the entries are durable by then, whatever happens.

use crate::cli::args::{AppendArgs, Wait};
use crate::cli::context::Context;
use crate::cli::control::Control;
use crate::cli::wait::{self, Condition};
use crate::config::Config;
use crate::exit::Failure;
use crate::ingest::Summary;
use crate::member;
use crate::reach::{Reach, Stage};
use serde_json::Value;
use std::time::Duration;

/// How long `--wait` waits for towers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stage in words.
pub(super) fn text(stage: Stage) -> &'static str {
    match stage {
        Stage::Durable => "durable, not signed",
        Stage::Signed => "durable and signed",
        Stage::Acked => "durable, signed, and acknowledged by a quorum of towers",
    }
}

/// Whether what was asked for is reached.
pub(super) fn reaches(stage: Stage, wait: Wait) -> bool {
    stage
        >= match wait {
            Wait::Durable => Stage::Durable,
            Wait::Signed => Stage::Signed,
            Wait::Acked => Stage::Acked,
        }
}

/// Refuses a stage that entries of this node can never reach.
///
/// # Errors
/// [`crate::exit::Code::QuorumNotMet`].
pub(super) fn check(context: &Context, config: &Config, wait: Wait) -> Result<(), Failure> {
    if wait == Wait::Durable {
        return Ok(());
    }
    let federation = member::federation(&context.layout)?;
    // `run --allow-solo` is known to the process only.
    let solo = match Control::find(&context.layout) {
        Some(control) => control.get("/control/status")?.get("mode") == Some(&"solo".into()),
        None => config.allow_solo,
    };
    let reach = Reach::of(federation.as_ref(), &config.name, solo);
    match wait {
        Wait::Acked => reach.check_acked(),
        _ => reach.check_signed(),
    }
}

/// Waits for the stage that was asked for; only a member of a federation has more to wait for than a commit.
pub(super) fn wait_for(
    context: &Context,
    args: &AppendArgs,
    summary: &Summary,
    signed: &mut u64,
) -> Result<bool, Failure> {
    // Entries that were there before count too: whoever repeats a command wants to know the same of them.
    let size = summary.places.end();
    if size == 0 || !context.layout.genesis().exists() {
        return Ok(false);
    }
    let condition = match args.wait {
        Wait::Durable => return Ok(false),
        Wait::Signed => Condition::Signed(size),
        Wait::Acked => Condition::Acked(size),
    };
    let status = wait::until(context, condition, PATIENCE).map_err(|mut failure| {
        let last = size - 1;
        failure.message = format!(
            "the entries are durable, up to index {last}; after {} s {}",
            PATIENCE.as_secs(),
            failure.message
        );
        failure.hint(format!(
            "do not append them again: `belfry wait --for {condition}` goes on waiting, `belfry status` shows why"
        ))
    })?;
    let size = status.get("signed_size").and_then(Value::as_u64);
    *signed = size.unwrap_or(0).max(*signed);
    Ok(args.wait == Wait::Acked)
}
