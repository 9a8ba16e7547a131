//! `window` entries of running nodes: appended by the timer alone, with the acks of that time in a file that anybody can
//! fetch by its hash and check against the entry, also after the node was killed.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::entry::Leaf;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::Content;
use belfry_protocol::tlog::hash::sha256;
use belfry_protocol::window::Attachment;
use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::request;

/// The newest `window` entry of a node that has a file, if there is one; and how many there are.
fn newest(federation: &Federation, node: usize) -> (Option<Json>, usize) {
    let reader = federation.reader(node);
    let size = reader.head().unwrap().size();
    let mut found = (None, 0);
    for index in 0..size {
        let leaf = Leaf::parse(&reader.entry(index, size).unwrap()).unwrap();
        if let (true, Content::Body(body)) = (leaf.kind == "window", leaf.content) {
            found.1 += 1;
            if body.get("attachment").is_some() {
                found.0 = Some(body);
            }
        }
    }
    found
}

fn text<'j>(body: &'j Json, path: &[&str]) -> &'j str {
    let value = path.iter().try_fold(body, |value, key| value.get(key));
    value.and_then(Json::as_str).unwrap()
}

/// Fetches the file of a window and checks it against the entry.
fn fetched(federation: &Federation, node: usize, body: &Json) -> Attachment {
    let hash = text(body, &["attachment"]);
    let path = format!("/api/v1/windows/{hash}");
    let answer = request(&federation.http(node), "GET", &path, &[], &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(sha256(&answer.body).to_hex(), hash);
    let attachment = Attachment::parse(&answer.body).unwrap();
    let (given, received) = attachment.roots().unwrap();
    assert_eq!(text(body, &["acks_given", "root"]), given.to_hex());
    assert_eq!(text(body, &["acks_received", "root"]), received.to_hex());
    attachment
}

/// `fsck` compares files and entries: it finds one that was changed, and one that is gone although an older one is there.
fn checked(federation: &Federation) {
    let _ = federation.wait(1, "has more windows", |_| newest(federation, 1).1 >= 4);
    federation.stop(1);
    let fsck = || federation.on(1, &["ledger", "fsck", "--json"]);
    let clean = fsck().expect(0).json();
    let windows = clean["windows"].as_u64().unwrap();
    assert!(windows >= 2 && clean["windows_gone"] == 0, "{clean:#}");
    let body = newest(federation, 1).0.unwrap();
    let file = federation.nodes[1]
        .dir
        .join("windows")
        .join(text(&body, &["attachment"]));
    let right = std::fs::read(&file).unwrap();
    std::fs::write(&file, &right[1..]).unwrap();
    let damaged = fsck().expect(24);
    assert!(damaged.stdout.contains("another hash"), "{damaged:?}");
    std::fs::remove_file(&file).unwrap();
    let gone = fsck().expect(24);
    assert!(gone.stdout.contains("older ones are there"), "{gone:?}");
    // Where all that are older are gone too, it only says so.
    let aside = federation.beside("windows-aside");
    std::fs::rename(federation.nodes[1].dir.join("windows"), &aside).unwrap();
    let said = fsck().expect(0).json();
    assert_eq!(said["windows_gone"], windows);
    std::fs::rename(&aside, federation.nodes[1].dir.join("windows")).unwrap();
    std::fs::write(&file, right).unwrap();
    federation.start(1);
    federation.ready(1);
}

#[test]
fn windows_hold_what_was_acked_and_anybody_can_check_it() {
    let federation = Federation::found(3);
    federation.configure("[clock]\nprobe_interval_ms = 300\n[window]\ninterval_seconds = 3");
    federation.start_all();
    let last = federation.append(3);
    let acked = format!("\n{}\n", last + 1);
    for node in [FACTORY, 1] {
        let _ = federation.wait(node, "has it in a window", |_| {
            let Some(body) = newest(&federation, node).0 else {
                return false;
            };
            let acks = fetched(&federation, node, &body);
            let side = if node == FACTORY {
                acks.received
            } else {
                acks.given
            };
            assert_eq!(text(&body, &["observed_by"]), federation.nodes[node].name);
            !side.is_empty()
        });
        for wrong in [
            "0".repeat(64),
            "..".to_owned(),
            "0".repeat(63),
            "g".repeat(64),
        ] {
            let path = format!("/api/v1/windows/{wrong}");
            let answer = request(&federation.http(node), "GET", &path, &[], &[]);
            assert_eq!(answer.status, 404, "{wrong}: {}", answer.text());
        }
    }
    // Clocks are in it as soon as they were measured.
    let _ = federation.wait(1, "has clocks in a window", |_| {
        let body = newest(&federation, 1).0.unwrap();
        let verdict = body.get("clock").and_then(|clock| clock.get("verdict"));
        verdict.and_then(Json::as_str) == Some("ok")
    });
    // Killed in the middle of a window: what was acked before is in the next one.
    let (before, _) = (federation.append(2), federation.kill(1));
    federation.start(1);
    let seen = format!("\n{}\n", before + 1);
    let dir = federation.nodes[1].dir.join("windows");
    let _ = federation.wait(1, "has told of all acks", |_| {
        let files = std::fs::read_dir(&dir).unwrap().flatten();
        let files: Vec<String> = files
            .filter_map(|one| std::fs::read_to_string(one.path()).ok())
            .collect();
        let told = |text: &str| {
            let escaped = text.replace('\n', "\\n");
            files.iter().any(|file| file.contains(&escaped))
        };
        told(&acked)
            && (told(&seen)
                || federation.status(1)["mirrors"][0]["acked"].as_u64() < Some(before + 1))
    });
    checked(&federation);
    // The factory's own entries are acknowledged like all others.
    let count = newest(&federation, FACTORY).1;
    assert!(count >= 1);
    let size = federation.settled(federation.towers());
    assert!(size > before);
}
