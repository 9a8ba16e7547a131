//! What the network says, on its way to the engine: numbered, checked ahead by the pool, and in order for each peer.
//! Waits where the engine is behind, so that the network feels it. Strangers get no further than the lobby.

use super::link::Bound;
use super::verify::Pool;
use crate::clock;
use crate::net::{
    NetCommand, NetEvent, OVERSTAYED, PeerId, Protocol as NetProtocol, Topic as NetTopic,
    Verdict as NetVerdict,
};
use belfry_protocol::engine::federation::checks::Checks;
use belfry_protocol::engine::federation::{Input, Protocol, Topic};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How often bans are looked at whether they have ended.
const BANS_LOOK: Duration = Duration::from_secs(1);

/// Hands over what arrives until the network ends.
pub(super) async fn deliver(bound: Bound, pool: Pool, mut arriving: mpsc::Receiver<NetEvent>) {
    let mut look = tokio::time::interval(BANS_LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // What never left is rare, and waiting for it never hides what arrives.
            event = arriving.recv() => match event {
                Some(event) => arrived(&bound, &pool, event).await,
                None => return,
            },
            () = bound.unsent.some.notified() => {
                for (peer, id) in bound.unsent.take() {
                    let input = Input::Response { id, bytes: None, checks: Checks::default() };
                    pool.push(peer, Box::new(input)).await;
                }
            }
            _ = look.tick() => {
                bound.say_owed();
                bound.send_roster();
                for ban in bound.bans.ended(clock::wall()) {
                    // Without room it is tried again at the next look.
                    let lifted = ban.peer.parse().is_ok_and(|peer| {
                        bound.net.try_send(NetCommand::Unban(peer)).is_ok()
                    });
                    if lifted {
                        tracing::info!(peer = %ban.peer, member = ban.member, "a ban has ended");
                        bound.bans.forget(&ban);
                    }
                }
            }
        }
    }
}

async fn arrived(bound: &Bound, pool: &Pool, event: NetEvent) {
    let Some((peer, input)) = translate(bound, event) else {
        return;
    };
    if let Some(Input::Gossip { id, .. }) = pool
        .push(peer.to_string(), Box::new(input))
        .await
        .map(|back| *back)
    {
        let id = crate::net::GossipId(id);
        bound.send(NetCommand::Verdict {
            id,
            from: peer,
            verdict: NetVerdict::Ignore,
        });
    }
}

/// The engine's form of an event, with the peer it is about.
fn translate(bound: &Bound, event: NetEvent) -> Option<(PeerId, Input)> {
    match bound.ceremony.take(event)? {
        // A stranger's hello is answered all the same; it takes no place among the members that the engine remembers.
        NetEvent::Up { peer, .. } if bound.name_of(&peer).is_none() => {
            tracing::debug!(%peer, "a stranger is in the lobby");
            None
        }
        NetEvent::Down { peer, .. } if bound.name_of(&peer).is_none() => None,
        NetEvent::Up { peer, dialed, .. } => {
            let input = Input::PeerUp {
                peer: peer.to_string(),
                dialed,
            };
            Some((peer, input))
        }
        NetEvent::Down { peer, reason } => {
            let member = bound.name_of(&peer);
            tracing::info!(%peer, member, %reason, "a peer is gone");
            let input = Input::PeerDown {
                peer: peer.to_string(),
            };
            Some((peer, input))
        }
        NetEvent::Request {
            peer,
            id,
            protocol,
            bytes,
        } => {
            let protocol = match protocol {
                NetProtocol::Hello => Protocol::Hello,
                NetProtocol::Sync => Protocol::Sync,
                NetProtocol::Found => {
                    let bytes = bound.lobby.founded(&bytes);
                    bound.send(NetCommand::Reply { id, bytes });
                    return None;
                }
                NetProtocol::Join => {
                    let bytes = bound.lobby.answer(&bytes);
                    bound.send(NetCommand::Reply { id, bytes });
                    return None;
                }
            };
            let (number, oldest) = bound
                .inbound
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .number(id);
            if let Some(id) = oldest {
                bound.send(NetCommand::Drop { id });
            }
            let input = Input::Request {
                peer: peer.to_string(),
                id: number,
                protocol,
                bytes,
                checks: Checks::default(),
            };
            Some((peer, input))
        }
        NetEvent::Response {
            peer, id, result, ..
        } => {
            if let Err(why) = &result {
                let member = bound.name_of(&peer);
                tracing::debug!(%peer, member, ?why, "a request was not answered");
            }
            let input = Input::Response {
                id,
                bytes: result.ok(),
                checks: Checks::default(),
            };
            Some((peer, input))
        }
        NetEvent::Gossip {
            from,
            id,
            topic,
            bytes,
        } => {
            let topic = match topic {
                NetTopic::Digests => Topic::Digests,
                NetTopic::Acks => Topic::Acks,
                NetTopic::Alarms => Topic::Alarms,
                NetTopic::Genesis => {
                    let verdict = NetVerdict::Ignore;
                    bound.send(NetCommand::Verdict { id, from, verdict });
                    return None;
                }
            };
            let input = Input::Gossip {
                peer: from.to_string(),
                id: id.0,
                topic,
                bytes,
                checks: Checks::default(),
            };
            Some((from, input))
        }
        NetEvent::Clock { peer, .. } if bound.name_of(&peer).is_none() => None,
        NetEvent::Clock { peer, stamps } => {
            let input = Input::ClockSample {
                peer: peer.to_string(),
                stamps,
            };
            Some((peer, input))
        }
        NetEvent::Listening(address) => {
            tracing::info!(%address, "listening for peers");
            None
        }
        NetEvent::DialFailed { peer, error } => {
            let member = bound.name_of(&peer);
            tracing::debug!(%peer, member, %error, "dial failed");
            None
        }
        // Whoever wants to join comes again and again until it is listed: that is no trouble.
        NetEvent::Refused {
            peer: Some(peer),
            why: OVERSTAYED,
            ..
        } if bound.name_of(&peer).is_none() => {
            tracing::debug!(%peer, "a stranger left the lobby");
            None
        }
        NetEvent::Refused { peer, address, why } => {
            if let Some(left_out) = bound.say_of(peer.as_ref(), why) {
                let member = peer.as_ref().and_then(|peer| bound.name_of(peer));
                let peer = peer.map(tracing::field::display);
                tracing::warn!(
                    peer,
                    member,
                    address,
                    reason = why,
                    left_out,
                    "the network refused"
                );
            }
            None
        }
        NetEvent::Subscribed { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::bans::Bans;
    use super::super::lobby::Lobby;
    use super::super::roster::Roster;
    use super::super::testing::found;
    use super::super::verify::Snapshot;
    use super::*;
    use crate::drive::{Beside, Drive};
    use crate::net::{self, NetConfig};
    use crate::store::Layout;
    use std::sync::Arc;
    use zeroize::Zeroizing;

    #[tokio::test]
    async fn the_engine_hears_of_members_and_not_of_strangers() {
        let founded = found(3);
        let home = tempfile::tempdir().unwrap();
        let config = NetConfig::new(Zeroizing::new([1; 32]), "0123abcd".to_owned());
        let (events, _reader) = mpsc::channel(1);
        let (net, _task) = net::start(config, events).unwrap();
        let local = net.local_peer();
        let manifest = founded.file.clone().into_bytes();
        let bound = Bound {
            net,
            beside: Beside::new(Drive::Threads),
            open: Arc::new(|| unreachable!("nothing is read")),
            inbound: Arc::default(),
            serving: Arc::default(),
            comparing: Arc::default(),
            unsent: Arc::default(),
            bans: Arc::new(Bans::open(&Layout::new(home.path())).unwrap()),
            pool: Arc::default(),
            lobby: Arc::new(
                Lobby::new(
                    &founded.federation,
                    move || Ok(manifest.clone()),
                    Snapshot::default(),
                )
                .unwrap(),
            ),
            roster: Arc::new(Roster::of(
                founded.federation.manifest().members.iter(),
                local,
            )),
            repeats: Arc::default(),
            ceremony: Arc::default(),
            dropped: Arc::default(),
            tell: Arc::new(|_| unreachable!("nothing is compared")),
            renew: Arc::new(|| unreachable!("no keys are made")),
            keep: Arc::new(|_, _| unreachable!("no window is closed")),
        };
        let up = |peer| NetEvent::Up {
            peer,
            dialed: false,
            address: String::new(),
        };
        let down = |peer| NetEvent::Down {
            peer,
            reason: String::new(),
        };
        let member: PeerId = founded.peer(1).parse().unwrap();
        for (peer, heard) in [(member, true), (PeerId::random(), false)] {
            assert_eq!(translate(&bound, up(peer)).is_some(), heard);
            assert_eq!(translate(&bound, down(peer)).is_some(), heard);
        }
    }
}
