//! The four narrow places through which everything that is not deterministic enters: clock,
//! entropy, selector and stream.
//!
//! Clock, entropy and selector are asked once or twice a turn, and are trait objects: [`Seams`] has one of each.
//! A stream is asked at every request, and only the source that owns it knows its type. The real world is in
//! `os`; [`fake`](super::fake) is one that a test writes.

use std::any::Any;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::slots::Token;

/// The seams of one world that a loop has for itself; streams come in later.
pub struct Seams {
    /// Where time comes from.
    pub clock: Box<dyn Clock>,
    /// Where randomness comes from.
    pub entropy: Box<dyn Entropy>,
    /// Where readiness comes from.
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

/// So many random bytes.
pub fn random<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// What the OS says about a descriptor. Several can be true at once.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing: the source is asked again because its budget ran out, or for a deadline.
    pub const NONE: Self = Self(0);
    /// Bytes, or the end of the stream, can be read.
    pub const READABLE: Self = Self(1);
    /// Bytes can be written.
    pub const WRITABLE: Self = Self(2);

    /// The peer will send nothing more. Possibly reported along with its last bytes; epoll says it once, kqueue as often as
    /// it has anything to say of reading.
    pub const ENDED: Self = Self(4);

    /// As a number, for whoever writes it down.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// What [`bits`](Self::bits) made a number of; bits that mean nothing are left out.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0b111)
    }

    /// Whether all of `other` is true.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The one without the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Readiness {
    /// What there is to read, and what there is to write.
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
    /// What can be done with it.
    pub readiness: Readiness,
}

/// The seam through which readiness enters. Edge-triggered: what was reported once is not
/// reported again before the descriptor was drained.
pub trait Selector: Any {
    /// Whether one wait may report a descriptor more than once, as kqueue does: once for reading, once for
    /// writing. The loop then makes one report of them.
    fn reports_apart(&self) -> bool {
        false
    }

    /// Sleeps until a registered descriptor is ready, the waker was used, or `timeout` is over;
    /// without one, for ever. Appends to `ready`; waking early with nothing is allowed.
    ///
    /// # Errors
    /// When the OS refuses to wait at all. Being interrupted by a signal is not an error.
    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// A handle that ends this selector's wait.
    fn waker(&self) -> Arc<dyn Wake>;
}

impl dyn Selector {
    /// The selector as a stream of its own world knows it.
    ///
    /// # Panics
    /// If it is another world's: a loop was given a stream that it can never hear of.
    pub fn own<S: Selector>(&mut self) -> &mut S {
        let selector: &mut dyn Any = self;
        let own = selector.downcast_mut();
        own.expect("a stream and its loop's selector are of the same world")
    }
}

/// Ends a selector's wait from another thread.
pub trait Wake: Send + Sync + 'static {
    /// Makes the current or else the next wait return at once.
    fn wake(&self);
}

/// What a read came to.
#[derive(Debug)]
pub enum Received {
    /// So many bytes, one at least.
    Bytes(usize),
    /// The peer will send nothing more.
    End,
    /// Nothing for now: an edge tells when there is more.
    Nothing,
    /// Nothing, though there may be more: a signal came in between, or what came had no bytes for the reader.
    Interrupted,
    /// The peer speaks HTTP where TLS is spoken. What is written from now on goes out as it is, so it can be told.
    NotEncrypted,
    /// The two ends cannot agree how to encrypt, or what came was not encrypted so.
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
    /// Starts reporting this stream's readiness, both directions, as `token`.
    ///
    /// # Errors
    /// When the OS has no room for one more registration.
    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()>;

    /// Stops reporting it.
    fn deregister(&mut self, selector: &mut dyn Selector);

    /// Closes one or both directions. A peer that is gone already is no error here.
    fn shutdown(&mut self, how: Shutdown);

    /// Reads once, and says what that came to. A stream that encrypts has more to say than [`Read`] can.
    fn receive(&mut self, bytes: &mut [u8]) -> Received {
        self.read(bytes).into()
    }

    /// Whether bytes pass encrypted.
    fn is_secure(&self) -> bool {
        false
    }

    /// Whether the two ends are still agreeing how to encrypt: no byte can have passed.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// Bytes of memory that the stream itself holds of what the peer has sent.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Gives the descriptor away, which another process goes on with; from then on this stream is nothing.
    /// To be deregistered before. `None` if nobody else could go on: it stays as it is.
    fn take_descriptor(&mut self) -> Option<OwnedFd> {
        None
    }

    /// Whether a read may give something though no readiness tells of it.
    fn has_more(&self) -> bool {
        false
    }
}

/// Streams from peers who connect.
pub trait Acceptor: 'static {
    /// What it accepts.
    type Stream: Stream;

    /// The next waiting connection, and who it is.
    ///
    /// # Errors
    /// `WouldBlock` when nobody waits. Everything else concerns one peer or is a shortage of
    /// descriptors or memory, and passes.
    fn accept(&mut self) -> io::Result<(Self::Stream, Peer)>;

    /// Starts reporting when somebody waits, as `token`.
    ///
    /// # Errors
    /// When the OS has no room for one more registration.
    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()>;

    /// Stops reporting it.
    fn deregister(&mut self, selector: &mut dyn Selector);

    /// Whether `InvalidInput` may mean that one peer has gone already, as Apple's systems have it, and not that
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
    /// The peer's address, where it has one.
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
