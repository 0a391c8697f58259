//! The handover: what a running server gives to the process that takes over from it.
//!
//! The predecessor starts the successor, with one end of a socket pair for its stdin, and gives it the
//! listening sockets. The successor checks everything that it needs except the store, and reports that it is
//! ready. The predecessor finishes the requests under way, closes the store, hands over its connections and
//! reports that. The successor opens the store and reports that it serves; only then does the predecessor end.
//! If the successor fails at any step, the predecessor still has everything, and continues.
//!
//! `line` has the messages, `restart` waits until a successor is ready.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use loopgate::config::ListenAddr;
use loopgate::reactor::spawn;
use loopgate::server::{HandedOver, PassedSocket};

use super::line::{Kind, Line, Patience, VERSION, unknown};

/// The variable that tells a program that it is a successor; its value is the predecessor's process id.
pub(super) const PREDECESSOR: &str = "LOOPGATE_PREDECESSOR";
/// How long a successor may take to check its options and files.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to open the store: a large store is read in full to find damage.
const SERVING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it waits for the store: a request under way may take that long.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a running server knows about the process that is to take over. If this is dropped before that process
/// serves, the process is ended.
#[derive(Debug)]
pub(super) struct Successor {
    line: Line,
    process: Child,
    serves: bool,
}

impl Successor {
    /// Starts `program` with the arguments that this one was started with, gives it `sockets`, and waits
    /// until it is ready. `line` is one end of a socket pair and `stdin` the other one.
    ///
    /// # Errors
    /// If it could not be started, ended, or was not ready in time.
    pub(super) fn start(
        program: &Path,
        sockets: &[PassedSocket],
        line: UnixStream,
        stdin: UnixStream,
    ) -> io::Result<Self> {
        let patience = Patience::of(READY_TIMEOUT);
        let mut command = Command::new(program);
        command
            .args(std::env::args_os().skip(1))
            .env(PREDECESSOR, std::process::id().to_string())
            .stdin(OwnedFd::from(stdin));
        let process = spawn(&mut command)?;
        let mut successor = Self {
            line: Line::over(line)?,
            process,
            serves: false,
        };
        let Self { line, .. } = &mut successor;
        line.send(Kind::Hello, [&[], &[]], &[], patience)?;
        for socket in sockets {
            let asked = socket.asked.as_ref().map(text).unwrap_or_default();
            let parts = [asked.as_bytes(), &[]];
            let descriptors: Vec<_> = [Some(&socket.descriptor), socket.lock.as_ref()]
                .into_iter()
                .flatten()
                .map(AsFd::as_fd)
                .collect();
            line.send(Kind::Socket, parts, &descriptors, patience)?;
        }
        line.send(Kind::Sockets, [&[], &[]], &[], patience)?;
        line.expect(Kind::Ready, patience)?;
        Ok(successor)
    }

    /// Gives it the connections and the store, which must be closed, and waits until it serves or one of `unless`
    /// becomes readable. After an error the successor is gone, and the connections are as they were.
    ///
    /// # Errors
    /// If it ended, did not serve in time, or the wait was broken off.
    pub(super) fn give(
        mut self,
        connections: &[HandedOver],
        unless: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let patience = Patience {
            timeout: SERVING_TIMEOUT,
            unless,
        };
        for connection in connections {
            let parts = [&connection.input[..], &connection.output[..]];
            let descriptors = [connection.descriptor.as_fd()];
            self.line
                .send(Kind::Connection, parts, &descriptors, patience)?;
        }
        self.line.send(Kind::Store, [&[], &[]], &[], patience)?;
        self.line.expect(Kind::Serving, patience)?;
        self.serves = true;
        Ok(())
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it, without waiting for its end.
    pub(super) fn kill(&mut self) {
        let _ = self.process.kill();
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.serves {
            self.kill();
            let _ = self.process.wait();
        }
    }
}

/// An address as it is written on the command line.
fn text(address: &ListenAddr) -> String {
    let text = address.to_string();
    text.trim_start_matches("http://").to_owned()
}

/// What a successor knows about the process that it takes over from.
#[derive(Debug)]
pub(super) struct Predecessor {
    line: Line,
    pub(super) sockets: Vec<PassedSocket>,
}

impl Predecessor {
    /// The predecessor that started this process, if there is one.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub(super) fn of_this_process() -> io::Result<Option<Self>> {
        let parent = rustix::process::getppid().map(|id| id.as_raw_nonzero().to_string());
        let named = std::env::var(PREDECESSOR).ok();
        // A child of a successor has the variable, too, but another parent.
        if named.is_none() || named != parent {
            return Ok(None);
        }
        let stdin = rustix::stdio::stdin().try_clone_to_owned()?;
        // No other process may have this end open, or the predecessor would not notice the death of this one.
        let nothing = std::fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        let mut line = Line::over(stdin.into())?;
        let patience = Patience::of(READY_TIMEOUT);
        let hello = line.receive(patience)?;
        if hello.kind != Kind::Hello || hello.lengths[0] != VERSION {
            return Err(unknown());
        }
        let mut sockets = Vec::new();
        loop {
            let message = line.receive(patience)?;
            match (message.kind, message.descriptor) {
                (Kind::Sockets, _) => return Ok(Some(Self { line, sockets })),
                (Kind::Socket, Some(descriptor)) => {
                    let address = line.bytes(message.lengths[0], patience)?;
                    let address = String::from_utf8(address).map_err(|_| unknown())?;
                    let asked = match address.as_str() {
                        "" => None,
                        address => Some(address.parse().map_err(|_| unknown())?),
                    };
                    sockets.push(PassedSocket {
                        asked,
                        descriptor,
                        lock: message.lock,
                    });
                }
                _ => return Err(unknown()),
            }
        }
    }

    /// Reports that everything except the store has been checked, and waits for the store; returns the connections
    /// that come with it. If the predecessor dies meanwhile, the store is free as well.
    ///
    /// # Errors
    /// If a message cannot be understood, or takes too long.
    pub(super) fn wait_for_the_store(&mut self) -> io::Result<Vec<HandedOver>> {
        let patience = Patience::of(STORE_TIMEOUT);
        self.line.send(Kind::Ready, [&[], &[]], &[], patience)?;
        let mut connections = Vec::new();
        loop {
            let message = match self.line.receive(patience) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    log::warn!("the process before this one has died");
                    return Ok(connections);
                }
                message => message?,
            };
            match (message.kind, message.descriptor) {
                (Kind::Store, _) => return Ok(connections),
                (Kind::Connection, Some(descriptor)) => connections.push(HandedOver {
                    descriptor,
                    input: self.line.bytes(message.lengths[0], patience)?,
                    output: self.line.bytes(message.lengths[1], patience)?,
                }),
                _ => return Err(unknown()),
            }
        }
    }

    /// Reports that this process serves.
    pub(super) fn may_go(&mut self) {
        // If the predecessor has died, there is nothing to report.
        let patience = Patience::of(READY_TIMEOUT);
        let _ = self.line.send(Kind::Serving, [&[], &[]], &[], patience);
    }
}
