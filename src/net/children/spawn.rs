//! What a service does for its child processes: starting them on a worker, since a fork may block, and
//! putting an end to all of them.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::process::kill_group;
use crate::net::service::{Completion, Message, Service};
use crate::reactor::{Seams, Token, Turn};
use crate::work::Busy;

/// A process that was started just now, and that no source looks after yet. Dropped, it is killed and
/// reaped.
#[derive(Debug)]
pub struct Forked(Option<Child>);

impl Forked {
    /// The process.
    pub(super) fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it is there until it is taken")
    }

    /// Somebody looks after it from now on.
    pub(super) fn take(mut self) -> Child {
        self.0.take().expect("it is taken once")
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            kill_group(child.id(), Signal::KILL);
            // It has been killed: this does not take long.
            let _ = child.wait();
        }
    }
}

impl<S: Seams> Service<S> {
    /// Has a worker start a process, with pipes, in a group of its own: what is sent to the server's
    /// group, as by Ctrl-C at a terminal, is not for it.
    pub(super) fn spawn(&mut self, child: Token, command: &str) -> Result<(), Busy> {
        let completer = self.completer.clone();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let job = Box::new(move || {
            let forked = shell.spawn().map(|child| Forked(Some(child)));
            completer.complete(Completion::Spawned(child, forked));
        });
        self.workers.pool.submit(job)
    }

    /// So many child processes will be started.
    pub fn expect_children(&mut self, count: usize) {
        self.children_left += count;
    }

    /// A child process of ours may have ended.
    pub fn child_ended(&mut self, turn: &mut Turn<'_, Self>) {
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
