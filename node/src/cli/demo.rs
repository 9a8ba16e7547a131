//! `belfry demo`: until the federation exists, a single node that is initialised, ingests a directory, proves an entry,
//! and has the proof verified offline, as an auditor would.

use super::args::DemoArgs;
use super::context::Context;
use crate::audit::receipt;
use crate::clock;
use crate::config::{self, EXAMPLE};
use crate::exit::{Code, Failure};
use crate::ingest::files::{self, Options};
use crate::ingest::pipeline::{self, OnError, Plan};
use crate::node::Node;
use crate::store::Layout;
use belfry_keys::{CreateOptions, KeyDir, Protection};
use belfry_protocol::cert::Scope;
use belfry_protocol::entry::Draft;
use belfry_protocol::entry::json::Json;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

/// Files that the demo observes at most.
const FILES: usize = 2_000;
/// The demo node's name.
const NAME: &str = "demo.example/workshop";

pub(super) fn run(context: &Context, args: &DemoArgs) -> Result<(), Failure> {
    let home = std::env::temp_dir().join(format!("belfry-demo-{}", std::process::id()));
    let result = acts(context, args, &home);
    let _ = std::fs::remove_dir_all(&home);
    result
}

fn acts(context: &Context, args: &DemoArgs, home: &Path) -> Result<(), Failure> {
    let say = |text: String| context.out.say(text);
    let node = found(home)?;
    say(format!(
        "1. A node was made: {NAME}\n   log key {}",
        node.log_key
    ));
    let began = Instant::now();
    let (files, summary) = ingest(&node, &args.dir)?;
    let last = summary.last.ok_or_else(|| {
        Failure::new(
            Code::Failed,
            format!("{} holds no file to append", args.dir.display()),
        )
    })?;
    say(format!(
        "2. {} files of {} are in its ledger, durable and signed, after {} ms",
        files,
        args.dir.display(),
        began.elapsed().as_millis()
    ));
    let key = node.log_key.clone();
    let proof = receipt::make(&node.reader()?, last, &key)?.to_string();
    let file = home.join(format!("entry-{last}.tlog-proof"));
    std::fs::write(&file, &proof)?;
    say(format!(
        "3. The receipt of entry {last}, one file of {} bytes:\n",
        proof.len()
    ));
    for line in proof.lines() {
        say(format!("   {}", shortened(line)));
    }
    node.close();
    let verified = receipt::verify(proof.as_bytes(), &receipt::log_only(&key)?, None)?;
    say(format!(
        "\n4. The node is stopped. The file alone, with the log key, proves:\n   entry {} of {} is {}",
        verified.proved.index,
        verified.proved.checkpoint.origin,
        shortened(&String::from_utf8_lossy(&verified.entry))
    ));
    let altered = tampered(&proof);
    let refused = receipt::verify(altered.as_bytes(), &receipt::log_only(&key)?, None);
    let Err(refusal) = refused else {
        return Err(Failure::new(
            Code::VerificationFailed,
            "an altered receipt was accepted",
        ));
    };
    say(format!("5. With one changed byte it is refused: {refusal}"));
    context.out.result(
        &format!("proved: entry {last} of {NAME}, verified offline"),
        &json!({
            "name": NAME, "files": files, "appended": summary.appended, "index": last,
            "size": verified.proved.checkpoint.size, "verified": true, "tampered_refused": true,
        }),
    )?;
    if !args.exit_after_proof && std::io::stdin().is_terminal() {
        say(format!(
            "\nLook around in {} (gone when you press Enter), e.g.:\n   belfry ledger tail --data-dir {}",
            home.display(),
            home.display()
        ));
        std::io::stdin().read_line(&mut String::new())?;
    }
    say("next: belfry init --name YOUR.DOMAIN/LINE".to_owned());
    Ok(())
}

/// A node in a temporary directory. Its keys are unencrypted: they live for a minute.
fn found(home: &Path) -> Result<Node, Failure> {
    std::fs::create_dir_all(home)?;
    let layout = Layout::new(home);
    let options = CreateOptions {
        name: NAME.to_owned(),
        protection: Protection::Plain,
        now_seconds: u64::try_from(clock::wall().seconds()).unwrap_or(0),
        scope: Scope::Unfounded,
        import_log_key: None,
    };
    let keys = KeyDir::create(home, options).map_err(super::context::key_failure)?;
    std::fs::write(layout.config(), EXAMPLE.replace("{name}", NAME))?;
    let (config, _) = config::load(&layout.config(), &BTreeMap::new(), &BTreeMap::new())?;
    Node::open(layout, config, &keys)
}

fn ingest(node: &Node, dir: &Path) -> Result<(usize, crate::ingest::Summary), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(
            Code::Failed,
            format!("cannot read {}: {error}", dir.display()),
        )
    };
    std::fs::metadata(dir).map_err(cannot)?;
    let options = Options {
        limit: Some(FILES),
        ..Options::default()
    };
    let (list, _) = files::list(dir, &options);
    let mut lines = Vec::new();
    files::write_lines(dir, &list, &options, &mut lines)?;
    let template = Draft {
        kind: "file.observed".to_owned(),
        time: clock::wall(),
        source: "demo".to_owned(),
        tenant: None,
        body: Json::Null,
        visibility: None,
        idempotency: None,
    };
    let plan = Plan {
        template,
        envelope: false,
        on_error: OnError::Continue,
        dedupe: false,
    };
    let summary = pipeline::run(node, &plan, std::io::Cursor::new(lines), |_| {})?;
    Ok((list.len(), summary))
}

/// The receipt with one character of its entry changed.
fn tampered(proof: &str) -> String {
    let at = proof.find("extra ").map_or(0, |at| at + 40);
    let mut altered = proof.to_owned();
    let other = if proof[at..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    altered.replace_range(at..=at, other);
    altered
}

fn shortened(line: &str) -> String {
    let mut short: String = line.chars().take(96).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}
