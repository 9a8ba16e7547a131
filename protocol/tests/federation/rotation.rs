//! New keys while a federation runs (R6): no digest and no ack is lost, ranges are exact, who was away learns of them, and a
//! certificate that ended stops signing.

use crate::no_fork;
use crate::restored::lose;
use crate::world::World;
use belfry_protocol::cert::{LogVerifiers, verify_chain};
use belfry_protocol::engine::store::{Table, Transaction};
use belfry_protocol::note::{SignedNote, SigningKey};

impl World {
    /// Makes keys of the next serial for a node, as its operator does.
    pub(crate) fn rotate(&mut self, at: usize) -> u64 {
        let now = self.clocks_of(at);
        let head = self.head(at);
        let engine = self.nodes[at].engine.as_ref().unwrap();
        let from = engine.next_from_size(now, head.0, head.1).unwrap();
        self.nodes[at].from_sizes.push(from);
        let keys = super::founding::own_keys(self.name(at), &self.nodes[at].from_sizes);
        self.nodes[at].engine.as_mut().unwrap().renew(keys);
        from
    }

    fn head(&self, at: usize) -> (u64, Option<u64>) {
        let mut store = self.nodes[at].store.clone();
        let newest = store.begin().newest_digest().unwrap();
        (self.size(at), newest.map(|(size, _)| size))
    }

    /// The digests that a node keeps, and their lines by the log.
    fn digests(&self, at: usize) -> Vec<(u64, SignedNote)> {
        let mut store = self.nodes[at].store.clone();
        let tx = store.begin();
        let sizes = 0..=self.size(at);
        let notes = sizes.filter_map(|size| Some((size, tx.digest(size).unwrap()?)));
        notes
            .map(|(size, note)| (size, SignedNote::parse(note.as_bytes()).unwrap()))
            .collect()
    }

    /// Certificates that a node knows of another.
    fn known_chain(&self, at: usize, name: &str) -> usize {
        let mut store = self.nodes[at].store.clone();
        let row = store
            .begin()
            .row(Table::Certificates, name.as_bytes())
            .unwrap();
        row.map_or(0, |row| {
            String::from_utf8_lossy(&row)
                .matches("belfry-key-cert/v1")
                .count()
        })
    }
}

#[test]
fn every_node_rotates_under_load_and_every_digest_verifies_under_the_serial_of_its_size() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    let mut from = 0;
    for number in 0..200 {
        world.append(0, &number.to_string());
        world.run_ms(5);
        if number % 50 == 20 {
            let at = number / 50;
            let made = world.rotate(at);
            if at == 0 {
                from = made;
            }
        }
    }
    world.run_ms(1_000);
    // The entries, and that of the factory's new certificate.
    assert_eq!(world.nodes[0].acked, 201, "{:?}", world.status(0));
    no_fork(&world);
    for node in &world.nodes {
        assert!(node.alarms.is_empty(), "{:?}", node.alarms);
    }
    let name = world.name(0).to_owned();
    let notes = super::founding::certificates(&name, &world.nodes[0].from_sizes);
    let identity = SigningKey::ed25519(&name, super::founding::seed(&name, "identity")).unwrap();
    let chain = verify_chain(identity.verifier(), &notes).unwrap();
    let keys = LogVerifiers::of_chain(&chain).unwrap();
    let digests = world.digests(0);
    for (size, note) in &digests {
        assert_eq!(keys.open(note).unwrap().size, *size);
        let lines = note.signatures().iter().filter(|one| one.name() == name);
        // In the overlap the older key signs too, for whoever knows no other.
        assert_eq!(lines.count(), if *size < from { 1 } else { 2 }, "{size}");
    }
    // The last digest of the older key covers the certificate's entry and nothing after it.
    assert!(digests.iter().any(|(size, _)| *size == from - 1));
    let mut store = world.nodes[0].store.clone();
    let told = store.begin();
    let run = told
        .tail(belfry_protocol::engine::store::Place::OWN, 0, from)
        .unwrap();
    let entries: Vec<String> = run
        .iter()
        .flat_map(|run| belfry_protocol::tlog::bundle::entries(&run.bundle).flatten())
        .map(|entry| String::from_utf8_lossy(entry).into_owned())
        .collect();
    let at = usize::try_from(from - 2).unwrap();
    assert!(entries[at].contains("key.cert"), "{}", entries[at]);
}

#[test]
fn a_restart_right_after_new_keys_tells_of_them_once() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    let from = world.rotate(0);
    // Killed before the step that tells of the certificate: the key files are there, the entry is not.
    world.kill(0);
    assert_eq!((world.size(0), from), (1, 3));
    world.start(0);
    world.run_ms(2_000);
    world.append(0, "two");
    world.run_ms(500);
    assert_eq!((world.size(0), world.nodes[0].acked), (3, 3));
    for _ in 0..2 {
        world.kill(0);
        world.start(0);
        world.run_ms(2_000);
    }
    assert_eq!(world.size(0), 3, "once");
    no_fork(&world);
}

#[test]
fn a_factory_that_lost_its_disk_does_not_tell_of_its_certificates_again() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(100);
    world.rotate(0);
    world.run_ms(500);
    assert_eq!((world.size(0), world.nodes[0].acked), (2, 2));
    world.kill(0);
    world.nodes[0].store = Default::default();
    world.start(0);
    world.run_ms(4_000);
    // The `restore` entry, and nothing else.
    assert_eq!(world.size(0), 3, "{:?}", world.status(0));
    no_fork(&world);
}

#[test]
fn who_was_away_learns_of_new_keys_and_who_is_far_by_gossip() {
    let mut world = World::new(4, 3);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    let name = world.name(0).to_owned();
    world.kill(4);
    // Tower 3 hears the factory through others only.
    world.cut(0, 3);
    world.rotate(0);
    for word in ["two", "three", "four"] {
        world.append(0, word);
        world.run_ms(200);
    }
    assert_eq!(world.known_chain(1, &name), 2);
    world.start(4);
    world.run_ms(3_000);
    assert_eq!(world.known_chain(4, &name), 2);
    assert_eq!(world.nodes[0].acked, 5, "{:?}", world.status(0));
    world.run_ms(61_000);
    assert_eq!(world.known_chain(3, &name), 2, "asked of another member");
}

#[test]
fn a_restored_tower_and_an_operator_may_both_make_keys() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    world.rotate(2);
    world.run_ms(500);
    lose(&mut world, 2);
    world.start(2);
    world.run_ms(6_000);
    assert_eq!(world.nodes[2].from_sizes.len(), 3);
    world.rotate(2);
    world.append(0, "two");
    world.kill(1);
    world.run_ms(3_000);
    assert_eq!(world.nodes[0].acked, 2, "{:?}", world.status(0));
    no_fork(&world);
}

#[test]
fn a_certificate_that_ended_stops_digests_and_acks_until_there_are_new_keys() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    // 90 days later, on every node's clock at once.
    for node in 0..4 {
        world.skew_us.insert(node, 90 * 86_400 * 1_000_000);
    }
    world.append(0, "two");
    world.run_ms(3_000);
    assert_eq!(world.nodes[0].acked, 1);
    let status = world.status(0);
    assert!(status.phase.starts_with("expired: "), "{status:?}");
    assert!(world.status(1).phase.starts_with("expired: "));
    let from = world.rotate(0);
    assert_eq!(from, 2, "the older key signs nothing more");
    world.run_ms(35_000);
    assert!(world.status(0).phase.starts_with("active"));
    assert_eq!(world.nodes[0].acked, 1, "its towers sign nothing either");
    for tower in 1..4 {
        world.rotate(tower);
    }
    world.run_ms(35_000);
    assert_eq!(world.nodes[0].acked, world.size(0), "{:?}", world.status(0));
    assert!(world.size(0) > 3);
}
