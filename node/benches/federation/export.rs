//! The same entries twice: as a tower that comes late catches up over libp2p, and as a member fetches them from the export
//! endpoint into a directory.

use crate::cluster::Cluster;
use crate::references::References;
use belfry_keys::KeyDir;
use belfry_node::export::client::{self, Server};
use belfry_node::export::fetch::{Anchor, fetch};
use belfry_node::member;
use belfry_node::store::Layout;
use belfry_protocol::export::{Checker, Plan};
use belfry_protocol::note::SignedNote;
use std::time::Instant;

/// Lengths of the entries.
const LENGTHS: [usize; 2] = [4_096, 256];

pub(crate) fn export(references: &References, bytes: u64) {
    for length in LENGTHS {
        let mut cluster = Cluster::active();
        cluster.stop(3);
        let filled = cluster.node(0).ask(&format!("fill {bytes} {length}"));
        let size = filled["size"].as_u64().unwrap();
        let megabytes = filled["bytes"].as_f64().unwrap() / 1e6;
        println!("export, {size} entries of {length} bytes, {megabytes:.0} MB");

        let began = Instant::now();
        cluster.start(3);
        let started = began.elapsed().as_secs_f64();
        let held = cluster.node(3).ask(&format!("held {size}"));
        let first = started + held["first"].as_f64().unwrap();
        let sync = megabytes / (began.elapsed().as_secs_f64() - first);
        println!("  libp2p sync, verified and durable, from its first piece on: {sync:.1} MB/s");

        let serving = cluster.node(0).ask("export");
        let text = |name: &str| serving[name].as_str().unwrap().to_owned();
        let keys = KeyDir::open(cluster.dir(3), || Ok(None)).unwrap();
        let server = Server {
            place: text("address"),
            key: Some(keys.transport_seed().clone()),
            peers: vec![text("peer").parse().unwrap()],
            token: None,
        };
        let layout = Layout::new(cluster.dir(3));
        let federation = member::federation(&layout).unwrap().unwrap();
        let origin = federation.manifest().members[0].name.clone();
        let anchor = Anchor::Manifest(Box::new(federation));

        // What the transport gives by itself, and with the proof but without a disk.
        for proof in [false, true] {
            let began = Instant::now();
            let received = drain(&server, &origin, proof);
            let rate = received as f64 / 1e6 / began.elapsed().as_secs_f64();
            let what = if proof {
                "proved, not written"
            } else {
                "the stream alone"
            };
            println!(
                "  QUIC export, {what}: {rate:.1} MB/s, {:.2} of libp2p sync",
                rate / sync
            );
        }
        let home = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let fetched = fetch(
            &server,
            (&origin, &anchor),
            &home.path().join("to"),
            |_, _| {},
        );
        let took = began.elapsed().as_secs_f64();
        assert_eq!(fetched.unwrap().checkpoint.size, size);
        println!(
            "  QUIC export, proved, written and synced: {:.1} MB/s [>= 100 MB/s], {:.2} of libp2p sync; {}",
            megabytes / took,
            megabytes / took / sync,
            references.time(took)
        );
    }
}

/// Reads an export to its end and keeps nothing; its bytes.
fn drain(server: &Server, origin: &str, proof: bool) -> u64 {
    let (accepted, mut incoming) = client::open(server, origin, 0).unwrap();
    let note = SignedNote::parse(accepted.note.as_slice()).unwrap();
    let checkpoint = belfry_protocol::checkpoint::Checkpoint::parse(note.text()).unwrap();
    if !proof {
        for piece in Plan::new(0, checkpoint.size) {
            incoming.piece(piece).unwrap();
        }
        return incoming.received_bytes;
    }
    let mut checker = Checker::new(&checkpoint, Default::default()).unwrap();
    while let Some(piece) = checker.next_piece() {
        checker.take(&incoming.piece(piece).unwrap()).unwrap();
    }
    incoming.received_bytes
}
