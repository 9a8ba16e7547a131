//! Promises that hang on leaves: private payloads, erasures, idempotency rows, files of windows. Each must be where its leaf
//! says.

use super::Report;
use super::windows::Windows;
use crate::store::Reader;
use crate::store::payloads::PayloadReader;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::hex;
use std::collections::BTreeMap;

/// What leaves promised, compared with the tables.
pub(super) struct Promised<'a> {
    payloads: Option<&'a PayloadReader>,
    /// Erased payloads by table, with the index of their `erase` entry.
    erased: BTreeMap<[u8; 32], u64>,
    /// Erasures by leaf.
    erase_entries: BTreeMap<String, u64>,
    idem_rows: u64,
    idem_leaves: u64,
    /// Payloads that are neither there nor erased, as of this moment.
    missing: Vec<(u64, [u8; 32])>,
    windows: Windows,
}

impl<'a> Promised<'a> {
    pub(super) fn new(
        reader: &Reader,
        payloads: Option<&'a PayloadReader>,
        report: &mut Report,
    ) -> Self {
        let erased = match reader.erased() {
            Ok(rows) => rows.into_iter().collect(),
            Err(error) => {
                report.problem("ledger.db, erased", error.to_string());
                BTreeMap::new()
            }
        };
        let idem_rows = reader.idem_count().unwrap_or_else(|error| {
            report.problem("ledger.db, idem", error.to_string());
            0
        });
        Self {
            payloads,
            erased,
            erase_entries: BTreeMap::new(),
            idem_rows,
            idem_leaves: 0,
            missing: Vec::new(),
            windows: Windows::default(),
        }
    }

    /// Looks at one leaf.
    pub(super) fn leaf(&mut self, reader: &Reader, index: u64, leaf: &Leaf, report: &mut Report) {
        let place = || format!("entry {index}");
        self.windows.leaf(index, leaf, report);
        if let Some(tag) = &leaf.idem {
            match reader.idem(&tag.id) {
                Ok(Some((entry, content))) if entry == index => {
                    self.idem_leaves += 1;
                    if content != tag.content {
                        report.problem(place(), "its idempotency row has another content tag");
                    }
                }
                // A client's key is forgotten after seven days and may then be used again.
                Ok(_) if !tag.for_ever => {}
                Ok(_) => report.problem(
                    place(),
                    "its idempotency row is missing or names another entry",
                ),
                Err(error) => report.problem(place(), error.to_string()),
            }
        }
        match &leaf.content {
            Content::Commit { hmac, .. } => self.payload(index, hmac, report),
            Content::Body(body) if leaf.kind == "erase" && leaf.scrub.is_none() => {
                if let Some(hmac) = body.get("hmac").and_then(Json::as_str) {
                    self.erase_entries.insert(hmac.to_owned(), index);
                }
            }
            Content::Body(_) => {}
        }
    }

    fn payload(&mut self, index: u64, hmac: &[u8; 32], report: &mut Report) {
        let place = || format!("entry {index}");
        let Some(payloads) = self.payloads else {
            return;
        };
        match (payloads.get(hmac), self.erased.contains_key(hmac)) {
            (Ok(Some(payload)), false) if payload.matches(hmac) => report.payloads += 1,
            (Ok(Some(_)), false) => {
                report.problem(place(), "its private payload does not match the commitment")
            }
            (Ok(Some(_)), true) => {
                report.problem(place(), "its payload was erased and is still there")
            }
            (Ok(None), true) => {}
            (Ok(None), false) => self.missing.push((index, *hmac)),
            (Err(error), _) => report.problem(place(), error.to_string()),
        }
    }

    /// What only the end shows; returns the payloads that are missing so far, and the files that entries name.
    pub(super) fn finish(self, report: &mut Report) -> (Vec<(u64, [u8; 32])>, Windows) {
        for (id, entry) in &self.erased {
            if self.erase_entries.get(&hex::encode(id)) != Some(entry) {
                report.problem(
                    "ledger.db, erased",
                    format!("a row names entry {entry}, which does not erase it"),
                );
            }
        }
        for (hmac, index) in &self.erase_entries {
            let known = hex::decode(hmac).and_then(|id| <[u8; 32]>::try_from(id).ok());
            if known.is_none_or(|id| !self.erased.contains_key(&id)) {
                report.problem(
                    format!("entry {index}"),
                    "it erases a payload that the erased table does not know",
                );
            }
        }
        if self.idem_rows != self.idem_leaves {
            let (rows, leaves) = (self.idem_rows, self.idem_leaves);
            report.problem(
                "ledger.db, idem",
                format!("{rows} rows, and {leaves} entries that they belong to"),
            );
        }
        (self.missing, self.windows)
    }
}
