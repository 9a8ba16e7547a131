//! Each other member. A running node has dialled them and says how that went; without one their TCP ports are knocked at,
//! and nothing is said.

use super::{Check, Patient, Running};
use belfry_protocol::manifest::Member;
use serde_json::Value;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a member may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn checks(patient: &Patient<'_>) -> Vec<Check> {
    let (Some(federation), Some(config)) = (&patient.federation, patient.config) else {
        return Vec::new();
    };
    let members = federation.manifest().members.iter();
    let others = members.filter(|member| member.name != config.name);
    match patient.running {
        None => others.flat_map(stopped).collect(),
        Some(running) => {
            let mut checks: Vec<Check> = others.flat_map(|other| asked(running, other)).collect();
            checks.extend(quorum(running));
            checks.extend(manifest(running));
            checks.push(own_clock(running));
            checks
        }
    }
}

fn name(member: &Member, what: &str) -> String {
    format!("members.{}.{what}", member.name)
}

/// From outside: whether a TCP port of it takes connections.
fn stopped(member: &Member) -> Vec<Check> {
    let dial = match member.addresses.iter().find_map(|address| tcp_of(address)) {
        None => {
            let why = "it has no TCP address, and QUIC takes a running node";
            Check::unknown(name(member, "dial"), why)
        }
        Some(place) => match knock(&place) {
            Ok(address) => Check::pass(
                name(member, "dial"),
                format!("TCP {address} takes connections"),
            ),
            Err(why) => Check::warn(name(member, "dial"), format!("{place}: {why}"))
                .remedy("ask its operator whether it runs, and look at the firewalls in between"),
        },
    };
    let why = "this node does not run, and asking takes a running one";
    let unknown = |what| Check::unknown(name(member, what), why);
    vec![dial, unknown("hello"), unknown("clock")]
}

/// `HOST:PORT` of an address like `/ip4/192.0.2.7/tcp/9471` that is dialled directly.
fn tcp_of(address: &str) -> Option<String> {
    let parts: Vec<&str> = address.split('/').skip(1).collect();
    if parts.contains(&"p2p-circuit") {
        return None;
    }
    match parts.as_slice() {
        ["ip6", host, "tcp", port, ..] => Some(format!("[{host}]:{port}")),
        ["ip4" | "dns" | "dns4" | "dns6", host, "tcp", port, ..] => Some(format!("{host}:{port}")),
        _ => None,
    }
}

fn knock(place: &str) -> Result<SocketAddr, String> {
    let addresses = place.to_socket_addrs().map_err(|error| error.to_string())?;
    let mut why = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(address),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// What the running node says of a member.
fn asked(running: &Running, member: &Member) -> Vec<Check> {
    let peers = running
        .peers
        .as_ref()
        .and_then(|all| all.get("peers")?.as_array());
    let known = peers
        .into_iter()
        .flatten()
        .find(|peer| peer["name"] == member.name.as_str());
    let Some(peer) = known else {
        let why = "the running node does not say anything of it yet";
        return vec![Check::unknown(name(member, "dial"), why)];
    };
    vec![
        dial(running, member, peer),
        hello(member, peer),
        clock(running, member),
    ]
}

fn text<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    value.pointer(path).and_then(Value::as_str)
}

fn dial(running: &Running, member: &Member, peer: &Value) -> Check {
    let name = name(member, "dial");
    if peer.get("ban").is_some() {
        return Check::warn(name, "it is banned here").remedy(format!(
            "`belfry peers unban {}` lifts the ban",
            member.name
        ));
    }
    match (
        text(peer, "/session/address"),
        running.pings.get(&member.name),
    ) {
        (Some(address), Some(Ok(rtt_us))) => {
            let seen = format!(
                "connected at {address}, {}.{:03} ms",
                rtt_us / 1_000,
                rtt_us % 1_000
            );
            Check::pass(name, seen)
        }
        (Some(address), Some(Err(why))) => Check::warn(
            name,
            format!("connected at {address}, and a ping failed: {why}"),
        )
        .remedy("it may be overloaded; look again, and at its log"),
        (Some(address), None) => Check::pass(name, format!("connected at {address}")),
        (None, _) => {
            let why = text(peer, "/dial/error").unwrap_or("no dial has ended yet");
            let why = why.lines().next().unwrap_or(why);
            Check::warn(name, format!("not connected: {why}"))
                .remedy("ask its operator whether it runs, and look at the firewalls in between; it is dialled again by itself")
        }
    }
}

fn hello(member: &Member, peer: &Value) -> Check {
    let name = name(member, "hello");
    if let Some(why) = text(peer, "/goodbye") {
        let remedy = text(peer, "/remedy").filter(|remedy| !remedy.is_empty());
        let remedy = remedy.unwrap_or("both must have the same manifest and a version in common");
        return Check::fail(name, why).remedy(remedy);
    }
    let version = text(peer, "/session/version").unwrap_or("an unknown version");
    if peer["connected"] == true {
        return Check::pass(name, format!("passed, {version}"));
    }
    match peer.get("session") {
        Some(_) => Check::warn(name, format!("not passed yet, {version}"))
            .remedy("look again in a moment; `belfry peers show` says why a hello failed"),
        None => Check::unknown(name, "it is not connected"),
    }
}

fn clock(running: &Running, member: &Member) -> Check {
    let name = name(member, "clock");
    let peers = running
        .status
        .pointer("/clock/peers")
        .and_then(Value::as_array);
    let known = peers
        .into_iter()
        .flatten()
        .find(|peer| peer["name"] == member.name.as_str());
    match known.and_then(|known| Some((known, offset(known)?))) {
        None => Check::unknown(name, "no probe yet"),
        Some((known, offset)) => match text(known, "/verdict") {
            Some("ok") => Check::pass(name, offset),
            Some("violated") => Check::warn(name, format!("{offset}, beyond the clock bound"))
                .remedy("its operator has to set its clock; what it acknowledges counts again after that"),
            _ => Check::unknown(name, format!("{offset}: too wide to tell")),
        },
    }
}

/// The middle of an interval and how far the truth may be from it.
fn offset(value: &Value) -> Option<String> {
    let (middle, half) = (
        value.get("middle_us")?.as_i64()?,
        value.get("half_width_us")?.as_u64()?,
    );
    Some(format!("{middle} µs off, give or take {half} µs"))
}

/// Whether enough towers are connected for the own ledger.
fn quorum(running: &Running) -> Option<Check> {
    const NAME: &str = "members.quorum";
    let quorum = running.status.get("quorum")?;
    let (connected, needed) = (quorum["connected"].as_u64()?, quorum["needed"].as_u64()?);
    let seen = format!(
        "{connected} of {} towers are connected and {needed} are needed",
        quorum["towers"]
    );
    Some(match connected < needed {
        false => Check::pass(NAME, seen),
        true => Check::fail(NAME, seen)
            .remedy("entries are taken and not signed meanwhile: bring towers back, or lift bans"),
    })
}

/// How long the manifest is good for.
fn manifest(running: &Running) -> Option<Check> {
    const NAME: &str = "members.manifest";
    let status = &running.status;
    let ends = format!("it ends {}", text(status, "/manifest/expires")?);
    let remedy = "draft the next epoch with `belfry genesis amend`, and have it signed";
    Some(match text(status, "/manifest/state")? {
        "valid" => Check::pass(NAME, ends),
        "expired" => Check::fail(NAME, ends).remedy(remedy),
        _ => Check::warn(NAME, ends).remedy(remedy),
    })
}

fn own_clock(running: &Running) -> Check {
    const NAME: &str = "members.own-clock";
    let Some(own) = running.status.pointer("/clock/own") else {
        return Check::unknown(NAME, "no probe yet");
    };
    let offset = offset(own).unwrap_or_else(|| "too few members agree on a time".to_owned());
    match text(own, "/verdict") {
        Some("ok") => Check::pass(NAME, offset),
        Some("violated") => Check::fail(NAME, format!("{offset}, beyond the clock bound"))
            .remedy("set the clock (NTP); this node acknowledges nothing until it is right"),
        _ => Check::unknown(NAME, offset),
    }
}
