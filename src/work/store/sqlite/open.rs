//! Decides which files are opened. Every refusal happens here, before a byte is written.
//!
//! The order matters. First the header is read, so that no file appears beside a file that is not ours.
//! Then the lock is taken, which leaves one server. Then the whole file is read for damage, through a
//! connection that cannot write to it. Only then is it opened for writing.
//!
//! The file itself is opened only through `SQLite`: closing a second descriptor in the same process would
//! release the locks of the first (POSIX `fcntl`).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{StoreError, schema};
use crate::files::{
    self, durable,
    lock::{FileLock, LockError},
};

/// One server per store, for as long as this lives.
pub(super) struct Lock(FileLock);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Opens the store at `path`, which it returns resolved, or creates one there.
pub(super) fn open(path: &Path) -> Result<(Connection, PathBuf, Lock), StoreError> {
    let path = resolve(path)?;
    refuse_read_only(&path)?;
    if has_bytes(&path)? {
        identify_from_outside(&path)?;
        refuse_exposed(&path)?;
    }
    let lock = Lock::take(&path)?;
    // Checked again: before we had the lock, another server may have created the store.
    if has_bytes(&path)? {
        inspect(&path)?;
    } else {
        create(&path)?;
    }
    let connection = open_in_earnest(&path)?;
    Ok((connection, path, lock))
}

/// The path without symbolic links, so that two names of one store share one lock.
fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    let refuse = |why: String| {
        Err(StoreError::Unwritable {
            path: path.into(),
            why,
        })
    };
    match fs::canonicalize(path) {
        Ok(found) if found.is_dir() => return refuse("it is a directory".into()),
        Ok(found) if !found.is_file() => return refuse("it is not a file".into()),
        Ok(found) => return Ok(found),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(StoreError::from_io(path, &why)),
    }
    let Some(name) = path.file_name() else {
        return refuse("it names no file".into());
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match fs::canonicalize(folder) {
        Ok(folder) => Ok(folder.join(name)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            refuse(format!("the directory {} does not exist", folder.display()))
        }
        Err(why) => Err(StoreError::from_io(folder, &why)),
    }
}

/// Checks the permission bits, because root could write in spite of them: an operator who removed them meant it.
fn refuse_read_only(path: &Path) -> Result<(), StoreError> {
    for path in [Some(path), path.parent()].into_iter().flatten() {
        if fs::metadata(path).is_ok_and(|found| found.permissions().readonly()) {
            return Err(StoreError::ReadOnly { path: path.into() });
        }
    }
    Ok(())
}

/// The file holds password hashes, and so do its log and the log's index, which get their mode from it.
fn refuse_exposed(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = beside(path, suffix);
        match fs::symlink_metadata(&file) {
            Ok(found) if found.is_symlink() => return Err(StoreError::link(&file)),
            Ok(found) => files::check(&file, &found).map_err(StoreError::Exposed)?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(StoreError::from_io(&file, &why)),
        }
    }
    Ok(())
}

/// An empty file counts as missing, as it does for `SQLite`.
fn has_bytes(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.len() > 0),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(StoreError::from_io(path, &why)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

impl Lock {
    fn take(store: &Path) -> Result<Self, StoreError> {
        FileLock::take(store)
            .map(Self)
            .map_err(|error| match error {
                LockError::Held(pid) => StoreError::Locked {
                    path: store.into(),
                    pid,
                },
                LockError::Exposed(file) => StoreError::Exposed(file),
                LockError::Link => StoreError::link(&FileLock::path_of(store)),
                LockError::Io(why) => StoreError::from_io(&FileLock::path_of(store), &why),
            })
    }
}

/// Checks that the file's header is ours, without taking a lock, creating a file or replaying a log.
fn identify_from_outside(path: &Path) -> Result<(), StoreError> {
    let fail = |why| StoreError::from_sqlite(path, &why);
    let connection = open_immutable(path).map_err(fail)?;
    // An interrupted checkpoint leaves a header that is ahead of its file, which is not damage while
    // the log is there. This setting has SQLite use the file's real length instead.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)
        .map_err(fail)?;
    identify(&connection, path)
}

fn identify(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|why| StoreError::from_sqlite(path, &why))
    };
    if pragma("application_id")? != i64::from(schema::APPLICATION_ID) {
        return Err(StoreError::Foreign {
            path: path.into(),
            why: "the database of another program".into(),
        });
    }
    match pragma("user_version")? {
        schema::VERSION => Ok(()),
        found if found > schema::VERSION => Err(StoreError::Newer {
            path: path.into(),
            found,
            known: schema::VERSION,
        }),
        found => Err(StoreError::Damaged {
            path: path.into(),
            why: format!("there never was a version {found} of the tables"),
        }),
    }
}

/// Reads every page: damage must be found now, not by the login that meets it.
fn inspect(path: &Path) -> Result<(), StoreError> {
    let fail = |why| StoreError::from_sqlite(path, &why);
    let has_log = has_bytes(&beside(path, "-wal"))?;
    let connection = if has_log {
        open_with_log(path)
    } else {
        open_immutable(path)
    }
    .map_err(fail)?;
    identify(&connection, path)?;
    let damaged = |why| StoreError::Damaged {
        path: path.into(),
        why,
    };
    let finding: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(fail)?;
    if finding != "ok" {
        return Err(damaged(finding.replace('\n', " ")));
    }
    for query in [schema::USERS, schema::SESSIONS, schema::EVENTS_SINCE] {
        connection
            .prepare(query)
            .map_err(|why| damaged(why.to_string()))?;
    }
    schema::last_event_id(&connection).map_err(|why| damaged(why.to_string()))?;
    if has_log {
        // When the file is opened for writing, the log is copied into it; a failure to load would then come too late.
        read_rows(&connection).map_err(|why| damaged(why.to_string()))?;
    }
    Ok(())
}

/// Reads what is loaded at start, and discards it.
fn read_rows(connection: &Connection) -> rusqlite::Result<()> {
    let mut users = connection.prepare(schema::USERS)?;
    for user in users.query_map([], schema::user_of)? {
        user?;
    }
    let mut sessions = connection.prepare(schema::SESSIONS)?;
    for session in sessions.query_map([], schema::session_of)? {
        session?;
    }
    Ok(())
}

/// Opens the file alone for reading, and creates nothing beside it.
fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}

/// Opens the file for reading together with the log that a killed server left, and changes neither.
fn open_with_log(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open_to_write(path)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "query_only", true)?;
    if !beside(path, "-shm").exists() {
        // No other process reads it meanwhile, so the log's index can be in memory instead of a new file.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    Ok(connection)
}

fn open_to_write(path: &Path) -> rusqlite::Result<Connection> {
    // The path was resolved before, so a link on it is new.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

fn open_in_earnest(path: &Path) -> Result<Connection, StoreError> {
    let open = || -> rusqlite::Result<(Connection, bool, String)> {
        let connection = open_to_write(path)?;
        // SQLite falls back to read-only if it may not write.
        let read_only = connection.is_readonly("main")?;
        schema::configure(&connection)?;
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if !read_only {
            // This finds another program's lock now instead of at the first login.
            connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
        }
        Ok((connection, read_only, mode))
    };
    let (connection, read_only, mode) =
        open().map_err(|why| StoreError::from_sqlite(path, &why))?;
    if read_only {
        return Err(StoreError::ReadOnly { path: path.into() });
    }
    if mode != "wal" {
        return Err(StoreError::Unwritable {
            path: path.into(),
            why: "SQLite cannot keep a write-ahead log there, as on a network file system".into(),
        });
    }
    Ok(connection)
}

/// Makes the whole store under another name first, so that there is never an incomplete one at `path`.
fn create(path: &Path) -> Result<(), StoreError> {
    for suffix in ["-wal", "-journal"] {
        let orphan = beside(path, suffix);
        if has_bytes(&orphan)? {
            // SQLite would mix its contents into the new file.
            return Err(StoreError::Damaged {
                path: path.into(),
                why: format!(
                    "{} is there, but the file it belongs to is not",
                    orphan.display()
                ),
            });
        }
    }
    let fresh = beside(path, ".new");
    let made = make_private(&fresh).map_err(|why| StoreError::from_io(&fresh, &why));
    made.and_then(|()| fill(&fresh).map_err(|why| StoreError::from_sqlite(&fresh, &why)))
        .and_then(|()| put_in_place(&fresh, path).map_err(|why| StoreError::from_io(path, &why)))
        .inspect_err(|_| {
            let _ = fs::remove_file(&fresh);
        })
}

fn make_private(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    let mut options = files::options();
    options.write(true).create_new(true).open(path)?;
    Ok(())
}

fn fill(path: &Path) -> rusqlite::Result<()> {
    let connection = open_to_write(path)?;
    schema::sync_fully(&connection)?;
    schema::create(&connection)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.close().map_err(|(_, why)| why)
}

fn put_in_place(fresh: &Path, path: &Path) -> io::Result<()> {
    fs::rename(fresh, path)?;
    durable::sync_name(path)
}
