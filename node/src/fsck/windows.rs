//! Files of windows (R13): each `window` entry names one by its hash, and they go after a while, the oldest first. A file that
//! is there must be what its entry says; one that is gone although an older one is there is damage.

use super::Report;
use crate::disk::RealDisk;
use crate::member::read_window;
use crate::store::Layout;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::hex;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::window::Attachment;

/// What an entry says of its file.
struct Named {
    index: u64,
    hash: Hash,
    /// Roots over what was given and what was received, in hex.
    roots: [String; 2],
}

/// The files that entries name, oldest first.
#[derive(Default)]
pub(super) struct Windows(Vec<Named>);

impl Windows {
    /// Looks at one entry of the own ledger.
    pub(super) fn leaf(&mut self, index: u64, leaf: &Leaf, report: &mut Report) {
        let (Content::Body(body), "window", None) =
            (&leaf.content, leaf.kind.as_str(), &leaf.scrub)
        else {
            return;
        };
        let Some(hash) = body.get("attachment") else {
            // No ack came in that time.
            return;
        };
        let hash = hash.as_str().and_then(hex::decode);
        let root = |side| body.get(side)?.get("root").and_then(Json::as_str);
        match (
            hash.and_then(|hash| <[u8; 32]>::try_from(hash).ok()),
            root("acks_given"),
            root("acks_received"),
        ) {
            (Some(hash), Some(given), Some(received)) => self.0.push(Named {
                index,
                hash: Hash(hash),
                roots: [given.to_owned(), received.to_owned()],
            }),
            _ => report.problem(format!("entry {index}"), "it names no file of a window"),
        }
    }

    /// Compares the files with what was said of them.
    pub(super) fn check(&self, layout: &Layout, report: &mut Report) {
        // From the newest on: a running node removes the oldest meanwhile, never one that is newer than one seen here.
        let there: Vec<bool> = self
            .0
            .iter()
            .rev()
            .map(|one| layout.window(&one.hash).exists())
            .collect();
        let oldest = there.iter().rposition(|there| *there).unwrap_or(0);
        for (place, (one, there)) in self.0.iter().rev().zip(&there).enumerate() {
            if *there {
                one.compare(layout, report);
            } else if place < oldest {
                report.problem(
                    format!("entry {}", one.index),
                    format!(
                        "its file windows/{} is gone, and older ones are there",
                        one.hash.to_hex()
                    ),
                );
            } else {
                report.windows_gone += 1;
            }
        }
    }
}

impl Named {
    fn compare(&self, layout: &Layout, report: &mut Report) {
        let place = || format!("entry {}", self.index);
        let bytes = match read_window(layout, &RealDisk, self.hash) {
            Ok(Some(bytes)) => bytes,
            // A running node removed it since.
            Ok(None) => return report.windows_gone += 1,
            Err(error) => return report.problem(place(), error.to_string()),
        };
        let roots = Attachment::parse(&bytes).and_then(|attachment| attachment.roots());
        match roots {
            Ok((given, received)) if [given.to_hex(), received.to_hex()] == self.roots => {
                report.windows += 1;
            }
            Ok(_) => report.problem(place(), "its roots are not those of the acks in its file"),
            Err(error) => report.problem(place(), error.to_string()),
        }
    }
}
