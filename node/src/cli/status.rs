//! `belfry status`: what this node is and where it stands, from the running node or from the directory.

use super::args::StatusArgs;
use super::context::Context;
use super::control::Control;
use crate::exit::Failure;
use crate::member::Traffic;
use belfry_protocol::engine::federation;
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
    let mut shown = describe(&config, &head, reader.incarnation()?, false);
    if context.layout.genesis().exists() {
        shown["mode"] = "member".into();
    }
    Ok(shown)
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

/// Adds what a member of a federation shows.
pub(crate) fn describe_member(shown: &mut Value, status: &federation::Status) {
    let peers: Vec<Value> = status
        .peers
        .iter()
        .map(|peer| {
            json!({ "name": peer.name, "connected": peer.connected, "held": peer.held, "goodbye": peer.goodbye, "refused": peer.refused })
        })
        .collect();
    let mirrors: Vec<Value> = status
        .mirrors
        .iter()
        .map(|mirror| {
            json!({ "origin": mirror.origin, "held": mirror.held, "tail": mirror.tail, "seen": mirror.seen, "acked": mirror.acked })
        })
        .collect();
    let refused: serde_json::Map<String, Value> = status
        .refused
        .iter()
        .map(|(why, count)| ((*why).to_owned(), json!(count)))
        .collect();
    if let Value::Object(fields) = shown {
        fields.insert("mode".to_owned(), json!("member"));
        fields.insert("phase".to_owned(), json!(status.phase));
        fields.insert("acked_size".to_owned(), json!(status.acked));
        fields.insert("incarnation".to_owned(), json!(status.incarnation));
        fields.insert("peers".to_owned(), json!(peers));
        fields.insert("mirrors".to_owned(), json!(mirrors));
        fields.insert("refused".to_owned(), Value::Object(refused));
        fields.insert("restoring".to_owned(), json!(status.restoring));
        fields.insert("needs_serial".to_owned(), json!(status.needs_serial));
        fields.insert("waits_for".to_owned(), json!(status.waits_for));
        fields.insert("wall_steps".to_owned(), json!(status.wall_steps));
        fields.insert("nonces".to_owned(), nonces(&status.nonces));
        if let Some(quorum) = &status.quorum {
            fields.insert(
                "quorum".to_owned(),
                json!({ "towers": quorum.towers, "connected": status.towers_connected, "needed": quorum.needed, "faulty": quorum.faulty, "recovery": quorum.recovery }),
            );
        }
    }
}

/// What anti-replay accepted and refused since the start, by mechanism and outcome.
fn nonces(counts: &belfry_protocol::engine::nonces::Counts) -> Value {
    let mut shown = json!({});
    for (kind, outcome, count) in counts.by_outcome() {
        shown[kind][outcome] = json!(count);
    }
    shown
}

/// How many towers vouch, and what that is worth (R2).
fn quorum(value: &Value) -> String {
    let number = |key: &str| {
        let quorum = value.get("quorum")?;
        quorum.get(key).and_then(Value::as_u64)
    };
    let (Some(towers), Some(needed)) = (number("towers"), number("needed")) else {
        return String::new();
    };
    let worth = match number("faulty").unwrap_or(0) {
        0 => "one tower that colludes with this node can split the view; gossip shows it, the quorum does not prevent it".to_owned(),
        faulty => format!("up to {faulty} may lie"),
    };
    let connected = number("connected").unwrap_or(towers);
    let now = if connected < needed {
        format!("; only {connected} connected, so nothing is signed now")
    } else {
        String::new()
    };
    format!("\nquorum    {needed} of {towers} towers{now}; {worth}")
}

/// A list of names as people read it.
fn names(value: &Value, key: &str) -> String {
    let list = value.get(key).and_then(Value::as_array);
    let names: Vec<String> = list
        .into_iter()
        .flatten()
        .map(|one| plain(Some(one)))
        .collect();
    names.join(", ")
}

/// Adds what passed over the network so far.
pub(crate) fn describe_network(shown: &mut Value, traffic: &Traffic) {
    let net = &traffic.net;
    let sum = |tally: &crate::net::Tally| tally.values().sum::<u64>();
    shown["net"] = json!({
        "connected": net.admitted, "dial_failures": net.dial_failures, "refused": net.refused,
        "over_quota": net.quota, "gossip": net.verdicts,
        "received_bytes": sum(&net.received), "sent_bytes": sum(&net.sent),
        "dropped": net.outbox_drops + traffic.commands_dropped + traffic.verifier_dropped,
    });
}

/// One line about the network, if there is one.
fn network(value: &Value) -> Option<String> {
    let net = value.get("net")?;
    let number = |key: &str| net.get(key).and_then(Value::as_u64).unwrap_or(0);
    let sum = |key: &str| -> u64 {
        let all = net.get(key).and_then(Value::as_object);
        all.into_iter()
            .flat_map(|all| all.values())
            .filter_map(Value::as_u64)
            .sum()
    };
    Some(format!(
        "\nnetwork   {} members connected; {} in, {} out; {} refused, {} over quota, {} dials failed, {} dropped",
        number("connected"),
        indicatif::HumanBytes(number("received_bytes")),
        indicatif::HumanBytes(number("sent_bytes")),
        sum("refused"),
        sum("over_quota"),
        number("dial_failures"),
        number("dropped"),
    ))
}

/// A value as people read it.
fn plain(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn human(value: &Value) -> String {
    let text = |key: &str| match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    };
    let mode = match text("mode").as_str() {
        "member" if value.get("phase").is_none() => "member of a federation".to_owned(),
        "member" if value.get("quorum").is_none() => format!("member, {}", text("phase")),
        "member" => format!(
            "member, {}, {} entries acknowledged",
            text("phase"),
            text("acked_size")
        ),
        "solo" => "solo: signs on its own, nobody else vouches for this ledger".to_owned(),
        _ => "unfounded: appends, signs nothing until it belongs to a federation".to_owned(),
    };
    let running = if value.get("running") == Some(&Value::Bool(true)) {
        "running"
    } else {
        "not running"
    };
    let list = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    // Towers hold entries of a ledger that has a quorum.
    let watched = value.get("quorum").is_some();
    let mut members = network(value).unwrap_or_default();
    for peer in list("peers") {
        let field = |name: &str| plain(peer.get(name));
        let state = match (
            peer.get("connected"),
            peer.get("goodbye").and_then(Value::as_str),
        ) {
            (Some(Value::Bool(true)), _) => {
                let refused = peer.get("refused").and_then(Value::as_str);
                let refused = refused.map_or(String::new(), |why| format!("; {why}"));
                match watched {
                    true => format!("connected, holds {} entries{refused}", field("held")),
                    false => "connected".to_owned(),
                }
            }
            (_, Some(why)) => why.to_owned(),
            _ => "not connected".to_owned(),
        };
        members.push_str(&format!("\nmember    {} {state}", field("name")));
    }
    for mirror in list("mirrors") {
        let field = |name: &str| plain(mirror.get(name));
        members.push_str(&format!(
            "\nmirror    {} {} entries held, {} acknowledged",
            field("origin"),
            field("held"),
            field("acked")
        ));
    }
    let restoring = match value.get("restoring").and_then(Value::as_array) {
        Some(list) if !list.is_empty() => {
            let list = names(value, "restoring");
            format!(
                "\nrestoring {list}: promises and acks nothing for them before every other tower told what it knows"
            )
        }
        _ if value.get("needs_serial") == Some(&Value::Bool(true)) => {
            "\nrestoring needs keys of a new serial before it acks; see the log".to_owned()
        }
        _ => match names(value, "waits_for") {
            list if list.is_empty() => String::new(),
            list => format!("\nasking    acks nothing before {list} told what they saw"),
        },
    };
    let quorum = quorum(value);
    format!(
        "{} ({}, {running})\nmode      {mode}\nentries   {} ({} signed, {} in tiles)\nroot      {}\nstart     {}{quorum}{restoring}{members}",
        text("name"),
        text("role"),
        text("size"),
        text("signed_size"),
        text("flushed"),
        text("root"),
        text("incarnation"),
    )
}
