//! `belfry init`: keys, configuration, and a ledger that says what it is.

use super::args::InitArgs;
use super::context::{Context, key_failure};
use crate::clock;
use crate::config::EXAMPLE;
use crate::exit::{Code, Failure};
use belfry_keys::{CreateOptions, KeyDir};
use belfry_protocol::note::is_member_name;
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
    let passphrase = if args.plain_keys {
        None
    } else {
        context.passphrase(true).map_err(key_failure)?
    };
    if passphrase.is_none() && !args.plain_keys {
        return Err(Failure::new(Code::KeyUnavailable, "no passphrase for the new keys").hint(
            "give one with --passphrase-file FILE, or choose unencrypted keys with --plain-keys",
        ));
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| {
            Failure::new(Code::Io, format!("cannot make {}: {error}", dir.display()))
        })?;
    let options = CreateOptions {
        name: args.name.clone(),
        passphrase,
        now_unix: clock::wall().seconds(),
    };
    KeyDir::create(&context.layout.keys(), &options).map_err(key_failure)?;
    let config = EXAMPLE
        .replace("{name}", &args.name)
        .replace("role = \"factory\"", &format!("role = {:?}", args.role))
        .replace(
            "allow_solo = true",
            &format!("allow_solo = {}", !args.federated),
        );
    // Last, because its presence says that the node is complete.
    std::fs::write(context.layout.config(), config)?;
    let keys = belfry_keys::KeyDir::open(&context.layout.keys(), || Ok(options.passphrase.clone()))
        .map_err(key_failure)?;
    let (config, _) = context.config(&BTreeMap::new())?;
    let node = crate::node::Node::open(context.layout.clone(), config, &keys)?;
    let (vkey, size) = (node.log_key.to_string(), node.published().size);
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
    context.out.say(format!(
        "next:\n  belfry append{at} DIRECTORY-OR-FILE   put something into the ledger\n  \
         belfry run{at} --allow-solo           serve it\n  \
         belfry key export{at} > log.vkey      the key that others verify with"
    ));
    Ok(())
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
