//! The stream seam: sockets, encrypted or not, and pipes.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::process::ChildStdin;

use mio::Interest;
use mio::net::{TcpStream, UnixStream};
use mio::unix::pipe;
use socket2::Socket;

use super::OsSelector;
#[cfg(feature = "tls")]
use crate::reactor::seams::Received;
use crate::reactor::seams::{Peer, Selector, Stream};
use crate::reactor::slots::Token;
#[cfg(feature = "tls")]
use crate::reactor::tls::TlsStream;

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A TCP or unix socket, or a pipe.
#[derive(Debug)]
pub enum OsStream {
    /// Over IP.
    Tcp(TcpStream),
    /// Over IP, encrypted.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
    /// On this machine. Also one end of the socket pair through which signals arrive.
    Unix(UnixStream),
    /// A pipe that a child process writes.
    PipeReader(pipe::Receiver),
    /// A pipe that a child process reads.
    PipeWriter(pipe::Sender),
    /// Its descriptor was taken.
    Gone,
}

impl OsStream {
    /// A client's connection from another process, and its peer.
    ///
    /// # Errors
    /// If it is not a socket, or its peer has gone.
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

    /// The pipe that a child process reads as its stdin.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub fn of_stdin(stdin: ChildStdin) -> io::Result<Self> {
        let sender = pipe::Sender::from(stdin);
        sender.set_nonblocking(true)?;
        Ok(Self::PipeWriter(sender))
    }

    /// A pipe that a child process writes: `ChildStdout` or `ChildStderr`.
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
            Self::Tls(stream) => stream.receive(bytes).into(),
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

impl Stream for OsStream {
    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        let selector: &mut OsSelector = selector.own();
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

    fn deregister(&mut self, selector: &mut dyn Selector) {
        let selector: &mut OsSelector = selector.own();
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

    /// `None` for an encrypted connection, since half of its state is in this process.
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
    #[inline]
    fn receive(&mut self, bytes: &mut [u8]) -> Received {
        match self {
            Self::Tls(stream) => stream.receive(bytes),
            _ => self.read(bytes).into(),
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
    #[inline]
    fn held_bytes(&self) -> usize {
        match self {
            Self::Tls(stream) => stream.held_bytes(),
            _ => 0,
        }
    }

    #[cfg(feature = "tls")]
    fn has_more(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.has_more())
    }
}
