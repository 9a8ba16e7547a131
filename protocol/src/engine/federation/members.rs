//! Who is who: the members of the newest epoch, and of those before it that some ledger still needs (R14), with the certificate
//! chains known so far (R6). May not trust a chain that does not lead through the certificate the manifest pins.

use super::councils::{Council, Judge};
use crate::cert::{Certificate, certificate_hash, key_for_size, verify_chain};
use crate::manifest::{Federation, Member, Quorum};
use crate::note::{SignedNote, VerifierKey};
use crate::tlog::hash::Hash;
use crate::wire::MemberId;
use std::collections::{BTreeMap, BTreeSet};

/// Number of a member. At a start that is its place in the oldest manifest that is known; who joins later comes after, and whoever
/// leaves keeps it.
pub type MemberIx = usize;

/// The members.
#[derive(Clone, Debug)]
pub struct Members {
    /// The newest epoch.
    federation: Federation,
    /// By member, as the newest manifest that names it says.
    lines: Vec<Member>,
    known: Vec<Known>,
    /// The epochs that are known, oldest first; never empty.
    councils: Vec<Council>,
    /// By member: the epoch from which its ledger is judged, as far as is known here.
    settled: Vec<u64>,
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

impl Known {
    fn new(id: MemberId) -> Self {
        Self {
            id,
            notes: Vec::new(),
            chain: Vec::new(),
            revoked: BTreeSet::new(),
        }
    }
}

impl Members {
    /// The members of `federation`; no chain is known yet.
    #[must_use]
    pub fn new(federation: Federation) -> Self {
        let mut members = Self {
            lines: Vec::new(),
            known: Vec::new(),
            councils: Vec::new(),
            settled: Vec::new(),
            generation: 0,
            names: BTreeMap::new(),
            peers: BTreeMap::new(),
            ids: BTreeMap::new(),
            federation,
        };
        members.convene();
        members
    }

    /// The members of several epochs of one federation, oldest first, each following the one before; `None` without one.
    #[must_use]
    pub fn through(epochs: impl IntoIterator<Item = Federation>) -> Option<Self> {
        let mut epochs = epochs.into_iter();
        let mut members = Self::new(epochs.next()?);
        epochs.all(|next| members.amend(next)).then_some(members)
    }

    /// The next epoch, which was verified along the chain. Says whether it is that.
    pub fn amend(&mut self, next: Federation) -> bool {
        let follows = next.id() == self.federation.id()
            && Some(next.manifest().epoch) == self.epoch().checked_add(1);
        if follows {
            self.federation = next;
            self.convene();
        }
        follows
    }

    /// Takes the newest epoch into account.
    fn convene(&mut self) {
        let manifest = self.federation.manifest();
        let mut council = Council::new(
            manifest.epoch,
            self.federation.hash(),
            manifest.tower_quorum,
        );
        for line in &manifest.members {
            let id = MemberId::of(&line.identity);
            let at = match self.names.get(&line.name) {
                Some(at) if self.known[*at].id == id => *at,
                // Another identity key is another member, whose word is not that of the one before.
                _ => {
                    self.lines.push(line.clone());
                    self.known.push(Known::new(id));
                    self.settled.push(0);
                    self.names.insert(line.name.clone(), self.lines.len() - 1);
                    self.lines.len() - 1
                }
            };
            self.lines[at] = line.clone();
            council.set(at, line.factory, line.tower);
        }
        self.councils.push(council);
        self.peers.clear();
        self.ids.clear();
        // Newest first: who left loses a transport id that somebody else has now.
        let current = |at: &MemberIx| self.is_current(*at);
        let (now, before): (Vec<_>, Vec<_>) = (0..self.lines.len()).partition(current);
        for at in now.into_iter().chain(before) {
            let peer = self.lines[at].peer.clone();
            self.peers.entry(peer).or_insert(at);
            self.ids.entry(self.known[at].id).or_insert(at);
        }
        self.count_known();
    }

    /// The federation.
    #[must_use]
    pub fn federation(&self) -> &Federation {
        &self.federation
    }

    /// The newest epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.federation.manifest().epoch
    }

    /// How many there are, with those who left: every number below this one is somebody's.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// How many are members in the newest epoch.
    #[must_use]
    pub fn current(&self) -> usize {
        self.newest().count()
    }

    /// Whether this is a member in the newest epoch.
    #[must_use]
    pub fn is_current(&self, member: MemberIx) -> bool {
        self.newest().has(member)
    }

    fn newest(&self) -> &Council {
        &self.councils[self.councils.len() - 1]
    }

    /// Whether this is no member any more, and no ledger that `me` has to do with needs it.
    #[must_use]
    pub fn has_departed(&self, me: MemberIx, member: MemberIx) -> bool {
        if self.is_current(member) {
            return false;
        }
        let concerns = |origin: &MemberIx| {
            *origin == me || self.judges_of(*origin).any(|judge| judge.counts(me))
        };
        let mut ledgers = (0..self.count()).filter(concerns);
        !ledgers.any(|origin| {
            let needs = |judge: Judge<'_>| origin == member || judge.counts(member);
            self.newest().is_factory(origin) && self.judges_of(origin).any(needs)
        })
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
        &self.lines[member].name
    }

    /// A member's transport id.
    #[must_use]
    pub fn peer(&self, member: MemberIx) -> &str {
        &self.lines[member].peer
    }

    /// A member's identity key.
    #[must_use]
    pub fn identity(&self, member: MemberIx) -> &VerifierKey {
        &self.lines[member].identity
    }

    /// A member as the newest manifest that names it lists it.
    #[must_use]
    pub fn line(&self, member: MemberIx) -> &Member {
        &self.lines[member]
    }

    /// Whether a member keeps a ledger that towers mirror.
    #[must_use]
    pub fn is_factory(&self, member: MemberIx) -> bool {
        self.newest().is_factory(member)
    }

    /// Whether a member is a tower, or was one that some ledger still needs.
    #[must_use]
    pub fn is_tower(&self, member: MemberIx) -> bool {
        self.newest().is_tower(member)
            || (self.councils.len() > 1
                && (0..self.count()).any(|origin| {
                    let mut judges = self.judges_of(origin);
                    judges.any(|judge| judge.counts(member))
                }))
    }

    /// Whose word counts for the ledger of `origin`, epoch by epoch, oldest first: usually one epoch, and during an activation
    /// two or more. Nobody's if it is no factory's.
    pub fn judges_of(&self, origin: MemberIx) -> impl DoubleEndedIterator<Item = Judge<'_>> {
        let from = self.settled[origin];
        // Of a ledger that left and came back the earlier epochs say nothing.
        let gap = |one: &Council| one.judge(origin).is_none();
        let begin = self.councils.iter().rposition(gap).map_or(0, |at| at + 1);
        let councils = self.councils[begin..].iter();
        councils
            .filter(move |one| one.epoch >= from)
            .filter_map(move |one| one.judge(origin))
    }

    /// Whether there is a judge of that ledger, and every one of them says yes.
    pub(super) fn every_judge(&self, origin: MemberIx, says: impl Fn(Judge<'_>) -> bool) -> bool {
        let mut judges = self.judges_of(origin).peekable();
        judges.peek().is_some() && judges.all(says)
    }

    /// The epochs that are known and list a member, oldest first.
    pub(super) fn epochs_of(&self, member: MemberIx) -> impl Iterator<Item = u64> + '_ {
        let councils = self.councils.iter();
        let councils = councils.filter(move |one| one.has(member));
        councils.map(|one| one.epoch)
    }

    /// Whether this is a tower in any of the epochs that are known.
    pub(super) fn was_tower(&self, member: MemberIx) -> bool {
        self.councils.iter().any(|one| one.is_tower(member))
    }

    /// Forgets which ledgers came into which epoch: the store says it again.
    pub(super) fn unsettle(&mut self) {
        self.settled.fill(0);
        self.count_known();
    }

    /// From this epoch on the ledger of `origin` is judged: a joint digest shows it.
    pub(super) fn settle(&mut self, origin: MemberIx, epoch: u64) {
        self.settled[origin] = self.settled[origin].max(epoch);
        self.count_known();
    }

    /// Hash of an epoch's manifest, if it is one of those that are known.
    pub(super) fn manifest_of(&self, epoch: u64) -> Option<Hash> {
        let mut councils = self.councils.iter();
        councils
            .find(|one| one.epoch == epoch)
            .map(|one| one.manifest)
    }

    /// The towers that count for `origin` in any of the epochs that judge it: never the origin's own member (R2).
    pub fn towers_of(&self, origin: MemberIx) -> impl Iterator<Item = MemberIx> + '_ {
        let judges: Vec<Judge<'_>> = self.judges_of(origin).collect();
        (0..self.known.len()).filter(move |one| judges.iter().any(|judge| judge.counts(*one)))
    }

    /// The quorum of `origin`'s towers in the newest epoch.
    #[must_use]
    pub fn quorum_of(&self, origin: MemberIx) -> Option<Quorum> {
        let newest = self.newest().judge(origin);
        newest.map(|judge| judge.quorum())
    }

    /// Takes a longer or first chain of a member. Returns whether anything is new.
    pub fn learn(&mut self, member: MemberIx, notes: &[SignedNote]) -> bool {
        if notes.len() <= self.known[member].notes.len() {
            return false;
        }
        let pinned = self.lines[member].certificate_head;
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

    /// Grows with everything that is learned: certificates, revocations, epochs, and ledgers that came into them.
    #[must_use]
    pub fn generation(&self) -> usize {
        self.generation
    }

    fn count_known(&mut self) {
        let sizes = self.known.iter();
        let sizes = sizes.map(|known| known.chain.len() + known.revoked.len());
        // An epoch may replace a chain by a shorter one.
        let epochs = self.settled.iter().copied().chain([self.epoch()]);
        let epochs = epochs
            .fold(0_u64, u64::saturating_add)
            .saturating_mul(1 << 32);
        let epochs = usize::try_from(epochs).unwrap_or(usize::MAX);
        self.generation = sizes.sum::<usize>().saturating_add(epochs);
    }

    /// The key that signs a member's digest of `size` entries.
    #[must_use]
    pub fn log_key(&self, member: MemberIx, size: u64) -> Option<&VerifierKey> {
        key_for_size(&self.known[member].chain, size).map(|certificate| &certificate.log)
    }
}
