//! The tables of the page: registered kinds, and every limit.

use super::page;
use belfry_protocol::checkpoint::{MAX_CHECKPOINT_BYTES, MAX_ORIGIN_BYTES};
use belfry_protocol::entry::commit::MAX_PAYLOAD_LEN;
use belfry_protocol::entry::{draft, kinds};
use belfry_protocol::fork::MAX_FORK_BYTES;
use belfry_protocol::manifest::{MAX_MANIFEST_BYTES, MAX_MEMBERS, MAX_SIGNED_MANIFEST_BYTES};
use belfry_protocol::note::{MAX_NAME_BYTES, MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES};
use belfry_protocol::proof_file::MAX_EXTRA_BYTES;
use belfry_protocol::tlog::bundle::MAX_ENTRY_LEN;
use belfry_protocol::witness::MAX_REQUEST_BYTES;

#[test]
fn the_page_has_the_registry_and_the_limits() {
    let page = page();
    for kind in kinds::KINDS {
        let who = if kind.reserved { "node" } else { "caller" };
        let visibility = format!("{:?}", kind.visibility).to_lowercase();
        let row = format!("| `{}` | {who} | {visibility} |", kind.name);
        assert!(page.contains(&row), "{row}");
    }
    let rows = page.matches(" | caller | ").count() + page.matches(" | node | ").count();
    assert_eq!(rows, kinds::KINDS.len());
    for (what, limit) in [
        ("bytes of a node name", MAX_NAME_BYTES),
        ("bytes of a note", MAX_NOTE_BYTES),
        ("signature lines of a note", MAX_NOTE_SIGNATURES),
        ("bytes of an origin", MAX_ORIGIN_BYTES),
        ("bytes of a checkpoint text", MAX_CHECKPOINT_BYTES),
        ("bytes of an entry", MAX_ENTRY_LEN),
        ("bytes of a kind", kinds::MAX_KIND_LEN),
        ("bytes of a source", draft::MAX_SOURCE_LEN),
        ("bytes of a tenant", draft::MAX_TENANT_LEN),
        ("bytes of a client key", draft::MAX_CLIENT_KEY_LEN),
        ("bytes of an encoded payload", MAX_PAYLOAD_LEN),
        ("bytes of a receipt's `extra`", MAX_EXTRA_BYTES),
        ("bytes of a witness request", MAX_REQUEST_BYTES),
        ("bytes of a fork proof", MAX_FORK_BYTES),
        ("bytes of a genesis manifest", MAX_MANIFEST_BYTES),
        ("bytes of a signed manifest", MAX_SIGNED_MANIFEST_BYTES),
        ("members of a federation", MAX_MEMBERS),
    ] {
        let digits = limit.to_string();
        let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
        let printed = String::from_utf8(groups.join(&b',')).unwrap();
        let row = format!("| {what} | {printed} |");
        assert!(page.contains(&row), "{row}");
    }
}
