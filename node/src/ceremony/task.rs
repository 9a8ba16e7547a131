//! The thread of a founding: what arrives from the network and from operators, in order, until the federation is active. The only
//! place that changes the draft. May not decide what this node votes.

use super::clerk::{Ask, Wish};
use super::desk::{Desk, Outcome};
use super::draft::Draft;
use super::exchange::Exchange;
use super::guests;
use super::member::Beside;
use crate::clock;
use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::net::{self, NetCommand, NetConfig, NetEvent, NetHandle};
use crate::node::Node;
use crate::store::Layout;
use belfry_keys::NodeKeys;
use belfry_protocol::genesis::Card;
use belfry_protocol::genesis::ceremony::{Document, Input};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::manifest::Member;
use belfry_protocol::note::{SignedNote, VerifierKey};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Events and wishes that wait for the thread.
pub(super) const WAITING: usize = 64;
/// How often the thread looks at the time.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// How long what was said last may take to leave.
const FAREWELL: Duration = Duration::from_millis(500);
/// First eight digits of the federation id while there is none: 32 zero bytes (R14).
const NO_FEDERATION: &str = "00000000";

/// Where operators' wishes go.
#[derive(Clone)]
pub struct Table(mpsc::Sender<Ask>);

impl Table {
    pub(super) fn new(asks: mpsc::Sender<Ask>) -> Self {
        Self(asks)
    }

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
    ended: oneshot::Receiver<Result<Vec<Link>, Failure>>,
    thread: std::thread::JoinHandle<()>,
}

impl Founding {
    /// Waits until this node is a member; returns what made each epoch active.
    ///
    /// # Errors
    /// When the store or the ledger failed.
    pub async fn ended(&mut self) -> Result<Vec<Link>, Failure> {
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
    config.founding = true;
    let (events, arriving) = mpsc::channel(WAITING);
    let (net, carrier) = net::start(config, events).map_err(|error| {
        Failure::new(Code::Io, error.to_string())
            .hint("choose another address with net.listen in config.toml")
    })?;
    let lineage = draft.lineage()?;
    let me = own_line(node, &keys, &draft);
    let desk = Desk::open(keys, node.writer().clone(), lineage, (None, false))?;
    let task = Task {
        exchange: Exchange::new(net.clone(), lineage),
        card: None,
        welcome: Ok(None),
        turned_away: None,
        layout: node.layout.clone(),
        disk: node.disk(),
        desk,
        draft,
        me,
        links: Vec::new(),
        in_force: 0,
        member: None,
        recovering: false,
        ended: false,
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

pub(super) struct Task {
    pub(super) desk: Desk,
    pub(super) draft: Draft,
    pub(super) me: Member,
    pub(super) layout: Layout,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) exchange: Exchange,
    /// This node's signed card, until whoever invited it has taken it.
    pub(super) card: Option<String>,
    /// What whoever invited this node said to its card last.
    pub(super) welcome: Result<Option<String>, String>,
    /// Who was turned away last, and why: it is said once.
    pub(super) turned_away: Option<(net::PeerId, String)>,
    /// What made each epoch active that this node knows, from epoch 0 on.
    pub(super) links: Vec<Link>,
    /// So many of them are in force.
    pub(super) in_force: usize,
    /// What a member has.
    pub(super) member: Option<Beside>,
    /// A member whose ledger takes no entries yet: it takes epochs, and nothing else.
    pub(super) recovering: bool,
    /// Nothing more is to be done here.
    pub(super) ended: bool,
}

pub(super) fn now_seconds() -> u64 {
    u64::try_from(clock::wall().seconds()).unwrap_or(0)
}

impl Task {
    async fn run(
        mut self,
        mut arriving: mpsc::Receiver<NetEvent>,
        mut asked: mpsc::Receiver<Ask>,
    ) -> Result<Vec<Link>, Failure> {
        self.begin()?;
        let mut look = tokio::time::interval(LOOK);
        while !self.ended {
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
                _ = look.tick() => self.tick(false)?,
            }
        }
        self.farewell(&mut arriving).await;
        self.links.truncate(self.in_force);
        Ok(self.links)
    }

    /// Lets what was said last leave: the others need it to end, too.
    async fn farewell(&mut self, arriving: &mut mpsc::Receiver<NetEvent>) {
        let until = Instant::now() + FAREWELL;
        while Instant::now() < until && self.exchange.is_asking() {
            match tokio::time::timeout(LOOK, arriving.recv()).await {
                Ok(Some(event)) => {
                    if self.event(event).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(_late) => {}
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
        let known = self.desk.links(0)?;
        self.activated(known);
        self.check_known();
        self.take(vec![Input::Resume])?;
        self.look_at_epochs()?;
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
    pub(super) fn take(&mut self, inputs: Vec<Input>) -> Result<Outcome, Failure> {
        let mut outcome = self.desk.take(inputs)?;
        for evidence in &outcome.accused {
            tracing::error!(
                member = evidence.accused(),
                "a member voted for two manifests in one round; the evidence is an entry of this ledger, show it to the others"
            );
        }
        for document in &outcome.send {
            if let Document::Link(link) = document
                && let Link::Recovered(recovery) = &**link
                && outcome.activated.is_empty()
            {
                let keys: Vec<&str> = recovery.keys.iter().map(VerifierKey::name).collect();
                tracing::warn!(
                    epoch = recovery.manifest.epoch, manifest = %recovery.manifest.hash(), ?keys,
                    "recovery keys signed a manifest: see `belfry genesis status`; after 72 hours members may give way to it, and not to do so is the veto"
                );
            }
        }
        if !outcome.activated.is_empty() {
            self.activated(std::mem::take(&mut outcome.activated));
            self.look_at_epochs()?;
        }
        self.refresh()?;
        self.exchange.push(&outcome.send);
        Ok(outcome)
    }

    /// What this node has, and whom it knows, follow from the votes.
    pub(super) fn refresh(&mut self) -> Result<(), Failure> {
        let documents = self.desk.ceremony()?.documents();
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
        let newest = self.links.last().map(Link::manifest);
        friends.extend(
            newest
                .iter()
                .flat_map(|newest| newest.members.iter().map(line)),
        );
        for document in &documents {
            let members = match document {
                Document::Proposal(proposal) => &proposal.manifest().members,
                Document::Certificate(certificate) => &certificate.manifest.members,
                Document::Link(link) => &link.manifest().members,
                Document::Vote(_) | Document::Evidence(_) => continue,
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

    pub(super) fn tick(&mut self, hurry: bool) -> Result<(), Failure> {
        self.look_at_epochs()?;
        if self.exchange.tick(hurry) {
            // Whom the network had no room for is named again.
            self.refresh()?;
            self.offer();
        }
        Ok(())
    }

    /// Shows this node's card to whoever invited it, until it was taken.
    pub(super) fn offer(&mut self) {
        let ticket = self.draft.ticket();
        if let Ok(Some(ticket)) = &ticket
            && !self.is_shown(ticket)
        {
            return;
        }
        if let (Some(card), Ok(Some(ticket))) = (&self.card, ticket) {
            self.exchange.offer(&ticket.peer, ticket.secret, card);
        }
    }
}
