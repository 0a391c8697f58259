//! Pages of the events that are kept.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, schema};
use crate::event::Event;
use crate::planted::{Bug, planted};
use crate::work::Findings;

/// Rows of events that one page looks at.
pub const ROWS_READ_MAX: usize = 2048;

/// Whether an event of this name, which concerns that user, is wanted.
pub type Wanted = Box<dyn Fn(&str, Option<i64>) -> bool + Send>;

/// Which of the events that are kept to read.
pub struct Query {
    /// Those with a greater id.
    pub since: u64,
    /// So many at most.
    pub events_max: usize,
    /// No more once their data has so many bytes.
    pub bytes_max: usize,
    /// Those that are passed over count as read.
    pub wanted: Wanted,
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("since", &self.since)
            .field("events_max", &self.events_max)
            .finish_non_exhaustive()
    }
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

impl Store {
    /// Reads one page of the events that are kept, of at most [`ROWS_READ_MAX`] rows, wanted or not:
    /// who waits for a commit does not wait long for this.
    ///
    /// # Errors
    /// Like [`load`](Self::load).
    pub fn read(&self, query: &Query, found: &mut Findings) -> Result<Page, StoreError> {
        self.disk.reads()?;
        let read = || -> rusqlite::Result<Page> {
            let since = i64::try_from(query.since).unwrap_or(i64::MAX);
            let oldest = self.oldest()?;
            let mut page = Page {
                events: Vec::new(),
                through: self.last_event_id,
                more: false,
                oldest,
            };
            let mut events = self.connection.prepare_cached(schema::EVENTS_SINCE)?;
            let (mut rows, mut bytes) = (events.query((since,))?, 0);
            let mut read = 0;
            while let Some(row) = rows.next()? {
                let id = row.get(0).map(i64::cast_unsigned)?;
                read += 1;
                let name = row.get_ref(2)?.as_str()?;
                if (query.wanted)(name, row.get(4)?) {
                    bytes += row.get_ref(5)?.as_str()?.len();
                    page.events.push(schema::event_of(row)?);
                }
                let full = page.events.len() >= query.events_max || bytes >= query.bytes_max;
                if full || read >= ROWS_READ_MAX {
                    page.more = id < self.last_event_id;
                    page.through = id;
                    break;
                }
            }
            Ok(page)
        };
        let page = read().map_err(|why| StoreError::from_sqlite(&self.path, &why));
        self.disk.read(page, found)
    }

    /// The id of the oldest event that is kept; if none is, of the next that will be.
    fn oldest(&self) -> rusqlite::Result<u64> {
        let mut oldest = self.connection.prepare_cached(schema::OLDEST_EVENT)?;
        let oldest: Option<i64> = oldest.query_row([], |row| row.get(0))?;
        Ok(oldest.map_or(self.last_event_id + 1, i64::cast_unsigned))
    }

    /// The same, for those who look from outside.
    pub(in crate::work) fn oldest_event(&self) -> Result<u64, StoreError> {
        self.oldest()
            .map_err(|why| StoreError::from_sqlite(&self.path, &why))
    }

    /// Reads the events after `since` that are still kept, oldest first, page by page; `limit` of them
    /// at most.
    ///
    /// # Errors
    /// Like [`load`](Self::load).
    pub fn events_since(&self, since: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let (mut since, mut events) = (since, Vec::new());
        while events.len() < limit {
            let query = Query {
                since,
                events_max: limit - events.len(),
                bytes_max: usize::MAX,
                wanted: Box::new(|_, _| true),
            };
            let page = self.read(&query, &mut Findings::new())?;
            events.extend(page.events);
            if !page.more {
                break;
            }
            since = page.through;
        }
        Ok(events)
    }
}
