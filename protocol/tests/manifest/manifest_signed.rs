//! Signatures on a manifest: the golden file, who is missing, who does not belong, and every changed byte.

use crate::fixture::{FACTORY, MEMBERS, identity, lines, manifest, signed, vector};
use belfry_protocol::manifest::{
    Federation, Manifest, ManifestError, SignedManifest, signing_text,
};
use belfry_protocol::note::{NoteError, SignatureLine, SignedNote, SigningKey};
use belfry_protocol::tlog::hash::Hash;
use proptest::prelude::*;

fn assemble(lines: Vec<SignatureLine>) -> SignedManifest {
    SignedManifest::assemble(manifest(), None, lines).unwrap()
}

#[test]
fn the_file_is_frozen_and_founds() {
    let golden = vector("genesis/signed.json");
    assert_eq!(signed().to_json(), golden);
    let read = SignedManifest::parse(golden.as_bytes()).unwrap();
    assert_eq!(read, signed());
    assert_eq!(read.note.to_string(), vector("genesis/manifest.note"));
    assert_eq!(read.federation(), None);
    let founded = read.verify_founding().unwrap();
    assert_eq!(
        (founded.id, &founded.manifest),
        (manifest().hash(), &manifest())
    );
    let text = format!("belfry-genesis/v1\n-\n0\n{}\n", manifest().hash().to_hex());
    assert_eq!(signing_text(&manifest(), None), text);
    assert_eq!(signing_text(&manifest(), Some(&founded.id)), text);
}

#[test]
fn the_order_in_which_lines_arrive_does_not_matter() {
    let mut names = MEMBERS.map(|(name, ..)| name);
    names.reverse();
    let mut twice = lines(&manifest(), &names);
    twice.extend(twice.clone());
    assert_eq!(assemble(twice), signed());
    let mut turned = signed();
    let mut lines = turned.note.signatures().to_vec();
    lines.swap(1, 2);
    turned.note = SignedNote::new(turned.note.text(), lines).unwrap();
    let order = Err(ManifestError::Order("one.example".to_owned()));
    assert_eq!(SignedManifest::parse(turned.to_json().as_bytes()), order);
    assert!(turned.verify_founding().is_err());
}

#[test]
fn every_member_must_have_signed() {
    for (absent, ..) in MEMBERS {
        let names: Vec<&str> = MEMBERS
            .iter()
            .map(|row| row.0)
            .filter(|name| *name != absent)
            .collect();
        let partial = assemble(lines(&manifest(), &names));
        // It reads, so that late signatures can be collected, but it founds nothing.
        let partial = SignedManifest::parse(partial.to_json().as_bytes()).unwrap();
        let missing = ManifestError::MissingSignature {
            member: absent.to_owned(),
        };
        assert_eq!(partial.verify_founding(), Err(missing));
    }
    assert!(matches!(
        SignedManifest::assemble(manifest(), None, Vec::new()),
        Err(ManifestError::Note(_))
    ));
}

#[test]
fn nobody_else_may_have_signed() {
    let text = signing_text(&manifest(), None);
    let all = MEMBERS.map(|(name, ..)| name);
    let strangers = [
        SigningKey::ed25519("zeta.example", [1; 32]).unwrap(), // not listed
        SigningKey::ed25519("one.example", [1; 32]).unwrap(),  // listed with another key
    ];
    for stranger in strangers {
        let mut with = lines(&manifest(), &all);
        with.push(stranger.sign_note(&text).unwrap());
        let said = assemble(with).verify_founding().unwrap_err();
        assert!(
            matches!(said, ManifestError::UnknownSigner { .. }),
            "{said}"
        );
    }
}

#[test]
fn a_wrong_signature_is_refused_and_two_of_one_signer_too() {
    let all = MEMBERS.map(|(name, ..)| name);
    let wrong = identity(FACTORY).sign_note("something else\n").unwrap();
    let mut one_wrong = lines(&manifest(), &all[1..]);
    one_wrong.push(wrong.clone());
    let said = assemble(one_wrong).verify_founding().unwrap_err();
    assert!(
        matches!(said, ManifestError::Note(NoteError::BadSignature { .. })),
        "{said}"
    );
    let mut both = lines(&manifest(), &all);
    both.push(wrong);
    let said = SignedManifest::assemble(manifest(), None, both).unwrap_err();
    assert_eq!(said, ManifestError::Order(FACTORY.to_owned()));
}

#[test]
fn a_note_on_another_manifest_is_refused() {
    let mut other = signed();
    other.manifest.mirroring = false;
    assert!(matches!(
        other.verify_founding(),
        Err(ManifestError::Text { .. })
    ));
    let file = other.to_json();
    assert!(matches!(
        SignedManifest::parse(file.as_bytes()),
        Err(ManifestError::Text { .. })
    ));
    other.manifest.tower_quorum = 1;
    assert!(matches!(
        other.verify_founding(),
        Err(ManifestError::Quorum { .. })
    ));
}

#[test]
fn a_later_epoch_is_no_founding() {
    let id = manifest().hash();
    let later = Manifest {
        epoch: 1,
        previous: Some(id),
        ..manifest()
    };
    let text = signing_text(&later, Some(&id));
    assert_eq!(
        text,
        format!("belfry-genesis/v1\n{id}\n1\n{}\n", later.hash())
    );
    let line = identity(FACTORY).sign_note(&text).unwrap();
    let signed = SignedManifest::assemble(later.clone(), Some(&id), vec![line.clone()]).unwrap();
    let read = SignedManifest::parse(signed.to_json().as_bytes()).unwrap();
    assert_eq!(read.federation(), Some(id));
    assert_eq!(read.verify_founding(), Err(ManifestError::NotFounding(1)));
    // Without the id it is about no federation; at epoch 0 an id does not belong there.
    let nameless = SignedManifest::assemble(later, None, vec![line.clone()]);
    assert!(matches!(nameless, Err(ManifestError::Text { .. })));
    let text = format!("belfry-genesis/v1\n{id}\n0\n{id}\n");
    let note = SignedNote::new(&text, vec![line]).unwrap();
    let named = SignedManifest {
        manifest: manifest(),
        note,
    };
    assert!(matches!(
        named.verify_founding(),
        Err(ManifestError::Text { .. })
    ));
}

#[test]
fn a_federation_answers_for_its_members() {
    let federation = Federation::from(signed().verify_founding().unwrap());
    assert_eq!(
        federation,
        Federation::new(manifest().hash(), manifest()).unwrap()
    );
    assert_eq!(federation.digest8(), manifest().hash().to_hex()[..8]);
    assert_eq!(federation.hash(), federation.id());
    assert_eq!(federation.member("one.example").unwrap().0, 1);
    assert_eq!(federation.member("nobody.example"), None);
    let (at, found) = federation.by_peer(MEMBERS[2].2).unwrap();
    assert_eq!((at, found.name.as_str()), (2, "three.example"));
    assert_eq!(federation.by_peer("12D3KooW"), None);
    let towers =
        |origin| -> Vec<usize> { federation.towers_of(origin).map(|(at, _)| at).collect() };
    assert_eq!(towers(FACTORY), [1, 2, 3]);
    assert_eq!(towers("three.example"), [1, 3]);
    let quorum = federation.quorum_of(FACTORY).unwrap();
    assert_eq!((quorum.towers, quorum.needed, quorum.recovery), (3, 2, 2));
    assert_eq!(federation.quorum_of("one.example").unwrap().towers, 2);
    assert_eq!(federation.quorum_of("nobody.example"), None);
    let other = Federation::new(Hash([1; 32]), manifest()).unwrap_err();
    assert!(matches!(other, ManifestError::OtherFederation { .. }));
    let later = Manifest {
        epoch: 1,
        previous: Some(federation.id()),
        ..manifest()
    };
    let later = Federation::new(federation.id(), later).unwrap();
    assert!(later.id() == federation.id() && later.hash() != federation.hash());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = vector("genesis/signed.json").into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let read = SignedManifest::parse(&bytes).and_then(|signed| signed.verify_founding());
        prop_assert!(read.is_err(), "byte {} changed by {}", at, flip);
    }

    #[test]
    fn any_byte_left_out_or_put_in_is_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = vector("genesis/signed.json").into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.remove(at);
        } else {
            bytes.insert(at, byte);
        }
        let read = SignedManifest::parse(&bytes).and_then(|signed| signed.verify_founding());
        prop_assert!(read.is_err());
    }
}
