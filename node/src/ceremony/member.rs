//! The vote at a member: beside an engine that goes on whatever happens here. May not end the node.

use super::clerk::Ask;
use super::desk::Desk;
use super::draft::Draft;
use super::exchange::Exchange;
use super::task::{self, Table, Task};
use crate::exit::{Code, Failure};
use crate::member::{self, Link, Way};
use crate::net::NetEvent;
use crate::node::Node;
use crate::store::Reader;
use crate::writer::{Published, Writer};
use belfry_keys::NodeKeys;
use belfry_protocol::entry::json::Json;
use belfry_protocol::genesis::Vote;
use belfry_protocol::genesis::ceremony::Input;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Events that wait for the thread.
const EVENTS: usize = 256;
/// How long closing waits for a step: one that waits for towers ends with the writer.
const CLOSE: Duration = Duration::from_secs(3);
/// Pause before a ceremony that failed is taken up again.
const AGAIN: Duration = Duration::from_secs(2);

/// What a member's ceremony has beside a founding's.
pub(super) struct Beside {
    pub(super) writer: Writer,
    pub(super) link: Link,
}

/// The vote at a member, under way.
pub struct Amending {
    /// Where operators' wishes go.
    pub table: Table,
    way: Arc<Way>,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Amending {
    /// Ends the thread.
    pub async fn close(self) {
        self.way.close();
        // Whoever waits for it is gone if it ended by itself.
        let _ended = self.stop.send(());
        let until = Instant::now() + CLOSE;
        while !self.thread.is_finished() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if self.thread.is_finished() && self.thread.join().is_err() {
            tracing::error!("the ceremony's thread panicked");
        }
    }
}

/// Starts the vote at a member whose network runs; `None` if it does not.
///
/// # Errors
/// When what it needs cannot be read.
pub fn amend(node: &Node, link: &Link, keys: NodeKeys) -> Result<Option<Amending>, Failure> {
    let Some(net) = link.net() else {
        return Ok(None);
    };
    let Some(epochs) = member::Epochs::read(&node.layout)? else {
        return Ok(None);
    };
    let federation = epochs.newest()?;
    let manifest = federation.manifest();
    let disk = node.disk();
    // Who left goes on as it was listed last: it hears what the others decide.
    let mut listed = epochs.links.iter().rev();
    let me = listed.find_map(|link| link.manifest().member(keys.name()));
    let Some((_, me)) = me.map(|(at, me)| (at, me.clone())) else {
        return Ok(None);
    };
    let draft = Draft::of_member(&node.layout, &*disk, manifest, &me)?;
    let watched = member::is_watched(&federation, &me.name);
    let exchange = Exchange::beside(net, manifest.lineage);
    let in_force = epochs.links.len();
    let mut desk = Desk::open(
        keys,
        node.writer().clone(),
        manifest.lineage,
        (Some(epochs.chain), watched),
    )?;
    desk.renewed_by(node.renewer().clone());
    let mut links = epochs.links;
    links.extend(desk.links(in_force as u64)?);
    let way = link.ceremony();
    let beside = Beside {
        writer: node.writer().clone(),
        link: link.clone(),
    };
    let task = Task {
        card: None,
        welcome: Ok(None),
        turned_away: None,
        layout: node.layout.clone(),
        disk,
        exchange,
        desk,
        draft,
        me,
        links,
        in_force,
        member: Some(beside),
        recovering: true,
        ended: false,
    };
    let (events, arriving) = mpsc::channel(EVENTS);
    let (asks, asked) = mpsc::channel(task::WAITING);
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let published = node.writer().published();
    let heard = Heard {
        arriving,
        asked,
        published,
    };
    let opened = Arc::clone(&way);
    let thread = std::thread::Builder::new()
        .name("amending".to_owned())
        .spawn(move || {
            runtime.block_on(task.beside_the_engine(heard, stopped, (opened, events)))
        })?;
    Ok(Some(Amending {
        table: Table::new(asks),
        way,
        stop,
        thread,
    }))
}

/// What the thread listens to.
struct Heard {
    arriving: mpsc::Receiver<NetEvent>,
    asked: mpsc::Receiver<Ask>,
    published: watch::Receiver<Published>,
}

impl Task {
    async fn beside_the_engine(
        mut self,
        mut heard: Heard,
        mut stopped: oneshot::Receiver<()>,
        (way, events): (Arc<Way>, mpsc::Sender<NetEvent>),
    ) {
        let mut begun = false;
        let mut look = tokio::time::interval(task::LOOK);
        let mut again_at = Instant::now();
        way.open(events);
        loop {
            // Who was away for long is understood by the others only in an epoch near theirs: epochs come before entries.
            if self.recovering && heard.published.borrow().appends {
                (self.recovering, begun) = (false, false);
            }
            // Whose keys were revoked is known before anybody's vote is looked at.
            let members = self
                .member
                .as_ref()
                .and_then(|beside| beside.link.members());
            if let Some(members) = &members {
                self.desk.look_at(members);
            }
            if !begun && members.is_some() && Instant::now() >= again_at {
                match self.begin_beside() {
                    Ok(()) => begun = true,
                    Err(error) => {
                        tracing::warn!(%error, "the vote on amendments waits");
                        again_at = Instant::now() + AGAIN;
                    }
                }
            }
            let done = tokio::select! {
                _ = &mut stopped => return,
                event = heard.arriving.recv() => match event {
                    Some(event) if begun => self.event(event),
                    Some(event) => { self.turn_away(&event); Ok(()) }
                    None => return,
                },
                ask = heard.asked.recv() => match ask {
                    Some(Ask { wish, answer }) => {
                        let result = match self.recovering {
                            true => Err(busy()),
                            false => self.wish(&wish),
                        };
                        // Whoever asked may have gone.
                        let _gone = answer.send(result);
                        self.desk.ceremony().map(drop)
                    }
                    None => return,
                },
                _ = look.tick() => match begun {
                    true => self.look_beside(&way, &heard),
                    false => Ok(()),
                },
            };
            if let Err(error) = done {
                tracing::warn!(%error, "a step of the vote on amendments failed; it is read back from the store");
                // Asked again and again meanwhile it is not put off.
                if std::mem::take(&mut begun) {
                    again_at = Instant::now() + AGAIN;
                }
            }
        }
    }

    /// The first step of a start, and the first after one that failed.
    fn begin_beside(&mut self) -> Result<(), Failure> {
        self.exchange.set_links(&self.links);
        // What a step that failed had made active is in the store.
        let more = self.desk.links(self.links.len() as u64)?;
        self.activated(more);
        self.reopen()?;
        // First: whatever else has to wait, the engine may need them to go on.
        self.look_at_epochs()?;
        if self.recovering {
            return Ok(());
        }
        self.take(vec![Input::Resume])?;
        let status = self.desk.ceremony()?.status(task::now_seconds());
        if status.is_some_and(|status| status.rebuilding) && self.desk.is_watched() {
            let reader = Reader::open(self.layout.clone(), Arc::clone(&self.disk))?;
            let votes = own_votes(&reader)?;
            tracing::info!(
                votes = votes.len(),
                "this node's votes are read back from its ledger"
            );
            self.take(vec![Input::Rebuilt(votes)])?;
        }
        self.look_at_epochs()
    }

    fn look_beside(&mut self, way: &Way, heard: &Heard) -> Result<(), Failure> {
        self.exchange.set_up(way.up());
        if self.recovering {
            return self.tick(false);
        }
        let acked = heard.published.borrow().acked;
        let waits = self.desk.ceremony()?.waits_for();
        if waits.is_some_and(|size| size <= acked) {
            self.take(vec![Input::Acked { size: acked }])?;
        }
        self.tick(false)
    }
}

/// No vote could be written down.
fn busy() -> Failure {
    Failure::new(
        Code::Recovering,
        "this node has not caught up with its federation yet",
    )
    .hint("wait with `belfry wait --for ready`")
}

/// Every vote in this node's own ledger, with its index.
fn own_votes(reader: &Reader) -> Result<Vec<(u64, Vote)>, Failure> {
    let votes = reader.bodies("genesis.vote")?.into_iter();
    let read = |(index, body): (u64, Json)| Some((index, Vote::parse(&body.to_canonical()).ok()?));
    Ok(votes.filter_map(read).collect())
}
