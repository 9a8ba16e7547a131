//! How a founding stands, as JSON: the same for the control socket, scripts and screens. May not change anything.

use super::draft::Draft;
use super::guests;
use crate::clock::shown_seconds;
use belfry_protocol::genesis::ceremony::status::ManifestStatus;
use belfry_protocol::genesis::ceremony::{Status, confirmation};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::manifest::{Change, Field, Member};
use serde_json::{Value, json};

fn manifest(one: &ManifestStatus, epoch: u64) -> Value {
    let refused: Vec<Value> = one
        .refused
        .iter()
        .map(|(name, reason)| json!({ "name": name, "reason": reason }))
        .collect();
    let recovery = one.recovery.as_ref().map(|recovery| {
        json!({
            "seen": shown_seconds(recovery.seen_seconds), "yield_from": shown_seconds(recovery.from_seconds),
            "yield_from_seconds": recovery.from_seconds, "keys": recovery.keys, "yielded": recovery.yielded,
            "needed": recovery.needed,
        })
    });
    json!({
        "recovery": recovery, "manifest": one.manifest.to_hex(), "state": one.state.word(), "title": one.title, "proposer": one.proposer,
        "opened_seconds": one.opened_seconds, "opened": shown_seconds(one.opened_seconds), "round": one.round,
        "approved": one.approved, "in_round": one.in_round, "committed": one.committed, "refused": refused, "silent": one.silent,
        "needed": one.needed, "later": one.later, "confirm": confirmation(epoch, &one.manifest),
    })
}

/// Everybody in the draft, this node first.
fn people(draft: &Draft, me: &Member, is_up: &dyn Fn(&str) -> bool) -> Vec<Value> {
    let cards = guests::cards(draft);
    let others = cards.iter().map(|card| {
        let member = &card.member;
        json!({ "name": member.name, "roles": member.roles(), "connected": is_up(&member.peer) })
    });
    let own = json!({ "name": me.name, "roles": me.roles(), "connected": true });
    std::iter::once(own).chain(others).collect()
}

/// What the status of a founding says beside its votes.
pub(super) struct Beside<'a> {
    pub(super) draft: &'a Draft,
    pub(super) me: &'a Member,
    pub(super) is_up: &'a dyn Fn(&str) -> bool,
    /// What whoever invited this node said to its card last.
    pub(super) welcome: &'a Result<Option<String>, String>,
    /// What made each epoch active.
    pub(super) chain: &'a [Link],
    /// So many of them are in force.
    pub(super) in_force: usize,
}

/// The whole.
pub(super) fn status(status: &Status, beside: &Beside<'_>) -> Value {
    let Beside {
        draft, me, is_up, ..
    } = beside;
    let (welcome, refusal) = match beside.welcome {
        Ok(text) => (text.as_deref(), None),
        Err(text) => (None, Some(text.as_str())),
    };
    let manifests: Vec<Value> = status
        .manifests
        .iter()
        .map(|one| manifest(one, status.epoch))
        .collect();
    let mut value = json!({
        "state": "founding", "federation": draft.federation, "name": me.name, "epoch": status.epoch,
        "lineage": draft.lineage().ok().map(|lineage| belfry_protocol::hex::encode(&lineage)),
        "joined_by_ticket": draft.ticket.is_some(), "welcome": welcome, "refusal": refusal,
        "people": people(draft, me, *is_up), "manifests": manifests,
        "lock": status.lock.map(|(hash, round)| json!({ "manifest": hash.to_hex(), "round": round })),
        "voted_round": status.voted_round, "waiting": status.waiting, "unsigned": status.unsigned, "accused": status.accused,
        "suggested": status.suggested.map(|(hash, round)| json!({ "manifest": hash.to_hex(), "round": round })),
    });
    if !beside.chain.is_empty() {
        value["epochs"] = epochs(beside);
    }
    let id = beside.chain.first().map(|link| link.manifest().hash());
    if draft.of_member {
        value["state"] = json!("member");
        value["federation_id"] = json!(id.map(|id| id.to_hex()));
        value["epoch_in_force"] = json!(beside.in_force.saturating_sub(1));
        value["people"] = Value::Array(members(beside));
        value["guests"] = Value::Array(people(draft, me, *is_up).split_off(1));
        let newest = beside.chain.last().map(Link::manifest);
        value["listed"] = json!(newest.is_some_and(|newest| newest.member(&me.name).is_some()));
        value["rebuilding"] = json!(status.rebuilding);
    } else if let Ok(Some(pinned)) = draft
        .ticket()
        .map(|ticket| ticket.and_then(|one| one.pinned))
    {
        value["state"] = json!("joining");
        value["joins"] = json!(pinned.federation.to_hex());
    }
    value
}

/// Every epoch that is known: active, and in force.
fn epochs(beside: &Beside<'_>) -> Value {
    let one = |(at, link): (usize, &Link)| {
        let manifest = link.manifest();
        json!({
            "epoch": manifest.epoch, "manifest": manifest.hash().to_hex(), "in_force": at < beside.in_force,
            "created": shown_seconds(manifest.created_seconds),
            "effective": manifest.effective_seconds.map(shown_seconds), "members": manifest.members.len(),
            "recovery_keys": manifest.recovery_keys.iter().map(belfry_protocol::tlog::hash::Hash::to_hex).collect::<Vec<_>>(),
            "recovered": matches!(link, Link::Recovered(_)),
        })
    };
    beside.chain.iter().enumerate().map(one).collect()
}

/// The members of the newest epoch.
fn members(beside: &Beside<'_>) -> Vec<Value> {
    let newest = beside.chain.last().map(Link::manifest);
    let members = newest.into_iter().flat_map(|newest| &newest.members);
    members
        .map(|member| {
            let here = member.name == beside.me.name || (beside.is_up)(&member.peer);
            json!({ "name": member.name, "roles": member.roles(), "connected": here })
        })
        .collect()
}

/// Tickets, newest last.
pub(super) fn tickets(draft: &Draft, now_seconds: u64) -> Value {
    let given = draft.given.iter().map(|given| {
        let state = match (&given.used_by, given.revoked) {
            (_, true) => "revoked",
            (Some(_), _) => "used",
            (None, _) if now_seconds >= given.expires_seconds => "expired",
            (None, _) => "open",
        };
        json!({
            "id": given.id, "state": state, "factory": given.factory, "tower": given.tower, "used_by": given.used_by,
            "expires": shown_seconds(given.expires_seconds), "expires_seconds": given.expires_seconds,
        })
    });
    json!({ "tickets": given.collect::<Vec<Value>>() })
}

/// A change as people read it: times as dates.
pub(crate) fn change(change: &Change) -> String {
    let date = |seconds: &Option<String>| {
        let seconds = seconds.as_ref().and_then(|text| text.parse().ok());
        seconds.map_or_else(|| "at once".to_owned(), shown_seconds)
    };
    let what = match change.field {
        Field::Expires => "ends",
        Field::ResignFrom => "is to be signed again from",
        Field::Effective => "is in force from",
        _ => return change.to_string(),
    };
    format!(
        "~ {what} {} → {}",
        date(&change.before),
        date(&change.after)
    )
}
