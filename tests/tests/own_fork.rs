//! A node outside of a federation that a foreign witness shows a fork of its own: it stops for good (R3). The witness is a
//! few lines here: it refuses everything, and shows what somebody else signed with the ledger's key.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::note::SigningKey;
use belfry_protocol::tlog::hash::sha256;
use belfry_tests::federation::PATIENCE;
use belfry_tests::{Node, lines};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A witness that refuses every checkpoint and shows this note; it ends with the process.
fn refusing(note: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, &note);
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, note: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = [0; 4_096];
    let read = stream.read(&mut head)?;
    let (status, body) = match head.get(..3) {
        Some(b"GET") if read > 0 => ("200 OK", note),
        _ => ("422 Unprocessable Content", "no\n"),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

#[test]
fn a_node_on_its_own_stops_on_a_fork_that_a_witness_shows() {
    let node = Node::new();
    let vkey = node.run(&["key", "export"]).expect(0).stdout;
    let export = ["key", "export", "--private", "--confirm", Node::NAME];
    let key = SigningKey::import(node.run(&export).expect(0).stdout.trim()).unwrap();
    let lie = Checkpoint {
        origin: Node::NAME.to_owned(),
        size: 3,
        root: sha256(b"another tree"),
    };
    let url = refusing(lie.sign(&key).unwrap().to_string());
    let witness = SigningKey::cosigner("w1.example", [1; 32]).unwrap();
    let policy = format!(
        "log {}\nwitness w1 {} {url}\nquorum w1\n",
        vkey.trim(),
        witness.verifier()
    );
    std::fs::write(node.dir().join("submit.policy"), policy).unwrap();
    let config = node.dir().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = format!("{text}\n[witness]\nsubmit_policy = \"submit.policy\"\n");
    std::fs::write(&config, text).unwrap();

    let served = node.serve();
    let input = node.write("ten.ndjson", lines(10));
    let until = Instant::now() + PATIENCE;
    let stopped = |status: &serde_json::Value| {
        let phase = status["phase"].as_str().unwrap_or_default();
        phase.starts_with("stopped: there is a fork proof")
    };
    while !stopped(&node.json(&["status"])) {
        assert!(Instant::now() < until, "{:#}", node.json(&["status"]));
        std::thread::sleep(Duration::from_millis(50));
    }
    // The entries of its own start were signed before, and contradict what the witness shows.
    let signed = node.json(&["ledger", "head"])["signed_size"].clone();
    let refused = node.run(&["append", &input, "--json"]).expect(22);
    let said = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(said.contains("takes no entries"), "{said}");
    let ready = served.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("fork proof"), "{}", ready.text());
    assert_eq!(served.stop(), 0);

    // For good: a restart, and commands beside it, know it still.
    let listed = node.run(&["forks", "list", "--json"]).expect(22).json();
    assert_eq!(listed["forks"][0]["smaller_size"], 3, "{listed:#}");
    let file = node.beside("fork.json").to_string_lossy().into_owned();
    let _ = node.run(&["forks", "export", "--out", &file]).expect(0);
    let verify = ["audit", "verify", &file, "--key", vkey.trim()];
    let _ = belfry_tests::run(&verify).expect(22);
    let served = node.serve();
    assert!(stopped(&node.json(&["status"])));
    let _ = node.run(&["append", &input]).expect(22);
    assert_eq!(node.json(&["ledger", "head"])["signed_size"], signed);
    assert_eq!(served.stop(), 0);
    let _ = node.run(&["ledger", "fsck"]).expect(0);
}
