//! From one process to the next: what a running server gives to the one that goes on in its place.
//!
//! The predecessor starts the successor, with one end of a socket pair for its stdin, and gives it the
//! sockets that listen. The successor looks at everything it needs but the store, and says that it is
//! ready. The predecessor finishes what is under way, closes the store, gives up its connections and says
//! so. The successor opens the store and says that it serves; only then does the predecessor end. If the
//! successor fails anywhere on this way, the predecessor has all it had, and goes on.
//!
//! Each message is a kind, two lengths and perhaps descriptors (`SCM_RIGHTS`, unix(7)), then as many bytes as
//! the lengths say. The first one carries a version: the two programs may differ.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use loopgate::config::ListenAddr;
use loopgate::server::{Passed, PassedSocket};
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Of the messages below. A successor that knows another one ends, and its predecessor goes on.
const VERSION: u32 = 1;
/// Says to a program that it is a successor; its value is the predecessor's process id.
pub(super) const PREDECESSOR: &str = "LOOPGATE_PREDECESSOR";
/// How long a successor may take to look at its options and files.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to open the store: a large one is read through for damage.
const SERVING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it waits for the store: a request under way may take so long.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest input or output of a connection, in bytes, that is believed.
const PASSED_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// To the successor: this is the version, in the place of a length.
    Hello,
    /// To the successor: a socket that listens, and the address it was asked for; then the lock of its path.
    Socket,
    /// To the successor: those were all.
    Sockets,
    /// To the predecessor: everything but the store is looked at.
    Ready,
    /// To the successor: a connection with its input and its output.
    Connection,
    /// To the successor: nobody has the store.
    Store,
    /// To the predecessor: you may go.
    Serving,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Hello,
        Self::Socket,
        Self::Sockets,
        Self::Ready,
        Self::Connection,
        Self::Store,
        Self::Serving,
    ];
}

struct Message {
    kind: Kind,
    lengths: [u32; 2],
    descriptor: Option<OwnedFd>,
    lock: Option<OwnedFd>,
}

/// One end of the way between the two.
#[derive(Debug)]
struct Line(UnixStream);

impl Line {
    fn send(
        &mut self,
        kind: Kind,
        parts: [&[u8]; 2],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let lengths = match kind {
            Kind::Hello => [VERSION, 0],
            _ => [parts[0].len() as u32, parts[1].len() as u32],
        };
        let mut header = [0; 12];
        header[0] = kind as u8;
        header[4..8].copy_from_slice(&lengths[0].to_le_bytes());
        header[8..12].copy_from_slice(&lengths[1].to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        // The descriptors go with the first byte; a header is never taken in part.
        let header_bytes = [IoSlice::new(&header)];
        let sent =
            retry_on_intr(|| sendmsg(&self.0, &header_bytes, &mut control, SendFlags::empty()))?;
        self.0.write_all(&header[sent..])?;
        parts.iter().try_for_each(|part| self.0.write_all(part))
    }

    fn receive(&mut self) -> io::Result<Message> {
        let mut header = [0; 12];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        // With a time limit a signal interrupts it, whatever its handler is told (signal(7)).
        let received = retry_on_intr(|| {
            let header = &mut [IoSliceMut::new(&mut header)];
            recvmsg(&self.0, header, &mut control, RECEIVE_FLAGS)
        })?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.read_exact(&mut header[received.bytes..])?;
        let (mut descriptor, mut lock) = (None, None);
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                (descriptor, lock) = (descriptors.next(), descriptors.next());
            }
        }
        for descriptor in descriptor.iter().chain(&lock) {
            keep_from_children(descriptor)?;
        }
        let [kind, _, _, _, a @ .., b0, b1, b2, b3] = header;
        let lengths = [u32::from_le_bytes(a), u32::from_le_bytes([b0, b1, b2, b3])];
        let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind);
        Ok(Message {
            kind: kind.ok_or_else(unknown)?,
            lengths,
            descriptor,
            lock,
        })
    }

    fn bytes(&mut self, length: u32) -> io::Result<Vec<u8>> {
        if length > PASSED_BYTES_MAX {
            return Err(unknown());
        }
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn expect(&mut self, kind: Kind, within: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(within))?;
        let message = self.receive()?;
        if message.kind == kind {
            Ok(())
        } else {
            Err(unknown())
        }
    }
}

/// Apple's systems have no flag that keeps descriptors which arrive from programs that are started.
#[cfg(target_vendor = "apple")]
const RECEIVE_FLAGS: RecvFlags = RecvFlags::empty();
#[cfg(not(target_vendor = "apple"))]
const RECEIVE_FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;

/// Keeps a descriptor that arrived from programs that are started, where [`RECEIVE_FLAGS`] did not.
fn keep_from_children(descriptor: &OwnedFd) -> io::Result<()> {
    if cfg!(target_vendor = "apple") {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(())
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it speaks another version")
}

/// What a running server knows of the process that is to go on in its place. Dropped before that serves,
/// the process is ended.
#[derive(Debug)]
pub(super) struct Successor {
    line: Line,
    process: Child,
    serves: bool,
}

impl Successor {
    /// Starts `program` with the arguments that this one was started with, gives it `sockets`, and waits
    /// until it is ready.
    ///
    /// # Errors
    /// When it could not be started, ended, or was not ready in time.
    pub(super) fn start(program: &Path, sockets: &[PassedSocket]) -> io::Result<Self> {
        let (line, stdin) = UnixStream::pair()?;
        let process = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(PREDECESSOR, std::process::id().to_string())
            .stdin(OwnedFd::from(stdin))
            .spawn()?;
        let mut successor = Self {
            line: Line(line),
            process,
            serves: false,
        };
        successor.line.send(Kind::Hello, [&[], &[]], &[])?;
        for socket in sockets {
            let asked = socket.asked.as_ref().map(text).unwrap_or_default();
            let parts = [asked.as_bytes(), &[]];
            let descriptors: Vec<_> = [Some(&socket.descriptor), socket.lock.as_ref()]
                .into_iter()
                .flatten()
                .map(AsFd::as_fd)
                .collect();
            successor.line.send(Kind::Socket, parts, &descriptors)?;
        }
        successor.line.send(Kind::Sockets, [&[], &[]], &[])?;
        successor.line.expect(Kind::Ready, READY_TIMEOUT)?;
        Ok(successor)
    }

    /// Gives it the connections and the store, which must be closed, and waits until it serves. After an
    /// error it is gone, and the connections are as they were.
    ///
    /// # Errors
    /// When it ended, or did not serve in time.
    pub(super) fn give(mut self, connections: &[Passed]) -> io::Result<()> {
        self.line.0.set_write_timeout(Some(SERVING_TIMEOUT))?;
        for connection in connections {
            let parts = [&connection.input[..], &connection.output[..]];
            let descriptor = connection.descriptor.as_fd();
            self.line.send(Kind::Connection, parts, &[descriptor])?;
        }
        self.line.send(Kind::Store, [&[], &[]], &[])?;
        self.line.expect(Kind::Serving, SERVING_TIMEOUT)?;
        self.serves = true;
        Ok(())
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.serves {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// An address as it is written on the command line.
fn text(address: &ListenAddr) -> String {
    let text = address.to_string();
    text.trim_start_matches("http://").to_owned()
}

/// What a successor knows of the process in whose place it goes on.
#[derive(Debug)]
pub(super) struct Predecessor {
    line: Line,
    pub(super) sockets: Vec<PassedSocket>,
}

impl Predecessor {
    /// The one that started this process to go on in its place, if one did.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub(super) fn of_this_process() -> io::Result<Option<Self>> {
        let parent = rustix::process::getppid().map(|id| id.as_raw_nonzero().to_string());
        let named = std::env::var(PREDECESSOR).ok();
        // A child of a successor's has the variable too, but another parent.
        if named.is_none() || named != parent {
            return Ok(None);
        }
        let stdin = rustix::stdio::stdin().try_clone_to_owned()?;
        // Nobody else is to have this end open, or the other would not see this process die.
        let nothing = std::fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        let mut line = Line(stdin.into());
        line.0.set_read_timeout(Some(READY_TIMEOUT))?;
        let hello = line.receive()?;
        if hello.kind != Kind::Hello || hello.lengths[0] != VERSION {
            return Err(unknown());
        }
        let mut sockets = Vec::new();
        loop {
            let message = line.receive()?;
            match (message.kind, message.descriptor) {
                (Kind::Sockets, _) => return Ok(Some(Self { line, sockets })),
                (Kind::Socket, Some(descriptor)) => {
                    let address = line.bytes(message.lengths[0])?;
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

    /// Says that everything but the store has been looked at, and waits for the store; the connections
    /// that come with it. If the predecessor dies meanwhile, nobody has the store either.
    ///
    /// # Errors
    /// When it cannot be understood, or takes too long.
    pub(super) fn wait_for_the_store(&mut self) -> io::Result<Vec<Passed>> {
        self.line.send(Kind::Ready, [&[], &[]], &[])?;
        self.line.0.set_read_timeout(Some(STORE_TIMEOUT))?;
        let mut connections = Vec::new();
        loop {
            let message = match self.line.receive() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    log::warn!("the process before this one has died");
                    return Ok(connections);
                }
                message => message?,
            };
            match (message.kind, message.descriptor) {
                (Kind::Store, _) => return Ok(connections),
                (Kind::Connection, Some(descriptor)) => connections.push(Passed {
                    descriptor,
                    input: self.line.bytes(message.lengths[0])?,
                    output: self.line.bytes(message.lengths[1])?,
                }),
                _ => return Err(unknown()),
            }
        }
    }

    /// Says that this process serves.
    pub(super) fn may_go(&mut self) {
        // If it has died, it has gone.
        let _ = self.line.send(Kind::Serving, [&[], &[]], &[]);
    }
}
