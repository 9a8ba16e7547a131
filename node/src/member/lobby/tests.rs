//! What strangers get, and that nothing they send is more than refused.

use super::super::testing::found;
use super::*;
use belfry_protocol::note::SignedNote;
use proptest::prelude::*;

fn lobby() -> (super::super::testing::Founded, Lobby) {
    let founded = found(3);
    let snapshot = Snapshot::default();
    snapshot.publish(&founded.members());
    let manifest = founded.file.clone().into_bytes();
    let read = move || Ok(manifest.clone());
    let lobby = Lobby::new(&founded.federation, read, snapshot).unwrap();
    (founded, lobby)
}

/// Reads a whole as a stranger does.
fn read(lobby: &Lobby, ask: impl Fn(u32) -> Request) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let request = ask(u32::try_from(whole.len()).unwrap());
        let frame = lobby.answer(&request.encode());
        assert!(frame.len() <= 64 << 10, "a frame of the lobby");
        let Some(Answer::Piece {
            total, hash, bytes, ..
        }) = Answer::decode(&request, &frame)
        else {
            panic!("no piece");
        };
        whole.extend(bytes);
        if whole.len() == usize::try_from(total).unwrap() {
            assert_eq!(sha256(&whole), hash);
            return whole;
        }
    }
}

#[test]
fn a_stranger_reads_the_manifest_and_the_chains_and_can_verify_both() {
    let (founded, lobby) = lobby();
    assert_eq!(read(&lobby, Request::Manifest), founded.file.as_bytes());
    let chains = Chains::decode(&read(&lobby, Request::Chains)).unwrap();
    let mut members = Members::new(founded.federation.clone());
    for (name, notes) in &chains.0 {
        let notes: Vec<SignedNote> = notes
            .iter()
            .map(|note| SignedNote::parse(note.as_bytes()).unwrap())
            .collect();
        let member = members.by_name(name).unwrap();
        assert!(members.learn(member, &notes));
    }
    assert_eq!(chains.0.len(), 3);
}

#[test]
fn a_long_file_comes_in_pieces() {
    let (founded, _) = lobby();
    let long: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let file = long.clone();
    let file = move || Ok(file.clone());
    let lobby = Lobby::new(&founded.federation, file, Snapshot::default()).unwrap();
    assert_eq!(read(&lobby, Request::Manifest), long);
    assert_eq!(read(&lobby, Request::Chains), b"", "nobody is known yet");
    let refused =
        |request: &Request| match Answer::decode(request, &lobby.answer(&request.encode())) {
            Some(Answer::Refused(refused)) => refused.reason,
            other => panic!("{other:?}"),
        };
    for behind in [200_000, u32::MAX] {
        assert_eq!(refused(&Request::Manifest(behind)), Reason::Range);
    }
}

#[test]
fn a_wish_to_join_is_refused_with_a_reason_and_a_name() {
    let (founded, lobby) = lobby();
    let request = Request::Join("please".to_owned());
    let answer = Answer::decode(&request, &lobby.answer(&request.encode()));
    let Some(Answer::Refused(refused)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(
        (refused.reason, refused.reason.code()),
        (Reason::JoiningClosed, 1)
    );
    assert_eq!(refused.federation, founded.federation.id());
    assert_eq!(
        (refused.epoch, refused.manifest),
        (0, founded.federation.hash())
    );
    assert!(refused.text.contains("get a ticket"), "{}", refused.text);
}

/// Who comes in a later epoch is told of that one.
#[test]
fn strangers_are_told_of_the_epoch_that_is_in_force() {
    let founded = found(3);
    let base = founded.federation.manifest();
    let next = belfry_protocol::manifest::Manifest {
        epoch: 1,
        previous: Some(base.hash()),
        expires_seconds: base.expires_seconds + 1,
        ..base.clone()
    };
    let next = Federation::new(founded.federation.id(), next).unwrap();
    let file = Arc::new(Mutex::new(Ok(b"epoch 0".to_vec())));
    let (shown, snapshot) = (Arc::clone(&file), Snapshot::default());
    let read_file = move || match &*shown.lock().unwrap() {
        Ok(bytes) => Ok(Vec::clone(bytes)),
        Err(kind) => Err(std::io::Error::from(*kind)),
    };
    let lobby = Lobby::new(&founded.federation, read_file, snapshot.clone()).unwrap();
    let epoch = || {
        let request = Request::Join("please".to_owned());
        match Answer::decode(&request, &lobby.answer(&request.encode())) {
            Some(Answer::Refused(refused)) => (refused.epoch, refused.manifest),
            other => panic!("{other:?}"),
        }
    };
    let before = (0, founded.federation.hash());
    assert_eq!(epoch(), before);
    // While the file cannot be read, nobody is told of a manifest that they cannot get.
    *file.lock().unwrap() = Err(std::io::ErrorKind::NotFound);
    snapshot.publish(&Members::new(next.clone()));
    assert_eq!(epoch(), before);
    assert_eq!(read(&lobby, Request::Manifest), b"epoch 0");
    *file.lock().unwrap() = Ok(b"epoch 1".to_vec());
    assert_eq!(epoch(), (1, next.hash()));
    assert_eq!(read(&lobby, Request::Manifest), b"epoch 1");
}

#[test]
fn other_versions_and_kinds_are_refused_as_such() {
    let (_, lobby) = lobby();
    let reason = |frame: &[u8]| {
        let any = Request::Manifest(0);
        match Answer::decode(&any, &lobby.answer(frame)) {
            Some(Answer::Refused(refused)) => refused.reason,
            other => panic!("{other:?}"),
        }
    };
    let next = Version { major: 2, minor: 0 };
    assert_eq!(
        reason(&Frame::encode(next, MANIFEST, &[0; 4])),
        Reason::Version
    );
    assert_eq!(
        reason(&Frame::encode(Version::V1_0, 0x0199, b"")),
        Reason::Kind
    );
    assert_eq!(
        reason(&Frame::encode(Version::V1_0, MANIFEST, &[0; 5])),
        Reason::Malformed
    );
    assert_eq!(
        reason(&Frame::encode(Version::V1_0, JOIN, b"a\nb")),
        Reason::Malformed
    );
    assert_eq!(reason(b"GET / HTTP/1.1"), Reason::Malformed);
}

#[test]
fn the_layout_is_frozen() {
    let hex = |bytes: &[u8]| belfry_protocol::hex::encode(bytes);
    assert_eq!(
        hex(&Request::Manifest(258).encode()),
        "424c4652000101010400000002010000"
    );
    let piece = Answer::Piece {
        total: 3,
        offset: 1,
        hash: Hash([7; 32]),
        bytes: b"ab".to_vec(),
    };
    let expected = format!(
        "424c465200018201 2a000000 03000000 01000000 {} 6162",
        "07".repeat(32)
    );
    assert_eq!(hex(&piece.encode(CHAINS)), expected.replace(' ', ""));
    let refused = Answer::Refused(Refused {
        reason: Reason::Range,
        federation: Hash([1; 32]),
        epoch: 9,
        manifest: Hash([2; 32]),
        text: "no".to_owned(),
    });
    let expected = format!(
        "424c465200018001 4c000000 0500 {} 0900000000000000 {} 6e6f",
        "01".repeat(32),
        "02".repeat(32)
    );
    assert_eq!(hex(&refused.encode(0)), expected.replace(' ', ""));
}

fn requests() -> impl Strategy<Value = Request> {
    prop_oneof![
        any::<u32>().prop_map(Request::Manifest),
        any::<u32>().prop_map(Request::Chains),
        "[a-zA-Z0-9 äß]{0,60}".prop_map(Request::Join),
    ]
}

proptest! {
    #[test]
    fn requests_are_read_as_they_were_written(request in requests()) {
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn answers_are_read_as_they_were_written(
        code: u16, epoch: u64, text in "[a-z ]{0,80}", offset in 0..1_000_u32, bytes in proptest::collection::vec(any::<u8>(), 1..200),
    ) {
        let total = offset + u32::try_from(bytes.len()).unwrap() + 5;
        let piece = Answer::Piece { total, offset, hash: sha256(&bytes), bytes };
        let refused = Answer::Refused(Refused { reason: Reason::from_code(code), federation: Hash([1; 32]), epoch, manifest: Hash([2; 32]), text });
        let request = Request::Chains(offset);
        for answer in [piece, refused] {
            prop_assert_eq!(Answer::decode(&request, &answer.encode(CHAINS)), Some(answer));
        }
    }

    /// Whatever a stranger or a liar sends: no panic, and what is accepted is written the same again.
    #[test]
    fn garbage_does_no_harm(
        kind in prop_oneof![Just(MANIFEST), Just(CHAINS), Just(JOIN), Just(REFUSED), Just(CHAINS + PIECE), any::<u16>()],
        payload in proptest::collection::vec(any::<u8>(), 0..120), raw in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let frame = Frame::encode(Version::V1_0, kind, &payload);
        for bytes in [&frame, &raw, &payload] {
            if let Ok(request) = Request::decode(bytes) {
                prop_assert_eq!(&request.encode(), bytes);
            }
            if let Some(answer) = Answer::decode(&Request::Chains(0), bytes) {
                prop_assert_eq!(&answer.encode(CHAINS), bytes);
            }
            if let Some(chains) = Chains::decode(bytes) {
                prop_assert_eq!(&chains.encode(), bytes);
            }
        }
    }
}
