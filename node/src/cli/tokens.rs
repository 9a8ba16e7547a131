//! `belfry token …`: tokens of the HTTP API. They live in `state.db`, which a running node reads too.

use super::args::{TokenCreateArgs, TokenRevokeArgs};
use super::context::Context;
use super::span;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::store::tokens::{Scope, Token, Tokens};
use belfry_protocol::entry::time::TimeUs;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Shortest beginning of an id that is taken for it.
const SHORTEST_PREFIX: usize = 6;

fn open(context: &Context) -> Result<Tokens, Failure> {
    context.config(&BTreeMap::new())?;
    Ok(Tokens::open(&context.layout)?)
}

pub(super) fn create(context: &Context, args: &TokenCreateArgs) -> Result<(), Failure> {
    let scope: Scope = args
        .scope
        .parse()
        .map_err(|error: String| Failure::new(Code::Usage, error))?;
    let now = clock::wall();
    let expires = args
        .expires
        .as_deref()
        .map(|text| after(now, text))
        .transpose()?;
    if context.global.dry_run {
        return context.out.result(
            "would make a token",
            &json!({ "dry_run": true, "scope": scope }),
        );
    }
    let (token, text) = open(context)?.create(scope, args.tenant.as_deref(), now, expires)?;
    let mut value = describe(&token, now);
    value["token"] = Value::String(text.clone());
    context.out.result(&text, &value)?;
    context.out.say(format!(
        "Token {}: keep it now, it is shown only this once.",
        token.id
    ));
    Ok(())
}

pub(super) fn list(context: &Context) -> Result<(), Failure> {
    let now = clock::wall();
    let tokens = open(context)?.list()?;
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["id", "scope", "tenant", "state", "expires"]);
    for token in &tokens {
        let expires = token
            .expires
            .map_or_else(|| "-".to_owned(), |time| time.to_string());
        let tenant = token.tenant.clone().unwrap_or_else(|| "any".to_owned());
        table.add_row([
            token.id.clone(),
            token.scope.name().to_owned(),
            tenant,
            state(token, now).to_owned(),
            expires,
        ]);
    }
    let values: Vec<Value> = tokens.iter().map(|token| describe(token, now)).collect();
    let human = if tokens.is_empty() {
        "no tokens".to_owned()
    } else {
        table.to_string()
    };
    context.out.result(&human, &json!({ "tokens": values }))
}

pub(super) fn revoke(context: &Context, args: &TokenRevokeArgs) -> Result<(), Failure> {
    if args.id.len() < SHORTEST_PREFIX {
        return Err(Failure::new(
            Code::Usage,
            "give at least 6 characters of the token's id",
        ));
    }
    let tokens = open(context)?;
    if context.global.dry_run {
        return context.out.result(
            "would revoke the token",
            &json!({ "dry_run": true, "id": args.id }),
        );
    }
    match tokens.revoke(&args.id, clock::wall())?.as_slice() {
        [id] => context
            .out
            .result(&format!("revoked {id}"), &json!({ "revoked": id })),
        [] => Err(
            Failure::new(Code::Failed, format!("no token begins with {:?}", args.id))
                .hint("see `belfry token list`"),
        ),
        several => Err(Failure::new(
            Code::Failed,
            format!("{:?} could be {}", args.id, several.join(" or ")),
        )),
    }
}

fn state(token: &Token, now: TimeUs) -> &'static str {
    match (token.revoked, token.expires) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        _ => "live",
    }
}

fn describe(token: &Token, now: TimeUs) -> Value {
    json!({
        "id": token.id, "scope": token.scope.name(), "tenant": token.tenant, "state": state(token, now),
        "created": token.created.to_string(), "expires": token.expires.map(|time| time.to_string()),
    })
}

/// `now` plus a span like `24h` or `90d`.
fn after(now: TimeUs, text: &str) -> Result<TimeUs, Failure> {
    let span = span::seconds(text)?.checked_mul(1_000_000);
    span.and_then(|span| TimeUs::from_micros(now.micros().checked_add(span)?))
        .ok_or_else(|| Failure::new(Code::Usage, format!("{text:?} ends at no time there is")))
}
