//! Tickets and cards: one spelling each, damage is told from nonsense, and nobody joins with somebody else's key.

use crate::fixture::{LINEAGE, founding, person};
use belfry_protocol::genesis::{
    Card, MAX_TICKET_CHARS, Pinned, Strict, Ticket, TicketError, Verifier,
};
use belfry_protocol::note::SignedNote;
use proptest::prelude::*;

fn ticket() -> Ticket {
    Ticket {
        federation: "blue.example".to_owned(),
        pinned: None,
        lineage: LINEAGE,
        proposer: person(0).identity.verifier().clone(),
        peer: founding(&[0, 1, 2, 3], 0).members[0].peer.clone(),
        addresses: vec!["/ip4/192.0.2.7/tcp/9471".to_owned()],
        factory: false,
        tower: true,
        expires_seconds: 1_795_255_200,
        secret: *b"0123456789abcdef",
    }
}

fn card(at: usize) -> Card {
    let mut member = founding(&[0, 1, 2, 3], 0).members[at].clone();
    member.http = Some("https://t.example".to_owned());
    Card {
        lineage: LINEAGE,
        member,
    }
}

fn signed(text: &str, by: usize) -> SignedNote {
    let line = person(by).identity.sign_note(text).unwrap();
    SignedNote::new(text, vec![line]).unwrap()
}

#[test]
fn a_ticket_is_read_in_capitals_and_over_several_lines() {
    let text = ticket().to_text();
    assert!(text.len() <= MAX_TICKET_CHARS, "{}", text.len());
    assert_eq!(Ticket::parse(&text), Ok(ticket()));
    let (a, b) = text.split_at(100);
    let broken = format!("  {}\r\n{} \n", a.to_uppercase(), b);
    assert_eq!(Ticket::parse(&broken), Ok(ticket()));
}

#[test]
fn the_text_of_a_ticket_is_frozen() {
    let hash = belfry_protocol::tlog::hash::sha256(ticket().to_text().as_bytes());
    assert_eq!(hash.to_hex(), FROZEN);
}

const FROZEN: &str = "75cfffccf8fc1d2d26bf329355b5f6e84e194c32982fd1fc57a1770aebcfd84a";

#[test]
fn a_ticket_of_a_founded_federation_pins_it() {
    let hash = |text: &str| belfry_protocol::tlog::hash::sha256(text.as_bytes());
    let pinned = Some(Pinned {
        federation: hash("epoch 0"),
        manifest: hash("epoch 3"),
    });
    let member = Ticket { pinned, ..ticket() };
    let text = member.to_text();
    assert!(text.len() <= MAX_TICKET_CHARS, "{}", text.len());
    assert_eq!(Ticket::parse(&text), Ok(member));
    assert_eq!(hash(&text).to_hex(), FROZEN_OF_A_MEMBER);
}

const FROZEN_OF_A_MEMBER: &str = "e2b76507ed2e44ce5a10d5f11c96f6fb4c0a9f1c123d9834996b558083d8cbc2";

#[test]
fn every_changed_letter_of_a_ticket_is_noticed() {
    let text = ticket().to_text();
    for at in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'q' { b'w' } else { b'q' };
        let other = String::from_utf8(other).unwrap();
        let error = Ticket::parse(&other).unwrap_err();
        let expected = if at < 7 {
            TicketError::NotATicket
        } else {
            TicketError::Damaged
        };
        assert_eq!(error, expected, "{at}");
    }
    for cut in [0, 6, 7, 20, text.len() - 1] {
        assert!(Ticket::parse(&text[..cut]).is_err());
    }
    assert_eq!(Ticket::parse("hello"), Err(TicketError::NotATicket));
}

#[test]
fn a_card_is_the_members_own() {
    let mut verifier = Verifier::new(Strict);
    let text = card(1).to_text();
    assert_eq!(Card::open(&signed(&text, 1), &mut verifier), Ok(card(1)));
    // Somebody else's signature, and one over another text.
    assert!(Card::open(&signed(&text, 2), &mut verifier).is_err());
    let other = text.replace("https://t.example", "https://e.example");
    let note = SignedNote::new(&other, signed(&text, 1).signatures().to_vec()).unwrap();
    assert!(Card::open(&note, &mut verifier).is_err());
}

#[test]
fn a_card_lists_nobody_that_a_manifest_may_not() {
    let text = card(1).to_text();
    let roles = text.replace("roles ", "roles judge,");
    assert!(Card::parse(&roles).is_err());
    let peer = text.replace("peer 12D3KooW", "peer 12D3KooX");
    assert!(Card::parse(&peer).is_err());
    let nine = text.clone() + &"address /ip4/192.0.2.7/tcp/1\n".repeat(9);
    assert!(Card::parse(&nine).is_err());
    assert!(
        Card::parse(&text.replace("belfry-genesis-card/v1", "belfry-genesis-card/v2")).is_err()
    );
}

proptest! {
    #[test]
    fn tickets_come_back(
        lineage: [u8; 16],
        secret: [u8; 16],
        expires_seconds in 0..u64::MAX / 2,
        addresses in proptest::collection::vec("/ip4/[0-9.]{1,15}/tcp/[0-9]{1,5}", 0..4),
        federation in "[a-z]{1,60}",
        roles in 1u8..4,
    ) {
        let one = Ticket { lineage, secret, expires_seconds, addresses, federation, factory: roles & 1 != 0, tower: roles & 2 != 0, ..ticket() };
        prop_assert_eq!(Ticket::parse(&one.to_text()), Ok(one));
    }

    #[test]
    fn no_text_is_trouble(text in "(belfry1)?[a-z2-7]{0,200}", card in "\\PC{0,200}") {
        let _any = Ticket::parse(&text);
        let _any = Card::parse(&card);
    }
}
