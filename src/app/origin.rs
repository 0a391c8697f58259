//! Where a request comes from: which site's page sent it, and which address.
//!
//! Both are claims of the peer. What it says about the site is believed because a browser does not
//! let a page change it; what it says about the address, only if the peer is a proxy of ours.

use std::net::{IpAddr, SocketAddr};

/// Whether a page of this very origin sent the request, by `Sec-Fetch-Site` (W3C Fetch Metadata)
/// and `Origin` (RFC 6454). Asked of requests that change state and present the cookie, and of
/// WebSocket handshakes; in doubt the answer is no.
///
/// * `Sec-Fetch-Site` must be `same-origin`, or `none` (the user typed the address).
/// * `Origin` must name the host and port of `Host`. A port that is missing is the default one
///   of the origin's scheme: behind a TLS proxy, `https://example.com` is `Host: example.com`.
/// * On a connection that is encrypted it must say `https`: over plain HTTP anybody on the way could
///   have written the page.
/// * If both are there both must agree; if neither is, no browser of today sent it.
#[must_use]
pub(super) fn same_origin(
    host: Option<&[u8]>,
    origin: Option<&[u8]>,
    sec_fetch_site: Option<&[u8]>,
    secure: bool,
) -> bool {
    if sec_fetch_site.is_none() && origin.is_none() {
        return false;
    }
    let fetch_agrees = sec_fetch_site.is_none_or(|site| matches!(site, b"same-origin" | b"none"));
    let origin_agrees = origin.is_none_or(|origin| {
        let plain_elsewhere = secure && !has_scheme(origin, b"https://");
        !plain_elsewhere && host.is_some_and(|host| names(origin, host))
    });
    fetch_agrees && origin_agrees
}

/// Whether `origin` names the authority `host`.
fn names(origin: &[u8], host: &[u8]) -> bool {
    let default_port = |authority, port| {
        let (name, own_port) = split_port(authority)?;
        Some((name, own_port.unwrap_or(port)))
    };
    let Some((authority, port)) = without_scheme(origin) else {
        return false; // `null`, and schemes that cannot be ours
    };
    match (default_port(authority, port), default_port(host, port)) {
        (Some((theirs, their_port)), Some((ours, our_port))) => {
            theirs.eq_ignore_ascii_case(ours) && their_port == our_port
        }
        _ => false,
    }
}

fn has_scheme(origin: &[u8], scheme: &[u8]) -> bool {
    let start = origin.get(..scheme.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// What follows `http://` or `https://`, and that scheme's default port.
fn without_scheme(origin: &[u8]) -> Option<(&[u8], u16)> {
    [(&b"http://"[..], 80), (b"https://", 443)]
        .into_iter()
        .find_map(|(scheme, port)| {
            has_scheme(origin, scheme).then(|| (&origin[scheme.len()..], port))
        })
}

/// Host and port of an authority without user information (RFC 3986, section 3.2). A path, a
/// space, a comma or anything else that is no host makes it none.
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
/// ends the search at the last good one, so what a client wrote into the header is never reached.
///
/// `peer` is `None` on a unix socket. Only local processes can open one, so it is taken for a
/// proxy, if proxies are expected at all: if `trusted` is not empty. The answer is `None` only if
/// nobody vouches for an address. IPv4 addresses in IPv6 form come back as IPv4.
pub(super) fn client_address<'h>(
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

/// Whether what `peer` says about its own clients is believed.
pub(super) fn is_proxy(peer: Option<IpAddr>, trusted: &[IpAddr]) -> bool {
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
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_site_is_told_apart() {
        let host = Some("example.com");
        for (host, origin, site, expected) in [
            // by Sec-Fetch-Site alone
            (host, None, Some("same-origin"), true),
            (host, None, Some("none"), true),
            (host, None, Some("same-site"), false),
            (host, None, Some("cross-site"), false),
            (host, None, Some(""), false),
            (host, None, Some("same-origin, none"), false),
            // by Origin alone
            (host, Some("https://example.com"), None, true),
            (host, Some("http://example.com"), None, true),
            (host, Some("HTTPS://EXAMPLE.com"), None, true),
            (host, Some("https://example.com:443"), None, true),
            (host, Some("https://example.com:80"), None, false),
            (host, Some("https://example.com:8443"), None, false),
            (host, Some("https://www.example.com"), None, false),
            (host, Some("https://example.com.evil.org"), None, false),
            (host, Some("https://evil.org"), None, false),
            (host, Some("null"), None, false),
            (host, Some(""), None, false),
            (host, Some("example.com"), None, false),
            (host, Some("ftp://example.com"), None, false),
            (host, Some("wss://example.com"), None, false),
            (host, Some("https://"), None, false),
            (host, Some("https://example.com/"), None, false),
            (host, Some("https://example.com#@evil.org"), None, false),
            (host, Some("https://evil.org@example.com"), None, false),
            (
                host,
                Some("https://example.com https://evil.org"),
                None,
                false,
            ),
            (host, Some(" https://example.com"), None, false),
            (host, Some("https://example.com:"), None, false),
            (host, Some("https://example.com:+443"), None, false),
            (host, Some("https://example.com:65979"), None, false), // 443 in sixteen bits
            (None, Some("https://example.com"), None, false),
            (Some(""), Some("https://"), None, false),
            (
                Some("example.com:443"),
                Some("https://example.com"),
                None,
                true,
            ),
            (
                Some("example.com:443"),
                Some("http://example.com"),
                None,
                false,
            ),
            (
                Some("example.com:80"),
                Some("http://example.com"),
                None,
                true,
            ),
            (
                Some("localhost:8080"),
                Some("http://localhost:8080"),
                None,
                true,
            ),
            (
                Some("localhost:8080"),
                Some("http://localhost"),
                None,
                false,
            ),
            (Some("[::1]:8080"), Some("http://[::1]:8080"), None, true),
            (Some("[::1]"), Some("http://[::1]:80"), None, true),
            (Some("[::1]"), Some("http://[::2]"), None, false),
            (Some("[::1"), Some("http://[::1"), None, false),
            (Some("[::1]x"), Some("http://[::1]x"), None, false),
            // both must agree
            (host, Some("https://example.com"), Some("same-origin"), true),
            (host, Some("https://example.com"), Some("cross-site"), false),
            (host, Some("https://evil.org"), Some("same-origin"), false),
            (host, Some("null"), Some("none"), false),
            // no browser
            (host, None, None, false),
        ] {
            let bytes = |text: Option<&'static str>| text.map(str::as_bytes);
            assert_eq!(
                same_origin(bytes(host), bytes(origin), bytes(site), false),
                expected,
                "Host {host:?}, Origin {origin:?}, Sec-Fetch-Site {site:?}"
            );
        }
    }

    #[test]
    fn an_encrypted_site_does_not_trust_its_plain_namesake() {
        let host = Some(&b"example.com"[..]);
        for (origin, site, expected) in [
            (Some(&b"https://example.com"[..]), None, true),
            (Some(b"HTTPS://example.com:443"), None, true),
            (Some(b"http://example.com"), None, false),
            (Some(b"http://example.com:443"), None, false),
            (None, Some(&b"same-origin"[..]), true),
        ] {
            assert_eq!(same_origin(host, origin, site, true), expected);
        }
    }

    /// `trusted` are 10.0.0.1 and 10.0.0.2, and one more in IPv6.
    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.1", "::ffff:10.0.0.2", "2001:db8::1"].map(|t| t.parse().unwrap());
        let lines = lines.iter().map(|line| line.as_bytes());
        let address = client_address(peer.parse().ok(), lines, &trusted);
        address.map_or("nobody".into(), |address| address.to_string())
    }

    #[test]
    fn a_forwarded_address_is_believed_from_the_right() {
        for (peer, lines, expected) in [
            // not a proxy: whatever it says
            ("192.0.2.9", &["1.2.3.4"][..], "192.0.2.9"),
            ("192.0.2.9", &["10.0.0.1"], "192.0.2.9"),
            // one proxy
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("::ffff:10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("10.0.0.2", &["::ffff:1.2.3.4"], "1.2.3.4"),
            ("2001:db8::1", &["2001:db8:5::7"], "2001:db8:5::7"),
            // what the client wrote itself
            ("10.0.0.1", &["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["9.9.9.9", "1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["10.0.0.2, 1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["garbage\u{ff}", "1.2.3.4"], "1.2.3.4"),
            // two proxies
            ("10.0.0.1", &["9.9.9.9,1.2.3.4 ,\t10.0.0.2"], "1.2.3.4"),
            (
                "10.0.0.1",
                &["1.2.3.4", "10.0.0.2", "2001:db8::1"],
                "1.2.3.4",
            ),
            ("10.0.0.1", &["2001:db8::1, 10.0.0.2"], "2001:db8::1"),
            // not an address
            ("10.0.0.1", &["1.2.3.4, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["1.2.3.4,"], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4", ""], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3"], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4.5"], "10.0.0.1"),
            ("10.0.0.1", &["01.2.3.4"], "10.0.0.1"),
            ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
            // with ports
            ("10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            ("10.0.0.1", &["[2001:db8:5::7]:5678"], "2001:db8:5::7"),
            ("10.0.0.1", &["[2001:db8:5::7]"], "2001:db8:5::7"),
            ("10.0.0.1", &["[1.2.3.4]"], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4:99999"], "10.0.0.1"),
            // a unix socket
            ("", &[], "nobody"),
            ("", &["1.2.3.4"], "1.2.3.4"),
            ("", &["9.9.9.9, 1.2.3.4, 10.0.0.1"], "1.2.3.4"),
            ("", &["unknown"], "nobody"),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer:?} {lines:?}");
        }
    }

    #[test]
    fn without_proxies_nobody_is_believed() {
        let header = || [&b"1.2.3.4"[..]].into_iter();
        assert_eq!(client_address(None, header(), &[]), None);
        let peer = "::ffff:192.0.2.9".parse().ok();
        let expected = "192.0.2.9".parse().ok();
        assert_eq!(client_address(peer, header(), &[]), expected);
    }
}
