//! `belfry clock confirm`: an operator vouches for the running node's wall clock (R8). Nothing is written down: the next step
//! of the clock, or the next start, ends it. May not set a clock.

use super::args::{ClockCommand, ClockConfirmArgs};
use super::clocks;
use super::context::Context;
use super::control::Control;
use super::last_resort::confirm;
use crate::exit::{Code, Failure};
use serde_json::json;
use std::collections::BTreeMap;

pub(super) fn run(context: &Context, command: &ClockCommand) -> Result<(), Failure> {
    let ClockCommand::Confirm(args) = command;
    confirm_clock(context, args)
}

fn confirm_clock(context: &Context, args: &ClockConfirmArgs) -> Result<(), Failure> {
    let control = Control::find(&context.layout).ok_or_else(|| {
        Failure::new(Code::Unreachable, "no node runs on this directory")
            .hint("a confirmation ends with the node; start it with `belfry run` first")
    })?;
    let before = control.get("/api/v1/skew")?;
    let time = before["at"].as_str().unwrap_or("?").to_owned();
    if context.global.dry_run {
        let text = format!("would confirm the clock, which shows {time}");
        return context
            .out
            .result(&text, &json!({ "dry_run": true, "time": time }));
    }
    let (config, _) = context.config(&BTreeMap::new())?;
    let worth = format!(
        "The clock of this node shows {time}. Compare it with another clock: until it steps, or the node restarts, votes and \
         uploads are judged by it."
    );
    confirm(context, &config.name, args.confirm.as_deref(), &worth)?;
    // What was compared must be what is confirmed: a step in between is refused.
    let body = json!({ "wall_steps": before["wall_steps"] }).to_string();
    let answer = control.post_bytes("/control/clock/confirm", body)?;
    let line = clocks::own_line(&answer).unwrap_or_default();
    context
        .out
        .result(&format!("own clock {line}"), &answer["own"])?;
    context
        .out
        .say("`belfry netcheck` shows it beside the members' clocks.");
    Ok(())
}
