//! What an operator asks about peers: a ping, how dialling goes, who is kept out, and what was counted.

use std::time::Duration;

use belfry_node::net::{
    DialStatus, NetCommand, NetEvent, PeerId, Protocol, RequestFailure, Topic, Transport,
};
use tokio::sync::oneshot;

use crate::support::{Node, admit_each_other, config, connect, echo};

async fn ping(node: &Node, peer: PeerId) -> Result<Duration, RequestFailure> {
    let (reply, answer) = oneshot::channel();
    node.send(NetCommand::Ping { peer, reply }).await;
    answer.await.expect("an answer")
}

async fn dials(node: &Node) -> Vec<DialStatus> {
    let (reply, answer) = oneshot::channel();
    node.send(NetCommand::Dials(reply)).await;
    answer.await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_comes_back_and_harms_nothing() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut b) = (Node::new(1, transport).await, Node::new(2, transport).await);
        let absent = ping(&a, b.id()).await;
        assert_eq!(absent, Err(RequestFailure::NotConnected));
        connect(&mut a, &mut b).await;
        for _ in 0..3 {
            assert!(ping(&a, b.id()).await.expect("it answers") < Duration::from_secs(5));
            assert!(ping(&b, a.id()).await.is_ok());
        }
        admit_each_other(&mut a, &mut b).await;
        echo(&mut a, &mut b, 1, Protocol::Sync, b"as before").await;
        let id = b.id();
        b.close().await;
        a.down(id).await;
        assert_eq!(ping(&a, id).await, Err(RequestFailure::NotConnected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_was_banned_before_the_start_is_neither_dialled_nor_let_in() {
    let mut a = Node::new(1, Transport::Tcp).await;
    let mut strict = config(2);
    strict.banned = vec![a.id()];
    let mut b = Node::with(strict, Transport::Tcp).await;
    b.follow(&[&a]).await;
    a.follow(&[&b]).await;
    assert_eq!(b.refused("banned").await, Some(a.id()));
    a.until(|event| matches!(event, NetEvent::DialFailed { .. }).then_some(()))
        .await;
    assert!(b.status().await.is_empty());
    let tried = dials(&b).await;
    assert_eq!((tried.len(), tried[0].failures), (1, 0), "never dialled");
    b.send(NetCommand::Unban(a.id())).await;
    a.up(b.id()).await;
    b.up(a.id()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_counted_and_a_failed_dial_is_explained() {
    let (mut a, mut b) = (
        Node::new(1, Transport::Tcp).await,
        Node::new(2, Transport::Tcp).await,
    );
    connect(&mut a, &mut b).await;
    let version = a.status().await.remove(0).agent.expect("it says so");
    assert!(version.starts_with("belfry/"), "{version}");
    admit_each_other(&mut a, &mut b).await;
    echo(&mut a, &mut b, 1, Protocol::Sync, &[7; 1_000]).await;
    a.publish(Topic::Acks, b"heard").await;
    b.gossip().await;
    let (at_a, at_b) = (a.handle.counters().read(), b.handle.counters().read());
    assert_eq!((at_a.admitted, at_b.admitted), (1, 1));
    assert_eq!((at_a.sent["sync"], at_a.received["sync"]), (1_000, 1_000));
    assert_eq!((at_a.sent["gossip"], at_b.received["gossip"]), (5, 5));

    let id = b.id();
    b.close().await;
    a.down(id).await;
    // One line for the one address, without the layers of the transport.
    a.until(|event| match event {
        NetEvent::DialFailed { error, .. } => (error.starts_with("/ip4/127.0.0.1/tcp/")
            && error.ends_with(": connection refused")
            && error.lines().count() == 1)
            .then_some(()),
        _ => None,
    })
    .await;
    let tried = dials(&a).await;
    assert!(
        tried[0].failures > 0 && tried[0].error.is_some(),
        "{tried:?}"
    );
    let counts = a.handle.counters().read();
    assert!(counts.dial_failures > 0 && counts.admitted == 0);
}
