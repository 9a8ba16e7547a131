//! A member that is no process of ours but the test itself: the real transport, and whatever the test wants to say. It
//! answers what a tower that knows nothing would, so that others go on.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use crate::federation::{Federation, PATIENCE};
use belfry_keys::NodeKeys;
use belfry_node::net::{
    InboundId, NetCommand, NetConfig, NetEvent, NetHandle, PeerId, Protocol, RequestFailure,
    peer_id_of, start,
};
use belfry_protocol::manifest;
use belfry_protocol::note::SigningKey;
use belfry_protocol::wire::codec::{self, Encode, List, Text};
use belfry_protocol::wire::v1::{Kind, Marked, Marks};
use belfry_protocol::wire::{
    Envelope, Frame, Goodbye, Guard, Header, Hello, MemberId, Range, Times, Version, to_member,
};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;

/// Events that wait for the test; a test that does not look at them makes the peer one that does not read.
const EVENTS: usize = 64;

/// The test as a peer of the federation.
pub struct Peer {
    runtime: tokio::runtime::Runtime,
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    keys: NodeKeys,
    founded: manifest::Federation,
    /// Versions it says it speaks.
    pub versions: Vec<Range>,
    /// What it answers to a hello: a welcome, or why not.
    pub goodbye: Option<Goodbye>,
    requests: u64,
}

impl Peer {
    /// A peer with these keys that listens where `listen` says, if it does.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn start(federation: &Federation, keys: NodeKeys, listen: Option<u16>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let founded = federation.founded.clone();
        let mut config = NetConfig::new(keys.transport_seed().clone(), founded.digest8());
        config.listen = listen
            .iter()
            .map(|port| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap())
            .collect();
        config.max_frame = 32 << 20;
        config.requests_in_flight_per_peer = 64;
        let (send, events) = mpsc::channel(EVENTS);
        let (net, _task) = runtime.block_on(async { start(config, send) }).unwrap();
        let v1 = Version::V1_0;
        Self {
            runtime,
            net,
            events,
            keys,
            founded,
            versions: vec![Range { min: v1, max: v1 }],
            goodbye: None,
            requests: 0,
        }
    }

    /// The `PeerId` of a node.
    #[must_use]
    pub fn id_of(federation: &Federation, number: usize) -> PeerId {
        peer_id_of(&federation.keys(number).transport_public_key())
    }

    /// Dials these nodes, now and whenever a connection ends.
    pub fn dial(&self, federation: &Federation, numbers: &[usize]) {
        let all = numbers.iter().map(|number| {
            let port = federation.nodes[*number].port;
            let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
            (Self::id_of(federation, *number), vec![address])
        });
        self.send(NetCommand::Members(all.collect()));
    }

    fn send(&self, command: NetCommand) {
        self.runtime.block_on(self.net.send(command)).unwrap();
    }

    /// Waits until connected to a peer.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn connected(&mut self, to: PeerId) {
        self.until(|event| matches!(event, NetEvent::Up { peer, .. } if *peer == to));
    }

    /// The next event that fits; meanwhile others' questions are answered.
    ///
    /// # Panics
    /// When none comes.
    pub fn until(&mut self, fits: impl Fn(&NetEvent) -> bool) -> NetEvent {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "nothing came");
            match self.event() {
                Some(event) if fits(&event) => return event,
                Some(event) => self.take(event),
                None => {}
            }
        }
    }

    /// Answers others' questions while `more` says so.
    pub fn serve_while(&mut self, mut more: impl FnMut() -> bool) {
        while more() {
            if let Some(event) = self.event() {
                self.take(event);
            }
        }
    }

    fn event(&mut self) -> Option<NetEvent> {
        let next =
            async { tokio::time::timeout(Duration::from_millis(50), self.events.recv()).await };
        self.runtime.block_on(next).ok().flatten()
    }

    fn take(&mut self, event: NetEvent) {
        match event {
            NetEvent::Request {
                peer,
                id,
                protocol: Protocol::Hello,
                ..
            } => {
                let goodbye = self.goodbye;
                let bytes = self.hello(peer, |hello| {
                    hello.goodbye = goodbye;
                    hello.reason = Text::new(goodbye.map_or("", Goodbye::reason)).unwrap();
                });
                self.send(NetCommand::Reply { id, bytes });
                self.send(match goodbye {
                    None => NetCommand::Admit(peer),
                    Some(_) => NetCommand::Disconnect { peer },
                });
            }
            NetEvent::Request {
                peer, id, bytes, ..
            } => self.answer(peer, id, &bytes),
            NetEvent::Gossip { from, id, .. } => self.send(NetCommand::Verdict {
                id,
                from,
                verdict: belfry_node::net::Verdict::Ignore,
            }),
            _ => {}
        }
    }

    /// To what a tower wants to know, a tower that saw nothing answers so; other questions stay open for ever.
    fn answer(&self, peer: PeerId, id: InboundId, bytes: &[u8]) {
        let frame = Frame::parse(bytes, 16 << 20).unwrap();
        if frame.kind != Kind::Marks.number() {
            return self.send(NetCommand::Drop { id });
        }
        let (envelope, _) = Envelope::split(frame.payload).unwrap();
        let marks: Marks = codec::decode(&envelope.body).unwrap();
        let marked = Marked {
            nonce: marks.nonce,
            signs: false,
            marks: List::default(),
        };
        let bytes = self.sealed(peer, Kind::Marked, &marked, |_| {});
        self.send(NetCommand::Reply { id, bytes });
    }

    /// A hello for a peer, changed before it is signed.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn hello(&self, to: PeerId, change: impl FnOnce(&mut Hello)) -> Vec<u8> {
        let mut hello = Hello {
            goodbye: None,
            reason: Text::default(),
            federation: self.founded.id(),
            epoch: 0,
            manifest_head: self.founded.hash(),
            versions: self.versions.clone(),
            peer: Text::new(self.net.local_peer().to_string()).unwrap(),
            to: Text::new(to.to_string()).unwrap(),
            token: [7; 16],
            disk: [8; 16],
            roles: 2,
            times: Times::default(),
            chain: self.keys.certificates().to_vec(),
            digest: None,
            agent: Text::new("test").unwrap(),
            extensions: Vec::new(),
        };
        change(&mut hello);
        hello.encode(self.keys.envelope_key()).unwrap()
    }

    /// A signed sync message to a member, its header changed before it is signed.
    #[must_use]
    pub fn sealed(
        &self,
        to: PeerId,
        kind: Kind,
        body: &impl Encode,
        change: impl FnOnce(&mut Header),
    ) -> Vec<u8> {
        self.sealed_by(self.keys.envelope_key(), to, kind, body, change)
    }

    /// The same with any key.
    ///
    /// # Panics
    /// When it cannot be sealed.
    #[must_use]
    pub fn sealed_by(
        &self,
        key: &SigningKey,
        to: PeerId,
        kind: Kind,
        body: &impl Encode,
        change: impl FnOnce(&mut Header),
    ) -> Vec<u8> {
        let members = &self.founded.manifest().members;
        let to = to.to_string();
        let member = members.iter().find(|member| member.peer == to).unwrap();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut header = Header {
            version: Version::V1_0,
            kind: kind.number(),
            federation: self.founded.id(),
            lineage: [0; 16],
            epoch: 0,
            sender: MemberId::of(self.keys.identity_verifier()),
            key_serial: 1,
            incarnation: 1,
            destination: to_member(MemberId::of(&member.identity)),
            guard: Guard::None,
            token: [0; 16],
            issued_at_us: i64::try_from(since.unwrap().as_micros()).unwrap(),
        };
        change(&mut header);
        let envelope = Envelope::seal(header, codec::encode(body), key).unwrap();
        Frame::encode(Version::V1_0, kind.number(), &envelope.to_bytes())
    }

    /// Sends a request without waiting for its answer; `false` while there is no room for it.
    #[must_use]
    pub fn try_ask(&mut self, peer: PeerId, protocol: Protocol, bytes: Vec<u8>) -> bool {
        self.requests += 1;
        let request = NetCommand::Request {
            peer,
            id: self.requests,
            protocol,
            bytes,
        };
        self.net.try_send(request).is_ok()
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// As the transport says.
    ///
    /// # Panics
    /// When there is neither.
    pub fn ask(
        &mut self,
        peer: PeerId,
        protocol: Protocol,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, RequestFailure> {
        assert!(self.try_ask(peer, protocol, bytes), "no room");
        let wanted = self.requests;
        let came =
            self.until(|event| matches!(event, NetEvent::Response { id, .. } if *id == wanted));
        match came {
            NetEvent::Response { result, .. } => result,
            _ => unreachable!("only this fits"),
        }
    }

    /// Says hello and lets the peer in; its goodbye, if it answers with one, and its own hello.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn greet(
        &mut self,
        peer: PeerId,
        change: impl FnOnce(&mut Hello),
    ) -> Result<Hello, (Goodbye, String)> {
        let hello = self.hello(peer, change);
        let answer = self.ask(peer, Protocol::Hello, hello).unwrap();
        if let Some((goodbye, reason)) = Hello::read_goodbye(&answer) {
            return Err((goodbye, reason.into_inner()));
        }
        self.send(NetCommand::Admit(peer));
        Ok(Hello::parse(&answer).unwrap().into_hello())
    }
}
