//! What has to be remembered of a request until it is answered.

use std::time::Duration;

use super::message::Message;
use crate::http::{Head, Method, Status, Version, Wire};
use crate::ledger::Label;
use crate::reactor::{Moment, Peer, Reason, Turn};

/// How a connection ends once what waits is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) reason: Reason,
    /// The peer may still be sending: our side is shut, and what comes is thrown away.
    pub(super) linger: bool,
}

/// A request that a handler has seen and that is not answered yet.
#[derive(Debug)]
pub(super) struct Exchange {
    head_only: bool,
    /// The row of the handler table, once it is found.
    pub(super) route: Label,
    /// Method and path as the access log has them; not known where that is off.
    logged_as: Option<Box<str>>,
    pub(super) version: Version,
    /// The client wants the connection to go on.
    pub(super) keep_alive: bool,
    /// The connection ends with the answer, whatever the client wants: why.
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

    /// What could not be read as a request. The connection ends with the answer.
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
            // A client that meant to go on may have sent its next request already, or the rest of this one.
            linger: self.keep_alive || self.end.is_some(),
        }
    }

    /// How the answer is framed, and what every answer on its connection says.
    pub(super) fn wire<'f>(&self, close: bool, fields: &'f [u8]) -> Wire<'f> {
        Wire {
            version: self.version,
            head_only: self.head_only,
            close,
            fields,
        }
    }

    /// Counts the answer, and writes the access line, if there is one to write: only then is the clock read for it.
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
