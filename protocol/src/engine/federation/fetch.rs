//! Catching up (R3, R4): entries under a digest that was seen, fetched piece by piece from whoever holds them. Each piece is
//! proved against the digest before it is kept, so a lying source costs one piece.

use super::io::{Free, Protocol};
use super::messages::To;
use super::mirror::Mirror;
use super::{Bad, MemberIx, Stop, Turn, What, serve};
use crate::checkpoint::Checkpoint;
use crate::engine::open_end::{self, OpenEnd};
use crate::engine::store::{StoreError, Transaction};
use crate::note::SignedNote;
use crate::tlog::compact::CompactRange;
use crate::tlog::hash::Hash;
use crate::tlog::verify;
use crate::wire::codec::Text;
use crate::wire::v1::{Entries, Get, Kind};

/// Entries asked for at once; the source sends fewer if they are long.
const PIECE_ENTRIES: u32 = 16_384;
/// Unflushed entries from which a tower waits for its flusher (R10).
const BACKLOG_ENTRIES: u64 = 131_072;
/// Pause after a source failed, in microseconds.
const PAUSE_US: u64 = 300_000;

/// One ledger being fetched.
pub(super) struct Fetch {
    /// The source that was asked last.
    pub(super) peer: String,
    /// Whether its answer is awaited.
    pub(super) waiting: bool,
    /// Not before this time.
    pub(super) not_before_us: u64,
    /// Counts sources, so that a failing one is not asked for ever.
    pub(super) turn: usize,
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Asks for the next piece of every ledger that is behind.
    pub(super) fn fetch_more(&mut self) -> Result<(), StoreError> {
        if !self.v.may_lack && !self.v.tower.restoring && self.v.forks.lacks_nothing() {
            return Ok(());
        }
        self.v.may_lack = false;
        let members = &self.settings.members;
        let watched: Vec<MemberIx> = (0..members.count())
            .filter(|one| self.watches(*one))
            .collect();
        for origin in watched {
            let name = self.settings.members.name(origin);
            let Some(row) = Mirror::row(self.own.tx, name)? else {
                continue;
            };
            if self.v.complete.get(&origin) == Some(&row) {
                self.not_behind(origin);
                continue;
            }
            let name = name.to_owned();
            let mirror = Mirror::of_row(&name, &row)?;
            let (held, seen) = (mirror.base.end(), mirror.seen_size());
            if held >= seen || mirror.conflict {
                self.not_behind(origin);
                self.v.complete.insert(origin, row);
            } else if held.saturating_sub(mirror.flushed) < BACKLOG_ENTRIES {
                self.behind(origin, &mirror)?;
                if self.any_peer() && !self.v.fetches.get(&name).is_some_and(|fetch| fetch.waiting)
                {
                    self.ask_entries(origin, &name, held, seen, None);
                }
            } else {
                // It waits for this node's own flusher.
                self.not_behind(origin);
            }
        }
        Ok(())
    }

    fn any_peer(&self) -> bool {
        self.v.peers.values().any(|peer| peer.admitted)
    }

    /// Asks one of the members that may hold a ledger for a piece of it: `only` those, or its origin and all towers.
    pub(super) fn ask_entries(
        &mut self,
        origin: MemberIx,
        name: &str,
        from: u64,
        tree_size: u64,
        only: Option<&[MemberIx]>,
    ) {
        let now = self.now_us();
        let (turn, not_before) = self
            .v
            .fetches
            .get(name)
            .map_or((0, 0), |fetch| (fetch.turn, fetch.not_before_us));
        if now < not_before {
            return;
        }
        let sources: Vec<String> = match only {
            Some(list) => list.to_vec(),
            None => std::iter::once(origin)
                .chain(self.settings.members.towers_of(origin))
                .collect(),
        }
        .into_iter()
        .filter(|member| *member != self.settings.me)
        .filter_map(|member| self.connection(member).map(str::to_owned))
        .collect();
        let Some(peer) = sources.get(turn % sources.len().max(1)).cloned() else {
            return;
        };
        let (Some(source), Some(text)) = (
            self.settings.members.by_peer(&peer),
            Text::new(name.to_owned()),
        ) else {
            return;
        };
        let get = Get {
            origin: text,
            from,
            count: PIECE_ENTRIES,
            tree_size,
        };
        let bytes = self
            .settings
            .free(self.own.now, Kind::Get, &To::Member(source), &get, &[]);
        let id = self.remember(
            peer.clone(),
            What::Entries {
                origin: name.to_owned(),
            },
        );
        self.v.fetches.insert(
            name.to_owned(),
            Fetch {
                peer: peer.clone(),
                waiting: true,
                not_before_us: 0,
                turn,
            },
        );
        self.out.free(Free::Request {
            peer,
            id,
            protocol: Protocol::Sync,
            bytes,
        });
    }

    /// The next source, after a pause.
    pub(super) fn fetch_failed(&mut self, origin: &str) {
        let not_before_us = self.now_us().saturating_add(PAUSE_US);
        if let Some(fetch) = self.v.fetches.get_mut(origin) {
            fetch.waiting = false;
            fetch.not_before_us = not_before_us;
            fetch.turn += 1;
        }
        self.tail_failed(origin);
        let own = self.settings.members.name(self.settings.me) == origin;
        if own && let Some(fetch) = self.v.fetches.get(origin) {
            let source = self.settings.members.by_peer(&fetch.peer);
            if let Some(source) = source {
                self.could_not_adopt(source);
            }
        }
    }

    /// Entries came: for a mirror, or for the own ledger in a recovery.
    pub(super) fn entries_came(&mut self, name: &str, payload: &[u8]) -> Result<(), Stop> {
        let taken = self.take_entries(name, payload);
        match &taken {
            Ok(()) => {
                if let Some(fetch) = self.v.fetches.get_mut(name) {
                    fetch.waiting = false;
                }
            }
            Err(_) => self.fetch_failed(name),
        }
        taken
    }

    fn take_entries(&mut self, name: &str, payload: &[u8]) -> Result<(), Stop> {
        let (head, entries) = serve::split(payload).ok_or(Bad("malformed entries"))?;
        if head.from >= head.to {
            return Err(Bad("entries not held").into());
        }
        let count = head.to - head.from;
        let sent = crate::tlog::bundle::entries(entries).take(PIECE_ENTRIES as usize + 1);
        if count > u64::from(PIECE_ENTRIES) || sent.count() as u64 != count {
            return Err(Bad("count differs").into());
        }
        if name == self.settings.members.name(self.settings.me) {
            return self.adopt_entries(&head, entries);
        }
        let origin = self.settings.members.by_name(name).ok_or(Bad("stranger"))?;
        let mut mirror = Mirror::load_or_new(self.own.tx, name)?;
        if let Some(()) = self.take_tail(origin, name, &mut mirror, &head, entries)? {
            return Ok(());
        }
        let Some((seen, note)) = mirror.seen.clone() else {
            return Ok(());
        };
        if mirror.base.end() != head.from || head.to > seen {
            return Ok(());
        }
        let note = SignedNote::parse(note.as_bytes()).map_err(|_| Bad("malformed note"))?;
        let digest = Checkpoint::parse(note.text()).map_err(|_| Bad("malformed digest"))?;
        open_end::truncate(self.own.tx, mirror.place, mirror.base.end())?;
        let mut edge = mirror.base.clone();
        let mut open = OpenEnd::of(mirror.place);
        open.push_bundle(&mut edge, entries)
            .map_err(|_| Bad("malformed bundle"))?;
        proved(&edge, &head, (digest.size, &digest.root))?;
        open.write(self.own.tx)?;
        self.look_later(origin, entries, edge.end());
        let part = mirror.base.end()..edge.end();
        self.find_entries_in(origin, mirror.place, part)?;
        mirror.base = edge.clone();
        mirror.end = edge;
        mirror.prepared_by.clear();
        if mirror.base.end() == seen {
            self.good(origin, seen, digest.root);
            self.verified(origin, seen, digest.root);
        }
        self.keep_mirror(name, &mirror)?;
        self.ack_if_held(origin, name)?;
        Ok(())
    }

    /// A member asks for entries: of our ledger, or of one we mirror.
    pub(super) fn get_asked(
        &mut self,
        from: MemberIx,
        id: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened = self
            .settings
            .open(&self.checks, payload, Kind::Get, &me, Some(from))?;
        let get: Get = super::messages::body(&opened.body)?;
        let name = get.origin.as_str();
        let (place, size) = if name == self.settings.members.name(self.settings.me) {
            (crate::engine::store::Place::OWN, self.own.head.size())
        } else {
            let mirror = Mirror::load(self.own.tx, name)?.ok_or(Bad("not our ledger"))?;
            (mirror.place, mirror.end.end())
        };
        if get.tree_size > size || get.from >= get.tree_size || get.count == 0 {
            return Err(Bad("entries not held").into());
        }
        self.out.free(Free::Serve { id, place, get });
        Ok(())
    }
}

/// Checks that the entries up to `edge` are a prefix of the tree that was asked for.
pub(super) fn proved(edge: &CompactRange, head: &Entries, target: (u64, &Hash)) -> Result<(), Bad> {
    if edge.end() != head.to || head.to > target.0 {
        return Err(Bad("count differs"));
    }
    let right = if head.to == target.0 {
        edge.root() == *target.1
    } else {
        verify::consistency(
            head.to,
            target.0,
            &edge.root(),
            target.1,
            head.proof.as_slice(),
        )
        .is_ok()
    };
    if right {
        Ok(())
    } else {
        Err(Bad("entries do not prove"))
    }
}
