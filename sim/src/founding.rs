//! The federation of a simulation: names, keys and a manifest that all members signed, the same for the same topology.
//! The keys are made from the names, so they are nobody's: never use them outside a simulation.

use crate::clock::START_SECONDS;
use crate::plan::Seat;
use belfry_protocol::cert::{Certificate, Reason, Revocation, Scope, certificate_hash};
use belfry_protocol::engine::keys::{LogKeys, OwnKeys, Serial};
use belfry_protocol::manifest::{
    Federation, Limits, Manifest, Member, SignedManifest, signing_text, smallest_amendment,
};
use belfry_protocol::note::{NoteError, SignedNote, SigningKey};
use belfry_protocol::tlog::hash::{sha256, sha256_parts};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Why a topology cannot be founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// The manifest breaks a rule, e.g. its quorum is unsafe.
    #[error("no such federation can be founded: {0}")]
    Manifest(String),
    /// A key or note could not be made.
    #[error("the simulation's keys could not be made: {0}")]
    Keys(String),
    /// A simulated disk could not be mounted.
    #[error("the simulation's disks could not be made: {0}")]
    Disk(String),
}

impl From<NoteError> for FoundingError {
    fn from(error: NoteError) -> Self {
        Self::Keys(error.to_string())
    }
}

/// The seed of one of a node's keys.
pub(crate) fn seed(name: &str, what: &str) -> [u8; 32] {
    sha256_parts(&[b"belfry/sim/key\0", name.as_bytes(), b"/", what.as_bytes()]).0
}

/// A transport id in the alphabet of real ones, from the name.
pub(crate) fn peer_id(name: &str) -> String {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let first = sha256_parts(&[b"belfry/sim/peer\0", name.as_bytes()]);
    let second = sha256(first.as_bytes());
    let bytes = first.0.into_iter().chain(second.0).take(44);
    let letters = bytes.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    format!("12D3KooW{}", letters.collect::<String>())
}

/// The secret keys of one serial.
pub(crate) struct Keys {
    pub(crate) log: SigningKey,
    pub(crate) envelope: SigningKey,
    pub(crate) ack: SigningKey,
    pub(crate) mirror: SigningKey,
}

fn keys(name: &str, serial: u64) -> Result<Keys, NoteError> {
    let seed = |what: &str| seed(name, &format!("{what}/{serial}"));
    Ok(Keys {
        log: SigningKey::ed25519(name, seed("log"))?,
        envelope: SigningKey::ed25519(name, seed("envelope"))?,
        ack: SigningKey::cosigner(name, seed("ack"))?,
        mirror: SigningKey::cosigner(&format!("{name}/mirror"), seed("mirror"))?,
    })
}

fn identity(name: &str) -> Result<SigningKey, NoteError> {
    SigningKey::ed25519(name, seed(name, "identity"))
}

/// Certificates of serials 1, 2, … one for each first size of a log key.
fn certificates(name: &str, from_sizes: &[u64]) -> Result<Vec<SignedNote>, FoundingError> {
    let identity = identity(name)?;
    let mut notes: Vec<SignedNote> = Vec::new();
    for (serial, from_size) in (1..).zip(from_sizes) {
        let keys = keys(name, serial)?;
        let certificate = Certificate {
            scope: Scope::Unfounded,
            node: name.to_owned(),
            serial,
            previous: notes.last().map(certificate_hash),
            not_before_seconds: START_SECONDS - 86_400,
            not_after_seconds: START_SECONDS + 89 * 86_400,
            log: keys.log.verifier().clone(),
            log_from_size: *from_size,
            ack: keys.ack.verifier().clone(),
            mirror: keys.mirror.verifier().clone(),
            envelope: keys.envelope.verifier().clone(),
        };
        let note = certificate.sign(&identity);
        notes.push(note.map_err(|error| FoundingError::Keys(error.to_string()))?);
    }
    Ok(notes)
}

/// Nodes whose keys are remembered: liars ask for theirs with every message.
const MAX_KEYS: usize = 128;

thread_local! {
    static KEYS: RefCell<BTreeMap<(String, Vec<u64>), OwnKeys>> = const { RefCell::new(BTreeMap::new()) };
}

/// A node's own keys of serials 1, 2, … whose log keys sign from these sizes on.
///
/// # Errors
/// [`FoundingError::Keys`].
pub fn own_keys(name: &str, from_sizes: &[u64]) -> Result<OwnKeys, FoundingError> {
    let known = KEYS.with_borrow(|keys| keys.get(&(name.to_owned(), from_sizes.to_vec())).cloned());
    if let Some(known) = known {
        return Ok(known);
    }
    let made = make_keys(name, from_sizes)?;
    KEYS.with_borrow_mut(|keys| {
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        keys.insert((name.to_owned(), from_sizes.to_vec()), made.clone());
    });
    Ok(made)
}

fn make_keys(name: &str, from_sizes: &[u64]) -> Result<OwnKeys, FoundingError> {
    let serial = |number: u64| -> Result<Serial, NoteError> {
        let keys = keys(name, number)?;
        Ok(Serial {
            number,
            not_before_seconds: START_SECONDS - 86_400,
            not_after_seconds: START_SECONDS + 89 * 86_400,
            envelope: keys.envelope,
            ack: keys.ack,
            mirror: keys.mirror,
            // The simulator asks for no subtrees.
            subtree: None,
        })
    };
    let mut log = Vec::new();
    for (number, from) in (1..).zip(from_sizes) {
        log.push((*from, keys(name, number)?.log));
    }
    let newest = from_sizes.len() as u64;
    let before = (newest > 1).then(|| serial(newest - 1)).transpose()?;
    Ok(OwnKeys {
        certificates: certificates(name, from_sizes)?,
        log: LogKeys::new(log)
            .ok_or_else(|| FoundingError::Keys("log keys out of order".to_owned()))?
            .both_until(START_SECONDS + 13 * 86_400),
        newest: serial(newest)?,
        before,
    })
}

/// The same without what the node revoked: it signs nothing with that any more.
///
/// # Errors
/// [`FoundingError::Keys`].
pub(crate) fn kept_keys(
    name: &str,
    from_sizes: &[u64],
    revoked: &BTreeSet<u64>,
) -> Result<OwnKeys, FoundingError> {
    let mut keys = own_keys(name, from_sizes)?;
    if (keys.before.as_ref()).is_some_and(|one| revoked.contains(&one.number)) {
        keys.before = None;
        keys.log = keys.log.both_until(0);
    }
    Ok(keys)
}

/// All keys of one serial of a node, for whoever stole them.
pub(crate) fn stolen_keys(name: &str, serial: u64) -> Result<Keys, NoteError> {
    keys(name, serial)
}

/// The note by which a node's operator withdraws one of its serials.
pub(crate) fn revocation(
    name: &str,
    from_sizes: &[u64],
    serial: u64,
) -> Result<SignedNote, FoundingError> {
    let refuse = |error: &dyn std::fmt::Display| FoundingError::Keys(error.to_string());
    let at = usize::try_from(serial.saturating_sub(1)).map_err(|error| refuse(&error))?;
    let notes = certificates(name, from_sizes)?;
    let withdrawn = notes.get(at).ok_or_else(|| refuse(&"no such serial"))?;
    let said = Revocation {
        node: name.to_owned(),
        serial,
        certificate: certificate_hash(withdrawn),
        reason: Reason::Compromised,
        time_seconds: START_SECONDS,
    };
    let note = said.sign(&identity(name)?);
    note.map_err(|error| refuse(&error))
}

/// A founded federation with the transport ids of its members.
#[derive(Clone)]
pub struct Founded {
    /// The federation.
    pub federation: Federation,
    by_peer: BTreeMap<String, usize>,
    by_name: BTreeMap<String, usize>,
}

impl Founded {
    /// Founds a federation of these nodes.
    ///
    /// # Errors
    /// [`FoundingError`], e.g. for a quorum that would not be safe.
    pub fn new(seats: &[Seat], quorum: u32) -> Result<Self, FoundingError> {
        let mut members = Vec::new();
        for seat in seats {
            let name = seat.name.clone();
            members.push(Member {
                factory: seat.factory,
                tower: seat.tower,
                identity: identity(&name)?.verifier().clone(),
                peer: peer_id(&name),
                addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
                http: None,
                certificate_head: certificate_hash(&certificates(&name, &[0])?[0]),
                name,
            });
        }
        let refuse = |error: &dyn std::fmt::Display| FoundingError::Manifest(error.to_string());
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let manifest = Manifest {
            federation: "Simulated".to_owned(),
            epoch: 0,
            previous: None,
            lineage: [7; 16],
            created_seconds: START_SECONDS,
            expires_seconds: START_SECONDS + 365 * 86_400,
            resign_from_seconds: START_SECONDS + 335 * 86_400,
            protocol: ((1, 0), (1, 0)),
            members,
            tower_quorum: quorum,
            amendment_threshold: smallest_amendment(count)
                .ok_or_else(|| refuse(&"too few members"))?,
            limits: Limits::default(),
            mirroring: true,
            effective_seconds: None,
            recovery_keys: Vec::new(),
        };
        let text = signing_text(&manifest, None);
        let lines: Result<Vec<_>, NoteError> = manifest
            .members
            .iter()
            .map(|member| identity(&member.name)?.sign_note(&text))
            .collect();
        let signed = SignedManifest::assemble(manifest, None, lines?);
        let founded = signed
            .and_then(|signed| signed.verify_founding())
            .map_err(|error| refuse(&error))?;
        let federation = Federation::from(founded);
        let peers = federation.manifest().members.iter().enumerate();
        let by_peer = peers
            .map(|(at, member)| (member.peer.clone(), at))
            .collect();
        let names = federation.manifest().members.iter().enumerate();
        let by_name = names
            .map(|(at, member)| (member.name.clone(), at))
            .collect();
        Ok(Self {
            federation,
            by_peer,
            by_name,
        })
    }

    /// Members in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.federation.manifest().members.len()
    }

    /// A member.
    #[must_use]
    pub fn member(&self, at: usize) -> &Member {
        &self.federation.manifest().members[at]
    }

    /// The member with this transport id.
    #[must_use]
    pub fn by_peer(&self, peer: &str) -> Option<usize> {
        self.by_peer.get(peer).copied()
    }

    /// The member with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Topology;

    #[test]
    fn a_topology_is_founded_by_the_rules_of_the_product() {
        let founded = |factories, both, towers, quorum| {
            let topology = Topology {
                factories,
                both,
                towers,
                quorum,
                named: Vec::new(),
                regions: Vec::new(),
                latency_us: Vec::new(),
            };
            Founded::new(&topology.seats(), quorum)
        };
        let roles = |factories, both, towers| {
            let founded = founded(factories, both, towers, 3).unwrap();
            let members = (0..founded.count()).map(|at| founded.member(at));
            members
                .map(|one| (one.factory, one.tower))
                .collect::<Vec<_>>()
        };
        assert_eq!(roles(1, 0, 4)[..2], [(true, false), (false, true)]);
        assert_eq!(roles(2, 2, 3)[1..3], [(true, true), (false, true)]);
        let unsafe_quorum = founded(1, 0, 4, 2).err().unwrap().to_string();
        assert!(unsafe_quorum.contains("quorum"), "{unsafe_quorum}");
    }
}
