//! Hourly `window` entries (R13): what they hold, that only the timer causes them, and that no crash loses an ack.

use super::world::{Parcel, World};
use belfry_protocol::engine::federation::Input;
use belfry_protocol::engine::store::{Place, Transaction};
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::{Hash, empty_root};
use belfry_protocol::window::Attachment;

const WINDOW_US: u64 = 20_000_000;

/// Files of windows.
#[derive(Default)]
pub(crate) struct Files {
    /// How often there is a window; nodes that start later have it.
    pub(crate) every_us: Option<u64>,
    /// Those that nodes were asked to keep, by node.
    kept: Vec<(usize, Vec<u8>)>,
    full_disk: bool,
}

impl World {
    /// A file is written, if there is room, and the engine is told.
    pub(crate) fn keep_window(&mut self, at: usize, hash: Hash, bytes: Vec<u8>) {
        assert_eq!(Attachment::hash(&bytes), hash);
        self.windows.kept.push((at, bytes));
        if !self.windows.full_disk {
            self.post(at, 1_000, Parcel::Input(Input::WindowKept { hash }));
        }
    }

    /// Bodies of the `window` entries in a node's own ledger, without those that tests append as filling.
    fn window_entries(&self, at: usize) -> Vec<Json> {
        let mut store = self.nodes[at].store.clone();
        let tx = store.begin();
        let runs = tx.tail(Place::OWN, 0, u64::MAX).unwrap();
        let mut bodies = Vec::new();
        for run in runs {
            for entry in bundle::entries(&run.bundle) {
                let leaf = Leaf::parse(entry.unwrap()).unwrap();
                if let (true, Content::Body(body)) = (leaf.kind == "window", leaf.content)
                    && body.get("began").is_some()
                {
                    bodies.push(body);
                }
            }
        }
        bodies
    }

    fn newest_file(&self, at: usize) -> &[u8] {
        let (_, bytes) = self
            .windows
            .kept
            .iter()
            .rfind(|(node, _)| *node == at)
            .unwrap();
        bytes
    }
}

fn text<'j>(body: &'j Json, path: &[&str]) -> &'j str {
    let value = path.iter().try_fold(body, |value, key| value.get(key));
    value.and_then(Json::as_str).unwrap_or("")
}

fn number(body: &Json, path: &[&str]) -> u64 {
    let value = path.iter().try_fold(body, |value, key| value.get(key));
    value.and_then(Json::as_u64).unwrap()
}

/// All nodes run with windows, the first of which has just begun.
fn started(towers: usize, k: u32) -> World {
    let mut world = World::new(towers, k);
    world.windows.every_us = Some(WINDOW_US);
    for node in 0..=towers {
        world.kill(node);
        world.start(node);
    }
    world.run_ms(1_000);
    world
}

/// The entry says of the file what the file says of itself.
fn assert_fits(body: &Json, file: &[u8]) -> Attachment {
    let attachment = Attachment::parse(file).unwrap();
    let (given, received) = attachment.roots().unwrap();
    assert_eq!(text(body, &["attachment"]), Attachment::hash(file).to_hex());
    assert_eq!(text(body, &["acks_given", "root"]), given.to_hex());
    assert_eq!(text(body, &["acks_received", "root"]), received.to_hex());
    assert_eq!(
        number(body, &["acks_given", "count"]),
        attachment.given.len() as u64
    );
    assert_eq!(
        number(body, &["acks_received", "count"]),
        attachment.received.len() as u64
    );
    for note in attachment.given.iter().chain(&attachment.received) {
        assert!(SignedNote::parse(note.as_bytes()).is_ok(), "{note}");
    }
    attachment
}

#[test]
fn a_window_holds_the_acks_that_were_given_and_received() {
    let mut world = started(3, 2);
    for word in ["one", "two", "three"] {
        world.append(0, word);
        world.run_ms(100);
    }
    assert!(
        (0..4).all(|node| world.window_entries(node).is_empty()),
        "not before its time"
    );
    world.run_ms(20_000);
    for node in 0..4 {
        let entries = world.window_entries(node);
        assert_eq!(entries.len(), 1, "node {node}");
        let kept = assert_fits(&entries[0], world.newest_file(node));
        assert_eq!(text(&entries[0], &["observed_by"]), world.name(node));
        assert!(text(&entries[0], &["began"]) < text(&entries[0], &["ended"]));
        if node == 0 {
            // Each tower for each digest; the last one may have come twice.
            assert!(
                kept.received.len() >= 7 && kept.given.is_empty(),
                "{}",
                kept.received.len()
            );
        } else {
            assert!(kept.given.len() >= 3 && kept.received.is_empty());
            let name = format!("— {} ", world.name(node));
            assert!(kept.given.iter().all(|note| note.contains(&name)));
        }
    }
    // The entry itself was acked, so the next window is not empty, and they chain.
    world.run_ms(21_000);
    let entries = world.window_entries(0);
    assert_eq!(entries.len(), 2);
    assert_eq!(text(&entries[0], &["ended"]), text(&entries[1], &["began"]));
    let second = assert_fits(&entries[1], world.newest_file(0));
    let first =
        Attachment::parse(&world.windows.kept.iter().find(|one| one.0 == 0).unwrap().1).unwrap();
    assert!(
        second
            .received
            .iter()
            .all(|note| !first.received.contains(note)),
        "each ack once"
    );
}

#[test]
fn only_the_timer_causes_an_entry() {
    let mut world = started(3, 2);
    let before = world.size(1);
    for number in 0..60 {
        world.append(0, &number.to_string());
        world.run_ms(200);
    }
    assert_eq!(world.nodes[0].acked, 60);
    assert_eq!((world.size(0), world.size(1)), (60, before));
}

#[test]
fn a_crash_loses_no_ack() {
    let mut world = started(3, 2);
    world.append(0, "one");
    world.run_ms(500);
    world.kill(1);
    world.kill(0);
    world.start(1);
    world.start(0);
    world.run_ms(25_000);
    let given = assert_fits(&world.window_entries(1)[0], world.newest_file(1)).given;
    assert!(given.iter().any(|note| note.contains("\n1\n")), "{given:?}");
    let received = assert_fits(&world.window_entries(0)[0], world.newest_file(0)).received;
    assert!(
        received.iter().any(|note| note.contains("\n1\n")),
        "{received:?}"
    );
}

#[test]
fn no_entry_before_its_file_is_durable() {
    let mut world = started(3, 2);
    world.append(0, "one");
    world.run_ms(500);
    world.windows.full_disk = true;
    world.run_ms(30_000);
    assert!(world.window_entries(1).is_empty());
    let asked = world.windows.kept.iter().filter(|one| one.0 == 1).count();
    assert_eq!(asked, 1, "once a minute");
    world.windows.full_disk = false;
    world.run_ms(61_000);
    let entries = world.window_entries(1);
    let file = &world
        .windows
        .kept
        .iter()
        .filter(|one| one.0 == 1)
        .nth(1)
        .unwrap()
        .1;
    let _ = assert_fits(&entries[0], file);
}

#[test]
fn a_recovering_ledger_appends_no_window_and_says_it_later() {
    let mut world = started(3, 2);
    world.append(0, "one");
    world.run_ms(500);
    for node in 0..4 {
        world.kill(node);
    }
    world.start(0);
    world.run_ms(60_000);
    assert_eq!((world.size(0), world.window_entries(0).len()), (1, 0));
    for tower in 1..4 {
        world.start(tower);
    }
    world.run_ms(3_000);
    let entries = world.window_entries(0);
    assert_eq!(entries.len(), 1);
    let kept = assert_fits(&entries[0], world.newest_file(0));
    assert!(!kept.received.is_empty());
}

#[test]
fn a_window_in_which_nothing_happened_needs_no_file() {
    let mut world = started(3, 2);
    world.run_ms(25_000);
    // The factory's ledger is empty until its own first window, which is acked.
    let body = &world.window_entries(0)[0];
    assert_eq!(body.get("attachment"), None);
    assert_eq!(
        text(body, &["acks_received", "root"]),
        empty_root().to_hex()
    );
    assert!(
        !world
            .windows
            .kept
            .iter()
            .any(|(node, bytes)| *node == 0 && bytes.is_empty())
    );
    assert_eq!(text(body, &["clock", "verdict"]), "undetermined");
}
