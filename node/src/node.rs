//! One node on one data directory: lock, databases, start-up check, writer and flusher. The only way to a ledger that
//! can be written. May not serve anything before start-up said that the ledger is sound.

use crate::clock;
use crate::config::Config;
use crate::disk::{Disk, RealDisk};
use crate::drive::{Drive, Running};
use crate::exit::{Code, Failure};
use crate::flusher::Flusher;
use crate::lock::DirLock;
use crate::member::{self, Cosigners, Link, Renewer, Start};
use crate::net::peer_id_of;
use crate::startup::{Started, refuse_lost_ledger, start_up};
use crate::store::{Layout, Reader, Store};
use crate::writer::{self, Machine, Published, Request, Writer};
use belfry_keys::NodeKeys;
use belfry_protocol::cert::{LogVerifiers, Reason, Scope};
use belfry_protocol::engine::RequestId;
use belfry_protocol::engine::federation::{Engine, Input};
use belfry_protocol::engine::ledger::{self, Ledger, start};
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::entry::commit::EntrySecrets;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::entry::{Press, Rulebook};
use belfry_protocol::manifest::Federation;
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::sha256;
use belfry_protocol::tlog::tile::TILE_WIDTH;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// A running ledger.
pub struct Node {
    /// Where it lives.
    pub layout: Layout,
    /// Its settings.
    pub config: Config,
    log_keys: Arc<RwLock<LogVerifiers>>,
    cosigners: Cosigners,
    renewer: Renewer,
    /// Number of this start.
    pub incarnation: u64,
    writer: Writer,
    rules: Arc<Rulebook>,
    secrets: Arc<EntrySecrets>,
    disk: Arc<dyn Disk>,
    /// Entries that are owed and not appended yet.
    owed: Mutex<Vec<(&'static str, Json)>>,
    /// Payloads found at start without their entries, until a recovery showed which of them came back.
    orphans: Mutex<Vec<(u64, [u8; 32])>>,
    membership: Option<(Arc<Federation>, Link)>,
    drive: Drive,
    running: Running,
    _lock: DirLock,
}

impl Node {
    /// Opens a node for writing on the real disk.
    ///
    /// # Errors
    /// When the directory is locked, damaged, newer, or its right edge does not fit its last digest.
    pub fn open(layout: Layout, config: Config, keys: &NodeKeys) -> Result<Self, Failure> {
        Self::open_on(layout, config, keys, Arc::new(RealDisk))
    }

    /// As [`Node::open`], on another disk.
    ///
    /// # Errors
    /// As [`Node::open`].
    pub fn open_on(
        layout: Layout,
        config: Config,
        keys: &NodeKeys,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, Failure> {
        Self::open_driven(layout, config, keys, disk, Drive::Threads)
    }

    /// As [`Node::open_on`], with threads or tasks.
    ///
    /// # Errors
    /// As [`Node::open`].
    pub fn open_driven(
        layout: Layout,
        config: Config,
        keys: &NodeKeys,
        disk: Arc<dyn Disk>,
        drive: Drive,
    ) -> Result<Self, Failure> {
        let lock = DirLock::take(&layout)?;
        let mut epochs = member::epochs(&layout)?;
        let mut federation = epochs.last().cloned();
        if layout.restored_marker().exists() && federation.is_none() {
            return Err(Failure::new(Code::Recovering, "this directory came out of a backup (RESTORED is set)")
                .hint("a ledger that was restored must first learn from others what it signed; only an operator who knows that no newer copy exists may go on: `belfry ledger accept-restored`"));
        }
        if federation.is_none() {
            refuse_lost_ledger(&layout, disk.as_ref())?;
            member::refuse_lost_manifest(&layout, &disk)?;
        }
        let mut store = Store::open(layout.clone(), Arc::clone(&disk))?;
        let now_seconds = u64::try_from(clock::wall().seconds()).unwrap_or(0);
        if member::chain::catch_up(&layout, &mut store, &disk, now_seconds)? > 0 {
            epochs = member::epochs(&layout)?;
            federation = epochs.last().cloned();
        }
        let own = member::own_keys(keys);
        let cosigners = Cosigners::new(&own);
        if federation.is_some() && config.allow_solo {
            return Err(Failure::new(
                Code::ConfigInvalid,
                "this node belongs to a federation, and may never sign alone",
            )
            .hint("set ledger.allow_solo = false in config.toml, and start without --allow-solo"));
        }
        // Towers bring back only the ledger that they watch.
        let watched = federation
            .as_ref()
            .is_some_and(|federation| member::is_watched(federation, keys.name()));
        let before = start::incarnation(&store.begin()?)?.map_or(0, |last| last.number);
        let Started {
            mut head,
            incarnation: taken,
            orphans,
        } = start_up(
            &mut store,
            &disk,
            &own.log,
            watched,
            (member::random_id()?, clock::wall()),
        )?;
        let incarnation = taken.number;
        let ledger = Ledger::new(
            ledger::Config {
                origin: config.name.clone(),
                solo: config.allow_solo,
                backup_retention_us: config.backup_retention_us,
            },
            own.log,
        );
        let known = KnownRecords::read(
            &Reader::open(layout.clone(), Arc::clone(&disk))?,
            head.size(),
        )?;
        if config.allow_solo && !known.solo {
            // Before anything else can sign: no digest may precede this statement (R3).
            let input = solo_statement(incarnation, head.size());
            let mut tx = store.begin()?;
            let (_, after) = ledger.step(clock::now(), &mut tx, vec![input])?;
            tx.commit()?;
            head = after;
        }
        let rules = Rulebook::from_config(&config.scrub, &config.scrub_kinds).map_err(|error| {
            Failure::new(Code::ConfigInvalid, format!("scrubbing rules: {error}"))
        })?;
        let link = Link::default();
        let machine = match federation.clone() {
            None => Machine::Alone(Box::new(ledger)),
            Some(_) => {
                let start = Start {
                    epochs,
                    name: keys.name(),
                    identity: keys.identity_verifier(),
                    peer: &peer_id_of(&keys.transport_public_key()).to_string(),
                    keys: member::own_keys(keys),
                    incarnation: taken,
                    incarnation_before: before,
                    fresh_disk_id: member::random_id()?,
                };
                let mut settings = member::settings(&mut store, &disk, start)?;
                settings.window_us = Some(config.window_us);
                let mut engine = Engine::new(ledger, settings);
                engine.watch_logs(config.witness_logs.clone());
                Machine::Member(Box::new(engine), Box::new(link.clone()))
            }
        };
        let flusher = Flusher::new(
            Reader::open(layout.clone(), Arc::clone(&disk))?,
            Arc::clone(&disk),
        );
        let (writer, running) = match drive {
            Drive::Threads => {
                let (writer, thread) = Writer::start(store, machine, &head)?;
                let threads = vec![thread, flusher.start(writer.clone())?];
                (writer, Running::Threads(threads))
            }
            Drive::Tasks => {
                let (writer, task) = Writer::start_as_task(store, machine, &head)?;
                let tasks = vec![task, flusher.start_as_task(writer.clone())];
                (writer, Running::Tasks(tasks))
            }
        };
        let log_keys = Arc::new(RwLock::new(keys.log_verifiers()));
        let scope = federation.as_ref().map(Federation::id);
        let renewer = Renewer::new(
            scope.map_or(Scope::Unfounded, Scope::Federation),
            writer.clone(),
            Arc::clone(&log_keys),
            cosigners.clone(),
        );
        let node = Self {
            layout,
            config,
            log_keys,
            cosigners,
            renewer,
            incarnation,
            writer,
            rules: Arc::new(rules),
            secrets: Arc::new(entry_secrets(keys)),
            disk,
            owed: Mutex::default(),
            orphans: Mutex::new(orphans),
            membership: federation.map(|federation| (Arc::new(federation), link)),
            drive,
            running,
            _lock: lock,
        };
        if node.membership.is_some() {
            // Whatever the process before did not come to.
            for (_, note) in keys.revoked() {
                node.tell_revoked(note);
            }
        }
        let owed = node.owed(keys, &known);
        *node.owed.lock().unwrap_or_else(PoisonError::into_inner) = owed;
        // A task cannot be waited for here; what is owed then waits for the next start with threads.
        if node.membership.is_none() && drive == Drive::Threads {
            node.settle()?;
        }
        Ok(node)
    }

    /// Entries that a node owes before others': its certificates (R6) and its scrubbing rules.
    fn owed(&self, keys: &NodeKeys, known: &KnownRecords) -> Vec<(&'static str, Json)> {
        let rules = self.rules_body();
        let mut owed: Vec<(&'static str, Json)> = keys
            .certificates()
            .iter()
            .map(ToString::to_string)
            // A member's engine tells of the later ones.
            .take(if self.membership.is_some() {
                1
            } else {
                usize::MAX
            })
            .filter(|note| !known.tells_of(note))
            .map(|note| ("key.cert", Json::object([("note", Json::text(note))])))
            .collect();
        let revoked = keys.revoked().iter().map(|(_, note)| note);
        let lacking = revoked.filter(|note| !known.keys_told.contains(&told(note)));
        if self.membership.is_none() {
            let entry = |note: &SignedNote| Json::object([("note", Json::text(note.to_string()))]);
            owed.extend(lacking.map(|note| ("key.revocation", entry(note))));
        }
        if known.rules.as_ref() != Some(&rules) {
            owed.push(("scrub.rules", rules));
        }
        owed
    }

    /// Appends what the node owes; a member does so once it takes entries.
    ///
    /// # Errors
    /// When the ledger takes nothing.
    pub fn settle(&self) -> Result<(), Failure> {
        let owed = std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for (kind, body) in owed {
            match self.writer.call(Request::System { kind, body }) {
                // A ledger that takes nothing any more owes nothing.
                Err(writer::Failure::Refused(
                    ledger::Refusal::Retired { .. } | ledger::Refusal::Forked,
                )) => break,
                other => other?,
            };
        }
        self.collect_orphans()
    }

    /// Drops the payloads whose entries did not come back from the towers either.
    fn collect_orphans(&self) -> Result<(), Failure> {
        let found =
            std::mem::take(&mut *self.orphans.lock().unwrap_or_else(PoisonError::into_inner));
        if found.is_empty() {
            return Ok(());
        }
        let reader = self.reader()?;
        let size = reader.head()?.size();
        let mut lost = Vec::new();
        for (index, id) in found {
            let is_there = index < size
                && matches!(
                    Leaf::parse(&reader.entry(index, size)?),
                    Ok(Leaf { content: Content::Commit { hmac, .. }, .. }) if hmac == id
                );
            if !is_there {
                lost.push(id);
            }
        }
        tracing::info!(
            payloads = lost.len(),
            "payloads whose entries never became durable are dropped"
        );
        self.writer.drop_payloads(lost);
        Ok(())
    }

    /// The body of a `scrub.rules` entry: the hashes that the leaves' prefixes stand for.
    fn rules_body(&self) -> Json {
        let mut kinds: Vec<(String, Json)> = self
            .rules
            .kind_hashes()
            .map(|(kind, hash)| (kind.to_owned(), Json::text(hash.to_hex())))
            .collect();
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        let rules = Json::text(self.rules.default_hash().to_hex());
        Json::object([("kinds", Json::Object(kinds)), ("rules", rules)])
    }

    /// The keys that the ledger's digests verify under.
    #[must_use]
    pub fn log_keys(&self) -> LogVerifiers {
        self.log_keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where they change when new keys are made.
    pub(crate) fn log_keys_cell(&self) -> Arc<RwLock<LogVerifiers>> {
        Arc::clone(&self.log_keys)
    }

    /// The keys that this node may cosign with.
    #[must_use]
    pub(crate) fn cosigners(&self) -> &Cosigners {
        &self.cosigners
    }

    /// Makes new keys.
    #[must_use]
    pub fn renewer(&self) -> &Renewer {
        &self.renewer
    }

    /// Withdraws an older serial: it signs nothing any more, the ledger says so, and every member hears of it.
    ///
    /// # Errors
    /// As [`Renewer::revoke`], or when the ledger takes no entry.
    pub fn revoke(
        &self,
        serial: u64,
        reason: Reason,
        unlock: impl FnOnce() -> Result<NodeKeys, Failure>,
    ) -> Result<SignedNote, Failure> {
        let note = self.renewer.revoke(serial, reason, unlock)?;
        if self.membership.is_some() {
            // Full or not, it is told again at every start, and taken once.
            self.tell_revoked(&note);
        } else if !self.reader()?.keys_told()?.contains(&told(&note)) {
            let body = Json::object([("note", Json::text(note.to_string()))]);
            let kind = "key.revocation";
            self.writer.call(Request::System { kind, body })?;
        }
        Ok(note)
    }

    fn tell_revoked(&self, note: &SignedNote) {
        let mut input = Box::new(Input::Revoke(Box::new(note.clone())));
        while let Err(back) = self.writer.message(input) {
            if !self.writer.is_running() {
                return;
            }
            input = back;
            std::thread::sleep(FULL_PAUSE);
        }
    }

    /// The newest epoch of the federation this node belongs to, and its way to the network.
    #[must_use]
    pub fn membership(&self) -> Option<(Arc<Federation>, &Link)> {
        let (at_start, link) = self.membership.as_ref()?;
        let newest = link.federation();
        Some((newest.unwrap_or_else(|| Arc::clone(at_start)), link))
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// Who does its work.
    #[must_use]
    pub fn drive(&self) -> Drive {
        self.drive
    }

    /// A press for one worker.
    #[must_use]
    pub fn press(&self) -> Press {
        Press::new(Arc::clone(&self.rules), Arc::clone(&self.secrets))
    }

    /// The way to the writer thread.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// What the ledger shows, as of the last commit.
    #[must_use]
    pub fn published(&self) -> Published {
        self.writer.published().borrow().clone()
    }

    /// A read-only view.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn reader(&self) -> Result<Reader, Failure> {
        Ok(Reader::open(self.layout.clone(), Arc::clone(&self.disk))?)
    }

    /// Finishes what waits, lets the flusher write what is full, closes the databases and joins the threads.
    pub fn close(mut self) {
        let until = Instant::now() + FLUSH_PATIENCE;
        while self.published().tiles_wait()
            && self.published().stopped.is_none()
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.writer.close();
        if self.running.join() > 0 {
            tracing::error!("a ledger thread panicked");
        }
    }

    /// Ends the tasks of a node with [`Drive::Tasks`] where they are, as the end of a process does.
    pub fn abort(mut self) {
        self.running.abort();
    }
}

/// How an entry of a certificate or revocation is remembered.
fn told(note: &SignedNote) -> [u8; 32] {
    sha256(note.to_string().as_bytes()).0
}

/// Pause before a message is offered to a busy writer again.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// The secrets of entries, from the node's long-lived secret: they do not rotate with the operational keys.
fn entry_secrets(keys: &NodeKeys) -> EntrySecrets {
    EntrySecrets {
        idempotency: *keys.idem_key(),
        pseudonym: *keys.pseudonym_key(),
        // The press derives one token key per tenant from this.
        scrub: *keys.scrub_key("", 0),
    }
}

/// What the ledger already says about itself, from its first entries and its latest.
#[derive(Default)]
struct KnownRecords {
    solo: bool,
    certificates: Vec<String>,
    rules: Option<Json>,
    /// SHA-256 of key notes that have an entry, wherever that is.
    keys_told: BTreeSet<[u8; 32]>,
}

/// How long a closing node waits for its tiles; what is not written then is rows, and is written after the next start.
const FLUSH_PATIENCE: Duration = Duration::from_secs(10);

/// Entries looked through at start for what the node said about itself: its first ones, and its latest.
const LOOK_BACK: u64 = 4 * TILE_WIDTH;

impl KnownRecords {
    fn read(reader: &Reader, size: u64) -> Result<Self, Failure> {
        let mut known = Self {
            keys_told: reader.keys_told()?.into_iter().collect(),
            ..Self::default()
        };
        let first = 0..size.min(LOOK_BACK);
        let latest = size.saturating_sub(LOOK_BACK).max(first.end)..size;
        let mut index = 0;
        while index < size {
            if index >= first.end && index < latest.start {
                index = latest.start - latest.start % TILE_WIDTH;
            }
            let Some(wanted) =
                belfry_protocol::tlog::tile::Bundle::of_tree(index / TILE_WIDTH, size)
            else {
                break;
            };
            let bytes = reader.bundle(wanted)?;
            for entry in bundle::entries(&bytes).flatten() {
                known.note(entry);
            }
            index = (wanted.index + 1) * TILE_WIDTH;
        }
        Ok(known)
    }

    fn tells_of(&self, certificate: &String) -> bool {
        self.keys_told.contains(&sha256(certificate.as_bytes()).0)
            || self.certificates.contains(certificate)
    }

    fn note(&mut self, entry: &[u8]) {
        const NAMES: [&[u8]; 3] = [
            b"\"kind\":\"solo\"",
            b"\"kind\":\"key.cert\"",
            b"\"kind\":\"scrub.rules\"",
        ];
        if !NAMES
            .iter()
            .any(|name| memchr::memmem::find(entry, name).is_some())
        {
            return;
        }
        let Ok(Leaf {
            kind,
            content: Content::Body(body),
            scrub: None,
            ..
        }) = Leaf::parse(entry)
        else {
            return;
        };
        let text = |key: &str| body.get(key).and_then(Json::as_str).map(str::to_owned);
        match kind.as_str() {
            "solo" => self.solo = true,
            "key.cert" => self.certificates.extend(text("note")),
            "scrub.rules" => self.rules = Some(body),
            _ => {}
        }
    }
}

/// The statement of R3: from here on this ledger signs on its own.
fn solo_statement(incarnation: u64, size: u64) -> ledger::Input {
    let body = Json::object([
        ("incarnation", Json::whole(incarnation)),
        ("size", Json::whole(size)),
    ]);
    ledger::Input::System {
        request: RequestId(0),
        kind: "solo",
        body,
    }
}
