//! Who asks for too much: not answered, counted, and cut off in the end; and a node that keeps to its own quotas.

use belfry_node::net::{
    Limits, NetCommand, NetConfig, NetEvent, Protocol, Quota, RequestFailure, Resource, Topic,
    Transport,
};

use crate::support::{Node, admit_each_other, config, connect, echo};

/// Never refilled within a test.
fn only(burst: f64) -> Quota {
    Quota {
        per_second: 0.001,
        burst,
    }
}

fn limited(seed: u8, limits: Limits) -> NetConfig {
    let mut config = config(seed);
    config.limits = limits;
    config.entries_asked = |bytes| bytes.first().copied().map_or(0, u64::from);
    config
}

async fn pair(a: NetConfig, b: NetConfig) -> (Node, Node) {
    let mut a = Node::with(a, Transport::Tcp).await;
    let mut b = Node::with(b, Transport::Tcp).await;
    connect(&mut a, &mut b).await;
    admit_each_other(&mut a, &mut b).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_too_much_gets_no_answer_and_is_cut_off_if_it_goes_on() {
    let limits = Limits::default()
        .with(Resource::Entries, only(100.0))
        .with(Resource::Strikes, only(2.0));
    let (mut a, mut b) = pair(config(1), limited(2, limits)).await;
    echo(&mut a, &mut b, 1, Protocol::Sync, &[60]).await;
    // Charged by what it asks for, not by its number: 60 more do not fit, 40 do.
    a.ask(b.id(), 2, Protocol::Sync, &[60]).await;
    assert_eq!(a.response(2).await, Err(RequestFailure::Declined));
    echo(&mut a, &mut b, 3, Protocol::Sync, &[40]).await;
    a.ask(b.id(), 4, Protocol::Sync, &[1]).await;
    assert_eq!(a.response(4).await, Err(RequestFailure::Declined));
    a.ask(b.id(), 5, Protocol::Sync, &[1]).await;
    assert_eq!(b.refused("flooding").await, Some(a.id()));
    b.down(a.id()).await;
    let counts = b.handle.counters().read();
    assert_eq!(
        (counts.quota["entries"], counts.refused["over quota"]),
        (3, 3)
    );
    // Nothing harsher: it is no ban.
    a.up(b.id()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_to_the_quota_that_an_equal_peer_has_for_it() {
    let limits = Limits::default().with(Resource::Requests, only(8.0));
    let (mut a, mut b) = pair(limited(1, limits.clone()), limited(2, limits)).await;
    for id in 0..6 {
        echo(&mut a, &mut b, id, Protocol::Sync, &[0]).await;
    }
    a.ask(b.id(), 6, Protocol::Sync, &[0]).await;
    assert_eq!(a.response(6).await, Err(RequestFailure::Busy));
    assert_eq!(a.handle.counters().read().quota["own_requests"], 1);
    assert!(b.handle.counters().read().quota.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_are_paid_by_the_requests_after_them() {
    let limits = Limits::default().with(Resource::AnswerBytes, only(1_000.0));
    let (mut a, mut b) = pair(config(1), limited(2, limits)).await;
    a.ask(b.id(), 1, Protocol::Sync, &[0]).await;
    let (_, id, ..) = b.request().await;
    b.send(NetCommand::Reply {
        id,
        bytes: vec![7; 50_000],
    })
    .await;
    assert_eq!(a.response(1).await, Ok(vec![7; 50_000]));
    a.ask(b.id(), 2, Protocol::Sync, &[0]).await;
    assert_eq!(a.response(2).await, Err(RequestFailure::Declined));
    assert_eq!(b.handle.counters().read().quota["answer_bytes"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_beyond_its_quota_is_ignored_and_nobody_is_blamed() {
    let limits = Limits::default().with(Resource::Gossip, only(2.0));
    let (mut a, mut b) = pair(config(1), limited(2, limits)).await;
    for number in 0..5_u8 {
        a.publish(Topic::Digests, &[number]).await;
    }
    b.gossip().await;
    b.gossip().await;
    // Requests go another way; when this one is through, so is what was published before it.
    echo(&mut a, &mut b, 1, Protocol::Sync, &[0]).await;
    let more = |event: &NetEvent| matches!(event, NetEvent::Gossip { .. });
    assert!(!b.leftovers().iter().any(more));
    assert_eq!(b.status().await.len(), 1, "it stays connected");
}
