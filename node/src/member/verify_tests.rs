//! What the pool finds ahead, and in which order messages leave it.

use super::super::testing::{Founded, found, frame};
use super::*;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::checks::Checks;
use belfry_protocol::engine::federation::{Protocol, Topic};
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::wire::codec::{Bytes, List, Text};
use belfry_protocol::wire::v1::{Get, Heads, Kind, Mark, Marked};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

/// An engine that takes what fits its queue.
#[derive(Clone)]
struct Sink(SyncSender<Box<Input>>);

impl Engine for Sink {
    fn offer(&self, input: Box<Input>) -> Result<(), Box<Input>> {
        use std::sync::mpsc::TrySendError::{Disconnected, Full};
        self.0.try_send(input).map_err(|error| match error {
            Full(input) | Disconnected(input) => input,
        })
    }

    fn runs(&self) -> bool {
        true
    }
}

fn request(peer: &str, id: u64, protocol: Protocol, bytes: Vec<u8>) -> Box<Input> {
    Box::new(Input::Request {
        peer: peer.to_owned(),
        id,
        protocol,
        bytes,
        checks: Checks::default(),
    })
}

fn gossip(peer: &str, bytes: Vec<u8>) -> Box<Input> {
    Box::new(Input::Gossip {
        peer: peer.to_owned(),
        id: [0; 20],
        topic: Topic::Digests,
        bytes,
        checks: Checks::default(),
    })
}

fn get(founded: &Founded, from: usize) -> belfry_protocol::wire::Envelope {
    let get = Get {
        origin: Text::new("a.test.example").unwrap(),
        from: 0,
        count: 10,
        tree_size: 10,
    };
    founded.envelope(from, 0, Kind::Get, &get)
}

/// A digest of the factory, acknowledged by the second member.
fn digest(founded: &Founded) -> SignedNote {
    let digest = Checkpoint {
        origin: "a.test.example".to_owned(),
        size: 3,
        root: Hash([3; 32]),
    };
    let note = digest.sign(founded.keys[0].log_key()).unwrap();
    let ack = founded.keys[1].ack_key().cosign(note.text(), 1).unwrap();
    note.with_signature(ack).unwrap()
}

fn checked(founded: &Founded, me: &str, from: usize, mut input: Box<Input>) -> Checks {
    ahead::check(&founded.members(), me, &founded.peer(from), &mut input);
    match *input {
        Input::Request { checks, .. }
        | Input::Response { checks, .. }
        | Input::Gossip { checks, .. } => checks,
        _ => Checks::default(),
    }
}

/// Checks have no equality: what is in them shows.
fn same(found: &Checks, expected: &Checks) {
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn a_right_envelope_is_found_and_a_wrong_one_leaves_no_trace() {
    let founded = found(3);
    let peer = founded.peer(1);
    let right = get(&founded, 1);
    let mut expected = Checks::default();
    expected.envelope(founded.keys[1].envelope_key().verifier(), &right);
    let ask = |envelope: &belfry_protocol::wire::Envelope| {
        let bytes = frame(Kind::Get, &envelope.to_bytes());
        let input = request(&peer, 1, Protocol::Sync, bytes);
        checked(&founded, "a.test.example", 1, input)
    };
    same(&ask(&right), &expected);
    let mut broken = right.clone();
    broken.body[0] ^= 1;
    same(&ask(&broken), &Checks::default());
    // Right, and by somebody else than the peer that sends it: the engine refuses it without a check.
    same(&ask(&get(&founded, 2)), &Checks::default());
}

#[test]
fn notes_are_found_wherever_the_engine_looks_for_them() {
    let founded = found(3);
    let note = digest(&founded);
    let log = founded.keys[0].log_key().verifier();
    let ack = founded.keys[1].ack_key().verifier();
    let text = note.to_string().into_bytes();
    let mut by_log = Checks::default();
    by_log.note(log, &note);
    // The acks that others gave are compared, wherever they come from.
    let mut by_both = by_log.clone();
    by_both.note(ack, &note);
    let mut by_tower = Checks::default();
    by_tower.note(ack, &note);

    let plain = gossip(&founded.peer(2), frame(Kind::Digest, &text));
    same(&checked(&founded, "c.test.example", 2, plain), &by_both);
    let notes = List::new(vec![Bytes::new(text.clone()).unwrap()]).unwrap();
    let heads = belfry_protocol::wire::codec::encode(&Heads { notes });
    let heads = gossip(&founded.peer(2), frame(Kind::Heads, &heads));
    same(&checked(&founded, "c.test.example", 2, heads), &by_both);
    let answer = |bytes| {
        Box::new(Input::Response {
            id: 1,
            bytes: Some(bytes),
            checks: Checks::default(),
        })
    };
    let acks = answer(frame(Kind::Acks, &text));
    same(&checked(&founded, "a.test.example", 1, acks), &by_tower);

    // The second member is told of its own ack: envelope, log line and ack line.
    let digest = Bytes::new(text).unwrap();
    let marked = Marked {
        nonce: [0; 16],
        signs: false,
        marks: List::new(vec![Mark {
            origin: Text::new("a.test.example").unwrap(),
            restored: false,
            digest,
            acked: Bytes::default(),
            tail: None,
            promised_by: Bytes::default(),
        }])
        .unwrap(),
    };
    let envelope = founded.envelope(2, 1, Kind::Marked, &marked);
    let mut all = Checks::default();
    all.envelope(founded.keys[2].envelope_key().verifier(), &envelope);
    all.note(log, &note);
    all.note(ack, &note);
    let marked = answer(frame(Kind::Marked, &envelope.to_bytes()));
    same(&checked(&founded, "b.test.example", 2, marked), &all);
}

#[test]
fn garbage_is_passed_on_unchecked() {
    let founded = found(2);
    for bytes in [
        vec![],
        vec![0; 40],
        frame(Kind::Get, &[1; 30]),
        frame(Kind::Acks, b"\n\n"),
    ] {
        let input = request(&founded.peer(1), 1, Protocol::Sync, bytes);
        same(
            &checked(&founded, "a.test.example", 1, input),
            &Checks::default(),
        );
    }
}

/// A pool, and the other end of the queue that it feeds.
struct Fed {
    pool: Pool,
    threads: Vec<JoinHandle<()>>,
    receive: Receiver<Box<Input>>,
    counts: Arc<PoolCounts>,
}

fn pool(workers: usize, founded: &Founded, room: usize) -> Fed {
    let (send, receive) = sync_channel(room);
    let (snapshot, counts) = (Snapshot::default(), Arc::default());
    snapshot.publish(&founded.members());
    let (pool, threads) =
        Pool::start(workers, "a.test.example", &snapshot, &Sink(send), &counts).unwrap();
    Fed {
        pool,
        threads,
        receive,
        counts,
    }
}

#[tokio::test]
async fn each_peers_messages_keep_their_order() {
    const EACH: u64 = 300;
    let founded = found(4);
    let Fed {
        pool,
        threads,
        receive,
        ..
    } = pool(4, &founded, 16);
    let taken = std::thread::spawn(move || {
        let mut last = std::collections::BTreeMap::<String, u64>::new();
        for input in receive {
            let Input::Request { peer, id, .. } = *input else {
                panic!("another input");
            };
            let before = last.insert(peer, id).unwrap_or(0);
            assert_eq!(id, before + 1);
        }
        last
    });
    for id in 1..=EACH {
        for member in 1..4 {
            // Some cost a check and some cost nothing.
            let (protocol, bytes) = if id % 3 == 0 {
                (Protocol::Hello, b"hello".to_vec())
            } else {
                let envelope = get(&founded, member).to_bytes();
                (Protocol::Sync, frame(Kind::Get, &envelope))
            };
            let peer = founded.peer(member);
            let input = request(&peer, id, protocol, bytes);
            assert!(pool.push(peer, input).await.is_none());
        }
    }
    drop(pool);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let last = taken.join().unwrap();
    assert_eq!(last.into_values().collect::<Vec<_>>(), [EACH; 3]);
}

#[tokio::test]
async fn while_the_engine_is_behind_gossip_is_dropped_and_everything_else_waits() {
    let founded = found(2);
    let Fed {
        pool,
        threads,
        receive,
        counts,
    } = pool(1, &founded, 1);
    let peer = founded.peer(1);
    let hello = |id| request(&peer, id, Protocol::Hello, Vec::new());
    // The queue, what the worker holds, and what the engine's queue holds.
    let (mut sent, mut dropped) = (0, 0);
    let until = Instant::now() + Duration::from_secs(30);
    while dropped == 0 && Instant::now() < until {
        match pool.push(peer.clone(), gossip(&peer, Vec::new())).await {
            None => sent += 1,
            Some(_) => dropped += 1,
        }
    }
    assert!(sent >= QUEUE && dropped == 1, "{sent} sent");
    assert_eq!(counts.dropped.load(Ordering::Relaxed), 1);
    let reader = std::thread::spawn(move || receive.iter().count());
    for id in 0..QUEUE as u64 {
        assert!(pool.push(peer.clone(), hello(id)).await.is_none());
    }
    drop(pool);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(reader.join().unwrap(), sent + QUEUE);
}
