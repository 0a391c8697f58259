//! Listening sockets, which streams are accepted from.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mio::Interest;
use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::spawn::one_at_a_time;
use super::unix_path::UnixPath;
use super::{OsSelector, OsStream};
use crate::config::{ListenAddr, SocketMode};
use crate::reactor::seams::{Acceptor, Peer, Selector};
use crate::reactor::slots::Token;
#[cfg(feature = "tls")]
use crate::reactor::tls::Identity;

/// Connections that may wait to be accepted; the OS lowers it to its own limit.
const BACKLOG: i32 = 4096;
/// How long bytes may stay unacknowledged (RFC 5482). Without this limit, a peer that has vanished and is sent a
/// heartbeat now and then would keep its place for a quarter of an hour. Longer than an answer may be blocked.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: std::time::Duration = std::time::Duration::from_secs(60);

/// A listening TCP or unix socket.
#[derive(Debug)]
pub enum OsAcceptor {
    /// On an IP address and port.
    Tcp(TcpListener),
    /// The same, for clients that speak TLS.
    #[cfg(feature = "tls")]
    Tls(TcpListener, Identity),
    /// On a path.
    Unix(UnixListener, UnixPath),
}

impl OsAcceptor {
    /// Listens on `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// The OS's error: the port is in use, the address is not this machine's, no permission.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::Tcp(listen(address)?))
    }

    /// Listens on a unix socket at `path`. `mode` says which users may connect, independent of the umask. A
    /// socket that a dead server left there is replaced.
    ///
    /// # Errors
    /// `AddrInUse` if another process listens there or it is not a socket; else the OS's error.
    pub fn unix(path: &Path, mode: SocketMode) -> io::Result<Self> {
        let address = SockAddr::unix(path)?; // a path that is too long gets no lock beside it
        let mut claimed = UnixPath::claim(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address)?;
        claimed.owns(true);
        // No client can connect until it listens, so none does before the mode is right.
        std::fs::set_permissions(path, Permissions::from_mode(mode.bits()))?;
        socket.listen(BACKLOG)?;
        let listener = UnixListener::from_std(OwnedFd::from(socket).into());
        Ok(Self::Unix(listener, claimed))
    }

    /// A socket that already listens, from this process or another one; and the lock of its path if it comes with
    /// one.
    ///
    /// # Errors
    /// If it is not a socket that listens on an address or a path.
    pub fn adopt(descriptor: OwnedFd, lock: Option<OwnedFd>) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        require_listening(&socket)?;
        socket.set_nonblocking(true)?;
        set_options(&socket);
        Self::over(socket, lock)
    }

    fn over(socket: Socket, lock: Option<OwnedFd>) -> io::Result<Self> {
        let address = socket.local_addr()?;
        if address.as_socket().is_some() {
            return Ok(Self::Tcp(TcpListener::from_std(socket.into())));
        }
        let path = address.as_pathname().ok_or(io::ErrorKind::InvalidInput)?;
        let path = UnixPath::adopt(path, lock);
        let listener = UnixListener::from_std(OwnedFd::from(socket).into());
        Ok(Self::Unix(listener, path))
    }

    /// Whether the path is removed and its lock released when this is dropped, or both are left.
    pub fn owns_path(&mut self, owns: bool) {
        if let Self::Unix(_, path) = self {
            path.owns(owns);
        }
    }

    /// The lock of the path that this listens on, if it has one.
    #[must_use]
    pub fn lock(&self) -> Option<BorrowedFd<'_>> {
        if let Self::Unix(_, path) = self {
            path.lock()
        } else {
            None
        }
    }

    /// Another handle to the same socket, which leaves its path alone.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Self::over(self.as_fd().try_clone_to_owned()?.into(), None)
    }

    /// The same, but clients that connect over TCP speak TLS, and are shown `identity`.
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
    pub fn local_addr(&self) -> io::Result<ListenAddr> {
        Ok(match self {
            Self::Tcp(listener) => ListenAddr::Tcp(listener.local_addr()?),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => ListenAddr::Tls(listener.local_addr()?),
            Self::Unix(_, path) => ListenAddr::Unix(path.path().to_owned()),
        })
    }
}

/// Sets options that connections inherit from the listening socket.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
fn set_options(listener: &Socket) {
    #[cfg(target_os = "linux")]
    if listener.domain().is_ok_and(|domain| domain != Domain::UNIX) {
        let set = listener.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        wish(
            set,
            "TCP_USER_TIMEOUT: clients that vanish are noticed late",
        );
    }
}

/// A sandbox may refuse an option; without it the server is worse, but works.
fn wish(set: io::Result<()>, what: &str) {
    if let Err(error) = set {
        log::warn!("the system refuses {what}: {error}");
    }
}

/// Refuses a socket that does not listen.
#[cfg(not(target_vendor = "apple"))]
fn require_listening(socket: &Socket) -> io::Result<()> {
    if rustix::net::sockopt::socket_acceptconn(socket)? {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Apple's systems do not tell whether a socket listens. A socket that cannot listen is refused here as well, and
/// for one that does, only the backlog changes.
#[cfg(target_vendor = "apple")]
fn require_listening(socket: &Socket) -> io::Result<()> {
    socket.listen(BACKLOG)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    wish(
        socket.set_reuse_address(true),
        "SO_REUSEADDR: a server that is started again may have to wait a minute for its address",
    );
    if address.is_ipv6() {
        wish(
            socket.set_only_v6(true),
            "IPV6_V6ONLY: the address may be one for IPv4 as well",
        );
    }
    socket.set_nonblocking(true)?;
    set_options(&socket);
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
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

impl Acceptor for OsAcceptor {
    type Stream = OsStream;

    fn accept(&mut self) -> io::Result<(OsStream, Peer)> {
        let _held = one_at_a_time();
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                // Each batch of answers leaves in one write, so there is nothing to wait for.
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

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        let selector: &mut OsSelector = selector.own();
        match self {
            Self::Tcp(listener) => selector.register(listener, token, Interest::READABLE),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => selector.register(listener, token, Interest::READABLE),
            Self::Unix(listener, _) => selector.register(listener, token, Interest::READABLE),
        }
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        let selector: &mut OsSelector = selector.own();
        match self {
            Self::Tcp(listener) => selector.deregister(listener),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => selector.deregister(listener),
            Self::Unix(listener, _) => selector.deregister(listener),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn connections_of_those_who_vanish_end_before_long() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut acceptor = OsAcceptor::tcp(address).unwrap();
        let ListenAddr::Tcp(address) = acceptor.local_addr().unwrap() else {
            panic!("it is TCP")
        };
        let _client = std::net::TcpStream::connect(address).unwrap();
        let OsStream::Tcp(accepted) = acceptor.accept().unwrap().0 else {
            panic!("it is TCP")
        };
        let timeout = socket2::SockRef::from(&accepted).tcp_user_timeout();
        assert_eq!(timeout.unwrap(), Some(UNACKNOWLEDGED));
    }
}
