//! Runs of the program that end by themselves.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use crate::harness::wait_until;

/// How a run of the program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command that is to end by itself; one that does not is killed, and fails the test.
pub(crate) fn run(command: Command) -> Finished {
    run_with(command, "")
}

/// The same with something on its standard input.
pub(crate) fn run_with(mut command: Command, input: &str) -> Finished {
    struct Killed(Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = Killed(command.spawn().expect("the program starts"));
    // What is not read is not missed: a program may end before it asks.
    let _ = child
        .0
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes());
    let status = wait_until("the program ends", || {
        child.0.try_wait().expect("our child")
    });
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child
        .0
        .stdout
        .take()
        .expect("piped")
        .read_to_string(&mut stdout)
        .expect("UTF-8");
    child
        .0
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut stderr)
        .expect("UTF-8");
    Finished {
        code: status.code(),
        stdout,
        stderr,
    }
}

impl Finished {
    /// It ended with this code and one line on stderr that says all of `words`.
    pub(crate) fn failed_with(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "one line: {self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not said: {self:?}");
        }
    }

    /// It ended well; what it printed.
    pub(crate) fn succeeded(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }
}
