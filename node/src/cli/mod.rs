//! The command line: arguments, dispatch, and how results and errors are printed.
//!
//! | file | commands |
//! |---|---|
//! | [`init`], [`append`], [`erase`], [`status`], [`run`], [`demo`] | those of these names |
//! | [`wait`], [`peers`], [`netcheck`] | `wait`, `peers …`, `netcheck`: asking a running node |
//! | [`forks`] | `forks …` |
//! | [`doctor`] | `doctor`: what [`crate::doctor`] found |
//! | [`ledger`], [`export`] | `ledger …` |
//! | [`witnessed`] | `ledger head` and `prove` with `--witnessed` |
//! | [`audit`] | `audit verify` |
//! | [`genesis`] | `genesis …`, `invite`, `join` |
//! | [`conformance`] | `conformance …`: trying other people's witnesses |
//! | [`keys`], [`rotate`] | `key …` |
//! | [`tokens`], [`settings`] | `token …`, `config …` |
//! | [`context`], [`output`], [`control`], [`span`] | what they share: directory and keys, printing, the control socket |
//! | [`confirm_clock`] | `clock confirm` |
//! | [`clocks`] | clocks as JSON and as people read them |
//! | [`receipts`] | receipts as files, for `append` and `ledger prove` |

mod append;
mod args;
mod audit;
mod clocks;
mod confirm_clock;
mod conformance;
mod context;
mod control;
mod demo;
mod doctor;
mod erase;
mod export;
mod forks;
mod genesis;
mod history;
mod init;
mod keys;
mod last_resort;
mod ledger;
mod netcheck;
mod output;
mod peers;
mod receipts;
mod rotate;
mod run;
mod settings;
mod span;
mod status;
mod tokens;
mod wait;
mod witnessed;

pub use args::Cli;
pub(crate) use clocks::describe_clocks;
pub(crate) use erase::commitment;
pub(crate) use rotate::{describe as describe_rotation, describe_revocation};
pub(crate) use status::{
    describe as describe_status, describe_alarms, describe_bans, describe_end, describe_member,
    describe_network,
};

use crate::exit::{Code, Failure};
use args::{AuditCommand, Command, ConfigCommand, KeyCommand, LedgerCommand, TokenCommand};
use clap::{CommandFactory, Parser};
use context::Context;

/// Runs the program with this process's arguments and returns its exit status.
#[must_use]
pub fn main() -> i32 {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    let json = cli.global.wants_json();
    match dispatch(cli) {
        Ok(()) => Code::Ok.number(),
        Err(failure) => {
            output::print_failure(&failure, json);
            failure.code.number()
        }
    }
}

/// Help and version go to stdout; a usage error is JSON too where JSON was asked for.
fn usage(error: &clap::Error, arguments: &[std::ffi::OsString]) -> i32 {
    let json = arguments
        .iter()
        .any(|argument| argument == "--json" || argument == "json" || argument == "ndjson");
    if error.use_stderr() && json {
        let text = error.render().to_string();
        let message = text
            .lines()
            .next()
            .unwrap_or("usage error")
            .trim_start_matches("error: ")
            .to_owned();
        output::print_failure(
            &Failure::new(Code::Usage, message).hint("see `belfry --help`"),
            true,
        );
        return Code::Usage.number();
    }
    let _ = error.print();
    if error.use_stderr() {
        Code::Usage.number()
    } else {
        Code::Ok.number()
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let context = Context::new(cli.global)?;
    match cli.command {
        Command::Init(args) => init::run(&context, &args),
        Command::Append(args) => append::run(&context, &args),
        Command::Erase(args) => erase::run(&context, &args),
        Command::Run(args) => run::run(&context, &args),
        Command::Status(args) => status::run(&context, &args),
        Command::Wait(args) => wait::run(&context, &args),
        Command::Doctor => doctor::run(&context),
        Command::Netcheck => netcheck::run(&context),
        Command::Clock { command } => confirm_clock::run(&context, &command),
        Command::Peers { command } => peers::run(&context, &command),
        Command::Forks { command } => forks::run(&context, &command),
        Command::Demo(args) => demo::run(&context, &args),
        Command::DemoThief(args) => demo::thief::run(&context, &args),
        Command::Ledger { command } => match command {
            LedgerCommand::Head(args) if args.witnessed => witnessed::head(&context),
            LedgerCommand::Head(_) => ledger::head(&context),
            LedgerCommand::Get(args) => ledger::get(&context, &args),
            LedgerCommand::Prove(args) => ledger::prove(&context, &args),
            LedgerCommand::Consistency(args) => ledger::consistency(&context, &args),
            LedgerCommand::Tail(args) => ledger::tail(&context, &args),
            LedgerCommand::Fsck(args) => ledger::fsck(&context, &args),
            LedgerCommand::Export(args) => export::run(&context, &args),
            LedgerCommand::Reindex => ledger::reindex(&context),
            LedgerCommand::Retire(args) => last_resort::retire(&context, &args),
            LedgerCommand::AdoptHistory(args) => history::adopt(&context, &args),
            LedgerCommand::AcceptRestored(args) => last_resort::accept(&context, &args),
        },
        Command::Audit { command } => match command {
            AuditCommand::Verify(args) => audit::verify(&context, &args),
            AuditCommand::Policy(args) => audit::policy_of(&context, &args),
            AuditCommand::History(args) => history::make(&context, &args),
        },
        Command::Conformance { command } => conformance::run(&context, &command),
        Command::Genesis { command } => genesis::run(&context, &command),
        Command::Invite(args) => genesis::invite(&context, &args),
        Command::Join(args) => genesis::join(&context, &args),
        Command::Key { command } => match command {
            KeyCommand::List => keys::list(&context),
            KeyCommand::Rotate(args) => rotate::run(&context, &args),
            KeyCommand::Revoke(args) => rotate::revoke(&context, &args),
            KeyCommand::Export(args) => keys::export(&context, &args),
            KeyCommand::Recovery(args) => keys::recovery(&context, &args),
        },
        Command::Token { command } => match command {
            TokenCommand::Create(args) => tokens::create(&context, &args),
            TokenCommand::List => tokens::list(&context),
            TokenCommand::Revoke(args) => tokens::revoke(&context, &args),
        },
        Command::Config { command } => match command {
            ConfigCommand::Show(args) => settings::show(&context, &args),
            ConfigCommand::Validate => settings::validate(&context),
        },
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "belfry", &mut std::io::stdout());
            Ok(())
        }
        Command::Man { dir } => settings::man(&context, &dir),
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            context.out.result(
                &format!("belfry {version}"),
                &serde_json::json!({ "version": version }),
            )
        }
    }
}
