//! One object per peer, put together from manifest, network, engine and bans; and finding the one that is meant.

use super::super::problem::{Problem, blocking};
use super::super::state::App;
use super::Running;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::net::{DialStatus, NetCommand, PeerId, PeerStatus};
use crate::store::bans::Ban;
use belfry_protocol::engine::federation::Status;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::manifest::{Federation, Member};
use belfry_protocol::note::SignedNote;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Shortest beginning of an id or a name that is taken for it.
const SHORTEST_PREFIX: usize = 6;
/// How every transport id with an Ed25519 key begins: a shortened id may leave it out.
const COMMON_START: &str = "12D3KooW";

/// Name and transport id of the one that `text` means.
pub(super) fn find(
    federation: &Federation,
    others: &[PeerId],
    text: &str,
) -> Result<(Option<String>, PeerId), Failure> {
    let mut known: BTreeMap<String, Option<&Member>> =
        others.iter().map(|peer| (peer.to_string(), None)).collect();
    for member in &federation.manifest().members {
        known.insert(member.peer.clone(), Some(member));
    }
    let is = |peer: &str, member: Option<&Member>| {
        peer == text || member.is_some_and(|member| member.name == text)
    };
    let begins = |peer: &str, member: Option<&Member>| {
        text.len() >= SHORTEST_PREFIX
            && (peer.starts_with(text)
                || peer
                    .strip_prefix(COMMON_START)
                    .is_some_and(|rest| rest.starts_with(text))
                || member.is_some_and(|member| member.name.starts_with(text)))
    };
    let exact = known.iter().find(|(peer, member)| is(peer, **member));
    let all: Vec<(&String, &Option<&Member>)> = match exact {
        Some(one) => vec![one],
        None => known
            .iter()
            .filter(|(peer, member)| begins(peer, **member))
            .collect(),
    };
    let shown = |(peer, member): &(&String, &Option<&Member>)| {
        member.map_or_else(|| (*peer).clone(), |member| member.name.clone())
    };
    match all.as_slice() {
        [(peer, member)] => {
            let id = peer.parse().map_err(|_| {
                Failure::new(Code::Failed, format!("{peer} is no transport id"))
            })?;
            Ok((member.map(|member| member.name.clone()), id))
        }
        // A full id needs no other reason to exist.
        [] => match text.parse() {
            Ok(peer) => Ok((None, peer)),
            Err(_) => Err(
                Failure::new(Code::Failed, format!("nobody here is called {text:?}")).hint(
                    "give a member's name, a transport id, or at least 6 characters of one; see `belfry peers list`",
                ),
            ),
        },
        several => {
            let names: Vec<String> = several.iter().map(shown).collect();
            Err(Failure::new(
                Code::Failed,
                format!("{text:?} could be {}", names.join(" or ")),
            )
            .hint("give more characters"))
        }
    }
}

/// A ban as it is shown.
pub(super) fn ban(ban: &Ban) -> Value {
    json!({
        "name": ban.member, "peer": ban.peer, "at": ban.at.to_string(),
        "until": ban.until.map(|until| until.to_string()), "reason": ban.reason,
    })
}

/// What is known of everybody, gathered once.
struct Seen {
    sessions: Vec<PeerStatus>,
    dials: Vec<DialStatus>,
    status: Option<Status>,
    acked: BTreeMap<String, u64>,
}

/// Every other member in the order of the manifest, then strangers that are connected.
pub(super) async fn gather(
    app: &std::sync::Arc<App>,
    running: &Running<'_>,
) -> Result<Vec<Value>, Problem> {
    let (sessions, dials) = (
        running.ask(NetCommand::Status).await?,
        running.ask(NetCommand::Dials).await?,
    );
    let app = std::sync::Arc::clone(app);
    let (status, acked) = blocking(move || {
        let acked = app.with_reader(|reader| Ok(acked_by(&reader.digests()?)))?;
        Ok((app.node.writer().status(), acked))
    })
    .await?;
    let seen = Seen {
        sessions,
        dials,
        status,
        acked,
    };
    let members = running.federation.manifest().members.iter();
    let others = members.filter(|member| member.name != running.me);
    let mut all: Vec<Value> = others.map(|other| member(running, &seen, other)).collect();
    let strangers = seen.sessions.iter().filter(|session| {
        running
            .federation
            .by_peer(&session.peer.to_string())
            .is_none()
    });
    all.extend(strangers.map(|stranger| {
        let mut value =
            json!({ "name": null, "peer": stranger.peer.to_string(), "connected": false });
        add_session(&mut value, stranger);
        value
    }));
    Ok(all)
}

/// The newest digest of this node's ledger that each tower's mirror line is on.
fn acked_by(digests: &[(u64, String)]) -> BTreeMap<String, u64> {
    let mut newest = BTreeMap::new();
    for (size, note) in digests {
        let Ok(note) = SignedNote::parse(note.as_bytes()) else {
            continue;
        };
        for line in note.signatures() {
            if let Some(tower) = line.name().strip_suffix("/mirror") {
                newest.insert(tower.to_owned(), *size);
            }
        }
    }
    newest
}

fn member(running: &Running<'_>, seen: &Seen, member: &Member) -> Value {
    let roles: Vec<&str> = [(member.factory, "factory"), (member.tower, "tower")]
        .iter()
        .filter_map(|(has, role)| has.then_some(*role))
        .collect();
    let engine = seen
        .status
        .as_ref()
        .and_then(|status| status.peers.iter().find(|peer| peer.name == member.name));
    let mut value = json!({
        "name": member.name, "peer": member.peer, "roles": roles, "addresses": member.addresses,
        "connected": engine.is_some_and(|peer| peer.connected),
        "held": engine.map_or(0, |peer| peer.held),
        "acked": seen.acked.get(&member.name).copied().unwrap_or(0),
        "goodbye": null, "remedy": null,
    });
    if let Some(goodbye) = engine.and_then(|peer| peer.goodbye.as_deref()) {
        let (why, remedy) = goodbye.split_once("; ").unwrap_or((goodbye, ""));
        value["goodbye"] = json!(goodbye);
        value["why"] = json!(why);
        value["remedy"] = json!(remedy);
    }
    let mirror = seen.status.as_ref().and_then(|status| {
        let mut mirrors = status.mirrors.iter();
        mirrors.find(|mirror| mirror.origin == member.name)
    });
    if let Some(mirror) = mirror {
        value["mirror"] =
            json!({ "held": mirror.held, "seen": mirror.seen, "acked": mirror.acked });
    }
    let Ok(peer) = member.peer.parse::<PeerId>() else {
        return value;
    };
    if let Some(session) = seen.sessions.iter().find(|session| session.peer == peer) {
        add_session(&mut value, session);
    } else if let Some(dial) = seen.dials.iter().find(|dial| dial.peer == peer) {
        value["dial"] = json!({
            "failures": dial.failures, "error": dial.error,
            "next_ms": dial.next.map(|next| u64::try_from(next.as_millis()).unwrap_or(u64::MAX)),
        });
    }
    let mut refused = running.net.counters().refused_by(&peer);
    for (why, count) in engine.into_iter().flat_map(|peer| &peer.refusals) {
        *refused.entry(why).or_default() += count;
    }
    value["refused"] = json!(refused);
    let bans = running.bans.all();
    if let Some(banned) = bans.iter().find(|ban| ban.peer == member.peer) {
        value["ban"] = ban(banned);
    }
    value
}

fn add_session(value: &mut Value, session: &PeerStatus) {
    let rtt = |rtt: Duration| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
    value["session"] = json!({
        "address": session.address,
        "direction": if session.dialed { "dialed" } else { "accepted" },
        "since": when(session.since).map(|since| since.to_string()),
        "seconds": session.since.elapsed().as_secs(),
        "rtt_us": session.ping_rtt.map(rtt),
        "admitted": session.admitted,
        "version": session.agent,
    });
}

/// The wall time of an instant in the past, by today's clock.
fn when(instant: Instant) -> Option<TimeUs> {
    let ago = i64::try_from(instant.elapsed().as_micros()).ok()?;
    TimeUs::from_micros(clock::wall().micros().checked_sub(ago)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::testing::found;

    #[test]
    fn a_peer_is_found_by_name_by_id_and_by_a_beginning_of_either() {
        let founded = found(3);
        let (federation, id) = (&founded.federation, founded.peer(1));
        let stranger = PeerId::random();
        let who = |text: &str| find(federation, &[stranger], text);
        let b = (Some("b.test.example".to_owned()), id.parse().unwrap());
        for text in ["b.test.example", "b.test", &id, &id[..20], &id[8..20]] {
            assert_eq!(who(text).unwrap(), b, "{text}");
        }
        assert_eq!(who(&stranger.to_string()).unwrap(), (None, stranger));
        let unknown = PeerId::random();
        assert_eq!(who(&unknown.to_string()).unwrap(), (None, unknown));
        for text in ["b.tes", "nobody", "12D3KooW", ""] {
            let failure = who(text).unwrap_err();
            assert!(failure.hint.is_some(), "{text:?}: {failure}");
        }
        let several = who("12D3KooW").unwrap_err();
        assert!(several.message.contains("a.test.example"), "{several}");
    }
}
