//! Users, sessions and events in one `SQLite` file.
//!
//! | file | holds |
//! |---|---|
//! | `mod` | what is stored, what can change, and [`Store`]: open, load, apply |
//! | `door` | who may open which file: everything that is refused, before anything is written |
//! | `schema` | the tables and the settings of a connection |
//! | `group` | many transactions, one commit |
//! | `kept` | which events are kept |
//! | `reading` | pages of events that are kept |
//! | `writer` | the thread `loopgate-store`, and the loop's handle to it |
//! | `disk` | what a disk says to a commit: nothing, but in a written world |
//! | `error` | everything that can go wrong, each with what to do about it |
//!
//! The file is read once, at start: afterwards the loop answers from its own memory and this folder
//! only writes. There are no queries here beyond that, on purpose.
//!
//! Read next: `group`, where "confirmed means on disk" is kept.

mod disk;
#[path = "sqlite/door.rs"]
mod door;
mod error;
#[path = "sqlite/group.rs"]
mod group;
#[path = "sqlite/kept.rs"]
mod kept;
mod reading;
#[path = "sqlite/schema.rs"]
mod schema;
#[cfg(test)]
#[path = "sqlite/tests/mod.rs"]
mod tests;
mod writer;

use std::fmt;
use std::path::PathBuf;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::config::StorePath;
use crate::event::{Event, NewEvent};
use crate::work::Findings;
use kept::Kept;

pub use disk::Disk;
pub use error::StoreError;
pub use kept::Keep;
pub use reading::{Missing, Page, Query, ROWS_READ_MAX, Wanted};
pub use writer::{Outcome, TRANSACTIONS_WAITING_MAX, Writer};

/// A user as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Never used twice, not even after a removal.
    pub id: i64,
    /// Unique, compared byte by byte.
    pub name: String,
    /// What the user may do; the store does not look into it.
    pub role: String,
    /// The PHC string of the password.
    pub password: String,
    /// When the user was added, in seconds since 1970 (UTC).
    pub created_s: i64,
}

/// Leaves the password out: what prints a user must not print its hash.
impl fmt::Debug for UserRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRow")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A session as stored. The signature itself never is: a stolen file logs nobody in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// SHA-256 of the signature.
    pub hash: [u8; 32],
    /// The session's public id.
    pub sid: [u8; 16],
    /// Whose session it is.
    pub user_id: i64,
    /// Which key signed it.
    pub key_id: u32,
    /// When it began, in seconds since 1970 (UTC).
    pub issued_s: i64,
    /// When it was last used, in seconds since 1970 (UTC).
    pub last_used_s: i64,
}

/// One change to the tables.
#[derive(Clone, PartialEq)]
pub enum Change {
    /// Fails with [`StoreError::UserExists`] when the name is taken.
    AddUser {
        /// The new user's name.
        name: String,
        /// The new user's role.
        role: String,
        /// The PHC string of the password.
        password: String,
        /// Now, in seconds since 1970 (UTC).
        created_s: i64,
    },
    /// Fails with [`StoreError::NoSuchUser`] when there is none.
    SetPassword {
        /// Whose password.
        user_id: i64,
        /// The PHC string of the new password.
        password: String,
    },
    /// Removes a user and all its sessions. Fails with [`StoreError::NoSuchUser`] when there is none.
    RemoveUser {
        /// Who goes.
        user_id: i64,
    },
    /// Fails with [`StoreError::NoSuchUser`] when the user was removed in the meantime.
    AddSession(SessionRow),
    /// Removes a session, and tells of it before the transaction's own events; not if it was gone already.
    EndSession {
        /// SHA-256 of its signature.
        hash: [u8; 32],
        /// What is told.
        event: NewEvent,
    },
    /// Removes sessions by their hashes; those that are gone already are passed over.
    RemoveSessions(Vec<[u8; 32]>),
    /// Sets when sessions were last used, in seconds since 1970 (UTC). Never brings one back.
    TouchSessions(Vec<([u8; 32], i64)>),
}

/// Names the change only: passwords and sessions stay out of every log.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddUser { name, .. } => write!(f, "AddUser({name:?})"),
            Self::SetPassword { user_id, .. } => write!(f, "SetPassword({user_id})"),
            Self::RemoveUser { user_id } => write!(f, "RemoveUser({user_id})"),
            Self::AddSession(session) => write!(f, "AddSession(of user {})", session.user_id),
            Self::EndSession { .. } => f.write_str("EndSession"),
            Self::RemoveSessions(hashes) => write!(f, "RemoveSessions({})", hashes.len()),
            Self::TouchSessions(uses) => write!(f, "TouchSessions({})", uses.len()),
        }
    }
}

/// Changes and events that are stored together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    /// Applied in this order.
    pub changes: Vec<Change>,
    /// Numbered and written after the changes, in this order.
    pub events: Vec<NewEvent>,
    /// Without a changed row there is no event: logging out twice is one logout.
    pub events_only_if_changed: bool,
}

/// What a transaction did. It is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The changes, in their order: what else remembers users and sessions makes them, too.
    pub changes: Vec<Change>,
    /// Rows of users and sessions that were added, changed or removed.
    pub rows: usize,
    /// The ids of the users that were added, in the order of the changes.
    pub added_users: Vec<i64>,
    /// The events with their ids; empty when they were not written.
    pub events: Vec<Event>,
    /// The id of the last of them; 0 without one.
    pub last_event_id: u64,
}

/// Everything that a server takes into memory at start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// All users, by id.
    pub users: Vec<UserRow>,
    /// All sessions, expired or not, in no particular order.
    pub sessions: Vec<SessionRow>,
    /// Id of the newest event ever written; 0 before the first.
    pub last_event_id: u64,
}

/// An open store that belongs to one thread.
///
/// `loopgate user …` uses it as it is; a server loads it and turns it into a [`Writer`].
pub struct Store {
    // The order matters: fields drop in it, and the lock must outlive the connection.
    connection: Connection,
    path: PathBuf,
    keep: Keep,
    kept: Kept,
    last_event_id: u64,
    disk: Box<dyn Disk>,
    /// Held until the store is closed; `None` in memory.
    _lock: Option<door::Lock>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("last_event_id", &self.last_event_id)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store at `path`, or creates it with mode 0600. Of events it keeps the newest, as many as
    /// `keep` says; if it has more, the rest goes now.
    ///
    /// Reads the whole file once, to find damage before it is served: some 0.2 s for a million
    /// sessions. The file stays locked for
    /// other servers until the store is dropped, by a lock on `<path>.lock`, which also names the
    /// process. That file stays behind: who removes it could remove one that was locked just now.
    ///
    /// # Errors
    /// Whatever a [`StoreError`] can say about a file. A file that is refused is left as it was,
    /// byte for byte, and gains no companions but the lock file.
    pub fn open(path: &StorePath, keep: impl Into<Keep>) -> Result<Self, StoreError> {
        let (connection, path, lock) = match path {
            StorePath::Memory => (schema::in_memory()?, PathBuf::from(":memory:"), None),
            StorePath::File(path) => {
                let (connection, path, lock) = door::open(path)?;
                (connection, path, Some(lock))
            }
        };
        let mut store = Self {
            connection,
            path,
            keep: keep.into(),
            kept: Kept::NOTHING,
            last_event_id: 0,
            disk: Box::new(disk::Real),
            _lock: lock,
        };
        store.refresh()?;
        store.trim();
        Ok(store)
    }

    /// Removes what is too much. A disk that is too full for that is found out by who writes.
    fn trim(&mut self) {
        let trimmed = self
            .kept
            .trim_all(&self.connection, self.keep, self.last_event_id)
            .and_then(|()| kept::shrink(&self.connection));
        if let Err(why) = trimmed {
            log::warn!("{} is not made smaller: {why}", self.path.display());
        }
    }

    /// The same in memory that has a name, so that it can be opened again as long as somebody has it open.
    pub(super) fn on_memory(
        name: &str,
        keep: Keep,
        is_new: bool,
        disk: Box<dyn Disk>,
    ) -> Result<Self, StoreError> {
        let mut store = Self {
            connection: schema::named_memory(name, is_new)?,
            path: PathBuf::from(":memory:"),
            keep,
            kept: Kept::NOTHING,
            last_event_id: 0,
            disk,
            _lock: None,
        };
        store.refresh()?;
        Ok(store)
    }

    /// A store in memory, with what `snapshot` says in it and no events; the next one has the id that follows
    /// the snapshot's last.
    ///
    /// # Errors
    /// When memory runs out, or the snapshot contradicts itself.
    pub fn from_snapshot(snapshot: &Snapshot, disk: Box<dyn Disk>) -> Result<Self, StoreError> {
        let connection = schema::in_memory()?;
        let path = PathBuf::from(":memory:");
        schema::fill(&connection, snapshot).map_err(|why| StoreError::from_sqlite(&path, &why))?;
        Ok(Self {
            connection,
            path,
            keep: Keep::ALL,
            kept: Kept::NOTHING,
            last_event_id: snapshot.last_event_id,
            disk,
            _lock: None,
        })
    }

    /// The same store, whose commits and readings `disk` hears of.
    #[must_use]
    pub fn watched_by(self, disk: Box<dyn Disk>) -> Self {
        Self { disk, ..self }
    }

    /// Takes note of what others have written.
    pub(super) fn refresh(&mut self) -> Result<(), StoreError> {
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

    /// Reads all users and sessions.
    ///
    /// # Errors
    /// When the file cannot be read or holds what does not belong there.
    pub fn load(&self) -> Result<Snapshot, StoreError> {
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

    /// Applies one transaction and waits until it is on disk.
    ///
    /// # Errors
    /// Nothing of the transaction was stored, and no event id was used up.
    pub fn apply(&mut self, transaction: Transaction) -> Result<Commit, StoreError> {
        self.commit_group(vec![transaction], &mut Findings::new())?
            .swap_remove(0)
    }
}
