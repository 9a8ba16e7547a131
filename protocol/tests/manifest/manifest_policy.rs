//! Policies derived from a manifest: whose keys count, under which names, and how many.

use crate::fixture::{FACTORY, chain, manifest, member, vector};
use belfry_protocol::cert::Certificate;
use belfry_protocol::manifest::{
    DerivedPolicyError, Federation, Manifest, policy, policy_text, smallest_amendment,
};
use belfry_protocol::policy::Policy;

fn federation(edit: impl FnOnce(&mut Manifest)) -> Federation {
    let mut made = manifest();
    edit(&mut made);
    Federation::new(made.hash(), made).unwrap()
}

#[test]
fn the_derived_policy_is_frozen() {
    let federation = federation(|_| {});
    let text = policy_text(&federation, FACTORY, chain).unwrap();
    assert_eq!(text, vector("genesis/policy.txt"));
    let derived = policy(&federation, FACTORY, chain).unwrap();
    assert_eq!(Policy::parse(text.as_bytes()).unwrap(), derived);
    // The newest log key first; the tower with two serials stands as a group of both.
    let serials = chain(FACTORY).unwrap();
    let logs: Vec<_> = derived.logs().iter().map(|log| &log.key).collect();
    assert_eq!(logs, [&serials[1].log, &serials[0].log]);
    let groups: Vec<_> = derived
        .groups()
        .iter()
        .map(|one| (one.name.as_str(), one.threshold))
        .collect();
    assert_eq!(groups, [("one.example", 1), ("towers", 2)]);
    assert_eq!(
        derived.groups()[1].members,
        ["one.example", "three.example/mirror", "two.example/mirror"]
    );
    let valid = format!(
        "# valid until {}\n",
        chain("two.example").unwrap()[0].not_after_seconds
    );
    assert!(text.contains(&valid), "{text}");
}

#[test]
fn without_mirroring_the_ack_keys_count() {
    let federation = federation(|m| m.mirroring = false);
    let derived = policy(&federation, FACTORY, chain).unwrap();
    let names: Vec<_> = derived
        .witnesses()
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let expected = [
        "one.example+1",
        "one.example+2",
        "three.example",
        "two.example",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        derived.witnesses()[3].key,
        chain("two.example").unwrap()[0].ack
    );
    assert_eq!(
        Policy::parse(derived.to_string().as_bytes()).unwrap(),
        derived
    );
}

#[test]
fn only_the_two_newest_serials_of_a_tower_count() {
    let longer = |name: &str| {
        let mut chain = chain(name)?;
        if name == "one.example" {
            // A zeroth one, as it were: other keys before the two that are there.
            let mut older = Certificate {
                node: name.to_owned(),
                ..super::fixture::chain("two.example")?[0].clone()
            };
            older.serial = 0;
            chain.insert(0, older);
        }
        Some(chain)
    };
    let federation = federation(|_| {});
    assert_eq!(
        policy(&federation, FACTORY, longer),
        policy(&federation, FACTORY, chain)
    );
}

#[test]
fn the_origin_s_own_member_never_counts() {
    let federation = federation(|m| m.members[1].factory = true);
    let derived = policy(&federation, "one.example", chain).unwrap();
    let names: Vec<_> = derived
        .witnesses()
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["three.example/mirror", "two.example/mirror"]);
    assert!(derived.to_string().contains("group towers all three"));
}

#[test]
fn a_lone_tower_s_own_ledger_has_no_quorum() {
    let lone = federation(|m| {
        m.members = vec![
            member(FACTORY, true, false),
            member("one.example", false, true),
        ];
        (m.tower_quorum, m.amendment_threshold) = (1, smallest_amendment(2).unwrap());
    });
    let derived = policy(&lone, "one.example", chain).unwrap();
    assert_eq!((derived.quorum(), derived.witnesses().len()), (None, 0));
    assert_eq!(lone.quorum_of("one.example"), None);
    assert!(derived.to_string().ends_with("quorum none\n"));
    // With three towers and k = 3, each tower's own ledger has only two others: that is said, not softened.
    let three = federation(|m| m.tower_quorum = 3);
    let said = policy(&three, "one.example", chain).unwrap_err();
    assert_eq!(
        said,
        DerivedPolicyError::NoQuorum {
            origin: "one.example".to_owned(),
            towers: 2,
            needed: 3
        }
    );
}

#[test]
fn what_is_missing_is_named() {
    let federation = federation(|_| {});
    let said = policy(&federation, "nobody.example", chain).unwrap_err();
    assert_eq!(
        said,
        DerivedPolicyError::UnknownOrigin("nobody.example".to_owned())
    );
    let without = |absent: &'static str| move |name: &str| chain(name).filter(|_| name != absent);
    for absent in [FACTORY, "two.example"] {
        let said = policy(&federation, FACTORY, without(absent)).unwrap_err();
        assert_eq!(said, DerivedPolicyError::NoCertificate(absent.to_owned()));
    }
    let empty = |_: &str| Some(Vec::new());
    assert!(policy(&federation, FACTORY, empty).is_err());
    let others = |_: &str| chain("one.example");
    let said = policy(&federation, FACTORY, others).unwrap_err();
    assert!(
        matches!(said, DerivedPolicyError::OtherChain { .. }),
        "{said}"
    );
}
