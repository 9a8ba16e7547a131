//! A status as people read it: a line for each thing that is so. May not ask anybody: what is not in the value is not shown.

use super::super::clocks;
use crate::key_state;
use serde_json::Value;

/// Alarms that are shown; all that are kept are in the JSON.
const ALARMS: usize = 3;

/// Logs that are shown by name; more are in the JSON.
const LOGS: usize = 8;

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

/// The epoch, and what a ledger waits for that is on its way into it (R14).
fn epoch(value: &Value) -> String {
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    match (number("epoch"), number("judged_by_epoch")) {
        (None | Some(0), _) => String::new(),
        (Some(epoch), Some(judged)) if judged < epoch => format!(
            "\nepoch     {epoch} is in force; this ledger is on its way from epoch {judged}: its digests count once the towers of both acknowledge one"
        ),
        (Some(epoch), _) => format!("\nepoch     {epoch}"),
    }
}

/// What is to be done about a manifest that ends soon.
fn manifest(value: &Value) -> String {
    let text = |key: &str| value.pointer(key).and_then(Value::as_str);
    match (text("/manifest/state"), text("/manifest/expires")) {
        (Some("sign again"), Some(end)) => format!(
            "\nmanifest  ends {end}: draft the next epoch now with `belfry genesis amend`, and have it signed"
        ),
        (Some("expired"), Some(end)) => format!(
            "\nmanifest  EXPIRED {end}: acks go on, and whoever verifies is told; draft the next epoch with `belfry genesis amend`"
        ),
        _ => String::new(),
    }
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
        number("refused_total"),
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

/// All of it.
pub(super) fn text(value: &Value) -> String {
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
        _ if text("phase").starts_with("stopped") => text("phase"),
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
            _ if peer.get("ban").is_some() => {
                let until = peer.pointer("/ban/until").and_then(Value::as_str);
                format!("banned until {}", until.unwrap_or("it is lifted"))
            }
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
        let name = field("name");
        let clock = value.get("clock");
        let clock = clock.and_then(|clock| clocks::offset(clocks::of_peer(clock, &name)?));
        let clock = clock.map_or(String::new(), |offset| format!("; clock {offset} ahead"));
        members.push_str(&format!("\nmember    {name} {state}{clock}"));
    }
    for mirror in list("mirrors") {
        let field = |name: &str| plain(mirror.get(name));
        let state = match field("state").as_str() {
            "forked" => "; FORKED, nothing of it is acknowledged any more",
            "withheld" => "; WITHHELD, nobody shows what its newest digest covers",
            "key-range" => "; KEY RANGE, its newest certificate denies its newest digest",
            _ => "",
        };
        members.push_str(&format!(
            "\nmirror    {} {} entries held, {} acknowledged{state}",
            field("origin"),
            field("held"),
            field("acked")
        ));
    }
    for fork in list("forks") {
        let field = |name: &str| plain(fork.get(name));
        members.push_str(&format!(
            "\nFORK      {} ({} of {}, {} and {} entries): belfry forks show {}",
            field("accused"),
            field("type"),
            field("origin"),
            field("smaller_size"),
            field("larger_size"),
            field("id").chars().take(12).collect::<String>()
        ));
    }
    for odd in list("odd_digests") {
        let field = |name: &str| plain(odd.get(name));
        let id: String = field("id").chars().take(12).collect();
        members.push_str(&format!(
            "\nODD       {} signed a digest of {} entries that no honest member signs: belfry forks show {id}",
            field("origin"),
            field("size"),
        ));
    }
    for witness in list("witnesses") {
        let field = |name: &str| plain(witness.get(name));
        let size = match witness.get("size").and_then(Value::as_u64) {
            Some(size) => format!("{size} entries cosigned"),
            None => "nothing cosigned yet".to_owned(),
        };
        let detail = witness.get("detail").and_then(Value::as_str);
        let state = match (field("state").as_str(), detail) {
            ("cosigned", _) => String::new(),
            (state, None) => format!("; {state}"),
            (state, Some(detail)) => format!("; {state}: {detail}"),
        };
        members.push_str(&format!("\nwitness   {} {size}{state}", field("name")));
    }
    for revoked in list("revoked") {
        let field = |name: &str| plain(revoked.get(name));
        let acts = match names(&revoked, "acts_for") {
            none if none.is_empty() => "acts once its entry is acknowledged".to_owned(),
            origins => format!("acts for {origins}"),
        };
        members.push_str(&format!(
            "\nrevoked   serial {} of {} ({}); {acts}",
            field("serial"),
            field("name"),
            field("reason"),
        ));
    }
    members.push_str(&logs(value));
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
    let quorum = quorum(value) + &epoch(value) + &manifest(value);
    let end = match value.get("successor").and_then(Value::as_str) {
        Some(successor) if !text("phase").starts_with("retired") || text("mode") != "member" => {
            format!("\nretired   its successor is {successor}")
        }
        _ => String::new(),
    };
    if let Some(keys) = value.get("keys").and_then(key_state::line) {
        members.push_str(&format!("\nkeys      {keys}"));
    }
    members.push_str(&replays(value).unwrap_or_default());
    members.push_str(&alarms(value));
    format!(
        "{} ({}, {running})\nmode      {mode}\nentries   {} ({} signed, {} in tiles)\nroot      {}\nincarnation {}{end}{quorum}{restoring}{members}",
        text("name"),
        text("role"),
        text("size"),
        text("signed_size"),
        text("flushed"),
        text("root"),
        text("incarnation"),
    )
}

/// What anti-replay counted, and steps of the clock, if there is anything.
fn replays(value: &Value) -> Option<String> {
    let mut lines = String::new();
    let kinds = value.get("nonces")?.as_object()?;
    let counted = kinds.iter().filter_map(|(kind, outcomes)| {
        let outcomes = outcomes.as_object()?.iter();
        let some = outcomes.filter(|(_, count)| count.as_u64() > Some(0));
        let words: Vec<String> = some
            .map(|(outcome, count)| format!("{count} {}", outcome.replace('_', " ")))
            .collect();
        (!words.is_empty()).then(|| format!("{kind} {}", words.join(", ")))
    });
    let counted: Vec<String> = counted.collect();
    if !counted.is_empty() {
        lines.push_str(&format!("\nnonces    {}", counted.join("; ")));
    }
    if let Some(own) = value.get("clock").and_then(clocks::own_line) {
        lines.push_str(&format!("\nclock     {own}"));
    }
    match value.get("wall_steps").and_then(Value::as_u64) {
        None | Some(0) => {}
        Some(1) => lines.push_str("\nclock     the wall clock stepped once"),
        Some(steps) => lines.push_str(&format!("\nclock     the wall clock stepped {steps} times")),
    }
    Some(lines)
}

/// Logs that are no members: how many, and the first few by name.
fn logs(value: &Value) -> String {
    let all = value.get("logs").and_then(Value::as_array);
    let all = all.map_or(&[][..], Vec::as_slice);
    let total = value.get("logs_total").and_then(Value::as_u64).unwrap_or(0);
    let mut lines = String::new();
    for log in all.iter().take(LOGS) {
        let origin = plain(log.get("origin"));
        let state = match log.get("size").and_then(Value::as_u64) {
            _ if log.get("forked") == Some(&Value::Bool(true)) => {
                "FORKED: nothing more is cosigned".to_owned()
            }
            Some(size) => format!("{size} entries cosigned"),
            None => "nothing cosigned yet".to_owned(),
        };
        lines.push_str(&format!("\nlog       {origin} {state}"));
    }
    let shown = all.len().min(LOGS) as u64;
    if total > shown {
        lines.push_str(&format!("\nlogs      {} more are cosigned", total - shown));
    }
    lines
}

/// The newest alarms.
fn alarms(value: &Value) -> String {
    let all = value.get("alarms").and_then(Value::as_array);
    let all = all.map_or(&[][..], Vec::as_slice);
    let newest = &all[all.len().saturating_sub(ALARMS)..];
    let line = |alarm: &Value| {
        let field = |name: &str| plain(alarm.get(name));
        format!(
            "\nALARM     {} {}: {}",
            field("at"),
            field("kind"),
            field("alarm")
        )
    };
    newest.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn trouble_is_shown_and_quiet_things_are_not() {
        let mut status = json!({
            "name": "shop.example", "role": "factory", "running": true, "mode": "member", "phase": "active", "size": 9,
            "signed_size": 9, "flushed": 0, "root": "00", "incarnation": 1795261037931283_u64, "acked_size": 9,
            "nonces": { "stream": { "accepted": 0 }, "request": { "full": 0 } }, "wall_steps": 0, "alarms": [],
            "net": { "refused": { "banned": 2 }, "refused_total": 5 }, "refused": { "stranger": 3 },
            "peers": [{ "name": "north.example", "connected": false }],
        });
        let shown = text(&status);
        for part in [
            "incarnation 1795261037931283",
            "5 refused",
            "north.example not connected",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
        }
        for part in ["nonces", "clock", "ALARM", "retired"] {
            assert!(!shown.contains(part), "{part:?} is in\n{shown}");
        }
        status["clock"] = json!({
            "own": { "verdict": "ok", "may_ack": true, "middle_us": -7, "half_width_us": 9 },
            "peers": [{ "name": "north.example", "middle_us": 500, "half_width_us": 1_000 }],
        });
        status["nonces"]["stream"] = json!({ "accepted": 3, "old_key": 1, "zero": 0 });
        status["wall_steps"] = json!(2);
        status["peers"][0]["ban"] = json!({ "until": "2027-01-01" });
        status["phase"] = json!("recovering");
        status["successor"] = json!("next.example");
        let alarm = |kind: &str| json!({ "at": "then", "kind": kind, "alarm": "It happened." });
        status["alarms"] = ["a", "b", "c", "d"].map(alarm).into_iter().collect();
        let shown = text(&status);
        for part in [
            "nonces    stream 3 accepted, 1 old key",
            "the wall clock stepped 2 times",
            "clock     ok, -7 µs ± 9 µs ahead of the federation's time; confirmed",
            "; clock +500 µs ± 1.000 ms ahead",
            "north.example banned until 2027-01-01",
            "retired   its successor is next.example",
            "ALARM     then d: It happened.",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
        }
        assert_eq!(shown.matches("ALARM").count(), 3, "{shown}");
    }
}
