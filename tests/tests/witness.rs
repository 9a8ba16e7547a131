//! A tower as witness and mirror over HTTP, as the real binary does it: statuses and headers to the letter, races, restarts,
//! the monitoring paths, and what operators see.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_keys::Purpose;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature;
use belfry_protocol::note::{SignedNote, VerifierKey};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::{Hash, leaf_hash, sha256};
use belfry_protocol::witness::{parse_conflict, parse_cosignatures};
use belfry_tests::federation::{FACTORY, Federation, PATIENCE};
use belfry_tests::logs::{SmallLog, root};
use belfry_tests::{Answer, request};
use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

const TOWER: usize = 1;

/// Adds to a node's configuration.
fn configure(federation: &Federation, node: usize, text: &str) {
    let path = federation.nodes[node].dir.join("config.toml");
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn ask(federation: &Federation, body: &str) -> Answer {
    let address = federation.http(TOWER);
    request(&address, "POST", "/add-checkpoint", &[], body.as_bytes())
}

fn get(federation: &Federation, path: &str) -> Answer {
    request(&federation.http(TOWER), "GET", path, &[], &[])
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(one, _)| one.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

fn hash_of(origin: &str) -> String {
    sha256(origin.as_bytes()).to_hex()
}

/// The tower's keys: ack and mirror.
fn keys(federation: &Federation) -> (VerifierKey, VerifierKey) {
    let keys = federation.keys(TOWER);
    let of = |purpose| keys.current().key(purpose).verifier().clone();
    (of(Purpose::Ack), of(Purpose::Mirror))
}

/// Which of the tower's keys signed, and when; whatever else is in the answer fails.
fn cosigned(
    federation: &Federation,
    note: &SignedNote,
    answer: &Answer,
) -> (Option<u64>, Option<u64>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = parse_cosignatures(&answer.body).unwrap();
    let (ack, mirror) = keys(federation);
    let time = |key: &VerifierKey| {
        let line = lines.iter().find(|line| line.key_id() == key.key_id())?;
        Some(cosignature::verify(note.text(), line, key).unwrap())
    };
    let found = (time(&ack), time(&mirror));
    let count = usize::from(found.0.is_some()) + usize::from(found.1.is_some());
    assert_eq!(lines.len(), count, "{}", answer.text());
    found
}

#[test]
fn logs_of_others_are_cosigned_to_the_letter() {
    let federation = Federation::found(3);
    let log = SmallLog::new("log.example/one", "entry", 40);
    let listed = SmallLog::new("listed.example", "entry", 3);
    configure(
        &federation,
        TOWER,
        &format!(
            "\n[witness]\nlogs = [\n  \"{}\",\n]\nlog_list = \"logs.txt\"\n",
            log.vkey()
        ),
    );
    let list = federation.nodes[TOWER].dir.join("logs.txt");
    let entry = |log: &SmallLog| format!("vkey {}\nqpd 86400\ncontact nobody\n", log.vkey());
    std::fs::write(&list, format!("logs/v0\n{}", entry(&listed))).unwrap();
    federation.start_all();

    let path = format!("/{}/checkpoint", hash_of(&log.origin));
    assert_eq!(
        get(&federation, &path).status,
        404,
        "nothing was cosigned yet"
    );
    assert_eq!(ask(&federation, "old 0\n").status, 400);
    let stranger = SmallLog::new("stranger.example", "entry", 3);
    assert_eq!(ask(&federation, &stranger.request(0, 3)).status, 404);
    // A member that keeps no ledger is no log, whoever signs for it.
    let tower = SmallLog::new(&federation.nodes[2].name, "entry", 3);
    assert_eq!(ask(&federation, &tower.request(0, 3)).status, 404);
    let forged = log.request(0, 5).replace("\n5\n", "\n6\n");
    assert_eq!(ask(&federation, &forged).status, 403);
    assert_eq!(
        ask(&federation, &log.request(0, 5).replace("old 0", "old 6")).status,
        400
    );
    let conflict = ask(&federation, &log.request(0, 5).replace("old 0", "old 3"));
    assert_eq!(conflict.status, 409);
    // Compared exactly by clients: no charset may follow.
    assert_eq!(header(&conflict, "content-type"), Some("text/x.tlog.size"));
    assert_eq!(conflict.text(), "0\n");

    let first = ask(&federation, &log.request(0, 5));
    let (Some(time), None) = cosigned(&federation, &log.checkpoint(5), &first) else {
        panic!("{first:?}")
    };
    let mut wrong = log.request(5, 9);
    let proof = wrong.lines().nth(1).unwrap().to_owned();
    wrong = wrong.replace(&proof, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let refused = ask(&federation, &wrong);
    assert_eq!(refused.status, 422);
    assert_eq!(
        header(&refused, "content-type"),
        Some("application/problem+json")
    );
    cosigned(
        &federation,
        &listed.checkpoint(3),
        &ask(&federation, &listed.request(0, 3)),
    );

    // A body beyond 128 KiB, announced or not, and one of exactly a foreign witness's limit that is merely malformed.
    assert_eq!(ask(&federation, &"x".repeat(131_073)).status, 413);
    assert_eq!(ask(&federation, &"x".repeat(131_072)).status, 400);

    // Killed in between: what was cosigned is remembered, and time does not go back.
    federation.kill(TOWER);
    federation.start(TOWER);
    let conflict = ask(&federation, &log.request(0, 9));
    assert_eq!(
        (conflict.status, parse_conflict(&conflict.body)),
        (409, Ok(5))
    );
    let again = cosigned(
        &federation,
        &log.checkpoint(5),
        &ask(&federation, &log.request(5, 5)),
    );
    assert!(again.0 >= Some(time));
    let shown = get(&federation, &path);
    assert_eq!(shown.status, 200);
    let note = SignedNote::parse(&shown.body).unwrap();
    assert_eq!(note.text(), log.checkpoint(5).text());
    assert_eq!(
        note.signatures().len(),
        2,
        "the log's line and the tower's: {}",
        shown.text()
    );

    one_of_many_wins(&federation, &log);
    what_operators_see(&federation, &log);

    // A new list is read on SIGHUP, and takes nothing away.
    let late = SmallLog::new("late.example", "entry", 2);
    std::fs::write(&list, format!("logs/v0\n{}", entry(&late))).unwrap();
    let pid = federation.pid(TOWER).to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    let until = Instant::now() + PATIENCE;
    while ask(&federation, &late.request(0, 2)).status == 404 {
        assert!(Instant::now() < until, "{}", federation.tail(TOWER));
        std::thread::sleep(Duration::from_millis(40));
    }
    assert_eq!(ask(&federation, &listed.request(3, 3)).status, 200);
}

/// Many clients extend the same size to different ones at once: exactly one gets a cosignature.
fn one_of_many_wins(federation: &Federation, log: &SmallLog) {
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (10..26)
            .map(|size| scope.spawn(move || ask(federation, &log.request(5, size)).status))
            .collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(200), count(409)), (1, 15), "{statuses:?}");
}

fn what_operators_see(federation: &Federation, log: &SmallLog) {
    let status = federation.status(TOWER);
    let logs = status["logs"].as_array().unwrap();
    let one = logs.iter().find(|one| one["origin"] == log.origin.as_str());
    assert!(one.unwrap()["size"].as_u64() >= Some(10), "{status}");
    assert_eq!(status["logs_total"], 2);
    let human = federation.on(TOWER, &["status"]).expect(0).stdout;
    assert!(human.contains("log       log.example/one"), "{human}");
    let shown = federation
        .on(TOWER, &["config", "show", "--origin"])
        .expect(0)
        .stdout;
    assert!(
        shown.contains("witness.logs = ") && shown.contains(&log.vkey()),
        "{shown}"
    );
    assert!(
        shown.contains("witness.log_list = logs.txt  # config.toml line"),
        "{shown}"
    );
    let metrics = get(federation, "/metrics").text();
    let counted = "belfry_http_requests_total{route=\"/add-checkpoint\",status=\"409\"}";
    assert!(metrics.contains(counted), "{metrics}");
    let fsck = federation.on(TOWER, &["ledger", "fsck"]).expect(0);
    assert!(!fsck.stdout.contains("problem"), "{fsck:?}");
}

#[test]
fn a_listed_log_may_ask_so_often_a_day() {
    let federation = Federation::found(3);
    let log = SmallLog::new("listed.example", "entry", 9);
    let lines = "\n[witness]\nlog_list = \"logs.txt\"\n";
    configure(&federation, TOWER, lines);
    let list = format!("logs/v0\nvkey {}\nqpd 3\ncontact x\n", log.vkey());
    std::fs::write(federation.nodes[TOWER].dir.join("logs.txt"), list).unwrap();
    federation.start_all();
    let status = |old, size| ask(&federation, &log.request(old, size)).status;
    assert_eq!(
        (status(0, 2), status(2, 2), status(2, 2), status(2, 2)),
        (200, 200, 200, 200)
    );
    let refused = ask(&federation, &log.request(2, 2));
    assert_eq!(refused.status, 429, "{refused:?}");
    let wait: u64 = header(&refused, "retry-after").unwrap().parse().unwrap();
    assert!((28_000..=28_800).contains(&wait), "{wait}");
    assert_eq!(header(&refused, "x-ratelimit-limit"), Some("3"));
    let policy = header(&refused, "ratelimit-policy");
    assert_eq!(policy, Some("\"qpd\";q=3;w=86400"));
    // Whatever was sent again, the log itself goes on.
    for _ in 0..5 {
        assert_eq!(status(0, 1), 409);
    }
    assert_eq!((status(2, 5), status(5, 7), status(7, 9)), (200, 200, 429));
}

#[test]
fn a_fork_of_a_log_is_kept_and_alarmed_once() {
    let federation = Federation::found(3);
    let (log, liar) = (
        SmallLog::new("log.example/one", "entry", 9),
        SmallLog::new("log.example/one", "lie", 9),
    );
    configure(
        &federation,
        TOWER,
        &format!("\n[witness]\nlogs = [\"{}\"]\n", log.vkey()),
    );
    federation.start_all();
    assert_eq!(ask(&federation, &log.request(0, 5)).status, 200);
    assert_eq!(ask(&federation, &liar.request(5, 5)).status, 422);
    let stopped = ask(&federation, &log.request(5, 9));
    assert_eq!(stopped.status, 503);
    assert!(header(&stopped, "retry-after").is_some(), "{stopped:?}");
    let status = federation.status(TOWER);
    assert_eq!(status["alarms"][0]["kind"], "fork", "{status}");
    federation.stop(TOWER);
    federation.start(TOWER);
    assert_eq!(
        ask(&federation, &log.request(5, 9)).status,
        503,
        "also after a start"
    );
    assert_eq!(federation.status(TOWER)["logs"][0]["forked"], true);
}

#[test]
fn a_members_ledger_is_acknowledged_mirrored_and_served() {
    let federation = Federation::found(3);
    federation.start_all();
    let last = federation.append(600);
    let origin = federation.nodes[FACTORY].name.clone();
    let prefix = format!("/mirror/{}", hash_of(&origin));
    // The tower's own newest ack may lag behind the quorum's.
    let until = Instant::now() + PATIENCE;
    let note = loop {
        let shown = get(&federation, &format!("{prefix}/checkpoint"));
        if shown.status == 200 {
            let note = SignedNote::parse(&shown.body).unwrap();
            if Checkpoint::parse(note.text()).unwrap().size > last {
                break note;
            }
        }
        assert!(Instant::now() < until, "{}", federation.tail(TOWER));
        std::thread::sleep(Duration::from_millis(40));
    };
    let digest = Checkpoint::parse(note.text()).unwrap();
    assert_eq!(digest.origin, origin);

    // Over HTTP the same digest gets both lines, because its entries are held.
    let log_line = federation.keys(FACTORY).log_key().verifier().key_id();
    let own = note
        .signatures()
        .iter()
        .filter(|line| line.key_id() == log_line);
    let signed = SignedNote::new(note.text(), own.cloned().collect()).unwrap();
    let body = format!("old {}\n\n{signed}", digest.size);
    let both = cosigned(&federation, &signed, &ask(&federation, &body));
    assert!(both.0.is_some() && both.1.is_some());
    let conflict = ask(&federation, &format!("old 0\n\n{signed}"));
    assert_eq!(parse_conflict(&conflict.body), Ok(digest.size));

    // The tree from the tower's tiles is the one that the digest names.
    let tile = |prefix: &str, path: &str| get(&federation, &format!("{prefix}/tile/{path}"));
    let mut leaves = Vec::new();
    for (index, first) in (0..digest.size).step_by(256).enumerate() {
        let width = (digest.size - first).min(256);
        let partial = if width < 256 {
            format!(".p/{width}")
        } else {
            String::new()
        };
        let got = tile(&prefix, &format!("0/{index:03}{partial}"));
        assert_eq!(got.status, 200, "{got:?}");
        let (hashes, _) = got.body.as_chunks::<32>();
        leaves.extend(hashes.iter().map(|hash| Hash(*hash)));
    }
    assert_eq!(leaves.len() as u64, digest.size);
    assert_eq!(root(&leaves), digest.root);
    let under_origin = tile(&format!("/{}", hash_of(&origin)), "0/000");
    assert_eq!(under_origin.body, tile(&prefix, "0/000").body);
    assert_eq!(tile(&prefix, "0/900").status, 404);

    // Entries are for members and tokens, as the node's own are.
    assert_eq!(tile(&prefix, "entries/000").status, 401);
    let made = federation
        .on(TOWER, &["token", "create", "--scope", "read-all", "--json"])
        .expect(0);
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let path = format!("{prefix}/tile/entries/000");
    let entries = request(
        &federation.http(TOWER),
        "GET",
        &path,
        &[("authorization", &bearer)],
        &[],
    );
    assert_eq!(entries.status, 200, "{entries:?}");
    let hashed: Vec<Hash> = bundle::entries(&entries.body)
        .map(|one| leaf_hash(one.unwrap()))
        .collect();
    assert_eq!(hashed, leaves[..256]);
}

#[test]
fn a_node_without_a_federation_is_no_witness() {
    let node = belfry_tests::Node::new();
    let served = node.serve();
    let log = SmallLog::new("log.example/one", "entry", 3);
    let answer = served.request("POST", "/add-checkpoint", &[], log.request(0, 3).as_bytes());
    assert_eq!(answer.status, 404);
    let path = format!("/{}/checkpoint", hash_of("log.example/one"));
    assert_eq!(served.get(&path).status, 404);
    assert_eq!(served.stop(), 0);
}
