//! `genesis draft` and `join`: a directory enters a founding, before its node runs. May not sign anything.

use super::super::args::{DraftArgs, JoinArgs, ReachArgs};
use super::super::context::Context;
use crate::ceremony::draft::Draft;
use crate::clock;
use crate::config::Config;
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::lock::DirLock;
use belfry_keys::fingerprint;
use belfry_protocol::engine::store::Table;
use belfry_protocol::genesis::Ticket;
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::manifest::{MAX_ADDRESSES, MAX_FEDERATION_NAME_BYTES};
use serde_json::json;
use std::collections::BTreeMap;

/// Begins a founding.
pub(in crate::cli) fn draft(context: &Context, args: &DraftArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    let addresses = addresses(&config, &args.reach)?;
    if addresses.is_empty() {
        return Err(no_address());
    }
    let name = args.federation.trim();
    if name.is_empty()
        || name.len() > MAX_FEDERATION_NAME_BYTES
        || name.chars().any(char::is_control)
    {
        return Err(Failure::new(
            Code::Usage,
            "a federation's name is one line of 1 to 100 bytes",
        ));
    }
    let _lock = enter(context, &config, None)?;
    if context.global.dry_run {
        let text = format!("would begin the founding of {name}");
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let mut draft = Draft::new(name, crate::member::random_id()?, addresses);
    draft.http.clone_from(&args.reach.http);
    draft.save(&context.layout, &RealDisk)?;
    let value = json!({ "federation": name, "lineage": belfry_protocol::hex::encode(&draft.lineage()?), "addresses": draft.addresses });
    context
        .out
        .result(&format!("began the founding of {name}"), &value)?;
    context.out.say(
        "next:\n  belfry run       the node, which the others reach\n  belfry invite    a ticket for each of them",
    );
    Ok(())
}

/// Joins one.
pub(in crate::cli) fn join(context: &Context, args: &JoinArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    let ticket = Ticket::parse(&args.ticket)
        .map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
    let now = u64::try_from(clock::wall().seconds()).unwrap_or(0);
    if now >= ticket.expires_seconds {
        return Err(Failure::new(
            Code::Failed,
            format!(
                "the ticket expired at {}",
                clock::shown_seconds(ticket.expires_seconds)
            ),
        )
        .hint("ask for a new one; if that time is still to come, correct this machine's clock"));
    }
    let role = |role: &str| config.role.split(',').any(|one| one.trim() == role);
    if (role("factory") && !ticket.factory) || (role("tower") && !ticket.tower) {
        return Err(Failure::new(
            Code::Failed,
            format!("the ticket does not admit a {}", config.role),
        )
        .hint("ask for a ticket with `belfry invite --role`, or change role in config.toml"));
    }
    let addresses = addresses(&config, &args.reach)?;
    let _lock = enter(context, &config, Some(ticket.lineage))?;
    let words = words(&args.ticket);
    let what = match &ticket.pinned {
        None => format!("founding of {}", ticket.federation),
        Some(pinned) => format!("{}, federation id {}", ticket.federation, pinned.federation),
    };
    let pinned = format!(
        "{what}\ninvited by {} ({})\ncheck words: {words}",
        ticket.proposer.name(),
        fingerprint(&ticket.proposer),
    );
    let value = json!({
        "federation": ticket.federation, "lineage": belfry_protocol::hex::encode(&ticket.lineage),
        "invited_by": ticket.proposer.name(), "fingerprint": fingerprint(&ticket.proposer), "words": words,
        "federation_id": ticket.pinned.map(|pinned| pinned.federation.to_hex()),
        "expires": clock::shown_seconds(ticket.expires_seconds), "dry_run": context.global.dry_run,
    });
    if !context.global.dry_run {
        let mut draft = Draft::new(&ticket.federation, ticket.lineage, addresses);
        draft.http.clone_from(&args.reach.http);
        draft.ticket = Some(ticket.to_text());
        draft.save(&context.layout, &RealDisk)?;
    }
    context.out.result(&pinned, &value)?;
    context.out.say(
        "Ask whoever invited you for the check words over another way; others than these mean another ticket.\n\
         next:\n  belfry run               asks to be let in, and waits for a proposal\n  belfry genesis status    how it stands",
    );
    Ok(())
}

/// That this directory may take part in a founding; holds its lock meanwhile.
fn enter(
    context: &Context,
    config: &Config,
    lineage: Option<[u8; 16]>,
) -> Result<DirLock, Failure> {
    if context.layout.genesis().exists() {
        return Err(
            Failure::new(Code::Failed, "this node belongs to a federation already").hint(
                "a node is in one federation; make another with `belfry init` in a new --data-dir",
            ),
        );
    }
    let lock = DirLock::take(&context.layout)?;
    if let Some(draft) = Draft::load(&context.layout, &RealDisk)? {
        return Err(Failure::new(
            Code::Failed,
            format!("this node takes part in the founding of {} already", draft.federation),
        )
        .hint("go on with `belfry run`; to leave it for good, move founding.json away: what this node signed stays signed"));
    }
    if context.layout.restored_marker().exists() {
        return Err(Failure::new(
            Code::Recovering,
            "this directory came out of a backup (RESTORED is set): votes that it cast since may be missing",
        )
        .hint("take part with a new directory and a new identity: `belfry init`"));
    }
    if config.allow_solo {
        return Err(Failure::new(
            Code::ConfigInvalid,
            "ledger.allow_solo is true: a node that takes part in a founding signs nothing on its own",
        )
        .hint("set allow_solo = false in config.toml; `belfry init --federated` does so from the start"));
    }
    let reader = context.reader()?;
    let known = reader.rows(Table::Manifests, &[], 1)?;
    let known = known.first().and_then(|(_, link)| Link::parse(link).ok());
    // Another ticket of the same one is as good as the first.
    if known.is_some_and(|link| Some(link.manifest().lineage) != lineage) {
        return Err(Failure::new(
            Code::Failed,
            "this directory took part in another federation, and no key serves two",
        )
        .hint("make another directory with `belfry init`, and join with that"));
    }
    if let Some(size) = reader.head()?.signed {
        return Err(Failure::new(
            Code::Failed,
            format!("this ledger signed on its own, up to {size} entries, and no federation can adopt it yet"),
        )
        .hint("make a node for the federation with `belfry init --federated` in a new --data-dir"));
    }
    Ok(lock)
}

fn no_address() -> Failure {
    Failure::new(
        Code::Usage,
        "others must reach the node where a founding begins",
    )
    .hint("set net.listen to an address that others can dial, or give it with --address /ip4/192.0.2.7/tcp/9471")
}

/// Where others reach this node: as given, or where it listens if that is one address.
fn addresses(config: &Config, reach: &ReachArgs) -> Result<Vec<String>, Failure> {
    if reach.addresses.len() > MAX_ADDRESSES {
        return Err(Failure::new(
            Code::Usage,
            format!("at most {MAX_ADDRESSES} addresses"),
        ));
    }
    for address in &reach.addresses {
        address
            .parse::<crate::net::Multiaddr>()
            .map_err(|error| Failure::new(Code::Usage, format!("--address {address}: {error}")))?;
    }
    if !reach.addresses.is_empty() {
        return Ok(reach.addresses.clone());
    }
    let listen = config.net_listen;
    if listen.ip().is_unspecified() || listen.port() == 0 {
        return Ok(Vec::new());
    }
    let all = config.net_transport.listen_on(listen.ip(), listen.port());
    Ok(all.iter().map(ToString::to_string).collect())
}

/// Four words to read aloud: whoever has another ticket has other words.
pub(super) fn words(text: &str) -> String {
    let plain: String = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_ascii_lowercase())
        .collect();
    of_hash(&belfry_protocol::tlog::hash::sha256(plain.as_bytes()).0)
}

/// Four words for the first 44 bits of a hash.
pub(super) fn of_hash(hash: &[u8; 32]) -> String {
    let list = bip39::Language::English.word_list();
    let mut bits = u64::from_be_bytes([
        hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
    ]);
    let mut words = Vec::new();
    for _ in 0..4 {
        let at = usize::try_from(bits >> 53).unwrap_or(0); // 11 bits
        words.push(list[at % list.len()]);
        bits <<= 11;
    }
    words.join("-")
}
