//! Digests at a tower, and its acks (R4): verify against what is held, raise the mark, then sign. The mark and the ack
//! are one transaction, and the ack leaves after it.

use super::checks::log_lines;
use super::forks::Statement;
use super::io::{Promise, PromiseBytes, Verdict};
use super::messages::{MALFORMED_DIGEST, note, note_frame};
use super::mirror::{Ack, Mirror, MirrorRestore};
use super::tower::Refusal;
use super::window::Side;
use super::{Bad, MemberIx, Stop, Turn};
use crate::checkpoint::Checkpoint;
use crate::cosignature::timestamp;
use crate::engine::open_end;
use crate::engine::store::{StoreError, Transaction};
use crate::note::{SignatureLine, SignedNote};
use crate::wire::v1::{Kind, Reason};
use std::collections::BTreeSet;

/// How old an ack may be before the same digest gets a new one, in seconds (idle ledgers are acked again).
const REACK_SECONDS: u64 = 30;

impl<T: Transaction> Turn<'_, '_, T> {
    /// Opens a digest of a member: the log's own signature over exactly this text, under the key whose range holds the
    /// size (R1, R6).
    pub(super) fn open_digest(&self, note: &SignedNote) -> Result<(MemberIx, Checkpoint), Bad> {
        let digest = Checkpoint::parse(note.text()).map_err(|_| MALFORMED_DIGEST)?;
        let members = &self.settings.members;
        let origin = members
            .by_name(&digest.origin)
            .ok_or(Bad("digest of a stranger"))?;
        let key = members
            .log_key(origin, digest.size)
            .ok_or(Bad("unknown key"))?;
        if self.checks.signature(key, note).is_none() {
            // Without a line of that key it was told by somebody who knows another certificate than this node (R6).
            let its =
                |line: &SignatureLine| (line.name(), line.key_id()) == (key.name(), key.key_id());
            return Err(Bad(match note.signatures().iter().any(its) {
                true => "wrong signature",
                false => "unknown key",
            }));
        }
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
        let (origin, digest) = match self.open_digest(&note) {
            Err(MALFORMED_DIGEST) => return self.odd_asked(from, id, &note),
            opened => opened?,
        };
        if !self.watches(origin) {
            return Err(Bad("not our ledger").into());
        }
        let name = digest.origin.clone();
        self.v.forks.remember(&note);
        self.look_for_joint(origin, &digest, &note);
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
                let refusal = if mirror.conflict || self.v.forks.is_forked(origin) {
                    Refusal::of(Reason::Conflict)
                } else if mirror.base.end() < mirror.seen_size() {
                    Refusal {
                        reason: Reason::Gap,
                        held: mirror.base.end(),
                        evidence: Vec::new(),
                    }
                } else if !self.clock_may_ack() {
                    // It mirrors all the same, so what it lacks is said before.
                    Refusal::of(Reason::Clock)
                } else {
                    Refusal::of(Reason::Recovering)
                };
                self.refuse(from, id, &name, refusal);
            }
        }
        Ok(())
    }

    /// What no honest factory wants acknowledged: it is kept and compared, so the input must not be undone.
    fn odd_asked(&mut self, from: MemberIx, id: u64, note: &SignedNote) -> Result<(), Stop> {
        self.odd_digest(note)?;
        let origin = note.text().lines().next().unwrap_or_default().to_owned();
        self.refuse(from, id, &origin, Refusal::of(Reason::Conflict));
        Ok(())
    }

    /// A digest by gossip: a hint for towers, and what everybody cross-checks.
    pub(super) fn digest_gossiped(&mut self, payload: &[u8]) -> Result<Verdict, Stop> {
        self.digest_heard(&note(payload)?)
    }

    /// A digest, whoever passed it on.
    pub(super) fn digest_heard(&mut self, note: &SignedNote) -> Result<Verdict, Stop> {
        let (origin, digest) = match self.open_digest(note) {
            Err(MALFORMED_DIGEST) => return self.odd_digest(note),
            opened => opened?,
        };
        self.v.forks.remember(note);
        if origin == self.settings.me {
            self.own_statement(&digest, note)?;
        }
        self.look_for_stolen(origin, &digest, note)?;
        let news = self.is_news(origin, &digest, note);
        if self.watches(origin) {
            self.see(origin, &digest, note)?;
            self.others_acked(origin, &digest, note)?;
            self.hear_acks(origin, &digest, note)?;
        }
        Ok(if news {
            Verdict::Accept
        } else {
            Verdict::Ignore
        })
    }

    /// Whether a note says something that was not passed on before, by lines that are verified: a larger digest, or a newer
    /// ack. Anybody can change the other lines of a note, and each copy would go round as another message.
    fn is_news(&mut self, origin: MemberIx, digest: &Checkpoint, note: &SignedNote) -> bool {
        let members = &self.settings.members;
        let names: BTreeSet<&str> = note.signatures().iter().map(SignatureLine::name).collect();
        let towers = names.into_iter().filter_map(|name| members.by_name(name));
        let towers = towers.filter(|tower| *tower != origin && members.is_tower(*tower));
        let mut said = vec![(origin, 0)];
        for tower in towers {
            let acks = members.cosigners(tower);
            let acks = acks.filter_map(|serial| self.checks.signature(&serial.ack, note));
            let newest = acks.filter_map(timestamp).max();
            said.extend(newest.map(|seconds| (tower, seconds)));
        }
        let mut news = false;
        for (who, seconds) in said {
            let passed_on = self.v.passed_on.entry((origin, who)).or_default();
            if (digest.size, seconds) > *passed_on {
                *passed_on = (digest.size, seconds);
                news = true;
            }
        }
        news
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
        if digest.size <= seen && mirror.seen.is_some() {
            // Of the newest size or an older one: it must be the same tree (R5).
            let same = mirror.seen.as_ref().is_some_and(|(_, known)| {
                Checkpoint::parse(text_of(known)).is_ok_and(|known| known == *digest)
            });
            if !same {
                self.compare_with(origin, &mirror, digest, note)?;
            }
        } else {
            self.pass_over(origin, &mut mirror)?;
            let behind = mirror.base.end() < seen;
            let Some(log) = self.settings.members.log_key(origin, digest.size).cloned() else {
                return Ok(());
            };
            let Some(only) = log_lines(&self.checks, note, &log) else {
                return Ok(());
            };
            mirror.seen = Some((digest.size, only.to_string()));
            if !behind && digest.size <= mirror.end.end() {
                let edge = open_end::edge_at(self.own.tx, mirror.place, &mirror.base, digest.size)?;
                if edge.root() == digest.root {
                    self.good(origin, digest.size, digest.root);
                    self.verified(origin, digest.size, digest.root);
                    let part = mirror.base.end()..digest.size;
                    self.find_entries_in(origin, mirror.place, part)?;
                    mirror.base = edge;
                } else {
                    // Something else was signed than was prepared here: give the tail up and fetch what was signed.
                    open_end::truncate(self.own.tx, mirror.place, mirror.base.end())?;
                    mirror.end = mirror.base.clone();
                    mirror.prepared_by.clear();
                }
            }
            self.keep_mirror(name, &mirror)?;
        }
        self.ack_if_held(origin, name)
    }

    /// A digest that is not newer than the newest one: at once if the sizes are equal, else with the entries held.
    fn compare_with(
        &mut self,
        origin: MemberIx,
        mirror: &Mirror,
        digest: &Checkpoint,
        note: &SignedNote,
    ) -> Result<(), StoreError> {
        let seen = mirror.seen.as_ref();
        let (Some(seen), Some(new)) = (
            seen.and_then(|(_, known)| Statement::stored(known)),
            self.statement(origin, digest, note),
        ) else {
            return Ok(());
        };
        if digest.size == mirror.seen_size() {
            self.contradiction(origin, &seen, &new, &[]);
            // Without a proof it is a claim that nobody settles: it is kept, and nothing is acked.
            return self.claim(origin, digest, note, true);
        }
        self.claim(origin, digest, note, digest.size > mirror.base.end())
    }

    /// Before a newer digest takes its place: the newest one so far stays known, as that of what is held, or as a claim that
    /// waits for its entries.
    fn pass_over(&mut self, origin: MemberIx, mirror: &mut Mirror) -> Result<(), StoreError> {
        let Some((size, note)) = mirror.seen.clone() else {
            return Ok(());
        };
        if mirror.base.end() >= size {
            mirror.verified = Some((size, note));
            return Ok(());
        }
        let parsed = SignedNote::parse(note.as_bytes()).ok();
        if let Some(note) = parsed
            && let Ok(digest) = Checkpoint::parse(note.text())
        {
            self.claim(origin, &digest, &note, true)?;
        }
        Ok(())
    }

    /// Acks the newest digest if all of its entries are held and this tower may (R3, R4).
    pub(super) fn ack_if_held(&mut self, origin: MemberIx, name: &str) -> Result<(), StoreError> {
        let Some(mut mirror) = Mirror::load(self.own.tx, name)? else {
            return Ok(());
        };
        let Some((size, note)) = mirror.seen.clone() else {
            return Ok(());
        };
        let Some(witnessed_seconds) = self.witnessed_before(origin, &mirror)? else {
            return Ok(());
        };
        let ready = mirror.restore == MirrorRestore::Done && mirror.base.end() == size;
        let forks = &self.v.forks;
        let doubted =
            forks.is_forked(origin) || forks.is_held_up(origin) || forks.is_liar(self.settings.me);
        // The time that is signed is this step's, and this step's clock was judged when it began (R4).
        let may_ack = self.may_ack(origin) && self.is_welcome(origin) && self.clock_may_ack();
        if doubted || mirror.conflict || !ready || !may_ack {
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
        let time_seconds = now
            .max(last.map_or(0, |ack| ack.time_seconds))
            .max(witnessed_seconds);
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
        let note = signed.to_string();
        self.keep_ack(Side::Given, &note)?;
        mirror.acked = Some(Ack {
            size,
            time_seconds,
            note,
        });
        self.keep_mirror(name, &mirror)
    }
}

/// The text of a stored note.
fn text_of(note: &str) -> &str {
    note.split_once("\n\n").map_or(note, |(text, _)| {
        // The text ends with its line feed.
        &note[..=text.len()]
    })
}
