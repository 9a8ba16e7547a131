//! A node that runs as tasks of one runtime, as simulations have it, does what its threads do.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_keys::{CreateOptions, KeyDir, NodeKeys, Protection};
use belfry_node::config::{self, Config};
use belfry_node::disk::RealDisk;
use belfry_node::drive::Drive;
use belfry_node::node::Node;
use belfry_node::store::Layout;
use belfry_node::writer::Request;
use belfry_protocol::cert::Scope;
use belfry_protocol::entry::json::Json;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

const NAME: &str = "test.example/tasks";

fn config() -> Config {
    let text = config::EXAMPLE.replace("{name}", NAME);
    let none = Default::default();
    config::parse("config.toml", &text, &none, &Default::default())
        .unwrap()
        .0
}

fn keys(dir: &Path) -> NodeKeys {
    let options = CreateOptions {
        name: NAME.to_owned(),
        protection: Protection::Plain,
        now_seconds: 1_800_000_000,
        scope: Scope::Unfounded,
        import_log_key: None,
    };
    KeyDir::create(dir, options).unwrap()
}

#[tokio::test]
async fn tasks_take_entries_write_tiles_and_end_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, layout) = (keys(dir.path()), Layout::new(dir.path()));
    let open = |drive| {
        Node::open_driven(layout.clone(), config(), &keys, Arc::new(RealDisk), drive).unwrap()
    };
    let node = open(Drive::Tasks);
    let before = node.published().size;
    let mut answers = Vec::new();
    for number in 0..600 {
        let (answer, wait) = oneshot::channel();
        let request = Request::System {
            kind: "window",
            body: Json::text(number.to_string()),
        };
        let reply = Box::new(move |result| drop(answer.send(result)));
        node.writer().try_send(request, reply);
        answers.push(wait);
    }
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let mut published = node.writer().published();
    assert!(published.borrow().size >= before + 600);
    published.wait_for(|now| now.flushed >= 512).await.unwrap();
    node.writer().close();
    while published.changed().await.is_ok() {}
    assert!(!node.writer().is_running());
    let size = published.borrow().size;
    drop(node);
    let again = tokio::task::spawn_blocking({
        let node = open(Drive::Threads);
        move || {
            let size = node.published().size;
            node.close();
            size
        }
    });
    // Its certificate and its rules, which a node that runs as tasks owes.
    assert_eq!(again.await.unwrap(), size + 2);
}
