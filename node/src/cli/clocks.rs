//! Clocks as JSON, for `status`, `/api/v1/skew` and `netcheck`, and as people read them. May not judge: verdicts come
//! from the engine.

use belfry_protocol::clock::{Interval, Verdict};
use belfry_protocol::engine::federation::Status;
use belfry_protocol::engine::federation::skew::PeerClock;
use belfry_protocol::engine::nonces::ConfirmedBy;
use serde_json::{Value, json};

/// Adds an interval to an object, if it is known; units are in the names.
fn add_interval(object: &mut Value, interval: Option<Interval>) {
    object["lo_us"] = json!(interval.map(|one| one.lo_us));
    object["hi_us"] = json!(interval.map(|one| one.hi_us));
    object["middle_us"] = json!(interval.map(Interval::middle_us));
    object["half_width_us"] = json!(interval.map(Interval::half_width_us));
}

fn peer(clock: &PeerClock) -> Value {
    let mut value = json!({
        "name": clock.name, "verdict": clock.verdict.name(), "agrees": clock.agrees, "n": clock.samples,
        "min_rtt_us": clock.min_rtt_us, "window_us": clock.window_us, "steps": clock.steps,
    });
    add_interval(&mut value, clock.offset);
    value
}

/// Everybody's clocks as this node sees them.
pub(crate) fn describe_clocks(status: &Status) -> Value {
    let clock = &status.clock;
    let mut own = json!({
        "verdict": clock.verdict.name(), "may_ack": clock.may_ack,
        "confirmed": matches!(clock.confirmed, Some(Ok(_))),
        "confirmed_by": match clock.confirmed {
            Some(Ok(ConfirmedBy::Probe)) => json!("probe"),
            Some(Ok(ConfirmedBy::Operator)) => json!("operator"),
            _ => json!(null),
        },
        "not_confirmed": match clock.confirmed {
            Some(Err(why)) => json!(why.to_string()),
            _ => json!(null),
        },
        "agreeing": clock.agreeing,
    });
    add_interval(&mut own, clock.own);
    let measured = clock.peers.iter().filter(|peer| peer.offset.is_some());
    let measured = measured.count();
    let share = |verdict| match measured {
        0 => json!(null),
        all => json!(clock.count(verdict) as f64 / all as f64),
    };
    let spread = clock.spread();
    let discarded = clock.discarded.iter();
    let discarded = discarded.map(|(why, count)| ((*why).to_owned(), json!(count)));
    json!({
        "bound_us": clock.bound_us,
        "own": own,
        "aggregate": {
            "p50_us": spread.map(|all| all.p50_us), "p95_us": spread.map(|all| all.p95_us),
            "half_width_p50_us": spread.map(|all| all.half_width_p50_us),
            "half_width_p95_us": spread.map(|all| all.half_width_p95_us),
            "measured": measured,
            "share_ok": share(Verdict::Ok), "share_undetermined": share(Verdict::Undetermined),
            "share_violated": share(Verdict::Violated),
        },
        "falsetickers": clock.falsetickers,
        "peers": clock.peers.iter().map(peer).collect::<Vec<_>>(),
        "samples": clock.samples,
        "discarded": discarded.collect::<serde_json::Map<_, _>>(),
        "wall_steps": status.wall_steps,
    })
}

/// Microseconds in the unit that people read.
fn span(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{:03} ms", micros / 1_000, micros % 1_000),
        _ => format!("{}.{:03} s", micros / 1_000_000, micros / 1_000 % 1_000),
    }
}

fn signed(micros: i64) -> String {
    let sign = if micros < 0 { '-' } else { '+' };
    format!("{sign}{}", span(micros.unsigned_abs()))
}

/// The interval in an object: its middle, and how far the truth may be from it.
pub(super) fn offset(object: &Value) -> Option<String> {
    let middle = object.get("middle_us")?.as_i64()?;
    let half = object.get("half_width_us")?.as_u64()?;
    Some(format!("{} ± {}", signed(middle), span(half)))
}

/// The clock of the member `name` in what [`describe_clocks`] gives.
pub(super) fn of_peer<'v>(clocks: &'v Value, name: &str) -> Option<&'v Value> {
    let peers = clocks.get("peers")?.as_array()?;
    peers.iter().find(|one| one["name"] == name)
}

/// The own clock in one line.
pub(super) fn own_line(clocks: &Value) -> Option<String> {
    let own = clocks.get("own")?;
    let verdict = own.get("verdict")?.as_str()?;
    let measured = match offset(own) {
        Some(offset) => format!(", {offset} ahead of the federation's time"),
        None => ", too few members agree on a time".to_owned(),
    };
    let worth = match (
        verdict,
        own["may_ack"].as_bool(),
        own["not_confirmed"].as_str(),
    ) {
        ("violated", ..) => {
            "; PROVEN WRONG: set the clock, nothing is acknowledged before".to_owned()
        }
        (_, Some(false), _) => {
            "; it just stepped, so acks wait until it is measured anew".to_owned()
        }
        (_, _, Some(why)) => {
            format!("; not confirmed: {why} (`belfry clock confirm` vouches for it)")
        }
        _ if own["confirmed_by"] == "operator" => "; confirmed by an operator".to_owned(),
        _ => "; confirmed".to_owned(),
    };
    Some(format!("{verdict}{measured}{worth}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::testing::status;
    use belfry_protocol::engine::nonces::Why;

    #[test]
    fn offsets_are_read_with_their_uncertainty() {
        let shown = |lo_us, hi_us| {
            let mut value = json!({});
            add_interval(&mut value, Some(Interval { lo_us, hi_us }));
            offset(&value).unwrap()
        };
        assert_eq!(shown(-120, 340), "+110 µs ± 230 µs");
        assert_eq!(shown(-7_250, -5_250), "-6.250 ms ± 1.000 ms");
        assert_eq!(shown(3_600_000_000, 3_600_000_000), "+3600.000 s ± 0 µs");
        let mut value = json!({});
        add_interval(&mut value, None);
        assert_eq!(offset(&value), None);
    }

    #[test]
    fn a_clock_that_is_proven_wrong_says_so_and_what_to_do() {
        let mut status = status("tower");
        status.clock.confirmed = Some(Err(Why::Start));
        status.clock.may_ack = true;
        let line = own_line(&describe_clocks(&status)).unwrap();
        assert!(
            line.starts_with("undetermined, too few members agree"),
            "{line}"
        );
        assert!(
            line.contains("not confirmed: no probe since the start"),
            "{line}"
        );
        status.clock.verdict = Verdict::Violated;
        status.clock.own = Some(Interval {
            lo_us: 3_599_999_000,
            hi_us: 3_600_001_000,
        });
        status.clock.may_ack = false;
        let line = own_line(&describe_clocks(&status)).unwrap();
        assert!(line.contains("+3600.000 s ± 1.000 ms ahead"), "{line}");
        assert!(line.contains("set the clock"), "{line}");
    }
}
