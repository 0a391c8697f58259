//! What the server shows its operator, on a listener of its own: metrics for scrapers, sources for operators, turns
//! for learners.
//!
//! Only this machine can reach it ([`Config::checked`](crate::config::Config::checked)), and only under a name of
//! this machine: a page of another site whose name resolves to this machine is refused (DNS rebinding). Nothing that
//! is sent here is evaluated, and the only thing that a request can change is to end a connection.

mod batch;
mod gate;
mod live;
mod metrics;
mod page;
mod ps;
mod trace;
mod turns;

use std::iter::once;

pub use gate::Gate;
pub use live::{BATCH_EVERY, DEADLINES_MAX, Sight, Watch};
pub use ps::sources_json;
use serde_json::Value;

use super::{BuiltIn, DELETE, GET, Methods, Reply, Request};
use crate::http::{Method, Response, Status};
use crate::ledger::{Label, Ledger};
use crate::reactor::Peer;

/// The handlers of the monitor.
pub const HANDLERS: [(Methods, &str, BuiltIn); 10] = [
    (GET, "/", page::live),
    (GET, "/page/{name}", page::part),
    (GET, "/metrics", metrics::metrics),
    (GET, "/ps", ps::list),
    (GET, "/ps/{id}", ps::show),
    (DELETE, "/ps/{id}", ps::end),
    (GET, "/slow", turns::slow),
    (GET, "/turns", turns::turns),
    (GET, "/trace.json", trace::trace),
    (GET, "/live", live::live),
];

/// Numbers that are not the application's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    /// Connections of clients.
    pub connections: usize,
    /// Connections of the monitor.
    pub observers: usize,
    /// Most connections of clients.
    pub connections_max: usize,
    /// Connections of clients that have ended.
    pub connections_ended: u64,
    /// Ended connections that the peer reset.
    pub resets: u64,
    /// Bytes of requests and messages that are not complete.
    pub unfinished_bytes: usize,
    /// Bytes that wait for peers that do not take them at the moment.
    pub waiting_bytes: usize,
    /// Work that workers have, or that waits for them.
    pub pending: usize,
    /// Jobs for which no thread is free.
    pub hash_queue: usize,
    /// How often the store waited for the disk.
    pub commit_groups: u64,
}

/// Decides whether a request may use the monitor.
///
/// Requests of another site's page are refused, with any method: looking costs the loop's time, and only so many
/// observers may watch. A user's own navigation has `none` or `same-origin` in `Sec-Fetch-Site`, and curl sends none.
///
/// # Errors
/// 403: it names another host than this machine, or comes from another site's page. A user who follows a link from
/// there to the live page gets a page with a link of our own.
pub fn admit(request: &Request<'_>) -> Result<(), Reply> {
    let refused = |code, detail| Err(Reply::problem(Status::FORBIDDEN, code, detail));
    let host = request.host();
    if !matches!(request.peer(), Peer::Unix) && !host.is_some_and(is_this_machine) {
        return refused(
            "foreign_host",
            "the monitor answers to names of this machine only: localhost, 127.0.0.1, [::1]",
        );
    }
    if request.from_a_page() && !request.same_origin(&[]) {
        if follows_a_link(request) {
            return Err(page::doorstep());
        }
        return refused(
            "cross_site",
            "the monitor does not answer to pages of other sites: open it by its address",
        );
    }
    Ok(())
}

/// Whether the browser is to show the live page in a tab.
fn follows_a_link(request: &Request<'_>) -> bool {
    let says = |name, value: &[u8]| request.header(name) == Some(value);
    request.method() == Method::Get
        && request.path() == "/"
        && says("sec-fetch-mode", b"navigate")
        && says("sec-fetch-dest", b"document")
}

/// `localhost` or an address of loopback, with any port (RFC 9110, section 7.2).
fn is_this_machine(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let without_port = match host.rsplit_once(':') {
        Some((name, port))
            if !name.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    };
    let literal = without_port.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    without_port.eq_ignore_ascii_case("localhost") || literal.parse().is_ok_and(is_loopback)
}

/// JSON that no cache may keep.
fn json(value: &impl serde::Serialize) -> Reply {
    Reply::Now(Response::json(Status::OK, value).no_store())
}

/// A long answer, made piece by piece as the client takes it: ten thousand rows at once would block the loop for
/// tens of milliseconds.
fn in_pieces(kind: &'static str, pieces: impl Iterator<Item = Vec<u8>> + 'static) -> Reply {
    let head = Response::text(Status::OK, "").with_header("Content-Type", kind);
    Reply::stream(head.no_store(), pieces)
}

/// JSON with a long list in it, between `before` and `after`.
fn json_list(
    before: String,
    items: impl Iterator<Item = Value> + 'static,
    after: &'static str,
) -> Reply {
    let pieces = pieces_of_list(before, items, after).map(String::into_bytes);
    in_pieces("application/json", pieces)
}

fn pieces_of_list(
    before: String,
    items: impl Iterator<Item = Value>,
    after: &'static str,
) -> impl Iterator<Item = String> {
    let items = items.enumerate().map(|(at, item)| {
        let comma = if at == 0 { "" } else { ",\n" };
        format!("{comma}{item}")
    });
    once(before).chain(items).chain(once(format!("{after}\n")))
}

/// The names of all labels, and which of them belong to observers; for answers that are made after the handler
/// has returned.
struct Names(Vec<(String, bool)>);

impl Names {
    fn of(ledger: &Ledger) -> Self {
        let labels = ledger.labels();
        let names = labels.map(|(label, name)| (name.to_owned(), ledger.is_observer(label)));
        Self(names.collect())
    }

    fn name(&self, label: Label) -> &str {
        self.0.get(label.index()).map_or("", |(name, _)| name)
    }

    fn is_observer(&self, kind: Label) -> bool {
        self.0.get(kind.index()).is_some_and(|(_, is)| *is)
    }
}

/// A number from the query; `otherwise` if it is missing.
fn number(request: &Request<'_>, name: &str, otherwise: usize) -> Result<usize, Reply> {
    let Some(text) = request.query(name) else {
        return Ok(otherwise);
    };
    text.parse().map_err(|_| {
        let detail = format!("{name} is a number, as in {name}={otherwise}");
        Reply::problem(Status::BAD_REQUEST, "malformed_query", &detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_known_and_no_others() {
        for (host, is_ours) in [
            ("localhost", true),
            ("LocalHost:9090", true),
            ("127.0.0.1:9090", true),
            ("127.8.8.8", true),
            ("[::1]:9090", true),
            ("[::1]", true),
            ("", false),
            ("example.com", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com:9090", false),
            ("192.168.0.1", false),
            ("[::2]:80", false),
        ] {
            assert_eq!(is_this_machine(host.as_bytes()), is_ours, "{host}");
        }
    }
}
