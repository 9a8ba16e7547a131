//! `belfry erase`: destroys the key of one private payload.

use super::args::EraseArgs;
use super::context::Context;
use super::control::Control;
use crate::exit::{Code, Failure};
use crate::store::Reader;
use crate::writer::Request;
use belfry_protocol::entry::leaf::{Content, Leaf};
use serde_json::json;
use std::io::{IsTerminal, Write};

pub(super) fn run(context: &Context, args: &EraseArgs) -> Result<(), Failure> {
    let payload = commitment(&context.reader()?, args.index)?;
    confirm(context, args)?;
    if context.global.dry_run {
        let text = format!("would erase the payload of entry {}", args.index);
        return context
            .out
            .result(&text, &json!({ "dry_run": true, "index": args.index }));
    }
    let erase_index = match Control::find(&context.layout) {
        Some(control) => {
            let answer = control.post_bytes(&format!("/control/erase/{}", args.index), "")?;
            answer
                .get("erase_entry")
                .and_then(serde_json::Value::as_u64)
                .unwrap_or_default()
        }
        None => {
            let node = context.open_alone()?;
            let answer = node.writer().call(Request::Erase {
                index: args.index,
                payload,
            });
            node.close();
            answer?.entry().unwrap_or_default()
        }
    };
    context.out.result(
        &format!(
            "erased the payload of entry {}; entry {erase_index} says so",
            args.index
        ),
        &json!({ "index": args.index, "erase_entry": erase_index }),
    )?;
    context.out.say("The entry and every proof stay valid. Backups may hold the payload until the date in that entry.");
    Ok(())
}

/// The commitment of a private entry.
pub(crate) fn commitment(reader: &Reader, index: u64) -> Result<[u8; 32], Failure> {
    let size = reader.head()?.size();
    if index >= size {
        return Err(Failure::new(
            Code::Failed,
            format!("there is no entry {index}: the ledger has {size}"),
        ));
    }
    match Leaf::parse(&reader.entry(index, size)?) {
        Ok(Leaf {
            content: Content::Commit { hmac, .. },
            ..
        }) => Ok(hmac),
        Ok(_) => Err(Failure::new(
            Code::Failed,
            format!("entry {index} is public: its body is part of the ledger"),
        )
        .hint("only private entries can be erased")),
        Err(error) => Err(Failure::new(
            Code::Damaged,
            format!("entry {index}: {error}"),
        )),
    }
}

fn confirm(context: &Context, args: &EraseArgs) -> Result<(), Failure> {
    let expected = args.index.to_string();
    if context.global.dry_run || args.confirm.as_deref() == Some(expected.as_str()) {
        return Ok(());
    }
    let refuse = || {
        Failure::new(
            Code::Usage,
            "erasing cannot be undone and was not confirmed",
        )
        .hint(format!(
            "type the index when asked, or pass --confirm {expected}"
        ))
    };
    if args.confirm.is_some() || context.global.no_input || !std::io::stdin().is_terminal() {
        return Err(refuse());
    }
    anstream::eprint!("Type the index of the entry whose payload shall be destroyed: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == expected {
        Ok(())
    } else {
        Err(refuse())
    }
}
