//! What has to be remembered of a request until it is answered.

use std::time::Duration;

use crate::http::{Head, Method, Status, Version, Wire};
use crate::reactor::{Moment, Peer};

/// A request that a handler has seen and that is not answered yet.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) method: Method,
    /// For the access log only, and so not known where that is off.
    path: Option<Box<str>>,
    pub(super) version: Version,
    /// The client wants the connection to go on.
    pub(super) keep_alive: bool,
    pub(super) began: Moment,
}

/// The access log's target, so that `RUST_LOG` can turn it off by name.
const ACCESS: &str = "loopgate::access";

impl Exchange {
    pub(super) fn new(head: &Head<'_>, began: Moment) -> Self {
        let logged = log::log_enabled!(target: ACCESS, log::Level::Info);
        Self {
            method: head.method,
            path: logged.then(|| head.target.path.into()),
            version: head.version,
            keep_alive: head.keep_alive,
            began,
        }
    }

    /// What could not be read as a request.
    pub(super) fn unknown(began: Moment) -> Self {
        let logged = log::log_enabled!(target: ACCESS, log::Level::Info);
        Self {
            method: Method::Get,
            path: logged.then(|| "(not a request)".into()),
            version: Version::Http11,
            keep_alive: false,
            began,
        }
    }

    pub(super) fn head_only(&self) -> bool {
        self.method == Method::Head
    }

    /// Whether the client understands a body in chunks (RFC 9112, section 6.1).
    pub(super) fn can_be_chunked(&self) -> bool {
        self.version == Version::Http11
    }

    /// How the answer is framed.
    pub(super) fn wire(&self, close: bool) -> Wire {
        Wire {
            version: self.version,
            head_only: self.head_only(),
            close,
        }
    }

    /// Whether this request's answer is worth a clock reading and a line in the access log.
    pub(super) fn is_logged(&self) -> bool {
        self.path.is_some()
    }

    /// Writes the access line. Query strings are left out: people put secrets there.
    #[cold]
    pub(super) fn log(&self, peer: Peer, status: Status, bytes: usize, took: Duration) {
        let path = self.path.as_deref().unwrap_or_default();
        log::info!(
            target: ACCESS,
            "{peer} {} {} {} {bytes}B {}us",
            self.method.as_str(),
            path.escape_debug(),
            status.code(),
            took.as_micros(),
        );
    }
}
