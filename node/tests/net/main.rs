//! The transport between nodes, over real sockets on the loopback interface, through its public interface only.
//! Here: what is said. [`sessions`]: who is connected. [`peers`]: what an operator asks.
//! [`quotas`]: who asks for too much. [`relays`]: who cannot be reached directly.

#![allow(clippy::expect_used, reason = "a test's helpers may fail the test")]

mod clocks;
mod peers;
mod quotas;
mod relays;
mod sessions;
mod support;

use std::time::{Duration, Instant};

use belfry_node::net::{
    self, NetCommand, NetEvent, Protocol, RequestFailure, Topic, Transport, Verdict,
};

use crate::support::{Node, admit_each_other, config, connect, echo};

async fn hello_sync_and_gossip(transport: Transport) {
    let (mut a, mut b) = (Node::new(1, transport).await, Node::new(2, transport).await);
    connect(&mut a, &mut b).await;
    echo(&mut a, &mut b, 1, Protocol::Hello, b"who are you?").await;
    echo(&mut b, &mut a, 1, Protocol::Join, b"let me in").await;
    admit_each_other(&mut a, &mut b).await;

    let large: Vec<u8> = (0..8 * 1024 * 1024_u32)
        .map(|i| i.to_le_bytes()[usize::from(i % 3 == 0)])
        .collect();
    echo(&mut a, &mut b, 2, Protocol::Sync, &large).await;

    // Two in a row: with libp2p's own message id, the second anonymous message would count as seen.
    a.publish(Topic::Digests, b"one").await;
    a.publish(Topic::Digests, b"two").await;
    let mut got = vec![b.gossip().await, b.gossip().await];
    got.sort();
    assert_eq!(
        got,
        [
            (Topic::Digests, b"one".to_vec()),
            (Topic::Digests, b"two".to_vec())
        ]
    );
    b.publish(Topic::Alarms, &[7; net::MAX_GOSSIP_BYTES]).await;
    assert!(a.gossip().await == (Topic::Alarms, vec![7; net::MAX_GOSSIP_BYTES]));

    let status = a.status().await;
    assert_eq!(status.len(), 1);
    assert!(status[0].admitted && status[0].dialed && status[0].member && status[0].peer == b.id());
    let status = b.status().await;
    assert!(status[0].admitted && !status[0].dialed && !status[0].member);
    a.close().await;
    b.down_then_close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_talk_over_tcp() {
    hello_sync_and_gossip(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_talk_over_quic() {
    hello_sync_and_gossip(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_travels_over_a_node_that_accepts_it_and_stops_at_one_that_does_not() {
    let (mut a, mut b) = (
        Node::new(1, Transport::Tcp).await,
        Node::new(2, Transport::Tcp).await,
    );
    let mut c = Node::new(3, Transport::Tcp).await;
    connect(&mut a, &mut b).await;
    connect(&mut c, &mut b).await;
    admit_each_other(&mut a, &mut b).await;
    admit_each_other(&mut c, &mut b).await;
    for (message, verdict) in [
        (b"bad", Verdict::Reject),
        (b"old", Verdict::Ignore),
        (b"new", Verdict::Accept),
    ] {
        a.publish(Topic::Acks, message).await;
        let (from, id) = b
            .until(|event| match event {
                NetEvent::Gossip { from, id, .. } => Some((*from, *id)),
                _ => None,
            })
            .await;
        assert_eq!(from, a.id());
        b.send(NetCommand::Verdict { id, from, verdict }).await;
    }
    assert_eq!(c.gossip().await, (Topic::Acks, b"new".to_vec()));
    assert!(
        !c.leftovers()
            .iter()
            .any(|event| matches!(event, NetEvent::Gossip { .. }))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_speaks_hello_only_and_is_shown_out() {
    let mut strict = config(1);
    strict.lobby_patience = Duration::from_millis(1000);
    let mut b = Node::with(strict, Transport::Tcp).await;
    let mut stranger = Node::new(2, Transport::Tcp).await;
    connect(&mut stranger, &mut b).await;
    echo(&mut stranger, &mut b, 1, Protocol::Hello, b"hello").await;

    stranger
        .ask(b.id(), 2, Protocol::Sync, b"before we admit it")
        .await;
    assert_eq!(stranger.response(2).await, Err(RequestFailure::NotAdmitted));
    stranger.send(NetCommand::Admit(b.id())).await;
    stranger
        .ask(b.id(), 3, Protocol::Sync, b"it has not admitted us")
        .await;
    stranger.publish(Topic::Digests, b"nobody hears this").await;
    b.publish(Topic::Digests, b"this is not for strangers")
        .await;

    let patience = Instant::now();
    assert_eq!(b.refused("not admitted in time").await, Some(stranger.id()));
    assert!(patience.elapsed() < Duration::from_secs(5));
    b.down(stranger.id()).await;
    assert_eq!(
        stranger.response(3).await,
        Err(RequestFailure::ConnectionClosed)
    );
    let secret = |event: &NetEvent| {
        matches!(
            event,
            NetEvent::Gossip { .. } | NetEvent::Subscribed { .. } | NetEvent::Request { .. }
        )
    };
    assert!(
        !b.leftovers().iter().any(secret),
        "nothing of the stranger's reached the caller"
    );
    assert!(
        !stranger.leftovers().iter().any(secret),
        "nothing reached the stranger"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_sent_before_we_admitted_it_is_not_lost() {
    let (mut a, mut b) = (
        Node::new(1, Transport::Tcp).await,
        Node::new(2, Transport::Tcp).await,
    );
    connect(&mut a, &mut b).await;
    a.send(NetCommand::Admit(b.id())).await;
    a.ask(b.id(), 1, Protocol::Sync, b"early").await;
    echo(
        &mut a,
        &mut b,
        2,
        Protocol::Hello,
        b"a sign that the request has been sent",
    )
    .await;
    assert!(
        !b.leftovers()
            .iter()
            .any(|event| matches!(event, NetEvent::Request { .. }))
    );
    b.send(NetCommand::Admit(a.id())).await;
    let (_, id, protocol, bytes) = b.request().await;
    assert_eq!((protocol, bytes), (Protocol::Sync, b"early".to_vec()));
    b.send(NetCommand::Reply {
        id,
        bytes: b"late".to_vec(),
    })
    .await;
    assert_eq!(a.response(1).await, Ok(b"late".to_vec()));
    a.subscribed(b.id(), Topic::Acks).await;
    a.publish(Topic::Acks, b"heard").await;
    assert_eq!(b.gossip().await.1, b"heard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_request_is_refused_and_the_node_lives_on() {
    // The sender's own limit is higher, or it would not even try.
    let mut tight = config(1);
    tight.max_frame = 100_000;
    let mut b = Node::with(tight, Transport::Tcp).await;
    let mut a = Node::new(2, Transport::Tcp).await;
    connect(&mut a, &mut b).await;
    admit_each_other(&mut a, &mut b).await;
    a.ask(b.id(), 1, Protocol::Sync, &vec![1; 3_000_000]).await;
    assert_eq!(b.refused("oversized request").await, Some(a.id()));
    assert!(a.response(1).await.is_err());
    // And the other way: the answer is too large for the one who asked.
    b.ask(a.id(), 1, Protocol::Sync, b"give me everything")
        .await;
    let (_, id, ..) = a.request().await;
    a.send(NetCommand::Reply {
        id,
        bytes: vec![1; 3_000_000],
    })
    .await;
    assert_eq!(b.response(1).await, Err(RequestFailure::ResponseTooLarge));
    a.ask(b.id(), 2, Protocol::Hello, &vec![1; 64 * 1024 + 1])
        .await;
    assert!(matches!(
        a.response(2).await,
        Err(RequestFailure::BadSize { limit: 65_536, .. })
    ));
    echo(&mut a, &mut b, 3, Protocol::Sync, &vec![1; 100_000]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_can_be_dropped_and_too_many_at_once_fail_at_once() {
    let (mut a, mut b) = (
        Node::new(1, Transport::Tcp).await,
        Node::new(2, Transport::Tcp).await,
    );
    connect(&mut a, &mut b).await;
    for id in 0..9 {
        a.ask(b.id(), id, Protocol::Hello, b"?").await;
    }
    assert_eq!(a.response(8).await, Err(RequestFailure::Busy));
    for _ in 0..8 {
        let (_, id, ..) = b.request().await;
        b.send(NetCommand::Drop { id }).await;
    }
    for id in 0..8 {
        assert_eq!(a.response(id).await, Err(RequestFailure::Declined));
    }
    echo(&mut a, &mut b, 9, Protocol::Hello, b"!").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_a_peer_that_goes_away_fails_exactly_once() {
    let (mut a, mut b) = (
        Node::new(1, Transport::Tcp).await,
        Node::new(2, Transport::Tcp).await,
    );
    connect(&mut a, &mut b).await;
    a.ask(b.id(), 1, Protocol::Hello, b"?").await;
    b.request().await;
    let id = b.id();
    b.close().await;
    assert_eq!(a.response(1).await, Err(RequestFailure::ConnectionClosed));
    a.down(id).await;
    a.until(|event| matches!(event, NetEvent::DialFailed { .. }).then_some(()))
        .await;
    assert!(
        !a.leftovers()
            .iter()
            .any(|event| matches!(event, NetEvent::Response { .. }))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_does_not_read_loses_nothing_and_stops_nobody() {
    let (mut a, mut b) = (
        Node::new(1, Transport::Tcp).await,
        Node::new(2, Transport::Tcp).await,
    );
    connect(&mut a, &mut b).await;
    admit_each_other(&mut a, &mut b).await;
    // Several times what b's queue and outbox hold, while b reads nothing.
    for number in 0..600_u32 {
        a.publish(Topic::Digests, &number.to_le_bytes()).await;
    }
    assert_eq!(b.status().await.len(), 1, "commands are served");
    let mut got = Vec::new();
    for _ in 0..600 {
        got.push(b.gossip().await.1);
    }
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 600);
}
