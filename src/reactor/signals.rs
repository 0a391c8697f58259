//! Signals as a source.
//!
//! A signal handler may do almost nothing, so it writes one byte into a socket pair; the loop
//! reads it like any other byte. So signals enter through the stream seam, and a test sends a signal
//! by writing a byte.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use super::description::Kind;
use super::next::Next;
use super::seams::{Readiness, Selector, Stream};
use super::source::{Program, Source};
use super::turn::Turn;
use super::{OsStream, Token};

/// A signal that a program listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A supervisor asks the program to stop.
    Terminate,
    /// The user at the terminal asks the program to stop.
    Interrupt,
    /// The operator asks the program to read its files again.
    Hangup,
    /// The first of the two signals that a program may define.
    User1,
    /// The second.
    User2,
    /// A child process has ended.
    Child,
}

impl Signal {
    /// A stream that has one byte for each arrival of this signal. From now on the signal no longer
    /// has its default effect.
    ///
    /// # Errors
    /// When the OS gives no descriptors.
    pub fn stream(self) -> io::Result<OsStream> {
        self.arrivals()?.stream()
    }

    /// The same for several loops, one after another: a signal that one loop has not handled is left for
    /// the next.
    ///
    /// # Errors
    /// When the OS gives no descriptors.
    pub fn arrivals(self) -> io::Result<Arrivals> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(self.number(), writer)?;
        Ok(Arrivals(reader))
    }

    /// Sets `arrived` when this signal arrives, for a loop that does not read its streams meanwhile.
    ///
    /// # Errors
    /// When the OS refuses.
    pub fn sets(self, arrived: Arc<AtomicBool>) -> io::Result<()> {
        signal_hook::flag::register(self.number(), arrived).map(drop)
    }

    fn number(self) -> i32 {
        match self {
            Self::Terminate => SIGTERM,
            Self::Interrupt => SIGINT,
            Self::Hangup => SIGHUP,
            Self::User1 => SIGUSR1,
            Self::User2 => SIGUSR2,
            Self::Child => SIGCHLD,
        }
    }
}

/// One byte for each arrival of a signal.
#[derive(Debug)]
pub struct Arrivals(UnixStream);

impl Arrivals {
    /// A stream of the arrivals that no other stream has taken.
    ///
    /// # Errors
    /// When the OS gives no descriptor.
    pub fn stream(&self) -> io::Result<OsStream> {
        let reader = self.0.try_clone()?;
        Ok(OsStream::Unix(mio::net::UnixStream::from_std(reader)))
    }
}

/// Readable as long as there is an arrival that was not taken.
impl AsFd for Arrivals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Calls `act` once for each arrival of its signal.
pub struct SignalSource<T, F> {
    stream: T,
    act: F,
}

impl<T: Stream, F> SignalSource<T, F> {
    /// Reads one byte per signal from `stream`.
    pub fn new(stream: T, act: F) -> Self {
        Self { stream, act }
    }
}

impl<T, F> std::fmt::Debug for SignalSource<T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalSource").finish_non_exhaustive()
    }
}

impl<P: Program, T: Stream, F: FnMut(&mut P, &mut Turn<'_, P::Message>)> Source<P>
    for SignalSource<T, F>
{
    fn kind(&self) -> Kind {
        Kind::of("signal")
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.stream.register(selector, token)
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        self.stream.deregister(selector);
    }

    fn ready(
        &mut self,
        readiness: Readiness,
        program: &mut P,
        turn: &mut Turn<'_, P::Message>,
    ) -> Next {
        // On mio's poll(2) backend a read that would block causes another report "writable", which
        // a socket pair always is: reading because of that would spin.
        if !readiness.contains(Readiness::READABLE) {
            return Next::Wait;
        }
        let mut bytes = [0; 16];
        // Signals are rare enough to be read to the end, without a budget and without relying on short reads.
        while let Ok(count @ 1..) = self.stream.read(&mut bytes) {
            (0..count).for_each(|_| (self.act)(program, turn));
        }
        Next::Wait
    }
}
