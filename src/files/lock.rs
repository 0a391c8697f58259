//! A lock file for things that only one process may have: a store, the path of a unix socket.
//!
//! The lock is made by `flock(2)`: it belongs to the open file, so a process that gets the descriptor also has the
//! lock, and the system releases it when the last of them has ended. The file itself stays.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::Exposed;

/// A lock that this process has, perhaps together with its successor.
#[derive(Debug)]
pub(crate) struct FileLock(File);

/// Why a lock could not be taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process has it, with this id if the file has one.
    Held(Option<u32>),
    /// Other users than the owner may open the file, and a user who can open it can hold the lock.
    Exposed(Exposed),
    /// There is a symbolic link in its place.
    Link,
    /// The OS's error about the file.
    Io(io::Error),
}

impl FileLock {
    /// The path of the lock of `path`, which is beside it.
    pub(crate) fn path_of(path: &Path) -> PathBuf {
        let mut name = OsString::from(path);
        name.push(".lock");
        name.into()
    }

    /// Takes the lock of `path`, without waiting for it. The lock's file is made if there is none, for the
    /// owner alone; a symbolic link in its place is refused, since it may lead to a file of another user's
    /// choosing.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let path = Self::path_of(path);
        let mut options = super::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(|error| match error {
            _ if super::is_link(&path) => LockError::Link,
            error => LockError::Io(error),
        })?;
        let metadata = file.metadata().map_err(LockError::Io)?;
        super::check(&path, &metadata).map_err(LockError::Exposed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut id = String::new();
                let read = file.read_to_string(&mut id);
                return Err(LockError::Held(
                    read.ok().and_then(|_| id.trim().parse().ok()),
                ));
            }
            Err(TryLockError::Error(why)) => return Err(LockError::Io(why)),
        }
        // Only an error message needs it; a full disk must not keep a server from starting.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }

    /// A lock from the predecessor of this process, which also has it while it lives.
    pub(crate) fn adopt(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }

    /// Releases it, also for other processes that have the same open file. Dropping is not enough for that: a
    /// process that any thread is starting at this moment also has the file open until its program begins, and
    /// would keep the lock that long.
    pub(crate) fn release(&self) {
        let _ = self.0.unlock();
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
