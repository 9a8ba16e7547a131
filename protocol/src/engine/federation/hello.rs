//! Who may speak (R7): the dialler says hello, the other answers with its own, and each admits the other if federation,
//! version, membership and transport id fit. A refusal is a numbered goodbye, which both sides show.

use super::io::{Free, FreeBytes};
use super::messages::is_near;
use super::{Bad, MemberIx, Peer, Protocol, Stop, Turn, What};
use crate::engine::store::{StoreError, Transaction};
use crate::wire::codec::Text;
use crate::wire::hello::{ROLE_FACTORY, ROLE_TOWER};
use crate::wire::{Goodbye, Hello, Times, common_version};

/// Peers that are remembered at once; the transport's own limits are lower.
pub(super) const MAX_PEERS: usize = 512;

impl<T: Transaction> Turn<'_, '_, T> {
    pub(super) fn peer_up(&mut self, peer: String, dialed: bool) {
        // Strangers never take a member's place.
        if self.v.peers.len() >= MAX_PEERS && self.settings.members.by_peer(&peer).is_none() {
            return;
        }
        let our_token = self.seed.draw();
        self.v.peers.insert(
            peer.clone(),
            Peer {
                our_token,
                dialed,
                ..Peer::default()
            },
        );
        if dialed {
            self.ask_hello(peer);
        }
    }

    fn ask_hello(&mut self, peer: String) {
        if let Some(bytes) = self.hello(&peer, None, Times::default()) {
            let id = self.remember(peer.clone(), What::Hello);
            self.out.free(Free::Request {
                peer,
                id,
                protocol: Protocol::Hello,
                bytes,
            });
        }
    }

    /// After a step that did not commit: whom this node dialled and who has not answered is asked once more. Twice does no
    /// harm, and without it only the end of the connection would help.
    pub(super) fn repeat_hello(&mut self) {
        if !std::mem::take(&mut self.v.hello_again) {
            return;
        }
        let waits = |(_, peer): &(&String, &Peer)| peer.dialed && !peer.admitted;
        let peers = self.v.peers.iter().filter(waits);
        let peers: Vec<String> = peers.map(|(name, _)| name.clone()).collect();
        for peer in peers {
            self.ask_hello(peer);
        }
    }

    /// After new keys: every member hears of the certificate before anything is signed for it.
    pub(super) fn say_hello(&mut self) {
        if !std::mem::take(&mut self.v.say_hello) {
            return;
        }
        let admitted = |(_, peer): &(&String, &Peer)| peer.admitted;
        let peers: Vec<String> = self
            .v
            .peers
            .iter()
            .filter(admitted)
            .map(|(name, _)| name.clone())
            .collect();
        for peer in peers {
            self.ask_hello(peer);
        }
        // For members that are connected to others only.
        self.tell_chain();
    }

    pub(super) fn peer_down(&mut self, peer: &str) {
        if let Some(Peer {
            member: Some(member),
            ..
        }) = self.v.peers.remove(peer)
        {
            self.v.factory.disconnected(member);
            self.v.tower.disconnected(member);
            self.v.epochs.telling.again(member);
        }
        self.v.asked.retain(|_, asked| asked.peer != peer);
        self.v.fetches.retain(|_, fetch| fetch.peer != peer);
    }

    /// Our hello to a peer; with a goodbye it refuses.
    fn hello(&self, peer: &str, goodbye: Option<Goodbye>, times: Times) -> Option<FreeBytes> {
        let settings = &self.settings;
        let members = &settings.members;
        let mut roles = 0;
        if members.is_factory(settings.me) {
            roles |= ROLE_FACTORY;
        }
        if members.is_tower(settings.me) {
            roles |= ROLE_TOWER;
        }
        let token = self
            .v
            .peers
            .get(peer)
            .map_or([0; 16], |peer| peer.our_token);
        let hello = Hello {
            goodbye,
            reason: Text::new(goodbye.map_or(String::new(), |why| why.reason().to_owned()))
                .unwrap_or_default(),
            federation: members.federation().id(),
            epoch: members.epoch(),
            manifest_head: members.federation().hash(),
            versions: settings.versions.clone(),
            peer: Text::new(members.peer(settings.me).to_owned())?,
            to: Text::new(peer.to_owned())?,
            token,
            disk: settings.disk.id,
            roles,
            times: Times {
                sent_us: self.own.now.wall.micros(),
                ..times
            },
            chain: settings.keys.certificates.clone(),
            digest: None,
            agent: Text::new(settings.agent.clone()).unwrap_or_default(),
            extensions: Vec::new(),
        };
        hello
            .encode(&settings.keys.newest.envelope)
            .ok()
            .map(FreeBytes)
    }

    pub(super) fn hello_asked(&mut self, peer: &str, id: u64, bytes: &[u8]) -> Result<(), Stop> {
        let judged = self.judge_hello(peer, bytes)?;
        let times = Times {
            received_us: self.own.now.wall.micros(),
            answered_us: self.own.now.wall.micros(),
            echo_us: judged.as_ref().map_or(0, |sent| *sent),
            ..Times::default()
        };
        let goodbye = judged.err();
        let bytes = self
            .hello(peer, goodbye, times)
            .ok_or(Bad("hello too long"))?;
        self.out.free(Free::Reply { id, bytes });
        match goodbye {
            None => self.admit(peer),
            Some(why) => self.refuse_peer(peer, why),
        }
        Ok(())
    }

    pub(super) fn hello_answered(&mut self, peer: &str, bytes: &[u8]) -> Result<(), Stop> {
        if let Some((why, text)) = Hello::read_goodbye(bytes) {
            let shown = format!("it refused us: {why} ({text})");
            if let Some(member) = self.settings.members.by_peer(peer) {
                self.v.goodbyes.insert(member, shown.clone());
            }
            self.out.free(Free::Disconnect {
                peer: peer.to_owned(),
                why: shown,
            });
            return Ok(());
        }
        match self.judge_hello(peer, bytes)? {
            Ok(_) => self.admit(peer),
            Err(why) => self.refuse_peer(peer, why),
        }
        Ok(())
    }

    fn refuse_peer(&mut self, peer: &str, why: Goodbye) {
        let shown = format!("we refused it: {}", why.reason());
        let member = self.settings.members.by_peer(peer);
        if let Some(member) = member {
            self.v.goodbyes.insert(member, shown.clone());
        }
        // The runtime says why when it disconnects.
        self.v.refused.count(member, "hello");
        self.out.free(Free::Disconnect {
            peer: peer.to_owned(),
            why: shown,
        });
    }

    /// Checks a hello against the manifest and takes what it brings; returns when it was sent.
    fn judge_hello(
        &mut self,
        peer: &str,
        bytes: &[u8],
    ) -> Result<Result<i64, Goodbye>, StoreError> {
        let (member, hello) = match self.check_hello(peer, bytes) {
            Ok(right) => right,
            Err(goodbye) => return Ok(Err(goodbye)),
        };
        self.learn_chain(member, &hello.chain)?;
        // It may know another epoch now.
        self.v.epochs.telling.again(member);
        if let Some(known) = self.v.peers.get_mut(peer) {
            known.member = Some(member);
            known.their_token = hello.token;
        }
        Ok(Ok(hello.times.sent_us))
    }

    fn check_hello(&self, peer: &str, bytes: &[u8]) -> Result<(MemberIx, Hello), Goodbye> {
        let signed = Hello::parse(bytes).map_err(|_| Goodbye::BadHello)?;
        let hello = signed.hello();
        let members = &self.settings.members;
        if hello.federation != members.federation().id() {
            return Err(Goodbye::OtherFederation);
        }
        let departed = |member: &MemberIx| members.has_departed(self.settings.me, *member);
        let member = members.by_peer(peer).filter(|one| !departed(one));
        let member = member.ok_or(Goodbye::NotAMember)?;
        if common_version(&self.settings.versions, &hello.versions).is_none() {
            return Err(Goodbye::NoCommonVersion);
        }
        if !is_near(hello.epoch, members.epoch(), false) {
            return Err(Goodbye::OtherEpoch);
        }
        let ours = members.peer(self.settings.me);
        if hello.peer.as_str() != peer || hello.to.as_str() != ours {
            return Err(Goodbye::BadHello);
        }
        let identity = members.identity(member).clone();
        signed.verify(&identity).map_err(|_| Goodbye::BadHello)?;
        Ok((member, signed.into_hello()))
    }

    fn admit(&mut self, peer: &str) {
        let Some(known) = self.v.peers.get_mut(peer) else {
            return;
        };
        known.admitted = true;
        if let Some(member) = known.member {
            self.v.goodbyes.remove(&member);
        }
        self.out.free(Free::Admit {
            peer: peer.to_owned(),
        });
    }
}
