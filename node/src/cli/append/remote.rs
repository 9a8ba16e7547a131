//! Handing the lines to a running node, and reading what it did with them. May not open the directory itself.

use crate::cli::args::{AppendArgs, OnErrorArg};
use crate::cli::control::Control;
use crate::exit::Failure;
use crate::ingest::{Rejected, Runs, Summary};
use belfry_protocol::entry::{Draft, Visibility};
use indicatif::ProgressBar;
use serde_json::Value;
use std::io::Read;

pub(super) fn append(
    control: &Control,
    args: &AppendArgs,
    draft: &Draft,
    lines: Box<dyn Read + Send>,
    bar: &ProgressBar,
) -> Result<(Summary, u64), Failure> {
    let mut query = vec![
        ("kind", draft.kind.clone()),
        ("source", draft.source.clone()),
    ];
    query.extend(draft.tenant.clone().map(|tenant| ("tenant", tenant)));
    query.extend(draft.visibility.map(|visibility| {
        (
            "visibility",
            if visibility == Visibility::Private {
                "private"
            } else {
                "public"
            }
            .to_owned(),
        )
    }));
    query.push(("envelope", args.envelope.to_string()));
    query.push(("dedupe", args.dedupe.to_string()));
    query.push((
        "on_error",
        if args.on_error == OnErrorArg::Stop {
            "stop"
        } else {
            "continue"
        }
        .to_owned(),
    ));
    let query: Vec<String> = query
        .into_iter()
        .map(|(key, value)| format!("{key}={}", percent(&value)))
        .collect();
    bar.tick();
    let answer = control.post(&format!("/api/v1/entries?{}", query.join("&")), lines)?;
    let number = |key: &str| answer.get(key).and_then(Value::as_u64);
    let rejected = answer
        .get("rejected")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let summary = Summary {
        appended: number("appended").unwrap_or(0),
        known: number("known").unwrap_or(0),
        first: number("first"),
        last: number("last"),
        rejected: rejected
            .map(|item| {
                let text = |key: &str| {
                    item.get(key)
                        .and_then(Value::as_str)
                        .unwrap_or("?")
                        .to_owned()
                };
                Rejected {
                    label: text("item"),
                    why: text("why"),
                }
            })
            .collect(),
        rejected_count: number("rejected_count").unwrap_or(0),
        places: runs(&answer),
        stopped: answer
            .get("stopped")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    };
    Ok((summary, number("signed_size").unwrap_or(0)))
}

/// Where the entries are, as the node tells it; `null` if they are in too many places.
fn runs(answer: &Value) -> Runs {
    let Some(list) = answer.get("places").and_then(Value::as_array) else {
        return Runs::forgotten(answer.get("end").and_then(Value::as_u64).unwrap_or(0));
    };
    let mut runs = Runs::default();
    for run in list {
        let number = |at: usize| run.get(at).and_then(Value::as_u64).unwrap_or(0);
        runs.add(number(0)..number(1));
    }
    runs
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3).
fn percent(text: &str) -> String {
    let keep = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| {
            if keep(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
