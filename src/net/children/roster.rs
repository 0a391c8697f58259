//! The set of processes that a server runs.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Signal, WaitOptions, wait};

use super::forked::kill_group;
use crate::net::message::Message;
use crate::reactor::{Token, Turn};

/// The processes of a server.
///
/// As process 1 the server reaps every process that ends, since orphans become its children. The exit status of
/// its own child processes is kept for their sources.
#[derive(Debug, Default)]
pub struct Roster {
    /// Child processes that have been started at least once, or are about to be.
    pub(super) started: Vec<Token>,
    /// The number of child processes that have not ended for good.
    pub(in crate::net) left: usize,
    /// The process groups of running child processes.
    pub(super) groups: Vec<u32>,
    /// Orphaned processes are reaped, too.
    reaps_all: bool,
    /// Our processes that a worker is starting: until it has reported their ids, none is reaped here.
    starting: usize,
    ended: Vec<(u32, ExitStatus)>,
}

impl Roster {
    /// Announces how many child processes will be started.
    pub fn expect(&mut self, count: usize) {
        self.left += count;
    }

    /// A worker is to start a process.
    pub(super) fn spawns(&mut self) {
        self.starting += 1;
    }

    /// A worker has started a process, or could not.
    pub(super) fn spawned(&mut self) {
        self.starting -= 1;
    }

    /// From now on, orphaned processes are reaped, too.
    pub fn reap_all(&mut self) {
        self.reaps_all = true;
        self.reap_orphans();
    }

    /// Reaps what has ended, unless a process of ours has an id that is not known yet.
    pub fn reap_orphans(&mut self) {
        if !self.reaps_all || self.starting > 0 {
            return;
        }
        while let Ok(Some((id, status))) = wait(WaitOptions::NOHANG) {
            let id = id.as_raw_nonzero().get().cast_unsigned();
            if self.groups.contains(&id) {
                let status = ExitStatus::from_raw(status.as_raw());
                self.ended.push((id, status));
            } else {
                log::debug!(target: "loopgate::child", "process {id} had no parent, and is reaped");
            }
        }
    }

    /// The exit status of that process, if it was reaped here.
    pub(super) fn take(&mut self, id: u32) -> Option<ExitStatus> {
        let at = self.ended.iter().position(|(ended, _)| *ended == id)?;
        Some(self.ended.swap_remove(at).1)
    }

    /// A child process of ours may have ended.
    pub fn one_has_ended(&mut self, turn: &mut Turn<'_, Message>) {
        self.reap_orphans();
        for child in &self.started {
            turn.send(*child, Message::ChildEnded);
        }
    }

    /// Kills all child processes at once.
    pub fn kill_all(&mut self) {
        for group in self.groups.drain(..) {
            kill_group(group, Signal::KILL);
        }
    }
}
