//! Pages of the events that are kept: what is asked for, and what is answered. Both are data, so that any engine can
//! answer.

use serde::{Deserialize, Serialize};

use crate::event::{Event, Interest};
use crate::planted::{Bug, planted};

/// Rows of events that one page looks at.
pub const ROWS_READ_MAX: usize = 2048;

/// Which of the events that are kept to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Those with a greater id.
    pub since: u64,
    /// So many at most.
    pub events_max: usize,
    /// No more once their data has so many bytes.
    pub bytes_max: usize,
    /// Those that are passed over count as read.
    pub wanted: Interest,
}

/// Events that were read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Those that were wanted, oldest first.
    pub events: Vec<Event>,
    /// Everything up to this id has been looked at: where to go on.
    pub through: u64,
    /// There may be more after it.
    pub more: bool,
    /// The oldest event that is kept; if none is, the next that will be.
    pub oldest: u64,
}

impl Page {
    /// Takes the page for a reader that has everything up to `since`, where live readers have been offered everything up
    /// to `delivered`. Returns what this reader cannot be given.
    ///
    /// A page that ends before `delivered` was read too early: there is more, and a reader that is ahead of the page
    /// stays where it is. `SQLite`'s pages never do, since they come back in order with the commits.
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

/// Events that the store does not have, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The id of the first of them.
    pub from: u64,
    /// The id of the last of them.
    pub to: u64,
    /// The newest event there is, if that is before the reader's own last one: the store was restored from a
    /// backup, and will give the missing ids to other events.
    pub last: Option<u64>,
}
