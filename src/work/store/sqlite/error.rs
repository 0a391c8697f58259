//! What an error of `SQLite` means.

use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY;

use crate::work::StoreError;

impl StoreError {
    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, why) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            Some(ErrorCode::NotADatabase) => Self::Foreign { path, why },
            // None: rusqlite, not SQLite, found a value of the wrong kind or size in a row.
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
}
