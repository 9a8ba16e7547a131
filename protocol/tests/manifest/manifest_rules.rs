//! Every rule that a manifest must keep, each broken by one edit of the good one.

use crate::fixture::{CREATED, FACTORY, identity, manifest, member};
use belfry_protocol::manifest::{
    DEFAULT_VALIDITY_SECONDS, Manifest, ManifestError, QuorumError, is_peer_id,
};
use belfry_protocol::note::{SigningKey, VerifierKey};
use belfry_protocol::tlog::hash::Hash;

fn refused(edit: impl FnOnce(&mut Manifest)) -> ManifestError {
    let mut made = manifest();
    edit(&mut made);
    let said = made.check().unwrap_err();
    // What the rules refuse, reading refuses too, for the same reason or an earlier one.
    assert!(
        Manifest::parse(made.to_json().as_bytes()).is_err(),
        "{said}"
    );
    said
}

fn says(word: &str, edit: impl FnOnce(&mut Manifest)) {
    let said = refused(edit).to_string();
    assert!(said.contains(word), "{said}");
}

#[test]
fn the_head() {
    assert_eq!(manifest().check(), Ok(()));
    says("`federation` must have 1 to 100", |m| m.federation.clear());
    says("`federation` must have 1 to 100", |m| {
        m.federation = "é".repeat(51)
    });
    says("no control character", |m| {
        m.federation = "a\u{1b}[2J".to_owned()
    });
    says("no space at its ends", |m| m.federation.push(' '));
    says("`epoch` must be at most", |m| {
        (m.epoch, m.previous) = (1 << 53, Some(Hash([1; 32])))
    });
    says("`previous` must be left out at epoch 0", |m| {
        m.previous = Some(Hash([1; 32]))
    });
    says("`previous` must be left out at epoch 0", |m| m.epoch = 1);
    says("`effective_seconds` must be left out at epoch 0", |m| {
        m.effective_seconds = Some(m.created_seconds + 1)
    });
    for at in [CREATED, CREATED + DEFAULT_VALIDITY_SECONDS] {
        says("`effective_seconds` must lie", |m| {
            (m.epoch, m.previous) = (1, Some(m.hash()));
            m.effective_seconds = Some(at);
        });
    }
    says("`resign_from_seconds` must lie", |m| {
        m.resign_from_seconds = m.created_seconds
    });
    says("`resign_from_seconds` must lie", |m| {
        m.resign_from_seconds = m.expires_seconds
    });
    says("`resign_from_seconds` must lie", |m| {
        m.expires_seconds = 1 << 53
    });
    says("oldest version first", |m| m.protocol = ((1, 1), (1, 0)));
    says("`nonce_window_seconds`", |m| {
        m.limits.nonce_window_seconds = 0
    });
    says("`nonce_window_seconds`", |m| {
        m.limits.nonce_window_seconds = 86_401
    });
    says("`clock_bound_ms`", |m| m.limits.clock_bound_ms = 0);
    says("`clock_bound_ms`", |m| m.limits.clock_bound_ms = 60_001);
    says("`recovery_keys` must be at most 16", |m| {
        m.recovery_keys = vec![Hash([1; 32]); 17]
    });
    says("`recovery_keys` must be sorted", |m| {
        m.recovery_keys = vec![Hash([1; 32]); 2]
    });
}

#[test]
fn each_member() {
    for (name, word) in [
        ("Two.example", "lower-case"),
        ("two.example/mirror", "/mirror"),
        ("belfry-two", "belfry-"),
        ("two example", "without space"),
        ("none", "policies use this word"),
        ("towers", "policies use this word"),
    ] {
        let said = refused(|m| name.clone_into(&mut m.members[3].name));
        assert!(said.to_string().contains(word), "{said}");
    }
    says("member \"two.example\": it has no role", |m| {
        m.members[3].tower = false
    });
    says("type 0x01", |m| {
        let key = SigningKey::cosigner("two.example", [1; 32]).unwrap();
        m.members[3].identity = key.verifier().clone();
    });
    says("bears another name", |m| {
        m.members[3].identity = m.members[1].identity.clone()
    });
    for peer in ["", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"] {
        says("PeerId must be 52", |m| {
            peer.clone_into(&mut m.members[3].peer)
        });
    }
    let peer = manifest().members[3].peer.clone();
    assert!(is_peer_id(&peer));
    for letter in ["0", "O", "I", "l", "-", "é"] {
        assert!(!is_peer_id(&format!("{}{letter}", &peer[..51])));
    }
    assert!(!is_peer_id(&peer[1..]) && !is_peer_id(&format!("{peer}a")));
    says("more than 8 addresses", |m| {
        m.members[3].addresses = vec!["/ip4".to_owned(); 9]
    });
    for address in [
        "",
        "ip4/1.2.3.4",
        "/ip 4",
        "/é",
        &format!("/{}", "a".repeat(256)),
    ] {
        says("must be a multiaddr", |m| {
            m.members[3].addresses = vec![address.to_owned()]
        });
    }
    for url in [
        "",
        "https://",
        "ftp://x",
        "https://a b",
        &format!("http://{}", "a".repeat(250)),
    ] {
        says("HTTP URL must begin", |m| {
            m.members[3].http = Some(url.to_owned())
        });
    }
}

#[test]
fn members_together() {
    says("`members` must be 1 to 64", |m| m.members.clear());
    says("`members` must be 1 to 64", |m| {
        m.members = vec![m.members[0].clone(); 65]
    });
    says("sorted by name", |m| m.members.swap(0, 1));
    says("have the same name", |m| {
        m.members[2] = m.members[1].clone()
    });
    says(
        "members \"one.example\" and \"two.example\" have the same PeerId",
        |m| {
            m.members[3].peer = m.members[1].peer.clone();
        },
    );
    says("have the same identity key", |m| {
        let key = identity("one.example");
        let key = VerifierKey::new(
            "two.example",
            key.verifier().algorithm(),
            key.verifier().public_key(),
        );
        m.members[3].identity = key.unwrap();
    });
    let all_towers = refused(|m| (m.members[0].factory, m.members[0].tower) = (false, true));
    assert_eq!(all_towers, ManifestError::NoFactory);
}

#[test]
fn the_quorum_must_fit_every_factory() {
    let refused_k = |k, edit: fn(&mut Manifest)| match refused(|m| {
        edit(m);
        m.tower_quorum = k;
    }) {
        ManifestError::Quorum {
            factory,
            problem,
            common,
        } => (factory, problem, common),
        other => panic!("{other}"),
    };
    for k in [0, 1, 4] {
        let (factory, problem, common) = refused_k(k, |_| {});
        assert_eq!((factory.as_str(), common), (FACTORY, Some(2..=3)));
        assert!(matches!(
            problem,
            QuorumError::Refused {
                towers: 3,
                faulty: 0,
                ..
            }
        ));
    }
    // A tower that keeps a ledger is not counted for it: two towers are left, and both are needed.
    let (factory, _, common) = refused_k(3, |m| m.members[1].factory = true);
    assert_eq!((factory.as_str(), common), ("one.example", Some(2..=2)));
    // The only tower cannot watch itself.
    let (factory, problem, common) = refused_k(1, |m| {
        m.members
            .retain(|one| one.name == FACTORY || one.name == "one.example");
        m.members[1].factory = true;
    });
    assert_eq!(
        (factory.as_str(), problem, common),
        ("one.example", QuorumError::NoTowers, None)
    );
    // Without any tower there is no quorum, also without mirroring.
    let (_, problem, _) = refused_k(0, |m| {
        m.members = vec![member(FACTORY, true, false)];
        m.mirroring = false;
    });
    assert_eq!(problem, QuorumError::NoTowers);
}

#[test]
fn some_role_lists_have_no_quorum_at_all() {
    // Five towers: a factory outside them needs 4 of 5, one of them needs 3 of 4.
    let mut made = manifest();
    made.members[0].tower = true;
    let mut fifth = made.members[3].clone();
    fifth.name = "zeta.example".to_owned();
    fifth.identity = SigningKey::ed25519("zeta.example", [0x28; 32])
        .unwrap()
        .verifier()
        .clone();
    fifth.peer.replace_range(51.., "z");
    let mut sixth = fifth.clone();
    sixth.name = "zulu.example".to_owned();
    sixth.identity = SigningKey::ed25519("zulu.example", [0x29; 32])
        .unwrap()
        .verifier()
        .clone();
    sixth.peer.replace_range(51.., "y");
    (sixth.factory, sixth.tower) = (true, false);
    made.members.extend([fifth, sixth]);
    made.amendment_threshold = 4;
    assert_eq!(made.allowed_quorums(), None);
    for k in 0..=6 {
        made.tower_quorum = k;
        let said = made.check().unwrap_err().to_string();
        assert!(said.contains("no k fits every factory"), "{said}");
    }
    made.members[5].tower = true;
    assert_eq!(made.allowed_quorums(), Some(4..=4));
    made.tower_quorum = 4;
    assert_eq!(made.check(), Ok(()));
}

#[test]
fn the_amendment_threshold_must_intersect() {
    for t in [0, 1, 2, 5] {
        let said = refused(|m| m.amendment_threshold = t);
        assert!(matches!(said, ManifestError::Amendment(_)), "{said}");
        assert!(said.to_string().contains("choose t = 3 to 4"), "{said}");
    }
    let mut all = manifest();
    all.amendment_threshold = 4;
    assert_eq!(all.check(), Ok(()));
}
