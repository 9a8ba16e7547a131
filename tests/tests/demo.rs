//! `belfry demo`, the README's first command, with real processes over TCP and QUIC.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::{Node, run};

fn proved_over(transport: &str) {
    let home = Node::empty();
    std::fs::create_dir_all(home.beside("shop")).unwrap();
    home.write("shop/one.txt", "one");
    home.write("shop/two.txt", "two");
    let dir = home.beside("shop");
    let dir = dir.to_string_lossy();
    let args = [
        "demo",
        &dir,
        "--exit-after-proof",
        "--transport",
        transport,
        "--json",
    ];
    let result = run(&args).expect(0).json();
    assert_eq!(result["files"], 2, "{result}");
    assert_eq!(result["verified"], true, "{result}");
    assert_eq!(result["tampered_refused"], true, "{result}");
    assert_eq!(
        (&result["quorum"], &result["towers"]),
        (&2.into(), &3.into())
    );
    assert_eq!(result["ack_ms"].as_array().unwrap().len(), 20, "{result}");
}

#[test]
fn a_federation_of_four_processes_proves_over_tcp() {
    proved_over("tcp");
}

#[test]
fn a_federation_of_four_processes_proves_over_quic() {
    proved_over("quic");
}

#[test]
fn without_a_federation_nobody_acknowledges() {
    let node = Node::new();
    let ended = node.run_with_input(&["append", "-", "--wait", "acked"], b"{\"n\":1}\n");
    assert_eq!(ended.code, 21, "{ended:?}");
    assert!(ended.stderr.contains("no federation"), "{ended:?}");
    let ended = node.run(&["wait", "--for", "ready", "--timeout", "0"]);
    assert_eq!(ended.code, 31, "{ended:?}");
    let ended = node.run(&["wait", "--for", "luck"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}
