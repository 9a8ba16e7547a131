//! Bad disks and bad files: each has a clear error and a documented exit code, and nothing acknowledged is lost.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::{Node, foreign, lines};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn filled(count: u64) -> Node {
    let node = Node::new();
    let input = node.write("a.ndjson", lines(count));
    let _ = node.run(&["append", &input]).expect(0);
    node
}

#[test]
fn a_truncated_or_missing_tile_is_named() {
    let node = filled(1_000);
    let tile = node.dir().join("tiles/tile/0/001");
    let whole = fs::read(&tile).unwrap();
    fs::write(&tile, &whole[..100]).unwrap();
    let ended = node.run(&["ledger", "fsck"]).expect(24);
    assert!(ended.stdout.contains("tile/0/001"), "{ended:?}");
    fs::remove_file(&tile).unwrap();
    let ended = node.run(&["ledger", "fsck"]).expect(24);
    assert!(ended.stdout.contains("tile/0/001 is missing"), "{ended:?}");
    fs::write(&tile, [whole.as_slice(), b"more"].concat()).unwrap();
    let _ = node.run(&["ledger", "fsck"]).expect(24);
    fs::write(&tile, whole).unwrap();
    let _ = node.run(&["ledger", "fsck"]).expect(0);
}

#[test]
fn a_changed_entry_is_named() {
    let node = filled(1_000);
    let bundle = node.dir().join("tiles/tile/entries/002");
    let whole = fs::read(&bundle).unwrap();
    let mut changed = whole.clone();
    let at = changed
        .windows(8)
        .position(|eight| eight == b"line 600")
        .unwrap();
    changed[at + 7] = b'1';
    fs::write(&bundle, changed).unwrap();
    let ended = node.run(&["ledger", "fsck", "--json"]).expect(24);
    let problem = ended.json()["problems"][0].to_string();
    assert!(
        problem.contains("does not match its hash in tile/0/002"),
        "{problem}"
    );
}

#[test]
fn a_damaged_or_newer_database_is_refused() {
    let node = filled(10);
    let path = node.dir().join("ledger.db");
    let whole = fs::read(&path).unwrap();
    fs::write(
        &path,
        [b"this is no database".as_slice(), &whole[19..]].concat(),
    )
    .unwrap();
    let input = node.write("b.ndjson", lines(1));
    let ended = node.run(&["append", &input, "--json"]).expect(24);
    assert!(
        ended.error()["message"]
            .as_str()
            .unwrap()
            .contains("damaged"),
        "{ended:?}"
    );
    fs::write(&path, &whole).unwrap();
    let newer = format!(
        "import sqlite3; c=sqlite3.connect({path:?}); c.execute(\"insert into refinery_schema_history values (99,'x','2026','1')\"); c.commit()"
    );
    let made = Command::new("python3").args(["-c", &newer]).output();
    if made.is_ok_and(|output| output.status.success()) {
        let ended = node.run(&["append", &input]).expect(14);
        assert!(ended.stderr.contains("newer belfry"), "{ended:?}");
    }
}

#[test]
fn a_rolled_back_database_is_not_signed_on() {
    let node = filled(300);
    let old = fs::read(node.dir().join("ledger.db")).unwrap();
    let more = node.write("b.ndjson", lines(1_000));
    let _ = node.run(&["append", &more]).expect(0);
    fs::write(node.dir().join("ledger.db"), old).unwrap();
    let _ = fs::remove_file(node.dir().join("ledger.db-wal"));
    let _ = fs::remove_file(node.dir().join("ledger.db-shm"));
    let ended = node.run(&["append", &more]).expect(23);
    assert!(ended.stderr.contains("older than tiles/"), "{ended:?}");
}

#[test]
fn a_rolled_back_or_lost_database_beside_payloads_is_noticed() {
    let node = filled(10);
    let copy = |name: &str| fs::read(node.dir().join(name)).unwrap();
    let old = copy("ledger.db");
    for _ in 0..2 {
        let _ = node
            .run_with_input(&["append", "-", "--private"], &lines(5))
            .expect(0);
    }
    let newest = copy("ledger.db");
    fs::write(node.dir().join("ledger.db"), old).unwrap();
    let input = node.write("b.ndjson", lines(1));
    let ended = node.run(&["append", &input]).expect(23);
    assert!(ended.stderr.contains("rolled back"), "{ended:?}");
    fs::remove_file(node.dir().join("ledger.db")).unwrap();
    let ended = node.run(&["append", &input]).expect(23);
    assert!(ended.stderr.contains("is missing"), "{ended:?}");
    fs::write(node.dir().join("ledger.db"), newest).unwrap();
    let _ = node.run(&["ledger", "fsck"]).expect(0);
}

#[test]
fn a_ledger_whose_rows_were_changed_refuses_to_start() {
    let node = filled(10);
    let path = node.dir().join("ledger.db");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(6).position(|six| six == b"line 5").unwrap();
    bytes[at + 5] = b'6';
    fs::write(&path, bytes).unwrap();
    let input = node.write("b.ndjson", lines(1));
    let ended = node.run(&["append", &input]).expect(24);
    assert!(
        ended.stderr.contains("right edge") && ended.stderr.contains("fsck"),
        "{ended:?}"
    );
    let _ = node.run(&["ledger", "fsck"]).expect(24);
}

#[test]
fn an_erasure_is_answered_only_when_the_key_is_gone() {
    use std::io::{BufRead, BufReader};
    let node = Node::new();
    let made = node
        .run_with_input(&["append", "-", "--private", "--json"], &lines(1))
        .expect(0)
        .json();
    let index = made["first"].to_string();
    let path = node.dir().join("payloads.db");
    let script = format!(
        "import sqlite3; c=sqlite3.connect({path:?}, isolation_level=None); c.execute('begin'); \
         c.execute('select count(*) from payload').fetchone(); print('reading', flush=True); input()"
    );
    let reader = Command::new("python3")
        .args(["-c", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Some(mut reader) =
        foreign("python3", reader.is_ok().then(|| "python3".into())).and(reader.ok())
    else {
        return;
    };
    let mut line = String::new();
    BufReader::new(reader.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.trim(), "reading");
    let early = node.run(&["erase", &index, "--confirm", &index]);
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert_eq!(early.code, 3, "{early:?}");
    assert!(early.stderr.contains("not destroyed yet"), "{early:?}");
    // The next start tries again.
    let _ = node.run_with_input(&["append", "-"], b"1\n").expect(0);
    let gone = node.run(&["ledger", "get", &index, "--payload"]).expect(1);
    assert!(gone.stderr.contains("was erased"), "{gone:?}");
    let _ = node.run(&["ledger", "fsck"]).expect(0);
}

#[test]
fn no_digest_precedes_the_solo_statement() {
    let node = Node::empty();
    let _ = node
        .run(&["init", "--name", Node::NAME, "--plain-keys", "--federated"])
        .expect(0);
    let input = node.write("a.ndjson", lines(700));
    let _ = node.run(&["append", &input]).expect(0);
    let config = node.dir().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("allow_solo = false", "allow_solo = true"),
    )
    .unwrap();
    let one = node.run_with_input(&["append", "-"], b"1\n").expect(0);
    assert!(one.stdout.contains("signed"), "{one:?}");
    let entries = node.run(&["ledger", "tail", "-n", "2000"]).expect(0).stdout;
    let solo = entries
        .lines()
        .find(|line| line.contains("\"kind\":\"solo\""))
        .unwrap();
    let solo: u64 = solo.split(' ').next().unwrap().parse().unwrap();
    let path = node.dir().join("ledger.db");
    let query = format!(
        "import sqlite3; print(sqlite3.connect({path:?}).execute('select min(size) from digest').fetchone()[0])"
    );
    let asked = Command::new("python3").args(["-c", &query]).output();
    let Some(asked) = foreign("python3", asked.is_ok().then(|| "python3".into())).and(asked.ok())
    else {
        return;
    };
    let smallest: u64 = String::from_utf8_lossy(&asked.stdout)
        .trim()
        .parse()
        .unwrap();
    assert!(
        smallest > solo,
        "the digest of size {smallest} is older than the solo entry {solo}"
    );
}

#[test]
fn key_files_are_guarded() {
    let node = filled(3);
    let input = node.write("b.ndjson", lines(1));
    let keys = node.dir().join("keys");
    let secret = fs::read_dir(&keys)
        .unwrap()
        .flatten()
        .map(|item| item.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "key"))
        .unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = node.run(&["append", &input, "--json"]).expect(12);
    assert!(
        ended.error()["message"]
            .as_str()
            .unwrap()
            .contains("chmod 600"),
        "{ended:?}"
    );
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let whole = fs::read(&secret).unwrap();
    let mut damaged = whole.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    fs::write(&secret, damaged).unwrap();
    let _ = node.run(&["append", &input]).expect(12);
    fs::write(&secret, whole).unwrap();
    let _ = node.run(&["append", &input]).expect(0);
}

#[test]
fn a_passphrase_is_needed_where_keys_are_encrypted() {
    let node = Node::empty();
    let none = node
        .run(&["init", "--name", Node::NAME, "--json"])
        .expect(12);
    assert!(
        none.error()["hint"]
            .as_str()
            .unwrap()
            .contains("--passphrase-file"),
        "{none:?}"
    );
    let (right, wrong) = (
        node.write("right", "correct horse\n"),
        node.write("wrong", "battery staple\n"),
    );
    let _ = node
        .run(&["init", "--name", Node::NAME, "--passphrase-file", &right])
        .expect(0);
    let input = node.write("a.ndjson", lines(2));
    let _ = node
        .run(&["append", &input, "--passphrase-file", &right])
        .expect(0);
    let _ = node
        .run(&["append", &input, "--passphrase-file", &wrong])
        .expect(12);
    let _ = node.run(&["append", &input]).expect(12);
    let _ = node.run(&["ledger", "fsck"]).expect(0);
    let _ = node.run(&["ledger", "prove", "0"]).expect(0);
}

#[test]
fn an_unwritable_directory_says_so() {
    let node = filled(3);
    // Root writes anywhere, so a plain file stands where the directory should be.
    let run = node.dir().join("run");
    fs::remove_dir_all(&run).unwrap();
    fs::write(&run, "").unwrap();
    let input = node.write("b.ndjson", lines(1));
    let ended = node.run(&["append", &input, "--json"]).expect(74);
    assert!(
        ended.error()["hint"].as_str().unwrap().contains("writable"),
        "{ended:?}"
    );
}

/// A file system of a few MiB, if this user may mount one.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: std::path::PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&at)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at));
        }
        eprintln!("SKIPPED: this user may not mount a small tmpfs, so a full disk cannot be shown");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_recovers() {
    let node = Node::empty();
    let Some(disk) = SmallDisk::mount(node.dir(), "96m") else {
        return;
    };
    let _ = node
        .run(&["init", "--name", Node::NAME, "--plain-keys"])
        .expect(0);
    let big: Vec<u8> = (0..100_000)
        .flat_map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "y".repeat(200)).into_bytes())
        .collect();
    let input = node.write("big.ndjson", big);
    let full = node
        .run(&["append", &input, "--dedupe", "--json"])
        .expect(74);
    let error = full.error();
    assert!(
        error["message"].as_str().unwrap().contains("free"),
        "{error}"
    );
    let before = node.json(&["ledger", "fsck"]);
    assert_eq!(before["clean"], true);
    let grown = Command::new("mount")
        .args(["-o", "remount,size=400m"])
        .arg(&disk.0)
        .output()
        .unwrap();
    assert!(grown.status.success(), "{grown:?}");
    let rest = node.json(&["append", &input, "--dedupe"]);
    let total = rest["appended"].as_u64().unwrap() + rest["known"].as_u64().unwrap();
    assert_eq!(
        total, 100_000,
        "with room again, the same command appends the rest and nothing twice"
    );
    let _ = node.run(&["ledger", "fsck"]).expect(0);
}

#[test]
fn notes_with_other_spellings_are_refused() {
    let node = filled(5);
    let key = node.write("log.vkey", node.run(&["key", "export"]).expect(0).stdout);
    let receipt = node.run(&["ledger", "prove", "4"]).expect(0).stdout;
    let verify = |name: &str, text: &str| {
        let file = node.write(name, text);
        belfry_tests::run(&["audit", "verify", &file, "--key", &key])
    };
    let receipt = format!("{}\n", receipt.trim_end_matches('\n'));
    let _ = verify("good", &receipt).expect(0);
    for (name, text) in [
        ("crlf", receipt.replace('\n', "\r\n")),
        ("number", receipt.replace("index 4", "index 04")),
        ("base64", receipt.replacen('=', "", 1)),
        ("truncated", receipt[..receipt.len() - 10].to_owned()),
        ("foreign", receipt.replace("— test", "— best")),
    ] {
        let ended = verify(name, &text);
        assert_eq!(ended.code, 20, "{name}: {ended:?}");
    }
}
