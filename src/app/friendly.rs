//! Which clients have no limit by address. The one definition for all such limits: connections, failed logins,
//! places for hashes.
//!
//! * A *peer* is friendly if it is on this machine (loopback, a unix socket) or a proxy that the operator trusts. One
//!   such peer may carry the requests of many users.
//! * A *request* is friendly if its peer is, and if no field of it says that it was forwarded. With such a field a
//!   proxy speaks for one client of its own. If the proxy is trusted, that client's address counts; if not, the
//!   proxy's does.
//! * An address that was learned from a field is never friendly, not even 127.0.0.1.

use std::net::{IpAddr, Ipv4Addr};

use super::Request;
use super::throttle::network;
use crate::reactor::Peer;

/// Fields in which proxies name their client; all that begin with `x-forwarded-` count as well.
const FORWARDED: [&str; 8] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
];
const FORWARDED_PREFIX: &[u8] = b"x-forwarded-";

/// The network whose limits a connection counts against; none if its peer is friendly.
#[must_use]
pub fn limited_peer(peer: Peer, trusted: &[IpAddr]) -> Option<u128> {
    let address = peer.ip()?.to_canonical();
    let is_proxy = trusted.iter().any(|proxy| proxy.to_canonical() == address);
    (!address.is_loopback() && !is_proxy).then(|| network(address))
}

/// The network whose limits a request counts against; none if the request is friendly. All requests with an
/// unknown address count as one network.
#[must_use]
pub(super) fn limited(request: &Request<'_>, trusted: &[IpAddr]) -> Option<u128> {
    if limited_peer(request.peer(), trusted).is_none() && !is_forwarded(request) {
        return None;
    }
    let client = request.client(trusted);
    Some(network(client.unwrap_or(Ipv4Addr::UNSPECIFIED.into())))
}

fn is_forwarded(request: &Request<'_>) -> bool {
    request.field_names().any(|name| {
        let start = name.as_bytes().get(..FORWARDED_PREFIX.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(FORWARDED_PREFIX))
            || FORWARDED
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;
    use std::net::SocketAddr;

    /// The network that a request of this peer with this field counts against. 10.0.0.1 is trusted.
    fn limited_by(peer: &str, field: &str) -> Option<IpAddr> {
        let bytes = format!("POST /login HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n");
        let limits = crate::config::Limits::default();
        let mut slots = http::HeaderSlots::new();
        let head = http::parse_head(bytes.as_bytes(), &mut slots, &limits);
        let head = head.unwrap().expect("a whole head");
        let peer = match peer {
            "unix" => Peer::Unix,
            address => Peer::Ip(SocketAddr::new(address.parse().unwrap(), 50_000)),
        };
        let trusted = ["10.0.0.1".parse().unwrap()];
        let request = Request::new(&head, b"", peer, Vec::new());
        let bits = limited(&request, &trusted)?;
        Some(IpAddr::from(bits.to_be_bytes()).to_canonical())
    }

    #[test]
    fn a_request_is_friendly_if_its_peer_is_and_nothing_says_that_it_was_forwarded() {
        for (peer, field, limited) in [
            // strangers
            ("192.0.2.1", "A: b", Some("192.0.2.1")),
            ("192.0.2.1", "X-Forwarded-For: 127.0.0.1", Some("192.0.2.1")),
            ("2001:db8::1", "A: b", Some("2001:db8::")),
            // friends
            ("127.0.0.1", "A: b", None),
            ("127.8.8.8", "A: b", None),
            ("::1", "A: b", None),
            ("::ffff:127.0.0.1", "A: b", None),
            ("unix", "A: b", None),
            ("10.0.0.1", "A: b", None),
            ("::ffff:10.0.0.1", "A: b", None),
            // a trusted proxy
            ("10.0.0.1", "X-Forwarded-For: 192.0.2.1", Some("192.0.2.1")),
            ("10.0.0.1", "X-Forwarded-For: 127.0.0.1", Some("127.0.0.1")),
            ("10.0.0.1", "x-forwarded-for: 10.0.0.1", Some("10.0.0.1")),
            ("10.0.0.1", "X-Forwarded-For: unknown", Some("10.0.0.1")),
            ("10.0.0.1", "X-Real-IP: 192.0.2.1", Some("10.0.0.1")),
            ("unix", "X-Forwarded-For: 192.0.2.1", Some("192.0.2.1")),
            ("unix", "X-Forwarded-For: ::1", Some("::")),
            ("unix", "Forwarded: for=192.0.2.1", Some("0.0.0.0")),
            // a proxy that is not trusted
            ("127.0.0.1", "X-Forwarded-For: 192.0.2.1", Some("127.0.0.1")),
            ("::1", "Forwarded: for=192.0.2.1", Some("::")),
            ("127.0.0.1", "FORWARDED:", Some("127.0.0.1")),
            ("127.0.0.1", "X-Forwarded-Proto: https", Some("127.0.0.1")),
            ("127.0.0.1", "X-Forwarded-Host: x", Some("127.0.0.1")),
            ("127.0.0.1", "X-Real-IP: 192.0.2.1", Some("127.0.0.1")),
            ("127.0.0.1", "Via: 1.1 x", Some("127.0.0.1")),
            ("127.0.0.1", "X-Forwarded: x", None),
        ] {
            let expected = limited.map(|address| address.parse().unwrap());
            assert_eq!(limited_by(peer, field), expected, "{peer} {field}");
        }
    }
}
