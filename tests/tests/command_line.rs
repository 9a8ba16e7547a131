//! The command line as a user sees it: results, errors, exit codes.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::{Node, lines, run};
use serde_json::json;
use std::fs;

#[test]
fn the_first_steps_of_the_readme() {
    let node = Node::new();
    fs::create_dir(node.beside("shop")).unwrap();
    node.write("shop/a.txt", "hello");
    node.write("shop/b.rs", "fn main() {}");
    let shop = node.beside("shop").to_string_lossy().into_owned();
    let appended = node.json(&["append", &shop, "--wait", "signed"]);
    assert_eq!(
        (&appended["appended"], &appended["stage"]),
        (&json!(2), &json!("signed"))
    );
    let index = appended["first"].to_string();
    let entry = node.json(&["ledger", "get", &index]);
    assert_eq!(entry["entry"]["body"]["path"], "a.txt");
    assert_eq!(
        entry["entry"]["body"]["sha256"],
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
    let receipt = node.beside("r.tlog-proof").to_string_lossy().into_owned();
    let _ = node
        .run(&["ledger", "prove", &index, "--out", &receipt])
        .expect(0);
    let key = node.write("log.vkey", node.run(&["key", "export"]).expect(0).stdout);
    let verified = run(&["audit", "verify", &receipt, "--key", &key, "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (&verified["ok"], &verified["entry"]["body"]["path"]),
        (&json!(true), &json!("a.txt"))
    );
    let export = node.beside("export").to_string_lossy().into_owned();
    let _ = node.run(&["ledger", "export", &export]).expect(0);
    let _ = run(&["audit", "verify", &export, "--key", &key, "--strict"]).expect(0);
    let consistency = node.json(&["ledger", "consistency", "1"]);
    assert_eq!(
        consistency["new_size"],
        appended["last"].as_u64().unwrap() + 1
    );
    let _ = node.run(&["ledger", "fsck"]).expect(0);
}

#[test]
fn running_it_twice_with_dedupe_appends_nothing_twice() {
    let node = Node::new();
    let mut text = lines(700);
    text.extend_from_slice(&lines(3));
    let file = node.write("a.ndjson", &text);
    let first = node.json(&["append", &file, "--dedupe"]);
    assert_eq!(
        (&first["appended"], &first["known"]),
        (&json!(703), &json!(0)),
        "equal lines are two lines"
    );
    let again = node.json(&["append", &file, "--dedupe"]);
    assert_eq!(
        (&again["appended"], &again["known"]),
        (&json!(0), &json!(703))
    );
    text.extend_from_slice(b"{\"n\":\"more\"}\n");
    node.write("a.ndjson", &text);
    let more = node.json(&["append", &file, "--dedupe"]);
    assert_eq!(
        (&more["appended"], &more["known"]),
        (&json!(1), &json!(703))
    );
    let _ = node.run(&["ledger", "fsck"]).expect(0);
}

#[test]
fn equal_lines_of_other_tenants_and_files_are_other_lines() {
    let node = Node::new();
    let file = node.write("a.ndjson", lines(3));
    fs::create_dir(node.beside("sub")).unwrap();
    let other = node.write("sub/a.ndjson", lines(3));
    for args in [
        ["append", &file, "--dedupe", "--tenant", "a"],
        ["append", &file, "--dedupe", "--tenant", "b"],
        ["append", &other, "--dedupe", "--tenant", "a"],
    ] {
        assert_eq!(node.json(&args)["appended"], 3, "{args:?}");
    }
}

#[test]
fn an_input_that_stays_open_is_appended_as_it_comes() {
    use std::io::Write;
    let node = Node::new();
    let before = node.json(&["ledger", "head"])["size"].as_u64().unwrap();
    let mut child = node
        .command(&["append", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&lines(2)).unwrap();
    let arrived = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        node.json(&["ledger", "head"])["size"].as_u64().unwrap() >= before + 2
    });
    assert!(arrived, "two lines are appended while the input is open");
    stdin.write_all(b"not json\n").unwrap();
    assert_eq!(
        child.wait().unwrap().code(),
        Some(3),
        "a refused line ends it, although the input is open"
    );
}

#[test]
fn a_second_export_never_writes_into_the_ledger() {
    let node = Node::new();
    let file = node.write("a.ndjson", lines(1_000));
    let _ = node.run(&["append", &file]).expect(0);
    let export = node.beside("export").to_string_lossy().into_owned();
    let _ = node.run(&["ledger", "export", &export]).expect(0);
    let _ = node.run(&["ledger", "export", &export]).expect(0);
    let tile = node.beside("export/tile/0/000");
    fs::remove_file(&tile).unwrap();
    fs::write(&tile, b"other").unwrap();
    let refused = node.run(&["ledger", "export", &export]).expect(1);
    assert!(refused.stderr.contains("other content"), "{refused:?}");
    let _ = node.run(&["ledger", "fsck"]).expect(0);
}

#[test]
fn a_bad_line_names_its_number_and_stops_or_not() {
    let node = Node::new();
    let file = node.write(
        "bad.ndjson",
        "{\"a\":1}\n{\"a\":2}\nnot json\n{\"a\":3}\n{\"a\":1,\"a\":2}\n",
    );
    let stopped = node.run(&["append", &file, "--json"]).expect(3);
    assert_eq!(
        (&stopped.json()["appended"], &stopped.json()["stopped"]),
        (&json!(2), &json!(true))
    );
    assert!(
        stopped.stderr.contains("line 3: not valid JSON"),
        "{stopped:?}"
    );
    assert_eq!(stopped.error()["code"], 3);
    let on = node
        .run(&["append", &file, "--on-error", "continue", "--json"])
        .expect(3);
    assert_eq!(
        (&on.json()["appended"], &on.json()["rejected_count"]),
        (&json!(3), &json!(2))
    );
    assert!(
        on.stderr.contains("line 5") && on.stderr.contains("duplicate key"),
        "{on:?}"
    );
}

#[test]
fn bad_entries_are_refused_with_a_reason() {
    let node = Node::new();
    let long = format!("{{\"a\":\"{}\"}}\n", "x ".repeat(40_000));
    let deep = format!("{}{}\n", "[".repeat(100), "]".repeat(100));
    for (input, word) in [
        (long.as_bytes(), "the limit is 65,535"),
        (b"{\"a\":\"\xff\"}\n".as_slice(), "JSON"),
        (deep.as_bytes(), "nested deeper"),
        (b"{\"a\":9007199254740993}\n".as_slice(), "beyond 2^53"),
    ] {
        let ended = node.run_with_input(&["append", "-"], input).expect(3);
        assert!(
            ended.stderr.contains(word) && ended.stderr.contains("line 1"),
            "{word}: {ended:?}"
        );
    }
    let reserved = node
        .run_with_input(&["append", "-", "--kind", "solo"], b"{}\n")
        .expect(2);
    assert!(reserved.stderr.contains("reserved"), "{reserved:?}");
}

#[test]
fn private_entries_can_be_read_and_erased() {
    let node = Node::new();
    let input = b"{\"patient\":\"Jane\"}\n";
    let appended = node
        .run_with_input(&["append", "-", "--kind", "audit.event", "--json"], input)
        .expect(0)
        .json();
    let index = appended["first"].to_string();
    let shown = node.json(&["ledger", "get", &index, "--payload"]);
    assert_eq!(shown["payload"]["patient"], "Jane");
    assert!(shown["entry"].get("body").is_none() && shown["entry"]["commit"]["len"] == 256);
    let unsure = node.run(&["erase", &index]).expect(2);
    assert!(unsure.stderr.contains("--confirm"), "{unsure:?}");
    let erased = node.json(&["erase", &index, "--confirm", &index]);
    let gone = node.run(&["ledger", "get", &index, "--payload"]).expect(1);
    assert!(
        gone.stderr
            .contains(&format!("see entry {}", erased["erase_entry"])),
        "{gone:?}"
    );
    let twice = node.run(&["erase", &index, "--confirm", &index]).expect(1);
    assert!(twice.stderr.contains("erased before"), "{twice:?}");
    let files = ["payloads.db", "payloads.db-wal"]
        .map(|name| fs::read(node.dir().join(name)).unwrap_or_default());
    assert!(
        files
            .iter()
            .all(|bytes| !bytes.windows(4).any(|four| four == b"Jane"))
    );
    let _ = node.run(&["ledger", "fsck"]).expect(0);
    let public = node.run(&["erase", "0", "--confirm", "0"]).expect(1);
    assert!(public.stderr.contains("public"), "{public:?}");
}

#[test]
fn a_directory_without_a_node_and_one_in_use() {
    let empty = Node::empty();
    let missing = empty.run(&["status", "--json"]).expect(10);
    assert_eq!(missing.error()["kind"], "not-initialised");
    let node = Node::new();
    let again = node
        .run(&["init", "--name", "x.example/y", "--plain-keys"])
        .expect(1);
    assert!(again.stderr.contains("never overwrites"), "{again:?}");
    let served = node.serve();
    let second = node.run(&["run", "--allow-solo", "--json"]).expect(11);
    assert_eq!(second.error()["kind"], "locked");
    assert_eq!(served.stop(), 0);
}

#[test]
fn usage_errors_are_json_where_json_was_asked_for() {
    let ended = run(&["ledger", "get", "x", "--json"]).expect(2);
    assert_eq!(
        (&ended.error()["type"], &ended.error()["code"]),
        (&json!("error"), &json!(2))
    );
    let ended = run(&["no-such-command"]).expect(2);
    assert!(ended.stderr.contains("no-such-command"), "{ended:?}");
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = [
        "init",
        "append",
        "erase",
        "run",
        "status",
        "wait",
        "doctor",
        "netcheck",
        "clock confirm",
        "peers list",
        "demo",
        "ledger head",
        "ledger get",
        "ledger prove",
        "ledger consistency",
        "ledger tail",
        "ledger fsck",
        "ledger export",
        "ledger reindex",
        "audit verify",
        "key list",
        "key export",
        "token create",
        "token list",
        "token revoke",
        "config show",
        "config validate",
        "completions",
        "man",
        "version",
    ];
    for command in commands {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = run(&args).expect(0).stdout;
        assert!(
            help.contains("Example") && help.contains("belfry "),
            "{command}: {help}"
        );
    }
}

#[test]
fn dry_runs_change_nothing() {
    let node = Node::new();
    let before = node.json(&["ledger", "head"]);
    let file = node.write("a.ndjson", lines(3));
    let _ = node.run(&["append", &file, "--dry-run"]).expect(0);
    let _ = node
        .run(&["token", "create", "--scope", "append", "--dry-run"])
        .expect(0);
    let (out, dir) = (node.beside("out"), node.beside("receipts"));
    let (out_text, dir_text) = (out.to_string_lossy(), dir.to_string_lossy());
    let receipts = ["--wait", "signed", "--receipts", &dir_text];
    let append = [&["append", &file, "--dry-run"][..], &receipts].concat();
    let said = node.run(&append).expect(0).stdout;
    assert!(said.contains(&*dir_text), "{said}");
    let said = node
        .run(&["ledger", "prove", "0", "--out", &out_text, "--dry-run"])
        .expect(0)
        .stdout;
    assert!(
        said.contains("would write") && said.contains(&*out_text),
        "{said}"
    );
    let _ = node.run(&["man", &out_text, "--dry-run"]).expect(0);
    assert!(!out.exists() && !dir.exists());
    assert_eq!(node.json(&["ledger", "head"]), before);
    assert_eq!(node.json(&["token", "list"])["tokens"], json!([]));
    let other = Node::empty();
    let _ = other
        .run(&["init", "--name", "x.example/y", "--plain-keys", "--dry-run"])
        .expect(0);
    assert!(!other.dir().exists());
}

#[test]
fn an_unfounded_node_appends_and_signs_nothing() {
    let node = Node::empty();
    let _ = node
        .run(&["init", "--name", Node::NAME, "--plain-keys", "--federated"])
        .expect(0);
    let file = node.write("a.ndjson", lines(3));
    assert_eq!(node.json(&["append", &file])["stage"], "durable");
    let waited = node
        .run(&["append", &file, "--wait", "signed", "--json"])
        .expect(21);
    assert_eq!(waited.error()["kind"], "quorum-not-met");
    let _ = node.run(&["ledger", "prove", "0"]).expect(21);
    let _ = node.run(&["run"]).expect(23);
}

#[test]
fn configuration_mistakes_name_line_and_remedy() {
    let node = Node::new();
    let path = node.dir().join("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("listen =", "lisen =")).unwrap();
    let ended = node.run(&["config", "validate", "--json"]).expect(13);
    let error = ended.error();
    assert!(
        error["message"].as_str().unwrap().contains("http.lisen"),
        "{error}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("http.listen"),
        "{error}"
    );
    fs::write(&path, text).unwrap();
    let shown = node.run(&["config", "show", "--origin"]).expect(0).stdout;
    assert!(
        shown.contains("config.toml line") && shown.contains("# default"),
        "{shown}"
    );
}

#[test]
fn a_restored_directory_and_newer_data_are_refused() {
    let node = Node::new();
    fs::write(node.dir().join("RESTORED"), "").unwrap();
    let file = node.write("a.ndjson", lines(1));
    let _ = node.run(&["append", &file]).expect(23);
    fs::remove_file(node.dir().join("RESTORED")).unwrap();
    let _ = node.run(&["append", &file]).expect(0);
}

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "fish", "zsh"] {
        assert!(
            run(&["completions", shell])
                .expect(0)
                .stdout
                .contains("belfry")
        );
    }
    let node = Node::empty();
    let dir = node.beside("man").to_string_lossy().into_owned();
    let _ = run(&["man", &dir]).expect(0);
    assert!(
        fs::read_to_string(node.beside("man/belfry-append.1"))
            .unwrap()
            .contains("NDJSON")
    );
}
