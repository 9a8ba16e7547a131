//! Single rules of R14, each where it bites: what a member refuses and why, and what leaves it when.

use crate::fixture::{
    CREATED, LINEAGE, Shared, amendment, federation, founding, member, name, person, settings,
    signed, vote,
};
use crate::one::{One, sends, two};
use belfry_protocol::genesis::ceremony::{Document, Input, Promise, Refused, Settings, status};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::genesis::{Election, Evidence, Saying, Statement, Vote};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::note::SigningKey;

#[test]
fn an_approval_leaves_only_when_towers_hold_it() {
    let (mut one, (a, b)) = (One::amending(), two());
    assert!(matches!(one.approve(&a, 1), Err(Refused::Unknown(_))));
    one.propose(1, &a, 1);
    one.propose(2, &b, 1);
    let hash = a.hash();
    let typed = |confirm: &str| Input::Approve {
        manifest: hash,
        round: 1,
        confirm: confirm.to_owned(),
    };
    let said = one.take(typed("1:00000000")).unwrap_err();
    assert!(
        said.to_string()
            .contains(&format!("type \"1:{}\"", &hash.to_hex()[..8]))
    );
    // The lock comes first, and nothing but a question to the key.
    let promises = one.approve(&a, 1).unwrap();
    assert!(matches!(promises[..], [Promise::Sign { .. }]));
    // A crash between lock and signature: the lock holds, and the question comes again.
    one.restart(settings(0));
    assert!(matches!(one.approve(&b, 1), Err(Refused::Voted { .. })));
    let again = one.take(Input::Resume).unwrap();
    assert_eq!(again, promises);
    // Signed, it waits for its entry, and the entry for an acked digest.
    let after = one.sign(&again, 7);
    assert!(matches!(
        after[..],
        [Promise::Append {
            kind: "genesis.vote",
            ..
        }]
    ));
    assert_eq!(one.take(Input::Acked { size: 7 }).unwrap(), []);
    one.restart(settings(0));
    assert_eq!(sends(&one.take(Input::Resume).unwrap()), 0);
    assert_eq!(sends(&one.take(Input::Acked { size: 8 }).unwrap()), 1);
    assert_eq!(sends(&one.take(Input::Acked { size: 9 }).unwrap()), 0);
    // A signature that nobody asked for is not taken.
    let other = vote(0, &one.election(), &b, 2, Saying::Approve);
    assert_eq!(
        one.take(Input::Signed(Box::new(other))),
        Err(Refused::NotAsked)
    );
}

#[test]
fn a_commit_locks_and_only_a_later_certificate_for_another_manifest_opens() {
    let (mut one, (a, b)) = (One::amending(), two());
    one.propose(1, &a, 1);
    one.propose(1, &b, 1);
    for by in [1, 2] {
        one.say(by, &a, 1, Saying::Approve).unwrap();
    }
    // t = 3 of 4: the third approval makes the certificate, and the certificate the commit.
    let promises = one.say(3, &a, 1, Saying::Approve).unwrap();
    assert!(matches!(
        &promises[..],
        [Promise::Sign { statement, .. }] if statement.saying == Saying::Commit
    ));
    assert!(matches!(
        one.approve(&b, 2),
        Err(Refused::Locked { round: 1, .. })
    ));
    // What it committed it may approve again, also late in the same round.
    one.approve(&a, 1).unwrap();
    // A second certificate for the same manifest opens nothing (and is committed to in its turn).
    for by in [1, 2, 3] {
        one.say(by, &a, 2, Saying::Approve).unwrap();
    }
    assert!(matches!(
        one.approve(&b, 3),
        Err(Refused::Locked { round: 2, .. })
    ));
    // A later one for another manifest does.
    for by in [1, 2, 3] {
        one.say(by, &b, 4, Saying::Approve).unwrap();
    }
    assert_eq!(one.ceremony.voted(4).1, Some(b.hash()));
    assert_eq!(
        one.ceremony.status(CREATED).unwrap().lock,
        Some((b.hash(), 4))
    );
    // And it never goes back.
    assert!(matches!(
        one.approve(&a, 3),
        Err(Refused::RoundBack {
            round: 3,
            highest: 4
        })
    ));
}

#[test]
fn rounds_far_ahead_are_not_followed() {
    let (mut one, (a, _)) = (One::amending(), two());
    one.propose(1, &a, 1);
    let far = |error: Result<_, Refused>| matches!(error, Err(Refused::TooFar { highest: 16, .. }));
    assert!(far(one.say(1, &a, 17, Saying::Approve)));
    assert!(far(one.approve(&a, 17)));
    assert!(far(one.approve(&a, 0)));
    one.say(1, &a, 16, Saying::Approve).unwrap();
    one.approve(&a, 16).unwrap();
    // From there sixteen more.
    one.say(1, &a, 32, Saying::Approve).unwrap();
}

#[test]
fn two_votes_of_one_key_in_one_round_are_evidence() {
    let (mut one, (a, b)) = (One::amending(), two());
    one.propose(1, &a, 1);
    one.propose(1, &b, 1);
    one.say(3, &a, 1, Saying::Approve).unwrap();
    one.say(3, &b, 2, Saying::Approve).unwrap(); // another round: honest
    assert!(one.ceremony.status(CREATED).unwrap().accused.is_empty());
    let promises = one.say(3, &b, 1, Saying::Approve).unwrap();
    let body = promises.iter().find_map(|promise| match promise {
        Promise::Append {
            kind: "genesis.evidence",
            body,
            ..
        } => Some(body.clone()),
        _ => None,
    });
    // It travels as a file, and convinces whoever knows the key.
    let evidence = Evidence::parse(body.unwrap().as_bytes()).unwrap();
    assert_eq!(evidence.accused(), name(3));
    let mut verifier = belfry_protocol::genesis::Verifier::new(Shared::new());
    let key = |at: usize| person(at).identity.verifier();
    assert_eq!(evidence.verify(key(3), &mut verifier), Ok(()));
    assert!(evidence.verify(key(2), &mut verifier).is_err());
    assert_eq!(one.ceremony.status(CREATED).unwrap().accused, [name(3)]);
    // Once is enough, also after a start.
    one.restart(settings(0));
    assert_eq!(one.hear(Document::Evidence(Box::new(evidence))), Ok(vec![]));
    assert_eq!(one.ceremony.status(CREATED).unwrap().accused, [name(3)]);
}

#[test]
fn votes_of_other_federations_lineages_and_strangers_are_refused() {
    let (mut one, (a, _)) = (One::amending(), two());
    one.propose(1, &a, 1);
    let other = federation(&[0, 1, 2, 3, 4]);
    let elsewhere = Election::amending(other.id(), other.manifest());
    let foreign = vote(1, &elsewhere, &a, 1, Saying::Approve);
    let said = one.hear(Document::Vote(Box::new(foreign))).unwrap_err();
    assert!(
        said.to_string().contains("it is about epoch 1 of"),
        "{said}"
    );
    let said = one.say(4, &a, 1, Saying::Approve).unwrap_err();
    assert!(said.to_string().contains("has no say"), "{said}");
    // Somebody else's name under a key of one's own.
    let election = one.election();
    let subject = election.subject(a.hash(), 1);
    let text = Statement {
        subject,
        saying: Saying::Approve,
    };
    let key = SigningKey::ed25519(&name(1), [9; 32]).unwrap();
    let note = key.signed_note(&text.to_string()).unwrap();
    let forged = Document::Vote(Box::new(Vote::new(note, None).unwrap()));
    assert!(one.hear(forged).is_err());
    // A vote of an epoch that is over.
    let past = Election::founding(LINEAGE);
    let base = founding(&[0, 1, 2, 3], 0);
    let late = vote(1, &past, &base, 1, Saying::Approve);
    assert_eq!(
        one.hear(Document::Vote(Box::new(late))),
        Err(Refused::Over(0))
    );
}

/// The finding of the model: at epoch 0 every acceptance is standing, and that alone would make a certificate in each round.
#[test]
fn standing_acceptances_alone_make_no_certificate() {
    let mut one = One::founding();
    let full = founding(&[0, 1, 2, 3], 0);
    one.propose(1, &full, 1);
    for by in 1..4 {
        one.say(by, &full, by as u64, Saying::Approve).unwrap();
    }
    let promises = one.approve(&full, 4).unwrap();
    let after = one.sign(&promises, 0);
    assert_eq!(
        sends(&after),
        1,
        "before epoch 0 there is nothing to wait for"
    );
    assert_eq!(one.ceremony.status(CREATED).unwrap().lock, None);
    for by in 1..3 {
        one.say(by, &full, 4, Saying::Approve).unwrap();
    }
    let lock = one.ceremony.status(CREATED).unwrap().lock;
    assert_eq!(lock, Some((full.hash(), 4)));
}

#[test]
fn an_absentee_is_dropped_only_while_the_fuller_list_has_no_certificate() {
    let (full, fewer) = (founding(&[0, 1, 2, 3], 0), founding(&[0, 1, 2], 1));
    let mut one = One::founding();
    one.propose(1, &full, 1);
    one.propose(1, &fewer, 2);
    one.say(1, &full, 1, Saying::Approve).unwrap();
    let mut other = One::founding();
    other.propose(1, &full, 1);
    other.propose(1, &fewer, 2);
    // Without it: a new round, and everybody on the shorter list.
    one.approve(&fewer, 2).unwrap();
    // With it, though this member committed nothing: it voted in a later round before.
    let promises = other.approve(&full, 2).unwrap();
    other.sign(&promises, 0);
    for by in 1..4 {
        other.say(by, &full, 1, Saying::Approve).unwrap();
    }
    // All four accepted, three of them in round 1.
    assert_eq!(other.ceremony.status(CREATED).unwrap().lock, None);
    let said = other.approve(&fewer, 3).unwrap_err();
    assert!(matches!(said, Refused::Fuller { round: 1, .. }), "{said}");
    other.approve(&full, 3).unwrap();
}

#[test]
fn a_founding_ends_in_the_same_chain_everywhere() {
    let full = founding(&[0, 1, 2, 3], 0);
    let mut one = One::founding();
    one.propose(1, &full, 1);
    let promises = one.approve(&full, 1).unwrap();
    one.sign(&promises, 0);
    for by in 1..4 {
        let promises = one.say(by, &full, 1, Saying::Approve).unwrap();
        one.sign(&promises, 1);
    }
    one.say(1, &full, 1, Saying::Commit).unwrap();
    let promises = one.say(2, &full, 1, Saying::Commit).unwrap();
    let link = promises.iter().find_map(|promise| match promise {
        Promise::Activated(link) => Some(link.clone()),
        _ => None,
    });
    let link = link.expect("commits of three of four, the own one among them");
    let appended = |kind: &str| {
        let mut all = promises.iter();
        all.any(|one| matches!(one, Promise::Append { kind: k, .. } if *k == kind))
    };
    assert!(appended("genesis.active"));
    // The file convinces a stranger, and a member that was away.
    let read = Link::parse(link.to_json().as_bytes()).unwrap();
    let mut late = One::new(None, settings(3));
    let promises = late.hear(Document::Link(Box::new(read))).unwrap();
    assert!(matches!(
        promises[..],
        [Promise::Append { .. }, Promise::Activated(_)]
    ));
    assert_eq!(late.ceremony.chain(), one.ceremony.chain());
    assert_eq!(late.ceremony.chain().unwrap().id(), full.hash());
    // The next vote is on epoch 1, also after a start; and the entry is owed until it is there.
    one.restart(settings(0));
    let owed = |promises: Vec<Promise>| {
        promises.iter().any(|p| {
            matches!(
                p,
                Promise::Append {
                    kind: "genesis.active",
                    ..
                }
            )
        })
    };
    assert!(owed(one.take(Input::Resume).unwrap()));
    one.take(Input::ActiveAppended { epoch: 0 }).unwrap();
    assert!(!owed(one.take(Input::Resume).unwrap()));
    assert_eq!(one.ceremony.status(CREATED).unwrap().epoch, 1);
    assert!(matches!(
        one.say(3, &full, 1, Saying::Commit),
        Err(Refused::Over(0))
    ));
}

#[test]
fn states_say_where_a_proposal_stands() {
    let (mut one, (a, b)) = (One::amending(), two());
    one.propose(1, &a, 1);
    one.propose(2, &b, 1);
    let state = |one: &One, manifest: &Manifest, now_seconds| {
        let status = one.ceremony.status(now_seconds).unwrap();
        let mut all = status.manifests.into_iter();
        all.find(|m| m.manifest == manifest.hash()).unwrap()
    };
    let standing = state(&one, &a, CREATED);
    assert_eq!(standing.state, status::State::Open);
    assert_eq!((standing.title.as_str(), standing.needed), ("A change", 3));
    assert_eq!(standing.silent, [name(0), name(1), name(2), name(3)]);
    let closed = CREATED + belfry_protocol::genesis::OPEN_SECONDS;
    assert_eq!(state(&one, &a, closed).state, status::State::Expired);
    let refuse = |reason: &str| Saying::Refuse {
        reason: reason.to_owned(),
    };
    one.say(3, &a, 1, refuse("wrong port")).unwrap();
    let standing = state(&one, &a, CREATED);
    assert_eq!(standing.state, status::State::Open);
    assert_eq!(standing.refused, [(name(3), "wrong port".to_owned())]);
    one.say(2, &a, 1, refuse("me neither")).unwrap();
    assert_eq!(state(&one, &a, CREATED).state, status::State::Rejected);
    one.say(2, &b, 1, Saying::Withdraw).unwrap();
    assert_eq!(state(&one, &b, CREATED).state, status::State::Withdrawn);
    // A human may change its mind, in a later round.
    let mine = one.say(0, &b, 1, refuse("not yet")).unwrap();
    assert!(matches!(
        mine[..],
        [Promise::Append {
            kind: "genesis.refused",
            ..
        }]
    ));
    assert_eq!(one.approve(&b, 1), Err(Refused::RefusedBefore(1)));
    one.propose(1, &b, 2);
    one.approve(&b, 2).unwrap();
    for by in [1, 2, 3] {
        one.say(by, &b, 2, Saying::Approve).unwrap();
    }
    assert_eq!(state(&one, &b, closed).state, status::State::Ready);
    assert_eq!(
        one.ceremony.status(CREATED).unwrap().suggested,
        Some((b.hash(), 3))
    );
}

#[test]
fn a_joiner_accepts_once_and_for_all_rounds() {
    let base = founding(&[0, 1, 2, 3], 0);
    let next = amendment(&base, &[0, 1, 2, 3, 4], 1);
    let mut one = One::amending();
    one.propose(1, &next, 1);
    one.say(4, &next, 1, Saying::Approve).unwrap();
    for by in [1, 2] {
        one.say(by, &next, 3, Saying::Approve).unwrap();
    }
    // t = 3 of the four, t' = 4 of the five, the joiner among them.
    let promises = one.say(3, &next, 3, Saying::Approve).unwrap();
    assert!(matches!(promises[..], [Promise::Sign { .. }]));
    // A joiner's commit has no weight: it is no member yet.
    let said = one.say(4, &next, 3, Saying::Commit).unwrap_err();
    assert!(said.to_string().contains("has no say"), "{said}");
    assert_eq!(member(4).name, name(4));
    // Without the joiner's acceptance there is no certificate, whoever else approves.
    let mut without = One::amending();
    without.propose(1, &next, 1);
    for by in [1, 2, 3] {
        assert_eq!(without.say(by, &next, 1, Saying::Approve).unwrap(), []);
    }
}

/// No digest of a joiner's is acked before it is a member: its approval waits for none, and nobody could give it back.
#[test]
fn a_joiner_waits_for_no_ack_and_casts_no_vote_once_it_is_restored() {
    let base = federation(&[0, 1, 2, 3]);
    let with = amendment(base.manifest(), &[0, 1, 2, 3, 4], 1);
    let mut joiner = One::new(Some(base.clone()), settings(4));
    joiner.propose(0, &with, 1);
    let promises = joiner.approve(&with, 1).unwrap();
    let [Promise::Sign { statement, .. }] = &promises[..] else {
        panic!("{promises:?}");
    };
    let vote = Box::new(signed(4, statement));
    let released = joiner.take(Input::Signed(vote)).unwrap();
    assert_eq!(sends(&released), 1);

    let restored = Settings {
        restored: true,
        ..settings(4)
    };
    let mut restored = One::new(Some(base), restored);
    restored.take(Input::Resume).unwrap();
    restored.propose(0, &with, 1);
    let refused = Err(Refused::CannotRebuild);
    assert_eq!(restored.take(Input::Rebuilt(Vec::new())), refused);
    assert_eq!(restored.approve(&with, 1), refused);
}

/// Nobody watches the ledger of a mere tower: an ack would never come, and what is lost with its disk nobody can give back.
#[test]
fn a_member_that_nobody_watches_waits_for_no_ack_and_casts_no_vote_once_it_is_restored() {
    let base = federation(&[0, 1, 2, 3]);
    let next = amendment(base.manifest(), &[0, 1, 2, 3, 4], 1);
    for watched in [true, false] {
        let mine = Settings {
            watched,
            ..settings(0)
        };
        let mut one = One::new(Some(base.clone()), mine.clone());
        one.propose(1, &next, 1);
        let promises = one.approve(&next, 1).unwrap();
        let [Promise::Sign { id, statement, .. }] = &promises[..] else {
            panic!("{promises:?}");
        };
        let vote = Box::new(signed(0, statement));
        // Before its entry is durable it leaves in no case.
        assert_eq!(sends(&one.take(Input::Signed(vote)).unwrap()), 0);
        let appended = Input::Appended { id: *id, index: 7 };
        let left = sends(&one.take(appended.clone()).unwrap());
        assert_eq!(left, usize::from(!watched));
        assert_eq!(sends(&one.take(appended).unwrap()), 0);
        assert_eq!(one.ceremony.waits_for(), watched.then_some(8));
        let acked = sends(&one.take(Input::Acked { size: 8 }).unwrap());
        assert_eq!(acked, usize::from(watched));

        let restored = Settings {
            restored: true,
            ..mine
        };
        let mut restored = One::new(Some(base.clone()), restored);
        restored.take(Input::Resume).unwrap();
        restored.propose(1, &next, 1);
        let rebuilt = restored.take(Input::Rebuilt(Vec::new()));
        match watched {
            true => assert!(rebuilt.is_ok() && restored.approve(&next, 1).is_ok()),
            false => {
                assert_eq!(rebuilt, Err(Refused::Unwatched));
                assert_eq!(restored.approve(&next, 1), Err(Refused::Unwatched));
            }
        }
    }
}
