//! The files: one spelling each, bounds before anything is read, and no changed byte that still verifies.

use crate::chain::publish;
use crate::fixture::{LINEAGE, amendment, founding, person, proposal, vote};
use belfry_protocol::genesis::ceremony::{Document, VoteRecord};
use belfry_protocol::genesis::chain::{Chain, Link};
use belfry_protocol::genesis::{
    Election, Evidence, GenesisError, MAX_PUBLICATION_BYTES, MAX_REASON_BYTES, MAX_ROUND, Proposal,
    Publication, Saying, Statement, Strict, Subject, Verifier, Vote, VoteCertificate,
};
use belfry_protocol::tlog::hash::Hash;
use proptest::prelude::*;

fn subject() -> Subject {
    Subject {
        federation: Some(Hash([1; 32])),
        lineage: LINEAGE,
        epoch: 3,
        round: 2,
        manifest: Hash([2; 32]),
    }
}

fn sayings() -> impl Strategy<Value = Saying> {
    let line = "[a-zA-Zé€]([ -~é€]{0,40}[a-z])?";
    prop_oneof![
        Just(Saying::Approve),
        Just(Saying::Commit),
        Just(Saying::Withdraw),
        Just(Saying::Recover),
        line.prop_map(|reason| Saying::Refuse { reason }),
        (0..MAX_ROUND).prop_map(|seen_seconds| Saying::Yield { seen_seconds }),
        ((0..MAX_ROUND), line).prop_map(|(opened_seconds, title)| Saying::Propose {
            opened_seconds,
            title
        }),
    ]
}

proptest! {
    #[test]
    fn every_statement_reads_back(
        saying in sayings(), federation in any::<[u8; 32]>(), lineage in any::<[u8; 16]>(),
        epoch in 0..=MAX_ROUND, round in 1..=MAX_ROUND, manifest in any::<[u8; 32]>(),
    ) {
        let has_round = !matches!(saying, Saying::Yield { .. } | Saying::Recover);
        let subject = Subject {
            federation: (epoch > 0).then_some(Hash(federation)),
            lineage,
            epoch,
            round: if has_round { round } else { 0 },
            manifest: Hash(manifest),
        };
        let statement = Statement { subject, saying };
        prop_assert_eq!(Statement::parse(&statement.to_string()), Ok(statement));
    }

    #[test]
    fn what_reads_prints_the_same(text in "(belfry-genesis-(approve|refuse)/v1\n)?(federation -\n)?[a-z0-9 \n-]{0,300}") {
        if let Ok(statement) = Statement::parse(&text) {
            prop_assert_eq!(statement.to_string(), text);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Document::parse(&bytes).is_err());
        prop_assert!(VoteRecord::parse(&bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_changed_byte_of_a_publication_verifies(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (base, file) = published();
        let mut bytes = file.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let election = Election::amending(base.hash(), &base);
        let read = Publication::parse(&bytes);
        let verified = read.and_then(|read| read.verify(&election, &mut Verifier::new(Strict)));
        prop_assert!(verified.is_err(), "byte {} changed by {}", at, flip);
    }
}

fn published() -> (belfry_protocol::manifest::Manifest, String) {
    let base = founding(&[0, 1, 2, 3], 0);
    let next = amendment(&base, &[0, 1, 2, 3], 1);
    let election = Election::amending(base.hash(), &base);
    let made = publish(&election, &next, &[0, 1, 2], &[0, 1, 2]);
    let json = made.to_json();
    (base, json)
}

#[test]
fn statements_have_one_spelling() {
    let good = Statement {
        subject: subject(),
        saying: Saying::Refuse {
            reason: "wrong port".to_owned(),
        },
    };
    let text = good.to_string();
    assert_eq!(
        text,
        format!(
            "belfry-genesis-refuse/v1\nfederation {}\nlineage {}\nepoch 3\nround 2\nmanifest {}\nreason wrong port\n",
            "01".repeat(32),
            "62656c66727920636572656d6f6e7921",
            "02".repeat(32),
        )
    );
    for (from, to) in [
        ("epoch 3", "epoch 03"),
        ("epoch 3", "epoch 0"),
        ("round 2", "round 0"),
        ("round 2", "round 9007199254740992"),
        ("wrong port", " wrong port"),
        ("wrong port", "wrong\u{7}port"),
        ("wrong port\n", "wrong port"),
        ("wrong port\n", "wrong port\n\n"),
        ("reason wrong port\n", ""),
        ("refuse", "approve"),
        ("refuse", "destroy"),
        ("federation 01", "federation -1"),
        ("0202", "0G02"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        assert!(Statement::parse(&changed).is_err(), "{changed}");
    }
    let long = Statement {
        saying: Saying::Refuse {
            reason: "x".repeat(MAX_REASON_BYTES + 1),
        },
        ..good
    };
    assert!(long.check().is_err() && Statement::parse(&long.to_string()).is_err());
}

#[test]
fn every_file_reads_back_and_says_what_it_is() {
    let base = founding(&[0, 1, 2, 3], 0);
    let next = amendment(&base, &[0, 1, 2, 3], 1);
    let election = Election::amending(base.hash(), &base);
    let proposal = proposal(1, &election, &next, 1);
    assert_eq!(
        Proposal::parse(proposal.to_json().as_bytes()),
        Ok(proposal.clone())
    );
    let approve = vote(1, &election, &next, 1, Saying::Approve);
    let commit = vote(1, &election, &next, 1, Saying::Commit);
    for vote in [&approve, &commit] {
        assert_eq!(Vote::parse(vote.to_json().as_bytes()).as_ref(), Ok(vote));
    }
    let other = amendment(&base, &[0, 1, 2, 3], 2);
    let second = vote(1, &election, &other, 1, Saying::Approve);
    let evidence = Evidence::of(&second, &approve).unwrap();
    let read = Evidence::parse(evidence.to_json().as_bytes());
    assert_eq!(read, Ok(evidence.clone()));
    assert_eq!(Evidence::of(&approve, &second), Some(evidence.clone()));
    assert_eq!(Evidence::of(&approve, &commit), None);
    let publication = publish(&election, &next, &[0, 1, 2], &[0, 1, 2]);
    let certificate = publication.certificate.clone();
    let json = certificate.to_json();
    assert_eq!(
        VoteCertificate::parse(json.as_bytes()),
        Ok(certificate.clone())
    );
    let documents = [
        Document::Proposal(Box::new(proposal)),
        Document::Vote(Box::new(commit)),
        Document::Certificate(Box::new(certificate)),
        Document::Evidence(Box::new(evidence)),
        Document::Link(Box::new(Link::Voted(publication))),
    ];
    for document in documents {
        let json = document.to_json();
        assert_eq!(Document::parse(json.as_bytes()), Ok(document));
        // A second spelling, and a member that nobody knows.
        let spaced = json.replacen("{\"", "{ \"", 1);
        assert!(Document::parse(spaced.as_bytes()).is_err());
        let more = json.replacen("{\"", "{\"a\":1,\"", 1);
        assert!(Document::parse(more.as_bytes()).is_err());
    }
}

#[test]
fn files_are_bounded_before_they_are_read() {
    let large = vec![b' '; MAX_PUBLICATION_BYTES + 1];
    for said in [
        Document::parse(&large).unwrap_err(),
        Link::parse(&large).unwrap_err(),
        Vote::parse(&large).unwrap_err(),
        Proposal::parse(&large).unwrap_err(),
    ] {
        assert!(matches!(said, GenesisError::TooLarge { .. }), "{said}");
    }
}

#[test]
fn a_certificate_has_each_approval_once_in_order() {
    let base = founding(&[0, 1, 2, 3], 0);
    let next = amendment(&base, &[0, 1, 2, 3], 1);
    let election = Election::amending(base.hash(), &base);
    let good = publish(&election, &next, &[0, 1, 2], &[0, 1, 2]).certificate;
    let mut verifier = Verifier::new(Strict);
    assert_eq!(good.verify(&election, &mut verifier), Ok(()));
    let note = &good.approvals[0];
    let lines = note.signatures();
    let with = |lines: Vec<_>| {
        let note = belfry_protocol::note::SignedNote::new(note.text(), lines).unwrap();
        VoteCertificate {
            approvals: vec![note],
            ..good.clone()
        }
    };
    // Twice the same line is no second approval; another order is another spelling.
    let twice = with(vec![lines[0].clone(), lines[0].clone(), lines[1].clone()]);
    assert!(twice.verify(&election, &mut verifier).is_err());
    let turned = with(vec![lines[1].clone(), lines[0].clone(), lines[2].clone()]);
    assert!(turned.verify(&election, &mut verifier).is_err());
    let two_notes = VoteCertificate {
        approvals: vec![note.clone(), note.clone()],
        ..good.clone()
    };
    assert!(two_notes.verify(&election, &mut verifier).is_err());
    // An approval of another round has no weight where it is not standing.
    let older = vote(3, &election, &next, 2, Saying::Approve);
    let mixed = VoteCertificate {
        approvals: vec![note.clone(), older.note().clone()],
        ..good.clone()
    };
    let said = mixed.verify(&election, &mut verifier).unwrap_err();
    assert!(said.to_string().contains("has no say"), "{said}");
    // Shown for another federation it is nothing.
    let elsewhere = Election::amending(Hash([9; 32]), &base);
    assert!(good.verify(&elsewhere, &mut verifier).is_err());
    assert!(
        Chain::found(
            &Link::parse(published().1.as_bytes()).unwrap(),
            &mut verifier
        )
        .is_err()
    );
    assert_eq!(person(0).identity.verifier().name(), "m00.example");
}
