//! Counts of what a server holds for its clients.

use super::service::Service;

/// What is held for clients, and must be released when they go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Connections that are open.
    pub connections: usize,
    /// Networks with counted connections.
    pub networks: usize,
    /// Bytes of requests and messages that are not complete.
    pub unfinished_bytes: usize,
    /// Bytes that peers have not taken.
    pub waiting_bytes: usize,
    /// Work that workers have, or that waits for them.
    pub pending: usize,
    /// Logins whose passwords are being checked, or whose sessions are not committed yet.
    pub logins: usize,
    /// Queues of events for remote subscribers.
    pub feeds: usize,
    /// Streams of all sessions, and polls whose page is being read.
    pub streams: usize,
}

impl Held {
    /// Whether nothing is held.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Service {
    /// What is held at this moment.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            connections: self.clients.open,
            networks: self.clients.networks(),
            unfinished_bytes: self.clients.unfinished_bytes,
            waiting_bytes: self.app.hub.waiting().bytes(),
            pending: self.desk.len(),
            logins: self.app.throttle.under_way() + self.app.arriving.len(),
            feeds: self.app.hub.feeds(),
            streams: self.app.streams.len(),
        }
    }
}
