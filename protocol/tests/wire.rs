//! The vectors of the section "Wire" in `docs/protocol.md`: made again from their fields, and taken apart as a stranger
//! would, by the offsets of the page and with nothing of `wire`.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::export::message::Answer;
use belfry_protocol::export::{Accepted, Ask, Checked, Checker, Held, Kind, Refused, Why};
use belfry_protocol::hex;
use belfry_protocol::note::{SignedNote, SigningKey, VerifierKey};
use belfry_protocol::tlog::hash::{Hash, sha256};
use belfry_protocol::wire::codec::{self, Bytes, Decode, Encode, List, Text};
use belfry_protocol::wire::hello::{self, ROLE_FACTORY};
use belfry_protocol::wire::v1::Reason;
use belfry_protocol::wire::{
    Envelope, Frame, Goodbye, Guard, Header, Hello, MemberId, Range, Times, Version, to_topic,
};
use std::path::Path;

fn docs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn file(name: &str) -> String {
    std::fs::read_to_string(docs().join("vectors").join(name)).unwrap()
}

/// Bytes of a vector: lines of 64 hexadecimal digits.
fn vector(name: &str) -> Vec<u8> {
    hex::decode(&file(&format!("wire/{name}.hex")).replace('\n', "")).unwrap()
}

/// That `bytes` are those of the vector.
fn same(name: &str, bytes: &[u8]) {
    let digits = hex::encode(bytes);
    let lines = digits.as_bytes().chunks(64);
    let printed: String = lines
        .map(|line| format!("{}\n", std::str::from_utf8(line).unwrap()))
        .collect();
    assert_eq!(printed, file(&format!("wire/{name}.hex")), "{name}");
}

/// The key of `keys.json` for this purpose and serial.
fn signer(purpose: &str, serial: u64) -> SigningKey {
    let rows: serde_json::Value = serde_json::from_str(&file("keys.json")).unwrap();
    let rows = rows["keys"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["purpose"] == purpose && row["serial"] == serial)
        .unwrap();
    let key = VerifierKey::parse(row["vkey"].as_str().unwrap()).unwrap();
    let seed = hex::decode(row["seed"].as_str().unwrap())
        .unwrap()
        .try_into()
        .unwrap();
    SigningKey::new(key.name(), key.algorithm(), seed).unwrap()
}

fn note(name: &str) -> SignedNote {
    SignedNote::parse(file(name).as_bytes()).unwrap()
}

#[test]
fn probes_of_clocks() {
    use belfry_protocol::wire::clock::{Probe, ProbeAnswer};
    let nonce = *b"0123456789abcdef";
    same("probe", &Probe { nonce }.to_frame());
    let answer = ProbeAnswer {
        nonce,
        received_us: 1_800_000_000_000_000,
        answered_us: 1_800_000_000_000_007,
    };
    same("probe-answer", &answer.to_frame());
    // As the page has them.
    let (probe, bytes) = (vector("probe"), vector("probe-answer"));
    assert_eq!((probe.len(), bytes.len()), (28, 44));
    assert_eq!((probe[6], bytes[6]), (32, 33));
    assert_eq!((&probe[12..], &bytes[12..28]), (&nonce[..], &nonce[..]));
    let time = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(
        (time(28), time(36)),
        (answer.received_us, answer.answered_us)
    );
    assert_eq!(Probe::from_frame(&probe), Some(Probe { nonce }));
    assert_eq!(ProbeAnswer::from_frame(&bytes), Some(answer));
}

#[test]
fn the_file_of_a_window() {
    use belfry_protocol::window::Attachment;
    let text = file("window.ndjson");
    let read = Attachment::parse(text.as_bytes()).unwrap();
    assert_eq!(
        (read.given.as_slice(), read.received.as_slice()),
        (&["a\nb\n".to_owned()][..], &["c\n".to_owned()][..])
    );
    assert_eq!(read.encode(), text.as_bytes());
    let page = std::fs::read_to_string(docs().join("protocol.md")).unwrap();
    let name = format!("/api/v1/windows/{}", Attachment::hash(text.as_bytes()));
    assert!(page.contains(&name), "{name}");
}

/// The example of the page.
#[derive(Encode, Decode, Debug, PartialEq)]
struct Example {
    number: u32,
    text: Text<16>,
    bytes: Bytes<16>,
    list: List<u16, 4>,
    choice: Option<Choice>,
}

#[derive(Encode, Decode, Debug, PartialEq)]
enum Choice {
    #[allow(dead_code)]
    First,
    Second(bool),
}

fn example() -> Example {
    Example {
        number: 7,
        text: Text::new("ring").unwrap(),
        bytes: Bytes::new([1, 2, 3]).unwrap(),
        list: List::new(vec![0x0102, 0x0304]).unwrap(),
        choice: Some(Choice::Second(true)),
    }
}

fn envelope() -> Envelope {
    let header = Header {
        version: Version::V1_0,
        kind: 0x0304,
        federation: sha256(b"federation"),
        lineage: [0; 16],
        epoch: 5,
        sender: MemberId::of(signer("identity", 0).verifier()),
        key_serial: 1,
        incarnation: 2,
        destination: to_topic("belfry/00000000/digests/1"),
        guard: Guard::Stream {
            stream: 3,
            counter: 4,
        },
        token: [0x44; 16],
        issued_at_us: 1_795_168_800_000_000,
    };
    Envelope::seal(header, codec::encode(&example()), &signer("envelope", 1)).unwrap()
}

fn hello() -> Hello {
    let versions = [(0x0100, 0x0102), (0x0200, 0x0200)].map(|(min, max)| Range {
        min: Version::from_u16(min),
        max: Version::from_u16(max),
    });
    Hello {
        goodbye: None,
        reason: Text::default(),
        federation: sha256(b"federation"),
        epoch: 5,
        manifest_head: sha256(b"manifest"),
        versions: versions.to_vec(),
        peer: Text::new("12D3KooWsender").unwrap(),
        to: Text::new("12D3KooWreceiver").unwrap(),
        token: [0x33; 16],
        disk: [0x55; 16],
        roles: ROLE_FACTORY,
        times: Times {
            sent_us: 1_795_168_800_000_000,
            ..Times::default()
        },
        chain: vec![note("certificate-1.note")],
        digest: Some(note("ledger/checkpoint")),
        agent: Text::new("belfry/0.2.0").unwrap(),
        extensions: Vec::new(),
    }
}

fn goodbye() -> Hello {
    Hello {
        goodbye: Some(Goodbye::OtherEpoch),
        reason: Text::new("fetch epoch 6").unwrap(),
        versions: Vec::new(),
        chain: Vec::new(),
        digest: None,
        agent: Text::default(),
        ..hello()
    }
}

#[test]
fn wire_body() {
    same("body", &codec::encode(&example()));
    assert_eq!(codec::decode::<Example>(&vector("body")), Ok(example()));
}

#[test]
fn wire_frame() {
    same(
        "frame",
        &Frame::encode(Version { major: 1, minor: 2 }, 0x0304, b"ring"),
    );
    let bytes = vector("frame");
    let frame = Frame::parse(&bytes, 4).unwrap();
    assert_eq!(
        (
            frame.version.to_string().as_str(),
            frame.kind,
            frame.payload
        ),
        ("1.2", 0x0304, &b"ring"[..])
    );
}

#[test]
fn wire_envelope() {
    same("envelope", &envelope().to_bytes());
    let (bytes, key) = (vector("envelope"), signer("envelope", 1));
    let (read, rest) = Envelope::split(&bytes).unwrap();
    assert!(read == envelope() && rest.is_empty() && read.verify(key.verifier()));
    // By the offsets of the page.
    let length = u32::from_le_bytes(bytes[182..186].try_into().unwrap()) as usize;
    assert_eq!(
        (bytes.len(), &bytes[186..186 + length]),
        (186 + length + 64, &vector("body")[..])
    );
    let (signed, signature) = bytes.split_at(186 + length);
    assert!(
        key.verifier()
            .verify_bytes(&[b"belfry/envelope/v1\0", signed].concat(), signature)
    );
    let identity = format!("belfry/member/v1\0{}", signer("identity", 0).verifier());
    assert_eq!(bytes[61..93], sha256(identity.as_bytes()).0);
    let topic = sha256(b"belfry/topic/v1\0belfry/00000000/digests/1");
    assert_eq!(
        (bytes[0], &bytes[5..37], &bytes[109..141]),
        (1, &sha256(b"federation").0[..], &topic.0[..])
    );
    assert_eq!(
        bytes[141..158],
        *hex::decode("0103000000000000000400000000000000").unwrap()
    );
    assert_eq!(bytes[174..182], 1_795_168_800_000_000i64.to_le_bytes());
}

#[test]
fn wire_hello() {
    let (key, identity) = (signer("envelope", 1), signer("identity", 0));
    same("hello", &hello().encode(&key).unwrap());
    let bytes = vector("hello");
    let read = Hello::parse(&bytes).unwrap();
    assert_eq!(*read.hello(), hello());
    let certificates = read.verify(identity.verifier()).unwrap();
    assert_eq!(certificates[0].envelope, *key.verifier());
    let (signed, signature) = bytes.split_at(bytes.len() - 64);
    assert!(
        key.verifier()
            .verify_bytes(&[b"belfry/hello/v1\0", signed].concat(), signature)
    );
    assert_eq!(Hello::read_goodbye(&bytes), None);
}

#[test]
fn wire_goodbye() {
    same(
        "goodbye",
        &goodbye().encode(&signer("envelope", 1)).unwrap(),
    );
    let bytes = vector("goodbye");
    let (code, reason) = Hello::read_goodbye(&bytes).unwrap();
    assert_eq!(
        (code, reason.as_str()),
        (Goodbye::OtherEpoch, "fetch epoch 6")
    );
    assert_eq!(*Hello::parse(&bytes).unwrap().hello(), goodbye());
}

#[test]
fn wire_page_has_codes_and_limits() {
    let page = std::fs::read_to_string(docs().join("protocol.md")).unwrap();
    for code in 1.. {
        match Goodbye::from_code(code).unwrap() {
            Goodbye::Unknown(_) => break,
            known => {
                let row = format!("| {code} | {} |", known.reason());
                assert!(page.contains(&row), "{row}");
            }
        }
    }
    let mut reasons = 0_u32;
    while let Ok(reason) = codec::decode::<Reason>(&reasons.to_le_bytes()) {
        let row = format!("| {reasons} | {} |", reason.text());
        assert!(page.contains(&row), "{row}");
        reasons += 1;
    }
    assert!(reasons > 10, "{reasons}");
    for (what, limit) in [
        ("bytes of a body", codec::MAX_BODY_BYTES),
        (
            "bytes of a hello with its signature",
            hello::MAX_HELLO_BYTES,
        ),
        ("version ranges of a hello", hello::MAX_RANGES),
        ("certificates of a hello", hello::MAX_HELLO_CERTIFICATES),
        ("bytes of a note in a hello", hello::MAX_HELLO_NOTE_BYTES),
        ("bytes of the extensions", hello::MAX_EXTENSION_BYTES),
        ("bytes of a PeerId", hello::MAX_PEER_BYTES),
        ("bytes of the agent", hello::MAX_AGENT_BYTES),
        ("bytes of the reason", hello::MAX_REASON_BYTES),
    ] {
        let digits = limit.to_string();
        let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
        let row = format!(
            "| {what} | {} |",
            String::from_utf8(groups.join(&b',')).unwrap()
        );
        assert!(page.contains(&row), "{row}");
    }
    assert_eq!(Hash::default().0, [0; 32]); // what the page calls zero
}

#[test]
fn exports_are_those_of_the_page() {
    let name = "acme.example/line-4";
    let ask = Ask {
        origin: Text::new(name).unwrap(),
        from: 0,
        token: Text::new("belfry_token").unwrap(),
    };
    same("export-ask", &ask.to_bytes());
    assert_eq!(Ask::parse(&vector("export-ask")), Ok(ask));
    let refused = Refused::new(Why::NotAllowed, "only members may");
    same("export-refusal", &refused.to_bytes());

    // The answer, frame by frame: what is accepted, the edge, the one bundle.
    let ledger = |name: &str| std::fs::read(docs().join("vectors/ledger").join(name)).unwrap();
    let pieces = ["tile/0/000.p/7", "tile/entries/000.p/7"].map(ledger);
    let chain = Bytes::new(file("certificate-1.note")).unwrap();
    let accepted = Accepted {
        note: Bytes::new(file("ledger/checkpoint")).unwrap(),
        chain: List::new(vec![chain]).unwrap(),
    };
    let first = accepted.to_bytes();
    let frames = pieces.each_ref().map(|bytes| Kind::Piece.frame(bytes));
    same("export-answer", &[&first[..], &frames.concat()].concat());
    assert_eq!(Answer::parse(&first), Ok(Answer::Accepted(accepted)));

    let log = VerifierKey::parse(file("ledger/log.vkey").trim_end()).unwrap();
    let signed = belfry_protocol::checkpoint::Checkpoint::open(&note("ledger/checkpoint"), &log);
    let mut checker = Checker::new(&signed.unwrap(), Held::default()).unwrap();
    assert_eq!(checker.take(&pieces[0]), Ok(Checked::Edge));
    let Ok(Checked::Bundle(wanted, leaves)) = checker.take(&pieces[1]) else {
        panic!("the bundle does not fit");
    };
    assert_eq!(
        (wanted.path(), leaves.len()),
        ("tile/entries/000.p/7".to_owned(), 7)
    );
    assert_eq!(checker.next_piece(), None);
}
