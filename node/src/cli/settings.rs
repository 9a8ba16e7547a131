//! `belfry config …` and `belfry man`: what is set, where it comes from, and manual pages.

use super::args::{Cli, ConfigShowArgs};
use super::context::Context;
use crate::exit::Failure;
use clap::CommandFactory;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn show(context: &Context, args: &ConfigShowArgs) -> Result<(), Failure> {
    let (_, shown) = context.config(&BTreeMap::new())?;
    let mut lines = Vec::new();
    let mut values = Map::new();
    for (key, (value, origin)) in &shown {
        let from = if args.origin {
            format!("  # {origin}")
        } else {
            String::new()
        };
        lines.push(format!("{key} = {value}{from}"));
        values.insert(
            (*key).to_owned(),
            json!({ "value": value, "origin": origin.to_string() }),
        );
    }
    context
        .out
        .result(&lines.join("\n"), &Value::Object(values))
}

pub(super) fn validate(context: &Context) -> Result<(), Failure> {
    context.config(&BTreeMap::new())?;
    let path = context.layout.config();
    context.out.result(
        &format!("{} is valid", path.display()),
        &json!({ "valid": true, "file": path }),
    )
}

pub(super) fn man(context: &Context, dir: &Path) -> Result<(), Failure> {
    if context.global.dry_run {
        let text = format!("would write manual pages to {}", dir.display());
        return context
            .out
            .result(&text, &json!({ "dry_run": true, "dir": dir }));
    }
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    let count = std::fs::read_dir(dir)?.count();
    context.out.result(
        &format!("wrote {count} pages to {}", dir.display()),
        &json!({ "dir": dir, "pages": count }),
    )
}
