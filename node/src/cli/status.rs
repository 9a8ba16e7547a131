//! `belfry status`: what this node is and where it stands, from the running node or from the directory.

use super::args::StatusArgs;
use super::context::Context;
use super::control::Control;
use crate::exit::Failure;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn run(context: &Context, args: &StatusArgs) -> Result<(), Failure> {
    loop {
        let value = gather(context)?;
        context.out.result(&human(&value), &value)?;
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn gather(context: &Context) -> Result<Value, Failure> {
    if let Some(control) = Control::find(&context.layout) {
        return control.get("/control/status");
    }
    let (config, _) = context.config(&BTreeMap::new())?;
    let reader = context.reader()?;
    let head = reader.head()?;
    Ok(describe(&config, &head, reader.incarnation()?, false))
}

/// The state of a node as `status` and the control socket show it.
pub(crate) fn describe(
    config: &crate::config::Config,
    head: &belfry_protocol::engine::ledger::Head,
    incarnation: Option<u64>,
    running: bool,
) -> Value {
    let signed = head.signed.unwrap_or(0);
    json!({
        "name": config.name,
        "role": config.role,
        "running": running,
        "mode": if config.allow_solo { "solo" } else { "unfounded" },
        "size": head.size(),
        "root": head.root().to_hex(),
        "signed_size": signed,
        "unsigned": head.size() - signed,
        "flushed": head.flushed,
        "incarnation": incarnation,
        "towers": 0,
    })
}

fn human(value: &Value) -> String {
    let text = |key: &str| match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    };
    let mode = match text("mode").as_str() {
        "solo" => "solo: signs on its own, nobody else vouches for this ledger".to_owned(),
        _ => "unfounded: appends, signs nothing until it belongs to a federation".to_owned(),
    };
    let running = if value.get("running") == Some(&Value::Bool(true)) {
        "running"
    } else {
        "not running"
    };
    format!(
        "{} ({}, {running})\nmode      {mode}\nentries   {} ({} signed, {} in tiles)\nroot      {}\nstarts    {}",
        text("name"),
        text("role"),
        text("size"),
        text("signed_size"),
        text("flushed"),
        text("root"),
        text("incarnation"),
    )
}
