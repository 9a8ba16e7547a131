//! The fork proofs that this node keeps, as people and programs see them: read from the store, beside the engine or without
//! one. Judges nothing: what is kept was verified before.

use crate::exit::{Code, Failure};
use crate::store::Reader;
use belfry_protocol::engine::federation::forks::kept::accused_name;
use belfry_protocol::engine::federation::forks::{ForkRow, OddRow};
use belfry_protocol::engine::store::Table;
use belfry_protocol::fork::ForkProof;
use serde_json::{Value, json};

/// Shortest beginning of an id that is taken for it.
const SHORTEST_PREFIX: usize = 6;
/// Rows read at most; the engine keeps far fewer.
const MOST: usize = u16::MAX as usize;

/// One fork proof.
#[derive(Clone, Debug)]
pub(crate) struct KeptFork {
    /// SHA-256 of the file, in hex.
    pub(crate) id: String,
    /// `origin` or `tower`: as what somebody is accused.
    pub(crate) kind: &'static str,
    /// Whom it accuses.
    pub(crate) accused: String,
    /// The ledger.
    pub(crate) origin: String,
    /// Entries of the smaller digest.
    pub(crate) smaller_size: u64,
    /// Entries of the larger digest.
    pub(crate) larger_size: u64,
    /// When it came here, by this node's clock.
    pub(crate) seen: String,
    /// The file.
    pub(crate) file: String,
}

fn damaged() -> Failure {
    Failure::new(Code::Damaged, "ledger.db: a fork proof is damaged")
}

impl KeptFork {
    fn of(row: &[u8]) -> Result<Self, Failure> {
        let row = ForkRow::decode(row).ok_or_else(damaged)?;
        let seen = row.seen().map(|seen| seen.to_string()).unwrap_or_default();
        Self::new(&row.proof()?, seen, row.file)
    }

    fn new(proof: &ForkProof, seen: String, file: String) -> Result<Self, Failure> {
        let (smaller_size, larger_size) = proof.sizes().unwrap_or_default();
        Ok(Self {
            id: proof.digest().to_hex(),
            kind: proof.kind().as_str(),
            accused: accused_name(proof)
                .or_else(|_| proof.origin())
                .unwrap_or_default(),
            origin: proof.origin().unwrap_or_default(),
            smaller_size,
            larger_size,
            seen,
            file,
        })
    }

    /// What is listed: all but the file.
    #[must_use]
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "type": self.kind, "accused": self.accused, "origin": self.origin,
            "smaller_size": self.smaller_size, "larger_size": self.larger_size, "seen": self.seen,
        })
    }

    /// What it proves, in one sentence.
    #[must_use]
    pub(crate) fn sentence(&self) -> String {
        let sizes = if self.smaller_size == self.larger_size {
            format!("two roots for {} entries", self.larger_size)
        } else {
            format!(
                "{} entries that are no beginning of its {} entries",
                self.smaller_size, self.larger_size
            )
        };
        match self.kind {
            "tower" => format!("{} acknowledged {sizes} of {}", self.accused, self.origin),
            _ => format!("{} signed {sizes}", self.accused),
        }
    }
}

/// All of them, oldest first.
///
/// # Errors
/// When the store fails or a row is damaged.
pub(crate) fn list(reader: &Reader) -> Result<Vec<KeptFork>, Failure> {
    let rows = reader.rows(Table::Forks, &[], MOST)?;
    let mut forks = rows
        .iter()
        .map(|(_, row)| KeptFork::of(row))
        .collect::<Result<Vec<_>, _>>()?;
    // A node outside of a federation keeps the one against itself, and no other; when it came is not kept.
    if let Some(file) = reader.own_fork()? {
        let proof = ForkProof::parse(file.as_bytes()).map_err(|_| damaged())?;
        let own = KeptFork::new(&proof, String::new(), file)?;
        if forks.iter().all(|fork| fork.id != own.id) {
            forks.push(own);
        }
    }
    forks.sort_by(|one, other| (&one.seen, &one.id).cmp(&(&other.seen, &other.id)));
    Ok(forks)
}

/// The one whose id begins with `id`; any if there is only one and `id` is `None`.
///
/// # Errors
/// When there is none, or several are meant.
pub(crate) fn find(reader: &Reader, id: Option<&str>) -> Result<KeptFork, Failure> {
    let all = list(reader)?;
    if let Some(id) = id
        && id.len() < SHORTEST_PREFIX
    {
        return Err(Failure::new(
            Code::Usage,
            format!("{id:?} is too short for an id: at least {SHORTEST_PREFIX} characters"),
        ));
    }
    let count = all.len();
    let mut meant = all
        .into_iter()
        .filter(|fork| id.is_none_or(|id| fork.id.starts_with(id)));
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Failure::new(
            Code::Failed,
            match id {
                Some(id) => format!("there is no fork proof {id}"),
                None => "this node knows of no fork".to_owned(),
            },
        )
        .hint("`belfry forks list` shows them all")),
        _ => Err(Failure::new(
            Code::Usage,
            format!("say which of the {count} fork proofs you mean"),
        )
        .hint("`belfry forks list` shows their ids")),
    }
}

/// A digest that a member's log key signed and that no honest member signs: kept as it came, and no proof by itself.
#[derive(Clone, Debug)]
pub(crate) struct KeptOdd {
    /// SHA-256 of the note, in hex.
    pub(crate) id: String,
    /// The ledger.
    pub(crate) origin: String,
    /// Entries that it speaks of.
    pub(crate) size: u64,
    /// When it came here, by this node's clock.
    pub(crate) seen: String,
    /// The note, with the log's own signature.
    pub(crate) note: String,
}

impl KeptOdd {
    fn of(row: &[u8]) -> Result<Self, Failure> {
        let damaged = || Failure::new(Code::Damaged, "ledger.db: an odd digest is damaged");
        let row = OddRow::decode(row).ok_or_else(damaged)?;
        let (origin, size) = row.of().ok_or_else(damaged)?;
        Ok(Self {
            id: row.digest().to_hex(),
            origin,
            size,
            seen: row.seen().map(|seen| seen.to_string()).unwrap_or_default(),
            note: row.note,
        })
    }

    /// All of it: a note is short.
    #[must_use]
    pub(crate) fn to_json(&self) -> Value {
        json!({ "id": self.id, "origin": self.origin, "size": self.size, "seen": self.seen, "note": self.note })
    }

    /// What it is, in one sentence.
    #[must_use]
    pub(crate) fn sentence(&self) -> String {
        format!(
            "{} signed a digest of {} entries that no honest member signs",
            self.origin, self.size
        )
    }
}

/// All of those, oldest first.
///
/// # Errors
/// When the store fails or a row is damaged.
pub(crate) fn odd(reader: &Reader) -> Result<Vec<KeptOdd>, Failure> {
    let rows = reader.rows(Table::Odd, &[], MOST)?;
    let mut all = rows
        .iter()
        .map(|(_, row)| KeptOdd::of(row))
        .collect::<Result<Vec<_>, _>>()?;
    all.sort_by(|one, other| (&one.seen, &one.id).cmp(&(&other.seen, &other.id)));
    Ok(all)
}

/// The odd digest whose id begins with `id`, if exactly one does.
///
/// # Errors
/// When the store fails or a row is damaged.
pub(crate) fn find_odd(reader: &Reader, id: Option<&str>) -> Result<Option<KeptOdd>, Failure> {
    let Some(id) = id.filter(|id| id.len() >= SHORTEST_PREFIX) else {
        return Ok(None);
    };
    let mut meant = odd(reader)?
        .into_iter()
        .filter(|odd| odd.id.starts_with(id));
    Ok(match (meant.next(), meant.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    })
}
