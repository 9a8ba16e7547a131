//! Who is let in: members that speak a common version. Everybody else hears a goodbye with a reason, and the node shows
//! it, too. The test itself is the other end, with the keys of a member that never runs as a process.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::wire::{Goodbye, Hello, Range, Version};
use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::peer::Peer;
use serde_json::Value;

/// What is wrong with a hello.
type Change<'a> = &'a dyn Fn(&mut Hello);

/// The tower that the test is.
const SELF: usize = 3;

fn range(from: (u8, u8), to: (u8, u8)) -> Vec<Range> {
    let version = |(major, minor)| Version { major, minor };
    vec![Range {
        min: version(from),
        max: version(to),
    }]
}

/// What a node shows of the member that the test is.
fn shown(federation: &Federation, at: usize) -> Value {
    let status = federation.status(at);
    let name = &federation.nodes[SELF].name;
    let peers = status["peers"].as_array().unwrap();
    peers
        .iter()
        .find(|peer| peer["name"] == **name)
        .unwrap()
        .clone()
}

#[test]
fn a_member_of_the_next_minor_version_takes_part_at_ours() {
    let federation = Federation::found(3);
    let mut peer = Peer::start(
        &federation,
        federation.keys(SELF),
        Some(federation.nodes[SELF].port),
    );
    peer.versions = range((1, 0), (1, 1));
    for number in [FACTORY, 1, 2] {
        federation.start(number);
    }
    // A tower acks nothing before both others told it what they saw: the test is one of them.
    peer.dial(&federation, &[]);
    let mut last = None;
    peer.serve_while(|| {
        last = last.or_else(|| federation.try_append(&belfry_tests::lines(3)));
        let acked = |status: Value| status["acked_size"].as_u64() > last;
        last.is_none() || !federation.try_status(FACTORY).is_some_and(acked)
    });
    for number in [FACTORY, 1, 2] {
        let shown = shown(&federation, number);
        assert_eq!(
            (&shown["connected"], &shown["goodbye"]),
            (&true.into(), &Value::Null),
            "{shown}"
        );
    }
    federation.verify(&[federation.receipt(last.unwrap())]);
}

#[test]
fn who_does_not_belong_hears_why_and_the_node_shows_it() {
    let federation = Federation::found(3);
    federation.start(1);
    let node = Peer::id_of(&federation, 1);

    let other = Federation::found(1);
    let mut stranger = Peer::start(&federation, other.keys(1), None);
    stranger.dial(&federation, &[1]);
    stranger.connected(node);
    let (goodbye, reason) = stranger.greet(node, |_| {}).unwrap_err();
    assert_eq!(goodbye, Goodbye::NotAMember);
    assert!(reason.contains("join first"), "{reason}");
    stranger.connected(node);
    let (goodbye, reason) = stranger
        .greet(node, |hello| hello.federation = other.founded.id())
        .unwrap_err();
    assert_eq!(goodbye, Goodbye::OtherFederation);
    assert!(reason.contains("compare the federation ids"), "{reason}");
    drop(stranger);

    let mut peer = Peer::start(&federation, federation.keys(SELF), None);
    peer.dial(&federation, &[1]);
    let cases: [(Goodbye, Change<'_>); 5] = [
        (Goodbye::NoCommonVersion, &|hello| {
            hello.versions = range((2, 0), (2, 0))
        }),
        (Goodbye::NoCommonVersion, &|hello| {
            hello.versions = range((1, 1), (1, 1))
        }),
        (Goodbye::OtherEpoch, &|hello| hello.epoch = 2),
        (Goodbye::OtherFederation, &|hello| {
            hello.federation = Hash([9; 32])
        }),
        (Goodbye::BadHello, &|hello| hello.to = hello.peer.clone()),
    ];
    for (expected, change) in cases {
        peer.connected(node);
        let (goodbye, reason) = peer.greet(node, change).unwrap_err();
        assert_eq!((goodbye, reason.as_str()), (expected, expected.reason()));
        if expected != Goodbye::OtherFederation {
            let shown = shown(&federation, 1);
            let wanted = format!("we refused it: {}", expected.reason());
            assert_eq!(
                (&shown["connected"], &shown["goodbye"]),
                (&false.into(), &wanted.into())
            );
        }
    }
    let status = federation.status(1);
    assert_eq!(status["refused"]["hello"], 7, "{status}");
    let human = federation.on(1, &["status"]).expect(0).stdout;
    assert!(human.contains("t3.example we refused it"), "{human}");
    // The right words are all it takes.
    peer.connected(node);
    assert!(peer.greet(node, |_| {}).is_ok());
    let shown = shown(&federation, 1);
    assert_eq!(
        (&shown["connected"], &shown["goodbye"]),
        (&true.into(), &Value::Null)
    );
}

#[test]
fn a_node_that_is_refused_shows_what_the_other_said() {
    let federation = Federation::found(3);
    let mut peer = Peer::start(
        &federation,
        federation.keys(SELF),
        Some(federation.nodes[SELF].port),
    );
    peer.versions = range((2, 0), (2, 3));
    peer.goodbye = Some(Goodbye::NoCommonVersion);
    federation.start(1);
    let refused = |status: &Value| {
        let peers = status["peers"].as_array().unwrap().iter();
        let mut said = peers.filter_map(|peer| peer["goodbye"].as_str());
        said.any(|text| text.starts_with("it refused us: no protocol version is spoken by both"))
    };
    peer.serve_while(|| {
        !federation
            .try_status(1)
            .is_some_and(|status| refused(&status))
    });
    let log = federation.log(1);
    assert!(
        log.contains("hello failed") && log.contains("goodbye 3"),
        "{log}"
    );
}
