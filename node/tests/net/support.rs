//! A node of the transport under test, and the moves that many tests share.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use belfry_node::net::{
    self, InboundId, Multiaddr, NetCommand, NetConfig, NetEvent, NetHandle, PeerId, PeerStatus,
    Protocol, RequestFailure, Topic, Transport, Verdict,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Far longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) handle: NetHandle,
    pub(crate) events: mpsc::Receiver<NetEvent>,
    pub(crate) task: JoinHandle<()>,
    pub(crate) address: Vec<Multiaddr>,
    /// Events that `until` passed over.
    pub(crate) seen: VecDeque<NetEvent>,
}

pub(crate) fn config(seed: u8) -> NetConfig {
    NetConfig::new(Zeroizing::new([seed; 32]), "0123abcd".to_owned())
}

impl Node {
    pub(crate) async fn with(mut config: NetConfig, transport: Transport) -> Self {
        config.listen = transport.listen_on(LOOPBACK, 0);
        Self::listening(config).await
    }

    pub(crate) async fn new(seed: u8, transport: Transport) -> Self {
        Self::with(config(seed), transport).await
    }

    pub(crate) async fn listening(config: NetConfig) -> Self {
        let (sender, events) = mpsc::channel(64);
        let expected = config.listen.len();
        let (handle, task) = net::start(config, sender).expect("the transport starts");
        let mut node = Self {
            handle,
            events,
            task,
            address: Vec::new(),
            seen: VecDeque::new(),
        };
        while node.address.len() < expected {
            let address = node.until(|event| match event {
                NetEvent::Listening(address) => Some(address.clone()),
                _ => None,
            });
            let address = address.await;
            node.address.push(address);
        }
        node
    }

    pub(crate) fn id(&self) -> PeerId {
        self.handle.local_peer()
    }

    pub(crate) async fn send(&self, command: NetCommand) {
        assert!(
            self.handle.send(command).await.is_ok(),
            "the transport runs"
        );
    }

    /// Makes these the members, without waiting for anything.
    pub(crate) async fn follow(&self, others: &[&Node]) {
        let list = others
            .iter()
            .map(|other| (other.id(), other.address.clone()))
            .collect();
        self.send(NetCommand::Members(list)).await;
    }

    /// The first event, old or new, for which `pick` gives something; the others stay for later.
    pub(crate) async fn until<T>(&mut self, pick: impl Fn(&NetEvent) -> Option<T>) -> T {
        if let Some(at) = self.seen.iter().position(|event| pick(event).is_some()) {
            let event = self.seen.remove(at).expect("just found");
            return pick(&event).expect("just picked");
        }
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let event = match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(event) => event.expect("the transport runs"),
                Err(_) => panic!("nothing came that was waited for; it was {:?}", self.seen),
            };
            match pick(&event) {
                Some(found) => return found,
                None => self.seen.push_back(event),
            }
        }
    }

    pub(crate) async fn up(&mut self, other: PeerId) {
        self.until(|event| {
            matches!(event, NetEvent::Up { peer, .. } if *peer == other).then_some(())
        })
        .await;
    }

    pub(crate) async fn down(&mut self, other: PeerId) -> String {
        self.until(|event| match event {
            NetEvent::Down { peer, reason } if *peer == other => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn request(&mut self) -> (PeerId, InboundId, Protocol, Vec<u8>) {
        self.until(|event| match event {
            NetEvent::Request {
                peer,
                id,
                protocol,
                bytes,
            } => Some((*peer, *id, *protocol, bytes.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn response(&mut self, wanted: u64) -> Result<Vec<u8>, RequestFailure> {
        self.until(|event| match event {
            NetEvent::Response { id, result, .. } if *id == wanted => Some(result.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn subscribed(&mut self, other: PeerId, wanted: Topic) {
        self.until(|event| {
            matches!(event, NetEvent::Subscribed { peer, topic } if *peer == other && *topic == wanted).then_some(())
        })
        .await;
    }

    pub(crate) async fn refused(&mut self, wanted: &str) -> Option<PeerId> {
        self.until(|event| match event {
            NetEvent::Refused { peer, why, .. } if *why == wanted => Some(*peer),
            _ => None,
        })
        .await
    }

    /// The next gossip message, accepted.
    pub(crate) async fn gossip(&mut self) -> (Topic, Vec<u8>) {
        let (from, id, topic, bytes) = self
            .until(|event| match event {
                NetEvent::Gossip {
                    from,
                    id,
                    topic,
                    bytes,
                } => Some((*from, *id, *topic, bytes.clone())),
                _ => None,
            })
            .await;
        self.send(NetCommand::Verdict {
            id,
            from,
            verdict: Verdict::Accept,
        })
        .await;
        (topic, bytes)
    }

    pub(crate) async fn ask(&self, peer: PeerId, id: u64, protocol: Protocol, bytes: &[u8]) {
        self.send(NetCommand::Request {
            peer,
            id,
            protocol,
            bytes: bytes.to_vec(),
        })
        .await;
    }

    pub(crate) async fn publish(&self, topic: Topic, bytes: &[u8]) {
        self.send(NetCommand::Publish {
            topic,
            bytes: bytes.to_vec(),
        })
        .await;
    }

    pub(crate) async fn status(&self) -> Vec<PeerStatus> {
        let (sender, receiver) = oneshot::channel();
        self.send(NetCommand::Status(sender)).await;
        receiver.await.expect("a status")
    }

    pub(crate) async fn close(self) {
        self.send(NetCommand::Close).await;
        self.task.await.expect("the task ends in good order");
    }

    /// What has arrived but was not waited for.
    pub(crate) fn leftovers(&mut self) -> &VecDeque<NetEvent> {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push_back(event);
        }
        &self.seen
    }
}

/// `a` dials `b`; both have a session.
pub(crate) async fn connect(a: &mut Node, b: &mut Node) {
    a.follow(&[b]).await;
    a.up(b.id()).await;
    b.up(a.id()).await;
}

pub(crate) async fn admit_each_other(a: &mut Node, b: &mut Node) {
    a.send(NetCommand::Admit(b.id())).await;
    b.send(NetCommand::Admit(a.id())).await;
    for topic in Topic::ALL {
        a.subscribed(b.id(), topic).await;
        b.subscribed(a.id(), topic).await;
    }
}

/// `a` asks, `b` answers with the same bytes.
pub(crate) async fn echo(a: &mut Node, b: &mut Node, id: u64, protocol: Protocol, bytes: &[u8]) {
    a.ask(b.id(), id, protocol, bytes).await;
    let (peer, inbound, asked, question) = b.request().await;
    assert_eq!((peer, asked), (a.id(), protocol));
    assert!(question == bytes, "the question arrives unchanged");
    b.send(NetCommand::Reply {
        id: inbound,
        bytes: question,
    })
    .await;
    let answer = a.response(id).await.expect("an answer");
    assert!(answer == bytes, "the answer arrives unchanged");
}

impl Node {
    pub(crate) async fn down_then_close(mut self) {
        self.until(|event| matches!(event, NetEvent::Down { .. }).then_some(()))
            .await;
        self.close().await;
    }
}
