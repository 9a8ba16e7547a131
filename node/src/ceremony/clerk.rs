//! What operators ask of a founding, as inputs for its votes: propose, sign, refuse, take back, invite. May not vote by itself.

use super::amendment::AmendPlan;
use super::draft::{Draft, Given};
use super::{guests, recovery_keys};
use crate::exit::{Code, Failure};
use belfry_protocol::genesis::ceremony::status::ManifestStatus;
use belfry_protocol::genesis::ceremony::{Document, Status};
use belfry_protocol::genesis::{
    Election, MAX_TICKET_ADDRESSES, Pinned, Saying, Statement, Ticket, secret_hash,
};
use belfry_protocol::hex;
use belfry_protocol::manifest::{
    DEFAULT_RESIGN_LEAD_SECONDS, DEFAULT_VALIDITY_SECONDS, Limits, Manifest, Member, Quorum,
    smallest_amendment,
};
use belfry_protocol::tlog::hash::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wish {
    /// How things stand.
    Status,
    /// The file of a manifest, and how its vote stands.
    Show {
        /// First digits of its hash; the only one, or the newest, if missing.
        manifest: Option<String>,
    },
    /// Draft an amendment of the epoch that is active, and put it to the vote.
    Amend {
        /// What is to change.
        plan: Box<AmendPlan>,
        /// Show it, and do nothing.
        dry_run: bool,
    },
    /// Put a manifest to the vote: of everybody who came, or again one that is known.
    Propose {
        /// One line for lists.
        title: String,
        /// Tower quorum k; the smallest that is safe if missing.
        quorum: Option<u32>,
        /// Amendment threshold t; the smallest that is safe if missing.
        threshold: Option<u32>,
        /// Who came and is left out.
        without: Vec<String>,
        /// First digits of the hash of a manifest that is proposed again, in the next round.
        again: Option<String>,
        /// Verifier keys that may recover the federation.
        #[serde(default)]
        recovery_keys: Vec<String>,
        /// Show it, and do nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// A human reviewed a manifest and wants it.
    Sign {
        /// Its whole hash, as it was reviewed.
        manifest: String,
        /// What the human typed.
        confirm: String,
        /// In which round, if not in the one that is shown.
        #[serde(default)]
        round: Option<u64>,
    },
    /// Tell everybody of a manifest that recovery keys signed.
    Recover {
        /// Its file.
        recovery: String,
    },
    /// A human gives way to a manifest that recovery keys signed.
    Yield {
        /// Its whole hash, as it was reviewed.
        manifest: String,
        /// What the human typed.
        confirm: String,
    },
    /// A human does not want it.
    Reject {
        /// First digits of its hash.
        manifest: String,
        /// Why.
        reason: String,
    },
    /// The proposer takes it back.
    Withdraw {
        /// First digits of its hash.
        manifest: String,
    },
    /// A ticket for one more.
    Invite {
        /// It may be a factory.
        factory: bool,
        /// It may be a tower.
        tower: bool,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The tickets that were given.
    Tickets,
    /// Take a ticket back.
    Revoke {
        /// First digits of its id.
        id: String,
    },
    /// Compare with everybody now, and tell whoever has not voted.
    Remind,
    /// What waits for an identity key that is not here.
    Export,
    /// A vote that was signed elsewhere: its file.
    Import {
        /// The file.
        vote: String,
    },
    /// This node's votes, for another directory of the same node.
    ExportRecord,
    /// The same, taken.
    ImportRecord {
        /// The file.
        record: String,
    },
}

/// A wish, and where the answer goes.
pub struct Ask {
    /// What.
    pub wish: Wish,
    /// Where to.
    pub answer: oneshot::Sender<Result<Value, Failure>>,
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Code::Usage, text)
}

/// The manifest that is meant by the first digits of its hash, or by nothing where there is only one.
pub(super) fn meant(documents: &[Document], digits: Option<&str>) -> Result<Manifest, Failure> {
    let mut known: Vec<&Manifest> = Vec::new();
    for document in documents {
        let manifest = match document {
            Document::Proposal(proposal) => proposal.manifest(),
            Document::Certificate(certificate) => &certificate.manifest,
            Document::Link(link) => link.manifest(),
            Document::Vote(_) | Document::Evidence(_) => continue,
        };
        if !known.contains(&manifest) {
            known.push(manifest);
        }
    }
    if known.is_empty() {
        return Err(Failure::new(Code::Failed, "nothing is proposed yet")
            .hint("once all have come, somebody runs `belfry genesis propose`"));
    }
    let fits: Vec<&Manifest> = match digits {
        None => known,
        Some(digits) if digits.len() < 6 => {
            return Err(usage("give at least 6 digits of the manifest's hash"));
        }
        Some(digits) => {
            let begins = |manifest: &&Manifest| manifest.hash().to_hex().starts_with(digits);
            known.into_iter().filter(begins).collect()
        }
    };
    match fits[..] {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(
            Code::Failed,
            "no proposal of a manifest that begins so is known here",
        )
        .hint("`belfry genesis status` lists those that are known; `belfry genesis remind` asks the others")),
        _ => {
            let all: Vec<String> = fits.iter().map(|one| one.hash().to_hex()).collect();
            Err(usage(format!(
                "several manifests are meant by that; name one: {}",
                all.join(", ")
            )))
        }
    }
}

/// The round in which a manifest is voted on now.
pub(super) fn round_of(status: &Status, manifest: &Hash) -> u64 {
    let one = of(status, manifest);
    one.map_or(1, |one| one.round.max(1))
}

/// How the vote on a manifest stands.
pub(super) fn of<'s>(status: &'s Status, manifest: &Hash) -> Option<&'s ManifestStatus> {
    let mut all = status.manifests.iter();
    all.find(|one| one.manifest == *manifest)
}

/// The newest round in which this node proposed a manifest.
pub(super) fn proposed_in(documents: &[Document], manifest: &Manifest, me: &Member) -> Option<u64> {
    let own = documents.iter().filter_map(|document| match document {
        Document::Proposal(one) if one.proposer() == me.name && one.manifest() == manifest => {
            Some(one.statement().subject.round)
        }
        _ => None,
    });
    own.max()
}

/// What a proposal is to say.
pub(super) struct Proposed {
    pub(super) manifest: Manifest,
    pub(super) statement: Statement,
}

/// The wishes of [`Wish::Propose`].
pub(super) struct Plan<'a> {
    pub(super) title: &'a str,
    pub(super) quorum: Option<u32>,
    pub(super) threshold: Option<u32>,
    pub(super) without: &'a [String],
    pub(super) again: Option<&'a str>,
    pub(super) recovery_keys: &'a [String],
}

/// Makes the manifest of everybody who came, or takes a known one, and the statement that proposes it in the next free round.
pub(super) fn propose(
    (draft, election): (&Draft, &Election<'_>),
    me: &Member,
    (status, documents): (&Status, &[Document]),
    plan: &Plan<'_>,
    now_seconds: u64,
) -> Result<Proposed, Failure> {
    let lineage = draft.lineage()?;
    let manifest = match plan.again {
        Some(digits) => meant(documents, Some(digits))?,
        None if draft.of_member => {
            return Err(usage("this federation is founded")
                .hint("change it with `belfry genesis amend`; `genesis propose --again HASH` proposes a known manifest again"));
        }
        None => make((draft, documents), me, plan, lineage, now_seconds)?,
    };
    put(
        election,
        status,
        manifest,
        plan.title,
        now_seconds,
        plan.again.is_some(),
    )
}

/// The statement that proposes a manifest in the next free round.
pub(super) fn put(
    election: &Election<'_>,
    status: &Status,
    manifest: Manifest,
    title: &str,
    now_seconds: u64,
    again: bool,
) -> Result<Proposed, Failure> {
    manifest
        .check()
        .map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
    // Rounds in which nobody voted yet are as good as new.
    let known = of(status, &manifest.hash()).filter(|_| again);
    let round = match (known, status.suggested) {
        (Some(known), _) => known.next,
        (None, Some((_, round))) if status.manifests.iter().any(|one| !one.approved.is_empty()) => {
            round
        }
        _ => 1,
    };
    let statement = Statement {
        subject: election.subject(manifest.hash(), round),
        saying: Saying::Propose {
            opened_seconds: now_seconds,
            title: title.to_owned(),
        },
    };
    statement
        .check()
        .map_err(|error| usage(error.to_string()))?;
    Ok(Proposed {
        manifest,
        statement,
    })
}

/// Everybody but this node who may be listed: those who came here with tickets; where nobody did, those of the newest proposal, so
/// that a founding goes on without the node where it began.
fn candidates(draft: &Draft, me: &Member, documents: &[Document]) -> Vec<Member> {
    let cards = guests::cards(draft);
    if !cards.is_empty() {
        return cards.into_iter().map(|card| card.member).collect();
    }
    let proposals = documents.iter().filter_map(|document| match document {
        Document::Proposal(proposal) => Some(proposal),
        _ => None,
    });
    let newest = proposals.max_by_key(|proposal| proposal.opened().0);
    let members = newest.map(|proposal| proposal.manifest().members.clone());
    let mut members = members.unwrap_or_default();
    members.retain(|member| member.name != me.name);
    members
}

fn make(
    (draft, documents): (&Draft, &[Document]),
    me: &Member,
    plan: &Plan<'_>,
    lineage: [u8; 16],
    now_seconds: u64,
) -> Result<Manifest, Failure> {
    let mut members = candidates(draft, me, documents);
    let known = |name: &String| members.iter().any(|member| member.name == *name);
    if let Some(stranger) = plan.without.iter().find(|name| !known(name)) {
        return Err(usage(format!("nobody called {stranger:?} is in the draft")));
    }
    members.retain(|member| !plan.without.contains(&member.name));
    members.push(me.clone());
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    // Towers that count for a factory are those of others: the factory with the fewest decides what fits all.
    let towers = |origin: &str| {
        let others = members.iter().filter(|one| one.tower && one.name != origin);
        u32::try_from(others.count()).unwrap_or(u32::MAX)
    };
    let factories = members.iter().filter(|member| member.factory);
    let fewest = factories.map(|member| towers(&member.name)).min();
    let fewest = fewest.unwrap_or_else(|| towers(""));
    let quorum = plan
        .quorum
        .or_else(|| Quorum::smallest(fewest).map(|quorum| quorum.needed))
        .ok_or_else(|| {
            Failure::new(
                Code::Usage,
                "nobody here is a tower for somebody else's ledger",
            )
            .hint("invite at least one with `belfry invite --role tower`")
        })?;
    Ok(Manifest {
        federation: draft.federation.clone(),
        epoch: 0,
        previous: None,
        lineage,
        created_seconds: now_seconds,
        expires_seconds: now_seconds + DEFAULT_VALIDITY_SECONDS,
        resign_from_seconds: now_seconds + DEFAULT_VALIDITY_SECONDS - DEFAULT_RESIGN_LEAD_SECONDS,
        protocol: ((1, 0), (1, 0)),
        tower_quorum: quorum,
        amendment_threshold: plan
            .threshold
            .or_else(|| smallest_amendment(count))
            .unwrap_or(count),
        members,
        limits: Limits::default(),
        mirroring: true,
        effective_seconds: None,
        recovery_keys: recovery_keys::with(&[], plan.recovery_keys)?,
    })
}

/// A statement about a known manifest in a round.
pub(super) fn about(
    election: &Election<'_>,
    round: u64,
    manifest: &Manifest,
    saying: Saying,
) -> Result<Statement, Failure> {
    let statement = Statement {
        subject: election.subject(manifest.hash(), round),
        saying,
    };
    statement
        .check()
        .map_err(|error| usage(error.to_string()))?;
    Ok(statement)
}

/// Longest time a ticket may be good for, in seconds: a year.
const MAX_TICKET_SECONDS: u64 = 366 * 86_400;

/// A new ticket. `secret` is random.
pub(super) fn invite(
    (draft, pinned): (&mut Draft, Option<Pinned>),
    me: &Member,
    (factory, tower): (bool, bool),
    seconds: u64,
    (secret, now_seconds): ([u8; 16], u64),
) -> Result<(Ticket, String), Failure> {
    if !factory && !tower {
        return Err(usage("a ticket is for a factory, a tower, or both"));
    }
    if seconds == 0 || seconds > MAX_TICKET_SECONDS {
        return Err(usage("a ticket is good for a second to a year"));
    }
    if me.addresses.is_empty() {
        return Err(Failure::new(
            Code::ConfigInvalid,
            "nobody could come: this node has no address at which others reach it",
        )
        .hint("invite at a node that can be dialled; a draft names its address with `belfry genesis draft --address`"));
    }
    let ticket = Ticket {
        federation: draft.federation.clone(),
        pinned,
        lineage: draft.lineage()?,
        proposer: me.identity.clone(),
        peer: me.peer.clone(),
        addresses: me
            .addresses
            .iter()
            .take(MAX_TICKET_ADDRESSES)
            .cloned()
            .collect(),
        factory,
        tower,
        expires_seconds: now_seconds.saturating_add(seconds),
        secret,
    };
    let id = hex::encode(&secret_hash(&secret));
    let given = Given {
        id: id.clone(),
        factory,
        tower,
        expires_seconds: ticket.expires_seconds,
        used_by: None,
        revoked: false,
    };
    guests::give(draft, given)?;
    Ok((ticket, id))
}
