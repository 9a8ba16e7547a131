//! This node's own entries of one kind, with their bodies, out of its whole ledger. Slow on a long one: for starts and for people. May not
//! know what a body means.

use super::Reader;
use belfry_protocol::engine::store::StoreError;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH};

impl Reader {
    /// Index and body of every public entry of this kind.
    ///
    /// # Errors
    /// When the store fails.
    pub fn bodies(&self, kind: &str) -> Result<Vec<(u64, Json)>, StoreError> {
        let (size, mut found) = (self.head()?.size(), Vec::new());
        // Nearly no entry is one: its bytes are searched before they are parsed.
        let member = format!("\"kind\":\"{kind}\"");
        let finder = memchr::memmem::Finder::new(member.as_bytes());
        for at in 0..size.div_ceil(TILE_WIDTH) {
            let Some(wanted) = Bundle::of_tree(at, size) else {
                break;
            };
            let bytes = self.bundle(wanted)?;
            for (index, entry) in (at * TILE_WIDTH..).zip(bundle::entries(&bytes)) {
                let leaf = entry.ok().filter(|entry| finder.find(entry).is_some());
                if let Some(Ok(leaf)) = leaf.map(Leaf::parse)
                    && leaf.kind == kind
                    && let Content::Body(body) = leaf.content
                {
                    found.push((index, body));
                }
            }
        }
        Ok(found)
    }
}
