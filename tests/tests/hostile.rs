//! A member that misbehaves on a connection it is entitled to: every kind of broken message is refused by name, a flood
//! and a peer that does not read cost bounded memory, and the others go on meanwhile.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_node::net::{PeerId, Protocol};
use belfry_protocol::note::SigningKey;
use belfry_protocol::tlog::hash::{Hash, sha256};
use belfry_protocol::wire::codec::{self, Text};
use belfry_protocol::wire::v1::{Get, Kind, Marks, Reason, Refused};
use belfry_protocol::wire::{Envelope, Frame, Guard, Header, MemberId, Version};
use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::peer::Peer;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The tower that the test is.
const SELF: usize = 3;
/// Where a counted message says which of its sender's streams it belongs to, and its place in it.
const MARKS: u64 = 8;
/// Memory by which a node may grow while it is flooded. Frames of 9 MiB and eight requests at once are allowed.
const GROWTH_KIB: u64 = 512 << 10;

fn says_unknown(answer: &[u8]) -> bool {
    let (envelope, _) = Envelope::split(&answer[12..]).unwrap();
    let refused: Refused = codec::decode(&envelope.body).unwrap();
    envelope.header.kind == Kind::Refused.number() && refused.reason == Reason::Unknown
}

fn refusals(status: &Value, why: &str) -> u64 {
    status["refused"][why].as_u64().unwrap_or(0)
}

/// Physical memory of a node, in KiB.
fn memory(federation: &Federation, number: usize) -> u64 {
    let file = format!("/proc/{}/status", federation.pid(number));
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

fn ask_for_marks(
    peer: &Peer,
    to: PeerId,
    token: [u8; 16],
    change: impl FnOnce(&mut Header),
) -> Vec<u8> {
    let marks = Marks {
        nonce: [1; 16],
        disk: [8; 16],
    };
    peer.sealed(to, Kind::Marks, &marks, |header| {
        header.token = token;
        header.guard = Guard::Stream {
            stream: MARKS,
            counter: 1,
        };
        change(header);
    })
}

fn get(federation: &Federation) -> Get {
    Get {
        origin: Text::new(federation.nodes[FACTORY].name.clone()).unwrap(),
        from: 0,
        count: 60_000,
        tree_size: 2,
    }
}

#[test]
fn every_broken_message_is_refused_by_name() {
    let federation = Federation::found(3);
    federation.start(1);
    let node = Peer::id_of(&federation, 1);
    let mut peer = Peer::start(&federation, federation.keys(SELF), None);
    peer.dial(&federation, &[1]);
    peer.connected(node);
    let token = peer.greet(node, |_| {}).unwrap().token;

    let good = ask_for_marks(&peer, node, token, |_| {});
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let stranger = SigningKey::ed25519("stranger.example", [3; 32]).unwrap();
    let asked = get(&federation);
    let by_stranger = peer.sealed_by(&stranger, node, Kind::Get, &asked, |header| {
        header.sender = MemberId(sha256(b"nobody"));
    });
    let forged = peer.sealed_by(&stranger, node, Kind::Get, &asked, |_| {});
    let mut unsigned = good.clone();
    let end = unsigned.len();
    unsigned[end - 64..].fill(0);
    let changed = |change: fn(&mut Header)| ask_for_marks(&peer, node, token, change);
    let v1 = Version::V1_0;
    let v2 = Version { major: 2, minor: 0 };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("malformed frame", good[..end - 1].to_vec()),
        ("malformed frame", [&good[..], b"!"].concat()),
        ("malformed frame", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        (
            "malformed envelope",
            Frame::encode(v1, Kind::Marks.number(), &good[12..end - 1]),
        ),
        ("unknown kind", Frame::encode(v1, 999, &good[12..])),
        (
            "unknown version",
            Frame::encode(v2, Kind::Marks.number(), &good[12..]),
        ),
        (
            "not a question",
            Frame::encode(v1, Kind::Marked.number(), &good[12..]),
        ),
        (
            "kind differs",
            Frame::encode(v1, Kind::Get.number(), &good[12..]),
        ),
        ("wrong signature", flipped(end - 1)),
        ("wrong signature", flipped(end - 70)),
        ("wrong signature", unsigned),
        ("wrong signature", forged),
        ("stranger", by_stranger),
        (
            "other federation",
            changed(|header| header.federation = Hash([9; 32])),
        ),
        ("other epoch", changed(|header| header.epoch = 7)),
        (
            "misdirected",
            changed(|header| header.destination = Hash([9; 32])),
        ),
        ("unknown key", changed(|header| header.key_serial = 2)),
        ("wrong token", changed(|header| header.token = [5; 16])),
        ("no counter", changed(|header| header.guard = Guard::None)),
    ];
    for (why, bytes) in cases {
        let before = refusals(&federation.status(1), why);
        let answer = peer.ask(node, Protocol::Sync, bytes);
        match answer {
            // Whoever speaks a later version learns that nothing of its message was read.
            Ok(answer) => assert!(
                why.starts_with("unknown ") && says_unknown(&answer),
                "{why}"
            ),
            Err(_) => assert!(
                !why.starts_with("unknown v") && why != "unknown kind",
                "{why}"
            ),
        }
        let status = federation.status(1);
        assert_eq!(refusals(&status, why), before + 1, "{why}: {status}");
    }
    // More than a frame may have never reaches the engine.
    let oversized = Frame::encode(v1, Kind::Prepare.number(), &vec![7; 10 << 20]);
    assert!(peer.ask(node, Protocol::Sync, oversized).is_err());
    let status = federation.status(1);
    let counted = &status["net"]["refused"]["oversized request"];
    assert_eq!(counted, 1, "{status}");

    // What nobody touched is answered, once.
    assert!(peer.ask(node, Protocol::Sync, good.clone()).is_ok());
    assert!(peer.ask(node, Protocol::Sync, good).is_err());
    let status = federation.status(1);
    assert_eq!(status["nonces"]["stream"]["accepted"], 1, "{status}");
    assert_eq!(status["nonces"]["stream"]["replayed"], 1, "{status}");
    told(&federation);
    let _ = federation.on(1, &["ledger", "fsck"]).expect(0);
}

/// Everything that was refused is in the log with who sent it and why, once a minute however often it came; and people see
/// how much it was.
fn told(federation: &Federation) {
    let name = &federation.nodes[SELF].name;
    let status = federation.status(1);
    let log = federation.log(1);
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let engine = status["refused"].as_object().unwrap();
    let reasons = engine.keys().map(String::as_str);
    for reason in reasons.chain(["oversized request"]) {
        let about = |line: &&Value| line["reason"] == reason && line["level"] == "WARN";
        let lines: Vec<&Value> = lines.iter().filter(about).collect();
        let [line] = lines[..] else {
            panic!("{} lines about {reason}:\n{log}", lines.len());
        };
        assert_eq!(line["member"], name.as_str(), "{line}");
        assert_eq!(
            line["peer"],
            Peer::id_of(federation, SELF).to_string(),
            "{line}"
        );
    }
    let shown = federation.on(1, &["peers", "show", name]).expect(0).stdout;
    for part in [
        "4 × wrong signature",
        "1 × stranger",
        "1 × replayed",
        "1 × oversized request",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
    }
    let all = engine.values().filter_map(Value::as_u64).sum::<u64>() + 1;
    assert_eq!(status["net"]["refused_total"], all, "{status}");
    let human = federation.on(1, &["status"]).expect(0).stdout;
    assert!(human.contains(&format!("{all} refused")), "{human}");
}

/// A running factory with two towers, the test being the third; as much of the ledger as a fetch can carry.
fn with_a_member_of_ours() -> (Federation, Peer) {
    let federation = Federation::found(3);
    let port = federation.nodes[SELF].port;
    let mut peer = Peer::start(&federation, federation.keys(SELF), Some(port));
    for number in [FACTORY, 1, 2] {
        federation.start(number);
    }
    peer.dial(&federation, &[FACTORY, 1, 2]);
    appended(&federation, &mut peer, &belfry_tests::lines(3));
    (federation, peer)
}

/// Appends while the peer goes on with whatever it does; returns when it is acknowledged.
fn appended(federation: &Federation, peer: &mut Peer, lines: &[u8]) {
    let mut last = None;
    peer.serve_while(|| {
        last = last.or_else(|| federation.try_append(lines));
        let acked = |status: Value| status["acked_size"].as_u64() > last;
        last.is_none() || !federation.try_status(FACTORY).is_some_and(acked)
    });
}

#[test]
fn a_flooding_member_is_counted_and_stops_nobody() {
    let (federation, mut peer) = with_a_member_of_ours();
    let node = Peer::id_of(&federation, 1);
    let before = memory(&federation, 1);
    let counted = refusals(&federation.status(1), "malformed frame");
    let (mut most, mut sent) = (0, 0);
    let began = Instant::now();
    let mut looked = began;
    peer_floods(&mut peer, node, || {
        sent += 1;
        if looked.elapsed() > Duration::from_millis(200) {
            looked = Instant::now();
            most = most.max(memory(&federation, 1));
        }
        // A slow machine floods for longer.
        let time = began.elapsed();
        time < Duration::from_secs(6) || (sent <= 200 && time < Duration::from_secs(120))
    });
    assert!(sent > 200, "that was no flood: {sent}");
    most = most.max(memory(&federation, 1));
    println!("{sent} messages, from {before} to {most} KiB");
    assert!(most < before + GROWTH_KIB, "from {before} to {most} KiB");
    let status = federation.status(1);
    assert!(refusals(&status, "malformed frame") > counted, "{status}");
    appended(&federation, &mut peer, &belfry_tests::lines(3));
    for number in [FACTORY, 1, 2] {
        let _ = federation.on(number, &["ledger", "fsck"]).expect(0);
    }
}

/// Large broken messages as fast as they go, and an honest answer to whoever asks.
fn peer_floods(peer: &mut Peer, to: PeerId, mut more: impl FnMut() -> bool) {
    let garbage = vec![0x5a; 1 << 20];
    while more() {
        let mut bytes = garbage.clone();
        bytes[..4].copy_from_slice(b"BLFR");
        let _ = peer.try_ask(to, Protocol::Sync, bytes);
        let mut once = true;
        peer.serve_while(|| std::mem::take(&mut once));
    }
}

#[test]
fn a_member_that_does_not_read_costs_bounded_memory_and_stops_nobody() {
    let (federation, mut peer) = with_a_member_of_ours();
    // Entries of 8 MiB in all, so that one answer is as large as answers get.
    let line = format!("{{\"msg\":\"{}\"}}\n", "lorem ipsum ".repeat(2_500));
    for _ in 0..5 {
        appended(&federation, &mut peer, line.repeat(60).as_bytes());
    }
    let size = federation.status(1)["mirrors"][0]["seen"].as_u64().unwrap();
    let asked = Get {
        tree_size: size,
        ..get(&federation)
    };
    let node = Peer::id_of(&federation, 1);
    let before = memory(&federation, 1);
    let mut most = 0;
    let began = Instant::now();
    // Nothing is read from here on: answers pile up at the other end, or do not.
    while began.elapsed() < Duration::from_secs(6) {
        let bytes = peer.sealed(node, Kind::Get, &asked, |_| {});
        let _ = peer.try_ask(node, Protocol::Sync, bytes);
        let _ = federation.try_append(&belfry_tests::lines(1));
        most = most.max(memory(&federation, 1));
    }
    println!("from {before} to {most} KiB");
    assert!(most < before + GROWTH_KIB, "from {before} to {most} KiB");
    // Without tower 3 the two others are still a quorum.
    let size = federation.status(FACTORY)["size"].as_u64().unwrap();
    let _ = federation.wait(FACTORY, "goes on", |status| {
        status["acked_size"].as_u64().unwrap() >= size
    });
}
