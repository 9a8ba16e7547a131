//! One step in progress: what begins it, what each input leads to, and what is due after all of them. The rules
//! themselves are in the files that it calls; no rule may be written here.

use super::checks::Checks;
use super::epochs::ACTIVE_KIND;
use super::members::MemberIx;
use super::{Asked, Bad, Free, Input, Protocol, Stop, Turn, What, refusals};
use crate::engine::ledger::{self, Head};
use crate::engine::store::{Record, StoreError, Transaction};

/// Answers are not awaited for longer, in microseconds: the transport gives up long before.
const ASKED_US: u64 = 120_000_000;

/// After a step that did not commit nothing is asked for so long, in microseconds. What was asked is forgotten with the
/// step; asked again at once, every answer would lead to a step that fails, and to more questions.
const QUIET_US: u64 = 1_000_000;

impl<T: Transaction> Turn<'_, '_, T> {
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.look_at_clocks();
        if std::mem::take(&mut self.v.failed) {
            self.v.quiet_until_us = self.now_us().saturating_add(QUIET_US);
        }
        self.forks_are_kept();
        if self.v.steps == 0 || std::mem::take(&mut self.v.reload) {
            let acked = self.own.tx.record(Record::Acked)?;
            self.v.acked = acked
                .and_then(|bytes| bytes.try_into().ok().map(u64::from_be_bytes))
                .unwrap_or(0);
            self.load_chains()?;
            self.load_forks()?;
            self.load_epochs()?;
            self.load_revocations()?;
            self.join()?;
            self.stay_silent()?;
            self.begin_restore()?;
            self.v.forks.ranges_are_due();
        }
        self.v.steps += 1;
        self.hear_again()?;
        // First: the key range of a new certificate begins right after its entry.
        self.note_certificates()?;
        self.note_revocations()?;
        self.note_activations()?;
        if self.may_append() {
            self.own.close_ended_days(self.ledger)?;
        }
        self.note_forks()
    }

    /// The first start of this ledger in a federation: nothing above the newest digest may go to files from now on.
    fn join(&mut self) -> Result<(), StoreError> {
        let head = &self.own.head;
        if !self.v.factory.is_watched() || self.own.tx.record(Record::SignedHead)?.is_some() {
            return Ok(());
        }
        let base = if head.signed == Some(head.size()) {
            head.clone()
        } else {
            Head::default()
        };
        if base.size() < head.flushed {
            self.v
                .factory
                .stop("entries that no digest covers are in files already; found a new ledger");
            return Ok(());
        }
        self.own.tx.put_record(Record::SignedHead, &base.encode())
    }

    pub(super) fn take(&mut self, input: Input) -> Result<(), StoreError> {
        let input = match input {
            Input::Ledger(input) => return self.take_own(input),
            other => other,
        };
        self.own.write_entries()?;
        let mark = self.own.mark()?;
        let out = self.out.mark();
        let answer_to = match &input {
            Input::Request { id, .. } => Some(*id),
            _ => None,
        };
        let sender = refusals::sender(self.v, &input);
        match self.take_message(input) {
            Ok(()) => self.own.tx.keep_savepoint(),
            Err(Stop::Bad(Bad(why))) => {
                self.own.undo(mark)?;
                self.out.roll_back(out);
                self.given_up(sender, why);
                if let Some(id) = answer_to {
                    self.out.free(Free::NoAnswer { id });
                }
                Ok(())
            }
            Err(Stop::Store(error)) => Err(error),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let head = &self.own.head;
        let signed = head.signed.unwrap_or(0);
        self.v.factory.is_watched() && self.v.factory.backlog.is_full(head.size(), signed)
    }

    /// Whether the own ledger may grow (R3: while recovering, appends are refused).
    pub(super) fn may_append(&self) -> bool {
        self.v.factory.may_append()
    }

    fn take_own(&mut self, input: ledger::Input) -> Result<(), StoreError> {
        use ledger::{Input as Own, Refusal};
        let request = match &input {
            Own::Append { request, .. }
            | Own::Erase { request, .. }
            | Own::System { request, .. }
            | Own::Retire { request, .. } => Some(*request),
            Own::OwnFork(_) | Own::Flushed { .. } | Own::Tick => None,
        };
        if let Own::OwnFork(proof) = &input {
            // A member judges it with its certificates, and tells everybody; what does not hold changes nothing.
            let _ = self.own_fork(proof);
            return Ok(());
        }
        let refusal = match &input {
            // A ledger that cannot go on can still say who goes on in its place.
            Own::Retire { .. } => None,
            _ if !self.may_append() => Some(Refusal::NotReady {
                phase: self.v.factory.phase_name(),
            }),
            Own::Append { .. } if self.is_full() => Some(Refusal::Backlog),
            _ => None,
        };
        if let (Some(request), Some(refusal)) = (request, refusal) {
            self.own
                .out
                .free(ledger::Free::Refused { request, refusal });
            return Ok(());
        }
        let bytes = match &input {
            Own::Append { batch, .. } => batch.bundle_len() as u64,
            _ => 0,
        };
        let silent = !self.may_append();
        let before = self.own.head.size();
        if let Own::Retire { successor, .. } = &input
            && silent
        {
            let why = format!("retired; its successor is {successor}");
            self.v.factory.stop(&why);
        }
        let activation = match &input {
            Own::System { kind, body, .. } if *kind == ACTIVE_KIND => Some(body.clone()),
            _ => None,
        };
        self.own.take_alone(self.ledger, input, silent)?;
        if self.own.head.size() > before {
            let size = self.own.head.size();
            if self.v.factory.is_watched() {
                self.v.factory.backlog.appended(size, bytes);
            }
            // It is the last: whatever housekeeping appended stands before it.
            if let Some(body) = activation {
                self.own_activation(size - 1, &body);
            }
        }
        Ok(())
    }

    fn take_message(&mut self, input: Input) -> Result<(), Stop> {
        match input {
            Input::Ledger(_) | Input::Tick => Ok(()),
            Input::PeerUp { peer, dialed } => {
                self.peer_up(peer, dialed);
                Ok(())
            }
            Input::PeerDown { peer } => {
                self.peer_down(&peer);
                Ok(())
            }
            Input::Request {
                peer,
                id,
                protocol,
                bytes,
                checks,
            } => {
                self.checks = checks;
                match protocol {
                    Protocol::Hello => self.hello_asked(&peer, id, &bytes),
                    Protocol::Sync => self.asked(&peer, id, &bytes),
                }
            }
            Input::Response { id, bytes, checks } => {
                self.checks = checks;
                self.answered(id, bytes)
            }
            Input::Gossip {
                peer,
                id,
                topic,
                bytes,
                checks,
            } => {
                self.checks = checks;
                let (verdict, bad) = self.gossiped(topic, &bytes)?;
                if let Some(Bad(why)) = bad {
                    self.given_up(Some((peer.clone(), true)), why);
                }
                self.out.free(Free::Verdict { id, peer, verdict });
                Ok(())
            }
            Input::AddCheckpoint {
                id,
                request,
                checks,
            } => {
                self.checks = checks;
                Ok(self.add_checkpoint(id, &request)?)
            }
            Input::SignSubtree {
                id,
                request,
                checks,
            } => {
                self.checks = checks;
                Ok(self.sign_subtree(id, &request)?)
            }
            Input::AddEntries { id, upload } => {
                self.checks = Checks::default();
                Ok(self.add_entries(id, &upload)?)
            }
            Input::MirrorFlushed { origin, through } => Ok(self.mirror_flushed(&origin, through)?),
            Input::WindowKept { hash } => self.window_kept(hash),
            Input::ClockSample { peer, stamps } => {
                self.clock_sample(&peer, &stamps);
                Ok(())
            }
            Input::Compared { question, nodes } => self.compared(question, nodes.as_deref()),
            Input::OwnFork(proof) => Ok(self.own_fork(&proof)?),
            Input::Revoke(note) => Ok(self.take_revocation(&note, true).map(drop)?),
            Input::ConfirmClock => {
                self.clock_confirmed();
                Ok(())
            }
        }
    }

    /// What is due after all inputs: retries, cuts, prepares, queries.
    pub(super) fn due(&mut self) -> Result<(), StoreError> {
        self.own.write_entries()?;
        let old = self.now_us().saturating_sub(ASKED_US);
        self.v.asked.retain(|_, asked| asked.at_us >= old);
        self.compare_ranges()?;
        self.settle_claims()?;
        self.keep_forks()?;
        self.keep_revocations()?;
        self.keep_epochs()?;
        self.say_hello();
        self.prune_nonces()?;
        self.close_window()?;
        if self.is_quiet() {
            return Ok(());
        }
        self.repeat_hello();
        self.pursue_questions()?;
        self.ask_for_certificates();
        self.ask_for_forks();
        self.catch_up()?;
        self.ask_for_marks()?;
        self.tell_heads()?;
        self.recover()?;
        self.replicate()?;
        self.tell_joint();
        self.part();
        self.fetch_more()
    }

    /// Whether a step did not commit a moment ago.
    pub(super) fn is_quiet(&self) -> bool {
        self.now_us() < self.v.quiet_until_us
    }

    pub(super) fn now_us(&self) -> u64 {
        self.own.now.mono_us
    }

    /// The open, admitted connection of a member.
    pub(super) fn connection(&self, member: MemberIx) -> Option<&str> {
        self.v.connection(&self.settings.members, member)
    }

    pub(super) fn member_of(&self, peer: &str) -> Result<MemberIx, Bad> {
        self.v
            .peers
            .get(peer)
            .filter(|known| known.admitted)
            .and_then(|known| known.member)
            .ok_or(Bad("not admitted"))
    }

    pub(super) fn remember(&mut self, peer: String, what: What) -> u64 {
        self.v.next_request += 1;
        let id = self.v.next_request;
        let at_us = self.now_us();
        self.v.asked.insert(id, Asked { peer, what, at_us });
        id
    }
}
