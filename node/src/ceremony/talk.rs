//! What the other nodes of a draft say, and what they are answered. May not vote, and believes nothing because of who brought it.

use super::guests;
use super::task::{Task, now_seconds};
use crate::exit::Failure;
use crate::net::{InboundId, NetEvent, PeerId, Protocol};
use belfry_protocol::genesis::ceremony::{Document, Input, Refused};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::wire::found::{FoundAnswer, FoundReason, FoundRequest};
use std::collections::BTreeSet;

impl Task {
    pub(super) fn event(&mut self, event: NetEvent) -> Result<(), Failure> {
        match event {
            NetEvent::Up { peer, .. } => {
                self.exchange.up(peer);
                self.offer();
            }
            NetEvent::Down { peer, .. } => self.exchange.down(&peer),
            NetEvent::Request {
                peer,
                id,
                protocol: Protocol::Found,
                bytes,
            } => self.request(peer, id, &bytes)?,
            // A member that has no federation here is told so by silence.
            NetEvent::Request { id, .. } => self.exchange.hang_up(id),
            NetEvent::Response { id, result, .. } => {
                let peer = self.exchange.answered(id);
                if let (Some(peer), Ok(bytes)) = (peer, result) {
                    self.response(peer, &bytes)?;
                }
            }
            NetEvent::Listening(address) => tracing::info!(%address, "listening for peers"),
            NetEvent::DialFailed { peer, error } => tracing::debug!(%peer, %error, "dial failed"),
            NetEvent::Refused { peer, address, why } => {
                let peer = peer.map(tracing::field::display);
                tracing::debug!(peer, address, why, "the network refused");
            }
            NetEvent::Gossip { .. } | NetEvent::Clock { .. } | NetEvent::Subscribed { .. } => {}
        }
        Ok(())
    }

    /// A request that comes while nothing can be done.
    pub(super) fn turn_away(&mut self, event: &NetEvent) {
        match event {
            NetEvent::Request { id, .. } => self.exchange.hang_up(*id),
            NetEvent::Response { id, .. } => drop(self.exchange.answered(*id)),
            _ => {}
        }
    }

    fn request(&mut self, peer: PeerId, id: InboundId, bytes: &[u8]) -> Result<(), Failure> {
        let answer = match FoundRequest::decode(bytes) {
            Ok(FoundRequest::Exchange {
                lineage,
                have,
                documents,
            }) => {
                if self.exchange.is_friend(&peer) {
                    self.documents(documents)?;
                }
                self.exchange.answer(&peer, lineage, &have)
            }
            Ok(FoundRequest::Card {
                lineage,
                secret,
                note,
            }) => self.card(&peer, lineage, &secret, &note)?,
            Err(reason) => FoundAnswer::Refused {
                reason,
                text: "the request cannot be read; check that both sides run a release of Belfry"
                    .to_owned(),
            },
        };
        self.exchange.reply(id, &answer);
        Ok(())
    }

    fn card(
        &mut self,
        peer: &PeerId,
        lineage: [u8; 16],
        secret: &[u8; 16],
        note: &[u8],
    ) -> Result<FoundAnswer, Failure> {
        let ours = self.draft.lineage()?;
        if lineage != ours {
            return Ok(FoundAnswer::Refused {
                reason: FoundReason::Lineage,
                text: "another federation is founded here; ask for a new ticket".to_owned(),
            });
        }
        // Whoever has neither a ticket nor a card costs nothing.
        if !guests::may_knock(&self.draft, &peer.to_string(), secret) {
            let text = match self.member {
                None => "this node gave no such ticket; ask its operator for one (`belfry invite`)",
                Some(_) => {
                    "the federation is founded, and this node gave no such ticket; ask its operator for one (`belfry invite`)"
                }
            };
            return Ok(FoundAnswer::Refused {
                reason: FoundReason::Ticket,
                text: text.to_owned(),
            });
        }
        let mut draft = self.draft.clone();
        let admitted = guests::open(ours, &peer.to_string(), note).and_then(|(card, note)| {
            let changed = guests::admit(&mut draft, &self.me, (&card, note), secret, now_seconds());
            Ok((card.member.name, changed?))
        });
        match admitted {
            Err((reason, text)) => {
                // It asks again every second.
                let same = self.turned_away.as_ref() == Some(&(*peer, text.clone()));
                if !same {
                    tracing::warn!(%peer, reason = text, "somebody wanted to join and was refused");
                    self.turned_away = Some((*peer, text.clone()));
                }
                Ok(FoundAnswer::Refused { reason, text })
            }
            Ok((name, changed)) => {
                if changed {
                    // A ticket is used up before anybody hears that it was.
                    draft.save(&self.layout, &*self.disk)?;
                    self.draft = draft;
                    tracing::info!(member = name, "somebody joined the draft");
                    self.refresh()?;
                }
                Ok(FoundAnswer::Taken {
                    text: self.welcome_text()?,
                })
            }
        }
    }

    /// Where the proposal of whoever came stands.
    fn welcome_text(&self) -> Result<String, Failure> {
        let proposed = self.desk.ceremony()?.documents();
        let mut proposed = proposed
            .iter()
            .filter(|document| matches!(document, Document::Proposal(_)));
        let open = match proposed.next() {
            None => "nothing is proposed yet",
            Some(_) => "a proposal is open",
        };
        let (count, name) = (guests::cards(&self.draft).len(), &self.draft.federation);
        Ok(match self.member {
            None => format!("{} are in the draft of {name}; {open}", count + 1),
            Some(_) => format!("{count} came here to join {name}; {open}"),
        })
    }

    /// Documents from a friend. Identities cost nothing, and before epoch 0 a manifest is whatever its own members say it is: only
    /// manifests of people who came with tickets are looked at.
    fn documents(&mut self, documents: Vec<Vec<u8>>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        let (mut manifests, mut rest, mut links) = (Vec::new(), Vec::new(), Vec::new());
        let founded = self.pinned().is_some() || !self.links.is_empty();
        for bytes in documents {
            match Document::parse(&bytes) {
                Ok(document @ Document::Proposal(_)) => manifests.push((document, bytes)),
                Ok(document @ Document::Link(_)) if founded => links.push((document, bytes)),
                Ok(document) => rest.push((document, bytes)),
                Err(why) => {
                    tracing::debug!(%why, "a document cannot be read");
                    self.exchange.forget(&bytes);
                }
            }
        }
        // Every epoch is walked, and only then the vote on the next one makes sense.
        links.sort_by_key(|(document, _)| epoch_of(document));
        self.judged(links)?;
        // What is about a manifest makes sense after it.
        self.judged(manifests)?;
        rest.sort_by_key(|(document, _)| match document {
            Document::Proposal(_) | Document::Certificate(_) => 0,
            Document::Vote(_) => 1,
            Document::Link(_) => 2,
            Document::Evidence(_) => 3,
        });
        self.judged(rest)
    }

    /// Takes those that are by and about people of this draft.
    fn judged(&mut self, documents: Vec<(Document, Vec<u8>)>) -> Result<(), Failure> {
        let people = self.people()?;
        let pinned = self.pinned();
        let newest = self.newest().cloned();
        let of_this_draft = |(document, _): &(Document, Vec<u8>)| {
            let listed = |manifest: &Manifest| {
                let mut members = manifest.members.iter();
                members.all(|member| people.contains(&member.identity.to_string()))
            };
            if self.recovering && !matches!(document, Document::Link(_)) {
                return false;
            }
            if let Some(newest) = &newest {
                // A founded federation judges by its own members: only they propose.
                return match document {
                    Document::Proposal(proposal) => newest.member(proposal.proposer()).is_some(),
                    _ => true,
                };
            }
            if let Some(pinned) = pinned {
                return match document {
                    Document::Link(link) => {
                        let manifest = link.manifest();
                        manifest.epoch > 0 || manifest.hash() == pinned.federation
                    }
                    _ => false,
                };
            }
            match document {
                Document::Proposal(proposal) => {
                    let by = proposal.manifest().member(proposal.proposer());
                    by.is_some_and(|(_, by)| people.contains(&by.identity.to_string()))
                }
                Document::Certificate(certificate) => listed(&certificate.manifest),
                Document::Link(link) => listed(link.manifest()),
                Document::Vote(_) | Document::Evidence(_) => true,
            }
        };
        // Who is unknown now may be known when more has come: it is not forgotten.
        let (read, strange): (Vec<_>, Vec<_>) = documents.into_iter().partition(of_this_draft);
        if let (None, Some(pinned)) = (&newest, pinned) {
            self.check_pinned(&strange, pinned.federation);
        }
        if !strange.is_empty() {
            tracing::debug!(
                count = strange.len(),
                "documents of people who are not in this draft"
            );
        }
        if read.is_empty() {
            return Ok(());
        }
        let inputs = read
            .iter()
            .map(|(document, _)| Input::Document(Box::new(document.clone())));
        let outcome = self.take(inputs.collect())?;
        let mut later = Vec::new();
        // What is about epochs to come makes sense when this node has walked so far.
        let election = self.desk.ceremony()?.election().map_or(0, |e| e.epoch());
        let ahead = read.iter().enumerate();
        let ahead = ahead.filter(|(_, (document, _))| epoch_of(document) > election);
        later.extend(ahead.map(|(at, _)| at));
        for (at, why) in outcome.refused {
            match why {
                // It may make sense when more has come.
                Refused::Unknown(_) | Refused::TooFar { .. } => {
                    later.push(at);
                }
                _ => tracing::debug!(%why, "a document was not taken"),
            }
        }
        // What is neither here now nor may be later is not asked for again: it says nothing new.
        for (at, (_, bytes)) in read.iter().enumerate() {
            if !later.contains(&at) {
                self.exchange.forget(bytes);
            }
        }
        Ok(())
    }

    /// Says so if a federation is shown that is not the one of the ticket.
    fn check_pinned(&mut self, strange: &[(Document, Vec<u8>)], wanted: Hash) {
        let mut foundings = strange.iter().filter_map(|(document, _)| match document {
            Document::Link(link) if link.manifest().epoch == 0 => Some(link.manifest().hash()),
            _ => None,
        });
        let Some(shown) = foundings.find(|shown| *shown != wanted) else {
            return;
        };
        let text = format!(
            "another federation ({shown}) is shown than the one that the ticket names ({wanted}); ask for a new ticket over a way that you trust"
        );
        if self.welcome != Err(text.clone()) {
            tracing::error!(%text, "this node joins nobody");
        }
        self.welcome = Err(text);
    }

    /// Identity keys of this draft: this node's, its host's, those with cards here, and those whom a manifest of the host's lists.
    fn people(&self) -> Result<BTreeSet<String>, Failure> {
        let mut people = BTreeSet::from([self.me.identity.to_string()]);
        let cards = guests::cards(&self.draft);
        people.extend(cards.iter().map(|card| card.member.identity.to_string()));
        let host = match self.draft.ticket()? {
            Some(ticket) => ticket.proposer,
            None => self.me.identity.clone(),
        };
        people.insert(host.to_string());
        for document in self.desk.ceremony()?.documents() {
            let Document::Proposal(proposal) = document else {
                continue;
            };
            let members = &proposal.manifest().members;
            let by = members.iter().find(|one| one.name == proposal.proposer());
            if by.is_some_and(|by| by.identity == host) {
                people.extend(members.iter().map(|one| one.identity.to_string()));
            }
        }
        Ok(people)
    }

    fn response(&mut self, peer: PeerId, bytes: &[u8]) -> Result<(), Failure> {
        match FoundAnswer::decode(bytes) {
            Some(FoundAnswer::Exchanged { wanted, documents }) => {
                if self.exchange.is_friend(&peer) {
                    self.documents(documents)?;
                }
                self.exchange.give(peer, &wanted);
            }
            Some(FoundAnswer::Taken { text }) if self.is_host(&peer) => {
                if self.card.take().is_some() {
                    tracing::info!(%text, "this node is in the draft");
                }
                self.welcome = Ok(Some(text));
            }
            // That it is not known yet is no answer to its card.
            Some(FoundAnswer::Refused { reason, text })
                if self.is_host(&peer)
                    && self.card.is_some()
                    && reason != FoundReason::Stranger =>
            {
                if self.welcome != Err(text.clone()) {
                    tracing::error!(%text, "whoever invited this node refuses it");
                }
                self.welcome = Err(text);
            }
            Some(FoundAnswer::Refused { text, .. }) => tracing::debug!(%peer, %text, "refused"),
            Some(FoundAnswer::Taken { .. }) | None => {}
        }
        Ok(())
    }

    /// Whether this is who invited this node.
    fn is_host(&self, peer: &PeerId) -> bool {
        let ticket = self.draft.ticket().ok().flatten();
        ticket.is_some_and(|ticket| ticket.peer == peer.to_string())
    }
}

/// The epoch that a document is about.
fn epoch_of(document: &Document) -> u64 {
    match document {
        Document::Proposal(proposal) => proposal.manifest().epoch,
        Document::Vote(vote) => vote.statement().subject.epoch,
        Document::Certificate(certificate) => certificate.manifest.epoch,
        Document::Link(link) => link.manifest().epoch,
        Document::Evidence(evidence) => evidence.votes()[0].statement().subject.epoch,
    }
}
