//! The four seams in the real world: the system's clocks and randomness, mio's selector, and sockets.

mod acceptor;
mod spawn;
mod stream;
mod unix_path;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Waker};

pub use self::acceptor::OsAcceptor;
pub use self::spawn::{socket_pair, spawn};
pub use self::stream::OsStream;
use super::clock::OsClock;
use super::seams::{Entropy, Readiness, Ready, Seams, Selector, Wake};
use super::slots::Token;

/// Whether mio waits through kqueue(2).
const KQUEUE: bool = cfg!(all(
    any(
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
    ),
    not(mio_unsupported_force_poll_poll)
));
/// Whether mio waits through epoll(7).
const EPOLL: bool = cfg!(all(
    any(target_os = "linux", target_os = "android"),
    not(mio_unsupported_force_poll_poll)
));

/// Whether a read or write that moved fewer bytes than it could have proves that the descriptor is
/// drained, so that the call that would only fail with `WouldBlock` can be left out.
///
/// True for epoll and kqueue (epoll(7), question 9). mio's contract is to continue until `WouldBlock`, and its
/// poll(2) backend depends on that: it stops watching a reported descriptor until it has seen a `WouldBlock`.
pub const SHORT_MEANS_DRAINED: bool = EPOLL || KQUEUE;

/// Readiness reports taken from the OS in one wait.
const READY_MAX: usize = 1024;
/// The longest that one wait sleeps. A deadline may be years away, and kqueue refuses such a timeout on some systems.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The waker's token; no slot has it.
const WAKER: mio::Token = mio::Token(usize::MAX);
// mio's token is a `usize`, and ours are two numbers of 32 bits each.
const _: () = assert!(usize::BITS >= 64, "tokens need 64 bits");

impl Seams {
    /// The seams of the real world, with this clock, whose clones show the same time.
    ///
    /// # Errors
    /// When the OS gives no descriptor for the selector.
    pub fn of_os(clock: OsClock) -> io::Result<Self> {
        Ok(Self {
            clock: Box::new(clock),
            entropy: Box::new(OsEntropy),
            selector: Box::new(OsSelector::new()?),
        })
    }
}

/// The system's random number generator.
#[derive(Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    /// If the system has no randomness: without it, no secret would be secret.
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
    /// A selector without registrations.
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
    fn reports_apart(&self) -> bool {
        KQUEUE
    }

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| timeout.min(WAIT_MAX));
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
                    // The end of the stream and errors count as readable: a read reports them.
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

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::<Waker>::clone(&self.waker)
    }
}

/// An eventfd, or its equivalent.
impl Wake for Waker {
    fn wake(&self) {
        // It fails only if the counter is full, and then the loop is awake already.
        let _ = self.wake();
    }
}
