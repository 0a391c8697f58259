//! What is kept of a request until it is answered.

use std::time::Duration;

use super::message::Message;
use crate::http::{Head, Method, Status, Version, WireOptions};
use crate::ledger::Label;
use crate::reactor::{Moment, Peer, Reason, Turn};

/// How a connection ends once the outbox is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) reason: Reason,
    /// The peer may still be sending: our side is shut, and what comes is discarded.
    pub(super) linger: bool,
}

/// A request that a handler has seen and that is not answered yet.
#[derive(Debug)]
pub(super) struct Exchange {
    head_only: bool,
    /// The row of the handler table, once it is found.
    pub(super) route: Label,
    /// Method and path for the access log; `None` if the log is off.
    logged_as: Option<Box<str>>,
    pub(super) version: Version,
    /// The client wants to keep the connection.
    pub(super) keep_alive: bool,
    /// Why the connection ends with the answer even if the client wants to keep it.
    pub(super) end: Option<Reason>,
    pub(super) began: Moment,
}

/// The access log's target, so that `RUST_LOG` can turn it off by name.
const ACCESS: &str = "loopgate::access";

/// Whether the access log is read.
pub(super) fn access_is_logged() -> bool {
    log::log_enabled!(target: ACCESS, log::Level::Info)
}

impl Exchange {
    pub(super) fn new(head: &Head<'_>, logged: bool, began: Moment) -> Self {
        Self {
            head_only: head.method == Method::Head,
            route: Label::NONE,
            // Query strings are left out: people put secrets there.
            logged_as: logged
                .then(|| format!("{} {}", head.method, head.target.path.escape_debug()).into()),
            version: head.version,
            keep_alive: head.keep_alive,
            end: None,
            began,
        }
    }

    /// An exchange for bytes that are not a valid request. The connection ends with the answer.
    pub(super) fn unknown(logged: bool, end: Reason, began: Moment) -> Self {
        Self {
            head_only: false,
            route: Label::NONE,
            logged_as: logged.then(|| "(no request)".into()),
            version: Version::Http11,
            keep_alive: false,
            end: Some(end),
            began,
        }
    }

    pub(super) fn head_only(&self) -> bool {
        self.head_only
    }

    /// Whether the client understands a body in chunks (RFC 9112, section 6.1).
    pub(super) fn can_be_chunked(&self) -> bool {
        self.version == Version::Http11
    }

    /// How the connection ends with the answer, if it does.
    pub(super) fn how_it_ends(&self) -> End {
        End {
            reason: self.end.unwrap_or(Reason("as agreed")),
            // A client that meant to keep the connection may already have sent its next request, or the rest of
            // this one.
            linger: self.keep_alive || self.end.is_some(),
        }
    }

    /// How the answer is framed, and the fields of every answer on its connection.
    pub(super) fn wire<'f>(&self, close: bool, fields: &'f [u8]) -> WireOptions<'f> {
        WireOptions {
            version: self.version,
            head_only: self.head_only,
            close,
            fields,
        }
    }

    /// Counts the answer, and writes the line of the access log if the log is on: the clock is read only then.
    #[inline]
    pub(super) fn answered(
        &self,
        peer: Peer,
        status: Status,
        bytes: usize,
        turn: &mut Turn<'_, Message>,
    ) {
        turn.ledger().answered(self.route, status.code());
        if let Some(logged_as) = &self.logged_as {
            log_access(peer, logged_as, status, bytes, turn.measure() - self.began);
        }
    }
}

#[cold]
fn log_access(peer: Peer, logged_as: &str, status: Status, bytes: usize, took: Duration) {
    let took_us = took.as_micros();
    log::info!(target: ACCESS, "{peer} {logged_as} {status} {bytes}B {took_us}us");
}
