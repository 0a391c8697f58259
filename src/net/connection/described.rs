//! How a connection describes itself for the monitor.

use std::time::Duration;

use super::protocol::Protocol;
use super::state::State;
use crate::reactor::{Description, Moment};

impl Protocol {
    pub(super) fn described(&self) -> Description {
        let (state, idle_since) = match &self.state {
            State::Idle { .. } if self.link.is_secure && self.bytes_in == 0 => ("handshake", None),
            State::Idle { since } => ("idle", Some(*since)),
            State::Head { .. } => ("head", None),
            State::Body { .. } => ("body", None),
            State::Waiting { .. } | State::Parked(_) => ("waiting", None),
            State::Streaming(_) => ("streaming", None),
            State::Live(live) => (live.name(), Some(live.quiet_since)),
            State::Refused | State::Closing(_) | State::Lingering(_) => ("closing", None),
        };
        Description {
            peer: Some(self.peer),
            state,
            label: self.asked,
            opened: Moment::default() + Duration::from_secs(u64::from(self.opened_s)),
            idle_since,
            bytes_in: u64::from(self.bytes_in),
            bytes_out: self.outbox.sent(),
            outbox: self.outbox.len(),
        }
    }
}
