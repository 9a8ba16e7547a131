//! The thread of a founding: what arrives from the network and from operators, in order, until the federation is active. The only
//! place that changes the draft. May not decide what this node votes.

use super::clerk::{self, Ask, Plan, Wish};
use super::desk::{Desk, Outcome};
use super::draft::Draft;
use super::exchange::Exchange;
use super::guests;
use super::view::{self, Beside};
use crate::clock;
use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::net::{self, InboundId, NetCommand, NetConfig, NetEvent, NetHandle, PeerId, Protocol};
use crate::node::Node;
use crate::store::Layout;
use belfry_keys::NodeKeys;
use belfry_protocol::genesis::ceremony::{Document, Input, VoteRecord};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::genesis::{Card, Proposal, Saying, Vote};
use belfry_protocol::manifest::Member;
use belfry_protocol::note::SignedNote;
use belfry_protocol::wire::found::{FoundAnswer, FoundReason, FoundRequest};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Events and wishes that wait for the thread.
const WAITING: usize = 64;
/// How often the thread looks at the time.
const LOOK: Duration = Duration::from_millis(200);
/// How long what was said last may take to leave.
const FAREWELL: Duration = Duration::from_millis(500);
/// First eight digits of the federation id while there is none: 32 zero bytes (R14).
const NO_FEDERATION: &str = "00000000";

/// Where operators' wishes go.
#[derive(Clone)]
pub struct Table(mpsc::Sender<Ask>);

impl Table {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// As the wish says, or when the founding is over.
    pub async fn ask(&self, wish: Wish) -> Result<Value, Failure> {
        let over = || {
            Failure::new(Code::Unreachable, "the founding on this node has ended")
                .hint("see `belfry status`")
        };
        let (answer, wait) = oneshot::channel();
        let asked = self.0.send(Ask { wish, answer }).await;
        asked.map_err(|_| over())?;
        wait.await.map_err(|_| over())?
    }
}

/// A founding under way.
pub struct Founding {
    /// Where operators' wishes go.
    pub table: Table,
    net: NetHandle,
    carrier: tokio::task::JoinHandle<()>,
    ended: oneshot::Receiver<Result<Link, Failure>>,
    thread: std::thread::JoinHandle<()>,
}

impl Founding {
    /// Waits until the federation is active; returns what made it so.
    ///
    /// # Errors
    /// When the store or the ledger failed.
    pub async fn ended(&mut self) -> Result<Link, Failure> {
        let lost = || Failure::new(Code::Failed, "the founding's thread ended");
        (&mut self.ended).await.map_err(|_| lost())?
    }

    /// Closes the network and the thread.
    pub async fn close(self) {
        let _stopped = self.net.send(NetCommand::Close).await;
        drop(self.table);
        if self.carrier.await.is_err() {
            tracing::error!("the network's task panicked");
        }
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the founding's thread panicked");
        }
    }
}

/// This node's own line of the member list.
fn own_line(node: &Node, keys: &NodeKeys, draft: &Draft) -> Member {
    let role = |role: &str| node.config.role.split(',').any(|one| one.trim() == role);
    Member {
        name: keys.name().to_owned(),
        factory: role("factory"),
        tower: role("tower"),
        identity: keys.identity_verifier().clone(),
        peer: net::peer_id_of(&keys.transport_public_key()).to_string(),
        addresses: draft.addresses.clone(),
        http: draft.http.clone(),
        certificate_head: belfry_protocol::cert::certificate_hash(keys.certificate()),
    }
}

/// Starts the network and the thread of a founding.
///
/// # Errors
/// When it cannot listen, or the store fails.
pub fn start(node: &Node, keys: NodeKeys, draft: Draft) -> Result<Founding, Failure> {
    let mut config = NetConfig::new(keys.transport_seed().clone(), NO_FEDERATION.to_owned());
    config.listen = node
        .config
        .net_transport
        .listen_on(node.config.net_listen.ip(), node.config.net_listen.port());
    config.relays.clone_from(&node.config.net_relay);
    config.circuits = true;
    let (events, arriving) = mpsc::channel(WAITING);
    let (net, carrier) = net::start(config, events).map_err(|error| {
        Failure::new(Code::Io, error.to_string())
            .hint("choose another address with net.listen in config.toml")
    })?;
    let lineage = draft.lineage()?;
    let me = own_line(node, &keys, &draft);
    let desk = Desk::open(keys, node.writer().clone(), lineage)?;
    let task = Task {
        exchange: Exchange::new(net.clone(), lineage),
        card: None,
        welcome: Ok(None),
        layout: node.layout.clone(),
        disk: node.disk(),
        desk,
        draft,
        me,
        active: None,
    };
    let (asks, asked) = mpsc::channel(WAITING);
    let (done, ended) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    // Steps wait for the disk: a thread of its own, so that nobody else waits with it.
    let thread = std::thread::Builder::new()
        .name("founding".to_owned())
        .spawn(move || {
            let result = runtime.block_on(task.run(arriving, asked));
            // Whoever waited may have gone.
            let _gone = done.send(result);
        })?;
    Ok(Founding {
        table: Table(asks),
        net,
        carrier,
        ended,
        thread,
    })
}

struct Task {
    desk: Desk,
    draft: Draft,
    me: Member,
    layout: Layout,
    disk: Arc<dyn Disk>,
    exchange: Exchange,
    /// This node's signed card, until whoever invited it has taken it.
    card: Option<String>,
    /// What whoever invited this node said to its card last.
    welcome: Result<Option<String>, String>,
    active: Option<Link>,
}

fn now_seconds() -> u64 {
    u64::try_from(clock::wall().seconds()).unwrap_or(0)
}

impl Task {
    async fn run(
        mut self,
        mut arriving: mpsc::Receiver<NetEvent>,
        mut asked: mpsc::Receiver<Ask>,
    ) -> Result<Link, Failure> {
        self.begin()?;
        let mut look = tokio::time::interval(LOOK);
        while self.active.is_none() {
            tokio::select! {
                event = arriving.recv() => match event {
                    Some(event) => self.event(event)?,
                    None => return Err(Failure::new(Code::Failed, "the network ended")),
                },
                ask = asked.recv() => match ask {
                    Some(Ask { wish, answer }) => {
                        let result = self.wish(&wish);
                        // Whoever asked may have gone.
                        let _gone = answer.send(result);
                        // A step that failed leaves nothing to go on with.
                        self.desk.ceremony()?;
                    }
                    None => return Err(Failure::new(Code::Failed, "the node is stopping")),
                },
                _ = look.tick() => self.tick(false),
            }
        }
        self.farewell(&mut arriving).await;
        self.active
            .ok_or_else(|| Failure::new(Code::Failed, "nothing is active"))
    }

    /// Lets what was said last leave: the others need it to end, too.
    async fn farewell(&mut self, arriving: &mut mpsc::Receiver<NetEvent>) {
        let until = Instant::now() + FAREWELL;
        while Instant::now() < until && self.exchange.is_asking() {
            let Ok(Some(event)) = tokio::time::timeout(LOOK, arriving.recv()).await else {
                continue;
            };
            if self.event(event).is_err() {
                return;
            }
        }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        if let Some(ticket) = self.draft.ticket()? {
            let card = Card {
                lineage: ticket.lineage,
                member: self.me.clone(),
            };
            self.card = Some(self.own_card(&card.to_text())?);
        }
        self.take(vec![Input::Resume])?;
        if self.active.is_none() {
            self.active = self.desk.active()?;
        }
        self.refresh()
    }

    /// The signed card, made once: its key may be elsewhere at the next start.
    fn own_card(&mut self, text: &str) -> Result<String, Failure> {
        let made = self.draft.card.as_ref();
        let same = made.filter(|note| {
            SignedNote::parse(note.as_bytes()).is_ok_and(|note| note.text() == text)
        });
        if let Some(note) = same {
            return Ok(note.clone());
        }
        let note = self.desk.identity_note(text)?.to_string();
        self.draft.card = Some(note.clone());
        self.draft.save(&self.layout, &*self.disk)?;
        Ok(note)
    }

    /// Takes inputs and says to the others what may leave.
    fn take(&mut self, inputs: Vec<Input>) -> Result<Outcome, Failure> {
        let mut outcome = self.desk.take(inputs)?;
        for evidence in &outcome.accused {
            tracing::error!(
                member = evidence.accused(),
                "a member voted for two manifests in one round; the evidence is an entry of this ledger, show it to the others"
            );
        }
        self.refresh()?;
        self.exchange.push(&outcome.send);
        if let Some(link) = outcome.activated.take() {
            tracing::info!(federation = %link.manifest().hash(), "the federation is founded");
            self.active = Some(link);
        }
        Ok(outcome)
    }

    /// What this node has, and whom it knows, follow from the votes.
    fn refresh(&mut self) -> Result<(), Failure> {
        let mut documents = self.desk.ceremony()?.documents();
        if let Some(link) = &self.active {
            documents = vec![Document::Link(Box::new(link.clone()))];
        }
        self.exchange.set_documents(&documents);
        let line = |member: &Member| {
            (
                member.name.clone(),
                member.peer.clone(),
                member.addresses.clone(),
            )
        };
        let mut friends: Vec<_> = guests::cards(&self.draft)
            .iter()
            .map(|card| line(&card.member))
            .collect();
        for document in &documents {
            let members = match document {
                Document::Proposal(proposal) => &proposal.manifest().members,
                Document::Certificate(certificate) => &certificate.manifest.members,
                Document::Link(link) => &link.manifest().members,
                _ => continue,
            };
            friends.extend(members.iter().map(line));
        }
        if let Some(ticket) = self.draft.ticket()? {
            let name = ticket.proposer.name().to_owned();
            friends.push((name, ticket.peer, ticket.addresses));
        }
        self.exchange.set_friends(&friends);
        Ok(())
    }

    fn tick(&mut self, hurry: bool) {
        if self.exchange.tick(hurry) {
            self.offer();
        }
    }

    /// Shows this node's card to whoever invited it, until it was taken.
    fn offer(&mut self) {
        if let (Some(card), Ok(Some(ticket))) = (&self.card, self.draft.ticket()) {
            self.exchange.offer(&ticket.peer, ticket.secret, card);
        }
    }

    fn event(&mut self, event: NetEvent) -> Result<(), Failure> {
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
        let mut inputs = Vec::new();
        let mut texts = Vec::new();
        for bytes in documents {
            match Document::parse(&bytes) {
                Ok(document) => {
                    inputs.push(Input::Document(Box::new(document)));
                    texts.push(bytes);
                }
                Err(why) => {
                    tracing::debug!(%why, "a document cannot be read");
                    self.exchange.forget(&bytes);
                }
            }
        }
        if inputs.is_empty() || self.active.is_some() {
            return Ok(());
        }
        let outcome = self.take(inputs)?;
        for (at, why) in outcome.refused {
            tracing::info!(%why, "a document was not taken");
            if let Some(bytes) = texts.get(at) {
                self.exchange.forget(bytes);
            }
        }
        Ok(())
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

    fn wish(&mut self, wish: &Wish) -> Result<Value, Failure> {
        let documents = self.desk.ceremony()?.documents();
        let meant = |digits: &str| clerk::meant(&documents, Some(digits));
        match wish {
            Wish::Status => self.status(),
            Wish::Show { manifest } => {
                let manifest = clerk::meant(&documents, manifest.as_deref())?;
                let mut status = self.status()?;
                status["file"] = json!(manifest.to_json());
                status["shown"] = json!(manifest.hash().to_hex());
                Ok(status)
            }
            Wish::Propose {
                title,
                quorum,
                threshold,
                without,
                again,
            } => {
                let status = self.votes()?;
                let plan = Plan {
                    title,
                    quorum: *quorum,
                    threshold: *threshold,
                    without,
                    again: again.as_deref(),
                };
                let now = now_seconds();
                let made =
                    clerk::propose(&self.draft, &self.me, (&status, &documents), &plan, now)?;
                let note = self.desk.identity_note(&made.statement.to_string())?;
                let proposal = Proposal::new(made.manifest, note).map_err(refused)?;
                let hash = proposal.manifest().hash();
                self.say(Document::Proposal(Box::new(proposal)))?;
                self.shown(&hash.to_hex())
            }
            Wish::Sign { manifest, confirm } => {
                let manifest = meant(manifest)?;
                let (status, hash) = (self.votes()?, manifest.hash());
                let round = clerk::round_of(&status, &hash);
                let outcome = self.take(vec![Input::Approve {
                    manifest: hash,
                    round,
                    confirm: confirm.clone(),
                }])?;
                first_refusal(&outcome)?;
                let mut shown = self.shown(&hash.to_hex())?;
                shown["unsigned"] = json!(outcome.unsigned.len());
                Ok(shown)
            }
            Wish::Reject { manifest, reason } => {
                let saying = Saying::Refuse {
                    reason: reason.clone(),
                };
                self.state(&meant(manifest)?, saying)
            }
            Wish::Withdraw { manifest } => self.state(&meant(manifest)?, Saying::Withdraw),
            Wish::Invite {
                factory,
                tower,
                seconds,
            } => {
                let mut draft = self.draft.clone();
                let fresh = (crate::member::random_id()?, now_seconds());
                let (ticket, id) =
                    clerk::invite(&mut draft, &self.me, (*factory, *tower), *seconds, fresh)?;
                draft.save(&self.layout, &*self.disk)?;
                self.draft = draft;
                Ok(json!({
                    "ticket": ticket.to_text(), "id": id, "federation": ticket.federation,
                    "expires_seconds": ticket.expires_seconds, "expires": clock::shown_seconds(ticket.expires_seconds),
                }))
            }
            Wish::Tickets => Ok(view::tickets(&self.draft, now_seconds())),
            Wish::Revoke { id } => {
                let mut draft = self.draft.clone();
                let id = guests::revoke(&mut draft, id)?;
                draft.save(&self.layout, &*self.disk)?;
                self.draft = draft;
                Ok(json!({ "revoked": id }))
            }
            Wish::Remind => {
                self.tick(true);
                self.exchange.push(&documents);
                self.status()
            }
            Wish::Export => {
                let outcome = self.take(vec![Input::Resume])?;
                let texts = outcome.unsigned.iter().map(ToString::to_string);
                Ok(json!({ "statements": texts.collect::<Vec<String>>() }))
            }
            Wish::Import { vote } => {
                let vote = Vote::parse(vote.as_bytes()).map_err(refused)?;
                let hash = vote.statement().subject.manifest.to_hex();
                let outcome = self.take(vec![Input::Signed(Box::new(vote))])?;
                first_refusal(&outcome)?;
                self.shown(&hash)
            }
            Wish::ExportRecord => {
                let record = self.desk.record()?;
                Ok(json!({ "record": record.map(|record| record.to_json()) }))
            }
            Wish::ImportRecord { record } => {
                let record = VoteRecord::parse(record.as_bytes()).map_err(refused)?;
                let votes = record.votes.len();
                let outcome = self.take(vec![Input::Import(Box::new(record))])?;
                first_refusal(&outcome)?;
                Ok(json!({ "votes": votes }))
            }
        }
    }

    /// A statement by the identity key that binds nothing.
    fn state(
        &mut self,
        manifest: &belfry_protocol::manifest::Manifest,
        saying: Saying,
    ) -> Result<Value, Failure> {
        let statement = clerk::about(&self.draft, &self.votes()?, manifest, saying)?;
        let note: SignedNote = self.desk.identity_note(&statement.to_string())?;
        let vote = Vote::new(note, None).map_err(refused)?;
        self.say(Document::Vote(Box::new(vote)))?;
        self.shown(&manifest.hash().to_hex())
    }

    fn say(&mut self, document: Document) -> Result<(), Failure> {
        let outcome = self.take(vec![Input::Document(Box::new(document))])?;
        first_refusal(&outcome)
    }

    fn votes(&self) -> Result<belfry_protocol::genesis::ceremony::Status, Failure> {
        let over = || Failure::new(Code::Failed, "the federation is founded");
        self.desk
            .ceremony()?
            .status(now_seconds())
            .filter(|_| self.active.is_none())
            .ok_or_else(over)
    }

    fn shown(&self, hash: &str) -> Result<Value, Failure> {
        let mut status = self.status()?;
        status["shown"] = json!(hash);
        Ok(status)
    }

    fn status(&self) -> Result<Value, Failure> {
        if let Some(link) = &self.active {
            let id = link.manifest().hash().to_hex();
            return Ok(json!({
                "state": "active", "federation": link.manifest().federation, "federation_id": id, "epoch": 0,
                "name": self.me.name,
            }));
        }
        let beside = Beside {
            draft: &self.draft,
            me: &self.me,
            is_up: &|peer| self.exchange.is_up(peer),
            welcome: &self.welcome,
        };
        Ok(view::status(&self.votes()?, &beside))
    }
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::VerificationFailed, error.to_string())
}

/// The rules' own words are for people.
fn first_refusal(outcome: &Outcome) -> Result<(), Failure> {
    match outcome.refused.first() {
        None => Ok(()),
        Some((_, why)) => Err(Failure::new(Code::Failed, why.to_string())),
    }
}
