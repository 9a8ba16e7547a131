//! A run where a federation is being founded: serves and votes until it is active, puts the manifest in place, and begins anew, as every
//! later start does.

use super::{Run, forget_names};
use crate::ceremony::{self, draft::Draft};
use crate::cli::context::Context;
use crate::config::Config;
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::http::App;
use crate::member;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long requests that were cut off may hold the node.
const HELD: Duration = Duration::from_secs(5);

/// Whether this directory is in a founding.
pub(super) fn is_under_way(context: &Context, config: &Config) -> Result<bool, Failure> {
    if context.layout.genesis().exists() {
        // The end of a founding, and then a crash.
        Draft::remove(&context.layout, &RealDisk)?;
        return Ok(false);
    }
    let under_way = context.layout.founding().exists();
    if under_way && config.allow_solo {
        return Err(Failure::new(
            Code::ConfigInvalid,
            "this node takes part in a founding, and may not sign alone meanwhile",
        )
        .hint("set ledger.allow_solo = false in config.toml, and start without --allow-solo"));
    }
    Ok(under_way)
}

/// Runs it; says whether the federation is active, and not whether somebody stopped the node.
pub(super) async fn run(run: &mut Run<'_>) -> Result<bool, Failure> {
    let context = run.context;
    let draft = Draft::load(&context.layout, &RealDisk)?
        .ok_or_else(|| Failure::new(Code::Failed, "founding.json is gone"))?;
    let app = Arc::new(App::new(context.open(&run.flags)?)?);
    let mut founding = ceremony::start(&app.node, context.keys()?, draft)?;
    let _only = app.founding.set(founding.table.clone());
    let mut active = None;
    let served = run
        .serve(&app, async {
            active = Some(founding.ended().await?);
            Ok(())
        })
        .await;
    founding.close().await;
    forget_names(context);
    let closed = close(app).await?;
    served?;
    let Some(links) = active else {
        return Ok(false);
    };
    if run.signals.is_asked_to_stop().await {
        return Ok(false);
    }
    if !closed {
        // Beginning anew lets go of it, and what is active is on disk.
        tracing::warn!("a request that does not end holds the ledger");
        return Ok(true);
    }
    member::install(
        &context.layout,
        Arc::new(RealDisk),
        member::chain::print(&links).as_bytes(),
    )?;
    Draft::remove(&context.layout, &RealDisk)?;
    tracing::info!("this node is a member now");
    Ok(true)
}

/// Begins anew in the same process, under the same number: what listens for peers may hold its ports for seconds after it closed, and
/// whoever watches the process need not know.
pub(super) fn begin_anew() -> Result<(), Failure> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let program = std::env::current_exe()?;
    // Returns only if it failed.
    let error = Command::new(program).arg0(name).args(arguments).exec();
    Err(Failure::new(
        Code::Restart,
        format!("the federation is founded, and the node could not begin anew: {error}"),
    )
    .hint("start it again with `belfry run`"))
}

/// Closes the node, once no request holds it any more; says whether it could.
async fn close(mut app: Arc<App>) -> Result<bool, Failure> {
    let until = Instant::now() + HELD;
    loop {
        match Arc::try_unwrap(app) {
            Ok(app) => {
                let closed = tokio::task::spawn_blocking(move || app.node.close());
                let failed =
                    |error: tokio::task::JoinError| Failure::new(Code::Failed, error.to_string());
                return closed.await.map(|()| true).map_err(failed);
            }
            Err(held) if Instant::now() < until => app = held,
            Err(_) => return Ok(false),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
