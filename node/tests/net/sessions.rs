//! Connections: dialling, duplicates, the lobby, bans, restarts, blocked transports.

use std::time::{Duration, Instant};

use belfry_node::net::{
    self, NetCommand, NetError, NetEvent, Protocol, RequestFailure, Topic, Transport,
};
use tokio::sync::mpsc;

use crate::support::{LOOPBACK, Node, admit_each_other, config, connect, echo};

/// Whatever the order, both ends agree on one connection, nothing is lost on the other, and gossip works.
async fn dial_each_other(transport: Transport) {
    for round in 0..20 {
        let (mut a, mut b) = (
            Node::new(2 * round + 1, transport).await,
            Node::new(2 * round + 2, transport).await,
        );
        let (to_a, to_b) = ((a.id(), a.address.clone()), (b.id(), b.address.clone()));
        let (dial_b, dial_a) = (
            NetCommand::Members(vec![to_b]),
            NetCommand::Members(vec![to_a]),
        );
        let (one, two) = tokio::join!(a.handle.send(dial_b), b.handle.send(dial_a));
        assert!(one.is_ok() && two.is_ok());
        a.up(b.id()).await;
        b.up(a.id()).await;
        // At once, while the second connection may still be there.
        a.ask(b.id(), 1, Protocol::Hello, b"from a").await;
        b.ask(a.id(), 1, Protocol::Hello, b"from b").await;
        let (_, id, ..) = b.request().await;
        b.send(NetCommand::Reply {
            id,
            bytes: b"to a".to_vec(),
        })
        .await;
        let (_, id, ..) = a.request().await;
        a.send(NetCommand::Reply {
            id,
            bytes: b"to b".to_vec(),
        })
        .await;
        assert_eq!(a.response(1).await, Ok(b"to a".to_vec()), "round {round}");
        assert_eq!(b.response(1).await, Ok(b"to b".to_vec()), "round {round}");
        admit_each_other(&mut a, &mut b).await;
        echo(&mut a, &mut b, 2, Protocol::Sync, b"sync").await;
        a.publish(Topic::Genesis, b"from a").await;
        b.publish(Topic::Genesis, b"from b").await;
        assert_eq!(b.gossip().await.1, b"from a");
        assert_eq!(a.gossip().await.1, b"from b");
        let (at_a, at_b) = (a.status().await, b.status().await);
        assert_eq!((at_a.len(), at_b.len()), (1, 1), "round {round}");
        assert_ne!(
            at_a[0].dialed, at_b[0].dialed,
            "round {round}: both ends mean the same connection"
        );
        for node in [&mut a, &mut b] {
            // A refused second dial may be reported before the session; a session never breaks.
            let bad = |event: &&NetEvent| matches!(event, NetEvent::Down { .. });
            let bad: Vec<_> = node.leftovers().iter().filter(bad).collect();
            assert!(bad.is_empty(), "round {round}: {bad:?}");
        }
        a.close().await;
        b.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_dial_each_other_keep_one_tcp_connection() {
    dial_each_other(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_dial_each_other_keep_one_quic_connection() {
    dial_each_other(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lobby_has_few_places_and_members_do_not_need_one() {
    let mut small = config(1);
    small.lobby_slots_per_address = 2;
    let mut b = Node::with(small, Transport::Tcp).await;
    let mut guests = Vec::new();
    for seed in 2..4 {
        let mut guest = Node::new(seed, Transport::Tcp).await;
        connect(&mut guest, &mut b).await;
        guests.push(guest);
    }
    let mut third = Node::new(4, Transport::Tcp).await;
    let mut member = Node::new(5, Transport::Tcp).await;
    b.send(NetCommand::Members(vec![(member.id(), Vec::new())]))
        .await;
    third.follow(&[&b]).await;
    assert_eq!(
        b.refused("too many strangers from this address").await,
        Some(third.id())
    );
    third
        .until(|event| matches!(event, NetEvent::DialFailed { .. }).then_some(()))
        .await;
    connect(&mut member, &mut b).await;
    // An admitted peer gives its place back.
    b.send(NetCommand::Admit(guests[0].id())).await;
    third.up(b.id()).await;
}

async fn restart(transport: Transport) {
    let mut a = Node::new(1, transport).await;
    let mut b = Node::new(2, transport).await;
    let id = b.id();
    connect(&mut a, &mut b).await;
    admit_each_other(&mut a, &mut b).await;
    let mut same = config(2);
    same.listen = b.address.clone();
    b.close().await;
    let gone = Instant::now();
    a.down(id).await;
    assert!(
        gone.elapsed() < Duration::from_secs(3),
        "a closing node says so"
    );
    a.ask(id, 1, Protocol::Hello, b"anybody there?").await;
    assert_eq!(a.response(1).await, Err(RequestFailure::NotConnected));
    assert!(
        !a.leftovers()
            .iter()
            .any(|event| matches!(event, NetEvent::Response { .. })),
        "one answer, not two"
    );

    let mut b = Node::listening(same).await;
    a.up(id).await;
    b.up(a.id()).await;
    admit_each_other(&mut a, &mut b).await;
    b.publish(Topic::Digests, b"back").await;
    assert_eq!(a.gossip().await.1, b"back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_restarts_is_reconnected_over_tcp() {
    restart(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_restarts_is_reconnected_over_quic() {
    restart(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_banned_peer_stays_out_until_the_ban_is_lifted() {
    let (mut a, mut b) = (
        Node::new(1, Transport::Tcp).await,
        Node::new(2, Transport::Tcp).await,
    );
    connect(&mut a, &mut b).await;
    b.send(NetCommand::Ban(a.id())).await;
    a.down(b.id()).await;
    b.down(a.id()).await;
    assert_eq!(b.refused("banned").await, Some(a.id()));
    b.follow(&[&a]).await;
    assert!(b.status().await.is_empty());
    b.send(NetCommand::Unban(a.id())).await;
    a.up(b.id()).await;
    b.up(a.id()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_gets_its_last_answer_before_it_is_disconnected() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut b) = (Node::new(1, transport).await, Node::new(2, transport).await);
        connect(&mut a, &mut b).await;
        a.ask(b.id(), 1, Protocol::Hello, b"?").await;
        let (peer, id, ..) = b.request().await;
        b.send(NetCommand::Reply {
            id,
            bytes: vec![9; 60_000],
        })
        .await;
        b.send(NetCommand::Disconnect { peer }).await;
        assert_eq!(a.response(1).await, Ok(vec![9; 60_000]));
        a.down(b.id()).await;
        a.close().await;
        b.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_quic_does_not_answer_tcp_does() {
    // A socket that swallows every packet stands for a firewall.
    let silent = std::net::UdpSocket::bind((LOOPBACK, 0)).expect("a socket");
    let quic = Transport::Quic.listen_on(LOOPBACK, silent.local_addr().expect("an address").port());
    let (mut a, mut b) = (
        Node::new(1, Transport::Both).await,
        Node::new(2, Transport::Tcp).await,
    );
    b.address.splice(0..0, quic);
    let started = Instant::now();
    connect(&mut a, &mut b).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(a.status().await[0].address.contains("/tcp/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_an_error_that_names_it() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let first = Node::new(1, transport).await;
        let mut second = config(2);
        second.listen = first.address.clone();
        let (sender, _events) = mpsc::channel(1);
        let error = net::start(second, sender)
            .map(|_| ())
            .expect_err("the port is taken");
        assert!(
            matches!(&error, NetError::Listen { address, .. } if *address == first.address[0]),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_peer_has_lost_makes_room_for_a_new_one() {
    let (mut a, mut b) = (
        Node::new(1, Transport::Tcp).await,
        Node::new(2, Transport::Tcp).await,
    );
    connect(&mut a, &mut b).await;
    // The same node after a power failure: it knows nothing of the session that `b` still holds.
    a.send(NetCommand::Members(Vec::new())).await;
    let mut again = Node::new(1, Transport::Tcp).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    again.follow(&[&b]).await;
    b.down(a.id()).await;
    again.up(b.id()).await;
    b.up(a.id()).await;
    admit_each_other(&mut again, &mut b).await;
    echo(&mut again, &mut b, 1, Protocol::Sync, b"a clean start").await;
}

/// A peer that answers nothing on its old session: its sockets are gone without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_was_killed_and_started_again_need_not_wait_for_its_old_session_to_age() {
    let mut b = Node::new(2, Transport::Quic).await;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (to_b, id_b) = (b.address.clone(), b.id());
    let first = runtime.spawn(async move {
        let a = Node::new(1, Transport::Quic).await;
        a.send(NetCommand::Members(vec![(id_b, to_b)])).await;
        a
    });
    let a = first.await.expect("a node");
    let id = a.id();
    b.up(id).await;
    // Its tasks stop where they are: nothing is closed and nobody is told.
    std::mem::forget(a);
    runtime.shutdown_background();
    let mut again = Node::new(1, Transport::Quic).await;
    again.follow(&[&b]).await;
    b.down(id).await;
    again.up(b.id()).await;
    b.up(again.id()).await;
    admit_each_other(&mut again, &mut b).await;
    echo(&mut again, &mut b, 1, Protocol::Sync, b"a clean start").await;
}
