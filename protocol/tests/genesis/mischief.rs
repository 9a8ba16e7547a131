//! What one member can do to the vote of the others: nothing that lasts.

use crate::fixture::{amendment, federation, founding, person, proposal, settings, signed, vote};
use crate::one::{One, two};
use belfry_protocol::genesis::ceremony::{Document, Input, MAX_PROPOSALS_EACH, Promise, status};
use belfry_protocol::genesis::{GenesisError, Saying};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::note::{SignatureLine, SignedNote, SigningKey};

fn standing(one: &One, manifest: &Manifest) -> status::ManifestStatus {
    let status = one.ceremony.status(one.now_seconds).unwrap();
    let mut all = status.manifests.into_iter();
    all.find(|m| m.manifest == manifest.hash()).unwrap()
}

/// A member proposes all it may, lists people whom it invented, and lets them say everything in every round.
#[test]
fn invented_joiners_fill_nobodys_place() {
    let base = founding(&[0, 1, 2, 3], 0);
    let mut one = One::amending();
    let invented: Vec<usize> = (5..9).collect();
    let all = [&[0, 1, 2, 3][..], &invented].concat();
    let mut kept = 0;
    for variant in 0..MAX_PROPOSALS_EACH as u64 {
        let flood = amendment(&base, &all, 100 + variant);
        one.propose(3, &flood, 1);
        for round in 1..=16 {
            for by in &invented {
                // Each of them contradicts itself, too.
                let reason = || "no".to_owned();
                for saying in [Saying::Approve, Saying::Refuse { reason: reason() }] {
                    let _taken_or_not = one.say(*by, &flood, round, saying);
                }
            }
        }
        kept = one.ceremony.documents().len();
    }
    // Proposals, an approval and a refusal of each of each manifest at most, and evidence.
    let most = MAX_PROPOSALS_EACH * (1 + 2 * invented.len()) + 8;
    assert!(kept <= most, "{kept} documents are kept");
    let more = proposal(3, &one.election(), &amendment(&base, &all, 99), 1);
    assert!(one.hear(Document::Proposal(Box::new(more))).is_err());
    // One piece of evidence against each, and no more than eight against people of whom nobody knows whether they exist.
    assert!(one.ceremony.status(one.now_seconds).unwrap().accused.len() <= 8);

    // The others go on: a joiner of theirs is taken, and a member that votes twice is still shown to have done so.
    let next = amendment(&base, &[0, 1, 2, 3, 4], 1);
    one.propose(1, &next, 1);
    assert_eq!(standing(&one, &next).round, 1);
    for by in [4, 1, 2] {
        one.say(by, &next, 1, Saying::Approve).unwrap();
    }
    let asked = one.approve(&next, 1).unwrap();
    let committed = one.sign(&asked, 0);
    assert!(committed.iter().all(|p| !matches!(p, Promise::Send(_))));
    let acked = one.take(Input::Acked { size: 1 }).unwrap();
    let commits = |p: &Promise| matches!(p, Promise::Sign { statement, .. } if statement.saying == Saying::Commit);
    assert!(acked.iter().any(commits), "{acked:?}");
    let flood = amendment(&base, &all, 100);
    one.say(3, &next, 2, Saying::Approve).unwrap();
    one.say(3, &flood, 2, Saying::Approve).unwrap();
    let status = one.ceremony.status(one.now_seconds).unwrap();
    assert!(
        status
            .accused
            .contains(&person(3).identity.name().to_owned())
    );
}

/// One member votes and proposes far ahead: the others still meet in the first round.
#[test]
fn who_votes_far_ahead_draws_nobody_there() {
    let (a, b) = two();
    let mut one = One::amending();
    one.propose(1, &a, 1);
    one.propose(3, &a, 16);
    one.say(3, &a, 16, Saying::Approve).unwrap();
    assert_eq!(standing(&one, &a).round, 1);
    // It does not take the rounds between from the next proposal, either.
    let suggested = one.ceremony.status(one.now_seconds).unwrap().suggested;
    assert_eq!(suggested, Some((a.hash(), 2)));
    for by in [1, 2] {
        one.say(by, &a, 1, Saying::Approve).unwrap();
    }
    let asked = one.approve(&a, standing(&one, &a).round).unwrap();
    one.sign(&asked, 0);
    let acked = one.take(Input::Acked { size: 1 }).unwrap();
    assert!(acked.iter().any(|p| matches!(p, Promise::Sign { .. })));
    assert_eq!(standing(&one, &a).state, status::State::Ready);

    // A round that is lost is left: of four, three are needed, and two chose something else.
    let mut split = One::amending();
    split.propose(1, &a, 1);
    split.propose(1, &b, 1);
    split.say(1, &a, 1, Saying::Approve).unwrap();
    for by in [2, 3] {
        split.say(by, &b, 1, Saying::Approve).unwrap();
    }
    // In the first round b can still be won, by this member; a cannot.
    split.propose(2, &a, 2);
    split.propose(2, &b, 2);
    assert_eq!(
        (standing(&split, &a).round, standing(&split, &b).round),
        (2, 1)
    );
    assert_eq!(standing(&split, &b).later, Some(2));
    // Whoever voted later does not go back.
    let asked = split.approve(&a, 2).unwrap();
    assert!(matches!(asked[..], [Promise::Sign { .. }]));
    assert_eq!(standing(&split, &b).round, 2);
}

/// Three days after it was proposed a manifest may be proposed again, and is signed there.
#[test]
fn a_new_round_is_used_once_the_old_one_is_over() {
    let (a, _) = two();
    let mut one = One::amending();
    one.propose(1, &a, 1);
    assert_eq!(standing(&one, &a).round, 1);
    one.now_seconds += belfry_protocol::genesis::OPEN_SECONDS;
    assert_eq!(standing(&one, &a).state, status::State::Expired);
    let statement = belfry_protocol::genesis::Statement {
        subject: one.election().subject(a.hash(), 2),
        saying: Saying::Propose {
            opened_seconds: one.now_seconds,
            title: "Again".to_owned(),
        },
    };
    let note = signed(1, &statement).note().clone();
    let again = belfry_protocol::genesis::Proposal::new(a.clone(), note).unwrap();
    one.hear(Document::Proposal(Box::new(again))).unwrap();
    let shown = standing(&one, &a);
    assert_eq!((shown.round, shown.state), (2, status::State::Open));
}

/// The signatures of what came are looked at before the step that takes it.
#[test]
fn a_wrong_signature_never_reaches_a_step() {
    let (a, _) = two();
    let mut one = One::new(Some(federation(&[0, 1, 2, 3])), settings(0));
    let proposed = proposal(1, &one.election(), &a, 1);
    let right = vote(2, &one.election(), &a, 1, Saying::Approve);
    let line = right.line();
    let mut bytes = line.signature().to_vec();
    bytes[7] ^= 1;
    let line = SignatureLine::new(line.name(), line.key_id(), bytes).unwrap();
    let note = SignedNote::new(right.note().text(), vec![line]).unwrap();
    let forged = belfry_protocol::genesis::Vote::new(note, None).unwrap();
    let inputs: Vec<Input> = [
        Document::Proposal(Box::new(proposed)),
        Document::Vote(Box::new(right)),
        Document::Vote(Box::new(forged)),
    ]
    .into_iter()
    .map(|one| Input::Document(Box::new(one)))
    .collect();
    let wrong = one.ceremony.check_ahead(&inputs);
    assert_eq!(wrong.keys().copied().collect::<Vec<_>>(), [2]);
    let said = wrong[&2].to_string();
    let expected = GenesisError::Signature {
        name: person(2).identity.name().to_owned(),
    };
    assert_eq!(said, expected.to_string());
    // Looking changes nothing.
    assert_eq!(one.ceremony.documents(), []);
}

/// Enough approved in the first round, and not enough commit there: the way out is a later round (R14), and screens lead to it.
#[test]
fn after_a_certificate_a_later_round_is_signed() {
    let (a, _) = two();
    let mut one = One::amending();
    one.propose(1, &a, 1);
    let asked = one.approve(&a, 1).unwrap();
    one.sign(&asked, 0);
    one.take(Input::Acked { size: 1 }).unwrap();
    for by in [1, 3] {
        one.say(by, &a, 1, Saying::Approve).unwrap();
    }
    let shown = standing(&one, &a);
    assert_eq!((shown.round, shown.state), (1, status::State::Ready));
    let suggested = one.ceremony.status(one.now_seconds).unwrap().suggested;
    assert_eq!(suggested, Some((a.hash(), 2)));
    one.propose(2, &a, 2);
    assert_eq!(standing(&one, &a).round, 2);
    let again = one.approve(&a, 2).unwrap();
    assert!(matches!(again[..], [Promise::Sign { .. }]));
}

/// Whoever refused a manifest, or approved another one, may change its mind in a later round, and those who signed go there, too.
#[test]
fn a_change_of_mind_is_signed_where_it_may_be() {
    let (a, b) = two();
    let mut refuser = One::amending();
    refuser.propose(1, &a, 1);
    for by in [1, 2] {
        refuser.say(by, &a, 1, Saying::Approve).unwrap();
    }
    let reason = "not yet".to_owned();
    refuser.say(0, &a, 1, Saying::Refuse { reason }).unwrap();
    refuser.propose(1, &a, 2);
    assert_eq!(standing(&refuser, &a).round, 2);
    refuser.approve(&a, 2).unwrap();

    let mut other = One::amending();
    other.propose(1, &a, 1);
    other.propose(1, &b, 1);
    other.approve(&b, 1).unwrap();
    other.propose(1, &a, 2);
    assert_eq!(standing(&other, &a).round, 2);

    // One that signed in the first round is shown the second once more others are there than may lie.
    let mut signed = One::amending();
    signed.propose(1, &a, 1);
    signed.approve(&a, 1).unwrap();
    signed.propose(2, &a, 2);
    assert_eq!(
        (standing(&signed, &a).round, standing(&signed, &a).later),
        (1, Some(2))
    );
    signed.say(2, &a, 2, Saying::Approve).unwrap();
    assert_eq!(standing(&signed, &a).round, 1);
    signed.say(3, &a, 2, Saying::Approve).unwrap();
    assert_eq!(
        (standing(&signed, &a).round, standing(&signed, &a).later),
        (2, None)
    );
}

/// What a proposer says of the time moves nobody: 72 hours count from when a node saw the first proposal of a round.
#[test]
fn claimed_times_move_nobody() {
    let (a, _) = two();
    let mut one = One::amending();
    let claim = |one: &One, by: usize, round: u64, opened_seconds: u64| {
        let statement = belfry_protocol::genesis::Statement {
            subject: one.election().subject(a.hash(), round),
            saying: Saying::Propose {
                opened_seconds,
                title: "Now".to_owned(),
            },
        };
        let note = signed(by, &statement).note().clone();
        let made = belfry_protocol::genesis::Proposal::new(a.clone(), note).unwrap();
        Document::Proposal(Box::new(made))
    };
    let (long_ago, never) = (claim(&one, 3, 1, 0), claim(&one, 3, 16, u64::MAX >> 12));
    one.hear(long_ago).unwrap();
    one.hear(never).unwrap();
    assert_eq!(standing(&one, &a).round, 1);
    assert_eq!(standing(&one, &a).state, status::State::Open);
    one.now_seconds += belfry_protocol::genesis::OPEN_SECONDS;
    assert_eq!(standing(&one, &a).state, status::State::Expired);
}

/// Somebody lists a key of its own under another's name and lets it vote twice: nobody but that key is accused, and whoever bears the
/// name can still be.
#[test]
fn nobody_is_accused_for_a_key_under_their_name() {
    let base = founding(&[0, 1, 2, 3], 0);
    let usurped = |variant| {
        let mut next = amendment(&base, &[0, 1, 2, 3], variant);
        let stranger = SigningKey::ed25519(&next.members[2].name, [9; 32]).unwrap();
        next.members[2].identity = stranger.verifier().clone();
        (next, stranger)
    };
    let mut one = One::amending();
    for variant in [11, 12] {
        let (next, stranger) = usurped(variant);
        one.propose(3, &next, 1);
        let subject = one.election().subject(next.hash(), 1);
        let saying = Saying::Approve;
        let text = belfry_protocol::genesis::Statement { subject, saying }.to_string();
        let note = stranger.signed_note(&text).unwrap();
        let vote = belfry_protocol::genesis::Vote::new(note, None).unwrap();
        let said = one.hear(Document::Vote(Box::new(vote))).unwrap();
        assert_eq!(said, [], "no entry says that a member lied");
    }
    let name = person(2).identity.name();
    let accused = one.ceremony.status(one.now_seconds).unwrap().accused;
    assert!(!accused.iter().any(|one| one == name), "{accused:?}");
    let (a, b) = two();
    for manifest in [&a, &b] {
        one.propose(1, manifest, 1);
        one.say(2, manifest, 1, Saying::Approve).unwrap();
    }
    let accused = one.ceremony.status(one.now_seconds).unwrap().accused;
    assert!(accused.iter().any(|one| one == name), "{accused:?}");
}

/// A proposer takes back two manifests of one round, and a member refuses two: each is told apart. What was taken back is signed by
/// nobody, until somebody proposes it again.
#[test]
fn several_are_taken_back_and_refused_in_one_round() {
    let (a, b) = two();
    let mut one = One::amending();
    for manifest in [&a, &b] {
        one.propose(1, manifest, 1);
        let reason = "no".to_owned();
        one.say(2, manifest, 1, Saying::Refuse { reason }).unwrap();
        one.say(1, manifest, 1, Saying::Withdraw).unwrap();
        let shown = standing(&one, manifest);
        assert_eq!(shown.state, status::State::Withdrawn);
        assert_eq!(shown.refused.len(), 1);
    }
    let refused = one.approve(&a, 1).unwrap_err();
    assert!(refused.to_string().contains("took it back"), "{refused}");
    one.propose(3, &a, 2);
    assert_eq!(
        (standing(&one, &a).round, standing(&one, &a).state),
        (2, status::State::Open)
    );
    one.approve(&a, 2).unwrap();
}

/// Whoever stole operational keys could commit in their member's name, and make it look like a liar: not once they are revoked.
#[test]
fn revoked_keys_commit_nothing() {
    let (a, b) = two();
    let mut one = One::amending();
    for manifest in [&a, &b] {
        one.propose(1, manifest, 1);
    }
    for by in [1, 2, 3] {
        one.say(by, &a, 1, Saying::Approve).unwrap();
    }
    one.say(2, &a, 1, Saying::Commit).unwrap();
    let name = person(2).identity.name().to_owned();
    one.ceremony.set_revoked([(name.clone(), 1)].into());
    let refused = one.say(2, &b, 1, Saying::Commit).unwrap_err();
    assert!(refused.to_string().contains("revoked"), "{refused}");
    // Nor by way of evidence.
    let commit = |manifest: &Manifest| vote(2, &one.election(), manifest, 1, Saying::Commit);
    let evidence = belfry_protocol::genesis::Evidence::of(&commit(&a), &commit(&b)).unwrap();
    assert!(one.hear(Document::Evidence(Box::new(evidence))).is_err());
    assert!(
        one.ceremony
            .status(one.now_seconds)
            .unwrap()
            .accused
            .is_empty()
    );
    // What was taken before stands, and other members' keys are their own.
    assert_eq!(standing(&one, &a).committed, [name]);
    one.say(3, &a, 1, Saying::Commit).unwrap();
}

/// Whoever refuses much does not lose what it approved, also not in a founding, where less is kept of each.
#[test]
fn refusals_push_no_approval_out() {
    let base = founding(&[0, 1, 2, 3], 0);
    let mut one = One::founding();
    one.propose(1, &base, 1);
    one.say(2, &base, 1, Saying::Approve).unwrap();
    for (by, from) in [(1, 1), (3, 20)] {
        for variant in 0..MAX_PROPOSALS_EACH as u64 - 1 {
            let rival = founding(&[0, 1, 2, 3], from + variant);
            one.propose(by, &rival, 1);
            let reason = "no".to_owned();
            one.say(2, &rival, 1, Saying::Refuse { reason }).unwrap();
        }
    }
    let name = person(2).identity.name().to_owned();
    assert!(standing(&one, &base).approved.contains(&name));
}

/// A refusal is of its round: whoever approves later has changed its mind.
#[test]
fn a_refusal_ends_with_its_round() {
    let (a, _) = two();
    let mut one = One::amending();
    one.propose(1, &a, 1);
    for by in [2, 3] {
        let reason = "wrong port".to_owned();
        one.say(by, &a, 1, Saying::Refuse { reason }).unwrap();
    }
    assert_eq!(standing(&one, &a).state, status::State::Rejected);
    one.propose(1, &a, 2);
    one.say(2, &a, 2, Saying::Approve).unwrap();
    let shown = standing(&one, &a);
    assert_eq!((shown.round, shown.state), (2, status::State::Open));
}
