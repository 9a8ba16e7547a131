//! Who may be in the draft: tickets, and the cards of those who come with them (R14). May not put anybody into a manifest: that is
//! the proposer's.

use super::draft::{Draft, Given, MAX_TICKETS};
use crate::exit::{Code, Failure};
use belfry_protocol::genesis::{Card, Strict, Verifier, secret_hash};
use belfry_protocol::hex;
use belfry_protocol::manifest::{MAX_MEMBERS, Member};
use belfry_protocol::note::SignedNote;
use belfry_protocol::wire::found::FoundReason;

/// Why a card was not taken, and what to do.
pub(super) type Turned = (FoundReason, String);

/// The cards of a draft. They were verified when they came.
pub(super) fn cards(draft: &Draft) -> Vec<Card> {
    let notes = draft.cards.iter();
    let notes = notes.filter_map(|note| SignedNote::parse(note.as_bytes()).ok());
    notes
        .filter_map(|note| Card::parse(note.text()).ok())
        .collect()
}

/// Forgets cards; says whether there were any. A member needs none, and whoever leaves is not let in again by an old one.
pub(super) fn forget(draft: &mut Draft, gone: impl Fn(&Member) -> bool) -> bool {
    let before = draft.cards.len();
    draft.cards.retain(|note| {
        let note = SignedNote::parse(note.as_bytes()).ok();
        let card = note.and_then(|note| Card::parse(note.text()).ok());
        card.is_some_and(|card| !gone(&card.member))
    });
    draft.cards.len() < before
}

/// Whether a ticket with this secret was given, or a card came over this connection before.
pub(super) fn may_knock(draft: &Draft, peer: &str, secret: &[u8; 16]) -> bool {
    let id = hex::encode(&secret_hash(secret));
    draft.given.iter().any(|given| given.id == id)
        || cards(draft).iter().any(|card| card.member.peer == peer)
}

/// Opens a card that came over the connection of `peer`.
pub(super) fn open(lineage: [u8; 16], peer: &str, note: &[u8]) -> Result<(Card, String), Turned> {
    let wrong = |why: &dyn std::fmt::Display| {
        (
            FoundReason::Card,
            format!("your card cannot be taken: {why}"),
        )
    };
    let note = SignedNote::parse(note).map_err(|error| wrong(&error))?;
    let card = Card::open(&note, &mut Verifier::new(Strict)).map_err(|error| wrong(&error))?;
    if card.lineage != lineage {
        return Err(wrong(&"it is for another founding; ask for a new ticket"));
    }
    if card.member.peer != peer {
        return Err(wrong(
            &"it names another PeerId than the one that brought it",
        ));
    }
    Ok((card, note.to_string()))
}

/// Takes a card into the draft, if its ticket lets it in or it was in before; returns whether anything changed. `me` is this
/// node's own line.
pub(super) fn admit(
    draft: &mut Draft,
    me: &Member,
    (card, note): (&Card, String),
    secret: &[u8; 16],
    now_seconds: u64,
) -> Result<bool, Turned> {
    let member = &card.member;
    let all = cards(draft);
    let same_name = all.iter().find(|other| other.member.name == member.name);
    let taken = member.name == me.name
        || same_name.is_some_and(|other| other.member.identity != member.identity);
    if taken {
        return Err((
            FoundReason::Card,
            "somebody else in this draft has your name; run `belfry init` with another one"
                .to_owned(),
        ));
    }
    let twice = |other: &Member| other.identity != member.identity && other.peer == member.peer;
    if twice(me) || all.iter().any(|other| twice(&other.member)) {
        return Err((
            FoundReason::Card,
            "somebody else in this draft has your PeerId; keys were copied, run `belfry init` in a new directory".to_owned(),
        ));
    }
    let ticket = check_ticket(draft, card, secret, now_seconds, same_name)?;
    if let Some(at) = ticket {
        draft.given[at].used_by = Some(member.name.clone());
    }
    if draft.cards.contains(&note) {
        return Ok(ticket.is_some());
    }
    if same_name.is_none() && draft.cards.len() + 1 >= MAX_MEMBERS {
        return Err((
            FoundReason::Card,
            format!("the draft has {MAX_MEMBERS} members already, the most there may be"),
        ));
    }
    draft.cards.retain(|old| {
        let known = SignedNote::parse(old.as_bytes()).ok();
        let known = known.and_then(|note| Card::parse(note.text()).ok());
        known.is_some_and(|card| card.member.name != member.name)
    });
    draft.cards.push(note);
    draft.cards.sort();
    Ok(true)
}

/// Whether a member has no other roles than these.
fn has_roles(member: &Member, factory: bool, tower: bool) -> bool {
    (factory || !member.factory) && (tower || !member.tower)
}

/// The ticket that this card uses up now, if any.
fn check_ticket(
    draft: &Draft,
    card: &Card,
    secret: &[u8; 16],
    now_seconds: u64,
    known: Option<&Card>,
) -> Result<Option<usize>, Turned> {
    let turned = |why: &str| Err((FoundReason::Ticket, why.to_owned()));
    let member = &card.member;
    let id = hex::encode(&secret_hash(secret));
    let Some(at) = draft.given.iter().position(|given| given.id == id) else {
        // Whoever is in may show a new card, for the roles it came with.
        return match known {
            Some(old) if has_roles(member, old.member.factory, old.member.tower) => Ok(None),
            Some(_) => turned(
                "your new card asks for a role that your ticket was not for; ask for another ticket",
            ),
            None => {
                turned("this node gave no such ticket; ask its operator for one (`belfry invite`)")
            }
        };
    };
    let given = &draft.given[at];
    if given.revoked {
        return turned("the ticket was revoked; ask for a new one");
    }
    if !has_roles(member, given.factory, given.tower) {
        return turned(
            "the ticket is for another role; ask for one with `belfry invite --role`, or change role in config.toml",
        );
    }
    match &given.used_by {
        Some(name) if known.is_some() && *name == member.name => Ok(None),
        Some(_) => {
            turned("the ticket was used by somebody else; each works once, ask for a new one")
        }
        None if now_seconds >= given.expires_seconds => {
            turned("the ticket has expired; ask for a new one")
        }
        None => Ok(Some(at)),
    }
}

/// Remembers a ticket that is given now.
pub(super) fn give(draft: &mut Draft, given: Given) -> Result<(), Failure> {
    if draft.given.len() >= MAX_TICKETS {
        // Of expired ones and those that were used nobody asks any more, except whoever used them, who is known by its card.
        draft
            .given
            .retain(|old| old.used_by.is_none() && !old.revoked);
    }
    if draft.given.len() >= MAX_TICKETS {
        return Err(Failure::new(
            Code::Failed,
            format!("{MAX_TICKETS} tickets are given and unused"),
        )
        .hint("take some back with `belfry invite --revoke ID`"));
    }
    draft.given.push(given);
    Ok(())
}

/// Takes a ticket back, by the first digits of its id.
pub(super) fn revoke(draft: &mut Draft, id: &str) -> Result<String, Failure> {
    let fits: Vec<usize> = (0..draft.given.len())
        .filter(|at| draft.given[*at].id.starts_with(id))
        .collect();
    match fits[..] {
        [at] if id.len() >= 6 => {
            draft.given[at].revoked = true;
            let given = draft.given[at].clone();
            // Whoever came with it and is no member yet is not let in either.
            forget(draft, |guest| Some(&guest.name) == given.used_by.as_ref());
            Ok(given.id)
        }
        [_] => Err(Failure::new(
            Code::Usage,
            "give at least 6 digits of the ticket's id",
        )),
        [] => Err(
            Failure::new(Code::Failed, format!("no ticket begins with {id:?}"))
                .hint("`belfry invite --list` shows those that were given"),
        ),
        _ => Err(Failure::new(
            Code::Usage,
            format!("{} tickets begin with {id:?}; give more digits", fits.len()),
        )),
    }
}
