//! What must not be in a recording, and what stands for it there.
//!
//! Everything keeps its length, and whatever else the server looks at, so that a replay does the same with it:
//! a password becomes a password of as many bytes, a signature of this server's one by a key that everybody
//! knows. Names that nobody has are replaced, too, since people type passwords into the wrong field; the same
//! name becomes the same other one.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::config::Limits;
use crate::token::{Fingerprint, Keys, fingerprint, sign_again};
use crate::work::Snapshot;

/// Shortest signature that is looked for, in bytes: HMAC-SHA-256 alone has 43 in base64url.
const SIGNATURE_BYTES_MIN: usize = 60;

/// What a recording knows and does not tell.
pub(super) struct Secrets {
    /// As the server has them: what is a request to it is one here.
    pub(super) limits: Limits,
    keys: Keys,
    known: Keys,
    users: HashSet<String>,
    /// Those of sessions that are older than the recording, and that nobody has used in it.
    sessions: HashSet<Fingerprint>,
    /// Fingerprints before and after, of those that were used since this was asked last.
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

    /// The sessions that are known under another fingerprint since this was asked last.
    pub(super) fn take_renamed(&mut self) -> Vec<(Fingerprint, Fingerprint)> {
        std::mem::take(&mut self.renamed)
    }

    /// Replaces this server's signatures in a head, and whatever else is presented in it.
    pub(super) fn mask_head(&mut self, head: &mut [u8]) {
        let mut presents = Presents::Nothing;
        for line in head.split_mut(|byte| *byte == b'\n') {
            let folded = line.first().is_some_and(|byte| b" \t".contains(byte));
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
            if !folded {
                presents = Presents::of_field(line[..colon].trim_ascii());
            }
            let from = if folded || presents == Presents::Nothing {
                0
            } else {
                colon
            };
            self.mask_words(&mut line[from..], presents);
        }
    }

    /// Goes through what could be a signature; what is none of ours is replaced in fields that present one.
    fn mask_words(&mut self, line: &mut [u8], presents: Presents) {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(byte);
        let (mut at, mut words) = (0, 0);
        while let Some(from) = line[at..].iter().position(is_part).map(|found| at + found) {
            let rest = line[from..].iter();
            at = from + rest.take_while(|byte| is_part(byte)).count();
            let word = &mut line[from..at];
            // `session=TOKEN` is one word, of which the name is no secret.
            let sign = word[..word.len() - 1].iter().position(|byte| *byte == b'=');
            let name = match (presents, sign) {
                (Presents::Authorization, _) | (_, None) => 0,
                (_, Some(sign)) => sign + 1,
            };
            let is_scheme = presents == Presents::Authorization && words == 0;
            if !self.sign_again(&mut word[name..]) && presents != Presents::Nothing && !is_scheme {
                mask_letters(&mut word[name..]);
            }
            words += 1;
        }
    }

    /// If it is a signature of ours, it becomes one that everybody could have made.
    fn sign_again(&mut self, word: &mut [u8]) -> bool {
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

    /// What stands for a value of that name in a login.
    pub(super) fn instead(&self, name: &str, value: &str) -> Option<String> {
        match name {
            "password" => Some(value.chars().map(|c| like(c, 'x')).collect()),
            "username" if !self.users.contains(value) => Some(self.other_name(value)),
            _ => None,
        }
    }

    /// A name of the same shape, which says nothing about `name` but whether it is the same as another.
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

/// Whether a field has something in it that opens something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presents {
    Nothing,
    /// Behind the name of a scheme.
    Authorization,
    /// Behind the names of cookies.
    Cookies,
}

impl Presents {
    fn of_field(name: &[u8]) -> Self {
        let is = |field: &str| name.eq_ignore_ascii_case(field.as_bytes());
        if is("authorization") || is("proxy-authorization") {
            Self::Authorization
        } else if is("cookie") {
            Self::Cookies
        } else {
            Self::Nothing
        }
    }
}

/// `letter`, or another character where that would not take as many bytes as `c`. What no name or password may
/// have stays.
fn like(c: char, letter: char) -> char {
    match c.len_utf8() {
        _ if c.is_control() => c,
        1 => letter,
        2 => '\u{d7}',
        3 => '\u{2026}',
        _ => '\u{1f600}',
    }
}

/// Replaces letters and digits, and leaves whatever gives a text its shape.
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
mod tests {
    use super::*;
    use crate::token::{Claims, sign, verify};
    use crate::work::SessionRow;

    const LATER_S: i64 = 1_000_000;

    fn keys() -> Keys {
        Keys::ephemeral(7, [9; 32], 0)
    }

    fn token() -> String {
        let claims = Claims {
            iss: "loopgate".into(),
            sub: "1".into(),
            sid: "s".into(),
            iat: 0,
            exp: 2 * LATER_S,
        };
        sign(&claims, keys().current())
    }

    fn secrets(store: &Snapshot) -> Secrets {
        Secrets::new(Limits::default(), keys(), store, [3; 16])
    }

    fn nothing_stored() -> Snapshot {
        Snapshot {
            users: Vec::new(),
            sessions: Vec::new(),
            last_event_id: 0,
        }
    }

    fn masked(head: &str) -> String {
        let mut bytes = head.as_bytes().to_vec();
        secrets(&nothing_stored()).mask_head(&mut bytes);
        assert_eq!(bytes.len(), head.len());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_signature_is_replaced_by_one_of_the_known_key_wherever_it_stands() {
        let token = token();
        for head in [
            format!("GET / HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nCookie: a=b; session={token}; c=d\r\n\r\n"),
            format!("GET /x?sign={token} HTTP/1.1\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nX-Other: {token}\r\n\r\n"),
        ] {
            let masked = masked(&head);
            assert!(!masked.contains(&token), "{masked}");
            let word = |text: &str| {
                let words = text.split(['=', ' ', ';', '\r']);
                words.max_by_key(|word| word.len()).unwrap().to_owned()
            };
            let known = keys().with_known_secrets();
            assert!(verify(&word(&masked), &known, LATER_S).is_ok(), "{masked}");
        }
    }

    #[test]
    fn what_is_presented_and_is_not_ours_is_masked_and_the_rest_is_left() {
        for (head, expected) in [
            (
                "Authorization: Basic YWxpY2U6cGFzcw==",
                "Authorization: Basic xxxxx1x1xxxxxx==",
            ),
            (
                "authorization : Bearer a.b.c-1",
                "authorization : Bearer x.x.x-1",
            ),
            (
                "COOKIE: theme=dark; session=zz9",
                "COOKIE: theme=xxxx; session=xx1",
            ),
            ("Cookie: secret", "Cookie: xxxxxx"),
            ("Accept: text/html", "Accept: text/html"),
            ("Cookie: a=b\r\n folded=1", "Cookie: a=x\r\n folded=1"),
        ] {
            assert_eq!(masked(head), expected);
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
            let mut head = format!("Authorization: Bearer {token}\r\n").into_bytes();
            secrets.mask_head(&mut head);
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
