//! The tables, and the settings of a connection.

use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, Row, Statement};

use super::{SessionRow, Snapshot, StoreError, UserRow};
use crate::event::{Event, NewEvent};

/// Marks a file as ours, in its header: "loop". `file(1)` and `sqlite3` show it.
pub(super) const APPLICATION_ID: i32 = 0x6c6f_6f70;
/// Version of the tables below, in the file's header.
pub(super) const VERSION: i64 = 1;

/// How long a commit waits for another program's lock, for example of a `sqlite3` that reads the store.
const LOCK_WAIT_MAX: Duration = if cfg!(test) {
    Duration::from_millis(20)
} else {
    Duration::from_secs(5)
};

/// Most bytes that the write-ahead log has after a restart: as many as `SQLite` writes into it, in pages of 4 KiB,
/// before it copies them into the file.
const LOG_BYTES_MAX: i64 = 1000 * 4096;

// AUTOINCREMENT costs a row in a table of SQLite's own, and remembers the last id longer than the rows:
// no id is ever used twice, whether the row was removed, trimmed, or the table emptied.
const TABLES: &str = "
    CREATE TABLE users (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        password TEXT NOT NULL,
        created_s INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE sessions (
        hash BLOB PRIMARY KEY NOT NULL,
        sid BLOB NOT NULL,
        user_id INTEGER NOT NULL REFERENCES users (id),
        key_id INTEGER NOT NULL,
        issued_s INTEGER NOT NULL,
        last_used_s INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        unix_ms INTEGER NOT NULL,
        name TEXT NOT NULL,
        sender TEXT NOT NULL,
        user_id INTEGER,
        data TEXT NOT NULL
    ) STRICT;
";

pub(super) const USERS: &str = "SELECT id, name, role, password, created_s FROM users ORDER BY id";
pub(super) const SESSIONS: &str =
    "SELECT hash, sid, user_id, key_id, issued_s, last_used_s FROM sessions";
pub(super) const EVENTS_SINCE: &str = "SELECT id, unix_ms, name, sender, user_id, data \
     FROM events WHERE id > ?1 ORDER BY id";
pub(super) const OLDEST_EVENT: &str = "SELECT min(id) FROM events";

/// Writes the tables and the marks into an empty database.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; \
         {TABLES} COMMIT;"
    ))
}

/// Writes users and sessions into empty tables.
pub(super) fn fill(connection: &Connection, snapshot: &Snapshot) -> rusqlite::Result<()> {
    let mut user = connection.prepare(
        "INSERT INTO users (id, name, role, password, created_s) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for row in &snapshot.users {
        user.execute((row.id, &row.name, &row.role, &row.password, row.created_s))?;
    }
    let mut session = connection.prepare(ADD_SESSION)?;
    for row in &snapshot.sessions {
        add_session(&mut session, row)?;
    }
    Ok(())
}

/// The statement of [`add_session`].
pub(super) const ADD_SESSION: &str = "INSERT INTO sessions (hash, sid, user_id, key_id, issued_s, last_used_s) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Runs [`ADD_SESSION`]; returns how many rows it added.
pub(super) fn add_session(
    statement: &mut Statement<'_>,
    row: &SessionRow,
) -> rusqlite::Result<usize> {
    statement.execute((
        row.hash,
        row.sid,
        row.user_id,
        row.key_id,
        row.issued_s,
        row.last_used_s,
    ))
}

/// A store in memory, which is gone when it is closed.
pub(super) fn in_memory() -> Result<Connection, StoreError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_in_memory()?;
        create(&connection)?;
        configure(&connection)?;
        Ok(connection)
    };
    open().map_err(|why| StoreError::Sqlite(why.to_string()))
}

/// A store in named memory, which outlives the connection if another one is open.
pub(super) fn named_memory(name: &str, is_new: bool) -> Result<Connection, StoreError> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(name, flags)?;
        if is_new {
            create(&connection)?;
        }
        configure(&connection)?;
        Ok(connection)
    };
    open().map_err(|why| StoreError::Sqlite(why.to_string()))
}

/// Sets what is valid for one connection, not for the file. Writes nothing.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(LOCK_WAIT_MAX)?;
    sync_fully(connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A log that grew while another program was reading is cut to this length when it restarts.
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_MAX, |_| Ok(()))?;
    // We have no triggers and views; a file that has some must not make us run them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// "Confirmed" means that a power cut cannot undo it.
pub(super) fn sync_fully(connection: &Connection) -> rusqlite::Result<()> {
    // FULL also syncs the log at each commit.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On Apple's systems fsync(2) leaves the bytes in the drive's cache; elsewhere this changes nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)
}

/// The newest event id ever used, even if the event was removed long ago.
pub(super) fn last_event_id(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row(
        "SELECT max((SELECT coalesce(max(id), 0) FROM events), \
                    (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'))",
        [],
        |row| row.get(0).map(i64::cast_unsigned),
    )
}

/// One row of [`USERS`].
pub(super) fn user_of(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        id: row.get(0)?,
        name: row.get(1)?,
        role: row.get(2)?,
        password: row.get(3)?,
        created_s: row.get(4)?,
    })
}

/// One row of [`SESSIONS`].
pub(super) fn session_of(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        hash: row.get(0)?,
        sid: row.get(1)?,
        user_id: row.get(2)?,
        key_id: row.get(3)?,
        issued_s: row.get(4)?,
        last_used_s: row.get(5)?,
    })
}

/// One row of [`EVENTS_SINCE`].
pub(super) fn event_of(row: &Row<'_>) -> rusqlite::Result<Event> {
    let data: String = row.get(5)?;
    let data = serde_json::from_str(&data)
        .map_err(|why| rusqlite::Error::FromSqlConversionFailure(5, Type::Text, Box::new(why)))?;
    Ok(Event {
        id: row.get(0).map(i64::cast_unsigned)?,
        fact: NewEvent {
            unix_ms: row.get(1).map(i64::cast_unsigned)?,
            name: row.get::<_, String>(2)?.into(),
            sender: row.get::<_, String>(3)?.into(),
            user_id: row.get(4)?,
            data,
        },
    })
}
