//! What no honest world does: messages out of nowhere, forged digests, steps that do not commit.

use super::founding::{peer_id, seed};
use crate::world::{World, wall};
use belfry_protocol::engine::federation::Input;
use belfry_protocol::engine::ledger;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::engine::{Now, RequestId};
use belfry_protocol::entry::json::Json;
use belfry_protocol::note::SigningKey;
use belfry_protocol::wire::Version;

impl World {
    /// An append whose step does not commit: what was free has left all the same.
    pub(crate) fn append_without_room(&mut self, at: usize, word: &str) {
        self.requests += 1;
        let input = ledger::Input::System {
            request: RequestId(self.requests),
            kind: "window",
            body: Json::object([("word", Json::text(word))]),
        };
        let mut engine = self.nodes[at].engine.take().unwrap();
        let now = Now {
            mono_us: self.now_us,
            wall: wall(self.now_us),
        };
        let mut store = self.nodes[at].store.clone();
        let mut tx = store.begin();
        let outputs = engine.step(now, [7; 32], &mut tx, vec![Input::Ledger(input)]);
        let free = outputs.unwrap().federation.take_free();
        drop(tx);
        engine.forget();
        self.nodes[at].engine = Some(engine);
        for output in free {
            self.free(at, output);
        }
    }

    /// Gives a node bytes as if a member had asked.
    pub(crate) fn inject(&mut self, to: usize, from: usize, bytes: Vec<u8>) {
        let peer = peer_id(self.name(from));
        let protocol = belfry_protocol::engine::federation::Protocol::Sync;
        self.step(
            to,
            vec![Input::Request {
                peer,
                id: 0,
                protocol,
                bytes,
                checks: Default::default(),
            }],
        );
    }

    /// Gives a node gossip as if a member had passed it on.
    pub(crate) fn gossip(&mut self, to: usize, from: usize, bytes: Vec<u8>) {
        let topic = belfry_protocol::engine::federation::Topic::Digests;
        self.gossip_on(to, from, topic, bytes);
    }

    /// The newest digest of a node's own ledger.
    pub(crate) fn newest_digest(&self, at: usize) -> String {
        let mut store = self.nodes[at].store.clone();
        let newest = store.begin().newest_digest().unwrap();
        newest.unwrap().1
    }

    /// The same, on any topic.
    pub(crate) fn gossip_on(
        &mut self,
        to: usize,
        from: usize,
        topic: belfry_protocol::engine::federation::Topic,
        bytes: Vec<u8>,
    ) {
        let input = Input::Gossip {
            peer: peer_id(self.name(from)),
            id: [0; 20],
            topic,
            bytes,
            checks: Default::default(),
        };
        self.step(to, vec![input]);
    }

    /// A digest signed with the factory's own key, as a frame.
    pub(crate) fn forged(&self, size: u64, root: u8) -> Vec<u8> {
        let name = self.name(0);
        let checkpoint = belfry_protocol::checkpoint::Checkpoint {
            origin: name.to_owned(),
            size,
            root: belfry_protocol::tlog::hash::Hash([root; 32]),
        };
        let key = SigningKey::ed25519(name, seed(name, "log")).unwrap();
        let note = checkpoint.sign(&key).unwrap().to_string();
        belfry_protocol::wire::Frame::encode(Version::V1_0, 4, note.as_bytes())
    }
}

/// A step that does not commit forgets what it asked; a hello is said once per connection.
#[test]
fn whoever_connects_while_a_disk_is_full_is_admitted() {
    for leaves in [true, false] {
        let mut world = World::new(3, 2);
        world.run_ms(500);
        world.cut(0, 2);
        world.run_ms(500);
        // The lower number dials.
        world.full = Some((0, leaves));
        world.heal();
        world.run_ms(500);
        let connected = |world: &World| {
            let peers = world.status(0).peers;
            peers.iter().any(|one| one.member == 2 && one.connected)
        };
        assert_eq!(connected(&world), leaves);
        world.full = None;
        world.run_ms(1_500);
        assert!(connected(&world), "left: {leaves}");
        let acked = world.nodes[0].acked;
        world.append(0, "goes on");
        world.run_ms(1_000);
        assert!(world.nodes[0].acked > acked);
    }
}
