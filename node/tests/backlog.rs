//! Appends beyond the flusher's backlog (R10): they wait, and go on as soon as tiles are in files.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_keys::{CreateOptions, KeyDir, Protection};
use belfry_node::config;
use belfry_node::disk::FixedSyncDisk;
use belfry_node::fsck;
use belfry_node::node::Node;
use belfry_node::store::Layout;
use belfry_node::store::payloads::OsSealer;
use belfry_node::writer::Request;
use belfry_protocol::cert::Scope;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::entry::{Batch, Draft, Visibility};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

const NAME: &str = "test.example/backlog";

fn open(dir: &Path) -> Node {
    let text = config::EXAMPLE.replace("{name}", NAME);
    let (config, _) = config::parse(
        "config.toml",
        &text,
        &Default::default(),
        &Default::default(),
    )
    .unwrap();
    let options = CreateOptions {
        name: NAME.to_owned(),
        protection: Protection::Plain,
        now_seconds: 1_800_000_000,
        scope: Scope::Unfounded,
        import_log_key: None,
    };
    let keys = KeyDir::create(dir, options).unwrap();
    let disk = FixedSyncDisk {
        sync: Duration::from_millis(20),
    };
    Node::open_on(Layout::new(dir), config, &keys, Arc::new(disk)).unwrap()
}

#[test]
fn a_full_backlog_slows_appends_and_never_stops_them() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    let draft = Draft {
        kind: "log.line".to_owned(),
        time: TimeUs::default(),
        source: "test".to_owned(),
        tenant: None,
        body: Json::Null,
        visibility: Some(Visibility::Public),
        idempotency: None,
    };
    let mut batch = Batch::default();
    let mut press = node.press();
    for _ in 0..4_096 {
        press
            .add_raw(b"1", &draft, &mut OsSealer, &mut batch)
            .unwrap();
    }
    let before = node.published().size;
    let (send, receive) = sync_channel(100);
    for _ in 0..100 {
        let send = send.clone();
        node.writer().send(
            Request::Append(batch.clone()),
            Box::new(move |answer| drop(send.send(answer))),
        );
    }
    for _ in 0..100 {
        receive.recv().unwrap().unwrap();
    }
    let now = node.published();
    assert_eq!(now.size - before, 409_600);
    let reader = node.reader().unwrap();
    let report = fsck::run(&reader, &node.log_keys(), |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    node.close();
}
