//! The text of a key, and the hash that is stored.

use std::fmt::{self, Write};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::identity;

const PREFIX: &str = "orch_";
const ID_LENGTH: usize = 12;
const SECRET_LENGTH: usize = 40;
const CHECKSUM_LENGTH: usize = 6;

/// A whole key. It cannot be printed by accident: [`KeyText::reveal`] says when it is meant.
#[derive(Clone)]
pub struct KeyText {
    id: String,
    secret: SecretString,
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText({PREFIX}{}_…)", self.id)
    }
}

impl KeyText {
    pub(super) fn random() -> Self {
        Self {
            id: identity::random_text(ID_LENGTH),
            secret: SecretString::from(identity::random_text(SECRET_LENGTH)),
        }
    }

    /// `None` unless the form and the checksum are right.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if id.len() != ID_LENGTH || rest.len() != SECRET_LENGTH + CHECKSUM_LENGTH || !plain(id) || !plain(rest) {
            return None;
        }
        let (secret, given) = rest.split_at(SECRET_LENGTH);
        (checksum(id, secret) == given).then(|| Self {
            id: id.to_owned(),
            secret: SecretString::from(secret.to_owned()),
        })
    }

    /// The public part.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole key, to be shown once.
    pub fn reveal(&self) -> String {
        let secret = self.secret.expose_secret();
        format!("{PREFIX}{}_{secret}{}", self.id, checksum(&self.id, secret))
    }

    pub(super) fn hash(&self, pepper: &SecretString) -> [u8; 32] {
        mac(pepper, self.secret.expose_secret()).finalize().into_bytes().into()
    }

    /// Takes the same time whatever differs.
    pub(super) fn matches(&self, pepper: &SecretString, stored: &[u8; 32]) -> bool {
        mac(pepper, self.secret.expose_secret()).verify_slice(stored).is_ok()
    }
}

/// The HMAC of a secret text under the pepper.
pub(super) fn mac(pepper: &SecretString, secret: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(pepper.expose_secret().as_bytes())
        .expect("HMAC takes keys of any length (RFC 2104)");
    mac.update(secret.as_bytes());
    mac
}

/// The first hexadecimal digits of a SHA-256: it guards against typing errors, not against people.
fn checksum(id: &str, secret: &str) -> String {
    let digest = Sha256::digest(format!("{id}_{secret}").as_bytes());
    let mut text = String::with_capacity(CHECKSUM_LENGTH);
    for byte in digest.iter().take(CHECKSUM_LENGTH / 2) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_matches_only_its_own_hash() {
        let pepper = SecretString::from("pepper");
        let key = KeyText::random();
        let parsed = KeyText::parse(&key.reveal()).expect("well-formed");
        assert_eq!(parsed.id(), key.id());
        assert!(parsed.matches(&pepper, &key.hash(&pepper)));
        assert!(!parsed.matches(&SecretString::from("other"), &key.hash(&pepper)));
        assert!(!KeyText::random().matches(&pepper, &key.hash(&pepper)));
    }

    #[test]
    fn a_changed_character_fails_the_checksum() {
        let text = KeyText::random().reveal();
        for index in PREFIX.len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(KeyText::parse(&changed).is_none(), "{index}");
        }
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let key = KeyText::random();
        assert!(!format!("{key:?}").contains(key.secret.expose_secret()));
    }
}
