//! A tower whose clock is an hour off, as a process: it stops its acks and says why, all others go on and are right, and
//! it resumes by itself when somebody sets the clock. What `status`, `/api/v1/skew`, `netcheck` and metrics show of it.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::request;
use serde_json::Value;

const HOUR: i64 = 3_600;

fn own(status: &Value) -> &Value {
    &status["clock"]["own"]
}

fn is(status: &Value, verdict: &str) -> bool {
    own(status)["verdict"] == verdict
}

fn skew(federation: &Federation, node: usize) -> Value {
    let answer = request(&federation.http(node), "GET", "/api/v1/skew", &[], &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

/// Every tower but one has acked the factory's ledger up to here.
fn acked(status: &Value, size: u64) -> bool {
    status["mirrors"][0]["acked"].as_u64() >= Some(size)
}

#[test]
fn a_tower_an_hour_off_stops_its_acks_and_resumes_by_itself() {
    let federation = Federation::found(3);
    federation.configure("[clock]\nprobe_interval_ms = 300");
    for node in &federation.nodes {
        if !node.launch_with_clock() {
            return;
        }
    }
    for number in 0..federation.nodes.len() {
        federation.served(number);
        federation.ready(number);
    }
    for number in 0..federation.nodes.len() {
        let status = federation.wait(number, "finds its clock right", |status| {
            is(status, "ok") && own(status)["confirmed"] == true
        });
        assert_eq!(own(&status)["confirmed_by"], "probe");
    }
    let _ = federation.append(3);

    let shown = skew(&federation, FACTORY);
    assert_eq!(
        shown["observed_by"],
        federation.nodes[FACTORY].name.as_str()
    );
    assert_eq!(shown["bound_us"], 500_000);
    assert_eq!(shown["aggregate"]["share_ok"], 1.0, "{shown:#}");
    let peers = shown["peers"].as_array().unwrap();
    assert_eq!(peers.len(), 3);
    for peer in peers {
        let number = |key: &str| peer[key].as_i64().unwrap();
        assert!(number("lo_us") <= number("middle_us") && number("middle_us") <= number("hi_us"));
        assert!(number("n") >= 1 && number("min_rtt_us") >= 0 && number("window_us") >= 0);
        assert_eq!(
            (number("steps"), &peer["verdict"]),
            (0, &"ok".into()),
            "{peer}"
        );
    }
    let checked = federation
        .on(FACTORY, &["netcheck", "--json"])
        .expect(0)
        .json();
    assert_eq!(checked["ok"], true);
    assert_eq!(checked["members"].as_array().unwrap().len(), 3);
    for member in checked["members"].as_array().unwrap() {
        assert!(
            member["address"].as_str().unwrap().contains("127.0.0.1"),
            "{member}"
        );
        assert!(
            member["rtt_us"].is_u64() && member["lo_us"].is_i64(),
            "{member}"
        );
    }

    for (tower, off) in [(1, HOUR), (2, -HOUR)] {
        let name = federation.nodes[tower].name.clone();
        federation.nodes[tower].step_clock(off);
        let status = federation.wait(tower, "finds its clock wrong", |status| {
            is(status, "violated")
        });
        assert_eq!(own(&status)["may_ack"], false);
        let lo = own(&status)["lo_us"].as_i64().unwrap();
        assert!((lo / 1_000_000 - off).abs() < 5, "{status:#}");
        let before = status["mirrors"][0]["acked"].as_u64().unwrap();
        let last = federation.append(2);
        // Both others acked that, and they and the factory are right.
        for right in (0..federation.nodes.len()).filter(|one| *one != tower) {
            let _ = federation.wait(right, "goes on and sees who is wrong", |status| {
                is(status, "ok")
                    && (right == FACTORY || acked(status, last + 1))
                    && status["clock"]["falsetickers"] == Value::from(vec![name.as_str()])
            });
        }
        let status = federation.wait(tower, "mirrors", |status| {
            status["mirrors"][0]["held"].as_u64() > Some(last)
        });
        assert_eq!(
            status["mirrors"][0]["acked"].as_u64(),
            Some(before),
            "no ack"
        );
        assert!(federation.log(tower).contains("clock-violated"));
        let human = federation.on(tower, &["status"]).expect(0).stdout;
        assert!(human.contains("PROVEN WRONG"), "{human}");
        let checked = federation.on(FACTORY, &["netcheck"]).expect(0).stdout;
        assert!(checked.contains("(violated)"), "{checked}");
        let metrics = request(&federation.http(tower), "GET", "/metrics", &[], &[]).text();
        assert!(
            metrics.contains("belfry_alarms_total{kind=\"clock-violated\"} 1"),
            "{metrics}"
        );

        federation.nodes[tower].step_clock(0);
        let _ = federation.wait(tower, "is right again and acks", |status| {
            is(status, "ok") && own(status)["may_ack"] == true && acked(status, last + 1)
        });
        let _ = federation.wait(tower, "says so", |_| {
            federation.log(tower).contains("not proven wrong any more")
        });
    }
    belfry_tests::checks::assert_never_backwards(&federation.ack_lines());

    federation.kill(3);
    let away = federation.nodes[3].name.clone();
    let _ = federation.wait(FACTORY, "misses a tower", |status| {
        status["peers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|peer| peer["name"] == away.as_str() && peer["connected"] == false)
    });
    let ended = federation.on(FACTORY, &["netcheck"]).expect(30);
    assert!(
        ended.stdout.contains(&format!("{away:<32} not connected")),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stderr.contains(&format!("belfry peers show {away}")),
        "{}",
        ended.stderr
    );
}
