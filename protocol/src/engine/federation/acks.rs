//! Digests at a tower, and its acks (R4): verify against what is held, raise the mark, then sign. The mark and the ack
//! are one transaction, and the ack leaves after it.

use super::checks::verified_lines;
use super::io::{Alarm, Promise, PromiseBytes, Verdict};
use super::messages::{note, note_frame};
use super::mirror::{Ack, Mirror, MirrorRestore};
use super::tower::Refusal;
use super::{Bad, MemberIx, Stop, Turn};
use crate::checkpoint::Checkpoint;
use crate::engine::open_end;
use crate::engine::store::{StoreError, Transaction};
use crate::note::SignedNote;
use crate::wire::v1::{Kind, Reason};

/// How old an ack may be before the same digest gets a new one, in seconds (idle ledgers are acked again).
const REACK_SECONDS: u64 = 30;

impl<T: Transaction> Turn<'_, '_, T> {
    /// Opens a digest of a member: the log's own signature over exactly this text, under the key whose range holds the
    /// size (R1, R6).
    pub(super) fn open_digest(&self, note: &SignedNote) -> Result<(MemberIx, Checkpoint), Bad> {
        let digest = Checkpoint::parse(note.text()).map_err(|_| Bad("malformed digest"))?;
        let members = &self.settings.members;
        let origin = members
            .by_name(&digest.origin)
            .ok_or(Bad("digest of a stranger"))?;
        let key = members
            .log_key(origin, digest.size)
            .ok_or(Bad("unknown key"))?;
        self.checks
            .signature(key, note)
            .ok_or(Bad("wrong signature"))?;
        Ok((origin, digest))
    }

    /// A digest that its factory wants acknowledged.
    pub(super) fn digest_asked(
        &mut self,
        from: MemberIx,
        id: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let note = note(payload)?;
        let (origin, digest) = self.open_digest(&note)?;
        if !self.watches(origin) {
            return Err(Bad("not our ledger").into());
        }
        let name = digest.origin.clone();
        self.see(origin, &digest, &note)?;
        let mirror = Mirror::load_or_new(self.own.tx, &name)?;
        // Its mirror line speaks of entries: after a rollback it is not said again before they are back (R4).
        let ack = mirror
            .acked
            .clone()
            .filter(|ack| ack.size >= digest.size && ack.size <= mirror.base.end());
        match ack {
            Some(ack) => {
                let bytes = PromiseBytes(note_frame(Kind::Acks, &ack.note));
                self.out.promise(Promise::Reply { id, bytes });
            }
            None => {
                let refusal = if mirror.conflict {
                    Refusal::of(Reason::Conflict)
                } else if mirror.base.end() < mirror.seen_size() {
                    Refusal {
                        reason: Reason::Gap,
                        held: mirror.base.end(),
                        evidence: Vec::new(),
                    }
                } else {
                    Refusal::of(Reason::Recovering)
                };
                self.refuse(from, id, &name, refusal);
            }
        }
        Ok(())
    }

    /// A digest by gossip: a hint for towers, and what everybody cross-checks.
    pub(super) fn digest_gossiped(&mut self, payload: &[u8]) -> Result<Verdict, Stop> {
        let note = note(payload)?;
        let (origin, digest) = self.open_digest(&note)?;
        if origin == self.settings.me {
            self.own_statement(&digest, &note)?;
        }
        if !self.watches(origin) {
            return Ok(Verdict::Accept);
        }
        let before =
            Mirror::load(self.own.tx, &digest.origin)?.map_or(0, |mirror| mirror.seen_size());
        self.see(origin, &digest, &note)?;
        self.others_acked(origin, &digest, &note)?;
        Ok(if digest.size > before {
            Verdict::Accept
        } else {
            Verdict::Ignore
        })
    }

    /// Takes a verified digest into account: raises the newest seen, moves the base if its entries are held, and acks.
    pub(super) fn see(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
    ) -> Result<(), StoreError> {
        let name = digest.origin.as_str();
        let mut mirror = Mirror::load_or_new(self.own.tx, name)?;
        let seen = mirror.seen_size();
        if digest.size < seen {
            return Ok(());
        }
        if digest.size == seen && mirror.seen.is_some() {
            let same = mirror
                .seen
                .as_ref()
                .and_then(|(_, known)| Checkpoint::parse(text_of(known)).ok())
                .is_some_and(|known| known.root == digest.root);
            if !same && !mirror.conflict {
                if let Some(known) = mirror
                    .seen
                    .as_ref()
                    .and_then(|(_, known)| SignedNote::parse(known.as_bytes()).ok())
                {
                    self.keep_fork(&known, note)?;
                }
                mirror.conflict = true;
                mirror.store(self.own.tx, name)?;
                self.alarm(Alarm::Fork {
                    origin: name.to_owned(),
                    size: digest.size,
                });
            }
        } else {
            let behind = mirror.base.end() < seen;
            let Some(log) = self.settings.members.log_key(origin, digest.size).cloned() else {
                return Ok(());
            };
            let Some(only) = verified_lines(&self.checks, note, &[&log]) else {
                return Ok(());
            };
            mirror.seen = Some((digest.size, only.to_string()));
            if !behind && digest.size <= mirror.end.end() {
                let edge = open_end::edge_at(self.own.tx, mirror.place, &mirror.base, digest.size)?;
                if edge.root() == digest.root {
                    self.verified(origin, digest.size, digest.root);
                    mirror.base = edge;
                } else {
                    // Something else was signed than was prepared here: give the tail up and fetch what was signed.
                    open_end::truncate(self.own.tx, mirror.place, mirror.base.end())?;
                    mirror.end = mirror.base.clone();
                    mirror.prepared_by.clear();
                }
            }
            mirror.store(self.own.tx, name)?;
        }
        self.ack_if_held(origin, name)
    }

    /// Acks the newest digest if all of its entries are held and this tower may (R3, R4).
    pub(super) fn ack_if_held(&mut self, origin: MemberIx, name: &str) -> Result<(), StoreError> {
        let Some(mut mirror) = Mirror::load(self.own.tx, name)? else {
            return Ok(());
        };
        let Some((size, note)) = mirror.seen.clone() else {
            return Ok(());
        };
        let ready = mirror.restore == MirrorRestore::Done && mirror.base.end() == size;
        if mirror.conflict || !ready || !self.may_ack(origin) {
            return Ok(());
        }
        let now = u64::try_from(self.own.now.wall.seconds())
            .unwrap_or(0)
            .max(1);
        let last = mirror.acked.as_ref();
        if last.is_some_and(|ack| {
            ack.size == size && now < ack.time_seconds.saturating_add(REACK_SECONDS)
        }) {
            return Ok(());
        }
        // Never decreasing, for both keys (R4).
        let time_seconds = now.max(last.map_or(0, |ack| ack.time_seconds));
        let damaged = |what: &dyn std::fmt::Display| {
            StoreError::Damaged(format!("the digest of {name}: {what}"))
        };
        let parsed = SignedNote::parse(note.as_bytes()).map_err(|error| damaged(&error))?;
        let text = parsed.text().to_owned();
        let mut signed = parsed;
        let lines = signed.signatures().len();
        let lowest = self.settings.disk.lowest_serial;
        let cosigners = self.settings.keys.cosigners(now, lowest);
        for serial in cosigners {
            for key in [&serial.ack, &serial.mirror] {
                let line = key
                    .cosign(&text, time_seconds)
                    .map_err(|error| damaged(&error))?;
                signed = signed
                    .with_signature(line)
                    .map_err(|error| damaged(&error))?;
            }
        }
        // Keys of an earlier disk ack nothing, and an ack without a line is none.
        if signed.signatures().len() == lines {
            return Ok(());
        }
        mirror.acked = Some(Ack {
            size,
            time_seconds,
            note: signed.to_string(),
        });
        mirror.store(self.own.tx, name)
    }
}

/// The text of a stored note.
fn text_of(note: &str) -> &str {
    note.split_once("\n\n").map_or(note, |(text, _)| {
        // The text ends with its line feed.
        &note[..=text.len()]
    })
}
