//! `belfry status`: what this node is and where it stands, from the running node or from the directory. How people read
//! it is in [`human`].

mod human;

use super::args::StatusArgs;
use super::context::Context;
use super::control::Control;
use crate::clock;
use crate::exit::Failure;
use crate::key_state::KeyState;
use crate::member::{Bans, Told, Traffic};
use belfry_protocol::engine::federation;
use belfry_protocol::engine::ledger::FORKED;
use belfry_protocol::manifest::Validity;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn run(context: &Context, args: &StatusArgs) -> Result<(), Failure> {
    loop {
        let value = gather(context)?;
        context.out.result(&human::text(&value), &value)?;
        if context.layout.founding().exists() {
            context
                .out
                .say("next: belfry genesis status, for the founding that this node takes part in");
        }
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
    let forked = reader.own_fork()?.is_some();
    let now_seconds = crate::clock::now().wall_seconds();
    if let Ok(keys) = KeyState::read(context.layout.dir(), &config.name, now_seconds) {
        shown["keys"] = keys.json();
    }
    describe_end(&mut shown, reader.successor()?, forked);
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
    })
}

/// How long the manifest in force is good for.
fn manifest(status: &federation::Status) -> Value {
    let (resign, expires) = (status.resign_from_seconds, status.expires_seconds);
    let validity = Validity::at(resign, expires, clock::now().wall_seconds());
    json!({
        "state": validity.word(), "resign_from": clock::shown_seconds(resign), "expires": clock::shown_seconds(expires),
    })
}

/// Adds what a member of a federation shows.
pub(crate) fn describe_member(shown: &mut Value, status: &federation::Status) {
    let peers: Vec<Value> = status
        .peers
        .iter()
        .map(|peer| {
            json!({
                "name": peer.name, "connected": peer.connected, "held": peer.held, "goodbye": peer.goodbye,
                "refused": peer.refused, "refusals": tally(&peer.refusals),
            })
        })
        .collect();
    let mirrors: Vec<Value> = status
        .mirrors
        .iter()
        .map(|mirror| {
            json!({ "origin": mirror.origin, "held": mirror.held, "tail": mirror.tail, "seen": mirror.seen, "acked": mirror.acked, "state": mirror.state })
        })
        .collect();
    if let Value::Object(fields) = shown {
        fields.insert("mode".to_owned(), json!("member"));
        fields.insert("phase".to_owned(), json!(status.phase));
        fields.insert("acked_size".to_owned(), json!(status.acked));
        fields.insert("incarnation".to_owned(), json!(status.incarnation));
        fields.insert("epoch".to_owned(), json!(status.epoch));
        fields.insert("manifest".to_owned(), manifest(status));
        fields.insert("judged_by_epoch".to_owned(), json!(status.judged_by));
        fields.insert("peers".to_owned(), json!(peers));
        fields.insert("mirrors".to_owned(), json!(mirrors));
        fields.insert("forks".to_owned(), json!(forks(&status.forks)));
        fields.insert("odd_digests".to_owned(), odd(&status.odd_digests));
        fields.insert("revoked".to_owned(), revoked(&status.revoked));
        fields.insert("logs".to_owned(), logs(&status.logs));
        fields.insert("logs_total".to_owned(), json!(status.logs_total));
        fields.insert("refused".to_owned(), tally(&status.refused));
        fields.insert("restoring".to_owned(), json!(status.restoring));
        fields.insert("needs_serial".to_owned(), json!(status.needs_serial));
        fields.insert("waits_for".to_owned(), json!(status.waits_for));
        fields.insert("wall_steps".to_owned(), json!(status.wall_steps));
        let clocks = super::clocks::describe_clocks(status);
        fields.insert("clock".to_owned(), clocks);
        fields.insert("nonces".to_owned(), nonces(&status.nonces));
        if let Some(quorum) = &status.quorum {
            fields.insert(
                "quorum".to_owned(),
                json!({ "towers": quorum.towers, "connected": status.towers_connected, "needed": quorum.needed, "faulty": quorum.faulty, "recovery": quorum.recovery }),
            );
        }
    }
}

/// Fork proofs, by whom they accuse.
fn forks(forks: &[federation::io::ForkStatus]) -> Vec<Value> {
    let one = |fork: &federation::io::ForkStatus| {
        json!({
            "id": fork.digest, "type": fork.kind, "accused": fork.accused, "origin": fork.origin,
            "smaller_size": fork.smaller, "larger_size": fork.larger,
        })
    };
    forks.iter().map(one).collect()
}

/// Digests that no honest member signs.
fn odd(odd: &[federation::io::OddStatus]) -> Value {
    let one = |odd: &federation::io::OddStatus| json!({ "id": odd.digest, "origin": odd.origin, "size": odd.size });
    odd.iter().map(one).collect()
}

/// Serials that were revoked.
fn revoked(revoked: &[federation::io::RevokedStatus]) -> Value {
    let one = |one: &federation::io::RevokedStatus| json!({ "name": one.name, "serial": one.serial, "reason": one.reason, "acts_for": one.acts_for });
    revoked.iter().map(one).collect()
}

/// Logs that are no members, and what was cosigned of them.
fn logs(logs: &[federation::LogStatus]) -> Value {
    let log = |log: &federation::LogStatus| {
        let cosigned_at = log.size.map(|_| log.time_seconds);
        json!({ "origin": log.origin, "size": log.size, "cosigned_at_seconds": cosigned_at, "forked": log.forked })
    };
    logs.iter().map(log).collect()
}

/// Counts by reason.
fn tally(counts: &[(&'static str, u64)]) -> Value {
    let counts = counts.iter();
    counts
        .map(|(why, count)| ((*why).to_owned(), json!(count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Adds who goes on in place of a ledger that was retired, or that it forked. What has no phase of its own is at its end.
pub(crate) fn describe_end(shown: &mut Value, successor: Option<String>, forked: bool) {
    if forked && shown.get("phase").is_none() {
        shown["phase"] = json!(format!("stopped: {FORKED}"));
    }
    let Some(successor) = successor else { return };
    if shown.get("phase").is_none() {
        shown["phase"] = json!(format!("retired, its successor is {successor}"));
    }
    shown["successor"] = json!(successor);
}

/// Adds the newest alarms since the start, oldest first.
pub(crate) fn describe_alarms(shown: &mut Value, alarms: &[Told]) {
    let alarm =
        |told: &Told| json!({ "at": told.at.to_string(), "kind": told.kind, "alarm": told.text });
    shown["alarms"] = alarms.iter().map(alarm).collect();
}

/// Adds until when members are banned.
pub(crate) fn describe_bans(shown: &mut Value, bans: &Bans) {
    let bans = bans.all();
    let peers = shown.get_mut("peers").and_then(Value::as_array_mut);
    for peer in peers.into_iter().flatten() {
        let name = peer.get("name").and_then(Value::as_str);
        let ban = bans.iter().find(|ban| ban.member.as_deref() == name);
        if let Some(ban) = ban.filter(|ban| ban.member.is_some()) {
            peer["ban"] = json!({ "until": ban.until.map(|until| until.to_string()) });
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

/// Adds what passed over the network so far; after [`describe_member`], whose refusals count in the total.
pub(crate) fn describe_network(shown: &mut Value, traffic: &Traffic) {
    let net = &traffic.net;
    let sum = |tally: &crate::net::Tally| tally.values().sum::<u64>();
    let by_engine = shown.get("refused").and_then(Value::as_object);
    let by_engine = by_engine.into_iter().flat_map(|all| all.values());
    let by_engine: u64 = by_engine.filter_map(Value::as_u64).sum();
    shown["net"] = json!({
        "connected": net.admitted, "dial_failures": net.dial_failures, "refused": net.refused,
        "over_quota": net.quota, "gossip": net.verdicts,
        "received_bytes": sum(&net.received), "sent_bytes": sum(&net.sent),
        "refused_total": sum(&net.refused) + by_engine,
        "dropped": net.outbox_drops + traffic.commands_dropped + traffic.verifier_dropped,
    });
}
