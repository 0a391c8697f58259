//! Everything that can go wrong with a store, in words for the operator of the server: what,
//! why, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::files::Exposed;

/// Why a store could not be opened, or why nothing of a transaction was stored.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreError {
    /// Another server, or a `loopgate user` command, has the store.
    #[error("the store {path} belongs to {}, which is running; stop it, or use another store", process(*.pid))]
    Locked {
        /// The store.
        path: PathBuf,
        /// The process that has it, if its id is known.
        pid: Option<u32>,
    },
    /// A program that is not ours holds a lock on the file.
    #[error("another program holds a lock on the store {path}; close it and try again")]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// Not a store of ours: another program's database, or no database at all.
    #[error("{path} is not a store of loopgate ({why}); it was left alone, so use another store")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// A store with damaged contents.
    #[error(
        "the store {path} is damaged ({why}); it was left alone, so restore it from a backup or move it away"
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// The first damage found.
        why: String,
    },
    /// Written by a newer version of this program.
    #[error(
        "the store {path} was written by a newer loopgate (version {found} of the tables, this one knows {known}); it was left alone, so use the newer program"
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// The file's schema version.
        found: i64,
        /// The newest schema version that this program knows.
        known: i64,
    },
    /// The file or its directory may not be written to.
    #[error("{path} cannot be written to; change its permissions, or use another store")]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
    },
    /// There can be no store at this path.
    #[error("there can be no store at {path} ({why}); use another store")]
    Unwritable {
        /// The path.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Others than the owner may read or write one of its files.
    #[error("the store's file {0}")]
    Exposed(Exposed),
    /// As many transactions as the store takes are waiting; this one was not among them.
    #[error("too many transactions are waiting for the disk; try again")]
    Busy,
    /// The disk is full. Later transactions may succeed.
    #[error("the disk is full; make room, nothing that was confirmed before is lost")]
    Full,
    /// The system failed to read or write.
    #[error("the system failed at the store {path} ({why}); look after the disk")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// `SQLite` refused for a reason that no other variant names.
    #[error("SQLite refused: {0}")]
    Sqlite(String),
    /// A row breaks a rule of the tables; only this transaction is refused.
    #[error("the change contradicts what is stored: {0}")]
    Conflict(String),
    /// The user name is taken; only this transaction is refused.
    #[error("there is a user {0:?} already; choose another name")]
    UserExists(String),
    /// There is no such user, or no longer; only this transaction is refused.
    #[error("there is no such user, or no longer")]
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

    /// A symbolic link in a place where the server writes without checking what was there.
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

fn process(pid: Option<u32>) -> String {
    pid.map_or("another process".into(), |pid| format!("process {pid}"))
}
