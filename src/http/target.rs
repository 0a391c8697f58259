//! Request targets (RFC 9112, section 3.2) and percent-decoding (RFC 3986, section 2.1).
//!
//! The path stays as it came: decoding, dot segments and double slashes are left to the code that matches
//! paths, and matching the raw path exactly is the safest choice.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::fault::Fault;
use super::method::Method;

/// Where a request goes, borrowed from the head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target<'b> {
    /// Begins with `/`, still percent-encoded; or is `*`, for OPTIONS about the server itself.
    pub path: &'b str,
    /// The part behind the first `?`, still encoded.
    pub query: Option<&'b str>,
    /// Host and port of an absolute-form target, which replace the `Host` field.
    pub authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// Reads origin-form and absolute-form, and `*` for OPTIONS. Afterwards all escapes in the path and in
    /// the query are complete, and none is NUL.
    ///
    /// # Errors
    /// [`Fault::BAD_TARGET`] for any other form, a scheme that is not HTTP, user information, a
    /// fragment, and bytes that a URI must encode; [`Fault::BAD_ESCAPE`].
    pub fn parse(method: Method, text: &'b str) -> Result<Self, Fault> {
        check_bytes(text.as_bytes())?;
        if text.starts_with('/') {
            return Ok(Self::split(text, None));
        }
        if text == "*" && method == Method::Options {
            return Ok(Self::split(text, None));
        }
        Self::parse_absolute(method, text)
    }

    fn parse_absolute(method: Method, text: &'b str) -> Result<Self, Fault> {
        let (scheme, rest) = text.split_once("://").ok_or(Fault::BAD_TARGET)?;
        if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
            return Err(Fault::BAD_TARGET);
        }
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(authority_end);
        // An absolute target must name a host; only the Host field may be empty.
        if authority.is_empty() || !is_host_and_port(authority.as_bytes()) {
            return Err(Fault::BAD_TARGET);
        }
        let mut target = Self::split(path_and_query, Some(authority));
        if target.path.is_empty() {
            // RFC 9112, section 3.2.4: this is how a client asks a proxy about the server as a whole.
            let whole_server = method == Method::Options && target.query.is_none();
            target.path = if whole_server { "*" } else { "/" };
        }
        Ok(target)
    }

    fn split(path_and_query: &'b str, authority: Option<&'b str>) -> Self {
        // A search by bytes: for short texts a search by characters costs several times as much.
        let bytes = path_and_query.as_bytes();
        let (path, query) = match bytes.iter().position(|byte| *byte == b'?') {
            Some(at) => (&path_and_query[..at], Some(&path_and_query[at + 1..])),
            None => (path_and_query, None),
        };
        Self {
            path,
            query,
            authority,
        }
    }

    /// The decoded path. An encoded slash becomes a slash: split before decoding if that matters.
    ///
    /// # Errors
    /// [`Fault::BAD_ESCAPE`] if it does not decode to UTF-8.
    pub fn decoded_path(&self) -> Result<Cow<'b, str>, Fault> {
        percent_decode(self.path)
    }

    /// The first value of that name in the query, decoded like a form: `+` is a space, and invalid
    /// UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'b, str>> {
        form_urlencoded::parse(self.query?.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

/// Replaces `%XX` by the byte it stands for.
///
/// # Errors
/// [`Fault::BAD_ESCAPE`] for an escape without two hexadecimal digits, for NUL, and when the result
/// is not UTF-8.
pub fn percent_decode(text: &str) -> Result<Cow<'_, str>, Fault> {
    if text.contains('\0') {
        return Err(Fault::BAD_ESCAPE);
    }
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            decoded.push(escaped_byte(tail)?);
            rest = &tail[2..];
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    let decoded = String::from_utf8(decoded).map_err(|_| Fault::BAD_ESCAPE)?;
    Ok(Cow::Owned(decoded))
}

/// The byte of the first two digits in `digits`; if it is `Ok`, there are at least two bytes.
fn escaped_byte(digits: &[u8]) -> Result<u8, Fault> {
    let digit = |at: usize| {
        let byte = char::from(*digits.get(at)?);
        byte.to_digit(16).map(|value| value as u8)
    };
    match (digit(0), digit(1)) {
        (Some(0), Some(0)) | (None, _) | (_, None) => Err(Fault::BAD_ESCAPE),
        (Some(high), Some(low)) => Ok(high << 4 | low),
    }
}

/// Refuses fragments, which clients must keep to themselves, raw non-ASCII, and bad escapes.
fn check_bytes(bytes: &[u8]) -> Result<(), Fault> {
    if needs_a_closer_look(bytes) == 0 {
        return Ok(());
    }
    if bytes.contains(&b'#') || !bytes.is_ascii() {
        return Err(Fault::BAD_TARGET);
    }
    let mut escapes = bytes.split(|byte| *byte == b'%').skip(1);
    escapes.try_for_each(|tail| escaped_byte(tail).map(drop))
}

/// 0 if no byte can be wrong or begin an escape. It has no early exit: this form compiles to vector instructions,
/// and targets are short.
#[inline]
fn needs_a_closer_look(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |found, byte| {
        found | u8::from(*byte == b'#' || *byte == b'%' || !byte.is_ascii())
    })
}

/// `uri-host [":" port]` (RFC 9110, section 7.2), or nothing at all.
///
/// Stricter than the RFC about forms that no client uses: no comma, no percent escapes and no `IPvFuture` in the
/// host, and no port without a host.
pub(super) fn is_host_and_port(text: &[u8]) -> bool {
    if let Some(literal) = text.strip_prefix(b"[") {
        return is_literal_and_port(literal);
    }
    let host_end = text.iter().position(|byte| !HOST_BYTES[usize::from(*byte)]);
    match host_end.map(|end| text.split_at(end)) {
        None => true,
        Some((host, [b':', port @ ..])) => !host.is_empty() && is_port(port),
        Some(_) => false,
    }
}

/// The bytes of which a host name consists. A table, since every request has a host.
static HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric()
            || matches!(c, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'')
            || matches!(c, b'(' | b')' | b'*' | b'+' | b';' | b'=');
        byte += 1;
    }
    table
};

/// `literal` is the text after the opening bracket.
#[cold]
fn is_literal_and_port(literal: &[u8]) -> bool {
    let Some((address, after)) = std::str::from_utf8(literal)
        .ok()
        .and_then(|literal| literal.split_once(']'))
    else {
        return false;
    };
    let port_is_valid = match after.strip_prefix(':') {
        Some(port) => is_port(port.as_bytes()),
        None => after.is_empty(),
    };
    port_is_valid && address.parse::<Ipv6Addr>().is_ok()
}

/// `*DIGIT`, so it may be empty, but not above 65535. It may have leading zeros.
fn is_port(digits: &[u8]) -> bool {
    let number = digits.iter().try_fold(0_u32, |number, digit| {
        let value = u32::from(digit.wrapping_sub(b'0'));
        let number = (number * 10).saturating_add(value);
        (value < 10 && u16::try_from(number).is_ok()).then_some(number)
    });
    number.is_some()
}

#[cfg(test)]
mod tests;
