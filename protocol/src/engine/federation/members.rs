//! Who is who: the manifest's members with the certificate chains known so far (R6).
//! May not trust a chain that does not lead through the certificate the manifest pins.

use crate::cert::{Certificate, certificate_hash, key_for_size, verify_chain};
use crate::manifest::{Federation, Quorum};
use crate::note::{SignedNote, VerifierKey};
use crate::wire::MemberId;
use std::collections::{BTreeMap, BTreeSet};

/// Index of a member in the manifest.
pub type MemberIx = usize;

/// The members of one epoch.
#[derive(Clone, Debug)]
pub struct Members {
    federation: Federation,
    known: Vec<Known>,
    /// See [`Members::generation`]: asked for with every message, as are the positions below.
    generation: usize,
    names: BTreeMap<String, MemberIx>,
    peers: BTreeMap<String, MemberIx>,
    ids: BTreeMap<MemberId, MemberIx>,
}

#[derive(Clone, Debug)]
struct Known {
    id: MemberId,
    notes: Vec<SignedNote>,
    chain: Vec<Certificate>,
    /// Serials that were revoked: nothing new is taken under them.
    revoked: BTreeSet<u64>,
}

impl Members {
    /// The members of `federation`; no chain is known yet.
    #[must_use]
    pub fn new(federation: Federation) -> Self {
        let members = &federation.manifest().members;
        let (mut names, mut peers, mut ids) =
            <(BTreeMap<_, _>, BTreeMap<_, _>, BTreeMap<_, _>)>::default();
        for (at, member) in members.iter().enumerate() {
            names.entry(member.name.clone()).or_insert(at);
            peers.entry(member.peer.clone()).or_insert(at);
            ids.entry(MemberId::of(&member.identity)).or_insert(at);
        }
        let known = members
            .iter()
            .map(|member| Known {
                id: MemberId::of(&member.identity),
                notes: Vec::new(),
                chain: Vec::new(),
                revoked: BTreeSet::new(),
            })
            .collect();
        Self {
            federation,
            known,
            generation: 0,
            names,
            peers,
            ids,
        }
    }

    /// The federation.
    #[must_use]
    pub fn federation(&self) -> &Federation {
        &self.federation
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// The member with this transport id.
    #[must_use]
    pub fn by_peer(&self, peer: &str) -> Option<MemberIx> {
        self.peers.get(peer).copied()
    }

    /// The member with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<MemberIx> {
        self.names.get(name).copied()
    }

    /// The member with this fingerprint.
    #[must_use]
    pub fn by_id(&self, id: MemberId) -> Option<MemberIx> {
        self.ids.get(&id).copied()
    }

    /// A member's fingerprint.
    #[must_use]
    pub fn id(&self, member: MemberIx) -> MemberId {
        self.known[member].id
    }

    /// A member's name.
    #[must_use]
    pub fn name(&self, member: MemberIx) -> &str {
        &self.federation.manifest().members[member].name
    }

    /// A member's transport id.
    #[must_use]
    pub fn peer(&self, member: MemberIx) -> &str {
        &self.federation.manifest().members[member].peer
    }

    /// A member's identity key.
    #[must_use]
    pub fn identity(&self, member: MemberIx) -> &VerifierKey {
        &self.federation.manifest().members[member].identity
    }

    /// Whether a member keeps a ledger that towers mirror.
    #[must_use]
    pub fn is_factory(&self, member: MemberIx) -> bool {
        self.federation.manifest().members[member].factory
    }

    /// Whether a member is a tower.
    #[must_use]
    pub fn is_tower(&self, member: MemberIx) -> bool {
        self.federation.manifest().members[member].tower
    }

    /// The towers that count for `origin`: never the origin's own member (R2).
    pub fn towers_of(&self, origin: MemberIx) -> impl Iterator<Item = MemberIx> + '_ {
        (0..self.known.len()).filter(move |member| *member != origin && self.is_tower(*member))
    }

    /// The quorum of `origin`'s towers.
    #[must_use]
    pub fn quorum_of(&self, origin: MemberIx) -> Option<Quorum> {
        self.federation.quorum_of(self.name(origin))
    }

    /// Takes a longer or first chain of a member. Returns whether anything is new.
    pub fn learn(&mut self, member: MemberIx, notes: &[SignedNote]) -> bool {
        if notes.len() <= self.known[member].notes.len() {
            return false;
        }
        let pinned = self.federation.manifest().members[member].certificate_head;
        let extends = self.known[member]
            .notes
            .iter()
            .zip(notes)
            .all(|(old, new)| old == new);
        let leads_through = notes.iter().any(|note| certificate_hash(note) == pinned);
        match verify_chain(self.identity(member), notes) {
            Ok(chain) if extends && leads_through => {
                self.known[member].notes = notes.to_vec();
                self.known[member].chain = chain;
                self.count_known();
                true
            }
            _ => false,
        }
    }

    /// From now on nothing new is taken under a serial of this member. What was taken stands.
    pub fn revoke(&mut self, member: MemberIx, serial: u64) {
        self.known[member].revoked.insert(serial);
        self.count_known();
    }

    /// Whether a serial of this member was revoked.
    #[must_use]
    pub fn is_revoked(&self, member: MemberIx, serial: u64) -> bool {
        self.known[member].revoked.contains(&serial)
    }

    /// The certificate notes known of a member.
    #[must_use]
    pub fn notes(&self, member: MemberIx) -> &[SignedNote] {
        &self.known[member].notes
    }

    /// The certificates known of a member, oldest first.
    #[must_use]
    pub fn chain(&self, member: MemberIx) -> &[Certificate] {
        &self.known[member].chain
    }

    /// The key that signs a member's envelopes under a serial. Only the two newest serials speak: an older one ended with
    /// its overlap (R6).
    #[must_use]
    pub fn envelope_key(&self, member: MemberIx, serial: u64) -> Option<&VerifierKey> {
        let chain = &self.known[member].chain;
        let certificate = chain
            .iter()
            .rev()
            .take(2)
            .find(|one| one.serial == serial && !self.is_revoked(member, serial))?;
        Some(&certificate.envelope)
    }

    /// As [`Members::envelope_key`], for messages that somebody shows: they may be older than that.
    #[must_use]
    pub fn evidence_key(&self, member: MemberIx, serial: u64) -> Option<&VerifierKey> {
        let mut chain = self.known[member].chain.iter();
        let certificate = chain.find(|one| one.serial == serial)?;
        Some(&certificate.envelope)
    }

    /// The certificates whose keys cosign: the two newest, because in the overlap both do, without revoked ones (R6).
    pub fn cosigners(&self, member: MemberIx) -> impl Iterator<Item = &Certificate> {
        let newest = self.known[member].chain.iter().rev().take(2);
        newest.filter(move |one| !self.is_revoked(member, one.serial))
    }

    /// How many certificates and revocations are known in all: grows with everything that is learned.
    #[must_use]
    pub fn generation(&self) -> usize {
        self.generation
    }

    fn count_known(&mut self) {
        let sizes = self.known.iter();
        let sizes = sizes.map(|known| known.chain.len() + known.revoked.len());
        self.generation = sizes.sum();
    }

    /// The key that signs a member's digest of `size` entries.
    #[must_use]
    pub fn log_key(&self, member: MemberIx, size: u64) -> Option<&VerifierKey> {
        key_for_size(&self.known[member].chain, size).map(|certificate| &certificate.log)
    }
}
