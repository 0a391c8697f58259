//! The processes that a server runs, as all of them together are seen.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Signal, WaitOptions, wait};

use super::forked::kill_group;
use crate::net::message::Message;
use crate::reactor::{Token, Turn};

/// The processes of a server.
///
/// As process 1 it reaps every process that ends: those whose parent has ended are its own. How followed ones
/// ended is kept for the source that follows them.
#[derive(Debug, Default)]
pub struct Roster {
    /// Child processes that have been started once, or are about to be.
    pub(super) started: Vec<Token>,
    /// Those that have not ended for good.
    pub(in crate::net) left: usize,
    /// The process groups of those that run.
    pub(super) groups: Vec<u32>,
    /// Processes without a parent are reaped, too.
    reaps_all: bool,
    /// Processes of ours that a worker is starting: until it has said which they are, none is reaped here.
    starting: usize,
    ended: Vec<(u32, ExitStatus)>,
}

impl Roster {
    /// So many child processes will be started.
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

    /// From now on, processes that have lost their parent are reaped, too.
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

    /// How that process ended, if it was reaped.
    pub(super) fn take(&mut self, id: u32) -> Option<ExitStatus> {
        let at = self.ended.iter().position(|(ended, _)| *ended == id)?;
        Some(self.ended.swap_remove(at).1)
    }

    /// A child process of ours may have ended.
    pub fn one_has_ended(&mut self, turn: &mut Turn<'_, Message>) {
        self.reap_orphans();
        for child in &self.started {
            turn.tell(*child, Message::ChildEnded);
        }
    }

    /// Puts an end to all child processes at once.
    pub fn kill_all(&mut self) {
        for group in self.groups.drain(..) {
            kill_group(group, Signal::KILL);
        }
    }
}
