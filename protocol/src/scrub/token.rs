//! Tokens: keyed pseudonyms that stand in a text for a value, `<class.k.T>`.
//! Letters only, because digits or hexadecimal could look like a card, a telephone number or a UUID again.

use super::class::Class;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of the HMAC in a token: 80 bits, a collision about once in 2^40 pairs at a million values.
const TOKEN_BYTES: usize = 10;

/// Bytes of the key id in a token: enough to tell the epochs of one tenant apart.
const KEY_ID_BYTES: usize = 3;

/// Domain of the key id; it holds no NUL byte, so it never equals a token's input.
const KEY_ID_DOMAIN: &[u8] = b"belfry/scrub-key-id/v1";

/// The secret of one tenant and epoch that makes tokens linkable within it and meaningless outside.
pub struct TokenKey {
    secret: Zeroizing<[u8; 32]>,
    id: String,
}

impl TokenKey {
    /// A key from 32 secret bytes.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        let secret = Zeroizing::new(secret);
        let id = letters(&mac(&secret, &[KEY_ID_DOMAIN])[..KEY_ID_BYTES]);
        Self { secret, id }
    }

    /// The public name of the key: letters `a` to `p`, derived from the secret.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// Appends the token of a value that is normalised already.
    pub(super) fn write_token(&self, class: Class, value: &[u8], out: &mut String) {
        let tag = mac(&self.secret, &[class.name().as_bytes(), &[0], value]);
        out.push('<');
        out.push_str(class.name());
        out.push('.');
        out.push_str(&self.id);
        out.push('.');
        out.push_str(&letters(&tag[..TOKEN_BYTES]));
        out.push('>');
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

fn mac(secret: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC fills a short key with zeros up to the block, so this is the key itself and cannot fail.
    let mut block = Zeroizing::new([0u8; 64]);
    block[..32].copy_from_slice(secret);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Two letters of `a` to `p` for each byte, high half first.
fn letters(bytes: &[u8]) -> String {
    let letter = |half: u8| char::from(b'a' + half);
    bytes
        .iter()
        .flat_map(|byte| [letter(byte >> 4), letter(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: &TokenKey, class: Class, value: &str) -> String {
        let mut out = String::new();
        key.write_token(class, value.as_bytes(), &mut out);
        out
    }

    #[test]
    fn tokens_are_stable_keyed_and_separated_by_class() {
        let key = TokenKey::new([7; 32]);
        let other = TokenKey::new([8; 32]);
        let one = token(&key, Class::Email, "a@b.co");
        assert_eq!(one, token(&key, Class::Email, "a@b.co"));
        assert_ne!(one, token(&other, Class::Email, "a@b.co"));
        assert_ne!(
            one.trim_start_matches("<email."),
            token(&key, Class::Phone, "a@b.co").trim_start_matches("<phone.")
        );
        assert_ne!(key.id(), other.id());
    }

    #[test]
    fn only_letters_a_to_p_follow_the_class() {
        let key = TokenKey::new([9; 32]);
        let text = token(&key, Class::Uuid, "x");
        let rest = text
            .strip_prefix("<uuid.")
            .and_then(|t| t.strip_suffix('>'))
            .unwrap();
        let (id, tag) = rest.split_once('.').unwrap();
        assert_eq!(id, key.id());
        assert_eq!(tag.len(), 20);
        assert!(
            rest.bytes()
                .all(|b| b == b'.' || (b'a'..=b'p').contains(&b))
        );
    }

    #[test]
    fn debug_shows_the_id_only() {
        let key = TokenKey::new([0xab; 32]);
        assert_eq!(format!("{key:?}"), format!("TokenKey({})", key.id()));
    }
}
