//! What becomes of events: nothing is lost silently.

use std::fmt;

/// What became of the events that a subscriber should have got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Events that matched, since it subscribed or from where it resumed.
    pub published: u64,
    /// Those that were handed to the system whole.
    pub delivered: u64,
    /// Those that it was too slow for, or that were left when it ended.
    pub dropped: u64,
    /// Those that wait.
    pub queued: u64,
}

impl Balance {
    /// Another subscriber's comes to it.
    pub(super) fn add(&mut self, other: Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.dropped += other.dropped;
        self.queued += other.queued;
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            published,
            delivered,
            dropped,
            queued,
        } = self;
        write!(
            f,
            "published={published} delivered={delivered} dropped={dropped} queued={queued}"
        )
    }
}
