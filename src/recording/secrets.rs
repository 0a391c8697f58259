//! What must not be in a recording, and what replaces it there.
//!
//! Everything keeps its length, and everything else that the server examines, so that a replay treats it the same
//! way: a password becomes a password of as many bytes, a signature of this server one by a public key. Names that no
//! user has are replaced, too, since people type passwords into the wrong field; equal names get equal
//! replacements.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::config::Limits;
use crate::token::{Fingerprint, Keys, fingerprint, sign_again};
use crate::work::Snapshot;

/// Shortest text that is checked for a signature, in bytes: HMAC-SHA-256 alone has 43 in base64url.
const SIGNATURE_BYTES_MIN: usize = 60;

/// What a recording knows and must not reveal.
pub(super) struct Secrets {
    /// The server's limits, so that a request is the same here as there.
    pub(super) limits: Limits,
    keys: Keys,
    known: Keys,
    users: HashSet<String>,
    /// The fingerprints of sessions that are older than the recording, and that no client has used in it yet.
    sessions: HashSet<Fingerprint>,
    /// The original and the new fingerprints of those that were used since the last call.
    renamed: Vec<(Fingerprint, Fingerprint)>,
    salt: [u8; 16],
}

impl Secrets {
    pub(super) fn new(limits: Limits, keys: Keys, store: &Snapshot, salt: [u8; 16]) -> Self {
        Self {
            limits,
            known: keys.with_known_secrets(),
            keys,
            users: store.users.iter().map(|user| user.name.clone()).collect(),
            sessions: store.sessions.iter().map(|session| session.hash).collect(),
            renamed: Vec::new(),
            salt,
        }
    }

    /// The sessions that got another fingerprint since the last call.
    pub(super) fn take_renamed(&mut self) -> Vec<(Fingerprint, Fingerprint)> {
        std::mem::take(&mut self.renamed)
    }

    /// Replaces this server's signatures in a field's value, and masks the other words, except the first word if it
    /// is one of `schemes`.
    pub(super) fn mask_words(&mut self, value: &mut [u8], schemes: &[&str]) {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/".contains(byte);
        let words = value.split_mut(|byte| !is_part(byte));
        for (place, word) in words.filter(|word| !word.is_empty()).enumerate() {
            let is = |scheme: &&str| word.eq_ignore_ascii_case(scheme.as_bytes());
            let is_scheme = place == 0 && schemes.iter().any(is);
            if !is_scheme && !self.sign_again(word) {
                mask_letters(word);
            }
        }
        value
            .iter_mut()
            .filter(|byte| !byte.is_ascii())
            .for_each(|byte| *byte = 0xff);
    }

    /// Replaces a signature of ours by one with a public key.
    pub(super) fn sign_again(&mut self, word: &mut [u8]) -> bool {
        if word.len() < SIGNATURE_BYTES_MIN {
            return false;
        }
        let again = std::str::from_utf8(word)
            .ok()
            .and_then(|text| sign_again(text, &self.keys, &self.known));
        let Some(again) = again.filter(|again| again.len() == word.len()) else {
            return false;
        };
        let was = fingerprint(word);
        if self.sessions.remove(&was) {
            self.renamed.push((was, fingerprint(again.as_bytes())));
        }
        word.copy_from_slice(again.as_bytes());
        true
    }

    /// The replacement for a value of that name in a login.
    pub(super) fn instead(&self, name: &str, value: &str) -> Option<String> {
        match name {
            "password" => Some(value.chars().map(|c| like(c, 'x')).collect()),
            "username" if !self.users.contains(value) => Some(self.other_name(value)),
            _ => None,
        }
    }

    /// A name of the same shape, which reveals nothing about `name` except whether it equals another one.
    fn other_name(&self, name: &str) -> String {
        let digest = Sha256::new()
            .chain_update(self.salt)
            .chain_update(name)
            .finalize();
        let letters = digest
            .iter()
            .cycle()
            .map(|byte| char::from(b'A' + byte % 26));
        name.chars()
            .zip(letters)
            .map(|(c, letter)| like(c, letter))
            .collect()
    }
}

/// Replaces the non-ASCII character at the front by one of the same length, or an invalid byte by another invalid
/// byte. Returns the length.
pub(super) fn mask_character(bytes: &mut [u8]) -> usize {
    let first = (2..=bytes.len().min(4)).find_map(|length| {
        let text = std::str::from_utf8(&bytes[..length]).ok()?;
        text.chars().next()
    });
    if let Some(c) = first {
        return like(c, 'x').encode_utf8(bytes).len();
    }
    bytes[0] = 0xff;
    1
}

/// `letter`, or another character if `letter` does not take as many bytes as `c`. A character that no name or
/// password may have stays.
fn like(c: char, letter: char) -> char {
    match c.len_utf8() {
        _ if c.is_control() => c,
        1 => letter,
        2 => '\u{d7}',
        3 => '\u{2026}',
        _ => '\u{1f600}',
    }
}

/// Replaces letters and digits, and leaves the characters that give a text its shape.
pub(super) fn mask_letters(bytes: &mut [u8]) {
    for byte in bytes {
        match byte {
            b'0'..=b'9' => *byte = b'1',
            _ if byte.is_ascii_alphabetic() || !byte.is_ascii() => *byte = b'x',
            _ => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::token::{Claims, sign};
    use crate::work::SessionRow;

    pub(in crate::recording) const LATER_S: i64 = 1_000_000;

    pub(in crate::recording) fn keys() -> Keys {
        Keys::ephemeral(7, [9; 32], 0)
    }

    pub(in crate::recording) fn token() -> String {
        let claims = Claims {
            iss: "loopgate".into(),
            sub: "1".into(),
            sid: "s".into(),
            iat: 0,
            exp: 2 * LATER_S,
        };
        sign(&claims, keys().current())
    }

    pub(in crate::recording) fn secrets(store: &Snapshot) -> Secrets {
        Secrets::new(Limits::default(), keys(), store, [3; 16])
    }

    pub(in crate::recording) fn nothing_stored() -> Snapshot {
        Snapshot {
            users: Vec::new(),
            sessions: Vec::new(),
            last_event_id: 0,
        }
    }

    #[test]
    fn a_session_from_before_is_known_by_both_fingerprints() {
        let token = token();
        let row = SessionRow {
            hash: fingerprint(token.as_bytes()),
            sid: [1; 16],
            user_id: 1,
            key_id: 7,
            issued_s: 0,
            last_used_s: 0,
        };
        let mut secrets = secrets(&Snapshot {
            sessions: vec![row.clone()],
            ..nothing_stored()
        });
        for _ in 0..2 {
            secrets.mask_words(&mut format!(" Bearer {token}").into_bytes(), &["bearer"]);
        }
        let renamed = secrets.take_renamed();
        assert_eq!(renamed.len(), 1);
        assert_eq!(renamed[0].0, row.hash);
        let again = sign_again(&token, &keys(), &keys().with_known_secrets()).unwrap();
        assert_eq!(renamed[0].1, fingerprint(again.as_bytes()));
    }

    #[test]
    fn the_same_unknown_name_becomes_the_same_other_one() {
        let secrets = secrets(&nothing_stored());
        let instead = |name| secrets.instead("username", name).unwrap();
        assert_eq!(instead("hunter2"), instead("hunter2"));
        assert_ne!(instead("hunter2"), instead("hunter3"));
        assert_eq!(instead("h\u{e9}\u{4e16}").len(), "h\u{e9}\u{4e16}".len());
    }
}
