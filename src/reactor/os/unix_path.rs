//! The path of a unix socket: which process may listen there.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::files::lock::{FileLock, LockError};

/// Where a unix socket is.
#[derive(Debug)]
pub struct UnixPath {
    path: PathBuf,
    /// Held for as long as a server listens there; `None` for a socket that a service manager made.
    lock: Option<FileLock>,
    /// The path is removed, and the lock released, when this is dropped.
    ours: bool,
}

impl UnixPath {
    /// Claims `path` to listen there. A socket that a dead server left is removed.
    ///
    /// The lock keeps other servers of this kind away for as long as this one lives. Trying to connect to the
    /// existing socket is not enough: outside Linux, a socket with a full queue refuses like one where no process
    /// listens. It is tried anyway, since servers of other kinds take no lock.
    ///
    /// # Errors
    /// `AddrInUse` if a server listens there, or the path is not a socket; else the OS's error about the lock's
    /// file.
    pub(super) fn claim(path: &Path) -> io::Result<Self> {
        let found = path.symlink_metadata();
        if found.is_ok_and(|found| !found.file_type().is_socket()) {
            return Err(io::ErrorKind::AddrInUse.into()); // without making a lock file beside it
        }
        let lock = FileLock::take(path).map_err(|error| match error {
            LockError::Held(_) => io::ErrorKind::AddrInUse.into(),
            LockError::Exposed(file) => io::Error::other(file),
            LockError::Link => {
                let lock = FileLock::path_of(path);
                io::Error::other(format!("{} is a symbolic link", lock.display()))
            }
            LockError::Io(error) => {
                let lock = FileLock::path_of(path);
                io::Error::new(error.kind(), format!("{}: {error}", lock.display()))
            }
        })?;
        let claimed = Self::at(path, Some(lock), false);
        match path.symlink_metadata() {
            Ok(found) if found.file_type().is_socket() && is_refused(path) => {
                fs::remove_file(path)?;
            }
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(claimed)
    }

    /// The path of a socket from another process, with the lock if it had one.
    pub(super) fn adopt(path: &Path, lock: Option<OwnedFd>) -> Self {
        Self::at(path, lock.map(FileLock::adopt), false)
    }

    fn at(path: &Path, lock: Option<FileLock>, ours: bool) -> Self {
        let path = path.to_owned();
        Self { path, lock, ours }
    }

    /// Whether the path is removed and the lock released when this is dropped, or both are left.
    pub(super) fn owns(&mut self, owns: bool) {
        self.ours = owns;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lock(&self) -> Option<BorrowedFd<'_>> {
        self.lock.as_ref().map(|lock| lock.as_fd())
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(&self.path);
            if let Some(lock) = &self.lock {
                lock.release();
            }
        }
    }
}

/// Whether no process listens at `path`, as far as connecting can tell. It never blocks: if the queue is full,
/// Linux would wait for a place in it. A lack of permission to connect proves nothing.
fn is_refused(path: &Path) -> bool {
    let asked = || -> io::Result<()> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    asked().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
