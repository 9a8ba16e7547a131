//! A tower as mirror of somebody else's log over HTTP: uploads whole, in parts, zipped, cut off and wrong; what is served of
//! it, and that a foreign verifier accepts that.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_keys::Purpose;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature;
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::sha256;
use belfry_protocol::upload::parse_info;
use belfry_protocol::witness::parse_cosignatures;
use belfry_tests::federation::{Federation, PATIENCE};
use belfry_tests::foreign::{judge, python};
use belfry_tests::logs::SmallLog;
use belfry_tests::{Answer, request};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

const TOWER: usize = 1;
const BINARY: (&str, &str) = ("content-type", "application/octet-stream");
const ZIPPED: (&str, &str) = ("content-encoding", "gzip");

fn configure(federation: &Federation, text: &str) {
    let path = federation.nodes[TOWER].dir.join("config.toml");
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn post(federation: &Federation, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    request(&federation.http(TOWER), "POST", path, headers, body)
}

fn upload(federation: &Federation, body: &[u8]) -> Answer {
    post(federation, "/add-entries", &[BINARY], body)
}

fn get(federation: &Federation, path: &str) -> Answer {
    request(&federation.http(TOWER), "GET", path, &[], &[])
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap()
}

/// Size, next entry and ticket of an answer with this status.
fn info(answer: &Answer, status: u16) -> (u64, u64, Vec<u8>) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let kind = "content-type: text/x.tlog.mirror-info";
    assert!(
        answer
            .head
            .lines()
            .any(|line| line.eq_ignore_ascii_case(kind)),
        "{}",
        answer.head
    );
    parse_info(&answer.body).unwrap()
}

#[test]
fn entries_of_a_log_are_taken_held_and_served() {
    let federation = Federation::found(3);
    let log = SmallLog::new("log.example/one", "entry", 1_500);
    configure(
        &federation,
        &format!(
            "public = true\n\n[[witness.logs]]\nvkey = \"{}\"\nmirror = true\n",
            log.vkey()
        ),
    );
    let config = federation.nodes[TOWER].dir.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    // `public` belongs to the ledger, wherever that section is.
    let text = text.replacen("public = true\n\n[[witness", "\n[[witness", 1);
    let text = text.replace("public = false", "public = true");
    std::fs::write(&config, text).unwrap();
    federation.start_all();

    let (head, packages) = log.upload(0, 1_200, b"");
    let whole = [head.clone(), packages.concat()].concat();
    assert_eq!(upload(&federation, &whole).status, 422, "no checkpoint yet");
    let first = post(
        &federation,
        "/add-checkpoint",
        &[],
        log.request(0, 1_200).as_bytes(),
    );
    assert_eq!(first.status, 200, "{}", first.text());
    let ask = log.upload(0, 0, b"").0;
    let (size, next, ticket) = info(&upload(&federation, &ask), 409);
    assert_eq!((size, next), (1_200, 0));
    assert_eq!(post(&federation, "/add-entries", &[], &whole).status, 415);
    let brotli = [BINARY, ("content-encoding", "br")];
    assert_eq!(
        post(&federation, "/add-entries", &brotli, &whole).status,
        415
    );

    // One package and a piece of the next: the piece is dropped.
    let part = [
        head.clone(),
        packages[0].clone(),
        packages[1][..700].to_vec(),
    ]
    .concat();
    assert_eq!(
        info(&upload(&federation, &part), 202),
        (1_200, 256, ticket.clone())
    );
    // Nothing whole, and something wrong.
    let (head, packages) = log.upload(256, 1_200, &ticket);
    assert_eq!(
        upload(
            &federation,
            &[head.clone(), packages[0][..700].to_vec()].concat()
        )
        .status,
        400
    );
    assert_eq!(upload(&federation, &head[..7]).status, 400);
    let mut lie = packages[0].clone();
    lie[5] ^= 1;
    assert_eq!(
        upload(&federation, &[head.clone(), lie].concat()).status,
        422
    );
    // A zipped part that breaks off in the middle of the zip.
    let mut cut = zipped(&[head.clone(), packages.concat()].concat());
    cut.truncate(cut.len() * 3 / 4);
    let (_, next, _) = info(
        &post(&federation, "/add-entries", &[BINARY, ZIPPED], &cut),
        202,
    );
    assert!(next > 256 && next < 1_200 && next % 256 == 0, "{next}");
    // The rest, zipped.
    let (head, packages) = log.upload(usize::try_from(next).unwrap(), 1_200, b"");
    let rest = zipped(&[head, packages.concat()].concat());
    let done = post(&federation, "/add-entries", &[BINARY, ZIPPED], &rest);
    assert_eq!(done.status, 200, "{}", done.text());
    let lines = parse_cosignatures(&done.body).unwrap();
    let keys = federation.keys(TOWER);
    let mirror = keys.current().key(Purpose::Mirror).verifier().clone();
    cosignature::verify(log.checkpoint(1_200).text(), &lines[0], &mirror).unwrap();

    served(&federation, &log);
    judged(&federation, &log);

    // Killed, and the rest of a larger checkpoint goes on where it was.
    federation.kill(TOWER);
    federation.start(TOWER);
    let more = post(
        &federation,
        "/add-checkpoint",
        &[],
        log.request(1_200, 1_500).as_bytes(),
    );
    assert_eq!(more.status, 200, "{}", more.text());
    let (head, packages) = log.upload(1_200, 1_500, b"");
    let done = upload(&federation, &[head, packages.concat()].concat());
    assert_eq!(done.status, 200, "{}", done.text());
    let fsck = federation
        .on(TOWER, &["ledger", "fsck", "--json"])
        .expect(0);
    assert!(fsck.json()["mirrored"].as_u64() >= Some(1_500), "{fsck:?}");
}

/// Checkpoint and tiles under the mirror's prefix; full tiles are in files after a while, and are the same.
fn served(federation: &Federation, log: &SmallLog) {
    let prefix = format!("/mirror/{}", sha256(log.origin.as_bytes()).to_hex());
    let shown = get(federation, &format!("{prefix}/checkpoint"));
    let note = SignedNote::parse(&shown.body).unwrap();
    assert_eq!(Checkpoint::parse(note.text()).unwrap().size, 1_200);
    let witness = get(
        federation,
        &format!("{}/checkpoint", prefix.trim_start_matches("/mirror")),
    );
    let names = |note: &SignedNote| -> Vec<String> {
        note.signatures()
            .iter()
            .map(|line| line.name().to_owned())
            .collect()
    };
    let witness = SignedNote::parse(&witness.body).unwrap();
    assert_eq!(names(&witness), ["log.example/one", "t1.example"]);
    assert!(
        names(&note).contains(&"t1.example/mirror".to_owned()),
        "{}",
        shown.text()
    );
    let until = Instant::now() + PATIENCE;
    let dir = federation.nodes[TOWER].dir.join("mirror");
    let has_files = || {
        let found = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        let mut tiles = found.map(|one| one.path().join("tile/entries/003"));
        tiles.any(|tile| tile.exists())
    };
    while !has_files() {
        assert!(Instant::now() < until, "{}", federation.tail(TOWER));
        std::thread::sleep(Duration::from_millis(40));
    }
    let bundle = get(federation, &format!("{prefix}/tile/entries/003"));
    let (_, packages) = log.upload(768, 1_024, b"");
    assert_eq!(bundle.status, 200, "{}", bundle.text());
    assert_eq!(packages[0][..bundle.body.len()], bundle.body);
    assert_eq!(
        get(federation, &format!("{prefix}/tile/0/004.p/176")).status,
        200
    );
    assert_eq!(
        get(federation, &format!("{prefix}/tile/0/004.p/177")).status,
        404
    );
}

/// PyPI `aics-tlog` reads the mirror with the log's key alone.
fn judged(federation: &Federation, log: &SmallLog) {
    let Some(python) = python() else { return };
    let key = federation.beside("log.vkey");
    std::fs::write(&key, format!("{}\n", log.vkey())).unwrap();
    let hash = sha256(log.origin.as_bytes()).to_hex();
    let tiles = format!(
        "http://{}/mirror/{hash}",
        federation.http(TOWER).trim_start_matches("http://")
    );
    let key = key.to_string_lossy();
    let judge = judge(&python, &tiles, &key, &["--index", "0", "--index", "1199"]);
    assert!(judge.json()["ok"] == true, "{judge:?}");
}
