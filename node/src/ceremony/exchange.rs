//! `/belfry/found/1` between the nodes of a draft: what is new is pushed at once, and every second what each has is compared.
//! Everything that travels speaks for itself. May not judge a document.

use crate::member::OWN_REQUESTS;
use crate::net::{Multiaddr, NetCommand, NetHandle, PeerId, Protocol};
use belfry_protocol::genesis::ceremony::Document;
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::tlog::hash::{Hash, sha256};
use belfry_protocol::wire::found::{FoundAnswer, FoundReason, FoundRequest, MAX_DIGESTS, fitting};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often what each has is compared, and a card is offered that was not taken yet.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// The same among members while nothing is voted on.
const COMPARE_IDLE: Duration = Duration::from_secs(5);
/// After so long nobody waits for an answer any more.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);
/// Addresses of one node that are tried.
const MAX_ADDRESSES: usize = 16;
/// Documents that nobody here takes and that are not asked for again.
const UNWANTED_MAX: usize = 4_096;

/// Who may ask, and where they are dialled.
type Friends = BTreeMap<PeerId, (String, Vec<Multiaddr>)>;

/// The way to the other nodes of a draft.
pub(super) struct Exchange {
    net: NetHandle,
    /// It dials and admits friends itself: no engine does.
    alone: bool,
    lineage: [u8; 16],
    friends: Friends,
    up: BTreeSet<PeerId>,
    /// In the order in which they make sense: manifests first.
    documents: Vec<(Hash, Vec<u8>)>,
    /// The chain's links, which come before everything else.
    links: Vec<(Hash, Vec<u8>)>,
    known: BTreeSet<Hash>,
    unwanted: BTreeSet<Hash>,
    /// Where the next list of digests begins, if there are too many for one.
    turn: usize,
    /// What was asked, by the number of the request.
    asked: BTreeMap<u64, (PeerId, Instant)>,
    next: u64,
    compare_at: Instant,
}

impl Exchange {
    /// Over a network of the founding's own.
    pub(super) fn new(net: NetHandle, lineage: [u8; 16]) -> Self {
        Self::over(net, lineage, (true, 1))
    }

    /// Over the network of a member, whose engine dials and admits.
    pub(super) fn beside(net: NetHandle, lineage: [u8; 16]) -> Self {
        Self::over(net, lineage, (false, OWN_REQUESTS))
    }

    fn over(net: NetHandle, lineage: [u8; 16], (alone, next): (bool, u64)) -> Self {
        Self {
            net,
            alone,
            lineage,
            friends: BTreeMap::new(),
            up: BTreeSet::new(),
            documents: Vec::new(),
            links: Vec::new(),
            known: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            turn: 0,
            asked: BTreeMap::new(),
            next,
            compare_at: Instant::now(),
        }
    }

    pub(super) fn local(&self) -> PeerId {
        self.net.local_peer()
    }

    /// Whom to dial and answer from now on: name, PeerId, addresses, best known first. Of somebody who is named several times all
    /// addresses are tried.
    pub(super) fn set_friends(&mut self, friends: &[(String, String, Vec<String>)]) {
        let local = self.local();
        let mut wanted = Friends::new();
        for (name, peer, addresses) in friends {
            let Some(peer) = peer.parse().ok().filter(|peer| *peer != local) else {
                continue;
            };
            let (_, known) = wanted
                .entry(peer)
                .or_insert_with(|| (name.clone(), Vec::new()));
            for address in addresses.iter().filter_map(|one| one.parse().ok()) {
                if known.len() < MAX_ADDRESSES && !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        if wanted == self.friends {
            return;
        }
        let members = wanted
            .iter()
            .map(|(peer, (_, addresses))| (*peer, addresses.clone()));
        // If the network has no room for it now, the next look says it again.
        if !self.alone || self.send(NetCommand::Members(members.collect())) {
            self.friends = wanted;
            for peer in self.up.clone() {
                self.admit(peer);
            }
        }
    }

    fn admit(&mut self, peer: PeerId) {
        if self.alone && self.friends.contains_key(&peer) {
            // Whoever is not admitted is disconnected, dialled again, and admitted then.
            self.send(NetCommand::Admit(peer));
            self.compare_at = Instant::now();
        }
    }

    /// Says whether there was room.
    fn send(&self, command: NetCommand) -> bool {
        self.net.try_send(command).is_ok()
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

    /// Who is connected now, as the network of a member says.
    pub(super) fn set_up(&mut self, up: BTreeSet<PeerId>) {
        // Who was away is told at once.
        if !up.is_subset(&self.up) {
            self.compare_at = Instant::now();
        }
        self.up = up;
    }

    /// The chain as this node knows it now.
    pub(super) fn set_links(&mut self, links: &[Link]) {
        let bytes = links.iter().map(|link| link.to_json().into_bytes());
        self.links = bytes.map(|bytes| (sha256(&bytes), bytes)).collect();
    }

    /// What this node has now beside the chain.
    pub(super) fn set_documents(&mut self, documents: &[Document]) {
        let bytes = documents.iter().map(|one| one.to_json().into_bytes());
        let documents = bytes.map(|bytes| (sha256(&bytes), bytes));
        self.documents = self.links.iter().cloned().chain(documents).collect();
        self.known = self.documents.iter().map(|(hash, _)| *hash).collect();
    }

    /// Not to be asked for again, unless this node has it now.
    pub(super) fn forget(&mut self, bytes: &[u8]) {
        let hash = sha256(bytes);
        if self.known.contains(&hash) {
            return;
        }
        if self.unwanted.len() >= UNWANTED_MAX {
            self.unwanted.clear();
        }
        self.unwanted.insert(hash);
    }

    /// What nobody need send: what is here, and what is not wanted. If that is too much for one list, the next begins elsewhere.
    fn have(&mut self) -> Vec<Hash> {
        let all: Vec<Hash> = self.known.iter().chain(&self.unwanted).copied().collect();
        if all.len() <= MAX_DIGESTS {
            return all;
        }
        self.turn = (self.turn + MAX_DIGESTS / 2) % all.len();
        let from_turn = all[self.turn..].iter().chain(&all[..self.turn]);
        from_turn.take(MAX_DIGESTS).copied().collect()
    }

    fn request(&mut self, peer: PeerId, request: &FoundRequest) {
        let id = self.next;
        self.next += 1;
        let sent = self.send(NetCommand::Request {
            peer,
            id,
            protocol: Protocol::Found,
            bytes: request.encode(),
        });
        if sent {
            self.asked.insert(id, (peer, Instant::now()));
        }
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
        // While nothing is voted on, members have little to compare.
        let idle = !self.alone && self.documents.len() == self.links.len();
        self.compare_at = now + if idle { COMPARE_IDLE } else { COMPARE_EVERY };
        // Every request is answered or fails long before; what says so may have found no room.
        self.asked
            .retain(|_, (_, since)| now.duration_since(*since) < ANSWER_PATIENCE);
        for peer in self.friends_up() {
            // One at a time with each: a slow one is not asked again meanwhile.
            if self.asked.values().any(|(busy, _)| *busy == peer) {
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
        if !self.is_friend(peer) && !self.links.is_empty() {
            // The chain is public, and whoever was invited verifies it before it shows its card.
            return FoundAnswer::Exchanged {
                wanted: Vec::new(),
                documents: missing(&self.links, have),
            };
        }
        if !self.is_friend(peer) {
            return refuse(
                FoundReason::Stranger,
                "this node does not know you yet: join with a ticket, or wait until a proposal that lists you reaches it",
            );
        }
        FoundAnswer::Exchanged {
            wanted: self.wanted(have),
            documents: missing(&self.documents, have),
        }
    }

    fn wanted(&self, have: &[Hash]) -> Vec<Hash> {
        let unknown = have
            .iter()
            .filter(|hash| !self.known.contains(hash) && !self.unwanted.contains(hash));
        unknown.copied().collect()
    }

    /// Whether an answer is awaited.
    pub(super) fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whoever answered the request with this number.
    pub(super) fn answered(&mut self, id: u64) -> Option<PeerId> {
        self.asked.remove(&id).map(|(peer, _)| peer)
    }

    /// Sends what was asked for.
    pub(super) fn give(&mut self, peer: PeerId, wanted: &[Hash]) {
        let wanted: BTreeSet<&Hash> = wanted.iter().collect();
        let documents = self.documents.iter();
        let documents = documents.filter(|(hash, _)| wanted.contains(hash));
        let documents = fitting(documents.map(|(_, bytes)| bytes.clone()));
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

/// Those of them that somebody who has these lacks, as far as they fit.
fn missing(documents: &[(Hash, Vec<u8>)], have: &[Hash]) -> Vec<Vec<u8>> {
    let have: BTreeSet<&Hash> = have.iter().collect();
    let lacking = documents.iter().filter(|(hash, _)| !have.contains(hash));
    fitting(lacking.map(|(_, bytes)| bytes.clone()))
}
