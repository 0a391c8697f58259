//! Pages of stored events: the query, and its result. Both are data, so that any engine can
//! answer.

use serde::{Deserialize, Serialize};

use crate::event::{Event, Interest};
use crate::planted::{Bug, planted};

/// Rows of events that one page looks at.
pub const ROWS_READ_MAX: usize = 2048;

/// Which of the stored events to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Only events with a greater id.
    pub since: u64,
    /// Most events in the page.
    pub events_max: usize,
    /// Bytes of data at which the page gets no further event.
    pub bytes_max: usize,
    /// Which events are wanted; the others are skipped and count as read.
    pub wanted: Interest,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The wanted events, oldest first.
    pub events: Vec<Event>,
    /// Everything up to this id has been looked at: continue from here.
    pub through: u64,
    /// There may be more after it.
    pub more: bool,
    /// The id of the oldest stored event; if there is none, the id that the next event will get.
    pub oldest: u64,
}

impl Page {
    /// Fits the page to a reader that has everything up to `since`, when live readers have been offered everything up
    /// to `delivered`. Returns the events that this reader cannot get.
    ///
    /// A page that ends before `delivered` was read too early: there is more, and a reader that is ahead of the page
    /// stays where it is. Pages from `SQLite` never end too early, since they return in order with the commits.
    pub fn catch_up(&mut self, since: u64, delivered: u64) -> Option<Missing> {
        if self.through < delivered {
            self.more = true;
            self.through = self.through.max(since);
        }
        self.missing_after(since)
    }

    fn missing_after(&self, since: u64) -> Option<Missing> {
        if since > self.through {
            return Some(Missing {
                from: self.through + 1,
                to: since,
                last: Some(self.through),
            });
        }
        let (from, to) = (since + 1, self.oldest.saturating_sub(1));
        let last = None;
        (from <= to && !planted(Bug::TrimmedSilently)).then_some(Missing { from, to, last })
    }
}

/// Events that the store does not have, or no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The id of the first of them.
    pub from: u64,
    /// The id of the last of them.
    pub to: u64,
    /// The newest event, if it is older than the reader's last one: the store was restored from a backup, and will
    /// give the missing ids to other events.
    pub last: Option<u64>,
}
