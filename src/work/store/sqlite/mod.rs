//! The engine that keeps everything in one file, with `SQLite`.
//!
//! | file | holds |
//! |---|---|
//! | `open` | decides which files are opened; refuses all others before anything is written |
//! | `schema` | the tables and the settings of a connection |
//! | `group` | many transactions, one commit |
//! | `kept` | which events are kept |
//! | `reading` | pages of stored events |
//! | `error` | what an error of `SQLite` means |
//!
//! No other file names the crate rusqlite. Read next: `group`.

mod error;
mod group;
mod kept;
mod open;
mod reading;
mod schema;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use rusqlite::Connection;

use super::{
    Change, Commit, Engine, Keep, Page, Query, SessionRow, Snapshot, StoreError, Transaction,
    UserRow,
};
use crate::config::StorePath;
use crate::work::Findings;
use kept::Kept;

/// An open file, or a database in memory.
pub(in crate::work) struct Sqlite {
    // The order matters: fields are dropped in this order, and the lock must outlive the connection.
    connection: Connection,
    path: PathBuf,
    keep: Keep,
    kept: Kept,
    last_event_id: u64,
    /// Held until the store is closed; `None` in memory.
    _lock: Option<open::Lock>,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("path", &self.path)
            .field("last_event_id", &self.last_event_id)
            .finish_non_exhaustive()
    }
}

impl Sqlite {
    /// As [`Store::open`](super::Store::open).
    pub(super) fn open(path: &StorePath, keep: Keep) -> Result<Self, StoreError> {
        let (connection, path, lock) = match path {
            StorePath::Memory => (schema::in_memory()?, PathBuf::from(":memory:"), None),
            StorePath::File(path) => {
                let (connection, path, lock) = open::open(path)?;
                (connection, path, Some(lock))
            }
        };
        let mut store = Self {
            connection,
            path,
            keep,
            kept: Kept::NOTHING,
            last_event_id: 0,
            _lock: lock,
        };
        store.refresh()?;
        store.trim();
        Ok(store)
    }

    /// Removes events over the limit. If the disk is too full for that, the next write reports it.
    fn trim(&mut self) {
        let trimmed = self
            .kept
            .trim_all(&self.connection, self.keep, self.last_event_id)
            .and_then(|()| kept::shrink(&self.connection));
        if let Err(why) = trimmed {
            log::warn!("{} is not made smaller: {why}", self.path.display());
        }
    }

    /// The same in named memory, so that it can be opened again as long as another connection has it open.
    pub(in crate::work) fn on_memory(
        name: &str,
        keep: Keep,
        is_new: bool,
    ) -> Result<Self, StoreError> {
        let mut store = Self {
            connection: schema::named_memory(name, is_new)?,
            path: PathBuf::from(":memory:"),
            keep,
            kept: Kept::NOTHING,
            last_event_id: 0,
            _lock: None,
        };
        store.refresh()?;
        Ok(store)
    }

    /// As [`Store::from_snapshot`](super::Store::from_snapshot).
    pub(super) fn from_snapshot(snapshot: &Snapshot) -> Result<Self, StoreError> {
        let connection = schema::in_memory()?;
        let path = PathBuf::from(":memory:");
        schema::fill(&connection, snapshot).map_err(|why| StoreError::from_sqlite(&path, &why))?;
        Ok(Self {
            connection,
            path,
            keep: Keep::ALL,
            kept: Kept::NOTHING,
            last_event_id: snapshot.last_event_id,
            _lock: None,
        })
    }

    /// Skips so many event ids: a bug that is [planted](crate::planted::Bug::SkippedIds) when a commit fails.
    pub(in crate::work) fn use_up_ids(&mut self, count: u64) {
        self.last_event_id += count;
    }

    /// Takes note of what other connections have written.
    pub(in crate::work) fn refresh(&mut self) -> Result<(), StoreError> {
        let read = || {
            Ok((
                schema::last_event_id(&self.connection)?,
                Kept::read(&self.connection)?,
            ))
        };
        (self.last_event_id, self.kept) =
            read().map_err(|why| StoreError::from_sqlite(&self.path, &why))?;
        Ok(())
    }
}

impl Engine for Sqlite {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        let read = || -> rusqlite::Result<Snapshot> {
            let mut users = self.connection.prepare(schema::USERS)?;
            let users = users.query_map([], schema::user_of)?;
            let mut sessions = self.connection.prepare(schema::SESSIONS)?;
            let sessions = sessions.query_map([], schema::session_of)?;
            Ok(Snapshot {
                users: users.collect::<Result<_, _>>()?,
                sessions: sessions.collect::<Result<_, _>>()?,
                last_event_id: self.last_event_id,
            })
        };
        read().map_err(|why| StoreError::from_sqlite(&self.path, &why))
    }

    fn commit(
        &mut self,
        group: Vec<Transaction>,
        _: &mut Findings,
    ) -> Result<Vec<Result<Commit, StoreError>>, StoreError> {
        self.commit_group(group)
    }

    fn read(&mut self, query: &Query, _: &mut Findings) -> Result<Page, StoreError> {
        self.page(query)
    }
}
