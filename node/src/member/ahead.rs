//! Which signatures of a message the engine will ask for, checked before the message reaches it (R9).
//! Pure, and only an estimate: what is missed here the engine checks itself, and what it never asks for does no harm.

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::Input;
use belfry_protocol::engine::federation::Protocol;
use belfry_protocol::engine::federation::checks::Checks;
use belfry_protocol::engine::federation::members::{MemberIx, Members};
use belfry_protocol::note::SignedNote;
use belfry_protocol::wire::codec::{self, Decode, Encode};
use belfry_protocol::wire::v1::{Heads, Kind, Marked, Recovered, Refused};
use belfry_protocol::wire::{Envelope, Frame, Version};

/// Longest frame that is looked into: the transport takes none that is longer.
const MAX_FRAME: usize = super::MAX_FRAME;

/// Fills in what can be checked of `input`, which came from the peer `from`. `me` is this node's name.
pub(super) fn check(members: &Members, me: &str, from: &str, input: &mut Input) {
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
        let Ok(frame) = Frame::parse(bytes, MAX_FRAME) else {
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
                | Kind::KnownChains,
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
                        self.mark(mark.digest.as_slice());
                        self.mark(mark.acked.as_slice());
                    }
                }
            }
            Some(Kind::Digest) => drop(self.digest(payload)),
            Some(Kind::Acks) => self.acks(payload),
            Some(Kind::Heads) => {
                if let Ok(heads) = codec::decode::<Heads>(payload) {
                    for note in heads.notes.as_slice() {
                        self.digest(note.as_slice());
                    }
                }
            }
            // Chains prove themselves, and are seldom longer than what is known.
            Some(Kind::Entries | Kind::Chains) | None => {}
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

    /// A digest that another node saw: this node's own ack may be on it.
    fn mark(&mut self, bytes: &[u8]) {
        if let Some(note) = self.digest(bytes)
            && let Some(me) = self.me
        {
            for own in self.members.cosigners(me) {
                self.checks.note(&own.ack, &note);
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
