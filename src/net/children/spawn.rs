//! What a service does for its child processes: starting them on a worker, since a fork may block, and
//! putting an end to all of them.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::Signal;

use super::process::kill_group;
use super::roster::Roster;
use crate::net::message::Completion;
use crate::net::service::Service;
use crate::reactor::{Token, spawn};
use crate::work::{Busy, Delivery, Findings};

/// A process in a group of its own. Dropped before it was reaped, it is killed and reaped.
#[derive(Debug)]
pub struct Forked {
    pub(super) child: Child,
    reaped: bool,
}

impl Forked {
    /// How it ended, if it has.
    pub(super) fn reap(&mut self, roster: &mut Roster) -> Option<ExitStatus> {
        let status = roster
            .take(self.child.id())
            .or_else(|| self.child.try_wait().ok().flatten());
        self.reaped |= status.is_some();
        status
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.reaped {
            kill_group(self.child.id(), Signal::KILL);
            // It has been killed: this does not take long.
            let _ = self.child.wait();
        }
    }
}

impl Service {
    /// Has a worker start a process, with pipes, in a group of its own: what is sent to the server's
    /// group, as by Ctrl-C at a terminal, is not for it.
    pub(super) fn spawn(&mut self, child: Token, command: &str) -> Result<(), Busy> {
        let completer = self.desk.completer();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let job = Box::new(move |_: &mut Findings| -> Delivery {
            let forked = spawn(&mut shell).map(|child| Forked {
                child,
                reaped: false,
            });
            Box::new(move |_| completer.complete(Completion::Spawned(child, forked)))
        });
        self.desk.hand_out_unnamed(job)?;
        self.children.spawns();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, test_kill_process};

    use super::*;

    #[test]
    fn a_process_that_nobody_looks_after_is_neither_left_running_nor_a_zombie() {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "trap '' TERM; sleep 1000"])
            .process_group(0);
        let child = shell.stdin(Stdio::null()).spawn().unwrap();
        let id = Pid::from_child(&child);
        assert!(test_kill_process(id).is_ok());
        drop(Forked {
            child,
            reaped: false,
        });
        assert!(test_kill_process(id).is_err());
    }
}
