//! The limits on the events that a store keeps.

use crate::config::Config;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Events.
    pub events: u64,
    /// Bytes of their names, senders and data, plus 64 for each event.
    pub bytes: u64,
}

impl Keep {
    /// Everything.
    pub const ALL: Self = Self {
        events: u64::MAX,
        bytes: u64::MAX,
    };
}

/// So many events, of any length.
impl From<u64> for Keep {
    fn from(events: u64) -> Self {
        Self {
            events,
            ..Self::ALL
        }
    }
}

/// As much as is configured.
impl From<&Config> for Keep {
    fn from(config: &Config) -> Self {
        Self {
            events: config.limits.events_kept_max as u64,
            bytes: config.limits.events_kept_bytes_max as u64,
        }
    }
}
