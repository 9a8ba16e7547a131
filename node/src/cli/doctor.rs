//! `belfry doctor`: asks the running node, if one runs, has the checks made, and prints them. Exit 41 for a failure, 40 for a
//! warning; what could not be found out is no reason for either.

use super::context::Context;
use super::control::Control;
use crate::doctor::{Check, Running, State, examine};
use crate::exit::{Code, Failure};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    if !context.layout.config().exists() {
        // It says so, with the remedy.
        context.config(&BTreeMap::new())?;
    }
    let loaded = context.config(&BTreeMap::new()).map(|(config, _)| config);
    let running = Control::find(&context.layout)
        .map(|control| ask(&control))
        .transpose()?;
    let may_write = !context.global.dry_run;
    let checks = examine(&context.layout, &loaded, running.as_ref(), may_write);
    let count = |state: State| checks.iter().filter(|check| check.state == state).count();
    let (failed, warned) = (count(State::Fail), count(State::Warn));
    let json = json!({
        "running": running.is_some(),
        "checks": checks.iter().map(Check::json).collect::<Vec<_>>(),
        "passed": count(State::Pass), "warnings": warned, "failures": failed, "unknown": count(State::Unknown),
    });
    context.out.result(&human(&checks), &json)?;
    let told = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    match (failed, warned) {
        (0, 0) => {
            context.out.say("next: belfry status");
            Ok(())
        }
        (0, _) => Err(Failure::new(Code::DoctorWarnings, told(warned, "warning"))
            .hint("do what stands below each WARN, then run `belfry doctor` again")),
        _ => {
            let text = format!("{}, {}", told(failed, "failure"), told(warned, "warning"));
            Err(Failure::new(Code::DoctorFailures, text)
                .hint("do what stands below each FAIL, then run `belfry doctor` again"))
        }
    }
}

/// What the running node says of itself and of every member that is connected.
fn ask(control: &Control) -> Result<Running, Failure> {
    let status = control.get("/control/status")?;
    // A node that joins its network at this moment has no list yet.
    let peers = control.get("/control/peers").ok();
    let list = peers.as_ref().and_then(|all| all.get("peers")?.as_array());
    // Solo nodes have none.
    let vote = control
        .post_bytes("/control/genesis", "{\"do\":\"status\"}")
        .ok();
    let mut pings = BTreeMap::new();
    for peer in list.into_iter().flatten() {
        let (Some(name), true) = (peer["name"].as_str(), peer["connected"] == true) else {
            continue;
        };
        let wish = json!({ "peer": name }).to_string();
        let answer = control.post_bytes("/control/peers/ping", wish);
        let rtt = answer.map_err(|error| error.message).and_then(|answer| {
            let rtt = answer.get("rtt_us").and_then(Value::as_u64);
            rtt.ok_or_else(|| "the answer has no time".to_owned())
        });
        pings.insert(name.to_owned(), rtt);
    }
    Ok(Running {
        status,
        peers,
        vote,
        pings,
    })
}

fn human(checks: &[Check]) -> String {
    let mut lines = Vec::new();
    for check in checks {
        lines.push(format!(
            "{:<8} {:<28} {}",
            check.state.word(),
            check.name,
            check.seen
        ));
        if !check.remedy.is_empty() {
            lines.push(format!("{:<8} {:<28} → {}", "", "", check.remedy));
        }
    }
    lines.join("\n")
}
