//! What a factory does before it signs (R3): r towers promise its incarnation and say what they know; it adopts the
//! newest digest, then the longest tail of the highest incarnation, prepares that under its own incarnation, and only
//! then appends. Its own disk counts only where it extends what the answers showed; otherwise it is set aside.

use super::checks::verified_lines;
use super::factory::Phase;
use super::io::{Free, Promise, Protocol};
use super::messages::{To, body, note};
use super::mirror::{Mirror, MirrorRestore};
use super::tower::{Refusal, check_promise, ensure, raise_promise};
use super::{Bad, MemberIx, Stop, Turn, What};
use crate::engine::ledger::start::Incarnation;
use crate::engine::store::{Record, StoreError, Transaction};
use crate::tlog::hash::Hash;
use crate::wire::codec::{Bytes, List, Text};
use crate::wire::v1::{DiskRef, Kind, RECOVER_TOPIC, Reason, Recover, Recovered};
use std::collections::BTreeMap;

/// Pause before an unanswered query is sent again, in microseconds.
const AGAIN_US: u64 = 1_000_000;

/// One round of questions.
#[derive(Default)]
pub(super) struct Round {
    nonce: [u8; 16],
    asked: BTreeMap<MemberIx, u64>,
    answers: BTreeMap<MemberIx, Answer>,
    /// The incarnation was raised in this step: nothing leaves before it is durable.
    hold_until_step: u64,
}

/// A valid answer.
struct Answer {
    digest: Option<(u64, Hash, String)>,
    tail: Option<(u64, u64, Hash)>,
    disk: [u8; 16],
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Asks towers, or fetches what they know.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        let asks = match &self.v.factory.phase {
            Phase::Recovering(round) => round.hold_until_step < self.v.steps,
            Phase::Adopting(_) => return self.fetch_own(),
            _ => false,
        };
        if !asks {
            return Ok(());
        }
        let now = self.now_us();
        let me = self.settings.me;
        let fresh = self.seed.draw();
        let towers: Vec<(MemberIx, String)> = self
            .settings
            .members
            .towers_of(me)
            .filter_map(|tower| Some((tower, self.connection(tower)?.to_owned())))
            .collect();
        let Phase::Recovering(round) = &mut self.v.factory.phase else {
            return Ok(());
        };
        if round.nonce == [0; 16] {
            // Written again: the step that raised it may have been undone. Nothing leaves before it is durable.
            round.nonce = fresh;
            round.hold_until_step = self.v.steps;
            let Incarnation { number, instance } = self.settings.incarnation;
            return self.own.tx.put_record(
                Record::Incarnation,
                &[number.to_be_bytes().as_slice(), &instance].concat(),
            );
        }
        let nonce = round.nonce;
        let due: Vec<(MemberIx, String)> = towers
            .into_iter()
            .filter(|(tower, _)| !round.answers.contains_key(tower))
            .filter(|(tower, _)| {
                round
                    .asked
                    .get(tower)
                    .is_none_or(|at| now >= at.saturating_add(AGAIN_US))
            })
            .collect();
        round
            .asked
            .extend(due.iter().map(|(tower, _)| (*tower, now)));
        for (tower, peer) in due {
            let query = Recover {
                origin: Text::new(self.settings.members.name(me).to_owned()).unwrap_or_default(),
                instance: self.settings.incarnation.instance,
                nonce,
            };
            let bytes = self.settings.free(
                self.own.now,
                Kind::Recover,
                &To::Topic(RECOVER_TOPIC),
                &query,
                &[],
            );
            let id = self.remember(peer.clone(), What::Recover { member: tower });
            self.out.free(Free::Request {
                peer,
                id,
                protocol: Protocol::Sync,
                bytes,
            });
        }
        Ok(())
    }

    /// A factory asks what this tower knows of it: promise its incarnation and answer, in one transaction.
    pub(super) fn recover_asked(
        &mut self,
        from: MemberIx,
        id: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let to = To::Topic(RECOVER_TOPIC);
        let opened = self
            .settings
            .open(&self.checks, payload, Kind::Recover, &to, Some(from))?;
        let query: Recover = body(&opened.body)?;
        let origin = self.settings.members.name(from).to_owned();
        ensure(
            query.origin.as_str() == origin && self.watches(from),
            "not our ledger",
        )?;
        let incarnation = Incarnation {
            number: opened.header.incarnation,
            instance: query.instance,
        };
        let mut mirror = Mirror::load_or_new(self.own.tx, &origin)?;
        if let Some(refusal) = check_promise(&mirror, incarnation) {
            self.refuse(from, id, &origin, refusal);
            return Ok(());
        }
        if mirror.restore == MirrorRestore::CatchingUp {
            self.refuse(from, id, &origin, Refusal::of(Reason::Recovering));
            return Ok(());
        }
        raise_promise(&mut mirror, incarnation, &opened.envelope);
        self.keep_mirror(&origin, &mirror)?;
        let tail = mirror.unsigned_tail();
        let answer = Recovered {
            origin: query.origin.clone(),
            incarnation: incarnation.number,
            instance: incarnation.instance,
            nonce: query.nonce,
            restored: false,
            disk: self.settings.disk.id,
            digest: Bytes::new(
                mirror
                    .seen
                    .map_or(Vec::new(), |(_, note)| note.into_bytes()),
            )
            .ok_or(Bad("note too long"))?,
            held: mirror.base.end(),
            tail,
            disks: List::new(self.known_disks()?).unwrap_or_default(),
        };
        let bytes = self
            .settings
            .promise(self.own.now, Kind::Recovered, from, &answer);
        self.out.promise(Promise::Reply { id, bytes });
        Ok(())
    }

    /// A tower answered the query.
    pub(super) fn recovered_answered(
        &mut self,
        tower: MemberIx,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened =
            self.settings
                .open(&self.checks, payload, Kind::Recovered, &me, Some(tower))?;
        let answer: Recovered = body(&opened.body)?;
        let incarnation = self.settings.incarnation;
        let Phase::Recovering(round) = &self.v.factory.phase else {
            return Ok(());
        };
        if answer.nonce != round.nonce
            || answer.incarnation != incarnation.number
            || answer.instance != incarnation.instance
            || answer.origin.as_str() != self.settings.members.name(self.settings.me)
        {
            return Err(Bad("other round").into());
        }
        if answer.restored {
            return Ok(());
        }
        let id = self.settings.members.id(tower);
        // Fresh by the nonce; of the others by their own messages. What does not verify is said by nobody.
        self.note_disk(id, answer.disk, opened.header.incarnation, &[])?;
        for seen in answer.disks.as_slice() {
            match self.disk_shown(seen.by.as_slice()) {
                Ok(_) | Err(Stop::Bad(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let own = DiskRef {
            member: id,
            disk: answer.disk,
        };
        ensure(self.rests_on_replaced(&[own])?.is_none(), "replaced disk")?;
        let tail = match &answer.tail {
            None => None,
            Some(tail) => {
                let tail = self.told_tail(self.settings.me, tail)?;
                Some((tail.incarnation.number, tail.size, tail.root))
            }
        };
        let digest = match answer.digest.as_slice() {
            [] => None,
            bytes => {
                let note = note(bytes)?;
                let (origin, digest) = self.open_digest(&note)?;
                ensure(origin == self.settings.me, "not our ledger")?;
                let key = self.settings.members.log_key(origin, digest.size);
                let only = key.and_then(|key| verified_lines(&self.checks, &note, &[key]));
                let only = only.ok_or(Bad("wrong signature"))?;
                // Last: nothing after it may undo what it finds.
                self.own_statement(&digest, &note)?;
                Some((digest.size, digest.root, only.to_string()))
            }
        };
        if let Phase::Recovering(round) = &mut self.v.factory.phase {
            let disk = answer.disk;
            round.answers.insert(tower, Answer { digest, tail, disk });
        }
        Ok(self.decide()?)
    }

    /// With r answers: adopt the newest digest, then the longest tail of the highest incarnation.
    fn decide(&mut self) -> Result<(), StoreError> {
        let me = self.settings.me;
        self.drop_stale_answers()?;
        let Phase::Recovering(round) = &self.v.factory.phase else {
            return Ok(());
        };
        let answered = |tower: MemberIx| round.answers.contains_key(&tower);
        let members = &self.settings.members;
        if !members.every_judge(me, |judge| judge.is_recovery(answered)) {
            return Ok(());
        }
        let signed = self.own.head.signed.unwrap_or(0);
        let digest = round
            .answers
            .values()
            .filter_map(|answer| answer.digest.clone())
            .max_by_key(|(size, ..)| *size)
            .filter(|(size, ..)| *size > signed);
        let floor = digest.as_ref().map_or(signed, |(size, ..)| *size);
        let tail = round
            .answers
            .values()
            .filter_map(|answer| answer.tail)
            .filter(|(_, size, _)| *size > floor)
            .max_by_key(|(incarnation, size, _)| (*incarnation, *size));
        let target = match (&tail, &digest) {
            (Some((_, size, root)), _) => Some((*size, *root)),
            (None, Some((size, root, _))) => Some((*size, *root)),
            (None, None) => None,
        };
        let sources: Vec<MemberIx> = round
            .answers
            .iter()
            .filter(|(_, answer)| match &tail {
                Some(tail) => answer.tail.as_ref() == Some(tail),
                None => answer.digest.is_some(),
            })
            .map(|(tower, _)| *tower)
            .collect();
        let holders: Vec<MemberIx> = round
            .answers
            .iter()
            .filter(|(_, answer)| {
                answer.digest.as_ref().map(|one| one.0) == digest.as_ref().map(|one| one.0)
            })
            .map(|(tower, _)| *tower)
            .collect();
        self.v.factory.rests_on = round
            .answers
            .iter()
            .map(|(tower, answer)| (*tower, answer.disk))
            .collect();
        let Some(target) = target else {
            self.begin_preparing(signed);
            return Ok(());
        };
        self.adopt(digest, target, (holders, sources))
    }

    /// Answers of disks that are not their towers' any more, and of towers that cannot be relied on, do not count.
    fn drop_stale_answers(&mut self) -> Result<(), StoreError> {
        let Phase::Recovering(round) = &self.v.factory.phase else {
            return Ok(());
        };
        let mut stale = Vec::new();
        for (tower, answer) in &round.answers {
            let disk = DiskRef {
                member: self.settings.members.id(*tower),
                disk: answer.disk,
            };
            if self.rests_on_replaced(&[disk])?.is_some() || !self.v.factory.is_steady(*tower) {
                stale.push(*tower);
            }
        }
        if let Phase::Recovering(round) = &mut self.v.factory.phase {
            round.answers.retain(|tower, _| !stale.contains(tower));
        }
        Ok(())
    }

    /// A tower refuses because of a higher incarnation, and shows the message of ours that raised it.
    pub(super) fn superseded(&mut self, evidence: &[u8]) -> Result<(), Stop> {
        let raised = self.raised_by(self.settings.me, evidence)?;
        let (shown, instance) = (raised.number, raised.instance);
        let ours = self.settings.incarnation;
        if shown < ours.number || (shown == ours.number && instance == ours.instance) {
            return Ok(());
        }
        if matches!(self.v.factory.phase, Phase::Stopped(_) | Phase::Idle) {
            return Ok(());
        }
        if matches!(self.v.factory.phase, Phase::Active) {
            self.second_copy(shown);
            return Ok(());
        }
        let number = shown.checked_add(1).ok_or(Bad("no higher incarnation"))?;
        self.settings.incarnation.number = number;
        self.own.tx.put_record(
            Record::Incarnation,
            &[number.to_be_bytes().as_slice(), &ours.instance].concat(),
        )?;
        self.v.factory.phase = Phase::Recovering(Round {
            hold_until_step: self.v.steps,
            ..Round::default()
        });
        Ok(())
    }
}
