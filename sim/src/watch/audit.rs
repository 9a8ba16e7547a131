//! S12: what an auditor is told of an entry is right, or an error: the proof leads to a digest that the log signed, and
//! where the node says that a quorum acknowledged it, the policy agrees. Uses the verifier that auditors use.

use super::{is_honest, is_sound};
use crate::world::World;
use belfry_protocol::engine::store::{Place, Record};
use belfry_protocol::manifest::policy;
use belfry_protocol::note::SignedNote;
use belfry_protocol::policy::Policy;
use belfry_protocol::proof_file::TlogProof;
use belfry_protocol::tlog::hash::Hash;

/// What a node tells an auditor who asks for a ledger.
struct Told {
    place: Place,
    size: u64,
    note: String,
    /// It says that a quorum acknowledged this.
    acked: bool,
}

/// Somebody asks one node for one entry of one ledger.
pub(super) fn ask(world: &mut World) {
    let at = world.watch.auditor.index(world.nodes.len());
    let origin = world.watch.auditor.index(world.nodes.len());
    if !is_sound(world, at) || !is_honest(world, origin) || !world.nodes[at].is_up() {
        return;
    }
    let Some(told) = told(world, at, origin).filter(|told| told.size > 0) else {
        return;
    };
    let index = world.watch.auditor.below(told.size);
    let name = &world.founded.member(origin).name;
    let Some(proof) = world.nodes[at].proof(told.place, name, told.size, index) else {
        let what = format!(
            "it has no proof of entry {index} under its digest of size {}",
            told.size
        );
        return world.watch.fail("S12", Some(at), what);
    };
    world.watch.reached("an auditor was shown a proof");
    if let Err(what) = judge(world, at, origin, &told, index, proof) {
        let what = format!(
            "its proof of entry {index} under size {} is wrong: {what}",
            told.size
        );
        world.watch.fail("S12", Some(at), what);
    }
}

fn told(world: &mut World, at: usize, origin: usize) -> Option<Told> {
    if at == origin {
        let size = world.nodes[at].record(Record::Acked)?;
        let size = u64::from_be_bytes(size.try_into().ok()?);
        let note = world.nodes[at].digest(size)?;
        return Some(Told {
            place: Place::OWN,
            size,
            note,
            acked: true,
        });
    }
    let name = &world.founded.member(origin).name;
    let mirror = world.nodes[at].mirror(name)?;
    let (size, note) = mirror.exportable()?;
    Some(Told {
        place: mirror.place,
        size,
        note: note.to_owned(),
        acked: false,
    })
}

fn judge(
    world: &World,
    at: usize,
    origin: usize,
    told: &Told,
    index: u64,
    (leaf, path): (Hash, Vec<Hash>),
) -> Result<(), String> {
    let note = SignedNote::parse(told.note.as_bytes()).map_err(|error| error.to_string())?;
    let proof = TlogProof::new(index, path, note, None).map_err(|error| error.to_string())?;
    let policy = policy_of(world, at, origin, told.acked)?;
    let proved = proof.verify(&leaf, &policy);
    proved.map(|_| ()).map_err(|error| error.to_string())
}

/// The auditor's policy from the certificates that the node knows: with the towers' quorum only where it says that it has
/// one, and where no tower had so many serials that the keys of its older acks are in no policy any more (R6).
fn policy_of(world: &World, at: usize, origin: usize, acked: bool) -> Result<Policy, String> {
    let engine = world.nodes[at].engine().ok_or("it does not run")?;
    let members = engine.members();
    if acked && (0..world.nodes.len()).all(|member| members.chain(member).len() <= 2) {
        let name = &world.founded.member(origin).name;
        let chain_of = |name: &str| Some(members.chain(world.founded.by_name(name)?).to_vec());
        return policy(&world.founded.federation, name, chain_of)
            .map_err(|error| error.to_string());
    }
    let mut policy = Policy::new();
    for certificate in members.chain(origin).iter().rev() {
        let added = policy.add_log(certificate.log.clone(), None);
        added.map_err(|error| error.to_string())?;
    }
    let none = policy.set_quorum("none");
    none.map_err(|error| error.to_string())?;
    Ok(policy)
}
