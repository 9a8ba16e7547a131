//! What the other nodes of a draft say, and what they are answered. May not vote, and believes nothing because of who brought it.

use super::guests;
use super::task::{Task, now_seconds};
use crate::exit::Failure;
use crate::net::{InboundId, NetEvent, PeerId, Protocol};
use belfry_protocol::genesis::ceremony::{Document, Input, Refused};
use belfry_protocol::wire::found::{FoundAnswer, FoundReason, FoundRequest};

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
            return Ok(FoundAnswer::Refused {
                reason: FoundReason::Ticket,
                text: "this node gave no such ticket; ask its operator for one (`belfry invite`)"
                    .to_owned(),
            });
        }
        let mut draft = self.draft.clone();
        let admitted = guests::open(ours, &peer.to_string(), note).and_then(|(card, note)| {
            let changed = guests::admit(&mut draft, &self.me, (&card, note), secret, now_seconds());
            Ok((card.member.name, changed?))
        });
        match admitted {
            Err((reason, text)) => {
                tracing::warn!(%peer, reason = text, "somebody wanted to join and was refused");
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
        let count = guests::cards(&self.draft).len() + 1;
        let proposed = self.desk.ceremony()?.documents();
        let proposed = proposed
            .iter()
            .filter(|document| matches!(document, Document::Proposal(_)));
        Ok(match proposed.count() {
            0 => format!(
                "{count} are in the draft of {}; nothing is proposed yet",
                self.draft.federation
            ),
            _ => format!(
                "{count} are in the draft of {}; a proposal is open",
                self.draft.federation
            ),
        })
    }

    /// Documents from a friend.
    fn documents(&mut self, documents: Vec<Vec<u8>>) -> Result<(), Failure> {
        if self.active.is_some() {
            return Ok(());
        }
        let mut read = Vec::new();
        for bytes in documents {
            match Document::parse(&bytes) {
                Ok(document) if self.may_propose(&document) => read.push((document, bytes)),
                Ok(_) => self.exchange.forget(&bytes),
                Err(why) => {
                    tracing::debug!(%why, "a document cannot be read");
                    self.exchange.forget(&bytes);
                }
            }
        }
        if read.is_empty() {
            return Ok(());
        }
        // A vote makes sense after its manifest.
        read.sort_by_key(|(document, _)| match document {
            Document::Link(_) => 0,
            Document::Certificate(_) => 1,
            Document::Proposal(_) => 2,
            Document::Vote(_) => 3,
            Document::Evidence(_) => 4,
        });
        let inputs = read
            .iter()
            .map(|(document, _)| Input::Document(Box::new(document.clone())));
        let outcome = self.take(inputs.collect())?;
        let mut later = Vec::new();
        for (at, why) in outcome.refused {
            match why {
                // It may make sense when more has come.
                Refused::Unknown(_) | Refused::TooFar { .. } | Refused::TooMany { .. } => {
                    later.push(at)
                }
                Refused::NotListed(_) if matches!(read[at].0, Document::Link(_)) => {
                    self.left_out(&why)
                }
                _ => tracing::info!(%why, "a document was not taken"),
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

    /// The others founded without this node.
    fn left_out(&mut self, why: &Refused) {
        let text = format!("the others founded without this node: {why}");
        if self.welcome != Err(text.clone()) {
            tracing::error!(%text, "left out");
        }
        self.welcome = Err(text);
    }

    /// New manifests come from whoever has a card here, from whoever invited this node, and from those whom these two list: identities
    /// cost nothing, and each may propose some.
    fn may_propose(&self, document: &Document) -> bool {
        let Document::Proposal(proposal) = document else {
            return true;
        };
        let by = proposal.proposer();
        let host = self.draft.ticket().ok().flatten();
        let host = host
            .as_ref()
            .map_or(self.me.name.as_str(), |ticket| ticket.proposer.name());
        let signer = proposal
            .manifest()
            .member(by)
            .map(|(_, member)| &member.identity);
        let cards = guests::cards(&self.draft);
        let has_card = cards
            .iter()
            .any(|card| Some(&card.member.identity) == signer);
        if by == host || has_card || Some(&self.me.identity) == signer {
            return true;
        }
        let Ok(ceremony) = self.desk.ceremony() else {
            return false;
        };
        ceremony.documents().iter().any(|known| match known {
            Document::Proposal(known) if known.proposer() == host => known
                .manifest()
                .members
                .iter()
                .any(|member| Some(&member.identity) == signer),
            _ => false,
        })
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
            Some(FoundAnswer::Refused { text, .. })
                if self.is_host(&peer) && self.card.is_some() =>
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
