//! The four narrow places through which everything that is not deterministic enters: clock,
//! entropy, selector and stream.
//!
//! Clock, entropy and selector are called once or twice a turn, and are trait objects: [`Seams`] has one of each.
//! A stream is called at every request, and only the source that owns it knows its type. The real world is in
//! `os`; [`fake`](super::fake) is one that a test controls.

use std::any::Any;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::slots::Token;

/// The seams of one world that belong to a loop; streams are added later.
pub struct Seams {
    /// The source of time.
    pub clock: Box<dyn Clock>,
    /// The source of randomness.
    pub entropy: Box<dyn Entropy>,
    /// The source of readiness.
    pub selector: Box<dyn Selector>,
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seams")
    }
}

/// Randomness fit for secrets.
pub trait Entropy {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// `N` random bytes.
pub fn random<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// What the OS reports about a descriptor. Several flags can be set at once.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing: the source is called again because its budget ran out, or for a deadline.
    pub const NONE: Self = Self(0);
    /// Bytes, or the end of the stream, can be read.
    pub const READABLE: Self = Self(1);
    /// Bytes can be written.
    pub const WRITABLE: Self = Self(2);

    /// The peer will send nothing more. It may be reported along with the last bytes; epoll reports it once, kqueue
    /// with every later report about reading.
    pub const ENDED: Self = Self(4);

    /// The flags as a number, for recordings.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The flags of a number from [`bits`](Self::bits); unknown bits are ignored.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0b111)
    }

    /// Whether all flags of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Readiness {
    /// The flags about reading, and those about writing.
    pub(super) fn apart(self) -> (Self, Self) {
        let writes = Self(self.0 & Self::WRITABLE.0);
        (self.without(writes), writes)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::READABLE, 'r'),
            (Self::WRITABLE, 'w'),
            (Self::ENDED, 'e'),
        ];
        names
            .iter()
            .filter(|(bit, _)| self.contains(*bit))
            .try_for_each(|(_, c)| write!(f, "{c}"))
    }
}

/// A descriptor that the selector reported.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The name under which it was registered.
    pub token: Token,
    /// What was reported.
    pub readiness: Readiness,
}

/// The seam through which readiness enters. It is edge-triggered: readiness that was reported once is not
/// reported again before the descriptor was drained.
pub trait Selector: Any {
    /// Whether one wait may report a descriptor more than once, as kqueue does: once for reading, once for
    /// writing. The loop then merges the reports.
    fn reports_apart(&self) -> bool {
        false
    }

    /// Sleeps until a registered descriptor is ready, the waker was used, or `timeout` has passed;
    /// `None` is for ever. Appends to `ready`; it may wake early and append nothing.
    ///
    /// # Errors
    /// When the OS refuses to wait at all. Being interrupted by a signal is not an error.
    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// A handle that ends this selector's wait.
    fn waker(&self) -> Arc<dyn Wake>;
}

impl dyn Selector {
    /// The selector as its type, which a stream of the same world knows.
    ///
    /// # Panics
    /// If it is from another world: a loop was given a stream whose readiness it can never be told of.
    pub fn own<S: Selector>(&mut self) -> &mut S {
        let selector: &mut dyn Any = self;
        let own = selector.downcast_mut();
        own.expect("a stream and its loop's selector are of the same world")
    }
}

/// Ends a selector's wait from another thread.
pub trait Wake: Send + Sync + 'static {
    /// Makes the current wait return at once, or else the next one.
    fn wake(&self);
}

/// The result of a read.
#[derive(Debug)]
pub enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The peer will send nothing more.
    End,
    /// Nothing for now: an edge will report more.
    Nothing,
    /// Nothing, though there may be more: a signal interrupted the read, or the input had no bytes for the reader.
    Interrupted,
    /// The peer sends plain HTTP to a TLS socket. Bytes written from now on are sent unencrypted, so it can be told.
    NotEncrypted,
    /// The TLS handshake failed, or the peer's bytes were not valid TLS.
    TlsFailed,
    /// The connection is broken.
    Broken(io::Error),
}

impl From<io::Result<usize>> for Received {
    #[inline]
    fn from(read: io::Result<usize>) -> Self {
        match read {
            Ok(0) => Self::End,
            Ok(count) => Self::Bytes(count),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Self::Nothing,
                io::ErrorKind::Interrupted => Self::Interrupted,
                _ => Self::Broken(error),
            },
        }
    }
}

impl From<Received> for io::Result<usize> {
    fn from(received: Received) -> Self {
        match received {
            Received::Bytes(count) => Ok(count),
            Received::End => Ok(0),
            Received::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            Received::Interrupted => Err(io::ErrorKind::Interrupted.into()),
            Received::NotEncrypted => Err(io::Error::other("the peer does not speak TLS")),
            Received::TlsFailed => Err(io::Error::other("TLS failed")),
            Received::Broken(error) => Err(error),
        }
    }
}

/// The seam through which bytes pass: a connected, non-blocking stream.
///
/// `flush` writes what the stream itself holds back, and fails with `WouldBlock` while the peer does not
/// take it.
pub trait Stream: Read + Write + 'static {
    /// Starts reporting this stream's readiness in both directions, as `token`.
    ///
    /// # Errors
    /// When the OS has no room for one more registration.
    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()>;

    /// Stops reporting it.
    fn deregister(&mut self, selector: &mut dyn Selector);

    /// Closes one or both directions. It is not an error if the peer has gone already.
    fn shutdown(&mut self, how: Shutdown);

    /// Reads once, and returns the result. An encrypted stream has more results than [`Read`] can express.
    fn receive(&mut self, bytes: &mut [u8]) -> Received {
        self.read(bytes).into()
    }

    /// Whether the stream is encrypted.
    fn is_secure(&self) -> bool {
        false
    }

    /// Whether the TLS handshake is not complete: no plain byte can have passed.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// Bytes from the peer that the stream itself holds in memory.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Takes the descriptor out, for another process to continue with; after that the stream is unusable.
    /// Deregister it first. `None` if no other process could continue: then the stream stays as it is.
    fn take_descriptor(&mut self) -> Option<OwnedFd> {
        None
    }

    /// Whether a read may give something that no readiness reports.
    fn has_more(&self) -> bool {
        false
    }
}

/// The seam through which new connections enter.
pub trait Acceptor: 'static {
    /// The type of its connections.
    type Stream: Stream;

    /// The next waiting connection, and its peer.
    ///
    /// # Errors
    /// `WouldBlock` if no peer waits. Every other error concerns one peer, or is a temporary shortage of
    /// descriptors or memory.
    fn accept(&mut self) -> io::Result<(Self::Stream, Peer)>;

    /// Starts reporting waiting peers, as `token`.
    ///
    /// # Errors
    /// When the OS has no room for one more registration.
    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()>;

    /// Stops reporting it.
    fn deregister(&mut self, selector: &mut dyn Selector);

    /// Whether `InvalidInput` may mean that one peer has gone already, as on Apple's systems, and not that
    /// the socket does not listen.
    fn lost_peer_is_invalid(&self) -> bool {
        cfg!(target_vendor = "apple")
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address and a port.
    Ip(SocketAddr),
    /// A process on this machine, through a unix socket.
    Unix,
}

impl Peer {
    /// The peer's address, if it has one.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}
