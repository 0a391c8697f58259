//! Masks a head, except the parts that are known to be public. All other letters are replaced: a password in an
//! unexpected place is masked like one in an expected place.
//!
//! The server's view of the head does not change: letters become letters, digits digits, an escape an escape, and an
//! invalid number or address stays invalid. So a replay refuses what was refused, for the same reason.

use super::secrets::{Secrets, mask_character, mask_letters};
use crate::app::{HANDLERS, Pattern};
use crate::http::{Method, percent_decode};

/// What is known about a field's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Nothing.
    Nothing,
    /// Words that the server or a browser's standard knows ([`WORDS`]).
    Words,
    /// A number.
    Digits,
    /// A host, and perhaps a port.
    Authority,
    /// The origin of a page, or `null`.
    Origin,
    /// A list of addresses.
    Addresses,
    /// Sixteen random bytes in base64.
    Nonce,
    /// A scheme, followed by credentials.
    Authorization,
    /// Our cookie's name, followed by credentials.
    Cookies,
}

/// Fields with public names: those that the server reads, and a few that every client sends.
const FIELDS: [(&str, Shown); 31] = [
    ("accept", Shown::Words),
    ("accept-encoding", Shown::Words),
    ("accept-language", Shown::Nothing),
    ("authorization", Shown::Authorization),
    ("cache-control", Shown::Nothing),
    ("connection", Shown::Words),
    ("content-length", Shown::Digits),
    ("content-type", Shown::Words),
    ("cookie", Shown::Cookies),
    ("expect", Shown::Words),
    ("forwarded", Shown::Nothing),
    ("host", Shown::Authority),
    ("last-event-id", Shown::Digits),
    ("origin", Shown::Origin),
    ("pragma", Shown::Nothing),
    ("proxy-authorization", Shown::Authorization),
    ("referer", Shown::Nothing),
    ("sec-fetch-dest", Shown::Words),
    ("sec-fetch-mode", Shown::Words),
    ("sec-fetch-site", Shown::Words),
    ("sec-websocket-extensions", Shown::Nothing),
    ("sec-websocket-key", Shown::Nonce),
    ("sec-websocket-protocol", Shown::Nothing),
    ("sec-websocket-version", Shown::Digits),
    ("te", Shown::Words),
    ("trailer", Shown::Nothing),
    ("transfer-encoding", Shown::Words),
    ("upgrade", Shown::Words),
    ("user-agent", Shown::Nothing),
    ("x-forwarded-for", Shown::Addresses),
    ("x-forwarded-proto", Shown::Words),
];

/// Words of the standards, which reveal nothing about a user.
const WORDS: [&str; 41] = [
    "*/*",
    "100-continue",
    "application/json",
    "application/problem+json",
    "application/x-www-form-urlencoded",
    "br",
    "charset",
    "chunked",
    "close",
    "content-length",
    "cors",
    "cross-site",
    "deflate",
    "document",
    "empty",
    "eventsource",
    "gzip",
    "h2c",
    "host",
    "http",
    "https",
    "identity",
    "iframe",
    "image",
    "keep-alive",
    "multipart/form-data",
    "navigate",
    "no-cors",
    "none",
    "q",
    "same-origin",
    "same-site",
    "script",
    "text/event-stream",
    "text/html",
    "text/plain",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "utf-8",
    "websocket",
];

/// Masks a head, or the beginning of one, whether or not it is well-formed.
pub(super) fn mask_head(head: &mut [u8], secrets: &mut Secrets) {
    let mut shown = None;
    for line in head.split_mut(|byte| *byte == b'\n') {
        let is_empty = line.iter().all(|byte| *byte == b'\r');
        let Some(of_field) = shown else {
            if !is_empty {
                mask_request_line(line, secrets);
                shown = Some(Shown::Nothing);
            }
            continue;
        };
        // A line that continues the one before; the server refuses it.
        if line.first().is_some_and(|byte| b" \t".contains(byte)) {
            mask_value(line, of_field, secrets);
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at_mut(colon.unwrap_or(line.len()));
        let known = FIELDS.iter().find(|(known, _)| {
            colon.is_some() && name.trim_ascii().eq_ignore_ascii_case(known.as_bytes())
        });
        if known.is_none() {
            mask_part(name);
        }
        let of_field = known.map_or(Shown::Nothing, |(_, shown)| *shown);
        mask_value(value, of_field, secrets);
        shown = Some(of_field);
    }
}

/// Keeps the method, the target and the version as far as they are valid.
fn mask_request_line(line: &mut [u8], secrets: &mut Secrets) {
    let words: Vec<&mut [u8]> = line.split_mut(|byte| b" \t\r".contains(byte)).collect();
    let count = words.iter().filter(|word| !word.is_empty()).count();
    let mut place = 0;
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        place += 1;
        match place {
            1 if Method::from_bytes(word).is_some() => {}
            1 => mask_part(word),
            // If there are more than these three, the server expects the version right behind the target.
            _ if place > 2 || place == count && word.starts_with(b"HTTP/") => {
                mask_unlike(word, b"HTTP/1.1");
            }
            _ => mask_target(word, secrets),
        }
    }
}

/// Masks all bytes except those that equal `expected` at the same position; a digit there stands for any digit.
fn mask_unlike(word: &mut [u8], expected: &[u8]) {
    for (place, byte) in word.iter_mut().enumerate() {
        let fits = expected.get(place).is_some_and(|expected| {
            expected == byte || expected.is_ascii_digit() && byte.is_ascii_digit()
        });
        if !fits {
            mask_part(std::slice::from_mut(byte));
        }
    }
}

/// As [`mask_letters`], but non-ASCII stays non-ASCII, and invalid UTF-8 stays invalid: the server refuses them in
/// most places of a head, with different errors.
fn mask_part(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        let length = mask_first(bytes);
        bytes = &mut bytes[length..];
    }
}

/// Masks the character at the front; returns its length.
fn mask_first(bytes: &mut [u8]) -> usize {
    if bytes[0].is_ascii() {
        mask_letters(&mut bytes[..1]);
        1
    } else {
        mask_character(bytes)
    }
}

fn mask_target(target: &mut [u8], secrets: &mut Secrets) {
    let mut rest = target;
    if !rest.starts_with(b"/") && *rest != *b"*" {
        let scheme = rest.windows(3).position(|part| part == b"://");
        let Some(scheme) = scheme else {
            return mask_path(rest);
        };
        let (name, after) = rest.split_at_mut(scheme);
        if ![&b"http"[..], b"https"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        {
            mask_part(name);
        }
        let after = &mut after[3..];
        let end = after.iter().position(|byte| b"/?".contains(byte));
        let (authority, after) = after.split_at_mut(end.unwrap_or(after.len()));
        mask_authority(authority);
        rest = after;
    }
    let query = rest.iter().position(|byte| *byte == b'?');
    let (path, query) = rest.split_at_mut(query.unwrap_or(rest.len()));
    mask_path(path);
    if let [_, query @ ..] = query {
        query
            .split_mut(|byte| *byte == b'&')
            .for_each(|pair| mask_pair(pair, secrets));
    }
}

/// Masks a whole path that is not one of the server's own; in one that is, only the values of parameters, except
/// the public id of a session.
fn mask_path(path: &mut [u8]) {
    let text = String::from_utf8_lossy(path).into_owned();
    let decoded: Vec<_> = text
        .split('/')
        .map(|segment| percent_decode(segment).ok())
        .collect();
    let is_utf8 = decoded.iter().all(Option::is_some);
    let fits = |pattern: &'static str| {
        let wanted: Vec<&str> = pattern.split('/').collect();
        let fits = |(wanted, given): (&&str, &Option<_>)| {
            let given: Option<&str> = given.as_deref();
            given.is_some_and(|given| {
                given == *wanted || wanted.starts_with('{') && !given.is_empty()
            })
        };
        (wanted.len() == decoded.len() && wanted.iter().zip(&decoded).all(fits)).then_some(wanted)
    };
    let pattern = HANDLERS.iter().find_map(|(_, pattern, _)| fits(pattern));
    for (place, segment) in path.split_mut(|byte| *byte == b'/').enumerate() {
        let is_own = pattern
            .as_ref()
            .is_some_and(|pattern| !pattern[place].starts_with('{'));
        let is_id = pattern.is_some() && is_session_id(segment);
        if !is_own && !is_id {
            mask_escaped(segment, is_utf8);
        }
    }
}

/// Whether this is sixteen bytes in base64url.
fn is_session_id(segment: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    segment.len() == 22 && segment.iter().all(is_part)
}

/// A name and a value of a query.
fn mask_pair(pair: &mut [u8], secrets: &mut Secrets) {
    let text = String::from_utf8_lossy(pair).into_owned();
    let (name, value) = form_urlencoded::parse(text.as_bytes())
        .next()
        .unwrap_or_default();
    let is_public = match &*name {
        "since" | "limit" | "wait" => is_number(value.as_bytes()),
        "everywhere" => matches!(&*value, "true" | "false"),
        "pattern" => value
            .split(',')
            .all(|pattern| Pattern::parse(pattern.trim()).is_some()),
        _ => {
            let sign = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = pair.split_at_mut(sign.unwrap_or(pair.len()));
            mask_escaped(name, false);
            if let [_, value @ ..] = value
                && !secrets.sign_again(value)
            {
                mask_escaped(value, false);
            }
            return;
        }
    };
    let sign = pair
        .iter()
        .position(|byte| *byte == b'=')
        .unwrap_or(pair.len());
    if !is_public {
        // No digit is left, so an invalid number stays invalid.
        let value = &mut pair[sign..];
        mask_escaped(value, false);
        value
            .iter_mut()
            .filter(|byte| **byte == b'1')
            .for_each(|byte| *byte = b'x');
    }
}

/// Masks text that may have escapes, which stay escapes: a letter or digit becomes an escaped `x`, other ASCII stays,
/// and anything else becomes an escaped `x`, too, if the text is valid UTF-8; if not, it stays invalid.
pub(super) fn mask_escaped(bytes: &mut [u8], is_utf8: bool) {
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| {
            let both = digits.iter().all(u8::is_ascii_hexdigit);
            both.then(|| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
        });
        let Some(byte) = digits.filter(|_| bytes[at] == b'%') else {
            at += mask_first(&mut bytes[at..]);
            continue;
        };
        let instead: Option<&[u8; 2]> = match byte {
            _ if byte.is_ascii_alphanumeric() => Some(b"78"),
            0x80.. if is_utf8 => Some(b"78"),
            0x80.. => Some(b"ff"),
            _ => None,
        };
        if let Some(instead) = instead {
            bytes[at + 1..at + 3].copy_from_slice(instead);
        }
        at += 3;
    }
}

fn is_number(text: &[u8]) -> bool {
    (1..=20).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

/// Masks the part after a field's name: the colon, spaces, and the value.
fn mask_value(value: &mut [u8], shown: Shown, secrets: &mut Secrets) {
    let start = value.iter().position(|byte| !b": \t".contains(byte));
    let value = &mut value[start.unwrap_or(0)..];
    let text = value.trim_ascii();
    match shown {
        Shown::Digits if is_number(text) => {}
        Shown::Nonce if is_nonce(text) => {}
        Shown::Origin if text == b"null" => {}
        Shown::Origin if is_origin(text) => {}
        Shown::Authority => mask_authority(value),
        Shown::Addresses => mask_addresses(value),
        Shown::Words => {
            for word in value.split_mut(|byte| b" \t\r,;=\"".contains(byte)) {
                let is_known = |known: &&str| word.eq_ignore_ascii_case(known.as_bytes());
                if !WORDS.iter().any(is_known) {
                    mask_part(word);
                }
            }
        }
        Shown::Authorization => secrets.mask_words(value, &["bearer", "basic"]),
        Shown::Cookies => value
            .split_mut(|byte| *byte == b';')
            .for_each(|cookie| mask_cookie(cookie, secrets)),
        _ => secrets.mask_words(value, &[]),
    }
}

fn mask_cookie(cookie: &mut [u8], secrets: &mut Secrets) {
    let sign = cookie.iter().position(|byte| *byte == b'=');
    let (name, value) = cookie.split_at_mut(sign.unwrap_or(0));
    if name.trim_ascii() != b"session" {
        mask_part(name);
    }
    secrets.mask_words(value, &[]);
}

fn is_nonce(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    text.len() == 24 && text.ends_with(b"==") && text[..22].iter().all(is_part)
}

fn is_origin(text: &[u8]) -> bool {
    let authority = text
        .strip_prefix(b"https://")
        .or_else(|| text.strip_prefix(b"http://"));
    authority.is_some_and(is_plain_authority)
}

/// Whether this is a name or an address, perhaps with a port, as people write it.
fn is_plain_authority(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(byte);
    !text.is_empty() && text.len() <= 255 && text.iter().all(is_part)
}

fn mask_authority(value: &mut [u8]) {
    if is_plain_authority(value.trim_ascii()) {
        return;
    }
    // A valid port stays valid, and one that is too large stays too large.
    let port = value.iter().rposition(|byte| *byte == b':');
    let host_end = port.filter(|at| value[at + 1..].trim_ascii().iter().all(u8::is_ascii_digit));
    let host_end = host_end.unwrap_or(value.len());
    mask_part(&mut value[..host_end]);
}

/// Masks invalid addresses, and leaves none of their digits, so that they stay invalid.
fn mask_addresses(value: &mut [u8]) {
    for entry in value.split_mut(|byte| *byte == b',') {
        let text = String::from_utf8_lossy(entry.trim_ascii()).into_owned();
        let bracketed = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let is_address = text.parse::<std::net::IpAddr>().is_ok()
            || text.parse::<std::net::SocketAddr>().is_ok()
            || bracketed.is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok());
        if !is_address {
            mask_part(entry);
            entry
                .iter_mut()
                .filter(|byte| **byte == b'1')
                .for_each(|byte| *byte = b'x');
        }
    }
}

#[cfg(test)]
mod tests;
