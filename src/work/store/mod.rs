//! Users, sessions and events, kept by an engine.
//!
//! | file | holds |
//! |---|---|
//! | `mod` | what is stored, what can change, and [`Store`]: an engine that is open |
//! | `engine` | what an engine does: the seam for engines other than `SQLite` |
//! | `sqlite` | the engine that keeps all in one file |
//! | `reading` | pages of stored events: the query, and its result |
//! | `keep` | how many events are kept |
//! | `writer` | the thread `loopgate-store`, and the loop's handle to it |
//! | `error` | everything that can go wrong, each with what to do about it |
//!
//! An engine is loaded once, at start: afterwards the loop answers from its own memory, and only old events are read.
//!
//! Read next: `engine`, then `sqlite/group.rs`, where "confirmed means on disk" is kept.

mod engine;
mod error;
mod keep;
mod reading;
mod sqlite;
mod writer;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::StorePath;
use crate::event::{Event, NewEvent};
use crate::work::Findings;

pub use engine::Engine;
pub use error::StoreError;
pub use keep::Keep;
pub use reading::{Missing, Page, Query, ROWS_READ_MAX};
pub(super) use sqlite::Sqlite;
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

/// Leaves the password out: code that prints a user must not print the hash.
impl fmt::Debug for UserRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRow")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A session as stored. The signature itself is never stored, so a thief of the file cannot log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// SHA-256 of the signature.
    pub hash: [u8; 32],
    /// The session's public id.
    pub sid: [u8; 16],
    /// The user whose session it is.
    pub user_id: i64,
    /// The key that signed it.
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
        /// The user whose password it is.
        user_id: i64,
        /// The PHC string of the new password.
        password: String,
    },
    /// Removes a user and all its sessions. Fails with [`StoreError::NoSuchUser`] when there is none.
    RemoveUser {
        /// The user to remove.
        user_id: i64,
    },
    /// Fails with [`StoreError::NoSuchUser`] when the user was removed in the meantime.
    AddSession(SessionRow),
    /// Removes a session, and writes an event about it before the transaction's own events; neither if it was gone
    /// already.
    EndSession {
        /// SHA-256 of its signature.
        hash: [u8; 32],
        /// The event about it.
        event: NewEvent,
    },
    /// Removes sessions by their hashes; those that are gone already are skipped.
    RemoveSessions(Vec<[u8; 32]>),
    /// Sets when sessions were last used, in seconds since 1970 (UTC). Never brings a removed session back.
    TouchSessions(Vec<([u8; 32], i64)>),
}

/// Shows only the name of the change: passwords and sessions stay out of every log.
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
    /// If no row changes, no event is written: logging out twice is one logout.
    pub events_only_if_changed: bool,
}

/// What a transaction did. It is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The changes, in order, for every copy of users and sessions in memory.
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
/// `loopgate user …` uses it directly; a server loads it and turns it into a [`Writer`].
pub struct Store(Box<dyn Engine>);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store at `path`, or creates it with mode 0600. It keeps the newest events, as many as
    /// `keep` says; if it has more, the oldest are removed now.
    ///
    /// Reads the whole file once, to find damage before it is used: some 0.2 s for a million sessions. Until
    /// the store is dropped, a lock on `<path>.lock`, which also names the process, keeps other servers out.
    /// That file is not removed: a process that removed it could remove a file that another one has just locked.
    ///
    /// # Errors
    /// Any [`StoreError`] about a file. A refused file is left as it was, byte for byte, and no file but the
    /// lock file appears beside it.
    pub fn open(path: &StorePath, keep: impl Into<Keep>) -> Result<Self, StoreError> {
        Ok(Self::on(Sqlite::open(path, keep.into())?))
    }

    /// A store in memory, with the users and sessions of `snapshot` and no events; the next event has the id after
    /// the snapshot's last.
    ///
    /// # Errors
    /// When memory runs out, or the snapshot contradicts itself.
    pub fn from_snapshot(snapshot: &Snapshot) -> Result<Self, StoreError> {
        Ok(Self::on(Sqlite::from_snapshot(snapshot)?))
    }

    /// A store that this engine keeps.
    #[must_use]
    pub fn on(engine: impl Engine + 'static) -> Self {
        Self(Box::new(engine))
    }

    /// Reads all users and sessions.
    ///
    /// # Errors
    /// If the store cannot be read or its contents are invalid.
    pub fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.0.load()
    }

    /// Applies one transaction and waits until it is on disk.
    ///
    /// # Errors
    /// Nothing of the transaction was stored, and no event id was used up.
    pub fn apply(&mut self, transaction: Transaction) -> Result<Commit, StoreError> {
        Engine::apply(self, transaction)
    }

    /// Reads the events after `since` that are still stored, oldest first, page by page; at most `limit` of
    /// them.
    ///
    /// # Errors
    /// Like [`load`](Self::load).
    pub fn events_since(&mut self, since: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        Engine::events_since(self, since, limit)
    }
}

/// A store is itself an engine, so that another engine can wrap it.
impl Engine for Store {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.0.load()
    }

    fn commit(
        &mut self,
        group: Vec<Transaction>,
        found: &mut Findings,
    ) -> Result<Vec<Result<Commit, StoreError>>, StoreError> {
        self.0.commit(group, found)
    }

    fn read(&mut self, query: &Query, found: &mut Findings) -> Result<Page, StoreError> {
        self.0.read(query, found)
    }
}
