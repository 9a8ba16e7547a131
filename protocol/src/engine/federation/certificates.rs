//! Certificate chains (R6) of members that are away: asked of everybody on connect and on a timer, so that digests under
//! new keys verify also while their node is not there. Chains speak for themselves; who passes them on does not matter.

use super::io::{Free, Promise, PromiseBytes, Protocol, Topic, Verdict};
use super::messages::{To, body, note_frame_of};
use super::{MemberIx, Stop, Turn, What};
use crate::engine::store::{StoreError, Table, Transaction};
use crate::entry::json::Json;
use crate::manifest::MAX_MEMBERS;
use crate::note::SignedNote;
use crate::wire::codec::{self, Bytes, List, Text};
use crate::wire::v1::{ChainLength, ChainOf, Chains, Kind, KnownChains};

/// Bytes of chains in one answer at most; the rest is asked for later.
const MAX_ANSWER_BYTES: usize = 512 << 10;
/// Longest chain that is gossiped: gossip carries 64 KiB.
const MAX_GOSSIP_BYTES: usize = 56 << 10;

/// A chain as it is sent and stored; `None` if it is longer than any.
fn chain_of(name: &str, chain: &[SignedNote]) -> Option<ChainOf> {
    let notes = chain.iter().map(|note| Bytes::new(note.to_string()));
    Some(ChainOf {
        name: Text::new(name.to_owned())?,
        notes: List::new(notes.collect::<Option<_>>()?)?,
    })
}

/// The certificate notes in a row of [`Table::Certificates`], unverified.
///
/// # Errors
/// When the row is damaged.
pub fn stored_chain(name: &str, row: &[u8]) -> Result<Vec<SignedNote>, StoreError> {
    let damaged = || StoreError::Damaged(format!("the certificates of {name}"));
    let row: ChainOf = codec::decode(row).map_err(|_| damaged())?;
    row.notes
        .as_slice()
        .iter()
        .map(|note| SignedNote::parse(note.as_slice()).map_err(|_| damaged()))
        .collect()
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Asks every member for longer chains than those known here.
    pub(super) fn ask_for_certificates(&mut self) {
        let now = self.now_us();
        let pause = self.settings.ask_us;
        for (peer, member) in self.v.due(now, pause, |peer| &mut peer.certificates_us) {
            let members = &self.settings.members;
            let me = self.settings.me;
            let here = (0..members.count()).filter(|one| !members.has_departed(me, *one));
            let lengths = here.take(MAX_MEMBERS).filter_map(|one| {
                Some(ChainLength {
                    name: Text::new(members.name(one).to_owned())?,
                    known: u32::try_from(members.chain(one).len()).ok()?,
                })
            });
            let question = KnownChains {
                lengths: List::new(lengths.collect()).unwrap_or_default(),
            };
            let to = To::Member(member);
            let bytes = self
                .settings
                .free(self.own.now, Kind::KnownChains, &to, &question, &[]);
            let id = self.remember(peer.clone(), What::Certificates);
            self.out.free(Free::Request {
                peer: peer.clone(),
                id,
                protocol: Protocol::Sync,
                bytes,
            });
            self.ask_for_revocations(&peer, member);
        }
    }

    /// A member asks for chains that are longer here.
    pub(super) fn certificates_asked(
        &mut self,
        from: MemberIx,
        id: u64,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let me = To::Member(self.settings.me);
        let opened =
            self.settings
                .open(&self.checks, payload, Kind::KnownChains, &me, Some(from))?;
        let question: KnownChains = body(&opened.body)?;
        let members = &self.settings.members;
        let (mut chains, mut bytes) = (Vec::new(), 0);
        for length in question.lengths.as_slice() {
            let Some(member) = members.by_name(length.name.as_str()) else {
                continue;
            };
            let notes = members.notes(member);
            if notes.len() <= length.known as usize {
                continue;
            }
            let texts: Vec<String> = notes.iter().map(ToString::to_string).collect();
            bytes += texts.iter().map(String::len).sum::<usize>();
            if bytes > MAX_ANSWER_BYTES && !chains.is_empty() {
                break;
            }
            let notes = texts.into_iter().map(Bytes::new).collect::<Option<_>>();
            if let Some(notes) = notes.and_then(List::new) {
                chains.push(ChainOf {
                    name: length.name.clone(),
                    notes,
                });
            }
        }
        let answer = Chains {
            chains: List::new(chains).unwrap_or_default(),
        };
        let bytes = note_frame_of(Kind::Chains, &codec::encode(&answer));
        self.out.free(Free::Reply { id, bytes });
        Ok(())
    }

    /// Chains came.
    pub(super) fn certificates_answered(&mut self, payload: &[u8]) -> Result<(), Stop> {
        self.chains_told(payload).map(drop)
    }

    /// A member's new chain by gossip.
    pub(super) fn chains_gossiped(&mut self, payload: &[u8]) -> Result<Verdict, Stop> {
        Ok(match self.chains_told(payload)? {
            true => Verdict::Accept,
            false => Verdict::Ignore,
        })
    }

    /// Takes the chains of a message; says whether one was news.
    fn chains_told(&mut self, payload: &[u8]) -> Result<bool, Stop> {
        let answer: Chains = body(payload)?;
        let mut news = false;
        for chain in answer.chains.as_slice() {
            let Some(member) = self.settings.members.by_name(chain.name.as_str()) else {
                continue;
            };
            let mut notes = Vec::new();
            for note in chain.notes.as_slice() {
                notes.push(super::messages::note(note.as_slice())?);
            }
            news |= self.learn_chain(member, &notes)?;
        }
        Ok(news)
    }

    /// A longer chain is kept, so that digests under new keys verify also while their node is away. Says whether it is news.
    pub(super) fn learn_chain(
        &mut self,
        member: MemberIx,
        chain: &[SignedNote],
    ) -> Result<bool, StoreError> {
        if !self.settings.members.learn(member, chain) {
            return Ok(false);
        }
        let name = self.settings.members.name(member).to_owned();
        let Some(row) = chain_of(&name, chain) else {
            return Ok(true);
        };
        let row = codec::encode(&row);
        self.v.forks.ranges_are_due();
        self.own
            .tx
            .put_row(Table::Certificates, name.as_bytes(), &row)?;
        Ok(true)
    }

    /// Tells everybody this node's own chain, which just grew.
    pub(super) fn tell_chain(&mut self) {
        let name = self.settings.members.name(self.settings.me);
        let chain = chain_of(name, &self.settings.keys.certificates);
        let chains = List::new(chain.into_iter().collect()).unwrap_or_default();
        let body = codec::encode(&Chains { chains });
        // A longer one is asked for.
        if body.len() <= MAX_GOSSIP_BYTES {
            self.out.promise(Promise::Publish {
                topic: Topic::Digests,
                bytes: PromiseBytes(note_frame_of(Kind::Chains, &body).into_inner()),
            });
        }
    }

    /// The entries of this node's certificates after the first (R6), once the ledger takes entries: each is told once. The
    /// first is older than the engine, and told by who made it.
    pub(super) fn note_certificates(&mut self) -> Result<(), StoreError> {
        if !self.v.certificates_owed || !self.may_append() || self.own.is_retired() {
            return Ok(());
        }
        let notes = self.settings.keys.certificates.iter().skip(1);
        for note in notes.map(ToString::to_string) {
            if !self.own.tells_of_key(&note)? {
                let body = Json::object([("note", Json::text(note))]);
                self.own.append_own(self.ledger, "key.cert", body)?;
            }
        }
        self.v.certificates_owed = false;
        Ok(())
    }

    /// Whether this node's newest certificate ended: then it signs no digest and no ack before it has keys of a new serial.
    pub(super) fn keys_ended(&self) -> bool {
        let now_seconds = self.own.now.wall_seconds();
        self.ledger.log_keys().has_ended(now_seconds)
    }

    /// At the first step after a start: what was learned before.
    pub(super) fn load_chains(&mut self) -> Result<(), StoreError> {
        for member in 0..self.settings.members.count() {
            let name = self.settings.members.name(member).to_owned();
            let Some(row) = self.own.tx.row(Table::Certificates, name.as_bytes())? else {
                continue;
            };
            let notes = stored_chain(&name, &row)?;
            self.settings.members.learn(member, &notes);
        }
        Ok(())
    }
}
