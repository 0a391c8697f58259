//! What a service does for its child processes: it starts them on a worker, since a fork may block, and
//! ends all of them.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::forked::Forked;
use crate::net::message::Completion;
use crate::net::service::Service;
use crate::reactor::{Token, spawn};
use crate::work::{Busy, Delivery, Findings};

impl Service {
    /// Has a worker start a process, with pipes, in a group of its own: a signal to the server's group,
    /// as by Ctrl-C at a terminal, does not reach it.
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
            let forked = spawn(&mut shell).map(Forked::of);
            Box::new(move |_| completer.complete(Completion::Spawned(child, forked)))
        });
        self.desk.hand_out_unnamed(job)?;
        self.children.spawns();
        Ok(())
    }
}
