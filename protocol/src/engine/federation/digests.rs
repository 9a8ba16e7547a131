//! Digests of this node's ledger: signed when the rule of [`super::factory`] allows it, pushed to every tower, and kept
//! with the lines that come back until a quorum of mirror lines is there (R2, R4).

use super::io::{Promise, PromiseBytes, Topic};
use super::messages::{note, note_frame};
use super::window::Side;
use super::{Bad, MemberIx, Settings, Stop, Turn, What};
use crate::checkpoint::Checkpoint;
use crate::engine::ledger::{self, Head};
use crate::engine::store::{Record, StoreError, Transaction};
use crate::note::{SignatureLine, SignedNote, VerifierKey};
use crate::wire::v1::Kind;
use std::collections::BTreeSet;

/// Pause before a digest that is unanswered or was refused is sent again, in microseconds.
const AGAIN_US: u64 = 1_000_000;

impl Settings {
    /// How long a tower that got the newest digest is left alone: longer if that rests, acknowledged and not refused.
    pub(super) fn digest_pause_us(&self, rests: bool) -> u64 {
        if rests {
            self.reack_us.max(AGAIN_US)
        } else {
            AGAIN_US
        }
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Signs a digest; it is durable with this step and leaves after it.
    pub(super) fn sign(&mut self, mut head: Head) -> Result<(), StoreError> {
        let size = head.size();
        let now_seconds = self.own.now.wall_seconds();
        if size == 0 || self.own.head.signed.is_some_and(|signed| signed >= size) {
            return Ok(());
        }
        let checkpoint = Checkpoint {
            origin: self.ledger.origin().to_owned(),
            size,
            root: head.root(),
        };
        let note = ledger::digest::sign(&checkpoint, self.ledger.log_keys(), now_seconds)?;
        self.own.tx.put_digest(size, &note)?;
        self.own.prune_digests(size)?;
        self.own.head.signed = Some(size);
        self.v.factory.backlog.signed(size);
        head.signed = Some(size);
        head.flushed = head.flushed.max(self.own.head.flushed).min(size);
        self.own.tx.put_record(Record::SignedHead, &head.encode())?;
        self.out.promise(Promise::Publish {
            topic: Topic::Digests,
            bytes: PromiseBytes(note_frame(Kind::Digest, &note)),
        });
        Ok(())
    }

    /// Sends the newest digest to every tower that did not get it, or that may ack it again.
    pub(super) fn push_digests(&mut self) -> Result<(), StoreError> {
        self.v.factory.newest = self.own.head.signed;
        let Some(size) = self.own.head.signed else {
            return Ok(());
        };
        let now = self.now_us();
        let me = self.settings.me;
        let acked = self.v.acked >= size;
        let towers: Vec<MemberIx> = self.settings.members.towers_of(me).collect();
        let mut frame = None;
        for tower in towers {
            let Some(peer) = self.connection(tower).map(str::to_owned) else {
                continue;
            };
            // One that refused it catches up: asked again soon, it acks, and `status` shows no old refusal.
            let rests = acked && self.v.factory.refused_by(tower).is_none();
            let pause = self.settings.digest_pause_us(rests);
            let due = match self.v.factory.digests.get(&tower) {
                Some((sent, at)) => *sent < size || now >= at.saturating_add(pause),
                None => true,
            };
            if !due {
                continue;
            }
            let bytes = match &frame {
                Some(bytes) => bytes,
                None => {
                    let Some(note) = self.own.tx.digest(size)? else {
                        return Ok(());
                    };
                    let note = SignedNote::parse(note.as_bytes())
                        .map_err(|error| StoreError::Damaged(error.to_string()))?;
                    let origin = self.ledger.origin();
                    let lines = note.signatures().iter();
                    let lines = lines.filter(|line| line.name() == origin);
                    let only = SignedNote::new(note.text(), lines.cloned().collect())
                        .map_err(|error| StoreError::Damaged(error.to_string()))?;
                    frame.insert(note_frame(Kind::Digest, &only.to_string()))
                }
            };
            let bytes = PromiseBytes(bytes.clone());
            self.v.factory.digests.insert(tower, (size, now));
            let id = self.remember(peer.clone(), What::Digest { member: tower });
            self.out.promise(Promise::Request { peer, id, bytes });
        }
        Ok(())
    }

    /// A tower acknowledged a digest: keep its lines, and see whether that makes a quorum.
    pub(super) fn acks_answered(&mut self, tower: MemberIx, payload: &[u8]) -> Result<(), Stop> {
        let answer = note(payload)?;
        let digest = Checkpoint::parse(answer.text()).map_err(|_| Bad("malformed digest"))?;
        let Some(stored) = self.own.tx.digest(digest.size)? else {
            return Err(Bad("unknown digest").into());
        };
        let mut kept = SignedNote::parse(stored.as_bytes()).map_err(|_| Bad("malformed note"))?;
        if kept.text() != answer.text() {
            return Err(Bad("other digest").into());
        }
        let me = self.settings.me;
        let stolen = self.look_for_stolen(me, &digest, &answer)?;
        // In the overlap of two serials both sign; one of them is enough, and nothing else is kept.
        let keys: Vec<(VerifierKey, VerifierKey, u64)> = self
            .settings
            .members
            .cosigners(tower)
            .map(|one| (one.ack.clone(), one.mirror.clone(), one.not_after_seconds))
            .collect();
        let mut taken = 0;
        let mut news = Vec::new();
        for (ack, mirror, ends_seconds) in &keys {
            let lines = (
                self.checks.cosignature(ack, *ends_seconds, &answer),
                self.checks.cosignature(mirror, *ends_seconds, &answer),
            );
            let (Some(ack), Some(mirror)) = lines else {
                continue;
            };
            for line in [ack, mirror] {
                if !kept.signatures().contains(line) {
                    news.push(line.clone());
                }
                kept = with_line(&kept, line)?;
            }
            taken += 1;
        }
        if taken == 0 && stolen {
            // What was kept of it may not be undone.
            return Ok(());
        }
        if taken == 0 {
            return Err(Bad("wrong signature").into());
        }
        self.v.factory.taken_by(tower, digest.size);
        if !news.is_empty() {
            // Only what was verified: a tower could send anything beside it.
            let news = SignedNote::new(kept.text(), news).map_err(|_| Bad("too many lines"))?;
            self.keep_ack(Side::Received, &news.to_string())?;
        }
        self.own.tx.put_digest(digest.size, &kept.to_string())?;
        let members = &self.settings.members;
        let mirrored: BTreeSet<MemberIx> = members
            .towers_of(me)
            .filter(|tower| !self.v.forks.is_liar(*tower))
            .filter(|tower| {
                // Not by a key whose revocation this very digest covers: it would take its own ground away (R6).
                let counts = |serial| {
                    let revocations = &self.v.revocations;
                    revocations.counts((*tower, serial), me, digest.size)
                };
                let mut chain = members.chain(*tower).iter();
                chain.any(|one| {
                    counts(one.serial)
                        && kept.signatures().iter().any(|line| {
                            line.name() == one.mirror.name() && line.key_id() == one.mirror.key_id()
                        })
                })
            })
            .collect();
        self.settle_by(me, &digest, &kept, &mirrored);
        let enough = self.is_enough(digest.size, |tower| mirrored.contains(&tower));
        if enough && digest.size > self.v.acked {
            self.v.acked = digest.size;
            self.own
                .tx
                .put_record(Record::Acked, &digest.size.to_be_bytes())?;
            self.out.promise(Promise::Acked { size: digest.size });
            self.settle_revocations()?;
        }
        Ok(())
    }
}

/// The note with a line that takes the place of an older one by the same key.
fn with_line(note: &SignedNote, line: &SignatureLine) -> Result<SignedNote, Bad> {
    let others = note
        .signatures()
        .iter()
        .filter(|old| (old.name(), old.key_id()) != (line.name(), line.key_id()))
        .cloned()
        .chain([line.clone()]);
    SignedNote::new(note.text(), others.collect()).map_err(|_| Bad("too many lines"))
}
