//! Our own tower before our conformance suite: it passes every row, also across a power cut.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_keys::Purpose;
use belfry_node::conformance::logs::Logs;
use belfry_node::conformance::report::Verdict;
use belfry_node::conformance::{self, Options};
use belfry_tests::federation::Federation;
use belfry_tests::free_port;
use std::sync::Arc;
use std::time::Duration;

const TOWER: usize = 1;

/// Gives the tower an address that outlives a restart, and the suite's logs.
fn configure(federation: &Federation, port: u16, logs: &Logs) {
    let path = federation.nodes[TOWER].dir.join("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let listen = |port| format!("listen = \"127.0.0.1:{port}\"");
    assert!(text.contains(&listen(0)), "{text}");
    let vkeys: Vec<String> = logs
        .all()
        .map(|(_, log)| format!("\"{}\"", log.key().verifier()))
        .collect();
    let text = text.replace(&listen(0), &listen(port));
    let witness = format!("ml_dsa = true\nlogs = [{}]", vkeys.join(", "));
    let text = format!("{text}\n[witness]\n{witness}\n");
    std::fs::write(&path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_tower_passes_every_row() {
    let federation = Arc::new(Federation::found(3));
    let logs = Logs::from_seed(&[77; 32]).unwrap();
    let port = free_port();
    configure(&federation, port, &logs);
    federation.start_all();
    let keys = federation.keys(TOWER);
    let of = |purpose| keys.current().key(purpose).verifier().clone();
    let restarted = Arc::clone(&federation);
    let url = format!("http://127.0.0.1:{port}");
    let options = Options {
        monitoring_url: url.clone(),
        url,
        logs,
        witness_keys: vec![of(Purpose::Ack), of(Purpose::Mirror), of(Purpose::Subtree)],
        restart: Some(Box::new(move || {
            restarted.kill(TOWER);
            restarted.start(TOWER);
            restarted.ready(TOWER);
            Ok(())
        })),
        timeout: Duration::from_secs(120),
    };
    let report = conformance::run(options, &mut |_| {}).await.unwrap();
    // What the machine makes of it: a slow answer, or an answer to a large body that was lost when it hung up.
    let by_luck = ["speed", "http-body-limit"];
    for row in &report.rows {
        let good = row.verdict == Verdict::Pass
            || row.verdict == Verdict::Note && by_luck.contains(&row.id);
        assert!(good, "{row:?}\n{}", report.summary());
    }
}
