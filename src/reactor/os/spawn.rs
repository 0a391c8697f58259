//! Starts programs without letting them inherit descriptors of the server.
//!
//! Linux and the BSDs make pipes and sockets that no program inherits in one call. Apple's systems make them first and
//! mark them afterwards: a program that another thread starts in between keeps them open. Then a client would not
//! see that its connection was closed, and a child process would not see that its stdin has ended. So on those systems
//! a lock allows only one of these steps at a time.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

/// Held while a program is started, or while a new descriptor is not marked yet.
#[cfg(target_vendor = "apple")]
pub(super) fn one_at_a_time() -> std::sync::MutexGuard<'static, ()> {
    static STARTING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let held = STARTING.lock();
    held.unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// No lock is needed.
#[cfg(not(target_vendor = "apple"))]
pub(super) struct Free;

#[cfg(not(target_vendor = "apple"))]
pub(super) fn one_at_a_time() -> Free {
    Free
}

/// Starts `command`, even while other threads start programs or make sockets.
///
/// # Errors
/// Those of [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _held = one_at_a_time();
    command.spawn()
}

/// Two sockets that are connected with each other, and that no program inherits.
///
/// # Errors
/// Those of [`UnixStream::pair`].
pub fn socket_pair() -> io::Result<(UnixStream, UnixStream)> {
    let _held = one_at_a_time();
    UnixStream::pair()
}
