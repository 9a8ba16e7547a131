//! What must not be forgotten: restored directories, records of votes, and yields to a recovery manifest.

use crate::fixture::{CREATED, amendment, founding, name, settings};
use crate::one::{One, sends, two};
use belfry_protocol::genesis::ceremony::{
    Document, Input, Promise, Refused, Settings, VoteRecord, confirmation,
};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::genesis::{
    Election, Recovery, Saying, Strict, Verifier, Vote, YIELD_AFTER_SECONDS, recovery_key_hash,
};
use belfry_protocol::manifest::{Federation, Manifest};
use belfry_protocol::note::SigningKey;

#[test]
fn a_restored_directory_votes_only_when_its_votes_are_back() {
    let (mut one, (a, b)) = (One::amending(), two());
    one.propose(1, &a, 1);
    let promises = one.approve(&a, 1).unwrap();
    let after = one.sign(&promises, 0);
    let Promise::Append { body, .. } = &after[0] else {
        panic!("an entry");
    };
    let vote = Vote::parse(body.as_bytes()).unwrap();
    let restored = Settings {
        restored: true,
        ..settings(0)
    };
    let mut back = One::new(one.base.clone(), restored.clone());
    back.take(Input::Resume).unwrap();
    back.propose(1, &a, 1);
    back.propose(1, &b, 1);
    assert_eq!(back.approve(&b, 1), Err(Refused::Rebuilding));
    for by in [1, 2, 3] {
        // A certificate, and no commit.
        assert_eq!(back.say(by, &b, 1, Saying::Approve).unwrap(), []);
    }
    // Also if the mark in the directory is gone: the store remembers.
    back.restart(settings(0));
    assert_eq!(back.approve(&b, 1), Err(Refused::Rebuilding));
    back.take(Input::Rebuilt(vec![(0, vote)])).unwrap();
    assert!(matches!(
        back.approve(&b, 1),
        Err(Refused::Voted { round: 1, .. })
    ));
    assert_eq!(back.ceremony.voted(1), (Some(a.hash()), Some(b.hash())));
    // Before epoch 0 nobody holds anything.
    let mut young = One::new(None, restored);
    let full = founding(&[0, 1, 2, 3], 0);
    young.propose(1, &full, 1);
    assert_eq!(young.approve(&full, 1), Err(Refused::CannotRebuild));
    assert_eq!(
        young.take(Input::Rebuilt(vec![])),
        Err(Refused::CannotRebuild)
    );
}

#[test]
fn a_record_of_votes_binds_where_it_is_imported() {
    let (mut one, (a, b)) = (One::amending(), two());
    one.propose(1, &a, 1);
    one.approve(&a, 1).unwrap();
    let tx = one.store.begin();
    let record = one.ceremony.export(&tx).unwrap().unwrap();
    drop(tx);
    let record = VoteRecord::parse(record.to_json().as_bytes()).unwrap();
    let mut next = One::amending();
    next.propose(1, &a, 1);
    next.propose(1, &b, 1);
    let import = || Input::Import(Box::new(record.clone()));
    next.take(import()).unwrap();
    next.take(import()).unwrap();
    assert!(matches!(next.approve(&b, 1), Err(Refused::Voted { .. })));
    // The same vote is made again, by the key.
    assert!(matches!(
        next.approve(&a, 1).unwrap()[..],
        [Promise::Sign { .. }]
    ));
    // Against another record of this member nothing is taken.
    let mut torn = One::amending();
    torn.propose(1, &b, 1);
    torn.approve(&b, 1).unwrap();
    assert_eq!(
        torn.take(import()),
        Err(Refused::Conflict { epoch: 1, round: 1 })
    );
    let mut stranger = One::new(one.base.clone(), settings(1));
    assert!(matches!(
        stranger.take(import()),
        Err(Refused::OtherRecord(_))
    ));
}

/// A manifest that recovery keys signed, with one key of one.
fn recovery() -> (Federation, Recovery) {
    let key = SigningKey::ed25519("acme.example/recovery", [0x77; 32]).unwrap();
    let base = Manifest {
        recovery_keys: vec![recovery_key_hash(key.verifier())],
        ..founding(&[0, 1, 2, 3], 0)
    };
    let next = amendment(&base, &[0, 1, 2], 5);
    let base = Federation::new(base.hash(), base).unwrap();
    let election = Election::amending(base.id(), base.manifest());
    let text = Recovery::statement(&election, &next).to_string();
    let made = Recovery {
        note: key.signed_note(&text).unwrap(),
        keys: vec![key.verifier().clone()],
        manifest: next,
        acceptances: Vec::new(),
        yields: Vec::new(),
    };
    (base, made)
}

#[test]
fn a_recovery_takes_yields_after_three_days_and_shows_for_ever() {
    let (base, made) = recovery();
    let next = made.manifest.clone();
    let mut one = One::new(Some(base), settings(0));
    let file = Link::Recovered(made).to_json();
    let heard = Document::parse(file.as_bytes()).unwrap();
    one.hear(heard).unwrap();
    let hash = next.hash();
    let yields = || Input::Yield {
        manifest: hash,
        confirm: confirmation(1, &hash),
    };
    assert!(matches!(one.take(yields()), Err(Refused::TooSoon { .. })));
    one.restart(settings(0)); // the moment it was seen is durable
    one.now_seconds = CREATED + YIELD_AFTER_SECONDS;
    let promises = one.take(yields()).unwrap();
    let after = one.sign(&promises, 0);
    assert_eq!(sends(&after), 0);
    assert_eq!(sends(&one.take(Input::Acked { size: 1 }).unwrap()), 1);
    // n - t + 1 = 2 yields.
    let seen_seconds = CREATED;
    let promises = one
        .say(1, &next, 0, Saying::Yield { seen_seconds })
        .unwrap();
    let activated = promises.iter().any(|p| matches!(p, Promise::Activated(_)));
    assert!(activated);
    assert_eq!(one.ceremony.chain().unwrap().recovered(), [1]);
    one.restart(settings(0));
    assert_eq!(one.ceremony.chain().unwrap().recovered(), [1]);
}

#[test]
fn who_committed_yields_to_nothing_else_and_who_yielded_commits_nothing_else() {
    let (base, made) = recovery();
    let normal = amendment(base.manifest(), &[0, 1, 2, 3], 1);
    let hash = made.manifest.hash();
    let yields = || Input::Yield {
        manifest: hash,
        confirm: confirmation(1, &hash),
    };
    let start = || {
        let mut one = One::new(Some(base.clone()), settings(0));
        let link = Link::Recovered(made.clone());
        one.hear(Document::Link(Box::new(link))).unwrap();
        one.now_seconds = CREATED + YIELD_AFTER_SECONDS;
        one.propose(1, &normal, 1);
        one
    };
    let certify = |one: &mut One| {
        for by in [1, 2, 3] {
            one.say(by, &normal, 1, Saying::Approve).unwrap();
        }
    };
    let mut committed = start();
    certify(&mut committed);
    assert!(matches!(
        committed.take(yields()),
        Err(Refused::Locked { .. })
    ));
    let mut yielded = start();
    yielded.take(yields()).unwrap();
    certify(&mut yielded);
    assert_eq!(yielded.ceremony.voted(1).1, None);
    // A member that does both is shown to have lied.
    let seen_seconds = CREATED;
    yielded.say(1, &normal, 1, Saying::Commit).unwrap();
    yielded
        .say(1, &made.manifest, 0, Saying::Yield { seen_seconds })
        .unwrap();
    assert_eq!(yielded.ceremony.status(0).unwrap().accused, [name(1)]);
}

/// Three keys, of which two are needed: signed one after the other, each where it is kept.
#[test]
fn recovery_keys_sign_one_after_the_other() {
    let key = |at: u8| SigningKey::ed25519(&format!("key{at}.example"), [at; 32]).unwrap();
    let mut hashes: Vec<_> = (1..=3)
        .map(|at| recovery_key_hash(key(at).verifier()))
        .collect();
    hashes.sort();
    let base = Manifest {
        recovery_keys: hashes,
        ..founding(&[0, 1, 2, 3], 0)
    };
    let unused = vec![recovery_key_hash(key(2).verifier())];
    let next = Manifest {
        recovery_keys: unused.clone(),
        ..amendment(&base, &[0, 1, 2], 5)
    };
    let base = Federation::new(base.hash(), base).unwrap();
    let election = Election::amending(base.id(), base.manifest());
    assert_eq!(Recovery::needed(base.manifest()), 2);
    let first = Recovery::signed_by(&key(3), &election, &next, None).unwrap();
    let mut verifier = Verifier::new(Strict);
    let alone = first.verify_keys(&election, &mut verifier).unwrap_err();
    assert!(alone.to_string().contains("1 of the 2"), "{alone}");
    let first = Recovery::parse(first.to_json().as_bytes()).unwrap();
    // The same key again is no second one.
    let again = Recovery::signed_by(&key(3), &election, &next, Some(&first)).unwrap();
    assert_eq!(again, first);
    let both = Recovery::signed_by(&key(1), &election, &next, Some(&first)).unwrap();
    both.verify_keys(&election, &mut verifier).unwrap();

    // A key that the old epoch does not list signs nothing.
    let stranger = Recovery::signed_by(&key(9), &election, &next, None).unwrap_err();
    assert!(stranger.to_string().contains("no say"), "{stranger}");
    let other = Manifest {
        recovery_keys: unused,
        ..amendment(base.manifest(), &[0, 1, 3], 5)
    };
    let other = Recovery::signed_by(&key(1), &election, &other, Some(&first)).unwrap_err();
    assert!(other.to_string().contains("another manifest"), "{other}");
}

/// Members that committed a manifest give way to no other (R14). It may list the keys that sign its recovery; they work once all the
/// same.
#[test]
fn survivors_that_are_locked_recover_what_they_committed() {
    let key = SigningKey::ed25519("acme.example/recovery", [0x77; 32]).unwrap();
    let listed = vec![recovery_key_hash(key.verifier())];
    let base = Manifest {
        recovery_keys: listed.clone(),
        ..founding(&[0, 1, 2, 3], 0)
    };
    let after = |base: &Manifest, variant| Manifest {
        recovery_keys: listed.clone(),
        ..amendment(base, &[0, 1, 2, 3], variant)
    };
    let (next, other) = (after(&base, 5), after(&base, 6));
    let base = Federation::new(base.hash(), base).unwrap();
    let mut one = One::new(Some(base.clone()), settings(0));
    one.propose(1, &next, 1);
    let asked = one.approve(&next, 1).unwrap();
    one.sign(&asked, 0);
    one.take(Input::Acked { size: 1 }).unwrap();
    for by in [1, 2] {
        one.say(by, &next, 1, Saying::Approve).unwrap();
    }
    assert_eq!(
        one.ceremony.status(CREATED).unwrap().lock,
        Some((next.hash(), 1))
    );
    // Two are gone for good. The others give way to what they committed, and to nothing else.
    let election = Election::amending(base.id(), base.manifest());
    for manifest in [&next, &other] {
        let made = Recovery::signed_by(&key, &election, manifest, None).unwrap();
        one.hear(Document::Link(Box::new(Link::Recovered(made))))
            .unwrap();
    }
    one.now_seconds += YIELD_AFTER_SECONDS;
    let give_way = |manifest: &Manifest| Input::Yield {
        manifest: manifest.hash(),
        confirm: confirmation(1, &manifest.hash()),
    };
    assert!(matches!(
        one.take(give_way(&other)),
        Err(Refused::Locked { .. })
    ));
    let asked = one.take(give_way(&next)).unwrap();
    let after_it = one.sign(&asked, 1);
    assert!(
        matches!(after_it[..], [Promise::Append { .. }]),
        "{after_it:?}"
    );
    one.take(Input::Acked { size: 2 }).unwrap();
    one.say(
        1,
        &next,
        0,
        Saying::Yield {
            seen_seconds: CREATED,
        },
    )
    .unwrap();
    assert_eq!(one.ceremony.chain().unwrap().recovered(), [1]);
    // The key is listed again, and signs nothing any more.
    let chain = one.ceremony.chain().unwrap();
    let again = after(chain.manifest(), 7);
    let again = Recovery::signed_by(&key, &chain.election(), &again, None).unwrap();
    let refused = one
        .hear(Document::Link(Box::new(Link::Recovered(again))))
        .unwrap_err();
    assert!(refused.to_string().contains("used before"), "{refused}");
}
