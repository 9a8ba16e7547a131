//! `belfry ledger retire` and `belfry ledger accept-restored`: what only a human may decide (R3). Both ask for the node's
//! name, because neither can be taken back.

use super::args::{AcceptRestoredArgs, RetireArgs};
use super::context::Context;
use super::control::Control;
use crate::disk::{Disk, RealDisk};
use crate::exit::{Code, Failure};
use crate::lock::DirLock;
use crate::member;
use crate::set_aside;
use crate::startup;
use crate::store::Store;
use crate::writer::Request;
use belfry_protocol::engine::federation::restored::accept_restored;
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::note::is_member_name;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::sync::Arc;

/// Ends this node's ledger and names the one that goes on.
pub(super) fn retire(context: &Context, args: &RetireArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    if !is_member_name(&args.successor) || args.successor == config.name {
        return Err(Failure::new(
            Code::Usage,
            format!("{:?} cannot be a successor", args.successor),
        )
        .hint("name the other ledger's origin, for example acme.example/line-5"));
    }
    if context.global.dry_run {
        let text = format!(
            "would retire {} in favour of {}",
            config.name, args.successor
        );
        let json = json!({ "dry_run": true, "successor": args.successor });
        return context.out.result(&text, &json);
    }
    let loss = "Its ledger takes no entry and signs nothing any more, for ever.";
    confirm(context, &config.name, args.confirm.as_deref(), loss)?;
    let index = match Control::find(&context.layout) {
        Some(control) => {
            let body = json!({ "successor": args.successor }).to_string();
            let answer = control.post_bytes("/control/retire", body)?;
            answer.get("index").and_then(Value::as_u64)
        }
        None => {
            let node = context.open(&BTreeMap::new())?;
            let successor = args.successor.clone();
            let answer = node.writer().call(Request::Retire { successor });
            node.close();
            answer?.entry()
        }
    };
    let said = match index {
        Some(index) => format!("entry {index} says so"),
        None => "it took no entry any more that could say so".to_owned(),
    };
    context.out.result(
        &format!(
            "{} is retired in favour of {}; {said}",
            config.name, args.successor
        ),
        &json!({ "successor": args.successor, "index": index }),
    )
}

/// Lets a restored directory go on although nobody else can tell what it signed.
pub(super) fn accept(context: &Context, args: &AcceptRestoredArgs) -> Result<(), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    let marker = context.layout.restored_marker();
    let federation = member::federation(&context.layout)?;
    let would = || {
        let text = "would let this directory go on as it is";
        context.out.result(text, &json!({ "dry_run": true }))
    };
    // Opening the store could make one.
    if context.global.dry_run && (federation.is_some() || marker.exists()) {
        return would();
    }
    let _lock = DirLock::take(&context.layout)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut store = Store::open(context.layout.clone(), Arc::clone(&disk))?;
    let head = Head::load(&store.begin()?)?;
    let older = startup::older_than_others(&store, &head)?;
    if federation.is_none() && !marker.exists() && older.is_none() {
        return Err(Failure::new(
            Code::Usage,
            "this directory was not restored: RESTORED is not set, and ledger.db is as new as the files beside it",
        ));
    }
    if context.global.dry_run {
        return would();
    }
    let loss = "If any newer copy of it exists or existed, this can fork a ledger or contradict an ack that was given. Tiles that ledger.db does not know are put aside, private payloads without their entries are dropped.";
    confirm(context, &config.name, args.confirm.as_deref(), loss)?;
    let watched = federation
        .as_ref()
        .is_some_and(|federation| member::is_watched(federation, &config.name));
    // A ledger that towers watch comes back from them.
    if older.is_some() && !watched {
        set_aside::tiles_beyond(
            disk.as_ref(),
            &context.layout,
            &context.layout.own_root(),
            head.size(),
        )?;
        store.accept_payloads(head.size())?;
    }
    if let Some(federation) = federation {
        let manifest = federation.manifest();
        let others = manifest.members.iter();
        let names: Vec<String> = others
            .filter(|member| member.factory && member.name != config.name)
            .map(|member| member.name.clone())
            .collect();
        // Without a start in between the record does not say yet that this is another disk: it must, so that old keys
        // acknowledge nothing more.
        let newest = context.keys()?.current().serial();
        member::own_disk(&mut store, &disk, newest, member::random_id()?)?;
        let mut tx = store.begin()?;
        accept_restored(&mut tx, &names)?;
        tx.commit()?;
    }
    store.close()?;
    if marker.exists() {
        std::fs::remove_file(&marker)?;
    }
    context.out.result(
        "this directory goes on as it is; start it with `belfry run`",
        &json!({ "accepted": true }),
    )
}

/// Asks for the node's name, or takes it from `--confirm`.
pub(super) fn confirm(
    context: &Context,
    name: &str,
    given: Option<&str>,
    loss: &str,
) -> Result<(), Failure> {
    let typed = match given {
        Some(given) => given.to_owned(),
        None if context.global.no_input || !std::io::stdin().is_terminal() => {
            return Err(Failure::new(Code::Usage, "this was not confirmed")
                .hint(format!("{loss} If that is right, pass --confirm {name}")));
        }
        None => {
            context.out.say(format!("{loss}\nType {name} to go on:"));
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            line.trim().to_owned()
        }
    };
    if typed == name {
        return Ok(());
    }
    Err(Failure::new(
        Code::Usage,
        format!("{typed:?} is not {name}, and nothing was done"),
    ))
}
