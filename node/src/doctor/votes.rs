//! The vote on the next epoch: what waits for this node's operator, and what nobody should overlook. As the running node says it.

use super::{Check, Patient};
use serde_json::Value;

pub(super) fn checks(patient: &Patient<'_>) -> Vec<Check> {
    let Some(vote) = patient.running.and_then(|running| running.vote.as_ref()) else {
        return Vec::new();
    };
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or("?").to_owned();
    let list = |key: &str| vote[key].as_array().cloned().unwrap_or_default();
    let short = |value: &Value| text(value, "manifest").get(..8).unwrap_or("?").to_owned();
    let (me, mut checks) = (text(vote, "name"), Vec::new());
    for one in list("manifests") {
        let (hash, recovery) = (short(&one), &one["recovery"]);
        let names = |list: &Value| {
            let names = list.as_array().into_iter().flatten();
            names.filter_map(Value::as_str).any(|name| name == me)
        };
        if recovery.is_object() && !names(&recovery["yielded"]) {
            let seen = format!(
                "recovery keys signed manifest {hash}; members may give way from {} on",
                text(recovery, "yield_from")
            );
            let remedy = format!(
                "belfry genesis show {hash}, and ask who signed it why; not giving way is the veto"
            );
            checks.push(Check::warn("votes.recovery", seen).remedy(remedy));
        } else if one["state"] == "open" && names(&one["silent"]) {
            let seen = format!("manifest {hash} waits for this node's operator");
            let remedy = format!("belfry genesis show {hash}, then sign or reject it");
            checks.push(Check::warn("votes.open", seen).remedy(remedy));
        }
    }
    if vote["unsigned"].as_u64().unwrap_or(0) > 0 {
        let seen = "a vote of this node waits for its identity key";
        let remedy = "belfry genesis export > request.json, and sign it where the key is";
        checks.push(Check::warn("votes.unsigned", seen).remedy(remedy));
    }
    for one in list("accused") {
        let seen = format!(
            "{} voted for two manifests in one round",
            one.as_str().unwrap_or("?")
        );
        let remedy = "belfry genesis evidence --out DIR, and show it to the others";
        checks.push(Check::warn("votes.accused", seen).remedy(remedy));
    }
    if checks.is_empty() {
        checks.push(Check::pass(
            "votes",
            "nothing waits for this node's operator",
        ));
    }
    checks
}
