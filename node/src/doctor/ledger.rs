//! The right edge as the start-up check sees it, and the own head as the towers see it.

use super::{Check, Patient};
use crate::exit::Failure;
use crate::startup::{check_not_older_than_tiles, check_tail};
use crate::store::Reader;
use belfry_keys::KeyDir;
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::proof::TreeReader;
use serde_json::Value;
use std::sync::Arc;

/// Entries that a tower may be behind before somebody should look: what a busy factory has on its way.
const BEHIND: u64 = 65_536;

pub(super) fn checks(patient: &Patient<'_>) -> Vec<Check> {
    let mut checks = vec![edge(patient)];
    checks.extend(head(patient));
    checks
}

/// What is wrong with the edge, or that nothing is.
type Edge = Result<String, String>;

fn edge(patient: &Patient<'_>) -> Check {
    const NAME: &str = "ledger.edge";
    let Some(config) = patient.config else {
        return Check::unknown(
            NAME,
            "the log's keys are not known without a valid config.toml",
        );
    };
    let read = Reader::open(patient.layout.clone(), Arc::clone(&patient.disk))
        .map_err(Failure::from)
        .and_then(|reader| Ok(reader.at_one_moment(|reader| Ok(look(reader, &config.name)))?));
    match read {
        Ok(Ok(seen)) => Check::pass(NAME, seen),
        Ok(Err(wrong)) => Check::fail(NAME, wrong).remedy(
            "the node will not start on it, and must not: run `belfry ledger fsck` to see what is damaged, and find a newer copy if the disk was rolled back",
        ),
        Err(error) => Check::failure(NAME, &error, "see database.integrity first: the edge is read from ledger.db"),
    }
}

/// The head against the tiles and rows, the newest digest against key and tree, and the files against both.
fn look(reader: &Reader, name: &str) -> Edge {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let head = reader.head().map_err(|error| told(&error))?;
    let root_of = |size: u64| {
        let root = TreeReader::new(reader, size).root();
        root.map_err(|error| format!("the tree of {size} entries cannot be read: {error}"))
    };
    let found = root_of(head.size())?;
    if found != head.root() {
        return Err(format!(
            "the tiles of {} entries have root {found} and ledger.db says {}",
            head.size(),
            head.root()
        ));
    }
    check_tail(reader, &head)?;
    check_not_older_than_tiles(reader.disk(), &reader.layout().own_root(), head.size())?;
    let Some((size, note)) = reader.newest_digest().map_err(|error| told(&error))? else {
        return Ok(format!(
            "{} entries, none signed; tiles and rows fit",
            head.size()
        ));
    };
    let keys = KeyDir::public_log_keys(reader.layout().dir(), name);
    let keys = keys.map_err(|error| told(&error))?;
    let note = SignedNote::parse(note.as_bytes()).map_err(|error| told(&error))?;
    let checkpoint = keys
        .open(&note)
        .map_err(|error| format!("the newest digest does not verify: {error}"))?;
    if checkpoint.size != size || size > head.size() || checkpoint.root != root_of(size)? {
        return Err(format!(
            "the newest digest, of {size} entries, is of another tree than what is here"
        ));
    }
    Ok(format!(
        "{} entries, {size} of them signed; tiles, rows and digest fit",
        head.size()
    ))
}

/// Whether the towers hold and acknowledged what this factory signed.
fn head(patient: &Patient<'_>) -> Option<Check> {
    const NAME: &str = "ledger.head-elsewhere";
    let (federation, config) = (patient.federation.as_ref()?, patient.config?);
    let (_, own) = federation.member(&config.name)?;
    if !own.factory {
        return None;
    }
    let Some(running) = patient.running else {
        let why = "the node does not run, and asking as a member takes a running one";
        return Some(Check::unknown(NAME, why));
    };
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    let signed = number(&running.status, "signed_size");
    let towers = running
        .peers
        .as_ref()
        .and_then(|all| all.get("peers")?.as_array());
    let towers = towers.into_iter().flatten().filter(|peer| {
        let roles = peer.get("roles").and_then(Value::as_array);
        roles.is_some_and(|roles| roles.iter().any(|role| role == "tower"))
    });
    let (mut shown, mut behind, mut acked) = (Vec::new(), 0, 0);
    for tower in towers.filter(|tower| tower["connected"] == true) {
        let held = number(tower, "held").max(number(tower, "acked"));
        behind += u64::from(held.saturating_add(BEHIND) < signed);
        acked += u64::from(number(tower, "acked") > 0);
        let name = tower["name"].as_str().unwrap_or("?");
        shown.push(format!("{name} holds {held}"));
    }
    if shown.is_empty() {
        let seen = format!("{signed} entries are signed, and no tower is connected to ask");
        return Some(Check::warn(NAME, seen).remedy("see the checks of each member"));
    }
    let seen = format!("{signed} entries are signed; {}", shown.join(", "));
    let acknowledged = running.status.get("acked_size").and_then(Value::as_u64);
    let lags = acknowledged.unwrap_or(0).saturating_add(BEHIND) < signed;
    if behind == 0 && !lags && (acked > 0 || signed == 0) {
        return Some(Check::pass(NAME, seen));
    }
    Some(Check::warn(NAME, seen).remedy(
        "a tower that stays behind is short of disk or of time; `belfry peers show NAME` says what it refuses",
    ))
}
