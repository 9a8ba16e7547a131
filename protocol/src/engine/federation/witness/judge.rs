//! The table of C2SP `tlog-witness`, `add-checkpoint`, in its order, as far as it needs no state. May not sign or store.

use super::subtree::Grant;
use crate::note::SignatureLine;
use crate::tlog::hash::{Hash, empty_root};
use crate::tlog::verify;

/// What a witness answers; each has one HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: lines of this tower's keys.
    Cosigned(Vec<SignatureLine>),
    /// 200: a subtree may be signed. The lines are still to be made: see [`Grant::lines`].
    Granted(Box<Grant>),
    /// 400: not what the specification describes.
    Malformed(&'static str),
    /// 404: no log of that origin is known here.
    Unknown,
    /// 403: no signature of a key that is trusted for the origin, or a wrong one.
    Untrusted,
    /// 409: this size was cosigned last.
    Conflict {
        /// The size.
        size: u64,
    },
    /// 202 if something was taken, else 409: where an upload goes on.
    Progress {
        /// Whether the upload's range was right.
        taken: bool,
        /// Size of a checkpoint to upload to.
        size: u64,
        /// The next entry.
        next: u64,
        /// What to send with it.
        ticket: String,
    },
    /// 422: properly signed and not consistent with what was cosigned.
    Refused(&'static str),
    /// 503: this tower may not cosign the origin now, whatever the checkpoint says.
    NotNow {
        /// Why.
        why: &'static str,
        /// When to ask again, in seconds.
        retry_seconds: u64,
    },
}

impl Answer {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) | Self::Granted(_) => 200,
            Self::Progress { taken: true, .. } => 202,
            Self::Malformed(_) => 400,
            Self::Untrusted => 403,
            Self::Unknown => 404,
            Self::Conflict { .. } | Self::Progress { .. } => 409,
            Self::Refused(_) => 422,
            Self::NotNow { .. } => 503,
        }
    }
}

/// Size and root of a tree.
pub(super) type Tree<'a> = (u64, &'a Hash);

/// An old size above the checkpoint's is malformed, and that comes before anything that was cosigned.
pub(super) fn sizes_in_order(old_size: u64, size: u64) -> Result<(), Answer> {
    if old_size > size {
        return Err(Answer::Malformed(
            "the old size is above the checkpoint's size",
        ));
    }
    Ok(())
}

/// Whether a checkpoint of the tree `new` may be cosigned after `last`; the answer if not.
pub(super) fn extends(
    last: Tree<'_>,
    old_size: u64,
    new: Tree<'_>,
    proof: &[Hash],
) -> Result<(), Answer> {
    if old_size != last.0 {
        return Err(Answer::Conflict { size: last.0 });
    }
    if new.0 == 0 && *new.1 != empty_root() {
        return Err(Answer::Refused("a tree of no entries has another root"));
    }
    if last.0 == new.0 && last.1 != new.1 {
        return Err(Answer::Refused(
            "the same size was cosigned with another root",
        ));
    }
    verify::consistency(last.0, new.0, last.1, new.1, proof)
        .map_err(|_| Answer::Refused("the consistency proof does not verify"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::hash::{leaf_hash, node_hash};

    #[test]
    fn rows_come_in_the_order_of_the_specification() {
        let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
        let (one, two, none) = (a, node_hash(&a, &b), empty_root());
        let status = |last, old, new, proof: &[Hash]| {
            extends(last, old, new, proof).map_err(|answer| answer.status())
        };
        assert_eq!(sizes_in_order(3, 2).unwrap_err().status(), 400);
        assert_eq!(sizes_in_order(2, 2), Ok(()));
        // The size comes before everything that could be wrong with root and proof.
        assert_eq!(status((1, &one), 0, (0, &one), &[b]), Err(409));
        assert_eq!(status((0, &none), 0, (0, &one), &[]), Err(422));
        assert_eq!(status((0, &none), 0, (0, &none), &[]), Ok(()));
        assert_eq!(status((0, &none), 0, (1, &one), &[b]), Err(422));
        assert_eq!(status((0, &none), 0, (1, &one), &[]), Ok(()));
        assert_eq!(status((1, &one), 1, (2, &two), &[]), Err(422));
        assert_eq!(status((1, &one), 1, (2, &two), &[a]), Err(422));
        assert_eq!(status((1, &one), 1, (2, &two), &[b]), Ok(()));
        assert_eq!(status((1, &one), 1, (1, &b), &[]), Err(422));
        assert_eq!(status((1, &one), 1, (1, &one), &[b]), Err(422));
        assert_eq!(status((1, &one), 1, (1, &one), &[]), Ok(()));
    }
}
