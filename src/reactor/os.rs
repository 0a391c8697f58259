//! The four seams in the real world: the system's clocks, its randomness, mio's selector, sockets.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::unix::pipe;
use mio::{Events, Interest, Poll, Waker};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::clock::OsClock;
use super::seams::{Acceptor, Entropy, Peer, Readiness, Ready, Seams, Selector, Stream, Wake};
use super::slots::Token;
#[cfg(feature = "tls")]
use super::tls::{Identity, TlsStream};

/// Whether a read or write that moved fewer bytes than it could have proves that the descriptor is
/// drained, so that the call that would only say `WouldBlock` can be left out.
///
/// True for epoll and kqueue (epoll(7), question 9). mio's contract is to go on until `WouldBlock`, and its poll(2)
/// backend depends on that: it stops watching a descriptor it reported until it has seen one.
pub const SHORT_MEANS_DRAINED: bool = cfg!(all(
    any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "ios",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
    ),
    not(mio_unsupported_force_poll_poll)
));

/// Readiness reports taken from the OS in one wait.
const READY_MAX: usize = 1024;
/// Connections that may wait to be accepted; the OS lowers it to its own limit.
const BACKLOG: i32 = 4096;
/// The waker's name; no slot has it.
const WAKER: mio::Token = mio::Token(usize::MAX);
// mio's token is a `usize`, and ours are two numbers of 32 bits each.
const _: () = assert!(usize::BITS >= 64, "tokens need 64 bits");
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The real world.
#[derive(Debug)]
pub struct Os;

impl Seams for Os {
    type Clock = OsClock;
    type Entropy = OsEntropy;
    type Selector = OsSelector;
    type Stream = OsStream;
    type Acceptor = OsAcceptor;
}

/// The system's random number generator.
#[derive(Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    /// When the system has no randomness: without it, no secret is one.
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system's random number generator must work");
    }
}

/// mio's selector: epoll, kqueue or poll.
pub struct OsSelector {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
}

impl OsSelector {
    /// A selector that watches nothing yet.
    ///
    /// # Errors
    /// When the OS gives no descriptor for it.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            poll,
            events: Events::with_capacity(READY_MAX),
            waker,
        })
    }

    fn register(
        &self,
        source: &mut impl mio::event::Source,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.poll
            .registry()
            .register(source, mio::Token(token.as_u64() as usize), interest)
    }

    fn deregister(&self, source: &mut impl mio::event::Source) {
        // Closing the descriptor takes it out of epoll and kqueue anyway.
        let _ = source.deregister(self.poll.registry());
    }
}

impl std::fmt::Debug for OsSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OsSelector").finish_non_exhaustive()
    }
}

impl Selector for OsSelector {
    type Waker = OsWaker;

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        ready.extend(
            self.events
                .iter()
                .filter(|event| event.token() != WAKER)
                .map(|event| {
                    let mut readiness = Readiness::NONE;
                    // The end of the stream and an error are read like bytes: reading is what tells them.
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        readiness = readiness.and(Readiness::READABLE);
                    }
                    if event.is_writable() {
                        readiness = readiness.and(Readiness::WRITABLE);
                    }
                    if event.is_read_closed() || event.is_error() {
                        readiness = readiness.and(Readiness::ENDED);
                    }
                    Ready {
                        token: Token::from_u64(event.token().0 as u64),
                        readiness,
                    }
                }),
        );
        Ok(())
    }

    fn waker(&self) -> OsWaker {
        OsWaker(Arc::clone(&self.waker))
    }
}

/// An eventfd, or what the OS has for one.
#[derive(Clone, Debug)]
pub struct OsWaker(Arc<Waker>);

impl Wake for OsWaker {
    fn wake(&self) {
        // It fails only when the counter is full, and then the loop is awake already.
        let _ = self.0.wake();
    }
}

/// A TCP or unix socket, or a pipe.
#[derive(Debug)]
pub enum OsStream {
    /// Over IP.
    Tcp(TcpStream),
    /// Over IP, encrypted.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
    /// On this machine. Also one end of the pipe through which signals arrive.
    Unix(UnixStream),
    /// A pipe that a child process writes.
    PipeReader(pipe::Receiver),
    /// A pipe that a child process reads.
    PipeWriter(pipe::Sender),
    /// Its descriptor was given away.
    Gone,
}

impl OsStream {
    /// A client's connection that another process had before, and who is at its other end.
    ///
    /// # Errors
    /// When it is no socket, or its peer has gone.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<(Self, Peer)> {
        let socket = Socket::from(descriptor);
        socket.set_nonblocking(true)?;
        let peer = socket.peer_addr()?;
        Ok(if let Some(address) = peer.as_socket() {
            let stream = TcpStream::from_std(socket.into());
            (Self::Tcp(stream), Peer::Ip(address))
        } else {
            let stream = UnixStream::from_std(OwnedFd::from(socket).into());
            (Self::Unix(stream), Peer::Unix)
        })
    }

    /// What a child process reads as its stdin.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub fn of_stdin(stdin: ChildStdin) -> io::Result<Self> {
        let sender = pipe::Sender::from(stdin);
        sender.set_nonblocking(true)?;
        Ok(Self::PipeWriter(sender))
    }

    /// What a child process writes: `ChildStdout` or `ChildStderr`.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub fn of_output(output: impl Into<pipe::Receiver>) -> io::Result<Self> {
        let receiver = output.into();
        receiver.set_nonblocking(true)?;
        Ok(Self::PipeReader(receiver))
    }
}

impl Read for OsStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
            Self::PipeReader(pipe) => pipe.read(bytes),
            Self::PipeWriter(_) | Self::Gone => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Write for OsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::PipeWriter(pipe) => pipe.write(bytes),
            Self::PipeReader(_) | Self::Gone => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write_vectored(slices),
            Self::Unix(stream) => stream.write_vectored(slices),
            Self::PipeWriter(pipe) => pipe.write_vectored(slices),
            Self::PipeReader(_) | Self::Gone => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.flush(),
            _ => Ok(()),
        }
    }
}

impl Stream<OsSelector> for OsStream {
    fn register(&mut self, selector: &mut OsSelector, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => selector.register(stream, token, BOTH),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => selector.register(&mut stream.tcp, token, BOTH),
            Self::Unix(stream) => selector.register(stream, token, BOTH),
            Self::PipeReader(pipe) => selector.register(pipe, token, Interest::READABLE),
            Self::PipeWriter(pipe) => selector.register(pipe, token, Interest::WRITABLE),
            Self::Gone => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn deregister(&mut self, selector: &mut OsSelector) {
        match self {
            Self::Tcp(stream) => selector.deregister(stream),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => selector.deregister(&mut stream.tcp),
            Self::Unix(stream) => selector.deregister(stream),
            Self::PipeReader(pipe) => selector.deregister(pipe),
            Self::PipeWriter(pipe) => selector.deregister(pipe),
            Self::Gone => {}
        }
    }

    fn shutdown(&mut self, how: Shutdown) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(how),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
            // A pipe has one direction; it ends when it is dropped.
            Self::PipeReader(_) | Self::PipeWriter(_) | Self::Gone => Ok(()),
        };
    }

    /// Of a connection that is encrypted, half of the state is in this process.
    fn take_descriptor(&mut self) -> Option<OwnedFd> {
        match std::mem::replace(self, Self::Gone) {
            Self::Tcp(stream) => Some(std::net::TcpStream::from(stream).into()),
            Self::Unix(stream) => Some(std::os::unix::net::UnixStream::from(stream).into()),
            other => {
                *self = other;
                None
            }
        }
    }

    #[cfg(feature = "tls")]
    fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    #[cfg(feature = "tls")]
    fn is_handshaking(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.is_handshaking())
    }

    #[cfg(feature = "tls")]
    fn has_more(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.has_more())
    }
}

/// Where a unix socket is.
#[derive(Debug)]
pub struct UnixPath {
    path: PathBuf,
    /// It is removed when the acceptor is dropped.
    ours: bool,
}

/// A listening TCP or unix socket.
#[derive(Debug)]
pub enum OsAcceptor {
    /// On an IP address and port.
    Tcp(TcpListener),
    /// The same, where clients speak TLS.
    #[cfg(feature = "tls")]
    Tls(TcpListener, Identity),
    /// On a path.
    Unix(UnixListener, UnixPath),
}

impl OsAcceptor {
    /// Listens on `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// What the OS says: the port is in use, the address is not this machine's, no permission.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::Tcp(listen(address)?))
    }

    /// Listens on a unix socket at `path`. A socket that a dead server left there is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when somebody listens there or it is not a socket; what the OS says otherwise.
    pub fn unix(path: &Path) -> io::Result<Self> {
        if let Ok(found) = path.symlink_metadata() {
            // Only a refusal says that nobody listens; that we may not ask says nothing.
            let asked = std::os::unix::net::UnixStream::connect(path);
            let refused = asked.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
            if !(found.file_type().is_socket() && refused) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let path = path.to_owned();
        Ok(Self::Unix(listener, UnixPath { path, ours: true }))
    }

    /// A socket that listens already, in this process or in the one that it comes from.
    ///
    /// # Errors
    /// When it is no socket that listens on an address or a path.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        if !socket.is_listener()? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        if address.as_socket().is_some() {
            return Ok(Self::Tcp(TcpListener::from_std(socket.into())));
        }
        let path = address.as_pathname().ok_or(io::ErrorKind::InvalidInput)?;
        let path = path.to_owned();
        let listener = UnixListener::from_std(OwnedFd::from(socket).into());
        Ok(Self::Unix(listener, UnixPath { path, ours: false }))
    }

    /// From now on the path is removed when this is dropped; or it is left.
    pub fn owns_path(&mut self, owns: bool) {
        if let Self::Unix(_, path) = self {
            path.ours = owns;
        }
    }

    /// Another handle to the same socket, which leaves its path alone.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Self::adopt(self.as_fd().try_clone_to_owned()?)
    }

    /// The same, but those who connect over TCP speak TLS, and are shown `identity`.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(self, identity: Identity) -> Self {
        match self {
            Self::Tcp(listener) => Self::Tls(listener, identity),
            other => other,
        }
    }

    /// The address in use, with the port that the system chose.
    ///
    /// # Errors
    /// What the OS says.
    pub fn local_addr(&self) -> io::Result<crate::config::ListenAddr> {
        Ok(match self {
            Self::Tcp(listener) => crate::config::ListenAddr::Tcp(listener.local_addr()?),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => crate::config::ListenAddr::Tls(listener.local_addr()?),
            Self::Unix(_, path) => crate::config::ListenAddr::Unix(path.path.clone()),
        })
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Without it a restarted server waits a minute for its own old connections.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl AsFd for OsAcceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Acceptor<OsSelector> for OsAcceptor {
    type Stream = OsStream;

    fn accept(&mut self) -> io::Result<(OsStream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                // Each batch of answers leaves in one write; there is nothing to wait for.
                let _ = stream.set_nodelay(true);
                Ok((OsStream::Tcp(stream), Peer::Ip(address)))
            }
            #[cfg(feature = "tls")]
            Self::Tls(listener, identity) => {
                let (stream, address) = listener.accept()?;
                let _ = stream.set_nodelay(true);
                let stream = Box::new(identity.stream(stream)?);
                Ok((OsStream::Tls(stream), Peer::Ip(address)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                Ok((OsStream::Unix(stream), Peer::Unix))
            }
        }
    }

    fn register(&mut self, selector: &mut OsSelector, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => selector.register(listener, token, Interest::READABLE),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => selector.register(listener, token, Interest::READABLE),
            Self::Unix(listener, _) => selector.register(listener, token, Interest::READABLE),
        }
    }

    fn deregister(&mut self, selector: &mut OsSelector) {
        match self {
            Self::Tcp(listener) => selector.deregister(listener),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => selector.deregister(listener),
            Self::Unix(listener, _) => selector.deregister(listener),
        }
    }
}
