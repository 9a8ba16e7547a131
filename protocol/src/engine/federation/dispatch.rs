//! From frames to the rule that answers them (R1-R8). Whoever sends one is an admitted member; anything else was refused before.

use super::io::{Free, Topic, Verdict};
use super::messages::frame;
use super::tower::Refusal;
use super::{Asked, Bad, Stop, Turn, What};
use crate::engine::store::Transaction;
use crate::wire::v1::{Heads, Kind, Reason};

impl<T: Transaction> Turn<'_, '_, T> {
    /// A member asks.
    pub(super) fn asked(&mut self, peer: &str, id: u64, bytes: &[u8]) -> Result<(), Stop> {
        let from = self.member_of(peer)?;
        let (kind, payload) = match frame(bytes) {
            Ok(frame) => frame,
            Err(bad) if bad.is_unknown() => {
                self.given_up(Some((peer.to_owned(), false)), bad.0);
                self.refuse(from, id, "", Refusal::of(Reason::Unknown));
                return Ok(());
            }
            Err(bad) => return Err(bad.into()),
        };
        match kind {
            Kind::Prepare => self.prepare_asked(from, id, payload),
            Kind::Digest => self.digest_asked(from, id, payload),
            Kind::Recover => self.recover_asked(from, id, payload),
            Kind::Marks => self.marks_asked(from, peer, id, payload),
            Kind::Get => self.get_asked(from, id, payload),
            Kind::KnownChains => self.certificates_asked(from, id, payload),
            Kind::KnownForks => self.forks_asked(from, id, payload),
            Kind::KnownRevocations => self.revocations_asked(from, id, payload),
            Kind::GetProof => self.proof_asked(from, id, payload),
            _ => Err(Bad("not a question").into()),
        }
    }

    /// A member answered, or will not.
    pub(super) fn answered(&mut self, id: u64, bytes: Option<Vec<u8>>) -> Result<(), Stop> {
        let Some(Asked { peer, what, .. }) = self.v.asked.remove(&id) else {
            return Ok(());
        };
        let Some(bytes) = bytes else {
            match what {
                What::Entries { origin } => self.fetch_failed(&origin),
                // Hello is said once per connection: without an answer only a new one helps.
                What::Hello => self.out.free(Free::Disconnect {
                    peer,
                    why: "no answer to hello".to_owned(),
                }),
                What::Marks { .. } | What::Recover { .. } | What::Certificates => {}
                What::Forks | What::Revocations => {}
                What::Proof { question } => self.proof_came(question, None)?,
                What::Prepare { .. } | What::Digest { .. } => {}
                What::Joint { member } => self.v.epochs.disconnected(member),
            }
            return Ok(());
        };
        if matches!(what, What::Hello) {
            return self.hello_answered(&peer, &bytes);
        }
        let (kind, payload) = match frame(&bytes) {
            Ok(frame) => frame,
            Err(bad) => {
                match what {
                    What::Entries { origin } => self.fetch_failed(&origin),
                    What::Proof { question } => self.proof_came(question, None)?,
                    _ => {}
                }
                return Err(bad.into());
            }
        };
        match (what, kind) {
            (What::Prepare { member }, Kind::Prepared) => self.prepared_answered(member, payload),
            (What::Digest { member }, Kind::Acks) => self.acks_answered(member, payload),
            (What::Joint { .. }, _) => Ok(()),
            (What::Recover { member }, Kind::Recovered) => self.recovered_answered(member, payload),
            (What::Marks { member }, Kind::Marked) => self.marks_answered(member, payload),
            (What::Marks { member }, Kind::Refused) => self.marks_refused(member, payload),
            (What::Entries { origin }, Kind::Entries) => self.entries_came(&origin, payload),
            (What::Certificates, Kind::Chains) => self.certificates_answered(payload),
            (What::Forks, Kind::Forks) => self.forks_answered(payload),
            (What::Revocations, Kind::Revocations) => self.revocations_came(payload).map(drop),
            // One that does not know of them; it has none to tell.
            (What::Revocations, Kind::Refused) => Ok(()),
            (What::Proof { question }, Kind::ProofNodes) => self.proof_answered(question, payload),
            (
                What::Prepare { member } | What::Digest { member } | What::Recover { member },
                Kind::Refused,
            ) => self.refused(member, payload),
            (What::Entries { origin }, _) => {
                self.fetch_failed(&origin);
                Err(Bad("not an answer").into())
            }
            (What::Proof { question }, _) => {
                self.proof_came(question, None)?;
                Err(Bad("not an answer").into())
            }
            _ => Err(Bad("not an answer").into()),
        }
    }

    /// Gossip: judged by content alone.
    pub(super) fn gossiped(
        &mut self,
        topic: Topic,
        bytes: &[u8],
    ) -> Result<(Verdict, Option<Bad>), Stop> {
        let (kind, payload) = match frame(bytes) {
            Ok(frame) => frame,
            Err(bad) => return Ok((Verdict::Reject, Some(bad))),
        };
        match self.judge_gossip(topic, kind, payload) {
            Ok(verdict) => Ok((verdict, None)),
            Err(Stop::Bad(bad)) => Ok((verdict_of(bad), Some(bad))),
            Err(stop) => Err(stop),
        }
    }

    fn judge_gossip(&mut self, topic: Topic, kind: Kind, payload: &[u8]) -> Result<Verdict, Stop> {
        match (topic, kind) {
            (Topic::Digests, Kind::Digest) => self.digest_gossiped(payload),
            (Topic::Digests, Kind::Chains) => self.chains_gossiped(payload),
            (Topic::Digests, Kind::Revocations) => self.revocations_came(payload),
            (Topic::Acks, Kind::Heads) => {
                let heads = super::messages::body::<Heads>(payload)?;
                let (mut bad, mut verdict) = (None, Verdict::Ignore);
                for note in heads.notes.as_slice() {
                    // One that cannot be judged here does not hide the others.
                    match self.digest_gossiped(note.as_slice()) {
                        Ok(Verdict::Accept) => verdict = Verdict::Accept,
                        Ok(_) => {}
                        Err(Stop::Bad(why)) => bad = bad.or(Some(why)),
                        Err(stop) => return Err(stop),
                    }
                }
                bad.map_or(Ok(verdict), |bad| Err(bad.into()))
            }
            (Topic::Alarms, Kind::Fork) => self.fork_gossiped(payload),
            _ => Ok(Verdict::Ignore),
        }
    }
}

/// What is malformed for everybody is rejected. Anything else may be right for who knows more certificates than we do, and
/// who passes it on is not to blame (R7).
fn verdict_of(bad: Bad) -> Verdict {
    if bad.0.starts_with("malformed") {
        Verdict::Reject
    } else {
        Verdict::Ignore
    }
}
