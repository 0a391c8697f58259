//! Everything that can go wrong with a store, in words for the person who runs the server: what,
//! why, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY;
use serde::{Deserialize, Serialize};

use crate::files::Exposed;

/// Why a store could not be opened, or why nothing of a transaction was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreError {
    /// Another server, or a `loopgate user` command, has the store.
    Locked {
        /// The store.
        path: PathBuf,
        /// The process that has it, if it left its id.
        pid: Option<u32>,
    },
    /// A program that is not ours holds a lock on the file.
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// Not a store of ours: another program's database, or no database at all.
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// A store with damaged contents.
    Damaged {
        /// The store.
        path: PathBuf,
        /// The first damage found.
        why: String,
    },
    /// Written by a newer version of this program.
    Newer {
        /// The store.
        path: PathBuf,
        /// The file's schema version.
        found: i64,
        /// The newest schema version that this program knows.
        known: i64,
    },
    /// The file or its directory may not be written to.
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
    },
    /// There can be no store at this path.
    Unwritable {
        /// The path.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Others than the owner may read or write one of its files.
    Exposed(Exposed),
    /// As many transactions as the store takes are waiting; this one was not among them.
    Busy,
    /// The disk is full. Later transactions may succeed.
    Full,
    /// The system failed to read or write.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// `SQLite` refused for a reason that no other variant names.
    Sqlite(String),
    /// A row breaks a rule of the tables; only this transaction is refused.
    Conflict(String),
    /// The user name is taken; only this transaction is refused.
    UserExists(String),
    /// There is no such user, or no longer; only this transaction is refused.
    NoSuchUser,
}

impl StoreError {
    /// Whether the transaction itself is at fault: the others of its group may still commit.
    pub(super) fn concerns_one_transaction(&self) -> bool {
        matches!(
            self,
            Self::Conflict(_) | Self::UserExists(_) | Self::NoSuchUser
        )
    }

    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, why) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            Some(ErrorCode::NotADatabase) => Self::Foreign { path, why },
            // None: not SQLite but rusqlite found something of the wrong kind or size in a row.
            Some(ErrorCode::DatabaseCorrupt) | None => Self::Damaged { path, why },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::Unwritable { path, why }
            }
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed) => {
                Self::Io { path, why }
            }
            Some(ErrorCode::ConstraintViolation) => {
                if error.sqlite_extended_error_code() == Some(SQLITE_CONSTRAINT_FOREIGNKEY) {
                    // The only reference in the tables is a session's to its user.
                    Self::NoSuchUser
                } else {
                    Self::Conflict(why)
                }
            }
            Some(_) => Self::Sqlite(why),
        }
    }

    /// A symbolic link where the server writes without a look at what was there.
    pub(super) fn link(path: &Path) -> Self {
        Self::Unwritable {
            path: path.to_owned(),
            why: "it is a symbolic link, which another user may have put there; remove it".into(),
        }
    }

    pub(super) fn from_io(path: &Path, error: &io::Error) -> Self {
        let (path, why) = (path.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { path, why },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path, pid } => {
                write!(f, "the store {} belongs to ", path.display())?;
                match pid {
                    Some(pid) => write!(f, "process {pid}")?,
                    None => f.write_str("another process")?,
                }
                f.write_str(", which is running; stop it, or use another store")
            }
            Self::InUse { path } => write!(
                f,
                "another program holds a lock on the store {}; close it and try again",
                path.display()
            ),
            Self::Foreign { path, why } => write!(
                f,
                "{} is not a store of loopgate ({why}); it was left alone, so use another store",
                path.display()
            ),
            Self::Damaged { path, why } => write!(
                f,
                "the store {} is damaged ({why}); it was left alone, so restore it from a backup \
                 or move it away",
                path.display()
            ),
            Self::Newer { path, found, known } => write!(
                f,
                "the store {} was written by a newer loopgate (version {found} of the tables, \
                 this one knows {known}); it was left alone, so use the newer program",
                path.display()
            ),
            Self::ReadOnly { path } => write!(
                f,
                "{} cannot be written to; change its permissions, or use another store",
                path.display()
            ),
            Self::Unwritable { path, why } => write!(
                f,
                "there can be no store at {} ({why}); use another store",
                path.display()
            ),
            Self::Exposed(file) => write!(f, "the store's file {file}"),
            Self::Busy => f.write_str("too many transactions are waiting for the disk; try again"),
            Self::Full => f.write_str(
                "the disk is full; make room, nothing that was confirmed before is lost",
            ),
            Self::Io { path, why } => write!(
                f,
                "the system failed at the store {} ({why}); look after the disk",
                path.display()
            ),
            Self::Sqlite(why) => write!(f, "SQLite refused: {why}"),
            Self::Conflict(why) => write!(f, "the change contradicts what is stored: {why}"),
            Self::UserExists(name) => {
                write!(f, "there is a user {name:?} already; choose another name")
            }
            Self::NoSuchUser => f.write_str("there is no such user, or no longer"),
        }
    }
}

impl std::error::Error for StoreError {}
