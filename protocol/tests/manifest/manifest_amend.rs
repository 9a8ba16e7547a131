//! What an amendment may change, how it reads on a review screen, and when it can never take effect.

use crate::fixture::{CREATED, FACTORY, LINEAGE, manifest, member};
use belfry_protocol::manifest::{AmendmentError, Field, Manifest, Member, Risk};
use belfry_protocol::note::SigningKey;
use belfry_protocol::tlog::hash::Hash;
use std::collections::BTreeSet;

/// The next epoch, with nothing else changed.
fn next() -> Manifest {
    Manifest {
        epoch: 1,
        previous: Some(manifest().hash()),
        created_seconds: CREATED + 60,
        ..manifest()
    }
}

fn fourth() -> Member {
    let key = SigningKey::ed25519("oslo.example", [0x61; 32]).unwrap();
    Member {
        name: "oslo.example".to_owned(),
        identity: key.verifier().clone(),
        peer: "12D3KooWPJMiEvJ35ads69T4zVAVvihYwqvsA3HwPG47xhFPpUXR".to_owned(),
        ..member("one.example", false, true)
    }
}

fn lines(next: &Manifest) -> Vec<String> {
    let changes = manifest().diff(next);
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn an_amendment_follows_exactly_what_it_amends() {
    let base = manifest();
    assert_eq!(next().check(), Ok(()));
    assert_eq!(base.check_successor(&next()), Ok(()));
    let refused = |change: fn(&mut Manifest)| {
        let mut next = next();
        change(&mut next);
        base.check_successor(&next).unwrap_err()
    };
    assert_eq!(
        refused(|m| m.epoch = 2),
        AmendmentError::Epoch { base: 0, next: 2 }
    );
    assert_eq!(
        refused(|m| m.previous = Some(Hash([7; 32]))),
        AmendmentError::Previous(0)
    );
    assert_eq!(
        refused(|m| m.lineage = *b"another lineage!"),
        AmendmentError::Fixed("lineage")
    );
    assert_eq!(
        refused(|m| m.federation = "Other".to_owned()),
        AmendmentError::Fixed("federation")
    );
    assert_eq!(
        refused(|m| m.created_seconds = CREATED - 1),
        AmendmentError::Created
    );
    assert_eq!(next().lineage, LINEAGE);
}

#[test]
fn a_diff_reads_like_a_sentence() {
    assert_eq!(lines(&next()), Vec::<String>::new());
    let mut next = next();
    next.members.retain(|member| member.name != "two.example");
    next.members.insert(1, fourth());
    next.members.sort_by(|a, b| a.name.cmp(&b.name));
    let (at, _) = next.member("one.example").unwrap();
    next.members[at].addresses = vec!["/dns4/new.example/tcp/1".to_owned()];
    next.members[at].http = Some("https://one.example".to_owned());
    next.amendment_threshold = 4;
    next.recovery_keys.clear();
    let said = lines(&next);
    assert_eq!(
        &said[..5],
        [
            "~ one.example: addresses /dns4/one.example/tcp/7420 → /dns4/new.example/tcp/1",
            "+ one.example: HTTP URL https://one.example",
            "- member two.example (tower)",
            "+ member oslo.example (tower)",
            "~ amendment threshold 3 → 4",
        ]
    );
    assert!(said[5].starts_with("- recovery key 273ab506") && said.len() == 6);
    let fields = manifest().diff(&next);
    assert_eq!(fields[2].field, Field::Member);
    assert_eq!(fields[2].member.as_deref(), Some("two.example"));
}

#[test]
fn who_has_a_new_identity_key_joins() {
    let base = manifest();
    assert_eq!(base.joiners(&next()).count(), 0);
    let mut next = next();
    next.members.push(fourth());
    let key = SigningKey::ed25519("two.example", [0x62; 32]).unwrap();
    let (at, _) = next.member("two.example").unwrap();
    next.members[at].identity = key.verifier().clone();
    let names: Vec<&str> = base.joiners(&next).map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["two.example", "oslo.example"]);
    let risks = base.amendment_risks(&next);
    assert!(risks.contains(&Risk::IdentityReplaced("two.example".to_owned())));
    assert!(risks[0].is_severe());
}

#[test]
fn what_weakens_is_told_and_severe_things_first() {
    let base = Manifest {
        amendment_threshold: 4,
        tower_quorum: 3,
        ..manifest()
    };
    let mut next = Manifest {
        previous: Some(base.hash()),
        mirroring: false,
        effective_seconds: None,
        recovery_keys: Vec::new(),
        expires_seconds: CREATED + 60 + 500 * 86_400,
        protocol: ((1, 1), (1, 1)),
        ..next()
    };
    next.members.retain(|member| member.name != "two.example");
    next.members
        .iter_mut()
        .filter(|member| member.name == "three.example")
        .for_each(|member| member.tower = false);
    let risks = base.amendment_risks(&next);
    let severe = risks.iter().take_while(|risk| risk.is_severe()).count();
    assert!(risks[severe..].iter().all(|risk| !risk.is_severe()));
    for risk in [
        Risk::ThresholdLowered {
            before: 4,
            after: 3,
        },
        Risk::QuorumLowered {
            before: 3,
            after: 2,
        },
        Risk::MirroringEnds,
        Risk::ManyReplaced { gone: 1, veto: 1 },
        Risk::TowersLeave {
            factory: FACTORY.to_owned(),
            leave: 2,
            spare: 0,
        },
        Risk::RecoveryKeysChanged,
        Risk::NoRecoveryKeys,
        Risk::OldestProtocolRaised,
        Risk::LongValidity { days: 500 },
    ] {
        assert!(risks.contains(&risk), "{risk:?} in {risks:?}");
    }
    assert!(
        manifest()
            .risks()
            .iter()
            .all(|risk| matches!(risk, Risk::Collusion { .. }))
    );
}

/// R14: "An amendment that replaces more dead towers than n - k can never be jointly acked: say so at proposal time."
#[test]
fn too_many_dead_towers_are_refused_with_the_arithmetic() {
    let (base, next) = (manifest(), next()); // n = 3, k = 2
    let dead = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<&str>>();
    assert_eq!(base.check_joint(&next, &dead(&["one.example"])), Ok(()));
    // The factory's own member is no tower of its own ledger.
    assert_eq!(
        base.check_joint(&next, &dead(&["one.example", FACTORY])),
        Ok(())
    );
    let said = base
        .check_joint(&next, &dead(&["one.example", "two.example"]))
        .unwrap_err();
    assert_eq!(
        said.to_string(),
        "for the factory \"acme.example/line-4\" 2 of n = 3 towers of epoch 0 are dead, and at most n - k = 3 - 2 = 1 may \
         be: no digest could ever carry the quorums of both epochs, so the new epoch would never take effect; revive a tower \
         first, or replace fewer in one amendment"
    );
    // Epoch 0 has its quorum, and the new list has not.
    let mut fewer = next;
    fewer.members.retain(|member| member.name != "two.example");
    let said = base
        .check_joint(&fewer, &dead(&["one.example"]))
        .unwrap_err();
    assert!(matches!(said, AmendmentError::NeverJoint { epoch: 1, .. }));
}
