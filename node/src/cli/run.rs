//! `belfry run`: the node in the foreground. Listens, says so, and ends cleanly on SIGTERM and Ctrl-C, and when asked so
//! with standard input; SIGHUP reads the configuration again.

mod founding;

use super::args::RunArgs;
use super::context::Context;
use crate::ceremony::{self, Amending};
use crate::disk::{Disk, RealDisk};
use crate::exit::{Code, Failure};
use crate::export::{Ledgers, Server};
use crate::http::{self, App};
use crate::member;
use crate::witnessing::Submitter;
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// How long open requests may take after a stop was asked for.
const GRACE: Duration = Duration::from_secs(10);

pub(super) fn run(context: &Context, args: &RunArgs) -> Result<(), Failure> {
    if context.global.dry_run {
        return Err(Failure::new(
            Code::Usage,
            "a node that runs changes things: there is no --dry-run of it",
        )
        .hint("`belfry config validate` and `belfry doctor` say whether it would start"));
    }
    let input = args.end_with_input.then(end_of_input).transpose()?;
    let mut flags = BTreeMap::new();
    if args.allow_solo {
        flags.insert("ledger.allow_solo", "true".to_owned());
    }
    if let Some(listen) = &args.listen {
        flags.insert("http.listen", listen.clone());
    }
    let (config, _) = context.config(&flags)?;
    crate::log::start(
        &config.log_filter,
        &config.log_format,
        context.global.verbose,
    )?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    member::refuse_lost_manifest(&context.layout, &disk)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // First: whoever is told that it runs may stop it at once.
    let signals = {
        let _inside = runtime.enter();
        Signals::listen(input)?
    };
    let mut run = Run {
        context,
        flags,
        signals,
    };
    if founding::is_under_way(context, &config)? {
        let founded = runtime.block_on(founding::run(&mut run))?;
        runtime.shutdown_timeout(Duration::from_secs(1));
        return match founded {
            true => founding::begin_anew(),
            false => Ok(()),
        };
    }
    if !config.allow_solo && !context.layout.genesis().exists() {
        return Err(Failure::new(
            Code::Recovering,
            "this node belongs to no federation, and may not sign on its own",
        )
        .hint("found one with `belfry genesis draft` or `belfry join TICKET`; or start it with --allow-solo, or set ledger.allow_solo = true in config.toml"));
    }
    let node = context.open(&run.flags)?;
    let app = Arc::new(App::new(node)?);
    let served = runtime.block_on(async {
        let net = join_federation(context, &app)?;
        let amending = vote(context, &app)?;
        let beside = Beside::start(context, &app);
        let served = match beside {
            Ok(beside) => {
                let served = run.serve(&app, std::future::pending()).await;
                beside.close().await;
                served
            }
            Err(error) => Err(error),
        };
        if let Some(amending) = amending {
            amending.close().await;
        }
        close_network(net).await;
        served
    });
    // Handlers that did not end within the grace period are dropped here, so that the node can be closed.
    runtime.shutdown_timeout(Duration::from_secs(1));
    // Before the lock is free: a successor may bind the same names.
    forget_names(context);
    if let Some(app) = Arc::into_inner(app) {
        app.node.close();
    }
    served
}

/// What a run has from its beginning to its end.
struct Run<'a> {
    context: &'a Context,
    flags: BTreeMap<&'static str, String>,
    signals: Signals,
}

fn forget_names(context: &Context) {
    let _ = std::fs::remove_file(context.layout.control_socket());
    let _ = std::fs::remove_file(address_file(context));
}

/// What runs beside the listeners, if the configuration wants it.
struct Beside {
    submitter: Option<Submitter>,
    export: Option<Server>,
}

impl Beside {
    fn start(context: &Context, app: &Arc<App>) -> Result<Self, Failure> {
        Ok(Self {
            export: start_export(context, app)?,
            submitter: Submitter::start(&app.node, &app.witnesses)?,
        })
    }

    async fn close(self) {
        if let Some(export) = self.export {
            export.close().await;
        }
        if let Some(submitter) = self.submitter {
            submitter.close().await;
        }
    }
}

async fn close_network(net: Option<crate::member::Network>) {
    if let Some(net) = net {
        // A writer that waits for the flusher holds up what is on its way to it; peers send that again.
        if tokio::time::timeout(GRACE, net.close()).await.is_err() {
            tracing::warn!("the network did not end within 10 s and was dropped");
        }
    }
}

/// Starts the bulk export, if the configuration wants it; after the network, whose bans count here too.
fn start_export(context: &Context, app: &Arc<App>) -> Result<Option<Server>, Failure> {
    let Some(listen) = app.node.config.export_listen else {
        return Ok(None);
    };
    let owner = Arc::downgrade(app);
    let newest = move || Some(owner.upgrade()?.node.membership()?.0);
    let ledgers = Ledgers::new(
        (context.layout.clone(), app.node.disk()),
        &app.node.config.name,
        Box::new(newest),
        app.node.membership().and_then(|(_, link)| link.bans()),
        Arc::clone(&app.public_entries),
    )?;
    let server = Server::start(listen, context.keys()?.transport_seed(), ledgers)?;
    let shown = server.shown();
    tracing::info!(address = %shown.address, peer = %shown.peer, "bulk exports are served");
    let _ = app.export.set(shown);
    Ok(Some(server))
}

/// Starts the network of a member, and appends what the node owes as soon as it takes entries.
fn join_federation(
    context: &Context,
    app: &Arc<App>,
) -> Result<Option<crate::member::Network>, Failure> {
    let Some((federation, link)) = app.node.membership() else {
        return Ok(None);
    };
    let net = crate::member::connect(&app.node, link, &federation, context.keys()?)?;
    let mut published = app.node.writer().published();
    let owner = Arc::downgrade(app);
    tokio::spawn(async move {
        if published.wait_for(|now| now.appends).await.is_err() {
            return;
        }
        let settled =
            tokio::task::spawn_blocking(move || owner.upgrade().map(|app| app.node.settle()));
        if let Ok(Some(Err(error))) = settled.await {
            tracing::error!(%error, "the node's own entries could not be appended");
        }
    });
    Ok(Some(net))
}

/// Starts the vote on amendments at a member.
fn vote(context: &Context, app: &Arc<App>) -> Result<Option<Amending>, Failure> {
    let Some((_, link)) = app.node.membership() else {
        return Ok(None);
    };
    // A node that cannot vote still serves.
    let amending = ceremony::amend(&app.node, link, context.keys()?).unwrap_or_else(|error| {
        tracing::error!(%error, "this node takes no part in amendments");
        None
    });
    if let Some(amending) = &amending {
        let _only = app.founding.set(amending.table.clone());
    }
    Ok(amending)
}

/// Where scripts find the address of a node that listens on port 0.
fn address_file(context: &Context) -> PathBuf {
    context.layout.run().join("http.addr")
}

impl Run<'_> {
    /// Serves until a signal, or until `done`.
    async fn serve(
        &mut self,
        app: &Arc<App>,
        done: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let context = self.context;
        let wanted = app.node.config.http_listen;
        let tcp = TcpListener::bind(wanted).await.map_err(|error| {
            Failure::new(Code::Io, format!("cannot listen on {wanted}: {error}"))
                .hint("another program may use the port; choose one with --listen or http.listen")
        })?;
        let socket = context.layout.control_socket();
        let _ = std::fs::remove_file(&socket);
        let unix = UnixListener::bind(&socket).map_err(|error| {
            Failure::new(
                Code::Io,
                format!("cannot make {}: {error}", socket.display()),
            )
        })?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
        let address = tcp.local_addr()?;
        std::fs::write(address_file(context), format!("{address}\n"))?;
        let (stop, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            // A sender that is gone means stop, too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let public = axum::serve(tcp, http::public(Arc::clone(app)))
            .with_graceful_shutdown(until(stopped.clone()));
        let control = axum::serve(unix, http::control(Arc::clone(app)))
            .with_graceful_shutdown(until(stopped));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { public.await });
        tasks.spawn(async move { control.await });
        announce(context, app, &address.to_string())?;
        let mut founded = false;
        let ended = tokio::select! {
            ended = self.signals.stopped(context, app, &self.flags) => ended,
            done = done => {
                // It begins anew, and does not stop.
                founded = done.is_ok();
                done
            }
        };
        app.ready.store(false, Ordering::Relaxed);
        if !founded {
            notify(&[sd_notify::NotifyState::Stopping]);
        }
        let _ = stop.send(true);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!("some requests did not end within 10 s and were dropped");
        }
        ended
    }
}

fn announce(context: &Context, app: &App, address: &str) -> Result<(), Failure> {
    let now = app.node.published();
    let mut human = format!(
        "{} serves {} entries on http://{address}",
        app.node.config.name, now.size
    );
    let mut json = json!({ "listening": format!("http://{address}"), "name": app.node.config.name, "size": now.size });
    if let Some(export) = app.export.get() {
        human.push_str(&format!(
            "\nbulk exports on quic://{} as {}",
            export.address, export.peer
        ));
        json["export"] = json!({ "listening": format!("quic://{}", export.address), "peer": export.peer.to_string() });
    }
    context.out.result(&human, &json)?;
    let mode = if app.node.membership().is_some() {
        "member"
    } else if app.founding.get().is_some() {
        "founding"
    } else {
        "solo"
    };
    let status = format!("{mode}, {} entries, http://{address}", now.size);
    notify(&[
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status(&status),
    ]);
    tracing::info!(%address, size = now.size, "ready");
    Ok(())
}

/// Tells systemd, if it listens.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// Tells when standard input ends. The thread is nobody's: a blocked read ends with the process only.
fn end_of_input() -> Result<oneshot::Receiver<()>, Failure> {
    let (ended, wait) = oneshot::channel();
    let read = move || {
        // An error is an end, too; what comes before it means nothing.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    };
    let thread = std::thread::Builder::new().name("stdin".to_owned());
    thread.spawn(read)?;
    Ok(wait)
}

/// Signals that the node handles.
struct Signals {
    /// The end of standard input, if that is to end the node.
    input: Option<oneshot::Receiver<()>>,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen(input: Option<oneshot::Receiver<()>>) -> Result<Self, Failure> {
        Ok(Self {
            input,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Whether somebody asked to stop meanwhile.
    async fn is_asked_to_stop(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => true,
            () = std::future::ready(()) => false,
        }
    }

    /// Waits for the signal to stop, or the end of `input`; reloads on SIGHUP until then.
    async fn stopped(
        &mut self,
        context: &Context,
        app: &App,
        flags: &BTreeMap<&'static str, String>,
    ) -> Result<(), Failure> {
        loop {
            let input = async {
                match &mut self.input {
                    Some(input) => drop(input.await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => return Ok(()),
                () = input => return Ok(()),
                _ = self.interrupt.recv() => {
                    return Err(Failure::new(Code::Interrupted, "interrupted; everything acknowledged is on disk"));
                }
                _ = self.hangup.recv() => reload(context, app, flags),
            }
        }
    }
}

/// Applies what can change while running; keeps the old configuration if the new one is not valid.
fn reload(context: &Context, app: &App, flags: &BTreeMap<&'static str, String>) {
    let (config, _) = match context.config(flags) {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(%error, "the new configuration is not valid; the old one stays");
            return;
        }
    };
    app.public_entries.store(config.public, Ordering::Relaxed);
    crate::log::set_filter(&config.log_filter);
    app.witness.reload(&app.node, config.witness_logs.clone());
    let old = &app.node.config;
    let restart = [
        ("name", config.name != old.name),
        ("role", config.role != old.role),
        ("ledger.allow_solo", config.allow_solo != old.allow_solo),
        (
            "ledger.backup_retention_days",
            config.backup_retention_us != old.backup_retention_us,
        ),
        ("http.listen", config.http_listen != old.http_listen),
        (
            "http.body_limit",
            config.http_body_limit != old.http_body_limit,
        ),
        (
            "net.listen, net.transport, net.relay, net.mdns or net.verifiers",
            config.net_listen != old.net_listen
                || config.net_transport != old.net_transport
                || config.net_relay != old.net_relay
                || config.net_mdns != old.net_mdns
                || config.net_verifiers != old.net_verifiers,
        ),
        ("export.listen", config.export_listen != old.export_listen),
        (
            "witness.submit_policy",
            config.submit_policy != old.submit_policy,
        ),
        ("window.interval_seconds", config.window_us != old.window_us),
        (
            "window.keep_days",
            config.windows_kept.age != old.windows_kept.age,
        ),
        (
            "window.keep_mebibytes",
            config.windows_kept.bytes != old.windows_kept.bytes,
        ),
        (
            "clock.probe_interval_ms",
            config.clock_probe_interval != old.clock_probe_interval,
        ),
        (
            "scrub",
            config.scrub != old.scrub || config.scrub_kinds != old.scrub_kinds,
        ),
    ];
    for (key, _) in restart.iter().filter(|(_, changed)| *changed) {
        tracing::warn!(key, "this change takes a restart");
    }
    tracing::info!("configuration reloaded");
}
