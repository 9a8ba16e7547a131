//! The HTTP surface as clients meet it: tiles, the append API, tokens, errors.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::{Node, Served, lines, run};
use serde_json::json;

fn token(node: &Node, scope: &str, tenant: Option<&str>) -> String {
    let mut args = vec!["token", "create", "--scope", scope];
    args.extend(tenant.into_iter().flat_map(|tenant| ["--tenant", tenant]));
    format!("Bearer {}", node.json(&args)["token"].as_str().unwrap())
}

fn post(
    served: &Served,
    bearer: &str,
    kind: &str,
    key: Option<&str>,
    body: &[u8],
) -> belfry_tests::Answer {
    let mut headers = vec![("authorization", bearer), ("content-type", kind)];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    served.request("POST", "/api/v1/entries?wait=signed", &headers, body)
}

#[test]
fn a_node_on_its_own_has_no_clock_to_compare_with_and_no_window() {
    let node = Node::new();
    let served = node.serve();
    let skew = served.get("/api/v1/skew");
    assert_eq!(skew.status, 404, "{}", skew.text());
    assert!(skew.text().contains("no federation"), "{}", skew.text());
    let window = served.get(&format!("/api/v1/windows/{}", "0".repeat(64)));
    assert_eq!(window.status, 404);
}

#[test]
fn a_served_ledger_verifies_from_outside() {
    let node = Node::new();
    let input = node.write("a.ndjson", lines(1_000));
    let _ = node.run(&["append", &input]).expect(0);
    let config = node.dir().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("public = false", "public = true")).unwrap();
    let key = node.run(&["key", "export"]).expect(0).stdout;
    let served = node.serve();
    let verified = run(&[
        "audit",
        "verify",
        &served.address,
        "--key",
        key.trim(),
        "--strict",
        "--json",
    ])
    .expect(0);
    assert!(verified.json()["size"].as_u64().unwrap() > 1_000);
    let checkpoint = served.get("/checkpoint");
    assert!(
        checkpoint.head.contains("text/plain; charset=utf-8"),
        "{checkpoint:?}"
    );
    assert!(checkpoint.text().starts_with(Node::NAME));
    let tile = served.get("/tile/0/000");
    assert_eq!((tile.status, tile.body.len()), (200, 8_192));
    assert!(
        tile.head.contains("immutable") && tile.head.contains("application/octet-stream"),
        "{}",
        tile.head
    );
    for path in [
        "/tile/0/000.p/256",
        "/tile/0/999",
        "/tile/00/000",
        "/tile/0/../0/000",
        "/tile/9/000",
        "/nothing",
    ] {
        let answer = served.get(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(
            answer.head.contains("application/problem+json"),
            "{path}: {}",
            answer.head
        );
    }
    let receipt = served.get("/api/v1/receipts/5");
    let file = node.write("r.tlog-proof", &receipt.body);
    let _ = run(&["audit", "verify", &file, "--key", key.trim()]).expect(0);
    assert_eq!(served.stop(), 0);
}

#[test]
fn entry_bundles_need_a_token_unless_public() {
    let node = Node::new();
    let input = node.write("a.ndjson", lines(300));
    let _ = node.run(&["append", &input]).expect(0);
    let (all, append) = (token(&node, "read-all", None), token(&node, "append", None));
    let served = node.serve();
    assert_eq!(
        served.get("/tile/0/000").status,
        200,
        "hash tiles are always public"
    );
    assert_eq!(served.get("/tile/entries/000").status, 401);
    let with = |bearer: &str| {
        served.request(
            "GET",
            "/tile/entries/000",
            &[("authorization", bearer)],
            &[],
        )
    };
    assert_eq!(
        (with(&append).status, with("Bearer wrong").status),
        (403, 401)
    );
    let answer = with(&all);
    assert!(
        answer.status == 200 && answer.head.contains("private"),
        "{}",
        answer.head
    );
}

#[test]
fn appending_is_idempotent_and_bound_to_its_tenant() {
    let node = Node::new();
    let acme = token(&node, "append", Some("acme"));
    let served = node.serve();
    let one = br#"{"kind":"audit.event","source":"door","body":{"open":true}}"#;
    let first = post(&served, &acme, "application/json", Some("k1"), one);
    assert_eq!(
        (first.status, &first.json()["stage"]),
        (201, &json!("signed")),
        "{first:?}"
    );
    let again = post(&served, &acme, "application/json", Some("k1"), one);
    assert_eq!(
        (again.status, &again.json()["first"]),
        (200, &first.json()["first"]),
        "{again:?}"
    );
    let other = br#"{"kind":"audit.event","source":"door","body":{"open":false}}"#;
    let conflict = post(&served, &acme, "application/json", Some("k1"), other);
    assert_eq!(conflict.status, 422, "{conflict:?}");
    let foreign = br#"{"tenant":"globex","body":1}"#;
    assert_eq!(
        post(&served, &acme, "application/json", None, foreign).status,
        422
    );
    let answer = served.request(
        "POST",
        "/api/v1/entries?tenant=globex",
        &[
            ("authorization", &acme),
            ("content-type", "application/json"),
        ],
        b"{\"body\":1}",
    );
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[test]
fn an_ndjson_request_is_all_or_nothing() {
    let node = Node::new();
    let bearer = token(&node, "append", None);
    let served = node.serve();
    let before = served.get("/checkpoint").text();
    let bad = b"{\"body\":1}\n{\"body\":2,\"body\":3}\n{\"body\":4}\n";
    let refused = post(&served, &bearer, "application/x-ndjson", None, bad);
    assert_eq!(refused.status, 422);
    assert!(
        refused.text().contains("line 2") && refused.text().contains("nothing was appended"),
        "{refused:?}"
    );
    assert_eq!(served.get("/checkpoint").text(), before);
    let good = post(
        &served,
        &bearer,
        "application/x-ndjson",
        Some("u"),
        b"{\"body\":1}\n\n{\"body\":2}\n",
    );
    assert_eq!(
        (good.status, &good.json()["appended"]),
        (201, &json!(2)),
        "{good:?}"
    );
    let again = post(
        &served,
        &bearer,
        "application/x-ndjson",
        Some("u"),
        b"{\"body\":1}\n\n{\"body\":2}\n",
    );
    assert_eq!((again.status, &again.json()["known"]), (200, &json!(2)));
}

#[test]
fn bad_requests_have_clear_answers() {
    let node = Node::new();
    let bearer = token(&node, "append", None);
    let revoked = token(&node, "append", None);
    let id = node.json(&["token", "list"])["tokens"][1]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let _ = node.run(&["token", "revoke", &id[..8]]).expect(0);
    let served = node.serve();
    let cases: [(&str, &str, &[u8], u16, &str); 7] = [
        (&bearer, "text/plain", b"x", 415, "application/x-ndjson"),
        (&bearer, "application/json", b"{", 422, "JSON"),
        (&bearer, "application/json", b"{}", 422, "body"),
        (&bearer, "application/json", b"[1]", 422, "object"),
        (
            &bearer,
            "application/json",
            b"{\"body\":1,\"colour\":2}",
            422,
            "unknown field",
        ),
        (
            &bearer,
            "application/json",
            b"{\"kind\":\"genesis.vote\",\"body\":1}",
            422,
            "reserved",
        ),
        (
            "Bearer nothing",
            "application/json",
            b"{\"body\":1}",
            401,
            "unknown, expired or revoked",
        ),
    ];
    for (bearer, kind, body, status, word) in cases {
        let answer = post(&served, bearer, kind, None, body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.text().contains(word), "{word}: {answer:?}");
    }
    let statuses = [&revoked, &bearer]
        .map(|b| post(&served, b, "application/json", None, b"{\"body\":1}").status);
    for (method, path, status) in [
        ("POST", "/api/v1/entries?nope=1", 400),
        ("GET", "/api/v1/entries/abc", 404),
    ] {
        let answer = served.request(method, path, &[("authorization", &bearer)], b"{}");
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(
            answer.head.contains("application/problem+json"),
            "{answer:?}"
        );
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 401).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        served.request("DELETE", "/checkpoint", &[], &[]).status,
        405
    );
    assert_eq!(
        served.request("POST", "/control/erase/0", &[], &[]).status,
        404,
        "control is not on TCP"
    );
}

#[test]
fn health_and_metrics() {
    let node = Node::new();
    let served = node.serve();
    assert_eq!(
        (served.get("/livez").status, served.get("/readyz").status),
        (200, 200)
    );
    let metrics = served.get("/metrics");
    let text = metrics.text();
    assert!(
        metrics.head.contains("openmetrics-text"),
        "{}",
        metrics.head
    );
    for name in [
        "belfry_ledger_entries ",
        "belfry_ledger_signed_entries ",
        "belfry_http_requests_total{",
        "# EOF",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[test]
fn commands_let_a_running_node_do_the_work() {
    let node = Node::new();
    let served = node.serve();
    let input = node.write("a.ndjson", lines(3_000));
    let appended = node.json(&["append", &input, "--dedupe"]);
    assert_eq!(appended["appended"], 3_000);
    assert_eq!(node.json(&["append", &input, "--dedupe"])["known"], 3_000);
    assert_eq!(node.json(&["status"])["running"], true);
    let bad = node.write("bad.ndjson", "{}\nnope\n{}\n");
    let refused = node.run(&["append", &bad]).expect(3);
    assert!(refused.stderr.contains("line 2"), "{refused:?}");
    let private = node
        .run_with_input(&["append", "-", "--private", "--json"], b"{\"a\":1}\n")
        .expect(0)
        .json();
    let index = private["first"].to_string();
    let _ = node.run(&["erase", &index, "--confirm", &index]).expect(0);
    let _ = node.run(&["ledger", "fsck"]).expect(0);
    let offline = node.run(&["ledger", "fsck", "--offline"]).expect(11);
    assert!(offline.stderr.contains("another process"), "{offline:?}");
    assert_eq!(served.stop(), 0);
    let _ = node.run(&["ledger", "fsck", "--offline"]).expect(0);
}

#[test]
fn a_refusal_reaches_a_caller_that_still_sends() {
    let node = Node::new();
    let served = node.serve();
    // Far more than any buffer between the two holds.
    let mut bad = b"{}\nnope\n".to_vec();
    bad.extend(lines(300_000));
    let input = node.write("bad.ndjson", bad);
    for _ in 0..5 {
        let refused = node.run(&["append", &input]).expect(3);
        assert!(refused.stderr.contains("line 2"), "{refused:?}");
    }
    assert_eq!(served.stop(), 0);
}

#[test]
fn a_reload_applies_what_it_can_and_keeps_the_old_on_error() {
    let node = Node::new();
    let input = node.write("a.ndjson", lines(300));
    let _ = node.run(&["append", &input]).expect(0);
    let served = node.serve();
    let config = node.dir().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let wait_for = |status: u16| {
        (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            served.get("/tile/entries/000").status == status
        })
    };
    std::fs::write(&config, text.replace("public = false", "public = true")).unwrap();
    served.signal("HUP");
    assert!(wait_for(200));
    std::fs::write(&config, "nonsense = [").unwrap();
    served.signal("HUP");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(served.get("/tile/entries/000").status, 200);
    std::fs::write(&config, text).unwrap();
    served.signal("HUP");
    assert!(wait_for(401));
}
