//! An engine keeps users, sessions and events: the seam below the group commit.
//!
//! The storage thread, the loop and continuations of commits know only this trait. [`Sqlite`](super::sqlite) is the
//! engine of every server. Others wrap it: one that fails when a story says so, one that records all results, and one
//! that replays recorded results.

use super::{Commit, Page, Query, Snapshot, StoreError, Transaction};
use crate::event::{Event, Interest};
use crate::work::Findings;

/// Keeps the stored data, on a thread that may block.
///
/// `found` is that of the [worker](crate::work::Worker::work) that asks; only recordings and replays look at it.
pub trait Engine: Send {
    /// Reads all users and sessions.
    ///
    /// # Errors
    /// When they cannot be read.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Applies all of `group`, in order, and waits until it is on disk; returns one outcome for each. A transaction
    /// that contradicts the stored data is refused alone. Event ids grow by one, and an event that is not stored takes
    /// none.
    ///
    /// # Errors
    /// Nothing of the group was stored.
    fn commit(
        &mut self,
        group: Vec<Transaction>,
        found: &mut Findings,
    ) -> Result<Vec<Result<Commit, StoreError>>, StoreError>;

    /// Reads one page of the stored events. It sees everything that was committed before the reading began, and looks
    /// at no more than [`ROWS_READ_MAX`](super::ROWS_READ_MAX) events, wanted or not, so that a commit does not wait
    /// long for it.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&mut self, query: &Query, found: &mut Findings) -> Result<Page, StoreError>;

    /// Applies one transaction.
    ///
    /// # Errors
    /// Nothing of it was stored.
    fn apply(&mut self, transaction: Transaction) -> Result<Commit, StoreError> {
        let group = vec![transaction];
        self.commit(group, &mut Findings::new())?.swap_remove(0)
    }

    /// Reads the events after `since` that are still stored, oldest first, page by page; at most `limit` of them.
    ///
    /// # Errors
    /// When they cannot be read.
    fn events_since(&mut self, since: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let (mut since, mut events) = (since, Vec::new());
        while events.len() < limit {
            let query = Query {
                since,
                events_max: limit - events.len(),
                bytes_max: usize::MAX,
                wanted: Interest::everything(),
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
