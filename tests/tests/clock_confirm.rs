//! An operator vouches for the clock of a member that can ask nobody (R8): with the node's name, until the next restart.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::federation::{FACTORY, Federation};
use serde_json::Value;

fn own(federation: &Federation) -> Value {
    let checked = federation.on(FACTORY, &["netcheck", "--json"]);
    checked.expect(30).json()["clock"].clone()
}

#[test]
fn an_operator_confirms_the_clock_until_the_next_restart() {
    let federation = Federation::found(2);
    let name = federation.nodes[FACTORY].name.clone();
    let nobody = federation.on(FACTORY, &["clock", "confirm", "--confirm", &name]);
    assert!(nobody.expect(30).stderr.contains("belfry run"));

    federation.start(FACTORY);
    federation.served(FACTORY);
    assert_eq!(own(&federation)["confirmed"], false);
    let run = |args: &[&str]| {
        let args: Vec<&str> = ["clock", "confirm"].iter().chain(args).copied().collect();
        federation.on(FACTORY, &args)
    };
    let asked = run(&["--no-input"]).expect(2);
    assert!(asked.stderr.contains("Compare it"), "{asked:?}");
    let _ = run(&["--confirm", "other.example"]).expect(2);
    let would = run(&["--dry-run"]).expect(0);
    assert!(would.stdout.contains("would confirm"), "{would:?}");
    assert_eq!(own(&federation)["confirmed"], false);

    let done = run(&["--confirm", &name]).expect(0);
    assert!(done.stdout.contains("confirmed by an operator"), "{done:?}");
    assert_eq!(own(&federation)["confirmed_by"], "operator");
    let status = federation.on(FACTORY, &["status"]).expect(0).stdout;
    assert!(status.contains("confirmed by an operator"), "{status}");

    federation.kill(FACTORY);
    federation.start(FACTORY);
    federation.served(FACTORY);
    let own = own(&federation);
    assert_eq!(own["confirmed"], false);
    assert_eq!(own["not_confirmed"], "no probe since the start");
}
