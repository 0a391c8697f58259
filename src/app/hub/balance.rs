//! Accounts for every event of a subscriber: nothing is lost silently.

use std::fmt;

/// How many of a subscriber's events were delivered, dropped, or wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Events that matched since the subscription, or since the point from which it resumed.
    pub published: u64,
    /// Events that were written to the system in full.
    pub delivered: u64,
    /// Events that the subscriber was too slow for, or that were left when it ended.
    pub dropped: u64,
    /// Events that wait.
    pub queued: u64,
}

impl Balance {
    /// Adds another subscriber's balance.
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
