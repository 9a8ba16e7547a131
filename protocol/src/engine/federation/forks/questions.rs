//! Questions: can two statements of one log both be true? Answered by nodes of the larger tree, from the entries held here or
//! from whoever holds it. An answer counts only if it recomputes the larger root exactly, so that a liar can withhold a
//! proof and never fake one (R5).

use super::super::io::{Free, Protocol};
use super::super::messages::{To, body, note_frame_of};
use super::super::mirror::Mirror;
use super::super::{Bad, MemberIx, Stop, Turn, What};
use super::Statement;
use super::claims::MAX_CLAIMS;
use crate::engine::store::{Place, StoreError, Transaction};
use crate::fork::smaller_root;
use crate::tlog::hash::Hash;
use crate::wire::codec::{self, List, Text};
use crate::wire::v1::{GetProof, Kind, ProofNodes};
use std::mem::discriminant;

/// Pause before two acks are compared that catching up will probably explain, in microseconds.
const ACKS_PAUSE_US: u64 = 2_000_000;
/// Pause after everybody was asked for the first time, in microseconds; it doubles with each round.
const ROUND_US: u64 = 1_000_000;
/// How often it doubles.
const DOUBLINGS: u32 = 3;
/// An answer is not awaited for longer, in microseconds.
const AWAITED_US: u64 = 10_000_000;
/// A question is given up after this time, in microseconds; what still matters then is asked anew.
const GIVEN_UP_US: u64 = 120_000_000;

/// Why a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The smaller statement is a claim.
    Claim,
    /// The smaller statement is what is held, the larger what was seen.
    Behind,
    /// A tower acked both.
    Acks {
        /// Whether the entries at the larger size are held here.
        held: bool,
    },
}

impl Why {
    /// Questions of this kind at once, of one ledger: more mean that somebody floods, and one ledger's flood is nothing to
    /// another.
    fn most(self) -> usize {
        match self {
            // There are no more claims.
            Self::Claim => MAX_ABOUT_CLAIMS,
            // A new one whenever a newer digest is seen.
            Self::Behind => MAX_ABOUT_BEHIND,
            Self::Acks { .. } => MAX_ABOUT_ACKS,
        }
    }
}

const MAX_ABOUT_CLAIMS: usize = 2 * MAX_CLAIMS;
const MAX_ABOUT_BEHIND: usize = 4;
const MAX_ABOUT_ACKS: usize = 16;
/// Questions of all kinds at once, of one ledger.
pub(in super::super) const MAX_QUESTIONS: usize =
    MAX_ABOUT_CLAIMS + MAX_ABOUT_BEHIND + MAX_ABOUT_ACKS;

/// Two statements that may contradict each other.
pub(super) struct Question {
    origin: MemberIx,
    why: Why,
    smaller: Statement,
    larger: Statement,
    since_us: u64,
    not_before_us: u64,
    /// Since when an answer is awaited.
    asked_us: Option<u64>,
    /// Whether the entries held here were looked at in this round.
    looked: bool,
    /// Counts those who were asked.
    turn: usize,
    /// Counts the rounds.
    rounds: u32,
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Asks whether the smaller statement is a prefix of the larger one.
    pub(super) fn ask_about(
        &mut self,
        origin: MemberIx,
        smaller: &Statement,
        larger: &Statement,
        why: Why,
    ) {
        if smaller.size >= larger.size {
            return;
        }
        let now = self.now_us();
        let forks = &mut self.v.forks;
        let of_ledger = forks.questions.values_mut();
        let mut alike: Vec<&mut Question> = of_ledger
            .filter(|one| one.origin == origin && discriminant(&one.why) == discriminant(&why))
            .collect();
        let count = alike.len();
        // One for each claim: on a busy ledger there is always a newer digest to compare it with.
        let asked = alike.iter_mut().find(|one| {
            one.smaller.is(smaller.size, &smaller.root)
                && (why == Why::Claim || one.larger.is(larger.size, &larger.root))
        });
        if let Some(asked) = asked {
            if larger.size < asked.larger.size {
                // Of what came meanwhile the entries are held.
                asked.larger = larger.clone();
                asked.looked = false;
                asked.asked_us = None;
            }
            return;
        }
        if count >= why.most() {
            return;
        }
        let pause_us = match why {
            Why::Acks { held: false } => ACKS_PAUSE_US,
            _ => 0,
        };
        forks.next_question += 1;
        let question = Question {
            origin,
            why,
            smaller: smaller.clone(),
            larger: larger.clone(),
            since_us: now,
            not_before_us: now.saturating_add(pause_us),
            asked_us: None,
            looked: false,
            turn: 0,
            rounds: 0,
        };
        forks.questions.insert(forks.next_question, question);
    }

    /// Goes on with every question.
    pub(in super::super) fn pursue_questions(&mut self) -> Result<(), StoreError> {
        let now = self.now_us();
        self.v
            .forks
            .questions
            .retain(|_, one| now < one.since_us.saturating_add(GIVEN_UP_US));
        let due: Vec<u64> = self
            .v
            .forks
            .questions
            .iter()
            .filter(|(_, one)| now >= one.not_before_us)
            .filter(|(_, one)| {
                one.asked_us
                    .is_none_or(|at| now >= at.saturating_add(AWAITED_US))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.pursue(id)?;
        }
        Ok(())
    }

    fn pursue(&mut self, id: u64) -> Result<(), StoreError> {
        let Some(question) = self.v.forks.questions.get(&id) else {
            return Ok(());
        };
        let origin = question.origin;
        let (smaller, larger) = (question.smaller.clone(), question.larger.clone());
        if self.is_good(origin, smaller.size, &smaller.root)
            && self.is_good(origin, larger.size, &larger.root)
        {
            self.v.forks.questions.remove(&id);
            return Ok(());
        }
        let now = self.now_us();
        let looked = question.looked;
        if !looked && let Some(place) = self.place_of(origin, larger.size)? {
            if let Some(question) = self.v.forks.questions.get_mut(&id) {
                question.asked_us = Some(now);
            }
            self.out.free(Free::Compare {
                question: id,
                place,
                origin: self.settings.members.name(origin).to_owned(),
                smaller: smaller.size,
                larger: larger.size,
            });
            return Ok(());
        }
        self.ask_next(id, origin, (smaller.size, larger.size));
        Ok(())
    }

    /// Where the entries of a ledger are, if at least `size` of them are held.
    pub(super) fn place_of(
        &self,
        origin: MemberIx,
        size: u64,
    ) -> Result<Option<Place>, StoreError> {
        if origin == self.settings.me {
            return Ok((self.own.head.size() >= size).then_some(Place::OWN));
        }
        let name = self.settings.members.name(origin);
        let mirror = Mirror::load(self.own.tx, name)?;
        Ok(mirror
            .filter(|mirror| mirror.base.end() >= size)
            .map(|mirror| mirror.place))
    }

    /// Asks the next member for the proof; any member may hold it, also one that stole the log's key.
    fn ask_next(&mut self, id: u64, origin: MemberIx, (smaller, larger): (u64, u64)) {
        let now = self.now_us();
        let me = self.settings.me;
        let sources: Vec<MemberIx> = (0..self.settings.members.count())
            .filter(|one| *one != me && self.connection(*one).is_some())
            .collect();
        let Some(question) = self.v.forks.questions.get_mut(&id) else {
            return;
        };
        question.asked_us = None;
        if sources.is_empty() || (question.turn > 0 && question.turn.is_multiple_of(sources.len()))
        {
            let pause_us = ROUND_US << question.rounds.min(DOUBLINGS);
            question.not_before_us = now.saturating_add(pause_us);
            question.rounds = question.rounds.saturating_add(1);
            // What could not be read here a moment ago may be there by then.
            question.looked = false;
        }
        let Some(source) = sources.get(question.turn % sources.len().max(1)).copied() else {
            return;
        };
        question.turn += 1;
        let name = self.settings.members.name(origin).to_owned();
        let (Some(peer), Some(name)) =
            (self.connection(source).map(str::to_owned), Text::new(name))
        else {
            return;
        };
        let get = GetProof {
            origin: name,
            smaller,
            larger,
        };
        let to = To::Member(source);
        let bytes = self
            .settings
            .free(self.own.now, Kind::GetProof, &to, &get, &[]);
        let request = self.remember(peer.clone(), What::Proof { question: id });
        if let Some(question) = self.v.forks.questions.get_mut(&id) {
            question.asked_us = Some(now);
        }
        self.out.free(Free::Request {
            peer,
            id: request,
            protocol: Protocol::Sync,
            bytes,
        });
    }

    /// A member asks for a proof: of our ledger, or of one we mirror. Who holds neither says so at once.
    pub(in super::super) fn proof_asked(
        &mut self,
        from: MemberIx,
        id: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened = self
            .settings
            .open(&self.checks, payload, Kind::GetProof, &me, Some(from))?;
        let get: GetProof = body(&opened.body)?;
        if get.smaller == 0 || get.smaller >= get.larger {
            return Err(Bad("malformed question for a proof").into());
        }
        let origin = self.settings.members.by_name(get.origin.as_str());
        let place = match origin {
            Some(origin) => self.place_of(origin, get.larger)?,
            None => None,
        };
        match place {
            Some(place) => self.out.free(Free::Prove { id, place, get }),
            None => {
                let bytes = note_frame_of(Kind::ProofNodes, &codec::encode(&nothing()));
                self.out.free(Free::Reply { id, bytes });
            }
        }
        Ok(())
    }

    /// The entries held here were looked at. If that got lost, they are looked at again.
    pub(in super::super) fn compared(
        &mut self,
        id: u64,
        nodes: Option<&[Hash]>,
    ) -> Result<(), Stop> {
        if let Some(question) = self.v.forks.questions.get_mut(&id) {
            question.looked = true;
        }
        self.proof_came(id, nodes)
    }

    /// Nodes came, from a member or from the entries held here; `None`: there are none.
    pub(in super::super) fn proof_came(
        &mut self,
        id: u64,
        nodes: Option<&[Hash]>,
    ) -> Result<(), Stop> {
        let Some(question) = self.v.forks.questions.get_mut(&id) else {
            return Ok(());
        };
        question.asked_us = None;
        let (smaller, larger) = (&question.smaller, &question.larger);
        let root =
            nodes.and_then(|nodes| smaller_root(smaller.size, larger.size, nodes, &larger.root));
        let (Some(root), Some(nodes)) = (root, nodes) else {
            // Of another tree, or not there: the next one is asked.
            return Ok(());
        };
        let Some(question) = self.v.forks.questions.remove(&id) else {
            return Ok(());
        };
        let Question {
            origin,
            why,
            smaller,
            larger,
            ..
        } = question;
        if why == Why::Behind {
            self.v.forks.answered(origin, larger.size, larger.root);
        }
        if root != smaller.root {
            self.contradiction(origin, &smaller, &larger, nodes);
            if !self.v.forks.is_forked(origin) {
                self.not_proven(origin, smaller.size, &smaller.root);
            }
            return Ok(());
        }
        let held = self.held_statement(origin)?;
        if held.is_some_and(|held| held.is(larger.size, &larger.root))
            || self.is_good(origin, larger.size, &larger.root)
        {
            self.good(origin, smaller.size, smaller.root);
        }
        // A prefix of what is compared itself before anything is acknowledged.
        Ok(self.drop_claim(origin, smaller.size, &smaller.root)?)
    }

    /// An answer to a question for a proof.
    pub(in super::super) fn proof_answered(
        &mut self,
        question: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let answer: Result<ProofNodes, Bad> = body(payload);
        let nodes = answer.as_ref().ok().map(|answer| answer.nodes.as_slice());
        let nodes = nodes.filter(|nodes| !nodes.is_empty());
        self.proof_came(question, nodes)?;
        answer.map(|_| ()).map_err(Into::into)
    }
}

/// The answer of who does not hold the tree.
fn nothing() -> ProofNodes {
    ProofNodes {
        nodes: List::default(),
    }
}
