//! Who may read which ledger (R10), which digest an export is up to, and its pieces out of the store. Blocks; reads beside
//! the engine and may not write anything.

use crate::clock;
use crate::disk::Disk;
use crate::exit::Failure;
use crate::member::Bans;
use crate::store::tokens::{Scope, Tokens};
use crate::store::{Layout, Placed, Reader};
use belfry_keys::KeyDir;
use belfry_protocol::engine::federation::certificates::stored_chain;
use belfry_protocol::engine::federation::mirror::Mirror;
use belfry_protocol::engine::store::{Place, StoreError, Table};
use belfry_protocol::export::{Accepted, Ask, Kind, Piece, Plan, Refused, Why};
use belfry_protocol::manifest::Federation;
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::HASH_LEN;
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::wire::codec::{Bytes, List};
use belfry_protocol::wire::frame::FRAME_HEAD_BYTES;
use libp2p::PeerId;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of pieces that are read at once, or one piece if that is longer: enough to keep a fast reader busy meanwhile.
const BATCH_BYTES: usize = 1 << 20;

/// Who belongs, as of the newest epoch in force.
pub type Newest = Box<dyn Fn() -> Option<Arc<Federation>> + Send + Sync>;

/// What a node can export, and to whom.
pub struct Ledgers {
    layout: Layout,
    disk: Arc<dyn Disk>,
    /// The origin of the own ledger.
    name: String,
    /// The newest epoch, whenever it is asked for.
    federation: Newest,
    bans: Option<Arc<Bans>>,
    /// Whether the own ledger is everybody's to read.
    public: Arc<AtomicBool>,
    tokens: Mutex<Tokens>,
}

/// Who reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A member, by its transport key.
    Member(String),
    /// The holder of a token with this id.
    Token(String),
    /// Anybody, of a public ledger.
    Stranger,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Member(name) => f.write_str(name),
            Self::Token(id) => write!(f, "token {id}"),
            Self::Stranger => f.write_str("a stranger"),
        }
    }
}

impl Ledgers {
    /// The ledgers of a data directory.
    ///
    /// # Errors
    /// When the table of tokens cannot be opened.
    pub fn new(
        (layout, disk): (Layout, Arc<dyn Disk>),
        name: &str,
        federation: Newest,
        bans: Option<Arc<Bans>>,
        public: Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let tokens = Mutex::new(Tokens::open(&layout)?);
        Ok(Self {
            layout,
            disk,
            name: name.to_owned(),
            federation,
            bans,
            public,
            tokens,
        })
    }

    /// The member with this transport key, unless it is banned.
    pub(super) fn member(&self, peer: PeerId) -> Option<String> {
        let federation = (self.federation)()?;
        let (_, member) = federation.by_peer(&peer.to_string())?;
        let bans = self.bans.as_ref();
        let banned = bans.is_some_and(|bans| bans.peers().contains(&peer));
        (!banned).then(|| member.name.clone())
    }

    /// Whether `peer` may have what it asks for. Says nothing of what there is to those who may not.
    pub(super) fn admit(&self, peer: PeerId, ask: &Ask) -> Result<Who, Refused> {
        let token = ask.token.as_str();
        if !token.is_empty() {
            let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            return match tokens.authenticate(token, clock::wall()) {
                Ok(Some(token)) if token.scope == Scope::ReadAll => Ok(Who::Token(token.id)),
                Ok(Some(token)) => {
                    let scope = token.scope.name();
                    let reason = format!("a token of scope {scope} does not allow this");
                    Err(Refused::new(Why::Token, &reason))
                }
                Ok(None) => {
                    let reason = "the token is unknown, expired or revoked";
                    Err(Refused::new(Why::Token, reason))
                }
                Err(error) => Err(broken(&error)),
            };
        }
        if let Some(name) = self.member(peer) {
            return Ok(Who::Member(name));
        }
        if ask.origin.as_str() == self.name && self.public.load(Ordering::Relaxed) {
            return Ok(Who::Stranger);
        }
        let reason = "only members and tokens with scope read-all may read this";
        Err(Refused::new(Why::NotAllowed, reason))
    }

    /// Begins an export.
    pub(super) fn open(&self, ask: &Ask) -> Result<Export, Refused> {
        let reader = Reader::open(self.layout.clone(), Arc::clone(&self.disk))
            .map_err(|error| broken(&error))?;
        let origin = ask.origin.as_str();
        let found = match origin == self.name {
            true => own_digest(&reader),
            false => mirrored_digest(&reader, origin),
        };
        let (placed, size, note) = found.map_err(|error| broken(&error))??;
        if ask.from > size {
            let reason = format!("{size} signed entries are held here, fewer than you have");
            return Err(Refused::new(Why::Behind, &reason));
        }
        let chain = self
            .chain(&reader, origin)
            .map_err(|error| broken(&error))?;
        let note = Bytes::new(note).ok_or_else(|| broken(&"the digest is too long"))?;
        let chain = chain
            .iter()
            .map(|note| Bytes::new(note.to_string()))
            .collect::<Option<Vec<_>>>()
            .and_then(List::new)
            .unwrap_or_default();
        Ok(Export {
            reader,
            placed,
            size,
            plan: Plan::new(ask.from, size),
            accepted: Accepted { note, chain },
        })
    }

    /// The certificates of an origin, as far as they are known.
    fn chain(&self, reader: &Reader, origin: &str) -> Result<Vec<SignedNote>, StoreError> {
        if origin == self.name {
            let own = KeyDir::public_certificates(self.layout.dir());
            return own.map_err(|error| StoreError::Io(error.to_string()));
        }
        let rows = reader.rows(Table::Certificates, origin.as_bytes(), 1)?;
        match rows.first() {
            Some((name, row)) if name == origin.as_bytes() => stored_chain(origin, row),
            _ => Ok(Vec::new()),
        }
    }
}

/// Where a ledger is, with size and note of the digest that it is exported up to.
type Found = Result<(Placed, u64, String), Refused>;

fn placed(place: Place, origin: &str) -> Placed {
    Placed {
        place,
        origin: origin.to_owned(),
        flushable: 0,
        flushed: 0,
    }
}

fn unsigned() -> Refused {
    Refused::new(
        Why::Unsigned,
        "no digest of this ledger is held with its entries yet",
    )
}

fn own_digest(reader: &Reader) -> Result<Found, StoreError> {
    Ok(match reader.newest_digest()? {
        Some((size, note)) => Ok((placed(Place::OWN, ""), size, note)),
        None => Err(unsigned()),
    })
}

fn mirrored_digest(reader: &Reader, origin: &str) -> Result<Found, StoreError> {
    let rows = reader.rows(Table::Mirror, origin.as_bytes(), 1)?;
    let row = rows.iter().find(|(name, _)| name == origin.as_bytes());
    let Some((_, row)) = row else {
        let reason = "no ledger of this origin is held here";
        return Ok(Err(Refused::new(Why::Unknown, reason)));
    };
    let mirror = Mirror::of_row(origin, row)?;
    let held = mirror.exportable();
    Ok(held.map_or(Err(unsigned()), |(size, note)| {
        Ok((placed(mirror.place, origin), size, note.to_owned()))
    }))
}

/// What is wrong here is for the own log, not for the reader.
fn broken(error: &dyn std::fmt::Display) -> Refused {
    tracing::error!(%error, "an export failed");
    Refused::new(
        Why::Broken,
        "the ledger cannot be read here; its operator was told",
    )
}

/// One export that runs.
pub(super) struct Export {
    reader: Reader,
    placed: Placed,
    pub(super) size: u64,
    plan: Plan,
    pub(super) accepted: Accepted,
}

impl Export {
    /// The next pieces, each in its frame; none at the end.
    pub(super) fn batch(&mut self) -> Result<Vec<Vec<u8>>, Refused> {
        let (mut batch, mut length) = (Vec::new(), 0);
        while length < BATCH_BYTES {
            let Some(piece) = self.plan.next() else { break };
            let frame = self.piece(piece).map_err(|error| broken(&error))?;
            length += frame.len();
            batch.push(frame);
        }
        Ok(batch)
    }

    fn piece(&self, piece: Piece) -> Result<Vec<u8>, StoreError> {
        let view = self.reader.ledger(&self.placed);
        match piece {
            Piece::Edge(tile) | Piece::Tile(tile) => {
                let hashes = view.tile(tile)?;
                let mut bytes = Vec::with_capacity(FRAME_HEAD_BYTES + hashes.len() * HASH_LEN);
                hashes
                    .iter()
                    .for_each(|hash| bytes.extend_from_slice(&hash.0));
                Ok(Kind::Piece.frame(&bytes))
            }
            Piece::Bundle(wanted) => Ok(Kind::Piece.frame(&view.bundle(wanted)?)),
        }
    }
}
