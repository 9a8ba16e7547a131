//! Which signatures of a message the engine will ask for, checked before the message reaches it (R9).
//! Runtime and simulator call it outside the step. Only an estimate: what is missed here the engine checks itself, and what it never asks for does no harm.

use super::checks::Checks;
use super::members::{MemberIx, Members};
use super::messages::MAX_FRAME_BYTES;
use super::{Input, Protocol};
use crate::checkpoint::Checkpoint;
use crate::note::{SignatureLine, SignedNote};
use crate::wire::codec::{self, Decode, Encode};
use crate::wire::v1::{Heads, Kind, Marked, Recovered, Refused};
use crate::wire::{Envelope, Frame, Version};
use std::collections::BTreeSet;

/// Fills in what can be checked of `input`, which came from the peer `from`. `me` is this node's name.
pub fn check(members: &Members, me: &str, from: &str, input: &mut Input) {
    let known = Known {
        members,
        me: members.by_name(me),
        from: members.by_peer(from),
        checks: Checks::default(),
    };
    match input {
        Input::Request {
            protocol: Protocol::Sync,
            bytes,
            checks,
            ..
        }
        | Input::Response {
            bytes: Some(bytes),
            checks,
            ..
        }
        | Input::Gossip { bytes, checks, .. } => *checks = known.message(bytes),
        _ => {}
    }
}

/// Who is who, and what was found right so far.
struct Known<'a> {
    members: &'a Members,
    me: Option<MemberIx>,
    from: Option<MemberIx>,
    checks: Checks,
}

impl Known<'_> {
    fn message(mut self, bytes: &[u8]) -> Checks {
        // A hello's answer is no frame of this protocol: the engine checks it, once per connection.
        let Ok(frame) = Frame::parse(bytes, MAX_FRAME_BYTES) else {
            return self.checks;
        };
        if frame.version.major != Version::V1_0.major {
            return self.checks;
        }
        let payload = frame.payload;
        match Kind::from_number(frame.kind) {
            Some(
                Kind::Prepare
                | Kind::Recover
                | Kind::Marks
                | Kind::Get
                | Kind::Prepared
                | Kind::KnownChains
                | Kind::KnownForks
                | Kind::KnownRevocations
                | Kind::GetProof,
            ) => {
                self.sealed(payload, self.from);
            }
            Some(Kind::Refused) => {
                if let Some(refused) = self.sealed(payload, self.from).and_then(body::<Refused>) {
                    // Evidence is what this node signed itself: an envelope or a digest.
                    let evidence = refused.evidence.as_slice();
                    if self.sealed(evidence, self.me).is_none() {
                        self.digest(evidence);
                    }
                }
            }
            Some(Kind::Recovered) => {
                if let Some(answer) = self.sealed(payload, self.from).and_then(body::<Recovered>) {
                    self.digest(answer.digest.as_slice());
                    if let Some(tail) = &answer.tail {
                        self.sealed(tail.prepare.as_slice(), self.me);
                    }
                }
            }
            Some(Kind::Marked) => {
                if let Some(marked) = self.sealed(payload, self.from).and_then(body::<Marked>) {
                    for mark in marked.marks.as_slice() {
                        self.acked(mark.digest.as_slice());
                        self.acked(mark.acked.as_slice());
                    }
                }
            }
            Some(Kind::Digest) => self.acked(payload),
            Some(Kind::Acks) => self.acks(payload),
            Some(Kind::Heads) => {
                if let Ok(heads) = codec::decode::<Heads>(payload) {
                    for note in heads.notes.as_slice() {
                        self.acked(note.as_slice());
                    }
                }
            }
            // Chains and forks prove themselves, and are seldom news.
            Some(
                Kind::Entries
                | Kind::Chains
                | Kind::Forks
                | Kind::ProofNodes
                | Kind::Fork
                | Kind::Revocations,
            )
            | None => {}
        }
        self.checks
    }

    /// Checks an envelope that only `by` may have signed, and returns its body. Who else claims to be its sender is
    /// refused by the engine unseen, and costs no check.
    fn sealed(&mut self, bytes: &[u8], by: Option<MemberIx>) -> Option<Vec<u8>> {
        let (envelope, _) = Envelope::split(bytes).ok()?;
        let by = by.filter(|by| self.members.id(*by) == envelope.header.sender)?;
        let key = self.members.envelope_key(by, envelope.header.key_serial)?;
        self.checks.envelope(key, &envelope);
        Some(envelope.body)
    }

    /// Checks a digest under its log's key, and returns its note.
    fn digest(&mut self, bytes: &[u8]) -> Option<SignedNote> {
        let note = SignedNote::parse(bytes).ok()?;
        let digest = Checkpoint::parse(note.text()).ok()?;
        let origin = self.members.by_name(&digest.origin)?;
        let key = self.members.log_key(origin, digest.size)?;
        self.checks.note(key, &note);
        Some(note)
    }

    /// A digest that another node saw, with the acks that are on it: this node's own, and others', which are compared.
    fn acked(&mut self, bytes: &[u8]) {
        let Some(note) = self.digest(bytes) else {
            return;
        };
        let named: BTreeSet<&str> = note.signatures().iter().map(SignatureLine::name).collect();
        let towers = named
            .into_iter()
            .filter_map(|name| self.members.by_name(name));
        for tower in towers.filter(|tower| self.members.is_tower(*tower)) {
            for serial in self.members.cosigners(tower) {
                self.checks.note(&serial.ack, &note);
            }
        }
    }

    /// The lines of the tower that answers a digest.
    fn acks(&mut self, bytes: &[u8]) {
        if let Ok(note) = SignedNote::parse(bytes)
            && let Some(from) = self.from
        {
            for tower in self.members.cosigners(from) {
                self.checks.note(&tower.ack, &note);
                self.checks.note(&tower.mirror, &note);
            }
        }
    }
}

fn body<B: Encode + Decode<()>>(bytes: Vec<u8>) -> Option<B> {
    codec::decode(&bytes).ok()
}
