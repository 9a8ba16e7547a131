//! What handlers share: the node, readers, presses, tokens and counters.

use super::key_metrics::KeyMetrics;
use super::member_metrics::MemberMetrics;
use super::network_metrics::NetworkMetrics;
use super::witness::Witnessing;
use super::witness_metrics::WitnessMetrics;
use crate::exit::Failure;
use crate::key_state::KeyState;
use crate::node::Node;
use crate::store::Reader;
use crate::store::tokens::Tokens;
use crate::witnessing::Board;
use belfry_protocol::engine::federation::Status;
use belfry_protocol::entry::Press;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Readers and presses kept for the next request; more are made when more are busy at once.
const KEPT: usize = 32;

/// Labels of the request counter.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// Route as it is declared, never the raw path: its values must stay few.
    pub route: String,
    /// Status code.
    pub status: u16,
}

/// Counters and gauges of this node.
pub(crate) struct Metrics {
    registry: Registry,
    /// HTTP requests by route and status.
    pub requests: Family<RequestLabels, Counter>,
    size: Gauge,
    signed: Gauge,
    flushed: Gauge,
    commits: Counter,
    network: NetworkMetrics,
    member: MemberMetrics,
    witnesses: WitnessMetrics,
    keys: KeyMetrics,
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("belfry");
        let (requests, commits) = (Family::default(), Counter::default());
        let (size, signed, flushed) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register(
            "http_requests",
            "HTTP requests by route and status",
            requests.clone(),
        );
        registry.register("ledger_entries", "Entries in the ledger", size.clone());
        registry.register(
            "ledger_signed_entries",
            "Entries covered by the newest signed digest",
            signed.clone(),
        );
        registry.register(
            "ledger_flushed_entries",
            "Entries in full tiles on disk",
            flushed.clone(),
        );
        registry.register(
            "ledger_commits",
            "Durable transactions since start",
            commits.clone(),
        );
        let network = NetworkMetrics::new(&mut registry);
        let member = MemberMetrics::new(&mut registry);
        let witnesses = WitnessMetrics::new(&mut registry);
        let keys = KeyMetrics::new(&mut registry);
        Self {
            network,
            member,
            witnesses,
            keys,
            registry,
            requests,
            size,
            signed,
            flushed,
            commits,
        }
    }

    /// The OpenMetrics text, as of now. `engine` is how far the engine of a member is, if it could be asked.
    pub(crate) fn encode(
        &self,
        node: &Node,
        (witnesses, keys): (&Board, Option<&KeyState>),
        engine: Option<&Status>,
    ) -> String {
        let now = node.published();
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.size.set(gauge(now.size));
        self.signed.set(gauge(now.signed));
        self.flushed.set(gauge(now.flushed));
        self.commits
            .inc_by(now.commits.saturating_sub(self.commits.get()));
        if let Some(traffic) = node.membership().and_then(|(_, link)| link.traffic()) {
            self.network.update(&traffic, engine);
            self.member.update(engine, &traffic.alarms);
        } else {
            self.member.update(engine, &witnesses.alarms().counts());
        }
        self.witnesses.update(witnesses);
        self.keys.update(keys);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// What handlers share.
pub(crate) struct App {
    /// The node.
    pub node: Node,
    /// Whether entry bundles are open to everybody; a reload may change it.
    pub public_entries: Arc<AtomicBool>,
    /// Whether the node can append and sign.
    pub ready: AtomicBool,
    /// Counters.
    pub metrics: Metrics,
    readers: Mutex<Vec<Reader>>,
    presses: Mutex<Vec<Press>>,
    /// Foreign witnesses of this ledger.
    pub witnesses: Arc<Board>,
    /// What `add-checkpoint` needs beside the engine.
    pub witness: Witnessing,
    /// API tokens.
    pub tokens: Mutex<Tokens>,
    /// The bulk export, if there is one.
    pub export: OnceLock<crate::export::Shown>,
    /// A founding, while there is one.
    pub founding: OnceLock<crate::ceremony::Table>,
}

impl App {
    /// Everything handlers need, over an open node.
    ///
    /// # Errors
    /// When the token table cannot be opened, or the policy for foreign witnesses is not usable.
    pub(crate) fn new(node: Node) -> Result<Self, Failure> {
        let tokens = Tokens::open(&node.layout)?;
        Ok(Self {
            public_entries: Arc::new(AtomicBool::new(node.config.public)),
            ready: AtomicBool::new(true),
            metrics: Metrics::new(),
            readers: Mutex::default(),
            presses: Mutex::default(),
            witnesses: Arc::new(Board::open(&node)?),
            tokens: Mutex::new(tokens),
            witness: Witnessing::new(&node),
            export: OnceLock::new(),
            founding: OnceLock::new(),
            node,
        })
    }

    /// Runs `work` with a reader; on a thread that may block.
    ///
    /// # Errors
    /// When no reader can be opened, or as `work` does.
    pub(crate) fn with_reader<R>(
        &self,
        work: impl FnOnce(&Reader) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let kept = self
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let reader = match kept {
            Some(reader) => reader,
            None => self.node.reader()?,
        };
        let result = work(&reader);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < KEPT {
            readers.push(reader);
        }
        result
    }

    /// Runs `work` with a press.
    pub(crate) fn with_press<R>(&self, work: impl FnOnce(&mut Press) -> R) -> R {
        let kept = self
            .presses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut press = kept.unwrap_or_else(|| self.node.press());
        let result = work(&mut press);
        let mut presses = self.presses.lock().unwrap_or_else(PoisonError::into_inner);
        if presses.len() < KEPT {
            presses.push(press);
        }
        result
    }
}
