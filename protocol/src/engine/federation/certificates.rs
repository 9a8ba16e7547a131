//! Certificate chains (R6) of members that are away: asked of everybody on connect and on a timer, so that digests under
//! new keys verify also while their node is not there. Chains speak for themselves; who passes them on does not matter.

use super::io::{Free, Protocol};
use super::messages::{To, body, note_frame_of};
use super::{MemberIx, Stop, Turn, What};
use crate::engine::store::{StoreError, Table, Transaction};
use crate::note::SignedNote;
use crate::wire::codec::{self, Bytes, List, Text};
use crate::wire::v1::{ChainLength, ChainOf, Chains, Kind, KnownChains};

/// Pause between two questions to one member, in microseconds.
const AGAIN_US: u64 = 60_000_000;
/// Bytes of chains in one answer at most; the rest is asked for later.
const MAX_ANSWER_BYTES: usize = 512 << 10;

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
        let due: Vec<(String, MemberIx)> = self
            .v
            .peers
            .iter()
            .filter(|(_, peer)| peer.admitted)
            .filter(|(_, peer)| {
                peer.certificates_us
                    .is_none_or(|at| now >= at.saturating_add(AGAIN_US))
            })
            .filter_map(|(name, peer)| Some((name.clone(), peer.member?)))
            .collect();
        for (peer, member) in due {
            if let Some(known) = self.v.peers.get_mut(&peer) {
                known.certificates_us = Some(now);
            }
            let members = &self.settings.members;
            let lengths = (0..members.count()).filter_map(|one| {
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
                peer,
                id,
                protocol: Protocol::Sync,
                bytes,
            });
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
        let answer: Chains = body(payload)?;
        for chain in answer.chains.as_slice() {
            let Some(member) = self.settings.members.by_name(chain.name.as_str()) else {
                continue;
            };
            let mut notes = Vec::new();
            for note in chain.notes.as_slice() {
                notes.push(super::messages::note(note.as_slice())?);
            }
            self.learn_chain(member, &notes)?;
        }
        Ok(())
    }

    /// A longer chain is kept, so that digests under new keys verify also while their node is away.
    pub(super) fn learn_chain(
        &mut self,
        member: MemberIx,
        chain: &[SignedNote],
    ) -> Result<(), StoreError> {
        if !self.settings.members.learn(member, chain) {
            return Ok(());
        }
        let notes = chain.iter().map(|note| Bytes::new(note.to_string()));
        let Some(notes) = notes.collect::<Option<_>>().and_then(List::new) else {
            return Ok(());
        };
        let name = self.settings.members.name(member).to_owned();
        let Some(text) = Text::new(name.clone()) else {
            return Ok(());
        };
        let row = ChainOf { name: text, notes };
        self.own
            .tx
            .put_row(Table::Certificates, name.as_bytes(), &codec::encode(&row))
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
