//! What keeps users, sessions and events: the seam below the group commit.
//!
//! The storage thread, the loop and what follows a commit know this trait alone. [`Sqlite`](super::sqlite) is the
//! engine of every server. Others stand before it: one that fails when a story says so, one that notes what came of
//! everything, and one that says what was noted.

use super::{Commit, Page, Query, Snapshot, StoreError, Transaction};
use crate::event::{Event, Interest};
use crate::work::Findings;

/// Keeps what is stored, on a thread that may block.
///
/// `found` is that of the [worker](crate::work::Worker::work) that asks; only recordings and replays look at it.
pub trait Engine: Send {
    /// Reads all users and sessions.
    ///
    /// # Errors
    /// When they cannot be read.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Applies all of `group`, in order, and waits until it is on disk; one outcome for each. A transaction that
    /// contradicts what is stored is refused alone. Event ids grow by one, and none is given for what was not stored.
    ///
    /// # Errors
    /// Nothing of the group was stored.
    fn commit(
        &mut self,
        group: Vec<Transaction>,
        found: &mut Findings,
    ) -> Result<Vec<Result<Commit, StoreError>>, StoreError>;

    /// Reads one page of the events that are kept. It has everything that was committed before the reading began, and
    /// looks at [`ROWS_READ_MAX`](super::ROWS_READ_MAX) events at most, wanted or not: a commit does not wait long for it.
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

    /// Reads the events after `since` that are still kept, oldest first, page by page; `limit` of them at most.
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
