//! Hostile bytes: replays, flipped bits, other addressees, strangers, other versions, and a factory that equivocates.

use crate::world::World;
use belfry_protocol::engine::federation::Alarm;
use belfry_protocol::wire::{Range, Version};

impl World {
    /// What was asked after some time.
    pub(crate) fn sent_after(mut self, milliseconds: u64) -> Vec<(usize, usize, Vec<u8>)> {
        self.run_ms(milliseconds);
        self.sent
    }
}

/// A world with some history, restarts included, so that every kind of question was asked.
fn lived() -> World {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    for word in ["one", "two", "three"] {
        world.append(0, word);
        world.run_ms(100);
    }
    world.kill(0);
    world.start(0);
    world.run_ms(2_000);
    world.append(0, "four");
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 4);
    world
}

/// The kinds 1, 4, 6, 8 and so on of a frame.
pub(crate) fn kind(bytes: &[u8]) -> Option<u8> {
    bytes
        .get(6..8)
        .and_then(|two| two.iter().copied().find(|byte| *byte != 0))
}

#[test]
fn what_was_said_earlier_changes_nothing_when_said_again() {
    let mut world = lived();
    let sent = world.sent.clone();
    let before: Vec<_> = (1..4).map(|at| world.rows(at)).collect();
    for wanted in [1, 4, 6, 8] {
        assert!(
            sent.iter().any(|(.., bytes)| kind(bytes) == Some(wanted)),
            "{wanted}"
        );
    }
    for (to, from, bytes) in sent.iter().filter(|(to, ..)| *to != 0) {
        world.inject(*to, *from, bytes.clone());
    }
    let after: Vec<_> = (1..4).map(|at| world.rows(at)).collect();
    assert_eq!(before, after);
    world.append(0, "five");
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 5);
}

#[test]
fn damaged_messages_change_nothing() {
    let mut world = lived();
    let mut sent = world.sent.clone();
    sent.sort();
    sent.dedup_by_key(|(to, from, bytes)| (*to, *from, kind(bytes)));
    for (to, from, bytes) in sent {
        let before = (world.rows(to), world.size(to));
        let step = (bytes.len() / 90).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            world.inject(to, from, flipped);
            world.inject(to, from, bytes[..at].to_vec());
        }
        assert_eq!(
            before,
            (world.rows(to), world.size(to)),
            "kind {:?}",
            kind(&bytes)
        );
    }
}

#[test]
fn messages_for_others_or_by_others_are_refused() {
    let mut world = lived();
    let sent = world.sent.clone();
    let find = |wanted: u8, to: usize| {
        sent.iter()
            .rev()
            .find(|(at, _, bytes)| *at == to && kind(bytes) == Some(wanted))
            .unwrap()
            .clone()
    };
    let before: Vec<_> = (1..4).map(|at| world.rows(at)).collect();
    let (_, from, marks) = find(8, 1);
    let other = if from == 2 { 3 } else { 2 };
    world.inject(other, from, marks.clone());
    // Passed on by somebody else than its sender.
    let (_, _, prepare) = find(1, 2);
    world.inject(1, 2, prepare.clone());
    // Another federation's id: the same bytes with another id have no valid signature, and are refused before that.
    let stranger = World::new(4, 3).sent_after(500);
    for (to, from, bytes) in stranger.into_iter().filter(|(to, ..)| (1..4).contains(to)) {
        if from < 4 {
            world.inject(to, from, bytes);
        }
    }
    // Unknown version and kind.
    for at in 4..8 {
        let mut bytes = prepare.clone();
        bytes[at] = 0x7f;
        world.inject(1, 0, bytes);
    }
    let after: Vec<_> = (1..4).map(|at| world.rows(at)).collect();
    assert_eq!(before, after);
    let why: Vec<&str> = world
        .status(1)
        .refused
        .iter()
        .map(|(why, _)| *why)
        .collect();
    for word in ["sender differs", "other federation", "unknown kind"] {
        assert!(why.contains(&word), "{why:?}");
    }
    let why = world.status(other).refused;
    assert!(why.iter().any(|(why, _)| *why == "misdirected"), "{why:?}");
}

#[test]
fn peers_of_other_versions() {
    let mut world = World::new(3, 2);
    let version = |major, minor| Version { major, minor };
    let range = |min, max| vec![Range { min, max }];
    world
        .versions
        .insert(2, range(version(1, 0), version(1, 1)));
    world
        .versions
        .insert(3, range(version(2, 0), version(2, 0)));
    world.run_ms(500);
    // One after the other: a started tower acks only after the others told it what they saw.
    for at in [2, 3] {
        world.kill(at);
        world.start(at);
        world.run_ms(1_000);
    }
    world.append(0, "one");
    world.run_ms(300);
    assert_eq!(world.nodes[0].acked, 1, "{:?}", world.status(0));
    assert!(world.status(0).peers[1].goodbye.is_none());
    for (at, of) in [(0, "t3.example"), (3, "a.example/line")] {
        let status = world.status(at);
        let peer = status.peers.iter().find(|peer| peer.name == of).unwrap();
        assert!(peer.goodbye.is_some() && !peer.connected, "{at}: {peer:?}");
    }
}

#[test]
fn an_equivocating_factory_gets_no_ack_where_both_are_seen() {
    let mut world = lived();
    let (left, right) = (world.forged(9, 1), world.forged(9, 2));
    world.gossip(1, 2, left.clone());
    world.gossip(2, 1, right.clone());
    assert!(world.nodes[1].alarms.is_empty());
    for at in [1, 2] {
        world.gossip(at, 3, left.clone());
        world.gossip(at, 3, right.clone());
    }
    let acked: Vec<u64> = (1..3).map(|at| world.status(at).mirrors[0].acked).collect();
    for number in 0..10 {
        world.append(0, &number.to_string());
        world.run_ms(200);
    }
    for at in [1, 2] {
        let fork = |alarm: &Alarm| matches!(alarm, Alarm::Fork { size: 9, .. });
        assert!(world.nodes[at].alarms.iter().any(fork));
        assert_eq!(world.status(at).mirrors[0].acked, acked[at - 1]);
    }
}
