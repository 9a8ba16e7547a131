//! What a human sees before signing: meaning, risks, votes and absentees before the hash. Everything but the votes is computed here, from
//! the manifest's bytes; the node's words are not believed. May not sign.

use super::super::args::{SignArgs, WhichArgs};
use super::super::context::Context;
use super::super::last_resort::confirm;
use super::{ask, describe_vote, items, short, start, text, whole};
use crate::ceremony::{Wish, shown_change};
use crate::clock::shown_seconds;
use crate::exit::{Code, Failure};
use belfry_keys::fingerprint;
use belfry_protocol::genesis::Recovery;
use belfry_protocol::genesis::ceremony::confirmation;
use belfry_protocol::manifest::{Manifest, Quorum};
use serde_json::{Value, json};

/// A manifest and what is known of its vote.
pub(super) struct Reviewed {
    pub(super) manifest: Manifest,
    /// The manifest that it amends, if it is no founding.
    base: Option<Manifest>,
    pub(super) hash: String,
    pub(super) vote: Value,
}

/// What is reviewed.
#[derive(Clone, Copy)]
pub(super) struct About<'m> {
    pub(super) manifest: &'m Manifest,
    pub(super) base: Option<&'m Manifest>,
    /// Recovery keys sign it, and members only give way.
    pub(super) by_recovery_keys: bool,
}

impl Reviewed {
    pub(super) fn by_recovery_keys(&self) -> bool {
        self.vote.get("recovery").is_some_and(Value::is_object)
    }

    pub(super) fn about(&self) -> About<'_> {
        About {
            manifest: &self.manifest,
            base: self.base.as_ref(),
            by_recovery_keys: self.by_recovery_keys(),
        }
    }
}

pub(super) fn fetch(context: &Context, digits: Option<&String>) -> Result<Reviewed, Failure> {
    let (said, shown) = whole(context, digits)?;
    let manifest = Manifest::parse(text(&shown, "file").as_bytes())
        .map_err(|error| Failure::new(Code::VerificationFailed, error.to_string()))?;
    let hash = manifest.hash().to_hex();
    if hash != said {
        return Err(Failure::new(
            Code::VerificationFailed,
            "the node showed another manifest than it names",
        ));
    }
    let base = base_of(&manifest, shown.get("base").and_then(Value::as_str))?;
    let mut all = items(&shown, "manifests").iter();
    let vote = all.find(|one| text(one, "manifest") == hash);
    let vote = vote.cloned().unwrap_or(Value::Null);
    Ok(Reviewed {
        manifest,
        base,
        hash,
        vote,
    })
}

/// The same; a confirmation names a manifest, too.
pub(super) fn fetch_confirmed(
    context: &Context,
    digits: Option<&String>,
    confirm: Option<&str>,
) -> Result<Reviewed, Failure> {
    let fetched = fetch(context, digits);
    let named = confirm.and_then(|typed| typed.split_once(':'));
    match (fetched, named) {
        // Of several that may be meant.
        (Err(error), Some((_, named))) if digits.is_none() => {
            fetch(context, Some(&named.to_owned())).map_err(|_| error)
        }
        (fetched, _) => fetched,
    }
}

/// What was typed ahead, where nothing is done.
pub(super) fn typed_right(typed: Option<&str>, expected: &str) -> Result<(), Failure> {
    match typed {
        Some(typed) if typed != expected => Err(Failure::new(
            Code::Usage,
            format!("{typed:?} is not {expected}, and would be refused"),
        )),
        _ => Ok(()),
    }
}

/// What a manifest amends, as the node or a request shows it: the hash in the manifest says whether that is so.
pub(super) fn base_of(
    manifest: &Manifest,
    shown: Option<&str>,
) -> Result<Option<Manifest>, Failure> {
    let Some(previous) = manifest.previous else {
        return Ok(None);
    };
    let refused = |why: String| Failure::new(Code::VerificationFailed, why);
    let shown = shown.ok_or_else(|| refused("what it amends is not shown".to_owned()))?;
    let base = Manifest::parse(shown.as_bytes()).map_err(|error| refused(error.to_string()))?;
    if base.hash() != previous {
        return Err(refused(
            "it amends another manifest than the one of the newest epoch".to_owned(),
        ));
    }
    Ok(Some(base))
}

pub(super) fn diff(context: &Context, args: &WhichArgs) -> Result<(), Failure> {
    let reviewed = fetch(context, args.manifest.as_ref())?;
    let changes = match &reviewed.base {
        Some(base) => base.diff(&reviewed.manifest),
        None => Vec::new(),
    };
    let changes: Vec<String> = changes.iter().map(shown_change).collect();
    let shown = match (&reviewed.base, changes.is_empty()) {
        (None, _) => "a founding: there is nothing before it".to_owned(),
        (_, true) => "nothing but its times changes".to_owned(),
        _ => changes.join("\n"),
    };
    let value = json!({ "manifest": reviewed.hash, "changes": changes });
    context.out.result(&shown, &value)
}

pub(super) fn show(context: &Context, args: &WhichArgs) -> Result<(), Failure> {
    let reviewed = fetch(context, args.manifest.as_ref())?;
    let confirm = confirmation(reviewed.manifest.epoch, &reviewed.manifest.hash());
    let value = json!({
        "manifest": reviewed.hash, "vote": reviewed.vote, "file": reviewed.manifest.to_json(), "confirm": confirm,
        "risks": risks(&reviewed.manifest, reviewed.base.as_ref()), "words": start::of_hash(reviewed.manifest.hash().as_bytes()),
    });
    let mut lines = describe(&reviewed.about());
    lines.push(String::new());
    lines.extend(describe_vote(&reviewed.vote));
    lines.push(String::new());
    lines.extend(hash_lines(&reviewed.manifest));
    context.out.result(&lines.join("\n"), &value)?;
    let digits = short(&reviewed.hash);
    context.out.say(match reviewed.by_recovery_keys() {
        true => format!(
            "next: belfry genesis recovery yield {digits} --confirm {confirm}, or nothing: that is the veto; who joins: belfry genesis sign {digits}"
        ),
        false => format!(
            "next: belfry genesis sign {digits} --confirm {confirm}, or belfry genesis reject {digits} --reason TEXT"
        ),
    });
    Ok(())
}

pub(super) fn sign(context: &Context, args: &SignArgs) -> Result<(), Failure> {
    let reviewed = fetch_confirmed(context, args.manifest.as_ref(), args.confirm.as_deref())?;
    let votes = describe_vote(&reviewed.vote);
    let expected = review(context, &reviewed.about(), &votes);
    if context.global.dry_run {
        typed_right(args.confirm.as_deref(), &expected)?;
        let text = format!("would sign manifest {}", reviewed.hash);
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let loss = format!(
        "You sign manifest {}. In this round this node signs no other.",
        reviewed.hash
    );
    confirm(context, &expected, args.confirm.as_deref(), &loss)?;
    keep(context, &reviewed.manifest)?;
    let value = ask(
        context,
        &Wish::Sign {
            manifest: reviewed.hash.clone(),
            confirm: expected,
            round: args.round,
        },
    )?;
    if !signed(context, &value, ("signed", &reviewed.hash))? {
        return Ok(());
    }
    context.out.say(match reviewed.manifest.epoch {
        0 => {
            "next: belfry genesis status; when everybody has signed, the federation is founded by itself"
        }
        _ => "next: belfry genesis status; when enough have signed, it becomes active by itself",
    });
    Ok(())
}

/// Prints what became of a vote; says whether it was signed here.
pub(super) fn signed(
    context: &Context,
    value: &Value,
    (done, hash): (&str, &str),
) -> Result<bool, Failure> {
    if value.get("unsigned").and_then(Value::as_u64).unwrap_or(0) > 0 {
        let text = format!("manifest {hash} waits for the identity key");
        context.out.result(&text, value)?;
        context.out.say(
            "next: belfry genesis export > request.json, and sign it where the key is: belfry genesis sign-request",
        );
        return Ok(false);
    }
    let text = format!("{done} manifest {hash}");
    context.out.result(&text, value)?;
    if value.get("waiting").and_then(Value::as_u64).unwrap_or(0) > 0 {
        context
            .out
            .say("the others hear of it once its entry here is acknowledged by towers");
    }
    Ok(true)
}

/// Prints the review for a human who is about to sign; returns what is to be typed.
pub(super) fn review(context: &Context, about: &About<'_>, votes: &[String]) -> String {
    let manifest = about.manifest;
    let mut lines = describe(about);
    lines.push(String::new());
    lines.extend_from_slice(votes);
    lines.extend(hash_lines(manifest));
    context.out.say(lines.join("\n"));
    confirmation(manifest.epoch, &manifest.hash())
}

/// What was reviewed, for later: in `run/` it would not survive a clean-up.
pub(super) fn keep(context: &Context, manifest: &Manifest) -> Result<(), Failure> {
    let dir = context.layout.dir().join("reviewed");
    std::fs::create_dir_all(&dir)?;
    let hash = manifest.hash().to_hex();
    let name = format!("{}-{}.json", manifest.epoch, short(&hash));
    std::fs::write(dir.join(name), manifest.to_json())?;
    Ok(())
}

fn risks(manifest: &Manifest, base: Option<&Manifest>) -> Vec<String> {
    let risks = match base {
        None => manifest.risks(),
        Some(base) => base.amendment_risks(manifest),
    };
    risks
        .iter()
        .map(|risk| match risk.is_severe() {
            true => format!("SEVERE: {risk}"),
            false => risk.to_string(),
        })
        .collect()
}

pub(super) fn hash_lines(manifest: &Manifest) -> Vec<String> {
    let hash = manifest.hash();
    vec![
        format!("hash       {}", hash.to_hex()),
        format!("words      {}", start::of_hash(hash.as_bytes())),
        format!("confirm    {}", confirmation(manifest.epoch, &hash)),
    ]
}

/// When recovery keys count.
const FEWER: &str = "with members that give way, make an epoch where too few are left to vote";

/// What a manifest means.
fn describe(about: &About<'_>) -> Vec<String> {
    let About { manifest, base, .. } = *about;
    let members = u32::try_from(manifest.members.len()).unwrap_or(u32::MAX);
    let faulty = members.saturating_sub(1) / 3;
    let mut lines = vec![
        match base {
            None => format!(
                "manifest   {}, epoch {}: a founding, which every listed member signs",
                manifest.federation, manifest.epoch
            ),
            Some(base) if about.by_recovery_keys => {
                let members = base.members.len();
                let needed = (members + 1).saturating_sub(base.amendment_threshold as usize);
                format!(
                    "manifest   {}, epoch {}: a RECOVERY, signed by {} of {} recovery keys and not by members; {needed} of the {members} members of epoch {} must give way, and whoever joins signs",
                    manifest.federation,
                    manifest.epoch,
                    Recovery::needed(base),
                    base.recovery_keys.len(),
                    base.epoch,
                )
            }
            Some(base) => format!(
                "manifest   {}, epoch {}: {} of the {} members of epoch {} sign, {} of those of this one, and whoever joins",
                manifest.federation,
                manifest.epoch,
                base.amendment_threshold,
                base.members.len(),
                base.epoch,
                manifest.amendment_threshold,
            ),
        },
        format!(
            "valid      {} to {}",
            shown_seconds(manifest.created_seconds),
            shown_seconds(manifest.expires_seconds)
        ),
        format!(
            "changes    {} of {members} members amend it: 2t - n = {} > f = {faulty}",
            manifest.amendment_threshold,
            2 * i64::from(manifest.amendment_threshold) - i64::from(members),
        ),
    ];
    if !manifest.recovery_keys.is_empty() {
        lines.push(format!(
            "recovery   {} of these {} keys, {FEWER}:",
            Recovery::needed(manifest),
            manifest.recovery_keys.len()
        ));
        let keys = manifest.recovery_keys.iter();
        lines.extend(keys.map(|hash| format!("             {hash}")));
    }
    for factory in manifest.members.iter().filter(|member| member.factory) {
        let towers = u32::try_from(manifest.towers_of(&factory.name).count()).unwrap_or(u32::MAX);
        if let Ok(quorum) = Quorum::new(towers, manifest.tower_quorum) {
            lines.push(format!(
                "quorum     {}: {} of {towers} towers hold what is acknowledged; {} may lie, {} answer a recovery",
                factory.name, quorum.needed, quorum.faulty, quorum.recovery
            ));
        }
    }
    if let Some(at) = manifest.effective_seconds {
        lines.push(format!("in force   from {} on", shown_seconds(at)));
    }
    if let Some(base) = base {
        lines.extend(base.diff(manifest).iter().map(shown_change));
    }
    let joins = |name: &str| base.is_none_or(|base| base.member(name).is_none());
    for member in manifest.members.iter().filter(|one| joins(&one.name)) {
        lines.push(format!(
            "+ member   {} ({}), identity {}",
            member.name,
            member.roles(),
            fingerprint(&member.identity)
        ));
        for address in &member.addresses {
            lines.push(format!("             {address}"));
        }
        if member.addresses.is_empty() {
            lines.push("             no address: it dials the others".to_owned());
        }
    }
    let risks = risks(manifest, base);
    let risks = risks.into_iter().map(|risk| format!("risk       {risk}"));
    lines.extend(risks);
    lines
}
