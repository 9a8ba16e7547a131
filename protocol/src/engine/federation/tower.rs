//! The tower's side of R1: holding a factory's unsigned tail, and refusing lower incarnations. Entries are hashed as
//! bytes; nothing is parsed.

use super::io::{Alarm, Promise};
use super::messages::{To, body};
use super::mirror::{Mirror, MirrorRestore};
use super::{Bad, Free, MemberIx, Settings, Stop, Turn};
use crate::engine::ledger::start::Incarnation;
use crate::engine::open_end::{self, OpenEnd};
use crate::engine::store::{StoreError, Transaction};
use crate::wire::codec::{Bytes, Text};
use crate::wire::v1::{Kind, PREPARE_TOPIC, Prepare, Prepared, Reason, Refused};

/// Entries of one unsigned tail.
const MAX_TAIL_ENTRIES: u64 = 65_536;
/// Bytes of one unsigned tail.
const MAX_TAIL_BYTES: u64 = 64 << 20;

/// A refusal that is answered, not only counted.
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) held: u64,
    pub(super) evidence: Vec<u8>,
}

impl Refusal {
    pub(super) fn of(reason: Reason) -> Self {
        Self {
            reason,
            held: 0,
            evidence: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether this node is a tower of that member's ledger.
    pub(super) fn watches(&self, origin: MemberIx) -> bool {
        let mut judges = self.members.judges_of(origin);
        judges.any(|judge| judge.counts(self.me))
    }

    /// The ledgers that this node is a tower of.
    pub(super) fn watched(&self) -> Vec<MemberIx> {
        let members = 0..self.members.count();
        members.filter(|one| self.watches(*one)).collect()
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// A prepare (R1): store the entries if they lead to the root on top of what is held, and promise the incarnation.
    pub(super) fn prepare_asked(
        &mut self,
        from: MemberIx,
        id: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let opened = self.settings.open(
            &self.checks,
            payload,
            Kind::Prepare,
            &To::Topic(PREPARE_TOPIC),
            Some(from),
        )?;
        let prepare: Prepare = body(&opened.body)?;
        let incarnation = Incarnation {
            number: opened.header.incarnation,
            instance: prepare.instance,
        };
        match self.hold(from, incarnation, &prepare, &opened.envelope, opened.rest)? {
            Ok(prepared) => {
                let bytes = self
                    .settings
                    .promise(self.own.now, Kind::Prepared, from, &prepared);
                self.out.promise(Promise::Reply { id, bytes });
            }
            Err(refusal) => self.refuse(from, id, prepare.origin.as_str(), refusal),
        }
        Ok(())
    }

    /// Writes the record of a mirrored ledger. Only that changes which entries are missing, and what there is to tell.
    pub(super) fn keep_mirror(&mut self, origin: &str, mirror: &Mirror) -> Result<(), StoreError> {
        self.v.may_lack = true;
        self.v.tower.heads_told = false;
        mirror.store(self.own.tx, origin)
    }

    /// Answers with a refusal.
    pub(super) fn refuse(&mut self, to: MemberIx, id: u64, origin: &str, refusal: Refusal) {
        // What no honest member says; the others are the daily business of two nodes that know different things.
        let wrong = match refusal.reason {
            Reason::Bad => Some("prepare that does not fit"),
            Reason::OtherRoot => Some("prepare with another root"),
            Reason::TooMuch => Some("prepare that is too much"),
            Reason::NotYours => Some("not our ledger"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            let sender = self.connection(to).map(|peer| (peer.to_owned(), false));
            self.given_up(sender, wrong);
        }
        let (Some(origin), Some(evidence)) =
            (Text::new(origin.to_owned()), Bytes::new(refusal.evidence))
        else {
            self.out.free(Free::NoAnswer { id });
            return;
        };
        let refused = Refused {
            origin,
            reason: refusal.reason,
            held: refusal.held,
            evidence,
        };
        let bytes = self
            .settings
            .free(self.own.now, Kind::Refused, &To::Member(to), &refused, &[]);
        self.out.free(Free::Reply { id, bytes });
    }

    fn hold(
        &mut self,
        from: MemberIx,
        incarnation: Incarnation,
        prepare: &Prepare,
        envelope: &[u8],
        entries: &[u8],
    ) -> Result<Result<Prepared, Refusal>, StoreError> {
        let origin = self.settings.members.name(from).to_owned();
        let refuse = |reason| Ok(Err(Refusal::of(reason)));
        if prepare.origin.as_str() != origin || !self.watches(from) {
            return refuse(Reason::NotYours);
        }
        if let Some(evidence) = self.rests_on_replaced(prepare.rests_on.as_slice())? {
            return Ok(Err(Refusal {
                reason: Reason::ReplacedDisk,
                held: 0,
                evidence,
            }));
        }
        let mut mirror = Mirror::load_or_new(self.own.tx, &origin)?;
        if mirror.restore == MirrorRestore::CatchingUp {
            return refuse(Reason::Recovering);
        }
        if let Some(refusal) = check_promise(&mirror, incarnation) {
            return Ok(Err(refusal));
        }
        if mirror.conflict || self.v.forks.is_forked(from) {
            return refuse(Reason::Conflict);
        }
        if prepare.to < mirror.seen_size() {
            let evidence = mirror
                .seen
                .map_or(Vec::new(), |(_, note)| note.into_bytes());
            return Ok(Err(Refusal {
                reason: Reason::BelowDigest,
                held: 0,
                evidence,
            }));
        }
        if mirror.base.end() < mirror.seen_size() {
            // Entries under the newest digest are still missing: they are fetched, not prepared.
            return Ok(Err(gap(&mirror)));
        }
        if prepare.to - mirror.base.end() > MAX_TAIL_ENTRIES {
            return refuse(Reason::TooMuch);
        }
        let count = crate::tlog::bundle::entries(entries).count() as u64;
        let Some(first) = prepare.to.checked_sub(count) else {
            return refuse(Reason::Bad);
        };
        let same = incarnation == mirror.tail;
        if same && mirror.end.end() >= prepare.to {
            // Known: say again what is held.
            return Ok(Ok(self.prepared(&origin, &mirror)));
        }
        if first > mirror.end.end() || first < mirror.base.end() {
            return Ok(Err(gap(&mirror)));
        }
        if mirror.base == mirror.end {
            mirror.tail_bytes = 0;
        }
        mirror.tail_bytes = mirror.tail_bytes.saturating_add(entries.len() as u64);
        if mirror.tail_bytes > MAX_TAIL_BYTES {
            let counted = mirror.count_tail_bytes(self.own.tx)?;
            mirror.tail_bytes = counted.saturating_add(entries.len() as u64);
            if mirror.tail_bytes > MAX_TAIL_BYTES {
                return refuse(Reason::TooMuch);
            }
        }
        let start = open_end::edge_at(self.own.tx, mirror.place, &mirror.base, first)?;
        let mut end = start.clone();
        let mut open = OpenEnd::of(mirror.place);
        if open.push_bundle(&mut end, entries).is_err() {
            return refuse(Reason::Bad);
        }
        if end.end() != prepare.to || end.root() != prepare.root {
            // With another tail than the factory thinks, the entries may fit on what a digest covers.
            return Ok(Err(if first == mirror.base.end() {
                Refusal::of(Reason::OtherRoot)
            } else {
                gap(&mirror)
            }));
        }
        if same && first < mirror.end.end() {
            let mut again = start;
            let known = usize::try_from(mirror.end.end() - first).unwrap_or(usize::MAX);
            for entry in crate::tlog::bundle::entries(entries).take(known).flatten() {
                again.push(crate::tlog::hash::leaf_hash(entry), |_| {});
            }
            if again.root() != mirror.end.root() {
                return refuse(Reason::OtherRoot);
            }
        }
        if first < mirror.end.end() {
            // Only a higher incarnation gets here with other entries; with the same ones it is the same root.
            open_end::truncate(self.own.tx, mirror.place, first)?;
        }
        open.write(self.own.tx)?;
        self.look_later(from, entries, end.end());
        mirror.end = end;
        mirror.tail = incarnation;
        mirror.prepared_by = envelope.to_vec();
        raise_promise(&mut mirror, incarnation, envelope);
        self.keep_mirror(&origin, &mirror)?;
        Ok(Ok(self.prepared(&origin, &mirror)))
    }

    fn prepared(&self, origin: &str, mirror: &Mirror) -> Prepared {
        Prepared {
            origin: Text::new(origin.to_owned()).unwrap_or_default(),
            incarnation: mirror.tail.number,
            instance: mirror.tail.instance,
            to: mirror.end.end(),
            root: mirror.end.root(),
            disk: self.settings.disk.id,
        }
    }

    /// Whether this node is a tower of that member's ledger.
    pub(super) fn watches(&self, origin: MemberIx) -> bool {
        self.settings.watches(origin)
    }

    /// Tiles of a mirrored ledger are in files.
    pub(super) fn mirror_flushed(&mut self, origin: &str, through: u64) -> Result<(), StoreError> {
        open_end::flushed_mirror(self.own.tx, origin, through).map(|_| ())
    }

    /// A human is told, and it is in the log.
    pub(super) fn alarm(&mut self, alarm: Alarm) {
        self.out.promise(Promise::Alarm(alarm));
    }
}

fn gap(mirror: &Mirror) -> Refusal {
    Refusal {
        reason: Reason::Gap,
        held: mirror.base.end(),
        evidence: Vec::new(),
    }
}

/// Refuses an incarnation below the promised one; with the same number the first instance wins (R1).
pub(super) fn check_promise(mirror: &Mirror, incarnation: Incarnation) -> Option<Refusal> {
    let promised = mirror.promised;
    let lower = incarnation.number < promised.number
        || (incarnation.number == promised.number && incarnation.instance != promised.instance);
    lower.then(|| Refusal {
        reason: Reason::HigherIncarnation,
        held: 0,
        evidence: mirror.promised_by.clone(),
    })
}

/// Remembers the highest incarnation and the message that raised it.
pub(super) fn raise_promise(mirror: &mut Mirror, incarnation: Incarnation, by: &[u8]) {
    if incarnation.number > mirror.promised.number {
        mirror.promised = incarnation;
        mirror.promised_by = by.to_vec();
    }
}

/// A message's sender must be what it needs to be.
pub(super) fn ensure(right: bool, why: &'static str) -> Result<(), Bad> {
    if right { Ok(()) } else { Err(Bad(why)) }
}
