//! What a server holds for its clients at a moment.

use super::service::Service;

/// What is held for clients, and must be given back when they go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Connections that are open.
    pub connections: usize,
    /// Networks that have connections which count.
    pub networks: usize,
    /// Bytes of requests and messages that are not whole.
    pub unfinished_bytes: usize,
    /// Bytes that peers have not taken.
    pub waiting_bytes: usize,
    /// What workers have, or what waits for them.
    pub pending: usize,
    /// Logins whose passwords are being looked at, or whose sessions are on their way to the disk.
    pub logins: usize,
    /// Queues of events for remote subscribers.
    pub feeds: usize,
    /// Streams, and polls that are being read for, of all sessions.
    pub streams: usize,
}

impl Held {
    /// Whether nothing is.
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
