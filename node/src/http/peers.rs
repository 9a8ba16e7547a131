//! The control socket's view of the other members: who they are, whether they can be reached, and bans.
//! Asks the network, the engine and the table of bans; judges nobody.

use super::auth::Door;
use super::problem::{Problem, blocking};
use super::state::App;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::member::{Bans, what_is_left};
use crate::net::{NetCommand, NetHandle, PeerId};
use crate::store::bans::Ban;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::manifest::Federation;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

pub(super) mod roster;

/// How long the network may take to answer a question about itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom a command is about: a name, a transport id, or a beginning of one.
#[derive(Deserialize)]
struct Whom {
    peer: String,
}

#[derive(Deserialize)]
struct BanWish {
    peer: String,
    seconds: Option<i64>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
struct UnbanWish {
    peer: String,
    #[serde(default)]
    dry_run: bool,
}

/// A member whose network runs.
struct Running<'a> {
    federation: Arc<Federation>,
    me: &'a str,
    net: NetHandle,
    bans: Arc<Bans>,
}

impl<'a> Running<'a> {
    fn of(app: &'a App) -> Result<Self, Failure> {
        let none = || {
            Failure::new(
                Code::Failed,
                "this node belongs to no federation, so it has no peers",
            )
            .hint("`belfry genesis` founds one")
        };
        let (federation, link) = app.node.membership().ok_or_else(none)?;
        let (Some(net), Some(bans)) = (link.net(), link.bans()) else {
            return Err(Failure::new(
                Code::Unreachable,
                "the network of this node is not up yet; ask again in a moment",
            ));
        };
        Ok(Self {
            federation,
            me: &app.node.config.name,
            net,
            bans,
        })
    }

    /// Asks the network, which answers at once unless it is overloaded or stopping.
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> NetCommand,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.net.send(command(reply)).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(answer)) => Ok(answer),
            _ => Err(Failure::new(
                Code::TimedOut,
                "the network of this node does not answer; it is overloaded or stopping",
            )),
        }
    }

    async fn tell(&self, command: NetCommand) -> Result<(), Failure> {
        let sent = tokio::time::timeout(PATIENCE, self.net.send(command)).await;
        if matches!(sent, Ok(Ok(()))) {
            return Ok(());
        }
        Err(Failure::new(
            Code::TimedOut,
            "it is recorded, but the network of this node takes no commands; it holds from the next start on",
        ))
    }

    /// Name and transport id of whoever is meant: a member, somebody connected, somebody banned, or a full id.
    async fn find(&self, text: &str) -> Result<(Option<String>, PeerId), Failure> {
        let mut others = self.bans.peers();
        let sessions = self.ask(NetCommand::Status).await?;
        others.extend(sessions.iter().map(|session| session.peer));
        let (name, peer) = roster::find(&self.federation, &others, text)?;
        if name.as_deref() == Some(self.me) {
            return Err(Failure::new(
                Code::Usage,
                format!("{} is this node", self.me),
            ));
        }
        Ok((name, peer))
    }

    /// What is left of the towers if these are banned beside those that are.
    fn left(&self, change: impl FnOnce(&mut Vec<String>)) -> (Vec<Value>, Vec<String>) {
        let all = self.bans.all();
        let mut names: Vec<String> = all.into_iter().filter_map(|ban| ban.member).collect();
        change(&mut names);
        let left = what_is_left(&self.federation, self.me, &names);
        let json = left.iter().map(|one| one.json()).collect();
        (json, left.iter().map(|one| one.text()).collect())
    }
}

fn parse<'b, T: Deserialize<'b>>(body: &'b Bytes) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(Code::Usage, format!("the request cannot be read: {error}")))
}

pub(super) async fn list(State(door): State<Door>) -> Result<Json<Value>, Problem> {
    if door.app.node.membership().is_none() {
        return Ok(Json(json!({ "peers": [], "bans": [] })));
    }
    let running = Running::of(&door.app)?;
    let members = roster::gather(&door.app, &running).await?;
    let bans: Vec<Value> = running.bans.all().iter().map(roster::ban).collect();
    Ok(Json(json!({ "peers": members, "bans": bans })))
}

pub(super) async fn show(State(door): State<Door>, body: Bytes) -> Result<Json<Value>, Problem> {
    let whom: Whom = parse(&body)?;
    let running = Running::of(&door.app)?;
    let (_, peer) = running.find(&whom.peer).await?;
    let peer = peer.to_string();
    let all = roster::gather(&door.app, &running).await?;
    let found = all
        .into_iter()
        .find(|one| one.get("peer").and_then(Value::as_str) == Some(peer.as_str()));
    let banned = || {
        let all = running.bans.all();
        let ban = all.iter().find(|ban| ban.peer == peer)?;
        Some(json!({ "name": null, "peer": peer, "connected": false, "ban": roster::ban(ban) }))
    };
    let value = found.or_else(banned).ok_or_else(|| {
        Failure::new(
            Code::Failed,
            format!("{peer} is no member and not connected"),
        )
        .hint("see `belfry peers list`")
    })?;
    Ok(Json(value))
}

pub(super) async fn ping(State(door): State<Door>, body: Bytes) -> Result<Json<Value>, Problem> {
    let whom: Whom = parse(&body)?;
    let running = Running::of(&door.app)?;
    let (name, peer) = running.find(&whom.peer).await?;
    let shown = name.clone().unwrap_or_else(|| peer.to_string());
    match running
        .ask(|reply| NetCommand::Ping { peer, reply })
        .await?
    {
        Ok(rtt) => Ok(Json(json!({
            "name": name, "peer": peer.to_string(), "rtt_us": u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX),
        }))),
        Err(why) => Err(Failure::new(Code::Unreachable, format!("{shown}: {why}"))
            .hint("`belfry peers show` says how the last dial went and why a hello failed")
            .into()),
    }
}

pub(super) async fn ban(State(door): State<Door>, body: Bytes) -> Result<Json<Value>, Problem> {
    let wish: BanWish = parse(&body)?;
    let running = Running::of(&door.app)?;
    let (name, peer) = running.find(&wish.peer).await?;
    let now = clock::wall();
    let until = match wish.seconds {
        None => None,
        Some(seconds) => Some(after(now, seconds)?),
    };
    let ban = Ban {
        peer: peer.to_string(),
        member: name.clone(),
        at: now,
        until,
        reason: wish.reason,
    };
    let mut value = roster::ban(&ban);
    let member = name.is_some();
    let (left, text) = running.left(|names| names.extend(name));
    value["dry_run"] = json!(wish.dry_run);
    value["still_counts"] = json!(member);
    value["left"] = json!(left);
    value["left_text"] = json!(text);
    if !wish.dry_run {
        tracing::warn!(%peer, member = ban.member, reason = ban.reason, "banned");
        let bans = Arc::clone(&running.bans);
        blocking(move || Ok(bans.add(ban)?)).await?;
        running.tell(NetCommand::Ban(peer)).await?;
    }
    Ok(Json(value))
}

pub(super) async fn unban(State(door): State<Door>, body: Bytes) -> Result<Json<Value>, Problem> {
    let wish: UnbanWish = parse(&body)?;
    let running = Running::of(&door.app)?;
    let (name, peer) = running.find(&wish.peer).await?;
    let shown = name.clone().unwrap_or_else(|| peer.to_string());
    if !running.bans.peers().contains(&peer) {
        return Err(Failure::new(Code::Failed, format!("{shown} is not banned"))
            .hint("see `belfry peers list`")
            .into());
    }
    if !wish.dry_run {
        tracing::info!(%peer, member = name, "a ban is lifted");
        let (bans, id) = (Arc::clone(&running.bans), peer.to_string());
        blocking(move || Ok(bans.lift(&id)?)).await?;
        running.tell(NetCommand::Unban(peer)).await?;
    }
    Ok(Json(
        json!({ "name": name, "peer": peer.to_string(), "dry_run": wish.dry_run }),
    ))
}

fn after(now: TimeUs, seconds: i64) -> Result<TimeUs, Failure> {
    let span = seconds.checked_mul(1_000_000).filter(|span| *span > 0);
    span.and_then(|span| TimeUs::from_micros(now.micros().checked_add(span)?))
        .ok_or_else(|| Failure::new(Code::Usage, "the ban would end at no time there is"))
}
