//! `belfry invite`: tickets. The node gives them; here they are shown.

use super::super::args::InviteArgs;
use super::super::context::Context;
use super::{ask, items, start, text};
use crate::ceremony::Wish;
use crate::exit::{Code, Failure};
use qrcode::{EcLevel, QrCode, render::unicode};
use serde_json::json;
use std::io::IsTerminal;

pub(in crate::cli) fn run(context: &Context, args: &InviteArgs) -> Result<(), Failure> {
    if args.list {
        return list(context);
    }
    if let Some(id) = &args.revoke {
        if context.global.dry_run {
            let text = format!("would take ticket {id} back");
            return context
                .out
                .result(&text, &json!({ "dry_run": true, "id": id }));
        }
        let value = ask(context, &Wish::Revoke { id: id.clone() })?;
        let text = format!("ticket {} admits nobody any more", text(&value, "revoked"));
        return context.out.result(&text, &value);
    }
    let roles: Vec<&str> = args.role.split(',').map(str::trim).collect();
    if !roles
        .iter()
        .all(|role| matches!(*role, "factory" | "tower"))
    {
        return Err(Failure::new(
            Code::Usage,
            format!(
                "role {:?} is not factory, tower, or factory,tower",
                args.role
            ),
        ));
    }
    if context.global.dry_run {
        let text = format!("would give a ticket for a {}", args.role);
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let mut value = ask(
        context,
        &Wish::Invite {
            factory: roles.contains(&"factory"),
            tower: roles.contains(&"tower"),
            seconds: args.expires,
        },
    )?;
    let ticket = text(&value, "ticket").to_owned();
    let words = start::words(&ticket);
    value["words"] = json!(words);
    context.out.result(&ticket, &value)?;
    if context.out.is_human() && std::io::stderr().is_terminal() {
        context.out.say(qr(&ticket));
    }
    context.out.say(format!(
        "check words: {words}\nIt works once, until {}. Whoever has it can join: send it over a way that only the invited reads.\n\
         next, on their machine: belfry join TICKET",
        text(&value, "expires")
    ));
    Ok(())
}

fn list(context: &Context) -> Result<(), Failure> {
    let value = ask(context, &Wish::Tickets)?;
    let mut lines: Vec<String> = items(&value, "tickets")
        .iter()
        .map(|one| {
            let roles = [("factory", "factory"), ("tower", "tower")];
            let roles = roles
                .iter()
                .filter(|(key, _)| one[*key] == true)
                .map(|(_, role)| *role);
            let by = one["used_by"].as_str().unwrap_or("");
            format!(
                "{}  {:<8} {:<16} until {}  {by}",
                text(one, "id").get(..12).unwrap_or("?"),
                text(one, "state"),
                roles.collect::<Vec<_>>().join(","),
                text(one, "expires"),
            )
        })
        .collect();
    if lines.is_empty() {
        lines.push("no ticket was given".to_owned());
    }
    context.out.result(&lines.join("\n"), &value)
}

/// The ticket as a QR code of half blocks. In capital letters it is smaller; a ticket may be written either way.
fn qr(ticket: &str) -> String {
    let code = QrCode::with_error_correction_level(ticket.to_ascii_uppercase(), EcLevel::L);
    code.map_or_else(
        |_| "(the ticket is too long for a QR code)".to_owned(),
        |code| code.render::<unicode::Dense1x2>().build(),
    )
}
