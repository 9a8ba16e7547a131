//! `founding.json`: what a node knows of a founding beside its votes. It is there from `belfry genesis draft` or `belfry join`
//! until the federation is active. `guests.json`: the same of a member, about those who want to join. May not hold anything that binds: votes are in the store.

use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::store::Layout;
use belfry_protocol::genesis::Ticket;
use belfry_protocol::manifest::{Manifest, Member};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

const VERSION: u32 = 1;
/// Most bytes of the file: cards and tickets of the largest federation many times over.
const MAX_BYTES: u64 = 4 << 20;
/// Most tickets that are remembered, used ones too.
pub const MAX_TICKETS: usize = 512;

/// A ticket that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Digest of its secret, hexadecimal: the secret itself is not kept.
    pub id: String,
    /// What its holder may become: a factory.
    pub factory: bool,
    /// Or a tower.
    pub tower: bool,
    /// First second since 1970 in which it admits nobody any more.
    pub expires_seconds: u64,
    /// Who came with it.
    pub used_by: Option<String>,
    /// An operator took it back.
    pub revoked: bool,
}

/// One founding, as this node takes part in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    version: u32,
    /// It is a member's.
    #[serde(skip)]
    pub of_member: bool,
    /// What the federation is to be called.
    pub federation: String,
    lineage: String,
    /// Multiaddrs at which others reach this node; empty if it only dials out.
    pub addresses: Vec<String>,
    /// Where it serves HTTP.
    pub http: Option<String>,
    /// The ticket with which this node came; `None` where the draft began.
    pub ticket: Option<String>,
    /// This node's own signed card, so that its identity key may be taken away again.
    pub card: Option<String>,
    /// Tickets that this node gave.
    pub given: Vec<Given>,
    /// Signed cards of those who came.
    pub cards: Vec<String>,
}

impl Draft {
    /// A new draft.
    #[must_use]
    pub fn new(federation: &str, lineage: [u8; 16], addresses: Vec<String>) -> Self {
        Self {
            version: VERSION,
            of_member: false,
            federation: federation.to_owned(),
            lineage: belfry_protocol::hex::encode(&lineage),
            addresses,
            http: None,
            ticket: None,
            card: None,
            given: Vec::new(),
            cards: Vec::new(),
        }
    }

    /// The lineage.
    ///
    /// # Errors
    /// When the file was changed.
    pub fn lineage(&self) -> Result<[u8; 16], Failure> {
        belfry_protocol::hex::decode(&self.lineage)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| damaged("its lineage is not 32 hexadecimal digits"))
    }

    /// The ticket with which this node came.
    ///
    /// # Errors
    /// When the file was changed.
    pub fn ticket(&self) -> Result<Option<Ticket>, Failure> {
        let ticket = self.ticket.as_deref().map(Ticket::parse);
        ticket
            .transpose()
            .map_err(|error| damaged(&error.to_string()))
    }

    /// That of a member, which may be new.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_member(
        layout: &Layout,
        disk: &dyn Disk,
        manifest: &Manifest,
        me: &Member,
    ) -> Result<Self, Failure> {
        let fresh = || Self::new(&manifest.federation, manifest.lineage, Vec::new());
        let mut draft = Self::read(&layout.guests(), disk)?.unwrap_or_else(fresh);
        if draft.lineage()? != manifest.lineage {
            return Err(damaged("it is about another federation"));
        }
        draft.of_member = true;
        draft.addresses.clone_from(&me.addresses);
        draft.http.clone_from(&me.http);
        Ok(draft)
    }

    /// The draft of a directory, if it has one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(layout: &Layout, disk: &dyn Disk) -> Result<Option<Self>, Failure> {
        Self::read(&layout.founding(), disk)
    }

    fn read(path: &Path, disk: &dyn Disk) -> Result<Option<Self>, Failure> {
        match disk.len(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(length) if length > MAX_BYTES => return Err(damaged("it is larger than any draft")),
            Ok(_) => {}
        }
        let draft: Self = serde_json::from_slice(&disk.read(path)?)
            .map_err(|error| damaged(&error.to_string()))?;
        if draft.version != VERSION {
            return Err(damaged("it is of a newer version; use the newer Belfry"));
        }
        draft.lineage()?;
        Ok(Some(draft))
    }

    /// Writes it: whole, durable, or not at all.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn save(&self, layout: &Layout, disk: &dyn Disk) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
        let path = match self.of_member {
            true => layout.guests(),
            false => layout.founding(),
        };
        let temporary = path.with_extension("json.new");
        disk.write(&temporary, (text + "\n").as_bytes())?;
        disk.sync_files(std::slice::from_ref(&temporary))?;
        disk.rename(&temporary, &path)?;
        disk.sync_dirs(&BTreeSet::from([layout.dir().to_path_buf()]))?;
        Ok(())
    }

    /// Removes it: the federation is active.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(layout: &Layout, disk: &dyn Disk) -> Result<(), Failure> {
        if disk.exists(&layout.founding()) {
            disk.remove(&layout.founding())?;
            disk.sync_dirs(&BTreeSet::from([layout.dir().to_path_buf()]))?;
        }
        Ok(())
    }
}

fn damaged(problem: &str) -> Failure {
    Failure::new(
        Code::ConfigInvalid,
        format!("founding.json or guests.json cannot be used: {problem}"),
    )
    .hint("put back what was there, or move it away and join again with a new ticket; votes are not in it")
}
