//! What an amendment is to change, as the manifest of the next epoch: made of the one that is active, of cards that came with
//! tickets, and of the newest certificates that are known. May not vote on it.

use super::clerk;
use super::task::{Task, now_seconds};
use super::view;
use super::{guests, recovery_keys};
use crate::exit::{Code, Failure};
use belfry_protocol::cert::certificate_hash;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::genesis::Card;
use belfry_protocol::genesis::ceremony::confirmation;
use belfry_protocol::manifest::{
    DEFAULT_RESIGN_LEAD_SECONDS, DEFAULT_VALIDITY_SECONDS, Manifest, Member, Version,
    check_amendment, smallest_amendment,
};
use belfry_protocol::tlog::hash::Hash;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Longest validity of a manifest, in days.
const MAX_DAYS: u64 = 3_660;

/// What is to change; the rest stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AmendPlan {
    /// One line for lists.
    pub title: String,
    /// Whoever came here with a ticket joins.
    pub add: bool,
    /// Except those.
    pub without: Vec<String>,
    /// They leave.
    pub remove: Vec<String>,
    /// Name and roles: `factory`, `tower` or `factory,tower`.
    pub role: Vec<(String, String)>,
    /// Name and address: all given ones take the place of those before.
    pub address: Vec<(String, String)>,
    /// Name and HTTP URL; an empty one takes it away.
    pub http: Vec<(String, String)>,
    /// Members whose identity key, PeerId and certificate are those of a card that came in their name.
    pub identity: Vec<String>,
    /// Oldest and newest protocol version that members must speak.
    pub protocol: Option<(Version, Version)>,
    /// Tower quorum k.
    pub quorum: Option<u32>,
    /// Amendment threshold t.
    pub threshold: Option<u32>,
    /// Validity from now on.
    pub expires_days: Option<u64>,
    /// When it takes effect, in seconds from now on.
    pub effective_in: Option<u64>,
    /// Verifier keys that may recover the federation.
    pub recovery_keys: Vec<String>,
    /// Verifier keys, or first digits of their hashes, that may not any more.
    pub drop_recovery_keys: Vec<String>,
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Code::Usage, text)
}

/// The member called so, in a list of a draft.
fn named<'m>(members: &'m mut [Member], name: &str) -> Result<&'m mut Member, Failure> {
    let found = members.iter_mut().find(|member| member.name == name);
    found.ok_or_else(|| usage(format!("{name:?} is no member of the next epoch")))
}

/// The next manifest. `known`: the newest certificates of members, as the engine knows them.
fn make(
    (base, cards, used): (&Manifest, &[Card], &BTreeSet<Hash>),
    plan: &AmendPlan,
    known: Option<&Members>,
    now_seconds: u64,
) -> Result<Manifest, Failure> {
    let mut members = base.members.clone();
    for name in &plan.remove {
        let before = members.len();
        members.retain(|member| member.name != *name);
        if members.len() == before {
            return Err(usage(format!("{name:?} is no member")));
        }
    }
    if plan.add {
        let new = |card: &&Card| base.member(&card.member.name).is_none();
        let new: Vec<&Card> = cards.iter().filter(new).collect();
        if let Some(name) = plan
            .without
            .iter()
            .find(|name| !new.iter().any(|card| card.member.name == **name))
        {
            return Err(usage(format!("nobody called {name:?} came here")));
        }
        let joins = new
            .into_iter()
            .filter(|card| !plan.without.contains(&card.member.name));
        let joins: Vec<Member> = joins.map(|card| card.member.clone()).collect();
        if joins.is_empty() {
            return Err(usage("nobody came here with a ticket").hint(
                "give one with `belfry invite`; `belfry genesis status` shows who came, each at the node that invited it",
            ));
        }
        members.extend(joins);
    }
    for member in &mut members {
        let notes = known.and_then(|known| Some(known.notes(known.by_name(&member.name)?)));
        if let Some(newest) = notes.and_then(|notes| notes.last())
            && base.member(&member.name).is_some()
        {
            member.certificate_head = certificate_hash(newest);
        }
    }
    for name in &plan.identity {
        let mut came = cards.iter().filter(|card| card.member.name == *name);
        let card = came.next().ok_or_else(|| {
            usage(format!("nobody came here in the name of {name:?}")).hint(
                "make its new directory with the same name, and join it with a ticket of this node",
            )
        })?;
        let member = named(&mut members, name)?;
        member.identity = card.member.identity.clone();
        member.peer = card.member.peer.clone();
        member.certificate_head = card.member.certificate_head;
        if !card.member.addresses.is_empty() {
            member.addresses.clone_from(&card.member.addresses);
        }
    }
    for (name, roles) in &plan.role {
        let has = |role: &str| roles.split(',').any(|one| one.trim() == role);
        let known = |role: &str| matches!(role.trim(), "factory" | "tower");
        if !roles.split(',').all(known) {
            return Err(usage(format!(
                "role {roles:?} is not factory, tower, or factory,tower"
            )));
        }
        let member = named(&mut members, name)?;
        (member.factory, member.tower) = (has("factory"), has("tower"));
    }
    let moved: BTreeSet<&String> = plan.address.iter().map(|(name, _)| name).collect();
    for name in moved {
        let member = named(&mut members, name)?;
        let given = plan.address.iter().filter(|(of, _)| of == name);
        member.addresses = given.map(|(_, address)| address.clone()).collect();
    }
    for (name, url) in &plan.http {
        named(&mut members, name)?.http = Some(url.clone()).filter(|url| !url.is_empty());
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let validity = match plan.expires_days {
        Some(days) if days == 0 || days > MAX_DAYS => {
            return Err(usage(format!(
                "a manifest is valid for 1 to {MAX_DAYS} days"
            )));
        }
        Some(days) => days * 86_400,
        None => DEFAULT_VALIDITY_SECONDS,
    };
    let created_seconds = now_seconds.max(base.created_seconds);
    // Those that were used are dead weight.
    let mut unused = base.recovery_keys.clone();
    unused.retain(|key| !used.contains(key));
    let keys = recovery_keys::without(&unused, &plan.drop_recovery_keys)?;
    let keys = recovery_keys::with(&keys, &plan.recovery_keys)?;
    if let Some(key) = keys.iter().find(|key| used.contains(key)) {
        return Err(usage(format!(
            "recovery key {key} was used, and works once"
        )));
    }
    let mut next = Manifest {
        epoch: base.epoch + 1,
        previous: Some(base.hash()),
        created_seconds,
        expires_seconds: created_seconds + validity,
        resign_from_seconds: created_seconds + validity
            - DEFAULT_RESIGN_LEAD_SECONDS.min(validity / 2),
        effective_seconds: plan
            .effective_in
            .filter(|wait| *wait > 0)
            .map(|wait| created_seconds.saturating_add(wait)),
        members,
        protocol: plan.protocol.unwrap_or(base.protocol),
        recovery_keys: keys,
        ..base.clone()
    };
    next.tower_quorum = plan.quorum.unwrap_or_else(|| quorum(base, &next));
    next.amendment_threshold = plan.threshold.unwrap_or_else(|| threshold(base, &next));
    speaks(&next)?;
    next.check()
        .map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
    base.check_successor(&next)
        .map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
    Ok(next)
}

/// The version that this release speaks.
const SPOKEN: Version = (
    belfry_protocol::wire::Version::V1_0.major,
    belfry_protocol::wire::Version::V1_0.minor,
);

/// Whether this release speaks what a manifest asks of its members: whoever signs another one shuts itself out.
pub(super) fn speaks(manifest: &Manifest) -> Result<(), Failure> {
    let (oldest, newest) = manifest.protocol;
    match (oldest..=newest).contains(&SPOKEN) {
        true => Ok(()),
        false => Err(Failure::new(
            Code::Usage,
            format!(
                "the manifest asks for protocol {}.{} to {}.{}, and this release speaks {}.{}",
                oldest.0, oldest.1, newest.0, newest.1, SPOKEN.0, SPOKEN.1
            ),
        )
        .hint("upgrade this node first")),
    }
}

/// The quorum that stays: the smallest where it was the smallest or is not safe any more, else what it was.
fn quorum(base: &Manifest, next: &Manifest) -> u32 {
    let was_smallest = base
        .allowed_quorums()
        .is_some_and(|allowed| *allowed.start() == base.tower_quorum);
    match next.allowed_quorums() {
        Some(allowed) if was_smallest || !allowed.contains(&base.tower_quorum) => *allowed.start(),
        // Whoever checks it says why there is none.
        _ => base.tower_quorum,
    }
}

/// The threshold that stays, likewise.
fn threshold(base: &Manifest, next: &Manifest) -> u32 {
    let count = |manifest: &Manifest| u32::try_from(manifest.members.len()).unwrap_or(u32::MAX);
    let was_smallest = smallest_amendment(count(base)) == Some(base.amendment_threshold);
    let stays = check_amendment(count(next), base.amendment_threshold).is_ok();
    match smallest_amendment(count(next)) {
        Some(smallest) if was_smallest || !stays => smallest,
        _ => base.amendment_threshold,
    }
}

impl Task {
    /// Makes the draft, and proposes it unless it is only to be shown.
    pub(super) fn amend(&mut self, plan: &AmendPlan, dry_run: bool) -> Result<Value, Failure> {
        let (Some(beside), Some(base)) = (&self.member, self.newest().cloned()) else {
            return Err(usage("this node is no member of a founded federation").hint(
                "a founding is proposed with `belfry genesis propose`; amendments come afterwards",
            ));
        };
        let known = beside.link.members();
        let cards = guests::cards(&self.draft);
        let now = now_seconds();
        let chain = self.desk.ceremony()?.chain();
        let used = chain.map(|chain| chain.used().clone()).unwrap_or_default();
        let next = make((&base, &cards, &used), plan, known.as_deref(), now)?;
        let away = next.members.iter().chain(&base.members).filter(|member| {
            member.tower && member.name != self.me.name && !self.exchange.is_up(&member.peer)
        });
        let away: BTreeSet<&str> = away.map(|member| member.name.as_str()).collect();
        let joiners: Vec<&str> = base.joiners(&next).map(|one| one.name.as_str()).collect();
        let dead: BTreeSet<&str> = away
            .iter()
            .filter(|name| !joiners.contains(*name))
            .copied()
            .collect();
        let mut warnings = Vec::new();
        if let Err(error) = base.check_joint(&next, &dead) {
            let away = dead.iter().copied().collect::<Vec<_>>().join(", ");
            warnings.push(format!(
                "if the towers that are not connected now ({away}) never come back: {error}"
            ));
        }
        let diff: Vec<String> = base.diff(&next).iter().map(view::change).collect();
        let hash = next.hash();
        let drafted = json!({
            "file": next.to_json(), "drafted": hash.to_hex(), "draft_epoch": next.epoch, "diff": diff, "warnings": warnings,
            "draft_confirm": confirmation(next.epoch, &hash), "joiners": joiners, "dry_run": dry_run,
            "base": base.to_json(), "federation_id": self.federation_id().map(|id| id.to_hex()),
        });
        if dry_run {
            return Ok(drafted);
        }
        let status = self.votes()?;
        let made = clerk::put(&self.election()?, &status, next, &plan.title, now, false)?;
        let mut value = self.put(made)?;
        if let (Value::Object(value), Value::Object(drafted)) = (&mut value, drafted) {
            value.extend(drafted);
        }
        Ok(value)
    }
}
