//! `belfry netcheck`: whether every member can be reached, how long a round trip takes, and how far apart clocks are, as
//! the running node sees it.

use super::clocks;
use super::context::Context;
use super::control::Control;
use crate::exit::{Code, Failure};
use serde_json::{Value, json};

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let control = Control::find(&context.layout).ok_or_else(|| {
        Failure::new(Code::Unreachable, "no node runs on this directory")
            .hint("start it with `belfry run`")
    })?;
    let clocks = control.get("/api/v1/skew")?;
    let peers = control.get("/control/peers")?;
    let peers = peers.get("peers").and_then(Value::as_array);
    let members = peers
        .into_iter()
        .flatten()
        .filter(|peer| !peer["name"].is_null());
    let members: Vec<Value> = members.map(|peer| member(peer, &clocks)).collect();
    let away = members.iter().filter(|one| one["connected"] != true);
    let away: Vec<&str> = away.filter_map(|one| one["name"].as_str()).collect();
    let value = json!({
        "ok": away.is_empty(), "unreachable": away, "members": members, "clock": clocks["own"],
        "bound_us": clocks["bound_us"], "falsetickers": clocks["falsetickers"],
    });
    context.out.result(&text(&value), &value)?;
    match away.first() {
        None => {
            context
                .out
                .say("`belfry status` shows where this node stands.");
            Ok(())
        }
        Some(first) => Err(Failure::new(
            Code::Unreachable,
            format!("not connected: {}", away.join(", ")),
        )
        .hint(format!(
            "`belfry peers show {first}` says how the last dial went"
        ))),
    }
}

/// What is known of one member.
fn member(peer: &Value, clocks: &Value) -> Value {
    let clock = peer["name"]
        .as_str()
        .and_then(|name| clocks::of_peer(clocks, name));
    let of_clock = |key: &str| clock.map_or(Value::Null, |clock| clock[key].clone());
    let of_session = |key: &str| peer["session"].get(key).cloned().unwrap_or_default();
    json!({
        "name": peer["name"], "connected": peer["connected"], "banned": peer.get("ban").is_some(),
        "address": of_session("address"), "direction": of_session("direction"),
        // The shortest of its window says more of the wire than the latest.
        "rtt_us": match of_clock("min_rtt_us") {
            Value::Null => of_session("rtt_us"),
            shortest => shortest,
        },
        "lo_us": of_clock("lo_us"), "hi_us": of_clock("hi_us"), "middle_us": of_clock("middle_us"),
        "half_width_us": of_clock("half_width_us"), "n": of_clock("n"), "steps": of_clock("steps"),
        "verdict": match of_clock("verdict") {
            Value::Null => json!("undetermined"),
            verdict => verdict,
        },
        "error": peer["dial"].get("error").cloned().unwrap_or_default(), "goodbye": peer["goodbye"],
    })
}

fn text(value: &Value) -> String {
    let own = clocks::own_line(&json!({ "own": value["clock"] }));
    let mut lines = vec![format!("own clock {}", own.unwrap_or_default())];
    for member in value["members"].as_array().into_iter().flatten() {
        let name = member["name"].as_str().unwrap_or("?");
        let mut line = format!("{name:<32} ");
        if member["connected"] == true {
            line.push_str("connected");
            if let Some(rtt) = member["rtt_us"].as_u64() {
                line.push_str(&format!(", {}.{:03} ms", rtt / 1_000, rtt % 1_000));
            }
            if let Some(address) = member["address"].as_str() {
                line.push_str(&format!(", {address}"));
            }
        } else if member["banned"] == true {
            line.push_str("banned");
        } else {
            let why = member["goodbye"].as_str().or(member["error"].as_str());
            let why = why.and_then(|why| why.lines().next());
            line.push_str(&why.map_or("not connected".to_owned(), |why| {
                format!("not connected: {why}")
            }));
        }
        let verdict = member["verdict"].as_str().unwrap_or("undetermined");
        match clocks::offset(member) {
            Some(offset) => line.push_str(&format!(", clock {offset} ahead ({verdict})")),
            None => line.push_str(", clock not measured"),
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_and_who_is_not_is_shown_with_clocks() {
        let clocks = json!({ "own": { "verdict": "ok", "may_ack": true, "middle_us": 5, "half_width_us": 9 }, "peers": [{
            "name": "north.example", "verdict": "ok", "min_rtt_us": 1_234, "n": 4, "steps": 0,
            "lo_us": -500, "hi_us": 1_500, "middle_us": 500, "half_width_us": 1_000,
        }] });
        let north = json!({ "name": "north.example", "connected": true, "session": {
            "address": "/ip4/192.0.2.1/tcp/9471", "direction": "dialed", "rtt_us": 9_999,
        } });
        let south = json!({ "name": "south.example", "connected": false, "dial": { "error": "refused\nmore" } });
        let members = [member(&north, &clocks), member(&south, &clocks)];
        assert_eq!(members[0]["rtt_us"], 1_234);
        let shown = text(&json!({ "clock": clocks["own"], "members": members }));
        for part in [
            "own clock ok, +5 µs ± 9 µs ahead of the federation's time; confirmed",
            "connected, 1.234 ms, /ip4/192.0.2.1/tcp/9471, clock +500 µs ± 1.000 ms ahead (ok)",
            "not connected: refused, clock not measured",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
        }
    }
}
