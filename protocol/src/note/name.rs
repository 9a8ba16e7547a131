//! Rules for key names: what any note may carry, and the narrower set that Belfry nodes use.
//! May not know which names are taken.

/// Most bytes in the name of a node or ledger.
pub const MAX_NAME_BYTES: usize = 200;

/// Ending of the name under which a tower signs what it durably holds (R4).
pub const MIRROR_SUFFIX: &str = "/mirror";

/// Most bytes in a name that we sign under: a node name and the mirror ending.
pub const MAX_SIGNER_NAME_BYTES: usize = MAX_NAME_BYTES + MIRROR_SUFFIX.len();

/// Names reserved for Belfry's own headers, domains and protocols start so.
const RESERVED_PREFIX: &str = "belfry-";

/// Whether C2SP allows `name` on a signature line: non-empty, no Unicode space, no control byte, no `+`.
#[must_use]
pub fn is_foreign_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

/// Whether we may sign under `name` or name a ledger so: printable ASCII without space and `+`, at most 200 bytes.
#[must_use]
pub fn is_own_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES && is_ascii_name(name)
}

/// Whether a federation member may be called `name` (R4): an own name, lower-case, neither ending in `/mirror`
/// nor starting with `belfry-`.
#[must_use]
pub fn is_member_name(name: &str) -> bool {
    is_own_name(name)
        && !name.bytes().any(|b| b.is_ascii_uppercase())
        && !name.ends_with(MIRROR_SUFFIX)
        && !name.starts_with(RESERVED_PREFIX)
}

/// Whether a signing key may carry `name`: as [`is_own_name`], with room for the mirror ending.
pub(super) fn is_signer_name(name: &str) -> bool {
    name.len() <= MAX_SIGNER_NAME_BYTES && is_ascii_name(name)
}

fn is_ascii_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
}
