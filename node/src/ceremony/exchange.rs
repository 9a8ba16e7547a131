//! `/belfry/found/1` between the nodes of a draft: what is new is pushed at once, and every second what each has is compared.
//! Everything that travels speaks for itself. May not judge a document.

use crate::net::{Multiaddr, NetCommand, NetHandle, PeerId, Protocol};
use belfry_protocol::genesis::ceremony::Document;
use belfry_protocol::tlog::hash::{Hash, sha256};
use belfry_protocol::wire::found::{FoundAnswer, FoundReason, FoundRequest, MAX_DIGESTS, fitting};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often what each has is compared, and a card is offered that was not taken yet.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// Documents that nobody here takes and that are not asked for again.
const UNWANTED_MAX: usize = 4_096;

/// The way to the other nodes of a draft.
pub(super) struct Exchange {
    net: NetHandle,
    lineage: [u8; 16],
    /// Names of those who may ask, by transport id.
    friends: BTreeMap<PeerId, String>,
    up: BTreeSet<PeerId>,
    documents: BTreeMap<Hash, Vec<u8>>,
    unwanted: BTreeSet<Hash>,
    /// What was asked, by the number of the request.
    asked: BTreeMap<u64, PeerId>,
    next: u64,
    compare_at: Instant,
}

impl Exchange {
    pub(super) fn new(net: NetHandle, lineage: [u8; 16]) -> Self {
        Self {
            net,
            lineage,
            friends: BTreeMap::new(),
            up: BTreeSet::new(),
            documents: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            asked: BTreeMap::new(),
            next: 1,
            compare_at: Instant::now(),
        }
    }

    pub(super) fn local(&self) -> PeerId {
        self.net.local_peer()
    }

    /// Whom to dial and answer from now on: name, PeerId, addresses.
    pub(super) fn set_friends(&mut self, friends: &[(String, String, Vec<String>)]) {
        let parsed = friends.iter().filter_map(|(name, peer, addresses)| {
            let peer: PeerId = peer.parse().ok()?;
            let addresses: Vec<Multiaddr> = addresses
                .iter()
                .filter_map(|one| one.parse().ok())
                .collect();
            Some((peer, name.clone(), addresses))
        });
        let local = self.local();
        let parsed: Vec<_> = parsed.filter(|(peer, ..)| *peer != local).collect();
        let names: BTreeMap<PeerId, String> = parsed
            .iter()
            .map(|(peer, name, _)| (*peer, name.clone()))
            .collect();
        if names == self.friends {
            return;
        }
        self.friends = names;
        let members = parsed
            .into_iter()
            .map(|(peer, _, addresses)| (peer, addresses));
        self.send(NetCommand::Members(members.collect()));
        for peer in self.up.clone() {
            self.admit(peer);
        }
    }

    fn admit(&mut self, peer: PeerId) {
        if self.friends.contains_key(&peer) {
            self.send(NetCommand::Admit(peer));
            self.compare_at = Instant::now();
        }
    }

    fn send(&self, command: NetCommand) {
        // A full queue is that of a network that stands still; everything here is said again.
        let _lost = self.net.try_send(command);
    }

    pub(super) fn is_friend(&self, peer: &PeerId) -> bool {
        self.friends.contains_key(peer)
    }

    pub(super) fn is_up(&self, peer: &str) -> bool {
        peer.parse().is_ok_and(|peer| self.up.contains(&peer))
    }

    pub(super) fn up(&mut self, peer: PeerId) {
        self.up.insert(peer);
        self.admit(peer);
    }

    pub(super) fn down(&mut self, peer: &PeerId) {
        self.up.remove(peer);
    }

    /// What this node has now.
    pub(super) fn set_documents(&mut self, documents: &[Document]) {
        let bytes = documents.iter().map(|one| one.to_json().into_bytes());
        self.documents = bytes.map(|bytes| (sha256(&bytes), bytes)).collect();
    }

    /// Not to be asked for again.
    pub(super) fn forget(&mut self, bytes: &[u8]) {
        if self.unwanted.len() >= UNWANTED_MAX {
            self.unwanted.clear();
        }
        self.unwanted.insert(sha256(bytes));
    }

    fn have(&self) -> Vec<Hash> {
        self.documents.keys().copied().take(MAX_DIGESTS).collect()
    }

    fn request(&mut self, peer: PeerId, request: &FoundRequest) {
        let id = self.next;
        self.next += 1;
        self.asked.insert(id, peer);
        self.send(NetCommand::Request {
            peer,
            id,
            protocol: Protocol::Found,
            bytes: request.encode(),
        });
    }

    fn friends_up(&self) -> Vec<PeerId> {
        let up = self.up.iter().filter(|peer| self.is_friend(peer));
        up.copied().collect()
    }

    /// To everybody who is there.
    pub(super) fn push(&mut self, fresh: &[Document]) {
        if fresh.is_empty() {
            return;
        }
        let fresh = fitting(fresh.iter().map(|one| one.to_json().into_bytes()));
        for peer in self.friends_up() {
            let request = FoundRequest::Exchange {
                lineage: self.lineage,
                have: self.have(),
                documents: fresh.clone(),
            };
            self.request(peer, &request);
        }
    }

    /// Compares, if it is time or `now` is asked for; says whether it was.
    pub(super) fn tick(&mut self, hurry: bool) -> bool {
        let now = Instant::now();
        if now < self.compare_at && !hurry {
            return false;
        }
        self.compare_at = now + COMPARE_EVERY;
        for peer in self.friends_up() {
            // One at a time with each: a slow one is not asked again meanwhile.
            if self.asked.values().any(|busy| *busy == peer) {
                continue;
            }
            let request = FoundRequest::Exchange {
                lineage: self.lineage,
                have: self.have(),
                documents: Vec::new(),
            };
            self.request(peer, &request);
        }
        true
    }

    /// Offers this node's card to whoever invited it.
    pub(super) fn offer(&mut self, peer: &str, secret: [u8; 16], note: &str) {
        let Some(peer) = peer.parse().ok().filter(|peer| self.up.contains(peer)) else {
            return;
        };
        let request = FoundRequest::Card {
            lineage: self.lineage,
            secret,
            note: note.as_bytes().to_vec(),
        };
        self.request(peer, &request);
    }

    /// The answer to an exchange, and the documents that came with it.
    pub(super) fn answer(&self, peer: &PeerId, lineage: [u8; 16], have: &[Hash]) -> FoundAnswer {
        let refuse = |reason, text: &str| FoundAnswer::Refused {
            reason,
            text: text.to_owned(),
        };
        if lineage != self.lineage {
            return refuse(
                FoundReason::Lineage,
                "another federation is founded here; ask for a new ticket",
            );
        }
        if !self.is_friend(peer) {
            return refuse(
                FoundReason::Stranger,
                "this node does not know you yet: join with a ticket, or wait until a proposal that lists you reaches it",
            );
        }
        FoundAnswer::Exchanged {
            wanted: self.wanted(have),
            documents: self.lacking(have),
        }
    }

    fn wanted(&self, have: &[Hash]) -> Vec<Hash> {
        let unknown = have
            .iter()
            .filter(|hash| !self.documents.contains_key(hash) && !self.unwanted.contains(hash));
        unknown.copied().collect()
    }

    fn lacking(&self, have: &[Hash]) -> Vec<Vec<u8>> {
        let have: BTreeSet<&Hash> = have.iter().collect();
        let all = self.documents.iter();
        fitting(
            all.filter(|(hash, _)| !have.contains(hash))
                .map(|(_, bytes)| bytes.clone()),
        )
    }

    /// Whether an answer is awaited.
    pub(super) fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whoever answered the request with this number.
    pub(super) fn answered(&mut self, id: u64) -> Option<PeerId> {
        self.asked.remove(&id)
    }

    /// Sends what was asked for.
    pub(super) fn give(&mut self, peer: PeerId, wanted: &[Hash]) {
        let wanted = wanted.iter().filter_map(|hash| self.documents.get(hash));
        let documents = fitting(wanted.cloned());
        if documents.is_empty() {
            return;
        }
        let request = FoundRequest::Exchange {
            lineage: self.lineage,
            have: self.have(),
            documents,
        };
        self.request(peer, &request);
    }

    pub(super) fn reply(&self, id: crate::net::InboundId, answer: &FoundAnswer) {
        self.send(NetCommand::Reply {
            id,
            bytes: answer.encode(),
        });
    }

    pub(super) fn hang_up(&self, id: crate::net::InboundId) {
        self.send(NetCommand::Drop { id });
    }
}
