//! Assertions about any bytes in a login or in place of a session's signature: for the fuzzer, and
//! for the test below, which reads the inputs in `tests/fuzz/corpus`.

use super::cookie::{Presented, bearer, session_cookie};
use super::login::{Credentials, credentials};
use super::{Parameters, Request};
use crate::config::{Limits, PASSWORD_BYTES_MAX, USERNAME_CHARS_MAX};
use crate::http::{HeaderSlots, parse_head};
use crate::reactor::Peer;

/// The body of a login: a form, or JSON if the first byte is odd.
///
/// - A name and a password are within the limits.
/// - Encoded again, as a form and as JSON, they parse to the same values.
///
/// # Panics
/// When that does not hold.
pub fn login(data: &[u8]) {
    let (first, body) = data.split_first().unwrap_or((&0, data));
    let is_json = first & 1 == 1;
    let Some(read) = read(is_json, body) else {
        return;
    };
    let Credentials { username, password } = &read;
    assert!((1..=USERNAME_CHARS_MAX).contains(&username.chars().count()));
    assert!(!username.chars().any(char::is_control));
    assert!((1..=PASSWORD_BYTES_MAX).contains(&password.len()));
    let json = serde_json::json!({"username": username, "password": password}).to_string();
    let again = self::read(true, json.as_bytes()).expect("it was read before");
    assert_eq!((&again.username, &again.password), (username, password));
    if !is_json || !format!("{username}{password}").contains('\u{fffd}') {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("password", password)
            .append_pair("username", username)
            .finish();
        let again = self::read(false, form.as_bytes()).expect("it was read before");
        assert_eq!((&again.username, &again.password), (username, password));
    }
}

fn read(is_json: bool, body: &[u8]) -> Option<Credentials> {
    let kind = if is_json {
        "json"
    } else {
        "x-www-form-urlencoded"
    };
    let head =
        format!("POST /login HTTP/1.1\r\nHost: h\r\nContent-Type: application/{kind}\r\n\r\n");
    let mut slots = HeaderSlots::new();
    let head = parse_head(head.as_bytes(), &mut slots, &Limits::default());
    let head = head.expect("a head").expect("as a whole");
    credentials(&Request::new(&head, body, Peer::Unix, Parameters::new())).ok()
}

/// The values of `Cookie` and of `Authorization`, one a line.
///
/// - One token is found if, and only if, all cookies of the name say the same.
/// - It makes no difference whether cookies come in one field or in several.
/// - A bearer token is one run of the characters that a token has, in the only field there is.
///
/// # Panics
/// When that does not hold.
pub fn cookie(data: &[u8]) {
    let fields = || data.split(|byte| *byte == b'\n');
    let found = session_cookie(fields());
    let joined: Vec<u8> = fields().collect::<Vec<_>>().join(&b';');
    assert_eq!(session_cookie([&joined[..]].into_iter()), found);
    let mut tokens: Vec<&[u8]> = joined
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter_map(|pair| pair.strip_prefix(b"session="))
        .collect();
    tokens.dedup();
    let expected = match &tokens[..] {
        [] => Presented::Nothing,
        [token] => Presented::Token(token),
        _ => Presented::Unclear,
    };
    assert_eq!(found, expected);

    let presented = bearer(fields());
    if let Presented::Token(token) = presented {
        assert_eq!(fields().count(), 1, "several fields");
        assert!(token.first().is_some_and(|byte| *byte != b'='));
        let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        assert!(token.iter().all(known));
        let again = [b"bEARER  ", token].concat();
        assert_eq!(bearer([&again[..]].into_iter()), Presented::Token(token));
    }
}

/// Reads a corpus: what was found once is asserted in every test run.
#[cfg(test)]
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let files = std::fs::read_dir(folder.join(target)).expect("a corpus");
    let mut count = 0;
    for file in files {
        let path = file.expect("an entry").path();
        println!("{}", path.display()); // shown where the test fails
        check(&std::fs::read(&path).expect("a file"));
        count += 1;
    }
    assert!(count > 5, "only {count} files for {target}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpora_are_read() {
        replay("login", login);
        replay("cookie", cookie);
    }
}
