//! `belfry demo`: a whole federation on this machine. One factory and three towers as processes of their own, a manifest
//! that all four signed, a directory in the ledger, a receipt that is verified offline, a tower that dies and comes
//! back, and a liar that is caught. Ends by telling where to look around.

mod acts;
mod children;
mod cluster;
mod entries;
mod fork;
mod home;
mod proof;
mod stop;
pub(super) mod thief;

use super::args::DemoArgs;
use super::context::Context;
use crate::exit::{Code, Failure};
use acts::Play;
use children::Children;
use home::Home;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stop::{First, Stop};
use tokio::sync::oneshot;

/// How long the play may take to notice that it was stopped; its processes are gone by then.
const CURTAIN: Duration = Duration::from_secs(2);

pub(super) fn run(context: &Context, args: &DemoArgs) -> Result<(), Failure> {
    check_options(context)?;
    let mut stop = Stop::listen()?;
    let home = Home::make()?;
    let children = Arc::new(Children::default());
    let play = Arc::new(Play {
        out: context.out,
        args: args.clone(),
        home: home.path().to_owned(),
        children: Arc::clone(&children),
        serving: AtomicBool::new(false),
    });
    let (done, mut ended) = oneshot::channel();
    let player = Arc::clone(&play);
    std::thread::Builder::new()
        .name("demo".to_owned())
        .spawn(move || drop(done.send(player.acts())))?;
    let first = stop.or(&mut ended);
    children.close();
    let result = match first {
        First::Done(Ok(result)) => result,
        First::Done(Err(_)) => Err(Failure::new(Code::Failed, "the demo ended by a panic")),
        First::Stopped => {
            let serving = play.serving.load(Ordering::Relaxed);
            // It writes into the directory that goes now.
            let _ = stop.within(CURTAIN, ended);
            match serving {
                true => Ok(()),
                false => Err(Failure::new(
                    Code::Interrupted,
                    "interrupted; every process was ended and the directory removed",
                )),
            }
        }
    };
    drop(home);
    if result.is_ok() {
        context.out.say("next: belfry init --name YOUR.DOMAIN/LINE");
    }
    result
}

/// Refuses options of every command that mean nothing here.
fn check_options(context: &Context) -> Result<(), Failure> {
    let refuse = |why| Err(Failure::new(Code::Usage, why).hint("run it without: belfry demo DIR"));
    if context.global.dry_run {
        return refuse("--dry-run: the demo shows nothing without founding its federation");
    }
    // The variable is meant for the user's own node, which the demo does not touch.
    let variable = std::env::var_os("BELFRY_DATA_DIR").map(PathBuf::from);
    if context.global.data_dir.is_some() && context.global.data_dir != variable {
        return refuse(
            "--data-dir: the demo's nodes live in a temporary directory, and it touches no other",
        );
    }
    Ok(())
}
