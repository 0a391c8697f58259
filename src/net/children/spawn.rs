//! What a service does for its child processes: starting them on a worker, since a fork may block, and
//! putting an end to all of them.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Signal, WaitOptions, wait};

use super::process::kill_group;
use crate::net::message::{Completion, Message};
use crate::net::service::Service;
use crate::reactor::{Token, Turn, spawn};
use crate::work::{Busy, Delivery};

/// A process in a group of its own. Dropped before it was reaped, it is killed and reaped.
#[derive(Debug)]
pub struct Forked {
    pub(super) child: Child,
    reaped: bool,
}

impl Forked {
    /// How it ended, if it has.
    pub(super) fn reap(&mut self, reaped: &mut Reaped) -> Option<ExitStatus> {
        let status = reaped
            .take(self.child.id())
            .or_else(|| self.child.try_wait().ok().flatten());
        self.reaped |= status.is_some();
        status
    }
}

/// Reaps every process that ends, as process 1 must: those whose parent has ended are its own. How followed ones
/// ended is kept for who follows them.
#[derive(Debug, Default)]
pub struct Reaped {
    /// It is to be done at all.
    wanted: bool,
    /// Processes of ours that a worker is starting: until it has said which they are, none is reaped here.
    starting: usize,
    ended: Vec<(u32, ExitStatus)>,
}

impl Reaped {
    fn take(&mut self, id: u32) -> Option<ExitStatus> {
        let at = self.ended.iter().position(|(ended, _)| *ended == id)?;
        Some(self.ended.swap_remove(at).1)
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
        let job = Box::new(move || -> Delivery {
            let forked = spawn(&mut shell).map(|child| Forked {
                child,
                reaped: false,
            });
            Box::new(move || completer.complete(Completion::Spawned(child, forked)))
        });
        self.desk.hand_out_unnamed(job)?;
        self.reaped.starting += 1;
        Ok(())
    }

    /// A worker has started a process, or could not.
    pub(in crate::net) fn spawned(&mut self) {
        self.reaped.starting -= 1;
    }

    /// From now on, processes that have lost their parent are reaped, too.
    pub fn reap_all(&mut self) {
        self.reaped.wanted = true;
        self.reap_orphans();
    }

    /// Reaps what has ended, unless a process of ours has an id that is not known yet.
    pub fn reap_orphans(&mut self) {
        if !self.reaped.wanted || self.reaped.starting > 0 {
            return;
        }
        while let Ok(Some((id, status))) = wait(WaitOptions::NOHANG) {
            let id = id.as_raw_nonzero().get().cast_unsigned();
            if self.groups.contains(&id) {
                let status = ExitStatus::from_raw(status.as_raw());
                self.reaped.ended.push((id, status));
            } else {
                log::debug!(target: "loopgate::child", "process {id} had no parent, and is reaped");
            }
        }
    }

    /// So many child processes will be started.
    pub fn expect_children(&mut self, count: usize) {
        self.children_left += count;
    }

    /// A child process of ours may have ended.
    pub fn child_ended(&mut self, turn: &mut Turn<'_, Message>) {
        self.reap_orphans();
        for child in &self.children {
            turn.tell(*child, Message::ChildEnded);
        }
    }

    /// Puts an end to all child processes at once.
    pub fn kill_children(&mut self) {
        for group in self.groups.drain(..) {
            kill_group(group, Signal::KILL);
        }
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
