//! Verdicts on Ed25519 signatures that this thread asked for before, for whoever plays many nodes in one process: each of
//! them checks the same signatures. Off unless somebody holds a [`Memo`]. May not say anything but what the check itself
//! said, or what signing makes sure of: nobody can put a verdict in from outside, so that it costs or saves time alone.

use crate::tlog::hash::sha256_parts;
use ed25519_dalek::VerifyingKey;
use std::cell::RefCell;
use std::marker::PhantomData;

/// Verdicts that are kept: what a federation of a thousand says within some seconds, in about three megabytes. A newer
/// verdict takes the place of an older one.
const SLOTS: usize = 1 << 16;

/// Keys whose bytes were found to be a point: those of some thousand certificates, in about a megabyte.
const POINTS: usize = 1 << 12;

/// Hash of key, signature and message, and whether the signature is right. A hash of zeros is an empty place: nobody
/// knows what leads to it.
type Slot = ([u8; 32], bool);

thread_local! {
    static VERDICTS: RefCell<Verdicts> = const { RefCell::new(Verdicts {
        holders: 0,
        slots: Vec::new(),
        points: Vec::new(),
    }) };
}

struct Verdicts {
    holders: usize,
    slots: Vec<Slot>,
    points: Vec<Option<VerifyingKey>>,
}

/// As long as it lives, this thread remembers verdicts.
#[derive(Debug)]
pub struct Memo {
    /// It belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl Memo {
    /// Begins to remember, on this thread.
    #[must_use]
    pub fn remember() -> Self {
        VERDICTS.with_borrow_mut(|verdicts| {
            verdicts.holders += 1;
            if verdicts.slots.is_empty() {
                verdicts.slots = vec![([0; 32], false); SLOTS];
                verdicts.points = vec![None; POINTS];
            }
        });
        Self {
            not_send: PhantomData,
        }
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        VERDICTS.with_borrow_mut(|verdicts| {
            verdicts.holders -= 1;
            if verdicts.holders == 0 {
                verdicts.slots = Vec::new();
                verdicts.points = Vec::new();
            }
        });
    }
}

fn is_on() -> bool {
    VERDICTS.with_borrow(|verdicts| !verdicts.slots.is_empty())
}

fn id(key: &[u8], message: &[u8], signature: &[u8]) -> [u8; 32] {
    // Key and signature have fixed lengths where a verdict is kept, so that nothing can be read in two ways.
    sha256_parts(&[b"belfry/memo\0", key, signature, message]).0
}

fn place(id: &[u8; 32]) -> usize {
    usize::from(u16::from_be_bytes([id[0], id[1]])) % SLOTS
}

/// What `check` says, or said before of the same three.
pub(super) fn verdict(
    key: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
    check: impl FnOnce() -> bool,
) -> bool {
    if !is_on() {
        return check();
    }
    let id = id(key, message, signature);
    let known = VERDICTS.with_borrow(|verdicts| verdicts.slots.get(place(&id)).copied());
    if let Some((known, right)) = known
        && known == id
    {
        return right;
    }
    let right = check();
    keep(id, right);
    right
}

/// A signature that was made just now is right: Ed25519 has no other. Debug builds check that, too.
pub(super) fn made(key: &[u8], message: &[u8], signature: &[u8; 64], check: impl Fn() -> bool) {
    if is_on() && key.len() == 32 {
        debug_assert!(check(), "a signature that was made just now is wrong");
        keep(id(key, message, signature), true);
    }
}

/// The key that these bytes are, as `check` says, or said before of the same bytes. What is no key is not remembered.
pub(super) fn point<E>(
    bytes: &[u8; 32],
    check: impl FnOnce() -> Result<VerifyingKey, E>,
) -> Result<VerifyingKey, E> {
    if !is_on() {
        return check();
    }
    let place = usize::from(u16::from_be_bytes([bytes[3], bytes[4]])) % POINTS;
    let known = VERDICTS.with_borrow(|verdicts| verdicts.points.get(place).copied().flatten());
    if let Some(known) = known.filter(|known| known.as_bytes() == bytes) {
        return Ok(known);
    }
    let key = check()?;
    VERDICTS.with_borrow_mut(|verdicts| {
        if let Some(point) = verdicts.points.get_mut(place) {
            *point = Some(key);
        }
    });
    Ok(key)
}

fn keep(id: [u8; 32], right: bool) {
    VERDICTS.with_borrow_mut(|verdicts| {
        if let Some(slot) = verdicts.slots.get_mut(place(&id)) {
            *slot = (id, right);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{Algorithm, NoteError, SigningKey, VerifierKey};

    fn key(byte: u8) -> SigningKey {
        SigningKey::ed25519("node.example", [byte; 32]).unwrap()
    }

    #[test]
    fn a_remembered_verdict_is_that_of_the_check() {
        let signed = |memo: bool| {
            let _memo = memo.then(Memo::remember);
            let (one, other) = (key(1), key(2));
            let text = one.verifier().to_string();
            assert_eq!(text.parse(), Ok(one.verifier().clone()));
            assert_eq!(
                VerifierKey::new("weak", Algorithm::Ed25519, &[0; 32]),
                Err(NoteError::SmallOrder)
            );
            let signature = one.sign_bytes(b"message").unwrap();
            let mut damaged = signature.clone();
            damaged[5] ^= 1;
            let ask = |key: &SigningKey, message: &[u8], signature: &[u8]| {
                key.verifier().verify_bytes(message, signature)
            };
            (0..3)
                .flat_map(|_| {
                    [
                        ask(&one, b"message", &signature),
                        ask(&one, b"massage", &signature),
                        ask(&one, b"message", &damaged),
                        ask(&one, b"message", &signature[..63]),
                        ask(&other, b"message", &signature),
                    ]
                })
                .collect::<Vec<bool>>()
        };
        assert_eq!(signed(true), signed(false));
        assert_eq!(signed(true)[..5], [true, false, false, false, false]);
    }

    #[test]
    fn what_was_asked_before_is_not_checked_again_and_only_while_somebody_remembers() {
        let ask = |says: bool| verdict(&[1; 32], b"message", &[2; 64], || says);
        {
            let _memo = Memo::remember();
            let _second = Memo::remember();
            assert!(ask(true) && ask(false));
        }
        assert!(!is_on());
        assert!(!ask(false) && ask(true));
    }
}
