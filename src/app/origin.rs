//! Where a request comes from: from a page of which site, and from which address.
//!
//! Both are claims of the peer. Its claim about the site is believed because a browser does not let a page
//! change it; its claim about the address is believed only if the peer is a trusted proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::http::list_elements;
use crate::planted::{Bug, planted};

/// Whether a page of this very origin sent the request, by `Sec-Fetch-Site` (W3C Fetch Metadata)
/// and `Origin` (RFC 6454). Asked of requests that change state and present the cookie, and of
/// WebSocket handshakes; in doubt the answer is no.
///
/// | `Origin` | no `Sec-Fetch-Site` | `same-origin` | `none` | any other |
/// |---|---|---|---|---|
/// | absent | no | yes | yes | no |
/// | this site | yes | yes | yes | no |
/// | `null` | no | yes | no | no |
/// | any other | no | no | no | no |
///
/// * Without either field, no browser of today sent the request.
/// * `none` means that the user typed the address, or followed a bookmark.
/// * A browser hides the origin of a page under `Referrer-Policy: no-referrer`: then `Origin` is `null`, as
///   it is for a sandboxed frame or a `data:` URL. Only `same-origin` tells the two apart.
/// * A field that comes twice is any other.
#[must_use]
pub(super) fn same_origin<'h>(
    site: Site<'_>,
    origin: impl Iterator<Item = &'h [u8]>,
    sec_fetch_site: impl Iterator<Item = &'h [u8]>,
) -> bool {
    let (Ok(origin), Ok(fetched_from)) = (at_most_one(origin), at_most_one(sec_fetch_site)) else {
        return false;
    };
    let fetched_from = match fetched_from {
        Some(b"same-site") if planted(Bug::SiblingSite) => Some(&b"same-origin"[..]),
        other => other,
    };
    match (origin, fetched_from) {
        (None, Some(b"same-origin" | b"none")) => true,
        (Some(b"null"), fetched_from) => fetched_from == Some(b"same-origin"),
        (Some(origin), None | Some(b"same-origin" | b"none")) => site.is_at(origin),
        (None, None) | (_, Some(_)) => false,
    }
}

/// The only one of `values`, if there is one.
fn at_most_one<'h>(mut values: impl Iterator<Item = &'h [u8]>) -> Result<Option<&'h [u8]>, Twice> {
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Twice),
    }
}

/// A field came twice that may come only once.
struct Twice;

/// What the client calls this site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'r> {
    /// The `Host` field, or the authority of an absolute target.
    pub(super) host: Option<&'r [u8]>,
    /// The client came over TLS. If this is false, it may still have: a proxy that terminates TLS need not say so.
    pub(super) over_tls: bool,
}

impl Site<'_> {
    /// Whether `origin` is this site: scheme, host and port.
    ///
    /// A port that is missing is the default one of the origin's scheme: behind a TLS proxy,
    /// `https://example.com` is `Host: example.com`. A client that came over TLS needs an `https` origin:
    /// over plain HTTP any machine on the path could have written the page. The reverse is harmless, so an `https`
    /// page may send to a site that does not know that it is behind TLS.
    fn is_at(self, origin: &[u8]) -> bool {
        let Some((authority, default_port)) = without_scheme(origin) else {
            return false; // schemes that cannot be ours
        };
        if self.over_tls && default_port != HTTPS_PORT {
            return false;
        }
        let name_and_port = |authority| {
            let (name, own_port) = split_port(authority)?;
            Some((name, own_port.unwrap_or(default_port)))
        };
        match (name_and_port(authority), self.host.and_then(name_and_port)) {
            (Some((theirs, their_port)), Some((ours, our_port))) => {
                is_same_host(theirs, ours) && their_port == our_port
            }
            _ => false,
        }
    }
}

/// Compares names without case, and addresses in brackets by their value: a proxy may write its own
/// `Host`, and `[::1]` as `[0:0:0:0:0:0:0:1]`.
fn is_same_host(one: &[u8], other: &[u8]) -> bool {
    let address = |host: &[u8]| -> Option<Ipv6Addr> {
        let literal = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
        std::str::from_utf8(literal).ok()?.parse().ok()
    };
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

fn has_scheme(origin: &[u8], scheme: &[u8]) -> bool {
    let start = origin.get(..scheme.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// The part after `http://` or `https://`, and that scheme's default port.
fn without_scheme(origin: &[u8]) -> Option<(&[u8], u16)> {
    [(&b"http://"[..], HTTP_PORT), (b"https://", HTTPS_PORT)]
        .into_iter()
        .find_map(|(scheme, port)| {
            has_scheme(origin, scheme).then(|| (&origin[scheme.len()..], port))
        })
}

/// Host and port of an authority without user information (RFC 3986, section 3.2). `None` if there is a path, a
/// space, a comma or anything else that cannot be in a host.
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let is_literal = authority.starts_with(b"[");
    let end = if is_literal {
        authority.iter().position(|byte| *byte == b']')? + 1
    } else {
        let colon = authority.iter().position(|byte| *byte == b':');
        colon.unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(end);
    let allowed = |byte: &u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' => true,
        b'-' | b'_' => !is_literal,
        b':' | b'[' | b']' => is_literal,
        _ => false,
    };
    if host.is_empty() || !host.iter().all(allowed) {
        return None;
    }
    match port {
        [] => Some((host, None)),
        [b':', digits @ ..] => Some((host, Some(parse_port(digits)?))),
        _ => None,
    }
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None; // `parse` alone takes a plus sign
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The address that a request comes from: the peer's, or behind trusted proxies the one that they
/// vouch for in `X-Forwarded-For`. All lines of that header are one list.
///
/// The list is believed from its right end, where each proxy appends its own peer, as far as the
/// addresses are trusted ones; the first that is not is the client. An entry that is no address
/// ends the search at the last valid one, so the search never reaches what a client wrote into the header.
///
/// `peer` is `None` on a unix socket. Only local processes can open one, so it is taken for a
/// proxy, if proxies are expected at all: if `trusted` is not empty. The answer is `None` only if
/// no proxy vouches for an address. IPv4 addresses in IPv6 form come back as IPv4.
pub(crate) fn client_address<'h>(
    peer: Option<IpAddr>,
    forwarded_for: impl Iterator<Item = &'h [u8]>,
    trusted: &[IpAddr],
) -> Option<IpAddr> {
    let peer = peer.map(|peer| peer.to_canonical());
    if !is_proxy(peer, trusted) {
        return peer;
    }
    let is_trusted = |address: IpAddr| is_proxy(Some(address), trusted);
    // From left to right, so that nothing need be collected: each entry decides what a search that
    // starts right of it would find, if all entries in between turn out to be trusted.
    let mut found = None;
    for entry in forwarded_for.flat_map(|line| line.split(|byte| *byte == b',')) {
        found = match parse_entry(entry) {
            None => None,
            Some(address) if is_trusted(address) => found.or(Some(address)),
            client => client,
        };
    }
    found.or(peer)
}

/// Whether the client came to some proxy over TLS, by the lines of `X-Forwarded-Proto`, which are one list. Call it
/// only if [`is_proxy`] says that the peer is believed.
///
/// In doubt the answer is yes: a cookie without `Secure` may leak; a cookie with it is at worst not kept. So one
/// `https` anywhere in the list is enough, and every value but `http` and `ws` counts as `https` (some proxies say
/// `wss` for a WebSocket). A list without elements says nothing.
pub(super) fn forwarded_over_tls<'h>(mut lines: impl Iterator<Item = &'h [u8]>) -> bool {
    let is_plain =
        |scheme: &[u8]| scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"ws");
    lines.any(|line| list_elements(line).any(|scheme| !is_plain(scheme)))
}

/// Whether `peer` is believed about its own clients.
pub(crate) fn is_proxy(peer: Option<IpAddr>, trusted: &[IpAddr]) -> bool {
    let is_trusted = |peer: IpAddr| {
        let peer = peer.to_canonical();
        trusted.iter().any(|proxy| proxy.to_canonical() == peer)
    };
    !trusted.is_empty() && peer.is_none_or(is_trusted)
}

/// An address, alone or with a port as some proxies write it; IPv6 may stand in brackets.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']');
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| bracketed()?.parse().map(IpAddr::V6).ok())
        .or_else(|| {
            text.parse()
                .map(|with_port: SocketAddr| with_port.ip())
                .ok()
        })?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
