//! `belfry conformance …`: runs the suite against a witness and prints its table; prints the logs that the witness must know.

use super::args::{ConformanceCommand, ConformanceLogsArgs, ConformanceWitnessArgs, Format};
use super::context::Context;
use crate::conformance::logs::{Group, Logs};
use crate::conformance::report::{Report, Row, Verdict};
use crate::conformance::{self, Options, Restart};
use crate::exit::{Code, Failure};
use belfry_protocol::note::{Algorithm, MAX_VKEY_BYTES, SigningKey, VerifierKey};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

pub(super) fn run(context: &Context, command: &ConformanceCommand) -> Result<(), Failure> {
    match command {
        ConformanceCommand::Witness(args) => witness(context, args),
        ConformanceCommand::Logs(args) => logs(context, args),
    }
}

fn witness(context: &Context, args: &ConformanceWitnessArgs) -> Result<(), Failure> {
    if args.pause_for_restart && context.global.no_input {
        return Err(Failure::new(
            Code::Usage,
            "--pause-for-restart asks, and --no-input forbids it",
        )
        .hint("restart the witness with --restart-command"));
    }
    let logs = match &args.seed_file {
        Some(file) => from_seed(&*read_seed(file)?)?,
        None => given_logs(args)?,
    };
    if args.print_logs {
        return print_logs(context, &logs);
    }
    let options = Options {
        url: args.url.clone(),
        monitoring_url: args.monitoring_url.clone().unwrap_or(args.url.clone()),
        logs,
        witness_keys: witness_keys(&args.witness_key)?,
        restart: restart(context, args),
        timeout: Duration::from_secs(args.timeout),
    };
    if context.global.dry_run {
        let rows = conformance::table::rows();
        let text = format!("would try {} rows against {}", rows.len(), args.url);
        let json = json!({ "dry_run": true, "witness": args.url, "rows": rows.len() });
        return context.out.result(&text, &json);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let streams = !context.global.json && context.global.output == Format::Ndjson;
    let bar = context
        .out
        .progress(Some(conformance::table::rows().len() as u64), "rows");
    let (out, shown) = (context.out, bar.clone());
    let mut seen = move |row: &Row| {
        shown.inc(1);
        if streams {
            // A reader that went away ends the command.
            let _ = out.line(&row.json().to_string());
        }
    };
    let report = runtime.block_on(conformance::run(options, &mut seen))?;
    bar.finish_and_clear();
    print(context, &args.url, &report, streams)
}

/// Prints the table, and fails if a row did.
fn print(context: &Context, url: &str, report: &Report, streams: bool) -> Result<(), Failure> {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["row", "verdict", "expected", "got"]);
    for row in &report.rows {
        table.add_row([row.id, row.verdict.as_str(), row.expected, &row.got]);
    }
    let mut json = json!({ "witness": url });
    for verdict in Verdict::ALL {
        json[verdict.as_str().to_lowercase()] = report.count(verdict).into();
    }
    if !streams {
        json["rows"] = report.rows.iter().map(Row::json).collect();
    }
    let summary = report.summary();
    context
        .out
        .result(&format!("{table}\n\n{url}: {summary}"), &json)?;
    let failed = report.ids(Verdict::Fail);
    if failed.is_empty() {
        context.out.say("What the rows mean: docs/conformance.md.");
        return Ok(());
    }
    Err(Failure::new(
        Code::VerificationFailed,
        format!("{} rows failed: {}", failed.len(), failed.join(", ")),
    )
    .hint("docs/conformance.md says of each row what a witness must do"))
}

fn logs(context: &Context, args: &ConformanceLogsArgs) -> Result<(), Failure> {
    let file = &args.seed_file;
    if !file.exists() && context.global.dry_run {
        let text = format!("would write a fresh seed to {}", file.display());
        let json = json!({ "dry_run": true, "file": file });
        return context.out.result(&text, &json);
    }
    if !file.exists() {
        write_seed(file)?;
        context
            .out
            .say(format!("wrote a fresh seed to {}", file.display()));
    }
    let logs = from_seed(&*read_seed(file)?)?;
    print_logs(context, &logs)?;
    context.out.say(format!(
        "Configure the witness with these {} logs, then run: belfry conformance witness URL --seed-file {}",
        Group::ALL.len(),
        file.display()
    ));
    Ok(())
}

fn print_logs(context: &Context, logs: &Logs) -> Result<(), Failure> {
    let vkeys: Vec<String> = logs
        .all()
        .map(|(_, log)| log.key().verifier().to_string())
        .collect();
    let list: Vec<Value> = logs
        .all()
        .map(|(group, log)| {
            let vkey = log.key().verifier().to_string();
            json!({ "group": group.as_str(), "origin": log.origin(), "vkey": vkey })
        })
        .collect();
    context
        .out
        .result(&vkeys.join("\n"), &json!({ "logs": list }))
}

fn write_seed(file: &Path) -> Result<(), Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..])
        .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    let cannot = |error: std::io::Error| {
        Failure::new(
            Code::Io,
            format!("cannot write {}: {error}", file.display()),
        )
    };
    let mut options = std::fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(cannot)?;
    let text = Zeroizing::new(format!("{}\n", belfry_protocol::hex::encode(&seed[..])));
    out.write_all(text.as_bytes()).map_err(cannot)
}

fn read_seed(file: &Path) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let text = read(file)?;
    let seed = belfry_protocol::hex::decode(text.trim_end());
    let seed: Option<[u8; 32]> = seed.and_then(|seed| seed.try_into().ok());
    seed.map(Zeroizing::new).ok_or_else(|| {
        Failure::new(
            Code::Usage,
            format!("{} is no seed of 64 hexadecimal digits", file.display()),
        )
        .hint("`belfry conformance logs --seed-file FILE` writes a fresh one where no file is")
    })
}

fn from_seed(seed: &[u8; 32]) -> Result<Logs, Failure> {
    Logs::from_seed(seed).map_err(|error| Failure::new(Code::Failed, error.to_string()))
}

fn given_logs(args: &ConformanceWitnessArgs) -> Result<Logs, Failure> {
    if args.log_key.is_empty() {
        return Err(Failure::new(Code::Usage, "no logs to play").hint(
            "make some with `belfry conformance logs --seed-file FILE`, or give one with --log-key",
        ));
    }
    let mut keys = Vec::new();
    for file in &args.log_key {
        let key = SigningKey::import(read(file)?.trim_end())
            .ok()
            .filter(|key| key.verifier().algorithm() == Algorithm::Ed25519);
        keys.push(key.ok_or_else(|| {
            Failure::new(
                Code::Usage,
                format!(
                    "{} is no Ed25519 note key like PRIVATE+KEY+…",
                    file.display()
                ),
            )
        })?);
    }
    if keys.len() > Group::ALL.len() {
        return Err(Failure::new(
            Code::Usage,
            format!(
                "{} log keys are more than the {} groups",
                keys.len(),
                Group::ALL.len()
            ),
        ));
    }
    Logs::from_keys(keys).map_err(|error| Failure::new(Code::Usage, error.to_string()))
}

fn witness_keys(given: &[String]) -> Result<Vec<VerifierKey>, Failure> {
    let parse = |given: &String| {
        let text = match Path::new(given).is_file() {
            true => read(Path::new(given))?,
            false => Zeroizing::new(given.clone()),
        };
        VerifierKey::parse(text.trim_end())
            .ok()
            .filter(|key| key.algorithm() != Algorithm::Ed25519)
            .ok_or_else(|| {
                Failure::new(
                    Code::Usage,
                    format!("--witness-key {given}: no key of a cosigner"),
                )
                .hint(
                    "a witness's verifier key has the type 0x04 or 0x06; get it from its operator",
                )
            })
    };
    given.iter().map(parse).collect()
}

fn read(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let cannot = |why: String| Failure::new(Code::Usage, format!("{}: {why}", file.display()));
    let length = std::fs::metadata(file).map_err(|error| cannot(error.to_string()))?;
    if length.len() > 2 * MAX_VKEY_BYTES as u64 {
        return Err(cannot("it is larger than any key".to_owned()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| cannot(error.to_string()))?;
    Ok(Zeroizing::new(text))
}

fn restart(context: &Context, args: &ConformanceWitnessArgs) -> Option<Restart> {
    if let Some(command) = args.restart_command.clone() {
        return Some(Box::new(move || {
            let ended = std::process::Command::new("sh")
                .args(["-c", &command])
                .stdin(std::process::Stdio::null())
                // Standard output is the result's.
                .stdout(std::process::Stdio::null())
                .status()
                .map_err(|error| error.to_string())?;
            match ended.success() {
                true => Ok(()),
                false => Err(format!("{command:?} ended with {ended}")),
            }
        }));
    }
    if !args.pause_for_restart {
        return None;
    }
    let out = context.out;
    Some(Box::new(move || {
        out.say("Restart the witness now, then press Enter.");
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        read.map(drop).map_err(|error| error.to_string())
    }))
}
