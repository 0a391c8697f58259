//! A request as a handler sees it: borrowed from the buffer that it was read into.

use std::borrow::Cow;
use std::net::IpAddr;

use super::origin;
use crate::http::{Head, Method, list_elements};
use crate::reactor::Peer;

/// One request. It lives as long as the handler's call; a handler copies what it needs for longer.
pub struct Request<'r> {
    head: &'r Head<'r>,
    body: &'r [u8],
    peer: Peer,
    /// The connection itself is encrypted.
    secure: bool,
    parameters: Parameters<'r>,
}

/// The values of a path's `{name}` parts, decoded, in the pattern's order.
pub type Parameters<'r> = Vec<(&'r str, Cow<'r, str>)>;

impl<'r> Request<'r> {
    /// Makes a request from the parsed head and the matched path.
    #[must_use]
    pub fn new(head: &'r Head<'r>, body: &'r [u8], peer: Peer, parameters: Parameters<'r>) -> Self {
        Self {
            head,
            body,
            peer,
            secure: false,
            parameters,
        }
    }

    /// The same request, on an encrypted connection if `secure` is true.
    #[must_use]
    pub fn over(self, secure: bool) -> Self {
        Self { secure, ..self }
    }

    /// Its method. A HEAD request is handled by the GET handler, which sees `Head` here.
    #[must_use]
    pub fn method(&self) -> Method {
        self.head.method
    }

    /// Its path as it was sent, without the query, still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.target.path
    }

    /// The decoded value of `name` in the query string; the first, if there are several.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.head.target.query_value(name)
    }

    /// The value of the path's `{name}`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| &**value)
    }

    /// The first header field of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.header(name)
    }

    /// All header fields of that name.
    pub fn headers<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.head.headers(name)
    }

    /// The names of all header fields, in order, as they were sent.
    pub(super) fn field_names(&self) -> impl Iterator<Item = &str> {
        self.head.field_names()
    }

    /// The elements of all header fields of that name, which are one comma-separated list (RFC 9110, section 5.6.1),
    /// without the empty ones.
    pub fn list<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.headers(name).flat_map(list_elements)
    }

    /// The host, and perhaps a port, that the client addressed.
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.head.host()
    }

    /// The body, whole; empty if there was none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body
    }

    /// The media type of the body, in lower case and without parameters.
    #[must_use]
    pub fn content_type(&self) -> Option<String> {
        let value = std::str::from_utf8(self.header("content-type")?).ok()?;
        Some(value.split(';').next()?.trim().to_ascii_lowercase())
    }

    /// The peer at the other end of the connection, which may be a proxy.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The client that sent the request: the peer, or the address that a trusted proxy names in `X-Forwarded-For`.
    #[must_use]
    pub fn client(&self, trusted: &[IpAddr]) -> Option<IpAddr> {
        origin::client_address(self.peer.ip(), self.headers("x-forwarded-for"), trusted)
    }

    /// Whether the client came over TLS: to this server, or as a trusted proxy says in `X-Forwarded-Proto`. That
    /// is a list, in which one `https` is enough; no other field is believed.
    #[must_use]
    pub fn came_over_tls(&self, trusted: &[IpAddr]) -> bool {
        self.secure
            || origin::is_proxy(self.peer.ip(), trusted)
                && origin::forwarded_over_tls(self.headers("x-forwarded-proto"))
    }

    /// Whether the client offers to change the protocol: `Connection: Upgrade`, and an `Upgrade` field.
    #[must_use]
    pub fn offers_upgrade(&self) -> bool {
        self.head.upgrade
    }

    /// Whether a page of this site sent it: the rule for what a cookie may change. `trusted` proxies say
    /// whether the site is reached over TLS.
    #[must_use]
    pub fn same_origin(&self, trusted: &[IpAddr]) -> bool {
        let site = origin::Site {
            host: self.head.host(),
            over_tls: self.came_over_tls(trusted),
        };
        let (origin, fetched_from) = (self.headers("origin"), self.headers("sec-fetch-site"));
        origin::same_origin(site, origin, fetched_from)
    }

    /// Whether the request has fields by which a browser says that a page sent it.
    #[must_use]
    pub fn from_a_page(&self) -> bool {
        self.header("origin").is_some() || self.header("sec-fetch-site").is_some()
    }
}

impl std::fmt::Debug for Request<'_> {
    /// Without fields and body, which hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} {})", self.method(), self.path())
    }
}
