//! A process that was started for the server.

use std::process::{Child, ExitStatus};

use rustix::process::{Pid, Signal, kill_process_group};

/// A process in a group of its own. If it is dropped before it was reaped, it is killed and reaped.
#[derive(Debug)]
pub struct Forked {
    pub(super) child: Child,
    reaped: bool,
}

impl Forked {
    /// A process that was started in a group of its own.
    pub(super) fn of(child: Child) -> Self {
        let reaped = false;
        Self { child, reaped }
    }

    /// Its exit status, if it has ended; `known`, if it was reaped elsewhere.
    pub(super) fn reap(&mut self, known: Option<ExitStatus>) -> Option<ExitStatus> {
        let status = known.or_else(|| self.child.try_wait().ok().flatten());
        self.reaped |= status.is_some();
        status
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.reaped {
            kill_group(self.child.id(), Signal::KILL);
            // It has been killed, so this does not take long.
            let _ = self.child.wait();
        }
    }
}

pub(super) fn group(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// Signals all processes of a group that still exist.
pub(super) fn kill_group(id: u32, signal: Signal) {
    if let Some(group) = group(id) {
        let _ = kill_process_group(group, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use rustix::process::{Pid, test_kill_process};

    use super::*;

    #[test]
    fn a_process_without_an_owner_is_neither_left_running_nor_a_zombie() {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "trap '' TERM; sleep 1000"])
            .process_group(0);
        let child = shell.stdin(Stdio::null()).spawn().unwrap();
        let id = Pid::from_child(&child);
        assert!(test_kill_process(id).is_ok());
        drop(Forked::of(child));
        assert!(test_kill_process(id).is_err());
    }
}
