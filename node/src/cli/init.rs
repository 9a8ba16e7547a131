//! `belfry init`: keys, configuration, and a ledger that says what it is.

use super::args::InitArgs;
use super::context::{Context, key_failure};
use crate::clock;
use crate::config::EXAMPLE;
use crate::exit::{Code, Failure};
use belfry_keys::{CreateOptions, KeyDir, Protection};
use belfry_protocol::cert::Scope;
use belfry_protocol::note::is_member_name;
use secrecy::SecretString;
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<(), Failure> {
    check(context, args)?;
    let dir = context.layout.dir();
    if context.global.dry_run {
        let text = format!("would make node {} in {}", args.name, dir.display());
        return context.out.result(
            &text,
            &json!({ "dry_run": true, "name": args.name, "data_dir": dir }),
        );
    }
    let protection = protection(context, args)?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| {
            Failure::new(Code::Io, format!("cannot make {}: {error}", dir.display()))
        })?;
    let options = CreateOptions {
        name: args.name.clone(),
        protection,
        now_seconds: u64::try_from(clock::wall().seconds()).unwrap_or(0),
        scope: Scope::Unfounded,
        import_log_key: import(args)?,
    };
    let keys = KeyDir::create(dir, options).map_err(key_failure)?;
    let config = EXAMPLE
        .replace("{name}", &args.name)
        .replace("role = \"factory\"", &format!("role = {:?}", args.role))
        .replace(
            "allow_solo = true",
            &format!("allow_solo = {}", !args.federated),
        );
    // Last, because its presence says that the node is complete.
    std::fs::write(context.layout.config(), config)?;
    let (config, _) = context.config(&BTreeMap::new())?;
    let node = crate::node::Node::open(context.layout.clone(), config, &keys)?;
    let (vkey, size) = (keys.log_key().verifier().to_string(), node.published().size);
    node.close();
    context.out.result(
        &format!("node {} is ready in {}\nlog key: {vkey}", args.name, dir.display()),
        &json!({ "name": args.name, "role": args.role, "data_dir": dir, "log_key": vkey, "size": size }),
    )?;
    let at = context
        .global
        .data_dir
        .as_ref()
        .map_or_else(String::new, |dir| format!(" --data-dir {}", dir.display()));
    if args.federated {
        context.out.say(format!(
            "next:\n  belfry join{at} TICKET                        with a ticket of somebody's federation\n  \
             belfry genesis draft{at} --federation NAME    or begin one; docs/genesis.md goes through it"
        ));
        return Ok(());
    }
    context.out.say(format!(
        "next:\n  belfry append{at} DIRECTORY-OR-FILE   put something into the ledger\n  \
         belfry run{at} --allow-solo           serve it\n  \
         belfry key export{at} > log.vkey      the key that others verify with"
    ));
    Ok(())
}

fn protection(context: &Context, args: &InitArgs) -> Result<Protection, Failure> {
    if args.plain_keys {
        return Ok(Protection::Plain);
    }
    super::keys::new_protection(context, "for the new keys")
}

/// A log key made by another tlog tool.
fn import(args: &InitArgs) -> Result<Option<SecretString>, Failure> {
    let Some(path) = &args.import_log_key else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Code::KeyUnavailable,
            format!("cannot read {}: {error}", path.display()),
        )
    })?;
    Ok(Some(SecretString::from(text.trim_end().to_owned())))
}

fn check(context: &Context, args: &InitArgs) -> Result<(), Failure> {
    if !is_member_name(&args.name) {
        return Err(Failure::new(Code::Usage, format!("{:?} cannot be a node's name", args.name)).hint(
            "a name looks like acme.example/line-4: lower-case ASCII without spaces and '+', at most 200 bytes, not beginning with belfry- and not ending in /mirror",
        ));
    }
    if !args
        .role
        .split(',')
        .all(|role| matches!(role.trim(), "factory" | "tower"))
    {
        return Err(Failure::new(
            Code::Usage,
            format!(
                "role {:?} is not factory, tower, or factory,tower",
                args.role
            ),
        ));
    }
    let used = [
        context.layout.config(),
        context.layout.ledger_db(),
        context.layout.keys(),
    ];
    if let Some(path) = used.iter().find(|path| path.exists()) {
        return Err(Failure::new(
            Code::Failed,
            format!("{} exists: there is a node here already", path.display()),
        )
        .hint("choose another --data-dir; init never overwrites keys or a ledger"));
    }
    Ok(())
}
