//! `belfry peers …`: the other members as the running node sees them, a ping, and bans. The node does the work; here it is
//! asked and what it says is printed.

use super::args::{BanArgs, PeersCommand, WhomArgs};
use super::context::Context;
use super::control::Control;
use super::span;
use crate::exit::{Code, Failure};
use serde_json::{Value, json};

pub(super) fn run(context: &Context, command: &PeersCommand) -> Result<(), Failure> {
    let control = Control::find(&context.layout).ok_or_else(|| {
        Failure::new(Code::Unreachable, "no node runs on this directory")
            .hint("start it with `belfry run`")
    })?;
    match command {
        PeersCommand::List => list(context, &control),
        PeersCommand::Show(args) => show(context, &control, args),
        PeersCommand::Ping(args) => ping(context, &control, args),
        PeersCommand::Ban(args) => ban(context, &control, args),
        PeersCommand::Unban(args) => unban(context, &control, args),
    }
}

fn ask(control: &Control, verb: &str, wish: &Value) -> Result<Value, Failure> {
    control.post_bytes(&format!("/control/peers/{verb}"), wish.to_string())
}

fn text<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    value.pointer(path).and_then(Value::as_str)
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}

/// A member's name, or a stranger's id.
fn called(value: &Value) -> &str {
    text(value, "/name").or(text(value, "/peer")).unwrap_or("?")
}

/// In a few words, how things stand with a peer.
fn state(value: &Value) -> String {
    if value.get("ban").is_some() {
        return "banned".to_owned();
    }
    if value.get("connected") == Some(&Value::Bool(true)) {
        return match value.pointer("/session/rtt_us").and_then(Value::as_u64) {
            Some(rtt) => format!("connected, {}", milliseconds(rtt)),
            None => "connected".to_owned(),
        };
    }
    match (text(value, "/goodbye"), value.get("session")) {
        (Some(why), _) => why.to_owned(),
        (None, Some(_)) if text(value, "/name").is_none() => "a stranger in the lobby".to_owned(),
        (None, Some(_)) => "connected, has not passed hello".to_owned(),
        (None, None) => match text(value, "/dial/error") {
            Some(error) => format!("not connected: {}", error.lines().next().unwrap_or("")),
            None => "not connected".to_owned(),
        },
    }
}

fn list(context: &Context, control: &Control) -> Result<(), Failure> {
    let answer = control.get("/control/peers")?;
    let items = |key: &str| answer.get(key).and_then(Value::as_array).cloned();
    let peers = items("peers").unwrap_or_default();
    let mut lines: Vec<String> = peers
        .iter()
        .map(|peer| format!("{:<32} {}", called(peer), state(peer)))
        .collect();
    if lines.is_empty() {
        lines.push("this node belongs to no federation".to_owned());
    }
    for ban in items("bans").unwrap_or_default() {
        if text(&ban, "/name").is_none() {
            lines.push(format!("{:<32} banned", called(&ban)));
        }
    }
    context.out.result(&lines.join("\n"), &answer)
}

fn show(context: &Context, control: &Control, args: &WhomArgs) -> Result<(), Failure> {
    let peer = ask(control, "show", &json!({ "peer": args.peer }))?;
    context.out.result(&describe(&peer).join("\n"), &peer)
}

fn describe(peer: &Value) -> Vec<String> {
    let mut lines = vec![called(peer).to_owned()];
    let mut line = |key: &str, value: String| lines.push(format!("{key:<10} {value}"));
    line("id", text(peer, "/peer").unwrap_or("?").to_owned());
    let words = |path: &str, between: &str| -> String {
        let list = peer.pointer(path).and_then(Value::as_array);
        let words = list.into_iter().flatten().filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(between)
    };
    let roles = words("/roles", ", ");
    if !roles.is_empty() {
        line("roles", roles);
    }
    line("state", state(peer));
    if let Some(remedy) = text(peer, "/remedy").filter(|remedy| !remedy.is_empty()) {
        line("do", remedy.to_owned());
    }
    if peer.get("session").is_some() {
        let version = text(peer, "/session/version").unwrap_or("unknown");
        let (how, address) = (
            text(peer, "/session/direction").unwrap_or("?"),
            text(peer, "/session/address").unwrap_or("?"),
        );
        line("address", format!("{address} ({how})"));
        line(
            "since",
            format!(
                "{} ({} s)",
                text(peer, "/session/since").unwrap_or("?"),
                number(peer, "/session/seconds")
            ),
        );
        line("version", version.to_owned());
    } else {
        let addresses = words("/addresses", "\n           ");
        if !addresses.is_empty() {
            line("addresses", addresses);
        }
        if let Some(error) = text(peer, "/dial/error") {
            let failures = number(peer, "/dial/failures");
            let tried = error.lines().collect::<Vec<_>>().join("\n           ");
            line("last dial", format!("{tried} ({failures} failures)"));
            line(
                "do",
                "check that it runs, and that one of its addresses can be reached from here"
                    .to_owned(),
            );
        }
    }
    if text(peer, "/name").is_some() {
        let (held, acked) = (number(peer, "/held"), number(peer, "/acked"));
        line(
            "our ledger",
            format!("it holds {held} entries and has acknowledged {acked}"),
        );
    }
    if peer.get("mirror").is_some() {
        let (held, acked) = (number(peer, "/mirror/held"), number(peer, "/mirror/acked"));
        line(
            "its ledger",
            format!("we hold {held} entries and have acknowledged {acked}"),
        );
    }
    if let Some(refused) = peer.get("refused").and_then(Value::as_object) {
        for (why, count) in refused {
            line("refused", format!("{count} × {why}"));
        }
    }
    if let Some(ban) = peer.get("ban") {
        line("banned", ban_text(ban));
        line(
            "do",
            format!("`belfry peers unban {}` lifts the ban", called(peer)),
        );
    }
    lines
}

fn ban_text(ban: &Value) -> String {
    let until = text(ban, "/until").map_or_else(
        || "until it is lifted".to_owned(),
        |until| format!("until {until}"),
    );
    let reason = match text(ban, "/reason") {
        None | Some("") => String::new(),
        Some(reason) => format!(": {reason}"),
    };
    format!("since {}, {until}{reason}", text(ban, "/at").unwrap_or("?"))
}

fn ping(context: &Context, control: &Control, args: &WhomArgs) -> Result<(), Failure> {
    let answer = ask(control, "ping", &json!({ "peer": args.peer }))?;
    let rtt = milliseconds(number(&answer, "/rtt_us"));
    context
        .out
        .result(&format!("{} {rtt}", called(&answer)), &answer)
}

fn ban(context: &Context, control: &Control, args: &BanArgs) -> Result<(), Failure> {
    let seconds = args.duration.as_deref().map(span::seconds).transpose()?;
    let wish = json!({
        "peer": args.peer, "seconds": seconds, "reason": args.reason.clone().unwrap_or_default(),
        "dry_run": context.global.dry_run,
    });
    let answer = ask(control, "ban", &wish)?;
    let mut lines = vec![format!(
        "{} {} {}",
        if context.global.dry_run {
            "would ban"
        } else {
            "banned"
        },
        called(&answer),
        ban_text(&answer)
    )];
    if answer.get("still_counts") == Some(&Value::Bool(true)) {
        lines.push(
            "It stays a member and still counts in n: only a new manifest changes that.".to_owned(),
        );
    }
    let left = answer.get("left_text").and_then(Value::as_array);
    lines.extend(
        left.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    context.out.result(&lines.join("\n"), &answer)?;
    if !context.global.dry_run {
        context.out.say(format!(
            "`belfry peers unban {}` lifts the ban.",
            called(&answer)
        ));
    }
    Ok(())
}

fn unban(context: &Context, control: &Control, args: &WhomArgs) -> Result<(), Failure> {
    let wish = json!({ "peer": args.peer, "dry_run": context.global.dry_run });
    let answer = ask(control, "unban", &wish)?;
    let did = if context.global.dry_run {
        "would lift the ban of"
    } else {
        "lifted the ban of"
    };
    context
        .out
        .result(&format!("{did} {}", called(&answer)), &answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_cannot_be_reached_is_shown_with_what_to_do() {
        let peer = json!({
            "name": "north.example", "peer": "12D3KooWabc", "roles": ["tower"], "connected": false,
            "addresses": ["/ip4/192.0.2.1/tcp/9471"], "held": 3, "acked": 2, "goodbye": null,
            "dial": { "failures": 4, "error": "refused", "next_ms": 10 }, "refused": { "sync before hello": 2 },
        });
        let shown = describe(&peer).join("\n");
        for part in [
            "north.example",
            "tower",
            "not connected: refused",
            "192.0.2.1",
            "4 failures",
            "check that it runs",
            "holds 3 entries and has acknowledged 2",
            "2 × sync before hello",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
        }
    }

    #[test]
    fn a_ban_and_a_goodbye_are_shown_with_their_remedies() {
        let mut peer = json!({
            "name": "north.example", "peer": "12D3KooWabc", "connected": false,
            "goodbye": "it refused us: clocks differ; set the clock", "remedy": "set the clock",
        });
        let shown = describe(&peer).join("\n");
        assert!(shown.contains("do         set the clock"), "{shown}");
        peer["ban"] = json!({ "at": "then", "until": null, "reason": "floods" });
        let shown = describe(&peer).join("\n");
        assert!(
            shown.contains("since then, until it is lifted: floods"),
            "{shown}"
        );
        assert!(
            shown.contains("belfry peers unban north.example"),
            "{shown}"
        );
    }
}
